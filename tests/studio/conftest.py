"""The starter, loaded for what needs no graph."""
import importlib
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS / "training"), str(TESTS / "critique")]     # their models


@pytest.fixture(scope="session")
def loaded(starter):
    """model, clip and vae as the host's loaders give them; `encode(prompt)` makes CONDITIONING."""
    import torch

    import nodes
    with torch.inference_mode():
        model, = nodes.UNETLoader().load_unet(starter.MODEL, "default")
        clip, = nodes.CLIPLoader().load_clip(starter.TEXT, "sd3")
        vae, = nodes.VAELoader().load_vae(starter.VAE)

    def encode(prompt):
        with torch.inference_mode():
            return nodes.CLIPTextEncode().encode(clip, prompt)[0]

    return SimpleNamespace(model=model, clip=clip, vae=vae, encode=encode)


@pytest.fixture(scope="module")
def measured_small(pack, studio):
    """Pictures are measured at 128 pixels instead of 1024: it matters what is done and not what comes out."""
    studio("prompt_critic.sampled_prompts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack.nodes.critique.examination, "CANONICAL", 128)
        yield


@pytest.fixture
def cancelling(host, monkeypatch):
    """`with cancelling(node, value):` presses Cancel when the node's bar, of `most` where it has several, is there."""
    import comfy.model_management
    send = host.server.send_sync

    @contextmanager
    def cancelling(node_id, value, most=None):
        def watched(event, data, sid=None):
            send(event, data, sid)
            here = event == "progress" and (data["node"], data["value"]) == (node_id, value)
            if here and most in (None, data["max"]):
                comfy.model_management.interrupt_current_processing()
        with monkeypatch.context() as patch:
            patch.setattr(host.server, "send_sync", watched)
            yield
    return cancelling


@pytest.fixture(scope="session")
def studio(pack):
    """A module of the room by its name."""
    return lambda name: importlib.import_module(f"{pack.__name__}.nodes.studio.{name}")


@pytest.fixture(scope="session")
def module(pack):
    """A module of any room, such as `module("critique.score.judge")`."""
    return lambda name: importlib.import_module(f"{pack.__name__}.nodes.{name}")


@pytest.fixture(scope="session")
def parse(module):
    """The rubric of a text."""
    return module("critique.rubric.rubric_language").parse


@pytest.fixture(scope="session")
def paintings(module):
    """The reference of the 1,629 paintings."""
    return module("critique.reference.distributions").paintings()
