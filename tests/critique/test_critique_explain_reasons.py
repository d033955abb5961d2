"""The reasons of a critique: each a fact of its own, each comparison true."""
import pytest
from drawn_planes import coloured


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
