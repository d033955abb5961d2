"""The score under rubrics of one's own: additive, exact, and never moved by what must not count."""
import itertools
import math

import numpy as np
import pytest

RUBRICS = ["", "Balance=2; Symmetry=0", "Value>70; Line -> 80 +- 10", "*=0; Value=1 high", "RMS contrast=2 low",
           "@Arnheim", "@Dow; Notan=3", "@Kandinsky"]


@pytest.fixture(scope="module")
def judged(critique):
    """The critique of the picture whose every measure lies at its own random percentile."""
    reference = critique.reference.paintings()

    def make(text="", seed=0, **changed):
        places = np.random.default_rng(seed).integers(0, 101, len(reference.quantiles))
        measures = {column: reference.quantiles[column][changed.get(column, place)]
                    for column, place in zip(reference.quantiles, places, strict=True)}
        return critique.score.judge(measures, reference, critique.language.parse(text))
    return make


@pytest.mark.parametrize("text", RUBRICS)
@pytest.mark.parametrize("seed", range(3))
def test_contributions_sum_to_the_score_minus_the_baseline(judged, text, seed):
    found = judged(text, seed)
    assert sum(v.contribution for v in found.verdicts) == pytest.approx(found.score - found.baseline, rel=0, abs=1e-9)
    assert 0 <= found.low <= found.score <= found.high <= 100


@pytest.mark.parametrize("text", RUBRICS)
def test_weights_sum_to_one_and_what_weighs_nothing_gives_nothing(judged, text):
    found = judged(text)
    assert sum(v.weight for v in found.verdicts) == pytest.approx(1)
    assert all(v.contribution == 0 for v in found.verdicts if v.weight == 0)


def test_a_measure_that_two_criteria_use_has_one_voice(critique, judged):
    shares = critique.reference.paintings().shares
    weights = {v.criterion.name: v.weight for v in judged().verdicts}
    both = shares["Color entropy"] / 2
    others = sum(shares[column] for column in ("mean S channel", "std a channel", "std b channel (Lab)"))
    assert weights["Colour richness"] == pytest.approx(both + others)


def test_a_doubled_weight_doubles_against_all_others(judged):
    plain, doubled = judged(), judged("Balance=2")

    def odds(found):
        weight = {v.criterion.name: v.weight for v in found.verdicts}
        return weight["Balance"] / weight["Value"]

    assert odds(doubled) == pytest.approx(2 * odds(plain))


def test_a_rubric_of_ones_own_is_the_mean_of_its_points(judged):
    found = judged("*=0; Value=3 high; Balance=1 low")
    points = {v.criterion.name: (v.weight, v.points) for v in found.counted}
    assert set(points) == {"Value", "Balance"} and not found.ranked
    assert found.score == pytest.approx(sum(weight * value for weight, value in points.values()))
    assert found.baseline == pytest.approx(50)


def test_more_of_a_criterion_is_less_of_what_speaks_against_it(judged):
    calm = judged("*=0; Balance=high", **{"DCM distance": 0, "Balance": 0})
    tipped = judged("*=0; Balance=high", **{"DCM distance": 100, "Balance": 100})
    assert calm.score == 100 and tipped.score == 0


def test_positions_run_from_pole_to_pole_and_never_count(judged):
    linear = {"Edge density": 100, "Slope Redies": 100, "1st-order EOE": 0}
    painterly = {column: 100 - place for column, place in linear.items()}
    places = [judged("@Klee", **side) for side in (linear, painterly)]
    assert [c.criterion.bipolar for c in places[0].verdicts] == [False] * len(places[0].verdicts)
    ends = [next(p.place for p in judged("", **side).positions if p.criterion.id == "WO1")
            for side in (linear, painterly)]
    assert ends == pytest.approx([-1, 1])


def test_a_critic_who_only_knows_pairs_gives_no_total(critique, judged):
    with pytest.raises(ValueError, match="^rubric: expected something that can count, got only positions between two"):
        judged("@Woelfflin")
    with pytest.raises(ValueError, match="^rubric: expected at least one"):
        judged("*=0")


def test_without_a_total_the_pairs_alone_are_placed(critique):
    reference = critique.reference.paintings()
    measures = {column: quantiles[80] for column, quantiles in reference.quantiles.items()}
    found = critique.score.judge(measures, reference, critique.language.parse("@Woelfflin"), total=False)
    assert found.positions_only and found.score == 0 and not found.counted and len(found.positions) == 5
    plane = next(position for position in found.positions if position.criterion.id == "WO2")
    assert plane.place == pytest.approx(0.6)


def test_what_has_no_distribution_cannot_be_asked_for(critique, judged):
    expression = "@Arnheim; Expression=2"
    with pytest.raises(ValueError, match="^rubric: Expression cannot count: the reference has no distribution of what"):
        judged(expression)


def test_the_points_equal_shap(critique, judged):
    shap = pytest.importorskip("shap", reason="shap is test-only")
    reference = critique.reference.paintings()
    found = judged(seed=4)
    typical = np.array([verdict.typicality or 50.0 for verdict in found.verdicts])
    weights = np.array([verdict.weight for verdict in found.verdicts])

    def score(rows):
        return reference.rank(rows @ weights)

    masker = shap.maskers.Independent(np.full((1, len(typical)), 50.0))
    explained = shap.explainers.Exact(score, masker)(typical[None])
    assert explained.values[0] == pytest.approx([v.contribution for v in found.verdicts], rel=0, abs=1e-9)


def test_shapley_values_equal_their_definition(critique):
    parts, worth = np.array([3.0, -1.0, 0.0, 2.5]), lambda total: np.tanh(total)
    orders = list(itertools.permutations(range(4)))
    expected = np.zeros(4)
    for order in orders:
        for at, part in enumerate(order):
            before = sum(parts[list(order[:at])])
            expected[part] += (math.tanh(before + parts[part]) - math.tanh(before)) / len(orders)
    assert critique.score.shapley(parts, worth) == pytest.approx(expected.tolist(), abs=1e-12)
    assert critique.score.shapley(np.zeros(3), worth) == [0, 0, 0]


def test_shares_of_players_whose_worths_are_vectors_are_those_of_each_number_alone(critique):
    worths = np.random.default_rng(3).normal(size=(32, 2))
    values = critique.shapley.shapley_values(worths)
    assert values.shape == (5, 2)
    assert values[:, 1] == pytest.approx(critique.shapley.shapley_values(worths[:, 1]))
    assert values.sum(0) == pytest.approx(worths[-1] - worths[0])


def test_the_gains_over_all_orders_average_to_the_shares(critique):
    worths = np.random.default_rng(4).normal(size=16)
    gains = [critique.shapley.gains_of(order, [worths[sum(1 << player for player in order[:at])] for at in range(5)])
             for order in itertools.permutations(range(4))]
    assert np.mean(gains, 0) == pytest.approx(critique.shapley.shapley_values(worths))
    assert np.sum(gains, 1) == pytest.approx([worths[15] - worths[0]] * 24)


@pytest.mark.parametrize("text", [*RUBRICS, "Movement=high", "*=0; Complexity=1; Balance=1"])
def test_the_needed_columns_alone_give_the_same_score_and_criteria(critique, text):
    reference, rubric = critique.reference.paintings(), critique.language.parse(text)
    measures = {column: quantiles[17] for column, quantiles in reference.quantiles.items()}
    needed = critique.score.needed(reference, rubric)
    few = critique.score.judge({column: measures[column] for column in needed}, reference, rubric)
    whole = critique.score.judge(measures, reference, rubric)
    assert needed < measures.keys() and (few.score, few.low, few.baseline) == (whole.score, whole.low, whole.baseline)
    assert [(v.points, v.contribution) for v in few.counted] == [(v.points, v.contribution) for v in whole.counted]


def test_the_band_of_a_mean_is_that_of_its_percentiles(critique, judged):
    band = critique.reference.paintings().band
    middle = judged("*=0; Texture=high", **{"Slope Redies": 50, "Fourier sigma": 50})
    assert (middle.low, middle.high) == pytest.approx((50 - band, 50 + band))
