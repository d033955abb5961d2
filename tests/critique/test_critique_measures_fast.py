"""The quick ways that measures take, against the plain ones that they stand for."""
import math

import pytest
import torch


@pytest.fixture(scope="module")
def measures(critique):
    return critique.measures


def test_the_direction_of_every_gradient_there_can_be_is_that_of_float64(measures):
    levels = torch.arange(-510, 511, dtype=torch.int32)
    down, right = torch.meshgrid(levels, levels, indexing="ij")
    turn = torch.atan2(down.double(), right.double()) / (2 * math.pi) + 0.5
    assert torch.equal(measures.phog.direction(down, right).long(), (turn * 16 + 0.5).long() % 16)


@pytest.mark.parametrize("size, last", [(16, None), (17, None), (64, 20), (65, 20)])
@pytest.mark.parametrize("power", [1, 2])
def test_rings_are_means_over_frequencies_of_one_radius(measures, size, last, power):
    plane = torch.rand(1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    strength = torch.fft.fft2(plane - plane.mean())[0].abs() ** power
    place = torch.fft.fftfreq(size, 1 / size).round() - size % 2      # one step off with odd sides, as published
    radius = torch.hypot(place[:, None], place[None]).round()
    expected = torch.stack([strength[radius == ring].mean() for ring in range(last or size // 2)])
    found = measures.spectrum.rings(plane, power, last)[0, :len(expected)]
    assert torch.allclose(found[1:], expected[1:], rtol=1e-12, atol=0)


def test_a_square_of_mean_grey_around_a_picture_need_not_be_made(measures):
    grey = torch.randint(0, 256, (1, 40, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    square = grey.double().mean().round().repeat(1, 64, 64)
    square[:, 12:52] = grey
    found = measures.spectrum.rings(measures.spectrum.above_mean(grey, torch.float64, 64), 2, 20, 64)
    assert torch.allclose(found[:, 1:], measures.spectrum.rings(square, 2, 20)[:, 1:], rtol=1e-10, atol=1e-6)


@pytest.mark.parametrize("shape", [(40, 64), (41, 64), (64, 41), (33, 33), (16, 200)])
def test_leans_are_sums_over_the_parts_of_each_division(measures, shape):
    mass = torch.randint(0, 256, (2, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    parts = measures.lean.divisions(*shape, dtype=torch.float64)
    expected = torch.stack([(mass.double() * part).sum((1, 2)) for part in parts], 1)
    assert torch.equal(measures.lean._divided(mass).double(), expected)


def test_cube_roots_have_every_digit(critique):
    values = torch.cat((torch.rand(10_000, dtype=torch.float64), torch.tensor([1.0, 1e-9, 1.0886])))
    roots = critique.picture.colour_spaces.cube_root(values)
    assert torch.allclose(roots ** 3, values, rtol=1e-14, atol=1e-18)


def test_edges_are_those_of_the_plain_filters(critique):
    fields = critique.picture.edge_field
    grey = torch.randint(0, 256, (1, 300, 400), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    bank = fields.gabor_bank()
    rim = fields.mirrored(grey.double(), 15)[:, None, 100:180, 100:200]
    plain = torch.nn.functional.conv2d(rim, torch.cat((bank, -bank)).flip(1, 2)[:, None]).mul(1e4).round().div(1e4)
    found = fields.edge_field(grey, torch.float64)
    assert torch.equal(found.response[0, 100:150, 100:170], plain[0].amax(0))
    best = plain[0].gather(0, found.orientation[:, 100:150, 100:170])
    assert torch.equal(best[0], plain[0].amax(0))


def test_gradients_are_of_the_channel_that_differs_most(measures):
    lab = torch.randint(0, 256, (3, 40, 50), dtype=torch.int16, generator=torch.Generator().manual_seed(4))
    lab[:, 10:20] = lab[:1, 10:20]      # where all differ alike
    plain = []
    for change in torch.gradient(lab.double() * 2, dim=(1, 2)):
        most, least = change.amax(0), change.amin(0)
        plain.append(torch.where(-least > most, least, most).int())
    whole, (lengths, directions) = measures.phog._continued(lab), measures.phog._gradients(torch.float64, lab.device)
    place = torch.cat([measures.phog._gradient(whole, slice(first, min(first + 16, 40))) for first in (0, 16, 32)])
    assert torch.equal(lengths[place], sum(side.double() ** 2 for side in plain).sqrt() / 2)
    assert torch.equal(directions[place].int(), measures.phog.direction(*plain))


@pytest.mark.parametrize("side", [16, 17])
def test_mixed_blocks_are_neither_dark_nor_light(measures, side):
    dark = torch.rand(2, side, side, generator=torch.Generator().manual_seed(side)) < 0.6
    blocks = dark.unfold(1, 2, 2).unfold(2, 2, 2).flatten(3)
    assert torch.equal(measures.fractal._mixed_blocks(dark), blocks.any(3) & ~blocks.all(3))
