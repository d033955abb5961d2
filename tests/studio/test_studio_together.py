"""Two of a kind in one graph do not disturb each other, and what a node gives is decided by its inputs alone."""
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from studio_graphs import node, sampler_graph, uneven_lora, write_lora

pytestmark = pytest.mark.usefixtures("measured_small")


@pytest.fixture(scope="module")
def file(loaded, host):
    return write_lora(host, uneven_lora(loaded.model, 0.9, 0.04), "together.safetensors")


def guidance(name, file):
    """One guided, decoded sampling; the two ask for opposite things."""
    return {name: node("BottegaSteer", model=["model", 0], rubric={"a": "Balance=high", "b": "Balance=low"}[name],
                       strength=8.0, start=0.0, end=1.0, norm_limit=0.1, decoder="auto"),
            f"{name} sampled": node("KSampler", model=[name, 0], seed=3, steps=3, cfg=1.0, scheduler="simple",
                                    sampler_name="euler_ancestral", positive=["words", 0], negative=["words", 0],
                                    latent_image=["size", 0], denoise=1.0),
            f"{name} decoded": node("VAEDecode", samples=[f"{name} sampled", 0], vae=["vae", 0]),
            f"{name} shown": node("PreviewImage", images=[f"{name} decoded", 0])}


def best_of(name, file):
    return {name: node("BottegaBestOf", count=2, keep=2, seed={"a": 1, "b": 6}[name], rubric="*=0; Balance=1",
                       guider=["guider", 0], sampler=["sampler", 0], sigmas=["sigmas", 0], latent_image=["size", 0],
                       vae=["vae", 0]),
            f"{name} shown": node("PreviewImage", images=[name, 0])}


def tune(name, file):
    return {name: node("BottegaTuneBlocks", model=["model", 0], lora_name=file, strength_model=1.0, groups="J01",
                       budget=6, seeds=1, held_out=1, positive=["words", 0], negative=["words", 0],
                       latent_image=["size", 0], vae=["vae", 0], seed={"a": 1, "b": 6}[name], sampling_steps=2,
                       cfg=1.0, sampler_name="euler", scheduler="simple", rubric="*=0; Balance=1", method="auto"),
            f"{name} data": node("PreviewAny", source=[name, 4]),
            f"{name} shown": node("PreviewImage", images=[name, 3])}


def given(outputs, name):
    """Everything a node and those behind it showed: texts, and the pixels of pictures."""
    import folder_paths
    texts = [outputs[key]["text"] for key in sorted(outputs) if key.startswith(name) and outputs[key].get("text")]
    pixels = []
    for image in outputs[f"{name} shown"]["images"]:
        with Image.open(Path(folder_paths.get_temp_directory()) / image["subfolder"] / image["filename"]) as opened:
            pixels.append(np.asarray(opened.convert("RGB")).copy())
    return texts, pixels


def same(one, other):
    return one[0] == other[0] and len(one[1]) == len(other[1]) and all(map(np.array_equal, one[1], other[1]))


@pytest.mark.parametrize("make", [guidance, best_of, tune], ids=lambda make: make.__name__)
def test_two_give_together_what_each_gives_alone_in_a_fresh_host(host, starter, file, make):
    def run(*names):
        host.executor.reset()       # nothing is taken from the cache
        prompt = sampler_graph(starter, "euler_ancestral", 3)
        for name in names:
            prompt |= make(name, file)
        outputs, ran = host.run(deepcopy(prompt))
        assert set(names) <= set(ran)
        return [given(outputs, name) for name in names]

    state = torch.get_rng_state()
    both = run("a", "b")
    assert torch.equal(state, torch.get_rng_state()) or make is guidance    # KSampler itself sets torch's generator
    assert not same(*both)
    assert same(both[0], run("a")[0]) and same(both[1], run("b")[0])
