"""The language of rubrics, and the default one."""
import re

import pytest


@pytest.fixture(scope="module")
def parse(critique):
    return critique.rubric.rubric_language.parse


def named(rubric):
    return {criterion.name: criterion for criterion in rubric.criteria}


def test_nothing_written_is_the_default_rubric(critique, parse):
    assert parse("") is critique.rubric.default_rubric.default()
    assert parse(" ;\n# only a note\n") == critique.rubric.default_rubric.default()


def test_the_default_rubric_counts_every_measure_of_the_total(critique):
    columns = {column for criterion in critique.rubric.default_rubric.RUBRIC for column in criterion.columns}
    assert set(critique.reference.distributions.paintings().shares) <= columns


def test_every_column_of_the_default_rubric_can_be_measured(critique):
    measures, space = critique.measures, critique.measures.pictorial_depth
    known = {*measures.MEASURES, *measures.FILTERED, *space.BY_DEPTH, *space.BY_HEIGHT}
    assert not [
        column
        for criterion in critique.rubric.default_rubric.RUBRIC
        for column in criterion.columns
        if column not in known
    ]
    assert len(critique.rubric.default_rubric.RUBRIC) == 16


def test_the_default_rubric_shows_woelfflins_five_positions_and_counts_none(critique):
    bipolar = [criterion.name for criterion in critique.rubric.default_rubric.default().criteria if criterion.bipolar]
    assert len(bipolar) == 5 and bipolar[0] == "Linear or painterly"


@pytest.mark.parametrize("text", ["Balance=2", "balance = 2", "P1=2", "p1=2.0  # twice", "Balance=1;Balance=2",
                                  "Balance=0\n\nP1=2;", "BALANCE=2.0"])
def test_a_weight_is_set_however_it_is_typed(parse, text):
    assert named(parse(text))["Balance"].weight == 2


@pytest.mark.parametrize("text, kind, at, within", [
    ("Value=high", "high", 50, 20), ("Value = LOW", "low", 50, 20), ("Value=typical", "typical", 50, 20),
    ("Value>70", "least", 70, 20), ("Value >= 70", "least", 70, 20), ("Value<30.5", "most", 30.5, 20),
    ("Value->80", "target", 80, 20), ("Value -> target 80", "target", 80, 20),
    ("Value -> 80 +- 5", "target", 80, 5), ("Value -> 80 ± 5", "target", 80, 5),
])
def test_every_reading_can_be_written(parse, text, kind, at, within):
    value = named(parse(text))["Value"]
    assert value.reading == (kind, at, within) and value.weight == 1


def test_a_reading_brings_back_what_had_no_weight(parse):
    assert named(parse("*=0; Value>70"))["Value"].weight == 1


@pytest.mark.parametrize("text", ["Value=2 > 70", "Value=2; Value>70", "Value>70; Value=2"])
def test_weight_and_reading_go_together(parse, text):
    value = named(parse(text))["Value"]
    assert value.weight == 2 and value.reading.kind == "least"


def test_lists_and_families_are_set_together(parse):
    rubric = named(parse("*=0; P*=1; Line, E5=3"))
    assert rubric["Line"].weight == rubric["Value"].weight == 3
    assert rubric["Texture"].weight == 0 and rubric["Balance"].weight == rubric["Symmetry"].weight == 1


def test_a_column_is_judged_on_its_own_and_leaves_its_criterion(parse):
    rubric = named(parse("rms contrast=2 high"))
    assert rubric["RMS contrast"].weight == 2 and rubric["RMS contrast"].reading.kind == "high"
    assert "RMS contrast" not in rubric["Value"].columns and rubric["Value"].columns


def test_quotes_tell_the_column_from_the_criterion_of_the_same_name(parse):
    rubric = parse('"Balance"=3; Balance=2; "Balance" < 20')
    criterion, column = [each for each in rubric.criteria if each.name == "Balance"]
    assert criterion.id == "P1" and criterion.weight == 2 and criterion.columns == ("DCM distance", "Tilt")
    assert column.id == "Balance" and column.weight == 3 and column.reading.kind == "most"


@pytest.mark.parametrize("before", ["Balance=high", "Balance -> 80; Balance=low", "P*=high", "Unity=low"])
def test_the_later_reading_wins_with_the_measures_that_it_is_read_from(parse, before):
    name = before.split("=")[0].split(" ->")[0]
    for later in (f"{name}=typical", f"{name}=high", f"{name}=2 > 70"):
        first, second = parse(later), parse(f"{before}; {later}")
        assert second.criteria == first.criteria


@pytest.mark.parametrize("text", ["Tilt=1; Balance=high", "Balance=high; Tilt=1"])
def test_a_measure_is_taken_out_of_its_criterion_whichever_is_named_first(parse, text):
    assert named(parse(text))["Balance"].columns == ("DCM distance", "Balance")


@pytest.mark.parametrize("off", ["Emphasis=0; Symmetry=0", "Symmetry=0 high", "Emphasis=1; *=0"])
def test_a_star_does_not_bring_back_by_name_what_was_switched_off(parse, off):
    for name in ("Emphasis", "Symmetry"):
        assert not named(parse(f"{off}; P*=1"))[name].asked
    assert named(parse("Emphasis=1; P*=2"))["Emphasis"].asked and named(parse("Emphasis=0; P4=low"))["Emphasis"].asked


def test_a_critic_brings_the_concepts_of_the_book(critique, parse):
    rubric = parse("Dynamics=3; @arnheim")
    assert [c.id for c in rubric.criteria] == [c.id for c in critique.rubric.critic_cards.card("arnheim").concepts]
    assert named(rubric)["Dynamics"].weight == 3
    assert "Art and Visual Perception" in rubric.source


@pytest.mark.parametrize("text, sentence", [
    ("Valeu=2", 'rubric: "Valeu" in "Valeu=2" is not judged (did you mean "Value"?); there are E1 Line, E2 Shape, '),
    ("Value", 'rubric: "Value" cannot be read; write NAME=WEIGHT, NAME=high, '),
    ("Value=-1", 'rubric: "Value=-1" cannot be read; write NAME=WEIGHT, '),
    ("=2", 'rubric: "=2" cannot be read; '),
    ("Value=much", 'rubric: "much" in "Value=much" is not a number and not one of typical, high, low'),
    ("Value=high>3", 'rubric: "Value=high>3" has two readings; write high or the number, not both'),
    ("Value->120", 'rubric: "Value->120": expected a percentile from 0 to 100 and a tolerance from 1 to 100, got '),
    ("Value->20+-0", 'rubric: "Value->20+-0": expected a percentile from 0 to 100 and a tolerance from 1 to 100, '),
    ("Value=2000", 'rubric: "Value=2000": expected a weight from 0 to 1000, got 2000'),
    ("WO1=2", 'rubric: "WO1=2": Linear or painterly is a position between two poles, which never counts; only what '),
    ("X*=2", 'rubric: "X*" in "X*=2" is not judged'),
    ("@Greenberg", 'rubric: "@Greenberg": critic: expected one of Josef Albers, Rudolf Arnheim, '),
    ("@Klee; @Dow", "rubric: expected one critic at most, got @Klee, @Dow"),
    ("@Klee; Value=2", 'rubric: "Value" in "Value=2" is not judged; there are KL1 Active line, '),
])
def test_what_cannot_be_read_is_quoted_and_answered(parse, text, sentence):
    with pytest.raises(ValueError) as error:
        parse(text)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("words, column", [("texture", "Slope Redies"), ("E6", "Slope Redies"),
                                           ("2nd order EOE", "2nd-order EOE"), ('"Balance"', "Balance"),
                                           ("Closed or open form", "Likeness left-right"), ("mean L channel",) * 2])
def test_a_heat_map_is_asked_for_by_the_name_of_a_criterion_or_a_measure(critique, parse, words, column):
    criterion = critique.rubric.rubric_language.subject(words, parse(""))
    assert critique.measures.densities.mapped(criterion.name, criterion.columns) == column


@pytest.mark.parametrize("words, sentence", [
    ("Valeu", 'heat: "Valeu" is no criterion or measure (did you mean "Value"?); there are E1 Line, '),
    ("*", 'heat: "*" is no criterion or measure; there are E1 Line, '),
    ("Space", "heat: Space has no measure of which a map could be drawn"),
    ("x" * 500, f'heat: "{"x" * 117}..." is no criterion or measure; there are '),
])
def test_a_heat_map_of_nothing_known_is_refused_with_what_exists(critique, parse, words, sentence):
    with pytest.raises(ValueError) as error:
        critique.rubric.rubric_language.subject(words, parse(""))
    assert str(error.value).startswith(sentence)
    assert critique.rubric.rubric_language.subject("  ", parse("")) is None


@pytest.mark.parametrize("text", ["{}=2", "{}", "@{}", "Value={}", "@Klee; @{}", "Value>1{}", "Value=2{}"])
def test_what_is_quoted_is_cut(parse, text):
    with pytest.raises(ValueError) as error:
        parse(text.format("x" * 5000))
    assert "xxx..." in str(error.value) and "x" * 121 not in str(error.value)


def test_a_bell_falls_off_and_one_sided_aims_only_on_one_side(critique):
    reading = critique.rubric.criteria.Reading
    target, least, most = (reading(kind, 60, 10) for kind in ("target", "least", "most"))
    assert target.of(60) == least.of(60) == most.of(60) == least.of(100) == most.of(0) == 100
    assert target.of(70) == target.of(50) == least.of(50) == most.of(70) == pytest.approx(60.653, abs=1e-3)


@pytest.mark.parametrize("kind", ["typical", "high", "low", "target", "least", "most"])
@pytest.mark.parametrize("at", [0, 30, 100])
def test_the_average_of_a_reading_is_its_mean_over_even_positions(critique, kind, at):
    reading = critique.rubric.criteria.Reading(kind, at, 15)
    mean = sum(reading.of(i / 100) for i in range(10001)) / 10001
    assert reading.average == pytest.approx(mean, abs=0.02)


def test_the_range_of_a_reading_holds_its_turning_point(critique):
    assert critique.rubric.criteria.TYPICAL.over(45, 60) == (80, 100)
    assert critique.rubric.criteria.Reading("target", 80, 10).over(95, 120)[0] == pytest.approx(13.53, abs=0.01)


@pytest.mark.parametrize("text", ["Balance" + " " * 9000 + "=" + " " * 9000 + "1" + " " * 900 + "!", "Balance=" * 2000,
                                  "*a" * 9000 + "=1", "Balance=1;" * 1990 + "x", "Balance -> " + "9" * 19000,
                                  "x" * 19000, "@" + "x" * 19000])
def test_a_text_made_to_be_slow_is_refused_at_once_with_a_short_quote(parse, text):
    with pytest.raises(ValueError, match="^rubric: ") as error:
        parse(text)
    assert not re.search(r"(.)\1{120}", str(error.value)) and len(str(error.value)) < 2500


def test_a_text_beyond_the_limit_is_refused_with_its_length(parse):
    with pytest.raises(ValueError, match="^rubric: expected at most 20000 characters, got 1000000$"):
        parse(" " * 1_000_000)
