"""Colour and neighbourhood statistics in torch, against their definitions in double precision."""
import importlib
import math

import pytest
import torch


@pytest.fixture(scope="module")
def statistics(pack):
    return importlib.import_module(f"{pack.__name__}.kernels.image_statistics")


@pytest.fixture(scope="module")
def directions(pack):
    return importlib.import_module(f"{pack.__name__}.kernels.orientation_histogram")


@pytest.fixture(scope="module")
def oklab(pack):
    return importlib.import_module(f"{pack.__name__}.kernels.oklab")


def picture(batch=2, height=40, width=56):
    """Smooth colours, so that gradients, hues and flat places all occur."""
    rgb = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(4)) * 4 - 1.5
    return (torch.nn.functional.avg_pool2d(rgb, 9, 1, 4) * 2).clamp(0, 1).mul(255).round().byte()


def exact_oklab(module, rgb):
    """float64 [3, N] by the published formula."""
    level = rgb.double() / 255
    linear = torch.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92)
    lms, lab = (torch.tensor(matrix, dtype=torch.float64) for matrix in (module.LMS, module.LAB))
    return lab @ (lms @ linear) ** (1 / 3)


def test_oklab_is_the_published_one_all_over_srgb(oklab):
    step = torch.arange(0, 256, 3, dtype=torch.uint8)
    rgb = torch.cartesian_prod(step, step, step).t().contiguous()
    exact = exact_oklab(oklab, rgb)
    assert (oklab.oklab(rgb).double() - exact).abs().max() < 2e-6
    assert 0 <= exact[0].min() and exact[0].max() < 1.00001 and exact[1:].abs().max() < 0.33
    assert (oklab.oklab(torch.zeros(3, 4, dtype=torch.uint8)) == 0).all()


def test_moments_equal_those_of_double_precision(statistics, oklab):
    rgb = picture()
    found = statistics.image_statistics(rgb)
    for number, one in enumerate(rgb):
        lab = exact_oklab(oklab, one.flatten(1))
        mean, centred = lab.mean(1), lab - lab.mean(1, keepdim=True)
        covariance = torch.cov(lab, correction=0)
        deviation = covariance.diagonal().sqrt()
        assert torch.allclose(found.mean[number], mean, atol=2e-6)
        assert torch.allclose(found.covariance[number], covariance, atol=1e-6)
        assert torch.allclose(found.skewness[number], (centred ** 3).mean(1) / deviation ** 3, atol=1e-3)
        assert torch.allclose(found.kurtosis[number], (centred ** 4).mean(1) / deviation ** 4, atol=2e-3)


def test_histograms_equal_those_of_the_exact_colours_away_from_the_edges_of_bins(statistics, oklab):
    rgb = picture(1)
    found = statistics.image_statistics(rgb)
    lab = exact_oklab(oklab, rgb[0].flatten(1))
    for name, plane, low, high, bins in (("lightness", lab[0], 0, 1, 64), ("a", lab[1], -0.4, 0.4, 32),
                                         ("b", lab[2], -0.4, 0.4, 32)):
        at = (plane - low) / (high - low) * bins
        near = ((at - at.round()).abs() < 1e-3).sum()
        expected = torch.bincount(at.long().clamp(0, bins - 1), minlength=bins)
        assert (getattr(found, name)[0] - expected).abs().sum() <= 2 * near
        assert getattr(found, name).sum() == rgb[0, 0].numel()


def test_hues_are_directions_of_what_has_colour(statistics, oklab):
    rgb = picture(1)
    lab = exact_oklab(oklab, rgb[0].flatten(1))
    chroma, angle = torch.hypot(lab[1], lab[2]), torch.atan2(lab[2], lab[1])
    at = (angle / (2 * math.pi) * 24).round().long() % 24
    unsure = (chroma - 0.02).abs() < 0.001
    unsure |= ((angle / (2 * math.pi) * 24 % 1) - 0.5).abs() < 0.1
    expected = torch.bincount(at[chroma >= 0.02], minlength=24)
    found = statistics.image_statistics(rgb).hue[0]
    assert (found - expected).abs().sum() <= 2 * unsure.sum() < 0.6 * chroma.numel()
    assert (found > 0).sum() > 12


def test_orientations_are_those_of_sobels_filter(statistics):
    rgb = picture(1)
    grey = (19595 * rgb[:, 0].int() + 38470 * rgb[:, 1].int() + 7471 * rgb[:, 2].int() + 0x8000) >> 16
    sobel = torch.tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=torch.float64)
    x, y = torch.nn.functional.conv2d(grey[:, None].double(), torch.stack((sobel, sobel.t()))[:, None])[0]
    at = (torch.atan2(y, x) / math.pi * 24).round().long() % 24
    expected = torch.bincount(at[torch.hypot(x, y) >= 32], minlength=24)
    assert torch.equal(statistics.image_statistics(rgb).orientation[0], expected)
    assert (expected > 0).sum() > 18


@pytest.mark.parametrize("steps", [8, 24, 48])
def test_directions_are_those_of_the_arc_tangent(directions, steps):
    axis = torch.arange(-60, 61, dtype=torch.int32)
    x, y = (plane.flatten() for plane in torch.meshgrid(axis, axis, indexing="ij"))
    exact = torch.atan2(y.double(), x.double()) / (2 * math.pi) * steps
    clear = ((exact % 1) - 0.5).abs() > 1e-3
    found = directions.direction(x, y, steps)
    assert torch.equal(found[clear], (exact.round().int() % steps)[clear]) and clear.float().mean() > 0.99
    table = directions.direction_table(60, steps, steps // 2, 25, torch.device("cpu"))
    looked_up = directions.look_up(table, x, y)
    assert torch.equal(looked_up, torch.where(x * x + y * y >= 25, found % (steps // 2), steps // 2).byte())
    assert directions.look_up(table, torch.tensor([900]), torch.tensor([0])) == 0


def test_neighbourhoods_are_those_of_patterns(statistics, pack):
    patterns, rgb = importlib.import_module(f"{pack.__name__}.kernels.ordinal_patterns"), picture()
    found = statistics.image_statistics(rgb)
    grey, summed = (torch.stack(planes) for planes in zip(*map(statistics.grey_and_sum, rgb), strict=True))
    assert torch.equal(summed, rgb.sum(1).short())
    assert torch.equal(grey.int(), (19595 * rgb[:, 0].int() + 38470 * rgb[:, 1].int() + 7471 * rgb[:, 2].int()
                                    + 0x8000) >> 16)
    assert torch.equal(found.ordinal, patterns.ordinal_patterns(rgb.double().mean(1).mul(3).round()))
    assert torch.equal(found.cooccurrence, patterns.cooccurrence(grey // 16))
    assert torch.equal(found.mirrored, patterns.mirrored_difference(grey))


def test_the_size_of_the_strips_changes_no_count(statistics, monkeypatch):
    rgb = picture(1)
    whole = statistics.image_statistics(rgb)
    monkeypatch.setattr(statistics, "STRIP", 100)
    for name, mine, right in zip(whole._fields, statistics.image_statistics(rgb), whole, strict=True):
        assert torch.equal(mine, right) if right.dtype == torch.int64 else torch.allclose(mine, right, atol=1e-3), name


def test_the_statistics_of_a_flat_picture_are_finite(statistics):
    found = statistics.image_statistics(torch.full((1, 3, 20, 20), 200, dtype=torch.uint8))
    assert all(part.isfinite().all() for part in found)
    assert not found.skewness.any() and not found.orientation.any() and not found.hue.any()


@pytest.mark.parametrize("wrong", [torch.zeros(1, 3, 8, 8), *(torch.zeros(shape, dtype=torch.uint8) for shape in (
    (3, 8, 8), (1, 4, 8, 8), (1, 3, 2, 8), (0, 3, 8, 8)))])
def test_what_is_no_picture_is_refused(statistics, wrong):
    with pytest.raises(ValueError, match=r"rgb: expected uint8 \[B, 3, H, W\] of at least 3 x 3 pixels, got"):
        statistics.image_statistics(wrong)
