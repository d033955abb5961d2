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
from training_graphs import graph, plan, same
from training_models import caption, latents, tiny_sd3

STEPS = 10
CANCEL = comfy.model_management.InterruptProcessingException


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


def test_what_a_killed_run_left_unfinished_is_cleared_when_another_begins(pack, output_folder):
    old = output_folder / "training" / "old" / f"step_00000002.safetensors.4194999.{'0' * 32}.tmp"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert pack.nodes.training.disk.checkpoint.claim_run_folder("new") == "new"
    assert not old.exists() and old.parent.is_dir()


def test_a_new_run_never_touches_the_states_of_an_older_one(train, output_folder):
    train(tiny_sd3(), 3)
    before = (output_folder / "training" / "hand" / "step_00000003.safetensors").read_bytes()
    train(tiny_sd3(), 3, seed=4)
    assert (output_folder / "training" / "hand" / "step_00000003.safetensors").read_bytes() == before
    assert (output_folder / "training" / "hand_00001" / "step_00000003.safetensors").is_file()


def states(folder, run):
    return [int(path.stem.removeprefix("step_")) for path in sorted((folder / "training" / run).glob("step_*"))]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.fixture
def hand(pack, train, output_folder):
    """A run called hand with states at 3, 6, 9 and 12, and what its folder holds."""
    train(tiny_sd3(), 12, **plan(pack, checkpoints={"every": 3, "keep": 4}))
    assert states(output_folder, "hand") == [3, 6, 9, 12]
    return contents(output_folder / "training" / "hand")


def test_a_folder_that_is_a_link_to_nothing_is_a_sentence(pack, output_folder):
    link = output_folder / "training"
    try:
        link.symlink_to(output_folder / "not mounted")
    except OSError:
        pytest.skip("this system makes no links")
    with pytest.raises(OSError, match=r"no folder for the states of hand could be made in training \(it is a file"):
        pack.nodes.training.disk.checkpoint.claim_run_folder("hand")


@pytest.mark.parametrize("name, own", [("variant", "variant"), ("hand", "hand_00001")])
def test_a_run_that_goes_on_from_an_older_state_gets_a_folder_of_its_own(pack, train, output_folder, hand, name, own):
    keep = plan(pack, checkpoints={"every": 3, "keep": 2})
    trained = train(tiny_sd3(), 16, name, resume="hand/step_00000006", **keep)
    assert states(output_folder, own) == [15, 16] and contents(output_folder / "training" / "hand") == hand
    assert trained.state == f"{own}/step_00000016"
    assert any(f"keeps its states in training/{own}; those it came from are left" in note for note in trained.notes)


def test_a_cancelled_branch_advises_its_own_state_and_before_it_wrote_one_that_it_came_from(pack, train, watched_texts,
                                                                                           output_folder, hand):
    with pytest.raises(CANCEL):
        train(tiny_sd3(), 16, "variant", resume="hand/step_00000006", stop_after=8)
    assert watched_texts[-1].endswith("To go on, set resume to variant/step_00000008.")
    checkpoints = pack.nodes.training.disk.checkpoint_schedule.Checkpoints
    unwritten = checkpoints(None, "other", "other", output_folder / "training" / "hand" / "step_00000006.safetensors")
    assert unwritten.how_to_go_on() == "To go on, set resume to hand/step_00000006."
    assert contents(output_folder / "training" / "hand") == hand


def test_the_newest_state_goes_on_in_its_folder_only_under_the_name_of_its_run(pack, train, output_folder, hand):
    keep = plan(pack, checkpoints={"every": 3, "keep": 2})
    train(tiny_sd3(), 14, "other", resume="hand", **keep)
    assert states(output_folder, "other") == [14] and contents(output_folder / "training" / "hand") == hand
    train(tiny_sd3(), 15, "hand", resume="hand", **keep)
    assert states(output_folder, "hand") == [12, 15] and states(output_folder, "other") == [14]


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


OTHER_FORMS = {
    "another alpha": ({"alpha": 4.0}, {"alpha": 1.0}, r"another scale of its change \(alpha 4; now alpha 1\)"),
    "another scaling": ({}, {"settings": {"rank_stabilised": True}}, "now alpha the rank, over sqrt"),
    "another constraint": ({"algorithm": "OFT"}, {"algorithm": "OFT", "settings": {"constraint": 0.1}},
                           "now alpha the rank, oft_constraint 0.1"),
    "a rate elsewhere": ({"targets": "J*=4; J01.attn=4@1e-4"}, {"targets": "J*=4; J01.mlp=4@1e-4"}, "other groups of"),
    "lora_plus_ratio": ({}, {"late_ratio": 16.0}, "other groups of layers at a rate of their own. Set lora_plus_ratio"),
}


def shape_of(pack, algorithm="LoRA", settings=None, **parts):
    kind = pack.nodes.training.adapters.lora_shape.ALGORITHMS[algorithm].settings
    return pack.nodes.training.adapters.LoraShape(algorithm, 4, settings=kind(**settings or {}), **parts)


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_a_state_whose_numbers_would_mean_another_lora_is_refused(pack, train, output_folder, form):
    before, now, sentence = OTHER_FORMS[form]
    train(tiny_sd3(), 2, shape=shape_of(pack, **before))
    with pytest.raises(ValueError, match=f"resume: hand/step_00000002 was trained with .*{sentence}"):
        train(tiny_sd3(), 4, resume="hand", shape=shape_of(pack, **now))


def test_a_rate_of_its_own_can_be_another_one_and_alpha_the_rank_by_its_number(pack, train, output_folder):
    train(tiny_sd3(), 2, shape=shape_of(pack, targets="J00=4@1e-4; J01=4"))
    train(tiny_sd3(), 3, resume="hand", shape=shape_of(pack, targets="J00=4@2e-4; J01=4", alpha=4.0))


def test_what_pissa_starts_from_is_that_of_the_state_under_another_seed_too(pack, train, output_folder):
    disk, shape = pack.nodes.training.disk, shape_of(pack, settings={"pissa": True})
    first = train(tiny_sd3(), 4, shape=shape)
    assert same(train(tiny_sd3(), 4, "other", seed=4, resume="hand", shape=shape).tensors, first.tensors)
    state = disk.checkpoint.load_state(disk.checkpoint.find_state("hand"))
    for holder, name in ((state, "origin"), (state["identity"], "scale"), (state["identity"], "layout")):
        del holder[name]            # as an earlier version wrote it
    disk.checkpoint.save_state(output_folder / "old.safetensors", state)
    old = str(output_folder / "old.safetensors")
    assert same(train(tiny_sd3(), 4, "older", seed=4, resume=old, shape=shape).tensors, first.tensors)


OTHER_RECIPES = {
    "strata": ({}, {"timesteps": {"strata": 2}}, ["timestep_strata is another"]),
    "a first picture held out": ({}, {"validation": {"pictures": 1}}, ["Other pictures are held out"]),
    "most held out": ({}, {"validation": {"pictures": 3}}, ["Other pictures are held out"]),
    "more held out": ({"validation": {"pictures": 1}}, {"validation": {"pictures": 2}},
                      ["Other pictures are held out", "The validation losses before are of other"]),
    "nothing": ({"validation": {"pictures": 1}}, {"validation": {"pictures": 1}}, []),
}


@pytest.mark.parametrize("change", OTHER_RECIPES)
@pytest.mark.parametrize("older", [False, True])
def test_what_another_recipe_makes_void_begins_anew_and_the_report_says_so(pack, train, output_folder, change, older):
    disk, (before, now, told) = pack.nodes.training.disk, OTHER_RECIPES[change]
    train(tiny_sd3(), 1, batch_size=1, **plan(pack, **before))
    if older:
        state = disk.checkpoint.load_state(path := disk.checkpoint.find_state("hand"))
        for holder, name in ((state, "strata"), (state["identity"], "held_out")):
            del holder[name]            # as an earlier version wrote it, of which only what no longer fits is known
        disk.checkpoint.save_state(path, state)
    trained = train(tiny_sd3(), 3, batch_size=1, resume="hand", **plan(pack, **now))
    anew = [note for note in trained.notes if "anew" in note or "left out" in note]
    if not older or "most" in change or change == "strata":
        assert len(anew) == len(told) and all(map(str.startswith, anew, told))
    assert len(trained.losses) == 3


def test_a_step_whose_layers_are_all_left_out_is_passed(pack, train, output_folder):
    shape = pack.nodes.training.adapters.LoraShape(rank=2, targets="J00.attn=2; default=0", layer_dropout=0.9)
    assert len(train(tiny_sd3(), 8, shape=shape).losses) == 8


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


def test_a_state_of_the_version_before_goes_on_in_its_order(pack, train, state):
    now = train(tiny_sd3(), 6, "now", resume="hand/step_00000003")
    disk = pack.nodes.training.disk
    kept = disk.checkpoint.load_state(state)
    for name in ("prediction", "base_lora"):
        del kept["identity"][name]
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


def test_training_can_start_from_a_lora_that_has_no_state(train, output_folder, state):
    first = load_file(output_folder / "loras" / "hand.safetensors")
    (output_folder / "loras" / "hand.safetensors").rename(output_folder / "loras" / "found.safetensors")
    still = train(tiny_sd3(), 1, "more", resume="found", rate=1e-12)
    assert all(torch.allclose(still.tensors[key], first[key], atol=1e-6) for key in first)
    assert any("Started from the LoRA" in note for note in still.notes)


def test_an_average_of_another_length_begins_anew_and_one_of_the_same_goes_on(train, output_folder):
    with pytest.raises(CANCEL):
        train(tiny_sd3(), 8, "averaged", stop_after=4, ema_length=0.1)
    other = train(tiny_sd3(), 8, "averaged", resume="averaged", ema_length=0.05)
    assert any("average is of another length" in note for note in other.notes)
    whole = train(tiny_sd3(), 8, "uncut", ema_length=0.1)
    with pytest.raises(CANCEL):
        train(tiny_sd3(), 8, "again", stop_after=4, ema_length=0.1)
    assert same(train(tiny_sd3(), 8, "again", resume="again", ema_length=0.1).tensors, whole.tensors)


def test_the_newest_state_of_a_run_is_named_by_the_run_and_an_older_one_by_its_step(pack, output_folder):
    checkpoint = pack.nodes.training.disk.checkpoint
    old, new = (checkpoint.state_path("hand", step) for step in (3, 6))
    for path in (old, new):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert [checkpoint.resume_name(path) for path in (old, new)] == ["hand/step_00000003", "hand"]
    assert [checkpoint.find_state(checkpoint.resume_name(path)) for path in (old, new)] == [old, new]
