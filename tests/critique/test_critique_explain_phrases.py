"""Every sentence of a critique is true of the picture: pictures for which it must be said, and must not."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

SIDE = 96


@pytest.fixture(scope="module")
def phrases(critique):
    return critique.explain.phrases


@pytest.fixture(scope="module")
def measured(critique):
    """Measures of a drawn grey plane [H, W], 0..1, or colour [H, W, 3], as the critique takes them, at its own size."""
    def of(plane, columns=None):
        pixels = torch.as_tensor(np.asarray(plane), dtype=torch.float32)
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
        picture = critique.picture.planes.Picture.from_images(pixels[None])
        return {name: value.item() for name, value in critique.measures.measure(picture, columns=columns).items()}

    return of


LEANING = ("DCM distance", "DCM x position", "DCM y position", "Balance", "Tilt", "Lean right", "Lean down",
           "Rim weight", "Light weighs")
ALIKE = ("Likeness left-right", "Likeness up-down", "Likeness half-turn")


def disc(x, y, radius=0.15, shape=(SIDE, SIDE), ink=0.0, paper=1.0):
    """A disc at (x, y) of the sides, its radius in shares of the shorter side."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(columns + 0.5 - x * width, rows + 0.5 - y * height) < radius * min(shape)
    return np.where(inside, ink, paper)


def scattered(seed, shape=(SIDE, SIDE)):
    """Soft blobs of several tones: a picture without an order."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:shape[0], :shape[1]]
    plane = np.full(shape, rng.uniform(0.2, 0.8))
    for _ in range(9):
        x, y, reach = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), rng.uniform(6, 22)
        plane += rng.uniform(-0.5, 0.5) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / reach ** 2)
    return plane.clip(0, 1)


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


def test_edges_of_a_disc_run_in_all_directions_and_lie_in_few_places(critique, measured, phrases):
    columns = ("Anisotropy", "1st-order EOE")
    found, paintings = measured(disc(0.5, 0.5), columns), critique.reference.distributions.paintings()
    assert paintings.percentile("Anisotropy", found["Anisotropy"]) > 95
    assert "places" in phrases.compared("Anisotropy", True, found)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_a_mirrored_picture_is_alike_whatever_its_tones(measured, seed):
    half = scattered(seed, (SIDE, SIDE // 2))
    mirrored = np.hstack([half, half[:, ::-1]])
    for plane in (mirrored, 1 - mirrored, mirrored[::-1], mirrored * 0.4 + 0.3, mirrored * 0.2):
        assert measured(plane.copy(), ALIKE)["Likeness left-right"] > 0.9
    assert measured(np.vstack([half, half[::-1]]), ALIKE)["Likeness up-down"] > 0.9
    turned = np.vstack([half, np.rot90(half, 2)])
    assert measured(turned, ALIKE)["Likeness half-turn"] > 0.9


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_likeness_is_kept_by_inverting_and_flipping(measured, seed):
    plane = scattered(seed)
    before = measured(plane, ALIKE)
    for changed in (1 - plane, plane[:, ::-1], plane[::-1], np.rot90(plane, 2)):
        after = measured(changed.copy(), ALIKE)
        assert all(after[column] == pytest.approx(before[column], abs=0.03) for column in ALIKE)
    assert before["Likeness left-right"] < 0.8


def test_halves_and_opposites_are_not_alike(measured):
    assert measured(np.hstack([np.zeros((SIDE, 48)), np.ones((SIDE, 48))]), ALIKE)["Likeness left-right"] < -0.5
    assert measured(disc(0.2, 0.4), ALIKE)["Likeness left-right"] < 0.2
    noise = np.random.default_rng(0).random((SIDE, SIDE))
    assert abs(measured(noise, ALIKE)["Likeness left-right"]) < 0.15


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


def test_every_measured_column_has_words_that_end_before_than(critique, phrases):
    columns = [*critique.measures.MEASURES, *critique.measures.FILTERED]
    assert not [column for column in columns if column not in phrases.PHRASES]
    for column, words in phrases.PHRASES.items():
        for sentence in (words.less, words.more):
            assert sentence == sentence.rstrip(" .") and "than" not in sentence.split(), column


EMPTY = {"black": np.zeros((64, 64)), "white": np.ones((64, 64)), "one grey": np.full((64, 64), 0.4),
         "one colour": np.tile(np.array((0.8, 0.2, 0.1)), (64, 64, 1))}


@pytest.mark.parametrize("tone", EMPTY)
def test_there_is_nothing_in_a_picture_of_one_tone(critique, measured, tone):
    found = measured(EMPTY[tone])
    assert critique.explain.picture_kind.nothing(found) == f"There is nothing in this picture: it is {tone} throughout."
    judged = critique.score.judge.judge(found, critique.reference.distributions.paintings())
    assert critique.explain.reasons.reasons(judged) == [critique.explain.picture_kind.nothing(found)]


def coloured(seed, shape=(SIDE, SIDE)):
    return np.stack([scattered(seed + channel, shape) for channel in range(3)], -1)


def strokes():
    plane = np.ones((160, 160))
    for at in range(12, 150, 12):
        plane[at:at + 2, 10:150] = 0
        plane[10:150, at:at + 1] = 0
    return plane


KINDS = {"Nearly one colour": np.full((64, 64), 0.5) + 0.02 * scattered(1, (64, 64)), "No colour": scattered(4),
         "A flat graphic on a ground": np.where(disc(0.5, 0.5, 0.3)[..., None] > 0.5, (0.9, 0.8, 0.1), (0.1, 0.2, 0.7)),
         "As dark as a night piece": 0.15 * coloured(5), "A line drawing": strokes()}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_picture_is_said_of_its_own_and_of_no_full_picture(critique, measured, kind):
    said = critique.explain.picture_kind.kinds(measured(KINDS[kind]))
    assert any(sentence.startswith(kind) for sentence in said), said
    full = measured(grained(coloured(40) * np.linspace(0.5, 1, SIDE)[None, :, None], 0.02))
    assert critique.explain.picture_kind.kinds(full) == []


def graded(height=256, width=320):
    """A ground from one colour to another, as a wallpaper has it."""
    y, x = np.mgrid[:height, :width] / height
    return np.stack([0.1 + 0.5 * x / x.max(), 0.2 + 0.4 * y, 0.8 - 0.3 * y * x], -1)


def with_shapes(ground, seed=0):
    """Polygons of their own colour, some of them graded, on a ground."""
    rng, drawn = np.random.default_rng(seed), ground.copy()
    rows, columns = np.mgrid[:ground.shape[0], :ground.shape[1]]
    for _ in range(5):
        x, y, reach = rng.uniform(0, ground.shape[1]), rng.uniform(0, ground.shape[0]), rng.uniform(15, 60)
        inside = np.abs(columns - x) + rng.uniform(0.5, 2) * np.abs(rows - y) < reach
        drawn[inside] = (rng.uniform(0, 1, 3) + rng.uniform(0, 0.002, 3) * rows[..., None])[inside].clip(0, 1)
    return drawn


def grained(picture, amount, seed=0):
    return (picture + np.random.default_rng(seed).normal(0, amount, picture.shape)).clip(0, 1)


def sky_over_leaves(seed):
    """A sky as smooth as a graphic's over what is rough: a photograph."""
    picture = graded()
    picture[170:] = np.random.default_rng(seed).uniform(0, 0.6, (86, 320, 3))
    return picture


def strokes_of_paint(seed):
    """Short dabs of near colours everywhere."""
    rng, picture = np.random.default_rng(seed), graded()
    for _ in range(2500):
        y, x, long = rng.integers(0, 250), rng.integers(0, 300), rng.integers(6, 20)
        picture[y:y + 4, x:x + long] = (picture[y, x] + rng.normal(0, 0.08, 3)).clip(0, 1)
    return picture


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


def around(turn, phase):
    return 0.5 + 0.5 * np.cos(2 * np.pi * (turn - phase))


def test_a_dark_picture_is_not_said_to_reach_the_light(measured, phrases):
    """The published entropy of light is a share of the lightest there is, which may be dark."""
    found = measured(np.linspace(0, 0.2, SIDE) + np.zeros((SIDE, 1)), ("Luminance entropy", "mean L channel"))
    assert found["Luminance entropy"] > 5 and found["mean L channel"] < 15
    assert phrases.compared("Luminance entropy", True, found) == "more steps lie between its darkest and its lightest"


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


@pytest.fixture(scope="module")
def told(critique, measured):
    paintings = critique.reference.distributions.paintings()

    def of(plane, rubric=""):
        judged = critique.score.judge.judge(measured(plane), paintings,
                                            critique.rubric.rubric_language.parse(rubric))
        return judged, critique.explain.reasons.strongest(judged)

    return of


@pytest.mark.parametrize("seed", range(6))
def test_no_fact_is_told_twice_and_every_comparison_holds(critique, told, seed):
    judged, reasons = told(coloured(seed))
    facts = [critique.explain.phrases.fact(reason.signal.column) for reason in reasons]
    assert len(set(facts)) == len(facts) == 3
    for reason in reasons:
        column, words = reason.signal.column, critique.explain.reasons.sentence(reason, judged)
        position = judged.percentiles[column]
        low, high = judged.usual[column]
        assert f"usual {critique.explain.phrases.digits(low)} to {critique.explain.phrases.digits(high)}" in words
        assert ("is as usual" in words) == (abs(position - 50) <= 10)
        if abs(position - 50) > 10:
            other = critique.explain.phrases.compared(column, position < 50, judged.measures)
            assert critique.explain.phrases.compared(column, position > 50, judged.measures) in words
            assert other not in words


def test_where_all_is_usual_the_most_unusual_trait_is_told(critique):
    paintings = critique.reference.distributions.paintings()
    usual = {column: quantiles[50] for column, quantiles in paintings.quantiles.items()}
    usual["Homogeneity"] = paintings.quantiles["Homogeneity"][62]
    judged = critique.score.judge.judge(usual, paintings)
    *_, last = critique.explain.reasons.reasons(judged)
    assert last.startswith("**Shape** is the most unusual here. Evenness of the masses (Homogeneity): the masses are "
                           "spread more evenly than in 62 % of")


@pytest.mark.parametrize("critic, concept", [("Kandinsky", "KA7"), ("Klee", "KL6")])
def test_weight_that_lies_high_is_not_said_to_lie_low(critique, measured, critic, concept):
    paintings, card = critique.reference.distributions.paintings(), critique.rubric.critic_cards.card(critic)
    position = next(each for each in card.concepts if each.id == concept)
    for y, side in ((0.2, 1), (0.8, -1)):
        height = measured(disc(0.5, y), ("DCM y position",))["DCM y position"]
        at = paintings.percentile("DCM y position", height)
        assert critique.score.judge.position(position, {"DCM y position": at}) * side > 0.8
