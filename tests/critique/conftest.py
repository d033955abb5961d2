"""What the tests of the critique share."""
import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def critique(pack):
    return pack.nodes.critique


@pytest.fixture(scope="module")
def phrases(critique):
    return critique.explain.phrases


@pytest.fixture(scope="module")
def measured(critique):
    """Measures of a drawn grey plane [H, W] or colour [H, W, 3], 0..1, as the critique takes them, at its own size."""
    def of(plane, columns=None):
        pixels = torch.as_tensor(np.asarray(plane), dtype=torch.float32)
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
        picture = critique.picture.planes.Picture.from_images(pixels[None])
        return {name: value.item() for name, value in critique.measures.measure(picture, columns=columns).items()}

    return of


@pytest.fixture(scope="module")
def measured_small(pack):
    """Pictures are measured at 128 pixels instead of 1024, where it matters what is done and not what comes out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack.nodes.critique.examination, "CANONICAL", 128)
        yield
