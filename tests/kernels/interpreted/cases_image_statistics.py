"""The statistics kernels in Triton's interpreter: run by test_triton_interpreted.py in a process of its own."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.image_statistics import image_statistics

MARGIN = 5000


def guarded(rgb):
    """The picture amid bytes of another picture, which would count if they were read."""
    raw = torch.randint(0, 256, (rgb.numel() + 2 * MARGIN,), dtype=torch.uint8)
    return raw[MARGIN:-MARGIN].view(rgb.shape).copy_(rgb)


def picture(batch, height, width, smooth, seed):
    rgb = torch.randint(0, 256, (batch, 3, height, width), generator=torch.Generator().manual_seed(seed)).float()
    if smooth:
        rgb = torch.nn.functional.avg_pool2d(rgb, 7, 1, 3)
    return rgb.round().byte()


def assert_equal(found, expected):
    for name, mine, right in zip(expected._fields, found, expected, strict=True):
        if right.dtype == torch.int64:
            assert torch.equal(mine, right), name
        else:
            # Sums of 2048 numbers in single precision, in another order.
            assert torch.allclose(mine, right, rtol=1e-6, atol=1e-6 if name in ("mean", "covariance") else 1e-3), name


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.integers(1, 2), st.integers(3, 40), st.integers(3, 140), st.booleans(), st.integers(0, 10 ** 6))
def test_every_count_is_that_of_torch(batch, height, width, smooth, seed):
    rgb = guarded(picture(batch, height, width, smooth, seed))
    assert_equal(image_statistics(rgb, "triton"), image_statistics(rgb, "torch"))


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)])
def test_pictures_of_one_colour(colour):
    rgb = torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 20, 20).contiguous()
    assert_equal(image_statistics(rgb, "triton"), image_statistics(rgb, "torch"))


def test_all_levels_of_each_channel_convert_to_the_same_bits():
    ramp = torch.arange(256, dtype=torch.uint8)
    rgb = torch.stack((ramp.repeat(16), ramp.flip(0).repeat(16), ramp.repeat_interleave(16))).view(1, 3, 64, 64)
    assert_equal(image_statistics(rgb, "triton"), image_statistics(rgb, "torch"))
