"""A run that is cut and continued is the run that was never cut, and what cannot be continued is refused."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import comfy.model_management
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_training_run import feed, graph  # noqa: F401
from training_models import caption, latents, tiny_sd3

STEPS = 10
CANCEL = comfy.model_management.InterruptProcessingException


def plan(pack, **parts):
    """Keyword arguments of a Recipe from {field: {its values}}."""
    kinds = {"optimizer": "OptimizerPlan", "schedule": "SchedulePlan", "validation": "ValidationPlan",
             "checkpoints": "CheckpointPlan", "timesteps": "TimestepPlan", "loss": "LossPlan"}
    return {name: getattr(pack.nodes.training.plan.recipe, kinds[name])(**value) if name in kinds else value
            for name, value in parts.items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


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


def test_states_are_kept_every_few_steps_and_old_ones_go(pack, train, output_folder):
    train(tiny_sd3(), 10, **plan(pack, checkpoints={"every": 3, "keep": 2, "loras": True}))
    assert sorted(p.stem for p in (output_folder / "training" / "hand").iterdir()) == ["step_00000009",
                                                                                      "step_00000010"]
    loras = sorted(p.stem for p in (output_folder / "loras").iterdir())
    assert loras == ["hand", "hand_step000003", "hand_step000006", "hand_step000009", "hand_step000010"]


def test_a_new_run_never_touches_the_states_of_an_older_one(train, output_folder):
    train(tiny_sd3(), 3)
    before = (output_folder / "training" / "hand" / "step_00000003.safetensors").read_bytes()
    train(tiny_sd3(), 3, seed=4)
    assert (output_folder / "training" / "hand" / "step_00000003.safetensors").read_bytes() == before
    assert (output_folder / "training" / "hand_00001" / "step_00000003.safetensors").is_file()


def test_the_graph_resumes_too_and_says_when_nothing_is_left(host, feed, output_folder):  # noqa: F811
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
importlib.import_module(f"{pack.__name__}.nodes.training.run")

class Killing(t.seen.progress.Progress):
    def update(self, session):
        if session.step == 7:
            os.kill(os.getpid(), signal.SIGKILL)

recipe = t.plan.recipe.Recipe(checkpoints=t.plan.recipe.CheckpointPlan(every=3))
dataset = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
t.run.train(tiny_sd3(), dataset, t.plan.settings.Settings(10, 2, 1e-2, 4, 3, recipe), "killed", Killing(10, "1"))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is what POSIX systems have")
def test_a_killed_process_loses_one_interval_at_most(pack, train, output_folder):
    folder = Path(__file__).parent
    died = subprocess.run([sys.executable, "-c", KILLED, str(folder.parent), str(folder), str(output_folder)],
                          capture_output=True, env=os.environ)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    left = sorted(p.name for p in (output_folder / "training" / "killed").iterdir())
    assert left == ["step_00000003.safetensors", "step_00000006.safetensors"]
    parts = plan(pack, checkpoints={"every": 3})
    continued = train(tiny_sd3(), 10, "killed", resume="killed", **parts)
    assert same(continued.tensors, train(tiny_sd3(), 10, "whole", **parts).tensors)


@pytest.fixture
def state(train, output_folder):
    """The state of a run of three steps."""
    train(tiny_sd3(), 3)
    return output_folder / "training" / "hand" / "step_00000003.safetensors"


@pytest.mark.parametrize("model, changes, sentence", [
    (dict(seed=1), {}, "resume: hand/step_00000003 was trained on other weights"),
    (dict(depth=3), {}, "resume: hand/step_00000003 was trained on other weights"),
    ({}, dict(rank=2), "resume: hand/step_00000003 holds LoRA of rank 4, this run trains LoRA of rank 2"),
])
def test_a_state_of_something_else_is_refused(train, state, model, changes, sentence):
    before = state.read_bytes()
    with pytest.raises(ValueError, match=sentence):
        train(tiny_sd3(**model), 6, resume="hand", **changes)
    assert state.read_bytes() == before


def test_a_state_of_another_optimizer_is_refused(pack, train, state):
    with pytest.raises(ValueError, match="was trained with adamw, the recipe now says muon"):
        train(tiny_sd3(), 6, resume="hand", **plan(pack, optimizer={"name": "muon"}))


def test_a_truncated_state_is_refused_and_left_alone(train, state):
    state.write_bytes(whole := state.read_bytes()[:-100])
    with pytest.raises(ValueError, match="resume: training/hand/step_00000003.safetensors is not a whole"):
        train(tiny_sd3(), 6, resume="hand")
    assert state.read_bytes() == whole


def test_another_file_and_a_name_that_does_not_exist_are_refused(train, output_folder, state):
    save_file({"a": torch.ones(1)}, output_folder / "other.safetensors")
    with pytest.raises(ValueError, match="resume: expected a training state, other.safetensors is another"):
        train(tiny_sd3(), 6, resume=str(output_folder / "other.safetensors"))
    with pytest.raises(ValueError, match="resume: expected the name of a run in output/training or the path of a "
                                         "state, got 'nothing'; there are hand."):
        train(tiny_sd3(), 6, resume="nothing")
    with pytest.raises(ValueError, match="got 'n{57}[.]{3}'; there are hand."):
        train(tiny_sd3(), 6, resume="n" * 5000)


def test_other_pictures_go_on_in_a_new_order_and_the_report_says_so(pack, train, state):
    dataset = pack.nodes.training.data.dataset.from_core_nodes([{"samples": latents(3, seed=9)}], [caption(0)])
    trained = train(tiny_sd3(), 6, resume="hand", dataset=dataset)
    assert len(trained.losses) == 6
    assert any("its order starts anew" in note for note in trained.notes)


def test_a_state_that_is_already_there_gives_its_lora_again(train, state):
    trained = train(tiny_sd3(), 3, "again", resume="hand/step_00000003")
    first = load_file(state.parents[2] / "loras" / "hand.safetensors")
    assert len(trained.losses) == 3 and same(trained.tensors, first)


def test_training_can_start_from_a_lora_that_has_no_state(train, output_folder, state):
    first = load_file(output_folder / "loras" / "hand.safetensors")
    (output_folder / "loras" / "hand.safetensors").rename(output_folder / "loras" / "found.safetensors")
    still = train(tiny_sd3(), 1, "more", resume="found", rate=1e-12)
    assert all(torch.allclose(still.tensors[key], first[key], atol=1e-6) for key in first)
    assert any("Started from the LoRA" in note for note in still.notes)
