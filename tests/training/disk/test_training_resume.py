"""A run that is cut and continued is the run that was never cut."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import comfy.model_management
import pytest
from safetensors.torch import load_file
from training_graphs import CANCEL, graph, plan, same
from training_models import latents, tiny_sd3

STEPS = 10
RECIPES = {
    "as it is": {},
    "accumulation and averaged weights": {"optimizer": {"accumulation": 2}, "ema": 0.9},
    "muon": {"optimizer": {"name": "muon"}, "ema": 0.9},
    "adafactor": {"optimizer": {"name": "adafactor", "accumulation": 2}},
    "schedule-free": {"optimizer": {"name": "schedule_free"}},
    "prodigy": {"optimizer": {"name": "prodigy"}},
    "lion": {"optimizer": {"name": "lion"}},
    "came": {"optimizer": {"name": "came"}},
}
LIBRARIES = {"schedule-free": "schedulefree", "prodigy": "prodigyopt", "lion": "pytorch_optimizer",
             "came": "pytorch_optimizer"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_cancel_and_resume_give_the_lora_of_a_run_that_was_never_cut(pack, train, recipe):
    if recipe in LIBRARIES:
        pytest.importorskip(LIBRARIES[recipe])
    parts = plan(pack, **RECIPES[recipe])
    whole = train(tiny_sd3(), STEPS, "whole", **parts)
    with pytest.raises(CANCEL):
        train(tiny_sd3(), STEPS, "cut", stop_after=4, **parts)
    continued = train(tiny_sd3(), STEPS, "cut", resume="cut", **parts)
    assert continued.losses == whole.losses and continued.rates == whole.rates
    assert same(continued.tensors, whole.tensors)


def test_twenty_steps_and_twenty_more_are_forty(pack, train):
    parts = plan(pack, schedule={"shape": "constant", "warmup": 2}, ema=0.9)
    whole = train(tiny_sd3(), 40, "forty", **parts)
    train(tiny_sd3(), 20, "first", **parts)
    both = train(tiny_sd3(), 40, "second", resume="first", **parts)
    assert both.losses == whole.losses and same(both.tensors, whole.tensors)


def test_cancel_inside_a_step_takes_back_what_it_had_drawn(pack, train, monkeypatch):
    t, calls = pack.nodes.training, []
    whole = train(tiny_sd3(), 6, "whole")
    attend = t.step.denoiser.attend_with_sdpa

    def cancelling(*args, **kwargs):
        calls.append(1)
        if len(calls) == 15:
            comfy.model_management.interrupt_current_processing()
        return attend(*args, **kwargs)

    monkeypatch.setattr(t.step.denoiser, "attend_with_sdpa", cancelling)
    with pytest.raises(CANCEL):
        train(tiny_sd3(), 6, "cut")
    assert 0 < int(t.disk.checkpoint.find_state("cut").stem.removeprefix("step_")) < 6
    assert same(train(tiny_sd3(), 6, "cut", resume="cut").tensors, whole.tensors)


KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[1:3]
import real_host
real_host.find_host()
pack = real_host.load_pack()
import importlib, folder_paths
folder_paths.set_output_directory(sys.argv[3])
folder_paths.add_model_folder_path("loras", os.path.join(sys.argv[3], "loras"), is_default=True)
from training_models import caption, latents, tiny_sd3
t = pack.nodes.training
importlib.import_module(f"{pack.__name__}.nodes.training.training_run")

class Killing(t.monitoring.progress.Progress):
    def update(self, session):
        if session.step == 7:
            os.kill(os.getpid(), signal.SIGKILL)

recipe = t.plan.recipe.Recipe(checkpoints=t.plan.recipe.CheckpointPlan(every=3))
dataset = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
settings = t.plan.settings.Settings(10, 2, 1e-2, 4, 3, recipe)
t.training_run.train(tiny_sd3(), dataset, settings, "killed", Killing(10, "1"))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is what POSIX systems have")
def test_a_killed_process_loses_one_interval_at_most(pack, train, output_folder):
    folder = Path(__file__).parents[1]
    died = subprocess.run([sys.executable, "-c", KILLED, str(folder.parent), str(folder), str(output_folder)],
                          capture_output=True, env=os.environ)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    left = sorted(p.name for p in (output_folder / "training" / "killed").iterdir())
    assert left == ["step_00000003.safetensors", "step_00000006.safetensors"]
    parts = plan(pack, checkpoints={"every": 3})
    continued = train(tiny_sd3(), 10, "killed", resume="killed", **parts)
    assert same(continued.tensors, train(tiny_sd3(), 10, "whole", **parts).tensors)


def test_the_graph_resumes_too_and_says_when_nothing_is_left(host, feed, output_folder):
    def run(name, steps, **inputs):
        prompt = graph(feed, tiny_sd3(), name=name, steps=steps, **inputs)
        prompt["recipe"] = {"class_type": "BottegaRecipe", "inputs": {"schedule": "constant", "warmup_steps": 0}}
        prompt["train"]["inputs"]["recipe"] = ["recipe", 0]
        return host.run(prompt)[0]["train"]["text"][0]

    run("whole", 8)
    run("half", 4)
    assert "Continued after step 4 from half/step_00000004." in run("both", 8, resume="half")
    whole, both = (load_file(output_folder / "loras" / f"{name}.safetensors") for name in ("whole", "both"))
    assert same(whole, both)
    assert "Nothing was trained: 8 steps were done before, and steps is 6." in run("less", 6, resume="whole")


def test_a_state_of_the_version_before_goes_on_in_its_order(pack, train, state):
    now = train(tiny_sd3(), 6, "now", resume="hand/step_00000003")
    disk = pack.nodes.training.disk
    kept = disk.checkpoint.load_state(state)
    for name in ("prediction", "base_lora"):
        del kept["identity"][name]
    kept["cursor"]["order"] = [[each for each in batch if each >= 0] for batch in kept["cursor"]["order"].tolist()]
    kept["identity"]["dataset"] = disk.session_state._hash(*(
        part for picture in latents(4).split(1) for part in (str(tuple(picture.shape)), picture)))
    disk.checkpoint.save_state(state, kept)
    trained = train(tiny_sd3(), 6, "before", resume="hand/step_00000003")
    assert same(trained.tensors, now.tensors)
    assert not any("its order starts anew" in note for note in trained.notes)


def test_a_state_that_is_already_there_gives_its_lora_again(train, state):
    trained = train(tiny_sd3(), 3, "again", resume="hand/step_00000003")
    first = load_file(state.parents[2] / "loras" / "hand.safetensors")
    assert len(trained.losses) == 3 and same(trained.tensors, first)


@pytest.mark.parametrize("name", ["hand", "again"])
def test_a_further_run_of_a_finished_training_writes_nothing(pack, train, state, output_folder, name):
    """Under another name it writes the LoRA of that name, once."""
    first = train(tiny_sd3(), 3, name, resume="hand")
    before = {path: path.stat().st_mtime_ns for path in output_folder.rglob("*")}
    version = pack.nodes.training.disk.checkpoint.state_version("hand")
    second = train(tiny_sd3(), 3, name, resume="hand")
    assert {path: path.stat().st_mtime_ns for path in before} == {
        path: path.stat().st_mtime_ns for path in output_folder.rglob("*") if path.is_file()} | {
        path: path.stat().st_mtime_ns for path in before if path.is_dir()}
    assert version == pack.nodes.training.disk.checkpoint.state_version("hand")
    assert first.path == second.path and Path(first.path).stem == name and same(first.tensors, second.tensors)
    assert [each.name for each in (output_folder / "training").iterdir()] == ["hand"]
