"""The starter: installed where the host lists models, and loaded for what needs no graph."""
import importlib
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "starter"))


@pytest.fixture(scope="session")
def starter(host, tmp_path_factory):
    """starter/install.py, after it has installed the models: MODEL, TEXT and VAE are their names."""
    import folder_paths
    import install
    models = tmp_path_factory.mktemp("starter")
    install.install_models(models)
    for kind in ("vae", "text_encoders", "diffusion_models"):
        folder_paths.add_model_folder_path(kind, str(models / kind))
    return install


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
    studio("takes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack.nodes.critique.critic, "CANONICAL", 128)
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
