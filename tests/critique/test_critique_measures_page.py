"""docs/measures.md calls every measure as the critique does, and says truly for which criterion it counts."""
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "measures.md"
STATES = {"": "counts", "=1": "counts when named", "=high": "counts when asked for more, less or a place"}


@pytest.fixture(scope="module")
def rows():
    """The rows of the tables under "Measures": the cells of each by its first."""
    measures = PAGE.read_text(encoding="utf-8").partition("\n## Measures\n")[2].partition("\n## Theorists")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in measures.splitlines()
             if line.startswith("| ") and not line.startswith("| measure ")]
    assert len({row[0] for row in cells}) == len(cells)
    return {row[0]: row[1:] for row in cells}


@pytest.fixture(scope="module")
def used(critique):
    """A rubric -> of each criterion of the default rubric the columns that move its points, among the paintings; with
    everything measured that can be."""
    paintings = critique.reference.distributions.paintings()
    measures = {**dict.fromkeys(critique.explain.phrases.PHRASES, 0.5),
                **{column: quantiles[40] for column, quantiles in paintings.quantiles.items()},
                critique.reference.distributions.OWN_SIDE: 2000.0}

    def of(rubric):
        judged = critique.score.judge.judge(measures, paintings, critique.rubric.rubric_language.parse(rubric))
        return {verdict.criterion.id: {signal.column for signal in verdict.used} for verdict in judged.verdicts
                if verdict.weight}

    return of


def roles(critique, used):
    """Column -> what the page should say it is for."""
    found, plain = {}, used("")
    for criterion in critique.rubric.default_rubric.RUBRIC:
        states = {"": plain.get(criterion.id, set())}
        for asked in ("=1", "=high"):
            try:
                states[asked] = used(criterion.name + asked).get(criterion.id, set())
            except ValueError:      # the paintings have no distribution of it
                states[asked] = set()
        for signal in {signal.column: signal for signal in (*criterion.signals, *criterion.aimed)}.values():
            state = next((STATES[asked] for asked, columns in states.items() if signal.column in columns), "shown")
            turned = ", the other way round" if signal.direction < 0 else ""
            found.setdefault(signal.column, []).append(f"{criterion.name}: {state}{turned}")
    return {column: "; ".join(said) for column, said in found.items()}


def test_every_measure_has_a_row_by_the_name_that_the_critique_gives_it(critique, rows):
    phrases = critique.explain.phrases
    assert {phrases.called(column) for column in phrases.PHRASES} == set(rows)
    assert all(cells[0] for cells in rows.values())


def test_every_row_says_for_which_criterion_its_measure_counts(critique, rows, used):
    said = {critique.explain.phrases.called(column): role for column, role in roles(critique, used).items()}
    assert {name: cells[1] for name, cells in rows.items() if len(cells) > 1} == said


def test_a_rubric_takes_every_measure_but_those_that_need_a_depth_map(critique, rows):
    phrases, parse = critique.explain.phrases, critique.rubric.rubric_language.parse
    for column in phrases.PHRASES:
        if "needs `depth`" in rows[phrases.called(column)][0]:
            with pytest.raises(ValueError, match=f'^rubric: "{column}" in .* is only told: it needs a depth map'):
                parse(f'"{column}"=high')
        else:
            assert column in parse(f'"{column}"=high').criteria[-1].columns


def test_a_measure_by_filters_counts_where_the_reference_knows_it_and_it_was_measured(critique):
    judge, parse = critique.score.judge.judge, critique.rubric.rubric_language.parse
    paintings = critique.reference.distributions.paintings()
    rubric = parse('*=0; "Sparseness"=high')
    assert judge({"Sparseness": paintings.quantiles["Sparseness"][80]}, paintings, rubric).score == pytest.approx(80)
    nothing = r"^rubric: Sparseness cannot count: .*\(Sparseness\) nothing is both measured"
    with pytest.raises(ValueError, match=nothing):
        judge({"RMS contrast": 20.0}, paintings, rubric)
    with pytest.raises(ValueError, match="^rubric: Height warmth cannot count"):
        judge({"Height warmth": 0.1}, paintings, parse('*=0; "Height warmth"=high'))


def test_a_heat_map_is_drawn_of_every_measure_but_of_depth_height_and_filters(critique, rows):
    phrases, language = critique.explain.phrases, critique.rubric.rubric_language
    for column in phrases.PHRASES:
        if "needs `depth`" in (row := rows[phrases.called(column)][0]) or "filters" in row or "Height" in column or (
                "by filters" in phrases.called(column) or column == "learned"):
            with pytest.raises(ValueError, match="has no measure of which a map could be drawn"):
                language.subject(column, language.parse(""))
        else:
            assert language.subject(f'"{column}"', language.parse("")).columns == (column,)


def test_no_two_measures_have_one_everyday_name(critique):
    names = [phrase.name for phrase in critique.explain.phrases.PHRASES.values()]
    assert len(set(names)) == len(names)
    assert not [name for name in names if re.search(r"\b(std|EOE|DCM|PHOG|CNN)\b", name)]
