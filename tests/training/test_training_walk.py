"""A new user's walk through the real executor, with the starter: folders that are wrong, Cancel at every phase, runs
side by side. After each the model samples bit for bit as before and every file is whole."""
import itertools
import threading
from operator import attrgetter
from pathlib import Path

import comfy.model_management
import pytest
import torch
from PIL import Image
from real_host import GraphError
from safetensors.torch import load_file
from training_models import ModelSink, caption, latents

TRAIN = dict(steps=4, batch_size=2, learning_rate=1e-3, rank=2, seed=3, name="hand")
numbers = itertools.count()
RECIPE = dict(validation_pictures=1, validation_every=2, checkpoint_every=2, sample_every=2, sample_steps=1)


WORDS = {"words": {"class_type": "PrimitiveString", "inputs": {"value": "things"}}}


@pytest.fixture
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pictures")
    pictures(made, 4)
    return made


def pictures(folder, count):
    for i in range(count):
        Image.new("RGB", (64, 64), (9 * i, 60, 200)).save(folder / f"{i:02}.png")
        (folder / f"{i:02}.txt").write_text(f"thing {i}", encoding="utf-8")


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


@pytest.fixture
def graph(starter, folder):
    """graph(train={...}, recipe={...}, set={...}): the workshop's first half, small."""
    def made(train=(), recipe=(), **of_set):
        return {
            "model": node("UNETLoader", unet_name=starter.MODEL, weight_dtype="default"),
            "clip": node("CLIPLoader", clip_name=starter.TEXT, type="sd3"),
            "vae": node("VAELoader", vae_name=starter.VAE),
            "prompt": node("CLIPTextEncode", text="a thing", clip=["clip", 0]),
            "set": node("BottegaTrainingSet", **{"vae": ["vae", 0], "clip": ["clip", 0], "folder": str(folder),
                                                 "resolution": 32, **of_set}),
            "recipe": node("BottegaRecipe", **{**RECIPE, **dict(recipe)}),
            "train": node("BottegaTrainLora", **{
                "model": ["model", 0], "dataset": ["set", 0], "recipe": ["recipe", 0], "sample_prompts": ["prompt", 0],
                "vae": ["vae", 0], **TRAIN, **dict(train)}),
        }
    return made


def output(patcher):
    """The model's denoised latents for a fixed input, as sampling computes them."""
    comfy.model_management.load_models_gpu([patcher])
    (text, options), = caption(0, 77, 4096, 2048)
    with torch.inference_mode():
        return patcher.model.apply_model(latents(2), torch.tensor([0.3, 0.8]), c_crossattn=text.repeat(2, 1, 1),
                                         y=options["pooled_output"].repeat(2, 1)).clone()


@pytest.fixture(autouse=True)
def as_before(host, graph, monkeypatch, output_folder):
    """The model that the graphs train on samples afterwards as before, and no file is half written."""
    name = f"WalkTestModelSink{next(numbers)}"         # a new name each time, or the executor's cache answers
    monkeypatch.setitem(host.nodes.NODE_CLASS_MAPPINGS, name, ModelSink)
    host.run({"model": graph()["model"], "take": node(name, model=["model", 0])})
    patcher = ModelSink.taken.pop()
    before = output(patcher)
    yield
    assert torch.equal(output(patcher), before)
    assert not any("forward" in vars(module) for module in patcher.model.modules())
    assert torch.overrides._get_current_function_mode_stack() == []
    assert not comfy.model_management.in_training
    for path in output_folder.rglob("*"):
        assert path.suffix != ".tmp"
        if path.suffix == ".safetensors":
            assert all(tensor.isfinite().all() for tensor in load_file(path).values())


def saved(output_folder):
    return sorted(path.stem for path in (output_folder / "loras").glob("*"))


def test_the_walk_without_a_stumble(host, graph, output_folder):
    shown, ran = host.run(graph())
    assert "train" in ran and "**4 steps on 4 pictures**" in shown["train"]["text"][0]
    assert saved(output_folder) == ["hand"]


# Where in the pack a person's Cancel falls, at which call; and what is kept of it.
PHASES = {
    "encoding pictures": ("data.encoded_picture", "_latent", 2, []),
    "encoding captions": ("data.captions.Encoder", "__call__", 2, []),
    "checking gradients": ("step.selfcheck._Probe", "_backward", 1, []),
    "encoding the data set": ("step.session.Session", "_encode", 2, []),
    "a step": ("step.session.Session", "take_step", 2, ["hand_interrupted"]),
    "validating": ("step.validation.Validation", "measure", 1, ["hand_interrupted"]),
    "drawing samples": ("monitoring.sample_pictures.Samples", "_sample", 2, ["hand_interrupted"]),
    "writing a state": ("disk.checkpoint_schedule", "save_state", 1, ["hand_interrupted"]),
    "writing the LoRA": ("disk.trained_file", "save", 1, ["hand"]),
}


@pytest.mark.parametrize("phase", PHASES)
def test_cancel_at_every_phase(host, pack, graph, monkeypatch, output_folder, phase):
    where, what, at_call, kept = PHASES[phase]
    owner = attrgetter(where)(pack.nodes.training)
    original, calls = getattr(owner, what), []

    def with_cancel(*args, **kwargs):
        calls.append(1)
        if len(calls) == at_call:
            comfy.model_management.interrupt_current_processing()
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, what, with_cancel)
    prompt = graph()
    prompt["after"] = node("PreviewAny", source=["train", 3])       # what would go on, if it could
    with pytest.raises(GraphError) as ended:
        host.run(prompt)
    assert "exception_message" not in str(ended.value)              # a Cancel, no error
    assert len(calls) >= at_call and saved(output_folder) == kept
    assert (output_folder / "training").exists() == bool(kept) or not list((output_folder / "training").iterdir())
    monkeypatch.undo()
    if phase in ("a step", "writing a state"):
        assert host.run(graph(train={"resume": "hand"}))[0]["train"]["text"][0].startswith("**4 steps")


def emptied(folder):
    for path in folder.iterdir():
        path.unlink()


STUMBLES = {
    "an empty folder": (emptied, {}, "set", "folder: expected at least one picture"),
    "a missing caption": (lambda f: (f / "02.txt").unlink(), {}, "set", "1 of 4 have none (02.png)"),
    "a mask of another size": (lambda f: Image.new("L", (9, 9)).save(f / "01_mask.png"), {"masks": "files"}, "set",
                               "masks: expected a mask of 64 x 64 pixels for 01.png, got 9 x 9."),
    "all held out": (lambda f: None, {"recipe": {"validation_pictures": 4}}, "train",
                     "validation_pictures: expected fewer than the 4 pictures"),
    "a run that is not there": (lambda f: None, {"train": {"resume": "nothing"}}, "train",
                                "resume: expected the name of a run"),
}


@pytest.mark.parametrize("stumble", STUMBLES)
def test_what_is_wrong_is_one_sentence_on_its_node(host, graph, folder, output_folder, stumble):
    spoil, changes, place, sentence = STUMBLES[stumble]
    spoil(folder)
    with pytest.raises(GraphError) as error:
        host.run(graph(**changes))
    assert error.value.args[0]["node_id"] == place and sentence in error.value.args[0]["exception_message"]
    assert not list(output_folder.glob("*/*"))


@pytest.mark.parametrize("targets, sentence", [
    ("L99=4", "targets: "), ("default=0", 'targets: "default=0" leaves no layer of SD3 to train.')])
def test_targets_that_match_nothing(host, graph, output_folder, targets, sentence):
    prompt = graph(train={"adapter": ["shape", 0]})
    prompt["shape"] = node("BottegaAdapter", algorithm="LoRA", rank=2, alpha=0.0, targets=targets)
    with pytest.raises(GraphError) as error:
        host.run(prompt)
    assert error.value.args[0]["node_id"] == "train" and sentence in error.value.args[0]["exception_message"]
    assert not list(output_folder.glob("*/*"))


def test_one_unreadable_picture_among_40_is_named_and_left_out_only_when_asked(host, graph, folder):
    pictures(folder, 40)
    (folder / "23.png").write_bytes((folder / "23.png").read_bytes()[:60])
    with pytest.raises(GraphError) as error:
        host.run(graph(captions=["words", 0]) | WORDS)
    assert "folder: 23.png cannot be read as a picture" in error.value.args[0]["exception_message"]
    prompt = graph(unreadable="skip", captions=["words", 0]) | WORDS
    del prompt["train"]
    shown, _ = host.run({**prompt, "report": node("PreviewAny", source=["set", 1])})
    assert "39 pictures" in shown["report"]["text"][0] and "Left out: folder: 23.png" in shown["report"]["text"][0]


def test_two_trainings_of_one_name_in_one_graph(host, graph, output_folder):
    prompt = graph()
    prompt["other"] = node("BottegaTrainLora", **{**prompt["train"]["inputs"], "seed": 4})
    shown, _ = host.run(prompt)
    assert saved(output_folder) == ["hand", "hand_00001"]
    assert {Path(p).name for p in (output_folder / "training").iterdir()} == {"hand", "hand_00001"}
    assert all("4 steps on 4 pictures" in shown[name]["text"][0] for name in ("train", "other"))


def test_no_two_runs_take_one_folder(pack, output_folder):
    checkpoint, taken = pack.nodes.training.disk.checkpoint, []
    start = threading.Barrier(8)

    def take():
        start.wait()
        taken.append(checkpoint.claim_run_folder("hand"))

    runs = [threading.Thread(target=take) for _ in range(8)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(taken) == ["hand", *(f"hand_{i:05}" for i in range(1, 8))]
    checkpoint.remove_empty_run_folder("hand")
    (checkpoint.state_folder("hand_00001") / "kept").write_bytes(b"")
    checkpoint.remove_empty_run_folder("hand_00001")
    assert len(list((output_folder / "training").iterdir())) == 7


def test_a_folder_that_cannot_be_written_to_is_told_before_the_first_step(host, graph, output_folder):
    (output_folder / "training").write_bytes(b"a file where the folder should be")
    with pytest.raises(GraphError) as error:
        host.run(graph())
    assert "name: no folder for the states of hand could be made in " in error.value.args[0]["exception_message"]
    assert not saved(output_folder)
