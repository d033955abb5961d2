"""Nodes that draw many pictures, on two processes against one, and whatever goes wrong on the other one."""
import asyncio
import json
import re
from pathlib import Path
from types import SimpleNamespace

import folder_paths
import psutil
import pytest
import torch
from real_host import GraphError
from safetensors.torch import save_file
from studio_graphs import node, sampler_graph, uneven_lora, write_lora

TROUBLE = '''
"""A MODEL that makes trouble at one forward pass in every process but the first; at 0 it is another model there."""
import multiprocessing
import os
import signal


class Trouble:
    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "apply", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "kind": ("STRING", {}), "at": ("INT", {})}}

    def apply(self, model, kind, at):
        if multiprocessing.parent_process() is None or not kind:
            return (model,)
        model, passes = model.clone(), []

        def called(apply, given):
            passes.append(1)
            if kind == "another" or len(passes) == at and kind == "kill":
                if kind == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                return apply(given["input"], given["timestep"], **given["c"]) * 1.1
            if len(passes) == at:
                raise KeyError("something in a node's patch")
            return apply(given["input"], given["timestep"], **given["c"])
        model.set_model_unet_function_wrapper(called)
        return (model,)


class Seeing:
    """The host's CLIP vision class with random weights, as CLIPVisionLoader gives it."""
    RETURN_TYPES, FUNCTION, CATEGORY = ("CLIP_VISION",), "load", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def load(self):
        import runpy
        return (runpy.run_path(TINY)["tiny_clip_vision"](),)


TINY = "tests/critique/tiny_clip_vision.py"
NODE_CLASS_MAPPINGS = {"TestSamplingTrouble": Trouble, "TestSeeing": Seeing}
'''


class AnyType(str):
    def __ne__(self, other):
        return False


class Keep:
    """Keeps what it is given."""
    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "keep", "test", True
    KEPT: dict = {}

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"name": ("STRING", {}), "value": (AnyType("*"), {})}}

    def keep(self, name, value):
        self.KEPT[name] = value
        return {}


@pytest.fixture(scope="module")
def trouble(host, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs") / "sampling_trouble"
    folder.mkdir()
    tiny = Path(__file__).resolve().parents[1] / "critique" / "tiny_clip_vision.py"
    (folder / "__init__.py").write_text(TROUBLE.replace("tests/critique/tiny_clip_vision.py", tiny.as_posix()),
                                        encoding="utf-8")
    assert asyncio.run(host.nodes.load_custom_node(str(folder)))


@pytest.fixture
def run(host, starter, trouble, monkeypatch):
    """run(graph of a node, names of its outputs by number) -> (what the outputs gave, its report)."""
    monkeypatch.setitem(host.nodes.NODE_CLASS_MAPPINGS, "TestKeep", Keep)

    def run(own, outputs, kind="", at=0, before=None):
        graph = sampler_graph(starter, "euler", 2)
        graph["loader"], graph["model"] = graph["model"], node("TestSamplingTrouble", model=["loader", 0], kind=kind,
                                                               at=at)
        graph |= (before or {}) | {"own": own} | {name: node("TestKeep", name=name, value=["own", number])
                                 for name, number in outputs.items()}
        shown, _ = host.run(graph)
        return dict(Keep.KEPT), shown["own"]["text"][0]
    yield run
    Keep.KEPT.clear()
    assert not ranks(), "a process was left behind"


def ranks():
    """The processes of ranks; multiprocessing keeps a tracker of its own beside them."""
    return [each for each in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(each.cmdline())]


def best_of(devices, count=3, rubric="*=0; Balance=1", **inputs):
    return node("BottegaBestOf", count=count, keep=2, seed=5, rubric=rubric, guider=["guider", 0],
                sampler=["sampler", 0], sigmas=["sigmas", 0], latent_image=["size", 0], vae=["vae", 0],
                devices=devices, **inputs)


PICTURES = {"pictures": 0, "latent": 1}


def drawing(kind, devices, **inputs):
    return node(kind, model=["model", 0], positive=["words", 0], negative=["words", 0], latent_image=["size", 0],
                vae=["vae", 0], seed=3, sampling_steps=2, cfg=1.0, sampler_name="euler", scheduler="kl_optimal",
                rubric="*=0; Balance=1", devices=devices, **inputs)


def on_one_and_two(run, make, outputs):
    """What the outputs give, the same on one process and on two."""
    alone, plain = run(make("1"), outputs)
    both, told = run(make("2"), outputs)
    told, devices = told.rsplit("\n\n", 1)
    assert told == plain
    assert re.fullmatch(r"Drawn on 2 devices, .* a \w+ took \S+ s on rank 0, and 2 came every \S+ s\.", devices)
    return alone, both


@pytest.fixture(scope="module")
def lora(host, loaded):
    return write_lora(host, uneven_lora(loaded.model, 0.05, 0.01), "shared_sampling.safetensors")


@pytest.fixture
def head(host, tmp_path):
    """A head of a learned score in models/classifiers."""
    weight = torch.randn(1, 32, generator=torch.Generator().manual_seed(1))
    save_file({"weight": weight, "bias": torch.zeros(1)}, tmp_path / "shared_head.safetensors")
    folder_paths.add_model_folder_path("classifiers", str(tmp_path), is_default=True)
    yield "shared_head.safetensors"
    folder_paths.folder_names_and_paths["classifiers"][0].remove(str(tmp_path))


def test_best_of_n_gives_the_bits_of_one_process_with_a_learned_score_that_each_makes(run, head):
    before = {"seeing": node("TestSeeing"),
              "learned": node("BottegaLearnedScore", clip_vision=["seeing", 0], head=head)}
    alone, both = on_one_and_two(
        lambda own, outputs: run(own, outputs, before=before),
        lambda devices: best_of(devices, rubric="*=0; Balance=1; learned=1", reference=["learned", 2]), PICTURES)
    assert len(alone["pictures"]) == 2 and torch.equal(alone["pictures"], both["pictures"])
    assert torch.equal(alone["latent"]["samples"], both["latent"]["samples"])


def test_a_grid_gives_the_bits_of_one_process(run, lora):
    alone, both = on_one_and_two(run, lambda devices: drawing(
        "BottegaLoraGrid", devices, loras=lora, strengths="0.5, 1, 2", blocks="", seeds=1),
        {"images": 5, "data": 7})
    assert len(alone["images"]) == 3 and torch.equal(alone["images"], both["images"])
    assert alone["data"] == both["data"]


def test_block_effect_and_tune_blocks_find_what_one_process_finds(run, lora):
    alone, both = on_one_and_two(run, lambda devices: drawing(
        "BottegaBlockEffect", devices, lora_name=lora, strength_model=1.0, groups="J00; J01", mode="solo", seeds=1),
        {"data": 4})
    assert json.loads(alone["data"]) and alone["data"] == both["data"]
    alone, both = on_one_and_two(run, lambda devices: drawing(
        "BottegaTuneBlocks", devices, lora_name=lora, strength_model=1.0, groups="J00; J01", budget=4, seeds=2,
        held_out=1, method="coordinate"), {"blocks": 0, "data": 4})
    assert alone == both and json.loads(both["data"])


def test_cancel_reaches_the_other_process_and_keeps_what_is_done(run, cancelling):
    with cancelling("own", 2, 6):
        kept, report = run(best_of("2", count=6), PICTURES)
    assert len(kept["pictures"]) == 2 and "Cancelled after 2 of 6 pictures" in report


@pytest.mark.parametrize("kind, at, sentence", [
    ("kill", 3, "rank 1 (CPU process 1) was killed (SIGKILL)"),
    ("raise", 3, "devices: rank 1: KeyError: \"something in a node's patch\""),
    ("another", 0, "model: on rank 1 it answers otherwise than on rank 0"),
])
def test_a_rank_that_fails_ends_the_node_in_a_sentence(run, kind, at, sentence):
    with pytest.raises(GraphError) as failed:
        run(best_of("2"), PICTURES, kind, at)
    assert sentence in failed.value.args[0]["exception_message"]


@pytest.mark.parametrize("node_id, joins", [("7", True), ("3", False)])
def test_a_rank_joins_in_the_node_that_it_was_started_for_alone(module, node_id, joins):
    """Another one that stands before it, and any after a training of torchrun, draws for itself."""
    joining, store = module("training.distributed.joining"), torch.distributed.HashStore()
    asked = module("training.distributed.local_group").Asked(
        "2", False, 1, torch.device("cpu"), SimpleNamespace(unique_id=node_id), {})
    with joining.launched(1, 2, store, node_id="7"), joining.team_that_draws(asked, 8) as team:
        assert (team is not None) == joins
