"""What kind of picture it is: said of each kind, and of no other."""
import numpy as np
import pytest
from drawn_planes import (
    SIDE,
    coloured,
    disc,
    graded,
    grained,
    scattered,
    sky_over_leaves,
    strokes,
    strokes_of_paint,
    with_shapes,
)

EMPTY = {"black": np.zeros((64, 64)), "white": np.ones((64, 64)), "one grey": np.full((64, 64), 0.4),
         "one colour": np.tile(np.array((0.8, 0.2, 0.1)), (64, 64, 1))}


@pytest.mark.parametrize("tone", EMPTY)
def test_there_is_nothing_in_a_picture_of_one_tone(critique, measured, tone):
    found = measured(EMPTY[tone])
    assert critique.explain.picture_kind.nothing(found) == f"There is nothing in this picture: it is {tone} throughout."
    judged = critique.score.judge.judge(found, critique.reference.distributions.paintings())
    assert critique.explain.reasons.reasons(judged) == [critique.explain.picture_kind.nothing(found)]


KINDS = {"Nearly one colour": np.full((64, 64), 0.5) + 0.02 * scattered(1, (64, 64)), "No colour": scattered(4),
         "A flat graphic on a ground": np.where(disc(0.5, 0.5, 0.3)[..., None] > 0.5, (0.9, 0.8, 0.1), (0.1, 0.2, 0.7)),
         "As dark as a night piece": 0.15 * coloured(5), "A line drawing": strokes()}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_picture_is_said_of_its_own_and_of_no_full_picture(critique, measured, kind):
    said = critique.explain.picture_kind.kinds(measured(KINDS[kind]))
    assert any(sentence.startswith(kind) for sentence in said), said
    full = measured(grained(coloured(40) * np.linspace(0.5, 1, SIDE)[None, :, None], 0.02))
    assert critique.explain.picture_kind.kinds(full) == []


GRAPHIC = ("A graphic in smooth fields", "A flat graphic on a ground")
READ = ("RMS contrast", "std a channel", "std b channel (Lab)", "mean L channel", "Colorfulness", "Ground share",
        "Few colours", "Smooth share", "Texture share", "Edge share", "Dark share", "Compactness")


@pytest.fixture(scope="module")
def kinds_of(critique, measured):
    """What is said of the kind of a picture, from no more measures than it takes."""
    return lambda picture: critique.explain.picture_kind.kinds(measured(picture, READ))


@pytest.mark.parametrize("seed", range(4))
def test_shapes_on_a_graded_ground_are_a_graphic(kinds_of, seed):
    for ground in (graded(), graded()[::-1, ::-1], 1 - graded(), 0.1 * graded()):
        assert any(sentence.startswith(GRAPHIC) for sentence in kinds_of(with_shapes(ground, seed)))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("make", [
    sky_over_leaves, strokes_of_paint, lambda seed: grained(with_shapes(graded(), seed), 0.02),
    lambda seed: grained(graded(), 0.01), lambda seed: graded(), lambda seed: coloured(seed, (256, 320))],
    ids=["sky over leaves", "strokes", "grain over shapes", "grain over a fog", "a sky and nothing else", "blurs"])
def test_grain_strokes_and_blurs_are_no_graphic(kinds_of, make, seed):
    assert not [sentence for sentence in kinds_of(make(seed)) if sentence.startswith(GRAPHIC)]


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "camera"])
def test_a_photograph_is_no_graphic(kinds_of, name):
    data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image")
    assert not [sentence for sentence in kinds_of(getattr(data, name)() / 255) if sentence.startswith(GRAPHIC)]


def test_a_fog_without_colour_has_few_colours_and_is_no_flat_graphic(kinds_of):
    fog = np.full((256, 320), 0.7)
    fog[160:] = 0.25
    said = kinds_of(grained(fog, 0.01))
    assert any(sentence.startswith("On a flat ground") for sentence in said), said
    assert any(sentence.startswith("A flat graphic") for sentence in kinds_of(fog))


@pytest.mark.parametrize("spread", [0.3, 0.55])
def test_a_pale_surface_is_of_nearly_one_colour_and_no_flat_graphic(critique, measured, spread):
    grain = 0.75 + spread * (coloured(11).mean(-1, keepdims=True) - 0.5) + np.array((0.03, 0.03, -0.06))
    found = measured(grain)
    assert found["Few colours"] >= critique.explain.picture_kind.FEW and found["Ground share"] > 0.33
    kind, = critique.explain.picture_kind.kinds(found)
    assert kind.startswith("Nearly one colour")


def test_a_small_copy_says_its_size(critique, measured):
    kinds, side = critique.explain.picture_kind.kinds, critique.reference.distributions.OWN_SIDE
    found = measured(coloured(7))
    assert any("longer side of 400 pixels" in sentence for sentence in kinds({**found, side: 400.0}))
    assert not any("small copy" in sentence for sentence in kinds({**found, side: 1024.0}))
