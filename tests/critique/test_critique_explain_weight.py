"""Where the weight of a picture lies, and of which tone it is, is said as it is."""
import numpy as np
import pytest
from drawn_planes import disc, scattered
from hypothesis import given, settings
from hypothesis import strategies as st

LEANING = ("DCM distance", "DCM x position", "DCM y position", "Balance", "Tilt", "Lean right", "Lean down",
           "Rim weight", "Light weighs")


@pytest.mark.parametrize("shape", [(96, 96), (64, 96), (48, 96), (97, 61)])
def test_a_flat_or_centred_picture_leans_nowhere(measured, shape):
    for plane in (np.full(shape, 0.4), disc(0.5, 0.5, shape=shape), 1 - disc(0.5, 0.5, shape=shape)):
        found = measured(plane, LEANING)
        assert found["Tilt"] == pytest.approx(0, abs=1e-9) and found["Lean right"] == pytest.approx(0, abs=1e-9)
    assert abs(measured(np.full(shape, 0.4), LEANING)["Rim weight"]) < 1e-6


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_imbalance_turns_with_the_picture(measured, seed):
    plane = scattered(seed, (72, 96))
    before = measured(plane, LEANING)
    for changed, right, down in ((plane[:, ::-1], -1, 1), (plane[::-1], 1, -1), (np.rot90(plane, 2), -1, -1)):
        after = measured(changed.copy(), LEANING)
        assert after["Tilt"] == pytest.approx(before["Tilt"], abs=1e-9)
        assert after["Lean right"] == pytest.approx(right * before["Lean right"], abs=1e-9)
        assert after["Lean down"] == pytest.approx(down * before["Lean down"], abs=1e-9)
    turned = measured(np.rot90(plane).copy(), LEANING)
    assert turned["Tilt"] == pytest.approx(before["Tilt"], abs=1e-9)
    assert turned["Rim weight"] == pytest.approx(before["Rim weight"], abs=1e-9)


@given(x=st.floats(0.2, 0.8), y=st.floats(0.2, 0.8), dark=st.booleans())
@settings(max_examples=25, deadline=None)
def test_where_the_weight_lies_and_of_which_tone_is_said_as_it_is(measured, phrases, x, y, dark):
    ink, paper = (0.05, 0.95) if dark else (0.95, 0.05)
    found = measured(disc(x, y, ink=ink, paper=paper), LEANING)
    said = phrases.compared("DCM distance", True, found)
    assert ("darks" if dark else "lights") in said
    if max(abs(x - 0.5), abs(y - 0.5)) > 0.05:
        far = max(abs(x - 0.5), abs(y - 0.5))
        assert ("on the right" in said) == (x - 0.5 > 0.4 * far) or abs(abs(x - 0.5) - 0.4 * far) < 0.05
        assert ("on the left" in said) == (0.5 - x > 0.4 * far) or abs(abs(x - 0.5) - 0.4 * far) < 0.05
        assert ("high" in said) == (0.5 - y > 0.4 * far) or abs(abs(y - 0.5) - 0.4 * far) < 0.05
        assert ("low" in said) == (y - 0.5 > 0.4 * far) or abs(abs(y - 0.5) - 0.4 * far) < 0.05
    further = [measured(disc(at, 0.5, ink=ink, paper=paper), LEANING) for at in (0.3, 0.7)]
    assert further[0]["DCM x position"] > further[1]["DCM x position"]
    assert "to the left" in phrases.compared("DCM x position", True, further[0])
    assert "to the right" in phrases.compared("Tilt", True, further[1])
    assert "the right half has more" in phrases.compared("Lean right", further[1]["Lean right"] > 0, further[1])


@pytest.mark.parametrize("plane, words", [
    (disc(0.5, 0.5), "the darks of the middle outweigh those of the rim"),
    (1 - disc(0.5, 0.5, 0.3), "the lights of the middle outweigh those of the rim"),
    (np.pad(np.ones((72, 72)), 12), "the darks of the rim outweigh those of the middle"),
    (disc(0.8, 0.5), "the darks of the right half outweigh those of the left half"),
    (disc(0.2, 0.5), "the darks of the left half outweigh those of the right half"),
    (1 - disc(0.5, 0.8), "the lights of the lower half outweigh those of the upper half"),
    (1 - disc(0.5, 0.2), "the lights of the upper half outweigh those of the lower half"),
    (np.full((48, 96), 0.5), "no side outweighs the other")])
def test_what_outweighs_what_is_said_as_it_is_and_of_which_tone(measured, phrases, plane, words):
    found = measured(plane, LEANING)
    for more in (True, False):      # small published tilts are no reason to call a picture even
        assert words in phrases.compared("Balance", more, found)


def test_lights_around_a_dark_middle_are_not_said_to_lie_near_it(measured, phrases):
    found = measured(disc(0.5, 0.5, 0.42, ink=0.05, paper=0.95), LEANING)
    assert found["Light weighs"] == 1 and found["Rim weight"] > 0
    assert "the centre of the weight of its lights" in phrases.compared("DCM distance", False, found)


@pytest.mark.parametrize("critic, concept", [("Kandinsky", "KA7"), ("Klee", "KL6")])
def test_weight_that_lies_high_is_not_said_to_lie_low(critique, measured, critic, concept):
    paintings, card = critique.reference.distributions.paintings(), critique.rubric.critic_cards.card(critic)
    position = next(each for each in card.concepts if each.id == concept)
    for y, side in ((0.2, 1), (0.8, -1)):
        height = measured(disc(0.5, y), ("DCM y position",))["DCM y position"]
        at = paintings.percentile("DCM y position", height)
        assert critique.score.judge.position(position, {"DCM y position": at}) * side > 0.8
