"""Pairs of pictures that any teacher would order: the measures must order them the same way.

The pairs follow an idea of Autocritic (Kevin McCoy, MIT), whose critics are tried on a strong and a weak example of
each concept; these are drawn here, by formulas.
"""
import pytest
import torch

H, W = 96, 128


def grid():
    return torch.meshgrid(torch.linspace(-0.75, 0.75, H), torch.linspace(-1, 1, W), indexing="ij")


def noise(seed, scale=1):
    plane = torch.rand(1, 1, H // scale, W // scale, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(plane, size=(H, W), mode="bicubic")[0, 0].clamp(0, 1)


def grey(plane):
    return plane.clamp(0, 1)[..., None].expand(-1, -1, 3)


def disc(x0, y0, radius):
    y, x = grid()
    return ((x - x0) ** 2 + (y - y0) ** 2 < radius ** 2).float()


def notan():
    """Two interlocking masses against greys that form none."""
    y, x = grid()
    return grey((torch.sin(3 * x) * 0.4 > y).float() * 0.9 + 0.05), grey(0.45 + 0.1 * noise(1, 8))


def balance():
    """Unlike weights that hold each other against all the weight in a corner (dark on light)."""
    return (grey(0.9 - 0.8 * torch.maximum(disc(-0.5, 0, 0.32), torch.maximum(disc(0.45, 0.3, 0.22),
                                                                             disc(0.5, -0.3, 0.22)))),
            grey(0.9 - 0.8 * disc(-0.65, -0.4, 0.3)))


def painterly():
    """Soft patches against hard outlines."""
    return grey(noise(2, 16)), grey((noise(2, 16) * 5).floor() % 2)


def diagonal():
    """Oblique strokes against level and plumb ones."""
    y, x = grid()
    return (grey((torch.sin(18 * (x + y)) > 0).float()),
            grey(((torch.sin(18 * x) > 0) ^ (torch.sin(18 * y) > 0)).float()))


def regular():
    """A pattern with a beat against the same marks scattered."""
    y, x = grid()
    marks = torch.zeros(H, W)
    random = torch.Generator().manual_seed(3)
    for _ in range(48):
        top, left = (int(torch.randint(0, side - 8, (1,), generator=random)) for side in (H, W))
        marks[top:top + 8, left:left + 8] = 1
    beat = ((torch.arange(H)[:, None] // 8 % 2 == 0) & (torch.arange(W)[None] // 8 % 2 == 0)).float()
    return grey(beat), grey(marks)


def symmetric():
    """Mirrored halves against halves of their own."""
    plane = noise(4, 8)
    return grey(torch.cat((plane[:, :W // 2], plane[:, :W // 2].flip(1)), 1)), grey(plane)


def colourful():
    """Many strong colours against one muted one."""
    y, x = grid()
    hue = torch.stack((torch.sin(3 * x), torch.sin(3 * x + 2.1), torch.sin(3 * x + 4.2)), 2) * 0.5 + 0.5
    return hue, torch.lerp(torch.full_like(hue, 0.5), torch.tensor((0.6, 0.5, 0.4)).expand_as(hue), 0.5)


def harmonious():
    """Two opposite hues against hues all around the circle."""
    y, x = grid()
    pair = torch.where((x > 0)[..., None], torch.tensor((0.9, 0.5, 0.1)), torch.tensor((0.1, 0.5, 0.9)))
    return pair * (0.8 + 0.2 * noise(5, 8))[..., None], colourful()[0]


def dominant():
    """One bright accent on a quiet ground against accents of one rank all over."""
    y, x = grid()
    many = sum(disc(a, b, 0.08) for a in (-0.75, -0.25, 0.25, 0.75) for b in (-0.5, 0, 0.5))
    return grey(0.2 + 0.7 * disc(0.3, -0.2, 0.16)), grey(0.2 + 0.7 * many)


def graded():
    """A full scale of tones against three flat ones."""
    y, x = grid()
    return grey((x + 1) / 2 * 0.9 + 0.05), grey(((x + 1) * 1.5).floor().clamp(0, 2) / 2 * 0.9 + 0.05)


def deep():
    """Contrast and colour that fade upwards into the distance against the same all over."""
    y, x = grid()
    near = ((y + 0.75) / 1.5)[..., None]
    scene = torch.stack((0.5 + 0.4 * (noise(6) - 0.5), 0.4 + 0.4 * (noise(7) - 0.5), 0.3 + 0.4 * (noise(8) - 0.5)), 2)
    haze = torch.tensor((0.7, 0.75, 0.8)).expand_as(scene)
    return torch.lerp(haze, scene, near), torch.lerp(haze, scene, 0.5)


PAIRS = {
    "notan": (notan, "RMS contrast", 1), "notan masses": (notan, "Otsu separability", 1),
    "balance": (balance, "DCM distance", -1), "balance of halves": (balance, "Balance", -1),
    "painterly": (painterly, "Edge density", -1), "diagonal": (diagonal, "Obliqueness", 1),
    "one direction": (diagonal, "Coherence", 1), "beat": (regular, "Repetition", 1),
    "unrelated edges": (regular, "2nd-order EOE", -1), "symmetry": (symmetric, "Symmetry left-right", 1),
    "rich colour": (colourful, "mean S channel", 1), "many hues": (colourful, "Color entropy", 1),
    "harmony": (harmonious, "Harmony width", -1), "harmony of opposites": (harmonious, "Harmony I", 1),
    "emphasis": (dominant, "Saliency entropy", -1), "one mass": (dominant, "Homogeneity", -1),
    "gradation": (graded, "Luminance entropy", 1), "aerial contrast": (deep, "Height contrast", 1),
    "aerial colour": (deep, "Height saturation", 1), "aerial warmth": (deep, "Height warmth", 1),
}


def measured(critique, image, column):
    picture = critique.picture.planes.Picture.from_images(image[None])
    if column in critique.measures.MEASURES:
        return critique.measures.MEASURES[column](picture).item()
    return critique.measures.pictorial_depth.measure(picture)[column]


@pytest.mark.parametrize("name", PAIRS)
def test_the_measure_orders_the_pair(critique, name):
    draw, column, sign = PAIRS[name]
    strong, weak = (measured(critique, image, column) for image in draw())
    assert sign * (strong - weak) > 0, f"{column}: {strong:.4g} against {weak:.4g}"
