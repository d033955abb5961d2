"""Memory that is full at a layer, or really full: the training goes on smaller, or ends with a sentence."""
import resource
from collections.abc import Iterator
from pathlib import Path

import torch
from damaged_files import _message
from files_on_disk import leftovers, problems, tensors
from outcome import Outcome, not_a_sentence
from workbench import Workbench

NEAR = 5e-3     # of the largest weight: another order of sums in retried steps, over the whole run
MEGABYTES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 128)
ABORTED = "killed by 6"     # by a library of C that could not allocate: no Python is left to say a sentence


def memory_faults(bench: Workbench, folder: Path, stride: int = 1) -> Iterator[Outcome]:
    whole = folder / "whole"
    said = bench.train(whole, "ink")
    if said:
        raise RuntimeError(said)
    for megabytes in MEGABYTES:
        here = folder / f"left_{megabytes}"
        said = bench.train(here, "ink", before=lambda left=megabytes: leave_memory(left))
        yield _outcome(f"{megabytes} MB of memory left", here, whole, said)
    layers = [name for name, module in bench.model.model.diffusion_model.named_modules() if not list(module.children())]
    for number, name in enumerate(layers[::stride]):
        here = folder / f"layer_{number}"
        said = bench.train(here, "ink", before=lambda layer=name: full_once(bench, layer))
        yield _outcome(f"memory full once at {name}", here, whole, said)


def full_once(bench: Workbench, layer: str) -> None:
    """The device's error in a forward with gradients of that layer, at the third step."""
    module = bench.model.model.diffusion_model.get_submodule(layer)
    calls = []

    def full(*_):
        if torch.is_grad_enabled():
            calls.append(1)
            if len(calls) == 8:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    module.register_forward_pre_hook(full)


def leave_memory(megabytes: int) -> None:
    """The system gives this process no more than that beyond what it has."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2 ** 20,) * 2)


def _outcome(fault: str, here: Path, whole: Path, said: str) -> Outcome:
    if said == ABORTED:
        return Outcome(fault, "; ".join(problems(here)))
    wrong = problems(here) + leftovers(here)
    if said:
        why = not_a_sentence(MemoryError(_message(said)))
        wrong += [f"{why} {said[:300]}"] if why else []
    elif not _near(here, whole):
        wrong.append("the LoRA is another than that of the undisturbed run")
    return Outcome(fault, "; ".join(wrong))


def _near(here: Path, whole: Path) -> bool:
    own, other = (tensors(folder / "loras" / "ink.safetensors") for folder in (here, whole))
    largest = max(tensor.abs().max() for tensor in other.values())
    return own.keys() == other.keys() and all((own[key] - other[key]).abs().max() <= NEAR * largest for key in own)
