"""The words of every column: a picture with more of it has what they say."""
import numpy as np
import pytest
from drawn_planes import SIDE, disc, scattered


def test_every_measured_column_has_words_that_end_before_than(critique, phrases):
    columns = [*critique.measures.MEASURES, *critique.measures.FILTERED]
    assert not [column for column in columns if column not in phrases.PHRASES]
    for column, words in phrases.PHRASES.items():
        for sentence in (words.less, words.more):
            assert sentence == sentence.rstrip(" .") and "than" not in sentence.split(), column


MORE = {   # column: a picture with less of it and one with more
    "RMS contrast": (np.full((64, 64), 0.5) + 0.02 * scattered(1, (64, 64)), disc(0.4, 0.5, 0.4)),
    "mean L channel": (disc(0.5, 0.5, 0.45), disc(0.5, 0.5, 0.1)),
    "Dark share": (disc(0.5, 0.5, 0.1), disc(0.5, 0.5, 0.45)),
    "Mirror symmetry": (disc(0.5, 0.5, 0.1), disc(0.5, 0.5, 0.45)),
    "Edge density": (disc(0.5, 0.5), (np.indices((SIDE, SIDE)).sum(0) // 4 % 2).astype(float)),
    "Compactness": ((np.indices((SIDE, SIDE)).sum(0) // 2 % 2).astype(float), disc(0.5, 0.5, 0.3)),
    "Ground share": (scattered(2), disc(0.5, 0.5, 0.1)),
    "Few colours": (scattered(2), disc(0.5, 0.5, 0.1)),
    "Smooth share": (np.random.default_rng(0).random((SIDE, SIDE)), np.linspace(0, 1, SIDE) + np.zeros((SIDE, 1))),
    "Texture share": (disc(0.5, 0.5), np.random.default_rng(0).random((SIDE, SIDE))),
    "Edge share": (np.linspace(0, 1, SIDE) + np.zeros((SIDE, 1)), disc(0.5, 0.5)),
    "Rim weight": (disc(0.5, 0.5), np.pad(np.ones((72, 72)), 12)),
    "DCM x position": (disc(0.8, 0.5), disc(0.2, 0.5)), "DCM y position": (disc(0.5, 0.8), disc(0.5, 0.2)),
    "Obliqueness": ((np.indices((SIDE, SIDE))[1] // 8 % 2).astype(float),
                    (np.indices((SIDE, SIDE)).sum(0) // 8 % 2).astype(float)),
    "Leading direction": (np.maximum(*(np.indices((SIDE, SIDE)) // 8 % 2)).astype(float),  # upright and level alike
                          (np.indices((SIDE, SIDE))[1] // 8 % 2).astype(float)),
    "Slant": (np.maximum(*((np.indices((SIDE, SIDE))[0] + side * np.indices((SIDE, SIDE))[1]) // 8 % 2
                           for side in (1, -1))).astype(float),       # to both sides alike
              (np.indices((SIDE, SIDE)).sum(0) // 8 % 2).astype(float)),
    "Otsu separability": (scattered(3), disc(0.5, 0.5)),
}


@pytest.mark.parametrize("column", MORE)
def test_more_of_a_column_is_what_its_words_say(measured, phrases, column):
    less, more = (measured(plane, (column,))[column] for plane in MORE[column])
    assert less < more, phrases.phrase(column).more


HUES = {"red": (0.8, 0.1, 0.1), "blue": (0.1, 0.1, 0.8), "green": (0.1, 0.6, 0.1), "orange": (0.9, 0.5, 0.1),
        "grey": (0.5, 0.5, 0.5), "pale": (0.6, 0.55, 0.5)}


@pytest.mark.parametrize("column, less, more", [
    ("mean S channel", ("grey", "pale"), ("red", "blue")), ("std a channel", ("grey", "pale"), ("red", "green")),
    ("std b channel (Lab)", ("grey", "pale"), ("blue", "orange")), ("std S channel", ("red", "blue"), ("red", "grey")),
    ("Warm-cold contrast", ("red", "orange"), ("orange", "blue")), ("Mean warmth", ("blue", "blue"), ("orange", "red")),
    ("mean a channel", ("green", "green"), ("red", "red")), ("mean b channel (Lab)", ("blue", "blue"),
                                                            ("orange", "orange")),
    ("Colorfulness", ("grey", "pale"), ("red", "green")), ("std H channel", ("red", "orange"), ("red", "green")),
    ("Complementary contrast", ("red", "orange"), ("orange", "blue"))])
def test_more_of_a_colour_column_is_what_its_words_say(measured, column, less, more):
    def halves(names):
        return np.hstack([np.tile(np.array(HUES[name]), (64, 32, 1)) for name in names])

    assert measured(halves(less), (column,))[column] < measured(halves(more), (column,))[column]


def test_edges_of_a_disc_run_in_all_directions_and_lie_in_few_places(critique, measured, phrases):
    columns = ("Anisotropy", "1st-order EOE")
    found, paintings = measured(disc(0.5, 0.5), columns), critique.reference.distributions.paintings()
    assert paintings.percentile("Anisotropy", found["Anisotropy"]) > 95
    assert "places" in phrases.compared("Anisotropy", True, found)


def around(turn, phase):
    return 0.5 + 0.5 * np.cos(2 * np.pi * (turn - phase))


def test_a_picture_of_near_hues_is_not_said_to_have_many(measured, phrases):
    """The published variety of hues is taken over the hues that there are: gold to orange may have all of them."""
    ramp = np.linspace(0, 1, 64)
    gold = np.stack([np.ones(64), 0.3 + 0.5 * ramp, 0 * ramp], -1)[None] + np.zeros((64, 1, 1))
    columns = ("Color entropy", "Harmony width")
    found = measured(gold, columns)
    rainbow = measured(np.stack([around(ramp, phase) for phase in (0, 1 / 3, 2 / 3)], -1)[None]
                       + np.zeros((64, 1, 1)), columns)
    assert found["Harmony width"] < rainbow["Harmony width"] and found["Color entropy"] > 5
    for measures in (found, rainbow):
        assert phrases.compared("Color entropy", True, measures) == "its hues share the room more evenly"


def test_a_dark_picture_is_not_said_to_reach_the_light(measured, phrases):
    """The published entropy of light is a share of the lightest there is, which may be dark."""
    found = measured(np.linspace(0, 0.2, SIDE) + np.zeros((SIDE, 1)), ("Luminance entropy", "mean L channel"))
    assert found["Luminance entropy"] > 5 and found["mean L channel"] < 15
    assert phrases.compared("Luminance entropy", True, found) == "more steps lie between its darkest and its lightest"
