"""The measures against the reference implementation's numbers, and against cases whose answer is known."""
import json
import math
from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
GOLDEN = json.loads(Path(__file__).with_name("critique_golden.json").read_text(encoding="utf-8"))
ORDPY = ("Permutation entropy", "Statistical complexity")
# Two of chelsea's edge points tie exactly for the last place among the 10,000 strongest, and four places answer two
# orientations exactly alike. The toolbox lets rounding errors decide these ties; the pack counts both points.
TIED = {("chelsea", "1st-order EOE"): 1e-5, ("chelsea", "2nd-order EOE"): 1e-4}


@pytest.fixture
def picture(critique):
    def make(pixels, dtype=torch.float64):
        return critique.picture.planes.Picture.from_images(torch.as_tensor(pixels)[None], dtype)
    return make


def photograph(name):
    data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image")
    return torch.from_numpy(getattr(data, name)()).float() / 255


@pytest.fixture(scope="module", params=["astronaut", "coffee", "chelsea"])
def measured(request, critique):
    """A photograph measured in both precisions."""
    image = photograph(request.param)[None]
    return request.param, {dtype: critique.measures.measure(critique.picture.planes.Picture.from_images(image, dtype))
                           for dtype in (torch.float64, torch.float32)}


def test_float64_equals_the_toolbox(measured, critique):
    name, found = measured
    for column in (*critique.measures.TOOLBOX, *ORDPY):
        tolerance = TIED.get((name, column), 1e-9)
        value = found[torch.float64][column].item()
        assert value == pytest.approx(GOLDEN[name][column], rel=0, abs=tolerance), column


def test_float32_is_within_a_thousandth(measured, critique):
    name, found = measured
    assert all(value.dtype == torch.float32 for value in found[torch.float32].values())
    for column in (*critique.measures.TOOLBOX, *ORDPY):
        assert found[torch.float32][column].item() == pytest.approx(GOLDEN[name][column], rel=1e-3), column


def test_both_precisions_agree_on_the_measures_without_a_golden_number(measured, critique):
    _, found = measured
    for column in critique.measures.OTHERS:
        exact = found[torch.float64][column].item()
        assert found[torch.float32][column].item() == pytest.approx(exact, rel=1e-3, abs=1e-4), column


def test_the_golden_numbers_are_those_of_the_project():
    shared = SHARED / "golden_measures.json"
    if not shared.is_file():
        pytest.skip(f"{shared} is not on this machine; the numbers carried in critique_golden.json are used")
    published = json.loads(shared.read_text(encoding="utf-8"))
    names = {"rms_contrast": "RMS contrast", "balance": "Balance", "eoe2": "2nd-order EOE", "mirror": "Mirror symmetry",
             "phog_selfsim": "Self-similarity (PHOG)", "phog_complexity": "Complexity", "fd3": "3D Fractal dimension",
             "phog_anisotropy": "Anisotropy", "fourier_sigma": "Fourier sigma", "fd2": "2D Fractal dimension",
             "slope_spehar": "Slope Spehar", "slope_mather": "Slope Mather", "fourier_slope_redies": "Slope Redies",
             "cnn_variability": "Variability", "cnn_sparseness": "Sparseness", "cnn_selfsim": "Self-similarity (CNN)",
             "perm_entropy": "Permutation entropy", "stat_complexity": "Statistical complexity",
             "lightness_entropy": "Luminance entropy", "hue_entropy": "Color entropy", "homogeneity": "Homogeneity",
             "eoe1": "1st-order EOE", "edge_density": "Edge density"}
    several = {"std_lab": ("std L channel", "std a channel", "std b channel (Lab)"),
               "mean_lab": ("mean L channel", "mean a channel", "mean b channel (Lab)"),
               "mean_rgb": ("mean R channel", "mean G channel", "mean B channel (RGB)"),
               "mean_hsv_SV": ("mean S channel", "mean V channel"), "hue_circ": ("mean H channel", "std H channel"),
               "dcm": ("DCM distance", "DCM x position", "DCM y position"),
               "cnn_sym_lr_ud_lrud": ("CNN symmetry left-right", "CNN symmetry up-down",
                                      "CNN symmetry left-right & up-down")}
    saliency = {"specres_mean", "specres_centroid_xy"}  # OpenCV's: see test_saliency_is_that_of_opencv
    for picture in ("astronaut", "coffee"):
        assert set(published[picture]) - saliency == {*names, *several}
        for theirs, ours in names.items():
            assert GOLDEN[picture][ours] == pytest.approx(published[picture][theirs], rel=0, abs=1e-12), ours
        for theirs, ours in several.items():
            found = [GOLDEN[picture][column] for column in ours]
            assert found == pytest.approx(published[picture][theirs], rel=0, abs=1e-12), ours


def test_a_batch_measures_as_its_pictures_alone(critique):
    images = torch.rand(2, 40, 56, 3, generator=torch.Generator().manual_seed(1))
    Picture, measure = critique.picture.planes.Picture, critique.measures.measure
    together = measure(Picture.from_images(images))
    alone = [measure(Picture.from_images(image)) for image in images.split(1)]
    for column, values in together.items():
        assert values.shape == (2,), column
        expected = torch.cat([single[column] for single in alone])
        assert torch.allclose(values, expected, rtol=1e-12, atol=1e-15), column


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_one_flat_colour_has_a_defined_answer_everywhere(picture, critique, level):
    found = critique.measures.measure(picture(torch.full((32, 48, 3), level)))
    assert all(math.isfinite(value.item()) for value in found.values())
    for column in ("RMS contrast", "Luminance entropy", "Edge density", "Color entropy", "std S channel", "Complexity",
                   "1st-order EOE", "2nd-order EOE", "Permutation entropy", "Statistical complexity", "std H channel",
                   "Otsu separability", "Coherence", "Obliqueness", "Repetition", "2D Fractal dimension", "Anisotropy",
                   "Slope Redies", "Slope Spehar", "Slope Mather", "Colorfulness", "Complementary contrast",
                   "Leading direction", "Slant"):
        assert found[column].item() == pytest.approx(0, abs=1e-6), column
    for column, value in {"Homogeneity": 100, "Mirror symmetry": 100, "Symmetry left-right": 1, "Saliency entropy": 1,
                          "Saliency peak share": 0.05, "Harmony i": 1, "Harmony width": 0.05}.items():
        assert found[column].item() == pytest.approx(value, rel=1e-3), column


def test_grey_and_transparent_pictures_measure_like_their_rgb(picture, critique):
    grey = torch.rand(24, 24, 1, generator=torch.Generator().manual_seed(2))
    rgb = grey.expand(-1, -1, 3)
    expected = critique.measures.measure(picture(rgb))
    for same in (grey, torch.cat((rgb, torch.zeros(24, 24, 1)), 2)):
        assert critique.measures.measure(picture(same)) == expected


@pytest.mark.parametrize("shape", [(16, 16), (16, 200), (17, 31), (33, 16), (48, 50), (101, 99)])
def test_small_and_odd_pictures_have_finite_answers(picture, critique, shape):
    noise = torch.rand(*shape, 3, generator=torch.Generator().manual_seed(7))
    for column, value in critique.measures.measure(picture(noise)).items():
        assert math.isfinite(value.item()), column


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_the_slope_of_noise_is_twice_its_exponent(picture, critique, exponent):
    axis = torch.fft.fftfreq(1024, dtype=torch.float64)
    radius = torch.hypot(axis[:, None], axis[None])
    radius[0, 0] = 1
    noise = torch.randn(1024, 1024, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    plane = torch.fft.ifft2(torch.fft.fft2(noise) * radius ** -exponent).real
    plane = 0.5 + plane / (12 * plane.std())
    slope = critique.measures.spectrum.slope_redies(picture(plane[..., None].float()))
    assert slope.item() == pytest.approx(-2 * exponent, abs=0.1)


def test_a_blob_is_found_where_it_lies(picture, critique):
    y, x = torch.meshgrid(torch.arange(100.0), torch.arange(200.0), indexing="ij")
    # Light on dark: the weight is the grey itself. Right of the middle by a quarter of the width.
    blob = torch.exp(-((x - 149.5) ** 2 + (y - 49.5) ** 2) / 200)[..., None]
    # The published fulcrum is rounded to whole pixels, counted from 1: here half a pixel further right and down.
    off_x, off_y = 1 / 200, 1 / 100
    found = critique.measures.balance.dcm_distance(picture(blob))
    assert found.item() == pytest.approx(200 * math.hypot(0.25 + off_x, off_y))
    centred = torch.exp(-((x - 99.5) ** 2 + (y - 49.5) ** 2) / 200)[..., None]
    found = critique.measures.balance.dcm_distance(picture(centred))
    assert found.item() == pytest.approx(200 * math.hypot(off_x, off_y))


def test_a_mirrored_picture_balances_and_keeps_its_symmetry_when_turned(picture, critique):
    half = torch.rand(40, 24, 3, generator=torch.Generator().manual_seed(4))
    mirrored = torch.cat((half, half.flip(1)), 1)
    fulcrum = critique.measures.balance.fulcrum(picture(mirrored))
    assert fulcrum[0, 0].item() == pytest.approx(0.5, abs=1.1 / 48)
    symmetry = critique.measures.symmetry.mirror_symmetry
    assert symmetry(picture(mirrored)).item() == pytest.approx(symmetry(picture(mirrored.transpose(0, 1))).item())
    assert symmetry(picture(mirrored)) > symmetry(picture(torch.cat((half, half.roll(7, 0)), 1)))


def test_stripes_have_fewer_edge_directions_than_a_wheel(picture, critique):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    stripes = (torch.sin(40 * x) > 0).float()[..., None]
    wheel = (torch.sin(16 * torch.atan2(y, x)) > 0).float()[..., None]
    entropy = critique.measures.edges.first_order_eoe
    assert entropy(picture(stripes)).item() < 2 < 4 < entropy(picture(wheel)).item() <= math.log2(24)


@pytest.mark.parametrize("shape, sentence", [
    ((1, 1, 3), "images: expected at least 16 x 16 pixels, got 1 x 1"),
    ((400, 20, 3), "images: expected a longer side of at most 16 times the shorter, got 20 x 400 pixels"),
    ((32, 32, 2), "images: expected 1 (grey), 3 (RGB) or 4 (RGBA) channels, got 2"),
])
def test_what_cannot_be_measured_gives_one_sentence(picture, shape, sentence):
    with pytest.raises(ValueError) as error:
        picture(torch.zeros(shape))
    assert str(error.value) == sentence


def test_not_a_number_is_refused(picture):
    with pytest.raises(ValueError, match="^images: expected numbers from 0 to 1, got NaN or infinity$"):
        picture(torch.full((16, 16, 3), float("nan")))


@pytest.mark.parametrize("at_once", [1 << 16, 7])
def test_pairs_are_counted_as_one_by_one(pack, monkeypatch, at_once):
    monkeypatch.setattr(pack.kernels.oriented_pairs, "PAIRS_AT_ONCE", at_once)
    torch.manual_seed(5)
    number, near, far, orientations = 40, 3, 12, 24
    y, x = torch.randint(0, 20, (2, number))
    orientation, weight = torch.randint(0, orientations, (number,)), torch.rand(number, dtype=torch.float64)
    expected = torch.zeros(far - near, 2 * orientations, orientations, dtype=torch.float64)
    for i in range(number):
        for j in range(number):
            distance = round(math.hypot(y[j] - y[i], x[j] - x[i]))
            if near <= distance < far:
                turn = math.atan2(y[j] - y[i], x[j] - x[i]) / (2 * math.pi) * 48 + 2 * orientation[i].item()
                relative = (orientation[j] - orientation[i]).item() % orientations
                expected[distance - near, round(turn) % 48, relative] += weight[i] * weight[j]
    counted = pack.kernels.oriented_pairs.oriented_pairs(y, x, orientation, weight, (20, 20), near, far, orientations)
    assert torch.allclose(counted, expected, rtol=1e-12, atol=1e-12)


def test_every_density_sums_to_its_measure(picture, critique):
    subject = picture(photograph("astronaut")[100:260, 60:301])
    for column, density in critique.measures.densities.DENSITIES.items():
        # The fulcrum is published to the whole pixel; the density is not rounded.
        tolerance = 200 / 160 if column == "DCM distance" else 1e-9
        value = critique.measures.MEASURES[column](subject).item()
        assert density(subject).sum().item() == pytest.approx(value, rel=0, abs=tolerance), column
    for column, density in critique.measures.densities.LACKS.items():
        lacks = 1 - critique.measures.MEASURES[column](subject).item()
        assert density(subject).sum().item() == pytest.approx(lacks, rel=0, abs=1e-9), column


def test_the_map_of_likeness_is_bright_where_the_halves_differ(picture, critique):
    plane = torch.zeros(64, 96, 3)
    plane[:, 20:76] = 0.5                       # a mirror image of itself
    plane[8:16, 80:88] = 1.0                    # but for this
    differs = critique.measures.densities.LACKS["Likeness left-right"](picture(plane))[0]
    rows, columns = (differs > 0).nonzero().unbind(1)
    assert rows.max() < 64 * 18 / 64 and {*columns.tolist()} <= {*range(3, 13), *range(51, 61)}


def test_the_density_of_a_square_covers_its_diagonals(picture, critique):
    subject = picture(photograph("chelsea")[:90, :90])
    density = critique.measures.densities.DENSITIES["Mirror symmetry"](subject)
    assert density.sum().item() == pytest.approx(critique.measures.symmetry.mirror_symmetry(subject).item(), abs=1e-9)
