"""A small VAE, a text encoder and folders of pictures, as the tests of training sets share them."""
import pytest
import torch
from PIL import Image


@pytest.fixture(scope="module")
def training(pack):
    return pack.nodes.training


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    import comfy.sd
    import vae as written
    return comfy.sd.VAE(sd=written.write_down())


@pytest.fixture(scope="module")
def clip(host):
    import comfy.sd
    import text as written
    return comfy.sd.load_text_encoder_state_dicts([written.write_down()], clip_type=comfy.sd.CLIPType.SD3)


def picture(path, size=(96, 64), colour=(200, 30, 60), **save):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **save)


@pytest.fixture
def folder(tmp_path):
    for name, size in (("a", (96, 64)), ("b", (64, 96)), ("c", (300, 200))):
        picture(tmp_path / f"{name}.png", size)
        (tmp_path / f"{name}.txt").write_text(f"red, {name}, sheet, plain\n", encoding="utf-8")
    return tmp_path


def collected(training, vae, clip, folder="", images=(), captions=(), mask=(), default="", regular="", before=(),
              vision=None, **plan):
    """(what the Training Set node makes, the progress it told)"""
    plan = training.data.preparation.Preparation(**{"resolution": 64, **plan})
    steps = []
    with torch.inference_mode():
        sources, notes = training.data.sources.settled(
            str(folder), list(images), list(captions), list(mask), list(before), default, str(regular), plan.masks,
            clips=training.data.clips.clip_plan(plan.frames, plan.fps, plan.clips))
        made = training.data.preparation.prepare(sources, vae, clip, plan,
                                                 lambda done, total: steps.append((done, total)), notes,
                                                 vision=vision)
    return made, steps
