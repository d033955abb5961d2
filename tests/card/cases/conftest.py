"""The host with the pretended card as its device, from the first model on; graphs as the templates have them.

With BOTTEGA_DEVICE=gpu (`python dev.py test --gpu`) the same cases run on the real one, and nothing is counted.
"""
import os
import sys
from contextlib import nullcontext
from copy import deepcopy
from itertools import count
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
sys.path += [str(TESTS / name) for name in ("card", "training", "critique", "studio", "lora")]

REAL = os.environ.get("BOTTEGA_DEVICE") == "gpu"
MODES = ("resident", "low VRAM", "offloaded between nodes")


@pytest.fixture(scope="session", autouse=True)
def device(host, pack):
    """The card: everything after this happens on it."""
    from card_host import add_test_nodes, install
    add_test_nodes(host.nodes)
    with pytest.MonkeyPatch.context() as patch, nullcontext() if REAL else install(patch):
        import comfy.model_management
        for module in (pack.kernels.flat_optimizer, pack.nodes.training.step.optimizers):
            patch.setattr(module, "FUSED_DEVICES", ("cpu", "cuda", "card"))     # as a real card is one
        yield comfy.model_management.get_torch_device()


@pytest.fixture
def card():
    """What the pretended card counts, from nothing on."""
    if REAL:
        pytest.skip("a real card counts nothing")
    from pretended_card import CARD
    CARD.forget()
    return CARD


@pytest.fixture(params=MODES)
def mode(request, host, monkeypatch):
    """How the host holds its models; each begins with none on the card."""
    import comfy.model_management
    from card_host import offload_between_nodes, unload
    unload()
    if request.param == "low VRAM":     # no weight stays on the card: each is brought for its layer alone
        monkeypatch.setattr(comfy.model_management, "vram_state", comfy.model_management.VRAMState.NO_VRAM)
    elif request.param == "offloaded between nodes":
        offload_between_nodes(host, monkeypatch)
    yield request.param
    unload()


@pytest.fixture(scope="session")
def run(host):
    """run(graph): its ui outputs. What has a seed gets a new one and runs anew; what was loaded stays loaded."""
    seeds = count(1)

    def run(graph):
        graph = deepcopy(graph)
        for node in graph.values():
            if "seed" in node["inputs"]:
                node["inputs"]["seed"] = next(seeds)
        return host.run(graph)[0]
    return run


@pytest.fixture(scope="session")
def base(starter):
    """The starter's loaders, prompts and an empty latent: model, clip, vae, words, empty, size."""
    from studio_graphs import PROMPT, loaders, node
    return loaders(starter) | {
        "words": node("CLIPTextEncode", text=PROMPT, clip=["clip", 0]),
        "empty": node("CLIPTextEncode", text="", clip=["clip", 0]),
        "size": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
    }


@pytest.fixture(scope="session")
def taught(base):
    """Two pictures with captions as a data set: `set`."""
    from studio_graphs import node
    return base | {
        "red": node("EmptyImage", width=128, height=128, batch_size=1, color=0xCC3322),
        "grey": node("EmptyImage", width=128, height=128, batch_size=1, color=0x808080),
        "pair": node("ImageBatch", image1=["red", 0], image2=["grey", 0]),
        "latents": node("VAEEncode", pixels=["pair", 0], vae=["vae", 0]),
        "set": node("BottegaCoreTrainingSet", latents=["latents", 0], positive=["words", 0]),
    }
