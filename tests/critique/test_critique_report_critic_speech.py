"""A critic speaks: short, in the terms of the card, and every claim with the measure that it rests on."""
import re

import pytest

CRITICS = ("albers", "arnheim", "dow", "gombrich", "hildebrand", "kandinsky", "klee", "ruskin", "woelfflin",
           "worringer")


@pytest.fixture(scope="module")
def spoken(critique):
    paintings = critique.reference.distributions.paintings()

    def of(critic, place):
        measures = {column: quantiles[place] for column, quantiles in paintings.quantiles.items()}
        judged = critique.score.judge.judge(measures, paintings, critique.rubric.rubric_language.parse(f"@{critic}"),
                                            total=False)
        return judged, critique.report.critic_speech.speech(judged, dict.fromkeys(measures, "below on the left"))

    return of


def named(critique, column, claim):
    """Whether a claim names a column as the table of names does."""
    return critique.explain.phrases.called(column).casefold() in claim.casefold()


def told(speech):
    """The opening and the claims, without the names of what lies in the middle."""
    return [part for part in speech.split("\n\n") if not part.startswith("In the middle: ")]


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("place", [3, 50, 97])
def test_every_critic_is_short_and_names_a_measure_for_each_claim(critique, spoken, critic, place):
    judged, speech = spoken(critic, place)
    opening, *claims = told(speech)
    assert len(speech.split()) <= 150 and len(claims) >= 2 and "|" not in speech
    assert opening.endswith(judged.rubric.thesis) and judged.rubric.thesis
    for claim in claims:
        assert any(named(critique, column, claim) for column in judged.percentiles), claim
        assert claim.split("**")[1] in [criterion.name for criterion in judged.rubric.criteria]


def test_a_claim_says_the_end_that_the_points_are_at(spoken):
    _, speech = spoken("arnheim", 97)
    simple = next(claim for claim in speech.split("\n\n") if claim.startswith("**Simplicity**"))
    assert "outlines break, or much changes from point to point" in simple


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("place", [3, 50, 97])
def test_only_what_there_is_much_of_or_is_gathered_is_said_to_lie_somewhere(critique, spoken, critic, place):
    judged, speech = spoken(critic, place)
    for claim in told(speech)[1:]:
        if "its measures part" in claim:
            continue
        column = next(column for column in judged.percentiles if named(critique, column, claim))
        placed = "{" in critique.explain.phrases.phrase(column).more    # such words say a place of their own
        much = place == 3 if column in critique.report.critic_speech.GATHERED else place == 97
        assert ("strongest below on the left" in claim) == (not placed and much), claim


def test_where_a_measure_lies_is_read_from_its_map(critique):
    import torch
    plane = torch.zeros(1, 96, 96, 1) + 0.5
    plane[:, 70:90, 6:26] = torch.rand(1, 20, 20, 1, generator=torch.Generator().manual_seed(1))
    picture = critique.picture.planes.Picture.from_images(plane)
    where = critique.explain.places.where
    assert where(picture, "RMS contrast") == "below on the left" and where(picture, "Slope Redies") == ""
    flat = critique.picture.planes.Picture.from_images(torch.rand(1, 96, 96, 3))
    assert where(flat, "Edge density") == ""


@pytest.mark.parametrize("ninths, name", [
    ([(2, 0), (2, 1), (2, 2)], "below"), ([(0, 0), (0, 2)], "above"), ([(1, 0), (1, 2)], "across the middle"),
    ([(0, 2), (2, 2)], "on the right"), ([(0, 1), (2, 1)], "down the middle"), ([(0, 0), (2, 2)], ""),
    ([(0, 0), (0, 2), (1, 0)], ""), ([(1, 1)], "in the middle"), ([(0, 1)], "above")])
def test_of_ninths_that_hold_as_much_none_is_named_alone(critique, ninths, name):
    """Clouds at both sides of a sky are not said to lie on the right, nor a hedge along the ground on the left."""
    import torch
    plane = torch.zeros(1, 96, 96, 1) + 0.5
    for row, column in ninths:
        plane[:, 32 * row + 4:32 * row + 28, 32 * column + 4:32 * column + 28] = torch.rand(
            1, 24, 24, 1, generator=torch.Generator().manual_seed(1))
    picture = critique.picture.planes.Picture.from_images(plane)
    assert critique.explain.places.where(picture, "RMS contrast") == name


def test_a_critic_says_what_is_read_anew_and_what_is_no_longer_read(critique):
    parse, changed = critique.rubric.rubric_language.parse, critique.report.what_counts.changed
    known = {concept.id: concept for card in critique.rubric.critic_cards.cards().values() for concept in card.concepts}
    assert critique.report.what_counts.READ_ANEW <= known.keys()
    anew, gone = changed(parse("@Ruskin"))
    assert anew.endswith("Harmony, Gradation.") and gone.endswith("Repetition, Continuity, Curvature.")
    assert changed(parse("@Albers"))[0].endswith("Intervals.") and changed(parse("")) == []


def test_what_is_only_estimated_is_said_to_be(critique, spoken):
    estimated = critique.reference.distributions.paintings().estimated
    claims = [claim for critic in CRITICS for place in (3, 97) for claim in told(spoken(critic, place)[1])[1:]]
    rests = {claim: any(named(critique, column, claim) for column in estimated) for claim in claims}
    assert all(("place estimated" in claim) == on for claim, on in rests.items())
    assert 5 < sum(rests.values()) < len(rests)


def test_a_small_copy_s_spectrum_speaks_for_no_concept(critique):
    paintings = critique.reference.distributions.paintings()
    rubric = critique.rubric.rubric_language.parse("@Hildebrand")
    used = {}
    for side in (400, 1024):
        measures = {column: quantiles[20] for column, quantiles in paintings.quantiles.items()}
        measures[critique.reference.distributions.OWN_SIDE] = side
        distant = critique.score.judge.judge(measures, paintings, rubric).verdicts[0]
        used[side] = [signal.column for signal in distant.used]
    assert used == {400: ["Complexity"], 1024: ["Complexity", "Slope Redies"]}


@pytest.fixture(scope="module")
def said_of(critique):
    """What a critic says of a picture that is usual but for the columns given, each at a percentile."""
    paintings = critique.reference.distributions.paintings()
    usual = {column: quantiles[50] for column, quantiles in paintings.quantiles.items()}

    def of(critic, colour=1.0, **at):
        asked = {name.replace("_", " "): place for name, place in at.items()}
        measures = {**usual, "Colorfulness": 30 * colour,
                    **{column: paintings.quantiles[column][place] for column, place in asked.items()}}
        return critique.report.critic_speech.speech(
            critique.score.judge.judge(measures, paintings, critique.rubric.rubric_language.parse(f"@{critic}"),
                                       total=False), {})

    return of


def test_what_lies_in_the_middle_is_only_named_where_something_else_speaks(said_of):
    spoken = said_of("Arnheim", RMS_contrast=95, Luminance_entropy=95, Slant=4)
    opening, *claims, rest = spoken.split("\n\n")
    assert [claim.split("**")[1] for claim in claims] == ["Light", "Dynamics"]
    assert rest == "In the middle: Balance; Simplicity; Levelling or sharpening." and "in the middle." not in spoken


def test_where_nothing_else_speaks_the_usual_range_is_said(said_of):
    _, *claims, rest = said_of("Arnheim").split("\n\n")
    assert len(claims) == 2 and all("of 100: in the middle." in claim and "; usual " in claim
                                    for claim in claims) and rest.startswith("In the middle: ")


def test_a_concept_whose_measures_say_opposite_things_is_not_said_to_be_in_the_middle(said_of):
    light = next(claim for claim in said_of("Arnheim", RMS_contrast=95, Luminance_entropy=5).split("\n\n")
                 if claim.startswith("**Light**"))
    assert ("its measures part. Light-dark contrast (RMS contrast): light and dark lie further apart than in 95 %"
            in light)
    assert (", but variety of tones (Luminance entropy): fewer steps lie between its darkest and its lightest than in "
            "95 %" in light)


def test_much_and_little_of_what_a_middling_amount_is_asked_of_are_no_opposites(said_of):
    between = next(claim for claim in said_of("Gombrich", Edge_density=99, Complexity=50).split("\n\n")
                   if "monotony" in claim)
    assert "part" not in between
    notan = next(claim for claim in said_of("Dow", RMS_contrast=85, Homogeneity=50).split("\n\n")
                 if claim.startswith("**Notan**"))
    assert "(RMS contrast): " in notan and "Homogeneity" not in notan


def test_a_concept_that_lacks_colour_is_told_by_its_light(said_of):
    spoken = said_of("Ruskin", RMS_contrast=98, std_S_channel=0, colour=0)
    contrast = next(claim for claim in spoken.split("\n\n") if claim.startswith("**Contrast"))
    assert ("of 100: without colour. Light-dark contrast (RMS contrast): light and dark lie further apart than in 98 %"
            in contrast)


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("place", [3, 50, 97])
def test_of_a_picture_without_colour_no_critic_speaks_of_colour(critique, spoken, critic, place):
    judged, _ = spoken(critic, place)
    grey = judged._replace(measures={**judged.measures, "Colorfulness": 0.0})
    text = critique.report.critic_speech.speech(grey, {})
    assert not [column for column in critique.explain.phrases.OF_COLOUR if named(critique, column, text)], text


WORDS = {   # of each column, what of an end says that there is less of it, and more
    "Color entropy": ("few hues", "share the room evenly"), "Complexity": ("little", "much"),
    "std S channel": ("none is strong|even colour|little lies between weak|colours? (stand|lie)|colours lie too close",
                      "strong|uneven colour|colours? (stand|lie)|far"),
    "std a channel": ("close", "far"), "std b channel (Lab)": ("close", "far"),
    "Edge density": ("few|little", "many|much"), "RMS contrast": ("close|part little|stand little",
                                                                  "far|part|stand"),
    "2D Fractal dimension": ("smooth|part into masses|plainer", "break|crowded"),
    "1st-order EOE": ("few directions", "many directions"), "Slant": ("less", "more"),
    "Luminance entropy": ("few", "many"), "DCM distance": ("hold|rests", "pull|lean"),
    "Tilt": ("hold|rest", "pull|lean"),
    "Likeness left-right": ("less alike|less in common|differ", "more alike|more in common"),
    "Obliqueness": ("level", "slant"), "Leading direction": ("level|less", "one direction|more"),
    "Homogeneity": ("gather", "spread|evenly|every part|no place"), "2nd-order EOE": ("tells much", "tells little"),
    "Slope Redies": ("broad", "fine detail"), "DCM y position": ("low", "high"), "mean L channel": ("dark", "light"),
    "mean a channel": ("cool", "warm"), "mean b channel (Lab)": ("cool", "warm"),
    "Sparseness": ("evenly|spread|no place", "gather"), "Self-similarity (CNN)": ("", ""),
    "CNN symmetry left-right": ("less in common", "more in common"),
}


@pytest.mark.parametrize("critic", CRITICS)
def test_an_end_names_what_each_of_its_measures_tells(critique, critic):
    """Whichever measure brings a picture to an end, what is said there has a part that is true for it."""
    for concept in critique.rubric.critic_cards.card(critic).concepts:
        for signal in concept.signals:
            if signal.reading is not None and signal.reading.kind == "target":
                continue
            less, more = WORDS[signal.column][::signal.direction]
            for words, end in ((less, concept.ends[0]), (more, concept.ends[1])):
                assert re.search(words, end), f"{concept.id}, {signal.column}: {end}"


@pytest.mark.parametrize("critic", CRITICS)
def test_an_end_that_rests_on_several_measures_promises_none_beside_another(critique, critic):
    """"Few and soft" is false where one of two measures alone brought a picture there; "few, or soft" is not."""
    for concept in critique.rubric.critic_cards.card(critic).concepts:
        if len(concept.signals) > 1:
            assert not [end for end in concept.ends if re.search(r"\b(few|many) and (soft|firm)|, (some|weak)", end)]
