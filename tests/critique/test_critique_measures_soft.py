"""The differentiable measures: their gradients are right, finite on hard pictures, and they follow the measures."""
import pytest
import torch
import torch.nn.functional as F

FOLLOWS = 0.9


@pytest.fixture(scope="module")
def crops():
    """32 pieces of three photographs in different exposures and strengths of colour, [32, 128, 128, 3]."""
    data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image")
    generator, pieces = torch.Generator().manual_seed(1), []
    for number in range(32):
        photograph = torch.from_numpy(getattr(data, ("astronaut", "coffee", "chelsea")[number % 3])()).float() / 255
        y, x = (torch.randint(0, size - 128, (), generator=generator).item() for size in photograph.shape[:2])
        piece, (gamma, colour) = photograph[y:y + 128, x:x + 128], torch.rand(2, generator=generator).tolist()
        piece = torch.lerp(piece.mean(2, keepdim=True), piece, 0.2 + 0.8 * colour) ** (0.6 + 1.2 * gamma)
        pieces.append(piece.roll(number % 4, 2) if number % 2 else piece)
    return torch.stack(pieces)


def columns(critique):
    return list(critique.measures.soft.SOFT)


def test_the_marked_measures_are_measures(critique):
    assert set(columns(critique)) <= set(critique.measures.MEASURES)
    assert len(columns(critique)) >= 20


@pytest.mark.parametrize("size", [(66, 72), (66, 66)])  # a square has diagonals
def test_every_gradient_is_that_of_finite_differences(critique, size):
    image = torch.rand(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    image = (image * 0.9 + 0.05).requires_grad_()
    for column, function in critique.measures.soft.SOFT.items():
        assert function(image).shape == (1,), column
        # Fast mode compares along a random direction; a failing function would be differentiated pixel by pixel.
        assert torch.autograd.gradcheck(function, image, eps=1e-6, atol=1e-7, rtol=1e-3, fast_mode=True), column


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_gradients_are_finite_where_a_picture_is_flat(critique, level):
    for column, function in critique.measures.soft.SOFT.items():
        image = torch.full((1, 3, 40, 40), level, requires_grad=True)
        function(image).sum().backward()
        assert image.grad.isfinite().all(), column


def test_each_follows_its_measure_on_photographs(critique, crops):
    soft, found = critique.measures.soft.SOFT, {}
    hard = critique.picture.planes.Picture.from_images(crops)
    with torch.no_grad():
        for column, function in soft.items():
            pair = torch.stack((function(crops.movedim(-1, 1).double()), critique.measures.MEASURES[column](hard)))
            found[column] = torch.corrcoef(pair)[0, 1].item()
    assert {column: value for column, value in found.items() if value < FOLLOWS} == {}


@pytest.mark.parametrize("size", [(64, 64), (64, 80)])
def test_a_dark_shape_without_soft_edges_is_folded_as_published(critique, size):
    dark = torch.rand(3, *size, 1, generator=torch.Generator().manual_seed(4)) < 0.6
    images = (~dark).double().expand(-1, -1, -1, 3)
    soft = critique.measures.soft.SOFT["Mirror symmetry"](images.movedim(-1, 1))
    hard = critique.measures.MEASURES["Mirror symmetry"](critique.picture.planes.Picture.from_images(images))
    assert torch.allclose(soft, hard, atol=0.01)


def test_grain_hardly_pulls_at_symmetry(critique):
    """A thing on one side of a grainy picture: what lies around it would drown its slope, if all pulled alike."""
    plane = 0.7 + 0.01 * torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(5))
    plane[:, :, 20:40, 6:22] = 0.2
    image = plane.expand(-1, 3, -1, -1).clone().requires_grad_()
    critique.measures.soft.SOFT["Symmetry left-right"](image).sum().backward()
    slope = image.grad.sum(1).abs()[0]
    assert slope[:16].mean() < 0.2 * slope[20:40, 6:22].mean()


@pytest.mark.parametrize("height, width", [(64, 64), (48, 64), (67, 41), (80, 1100)])
def test_the_spectrum_of_an_enlarged_picture_is_read_from_the_small_one(critique, height, width):
    """The large picture made in full is the witness; its rim jumps from side to side."""
    plane = torch.rand(2, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).cumsum(2)
    scale = 1024 / max(height, width)
    size = int(height * scale), int(width * scale)
    large = F.interpolate(plane[:, None], size, mode="bicubic", antialias=True)[:, 0]
    wanted = critique.measures.spectrum.rings(F.pad(large, (0, 1024 - size[1], 0, 1024 - size[0])), 2)[:, 1:257]
    found = critique.measures.soft_spectrum.enlarged_rings(plane, 1024, 256)[:, 1:]
    assert torch.allclose(found, wanted, rtol=1e-8, atol=0)


def test_a_step_along_the_gradient_moves_the_measure_itself(critique, crops):
    """What guidance will do: the soft form is followed, the published measure has to go the same way."""
    for column in ("DCM distance", "Symmetry left-right", "RMS contrast", "mean S channel", "Colorfulness"):
        image = crops[:1].movedim(-1, 1).clone().requires_grad_()
        critique.measures.soft.SOFT[column](image).sum().backward()
        step = 0.02 * image.grad.sign()
        measure = critique.measures.MEASURES[column]
        before, after = (
            measure(critique.picture.planes.Picture.from_images((image + way * step).detach().movedim(1, -1)))
            for way in (-1, 1)
        )
        assert after > before, column
