"""Cancel at any moment of a training: whole files, the model as it was, and the next prompt runs."""
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from files_on_disk import leftovers, problems, same
from outcome import Outcome
from workbench import Workbench

EACH = 25     # cancels in one copy of this process, which then shows that nothing has piled up in it


def cancels(bench: Workbench, folder: Path, rng: random.Random, each: int = EACH) -> Iterator[Outcome]:
    while True:
        here = folder / f"{time.monotonic_ns()}"
        here.mkdir(parents=True)
        seed, note = rng.random(), here / "outcomes"
        said = bench.fork(here, lambda at=here, s=seed, n=note: _many(bench, at, random.Random(s), n, each)).wait(600)
        lines = note.read_text().splitlines() if note.exists() else []
        yield from (Outcome(*line.split("\t", 1)) for line in lines)
        if said:
            yield Outcome("a copy of the process that cancels", said[:500])


def _many(bench, folder, rng, note, each):
    began = time.monotonic()
    bench.host.run(bench.prompt("whole"))
    seconds, before = time.monotonic() - began, _output(bench.model)
    for number in range(each):
        delay = rng.uniform(0, 1.2) * seconds
        wrong = _cancelled(bench, folder, f"cut_{number}", delay, before)
        with note.open("a") as file:
            told = "; ".join(wrong).replace("\n", " ")
            file.write(f"cancel after {delay:.3f} s of {seconds:.3f}\t{told}\n")


def _cancelled(bench, folder, name, delay, before) -> list[str]:
    import comfy.model_management as management
    timer = threading.Timer(delay, management.interrupt_current_processing)
    timer.start()
    said = _run(bench, name)
    timer.cancel()
    timer.join()
    management.interrupt_current_processing(False)
    wrong = [f"{path} " for path in problems(folder)] + leftovers(folder)
    if said and "interrupted" not in said:
        wrong.append(f"it was not a cancel: {said[:300]}")
    if not torch.equal(_output(bench.model), before):
        wrong.append("the model is another than before")
    if management.in_training:
        wrong.append("the host still thinks that it trains")
    return wrong + (_goes_on(bench, folder, name) if said else [])


def _goes_on(bench, folder, name) -> list[str]:
    kept = list((folder / "training" / name).glob("step_*"))
    if not kept:
        return []
    said = _run(bench, f"{name}_on", resume=name)
    if said:
        return [f"it does not go on: {said[:300]}"]
    same_lora = same(folder / "loras" / f"{name}_on.safetensors", folder / "loras" / "whole.safetensors")
    return [] if same_lora else ["it went on to another LoRA"]


def _run(bench, name, resume="") -> str:
    from real_host import GraphError
    try:
        bench.host.run(bench.prompt(name, resume))
    except GraphError as error:
        details = error.args[0]
        return "interrupted" if "exception_type" not in details else str(details["exception_message"])
    return ""


def _output(patcher) -> torch.Tensor:
    """What the model makes of a fixed input, as sampling asks it."""
    import comfy.model_management
    from training_models import caption, latents
    comfy.model_management.load_models_gpu([patcher])
    with torch.inference_mode():
        text, options = caption(0)[0]
        return patcher.model.apply_model(latents(2), torch.tensor([0.3, 0.8]), c_crossattn=text.repeat(2, 1, 1),
                                         y=options["pooled_output"].repeat(2, 1)).clone()
