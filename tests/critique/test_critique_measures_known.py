"""Measures on pictures whose answer is known, and against the libraries that define the same thing."""
import math

import numpy as np
import pytest
import torch

HUE_0, HUE_180 = (1.0, 0.0, 0.0), (0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def measure(critique):
    """measure(pixels [H, W, C], column) -> number."""
    def number(pixels, column):
        picture = critique.picture.planes.Picture.from_images(torch.as_tensor(pixels, dtype=torch.float32)[None])
        return critique.measures.MEASURES[column](picture).item()
    return number


def photograph(name):
    data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image")
    return getattr(data, name)()


def painted(*colours, size=32):
    """Equal stripes of plain colours, [size, size, 3]."""
    return torch.tensor(colours).repeat_interleave(size // len(colours), 0).expand(size, -1, -1)


def wheel(number=360):
    """Every hue once at full saturation."""
    import colorsys
    return torch.tensor([[colorsys.hsv_to_rgb(hue / number, 1, 1) for hue in range(number)]] * 32)


def grid(size=64):
    return torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")


def test_one_hue_fits_every_template(measure, critique):
    for template in critique.measures.harmony.TEMPLATES:
        assert measure(painted(HUE_0), f"Harmony {template}") == pytest.approx(1)
    assert measure(painted(HUE_0), "Harmony width") == pytest.approx(0.05)


def test_opposite_hues_fit_the_templates_with_opposite_sectors(measure):
    pair = painted(HUE_0, HUE_180)
    for template in "ITYX":
        assert measure(pair, f"Harmony {template}") == pytest.approx(1), template
    assert measure(pair, "Harmony i") == pytest.approx(0, abs=0.01)
    assert measure(pair, "Harmony width") == pytest.approx(0.1)


def test_the_distance_of_even_hues_is_that_of_the_published_templates(critique):
    distances = critique.measures.harmony.distances(torch.float64).mean(1)
    assert distances.tolist() == pytest.approx([81.0, 49.1, 35.1, 35.1, 36.4, 22.4, 21.3, 10.3], abs=0.5)


def test_every_hue_alike_fits_no_template(measure, critique):
    for template in critique.measures.harmony.TEMPLATES:
        assert measure(wheel(), f"Harmony {template}") == pytest.approx(0, abs=0.03), template
    assert measure(wheel(), "Harmony width") == 1


def test_complements_contrast_and_one_hue_or_all_do_not(measure):
    assert measure(painted(HUE_0, HUE_180), "Complementary contrast") == pytest.approx(1)
    assert measure(painted(HUE_0), "Complementary contrast") == pytest.approx(0, abs=1e-9)
    assert measure(wheel(), "Complementary contrast") == pytest.approx(0, abs=0.01)


def test_orange_is_warm_and_blue_is_cold(measure):
    orange, blue, grey = (painted(colour) for colour in ((1.0, 0.5, 0.0), (0.0, 0.3, 1.0), (0.5, 0.5, 0.5)))
    assert measure(orange, "Mean warmth") > 0.5 and measure(blue, "Mean warmth") < -1
    assert measure(grey, "Mean warmth") == pytest.approx(-0.5, abs=0.01)
    assert measure(painted((1.0, 0.5, 0.0), (0.0, 0.3, 1.0)), "Warm-cold contrast") > 1


def test_white_noise_is_disorder_and_a_ramp_is_order(measure):
    noise = torch.rand(512, 512, 3, generator=torch.Generator().manual_seed(1))
    assert measure(noise, "Permutation entropy") > 0.999 and measure(noise, "Statistical complexity") < 0.002
    ramp = (grid(16)[0] * 16 + grid(16)[1])[..., None] / 255
    assert measure(ramp, "Permutation entropy") == measure(ramp, "Statistical complexity") == 0


def test_two_values_part_wholly_and_all_values_by_three_quarters(measure):
    assert measure(painted((0.0,) * 3, (1.0,) * 3), "Otsu separability") == pytest.approx(1)
    ramp = (torch.arange(256.0) / 255)[None, :, None].expand(64, -1, 3)
    assert measure(ramp, "Otsu separability") == pytest.approx(0.75, abs=0.001)


def test_the_dark_share_is_the_share_of_the_dark(measure):
    pixels = torch.ones(60, 60, 1)
    pixels[:20] = 0
    assert measure(pixels, "Dark share") == pytest.approx(1 / 3)


def test_a_mirrored_picture_is_symmetric_though_the_published_symmetry_is_low(measure):
    half = torch.rand(40, 24, 3, generator=torch.Generator().manual_seed(2))
    mirrored = torch.cat((half, half.flip(1)), 1)
    assert measure(mirrored, "Symmetry left-right") == 1 and measure(mirrored, "Symmetry up-down") < 0.9
    assert measure(mirrored.transpose(0, 1), "Symmetry up-down") == 1
    assert measure(mirrored, "Mirror symmetry") < 60


def test_stripes_move_one_way_and_slant_shows(measure):
    y, x = grid(256)
    upright, slanted = ((torch.sin(way / 4) + 1)[..., None] / 2 for way in (x, (x + y) / math.sqrt(2)))
    assert measure(upright, "Coherence") > 0.95 and measure(slanted, "Coherence") > 0.95
    assert measure(upright, "Obliqueness") < 0.05 and measure(slanted, "Obliqueness") > 0.9
    noise = torch.rand(256, 256, 1, generator=torch.Generator().manual_seed(3))
    assert measure(noise, "Coherence") < 0.5
    assert measure(noise, "Obliqueness") == pytest.approx(2 / math.pi, abs=0.1)


def test_a_pattern_repeats_and_noise_does_not(measure):
    y, x = grid(256)
    dots = (torch.sin(x / 5) * torch.sin(y / 5))[..., None] / 2 + 0.5
    noise = torch.rand(256, 256, 1, generator=torch.Generator().manual_seed(4))
    assert measure(dots, "Repetition") > 0.9 > 0.2 > measure(noise, "Repetition")


def test_a_disc_is_compact_and_lace_is_not(measure):
    y, x = grid(200)
    disc = (torch.hypot(y - 100, x - 100) > 60).float()[..., None]
    lace = ((x // 2 + y // 2) % 2)[..., None]
    assert measure(disc, "Compactness") == pytest.approx(1, abs=0.1) and measure(lace, "Compactness") < 0.05


def test_a_lone_spot_on_a_crossing_of_the_thirds_is_found_there(measure):
    y, x = grid(192)
    calm = 0.02 * torch.rand(192, 192, generator=torch.Generator().manual_seed(5)) + 0.3
    at = {place: (calm + torch.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 60) * 0.6)[..., None]
          for place in ((64, 64), (96, 96))}
    assert measure(at[64, 64], "Power point share") > 1.4 * measure(at[96, 96], "Power point share")
    assert measure(at[64, 64], "Thirds distance") < measure(at[96, 96], "Thirds distance")


@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_perimeter_and_structure_tensor_are_those_of_scikit_image(critique, name):
    feature, measured = (pytest.importorskip(f"skimage.{part}") for part in ("feature", "measure"))
    grey = np.array(photograph(name).mean(2), dtype=np.uint8)
    dark = grey < 100
    ours = critique.measures.shape.perimeter(torch.from_numpy(dark)).item()
    assert ours == pytest.approx(measured.perimeter(dark, 4), rel=1e-12)
    plane = torch.from_numpy(grey / 255)
    theirs = feature.structure_tensor(plane.numpy(), sigma=2, mode="nearest", order="rc")
    for found, expected in zip(critique.measures.movement.structure(plane[None]),
                               (theirs[0], theirs[2], theirs[1]), strict=True):
        inner = np.s_[20:-20, 20:-20]  # scikit-image smooths what lies beyond the rim, the pack continues the picture
        ours = found[0].numpy()[inner] * 64  # scikit-image's Sobel weights sum to 8
        assert np.allclose(ours, expected[inner], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_saliency_is_that_of_opencv(critique, name):
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "saliency"):
        pytest.skip("OpenCV without its contributed modules has no saliency")
    from PIL import Image
    grey = np.asarray(Image.fromarray(photograph(name)).convert("L")).copy()
    made, theirs = cv2.saliency.StaticSaliencySpectralResidual_create().computeSaliency(
        cv2.resize(grey, (64, 64), interpolation=cv2.INTER_LINEAR))
    saliency = critique.measures.saliency
    ours = saliency.spectral_residual(saliency.small(torch.from_numpy(grey)[None]).double())[0].numpy()
    assert made and np.abs(ours - theirs).max() < 0.02  # OpenCV's resize is here and there a level apart
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_colourfulness_is_that_of_pyaesthetics(measure, name, tmp_path):
    colourfulness = pytest.importorskip("pyaesthetics.colorfulness")
    expected = {"astronaut": 72.605165, "coffee": 76.917910, "chelsea": 37.957360}[name]
    found = measure(photograph(name) / 255, "Colorfulness")
    assert found == pytest.approx(expected, abs=1e-5)
    assert found == pytest.approx(colourfulness.colorfulness_rgb(photograph(name)), rel=1e-9)


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_order_is_that_of_ordpy(measure, name):
    ordpy = pytest.importorskip("ordpy")
    pixels = photograph(name)[:120, :150]
    entropy, complexity = ordpy.complexity_entropy(pixels.mean(2), dx=2, dy=2)
    assert measure(pixels / 255, "Permutation entropy") == pytest.approx(entropy, abs=1e-9)
    assert measure(pixels / 255, "Statistical complexity") == pytest.approx(complexity, abs=1e-9)


def test_a_small_pure_accent_is_among_the_main_colours(critique):
    """One hundredth of vermilion on a field of greens and greys; the octree of old left it out."""
    generator = torch.Generator().manual_seed(8)
    field = torch.stack([torch.rand(200, 200, generator=generator) * spread + low
                         for low, spread in ((60, 90), (100, 80), (60, 80))]).round().to(torch.uint8)
    field[:, 90:110, 90:110] = torch.tensor((227, 66, 52), dtype=torch.uint8)[:, None, None]
    found = critique.picture.main_colours.swatches(critique.picture.planes.Picture(field[None]))
    assert len(found) == 8 and sum(each["share"] for each in found) == pytest.approx(1)
    assert [each["share"] for each in found] == sorted((each["share"] for each in found), reverse=True)
    red = [each for each in found if each["colour"][1:3] > "c0" and each["colour"][3:5] < "60"]
    assert red and red[0]["share"] == pytest.approx(0.01, abs=0.002)


def test_any_number_of_threads_gives_the_same_numbers_to_nine_digits(critique):
    pixels = torch.from_numpy(photograph("chelsea")[:160, :200].copy()).float()[None] / 255
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            picture = critique.picture.planes.Picture.from_images(pixels)
            found.append({column: value.item() for column, value in critique.measures.measure(picture).items()})
    finally:
        torch.set_num_threads(threads)
    for column, value in found[0].items():
        assert found[1][column] == pytest.approx(value, rel=1e-9, abs=1e-9), column
