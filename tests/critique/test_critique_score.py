"""The score under rubrics of one's own: additive, exact, and never moved by what must not count."""
import itertools
import math

import numpy as np
import pytest
import torch

RUBRICS = ["", "Balance=2; Symmetry=0", "Value>70; Line -> 80 +- 10", "*=0; Value=1 high", "RMS contrast=2 low",
           "@Arnheim", "@Dow; Notan=3", "@Kandinsky"]


@pytest.fixture(scope="module")
def judged(critique):
    """The critique of the picture whose every measure lies at its own random percentile."""
    reference = critique.reference.distributions.paintings()

    def make(text="", seed=0, **changed):
        places = np.random.default_rng(seed).integers(0, 101, len(reference.quantiles))
        measures = {column: reference.quantiles[column][changed.get(column, place)]
                    for column, place in zip(reference.quantiles, places, strict=True)}
        return critique.score.judge.judge(measures, reference, critique.rubric.rubric_language.parse(text))
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
    shares = critique.reference.distributions.paintings().shares
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
    calm = judged("*=0; Balance=high", **{"Tilt": 0})
    tipped = judged("*=0; Balance=high", **{"Tilt": 100})
    assert calm.score >= 99 and tipped.score <= 1


def test_a_star_leaves_out_nothing_that_counted_and_says_what_it_does_not_count(critique, judged):
    reference, parse = critique.reference.distributions.paintings(), critique.rubric.rubric_language.parse
    left_out = critique.report.what_counts.left_out
    typical, more = (judged(f"*=0; P*={asked}") for asked in ("1", "high"))
    counted = {v.criterion.name: [signal.column for signal in v.used] for v in more.counted}
    assert {v.criterion.name for v in typical.counted} <= set(counted)
    assert counted["Balance"] == ["Tilt"] and counted["Symmetry"] == ["Likeness left-right"]
    said, = left_out(typical.rubric, reference)
    named = {v.criterion.name for v in typical.verdicts if v.criterion.id.startswith("P") and not v.weight}
    assert named and all(name in said for name in named) and "Line" not in said and "`P*`" in said
    assert left_out(parse("*=0; Symmetry=1; P1=high"), reference) == [] == left_out(parse(""), reference)


def test_what_a_rubric_switches_off_counts_after_a_star_as_if_it_had_not(judged):
    plain = {v.criterion.name: v.weight for v in judged("*=0; P*=1").verdicts}
    for off in ("Symmetry=0", "Emphasis=0", "Emphasis=1; *=0", "Balance=high; P*=typical"):
        assert {v.criterion.name: v.weight for v in judged(f"*=0; {off}; P*=1").verdicts
                if v.criterion.name in plain} == plain


def test_with_a_reference_a_star_says_what_it_leaves_out(critique):
    paintings, parse = critique.reference.distributions.paintings(), critique.rubric.rubric_language.parse
    own = paintings._replace(name="mine", quantiles={column: list(map(float, range(101)))
                                                     for column in critique.measures.MEASURES})
    said, = critique.report.what_counts.left_out(parse("*=0; P*=1"), own)
    assert all(name in said for name in ("Symmetry", "Emphasis", "Movement", "Rhythm", "Unity")) and "Not" not in said


def test_the_four_contrasts_speak_alike_where_more_of_it_is_asked(judged):
    columns = ("RMS contrast", "std S channel", "Warm-cold contrast", "Complementary contrast")
    scores = [judged("*=0; Contrast=high", **{each: 100 * (each == column) for each in columns}).score
              for column in columns]
    assert scores == pytest.approx([25] * 4, abs=4)


def test_positions_run_from_pole_to_pole_and_never_count(judged):
    closed = {"Likeness left-right": 100, "DCM distance": 0, "Tilt": 0}
    opened = {column: 100 - place for column, place in closed.items()}
    places = [judged("@Klee", **side) for side in (closed, opened)]
    assert [c.criterion.bipolar for c in places[0].verdicts] == [False] * len(places[0].verdicts)
    ends = [next(p.place for p in judged("", **side).positions if p.criterion.id == "WO3")
            for side in (closed, opened)]
    assert ends == pytest.approx([-1, 1], abs=0.02)


def test_a_critic_who_only_knows_pairs_gives_no_total(critique, judged):
    with pytest.raises(ValueError, match="^rubric: expected something that can count, got only positions between two"):
        judged("@Woelfflin")
    with pytest.raises(ValueError, match="^rubric: expected at least one"):
        judged("*=0")


def test_without_a_total_the_pairs_alone_are_placed(critique):
    reference = critique.reference.distributions.paintings()
    measures = {column: quantiles[80] for column, quantiles in reference.quantiles.items()}
    found = critique.score.judge.judge(
        measures, reference, critique.rubric.rubric_language.parse("@Woelfflin"), total=False
    )
    assert found.positions_only and found.score == 0 and not found.counted and len(found.positions) == 5
    places = {position.criterion.id: position.place for position in found.positions}
    assert places["WO1"] is places["WO2"] is None  # withdrawn: nothing measured tells them
    assert places["WO5"] == pytest.approx(-0.6)


def test_what_has_no_distribution_cannot_be_asked_for(critique, judged):
    expression = "@Arnheim; Expression=2"
    with pytest.raises(ValueError, match="^rubric: Expression cannot count: nothing that is measured speaks for it$"):
        judged(expression)


def test_the_points_equal_shap(critique, judged):
    shap = pytest.importorskip("shap", reason="shap is test-only")
    reference = critique.reference.distributions.paintings()
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
    assert critique.score.judge.shapley(parts, worth) == pytest.approx(expected.tolist(), abs=1e-12)
    assert critique.score.judge.shapley(np.zeros(3), worth) == [0, 0, 0]


def test_shares_of_players_whose_worths_are_vectors_are_those_of_each_number_alone(critique):
    worths = np.random.default_rng(3).normal(size=(32, 2))
    values = critique.score.shapley.shapley_values(worths)
    assert values.shape == (5, 2)
    assert values[:, 1] == pytest.approx(critique.score.shapley.shapley_values(worths[:, 1]))
    assert values.sum(0) == pytest.approx(worths[-1] - worths[0])


def test_the_gains_over_all_orders_average_to_the_shares(critique):
    worths = np.random.default_rng(4).normal(size=16)
    gains = [
        critique.score.shapley.gains_of(order, [worths[sum(1 << player for player in order[:at])] for at in range(5)])
        for order in itertools.permutations(range(4))
    ]
    assert np.mean(gains, 0) == pytest.approx(critique.score.shapley.shapley_values(worths))
    assert np.sum(gains, 1) == pytest.approx([worths[15] - worths[0]] * 24)


@pytest.mark.parametrize("side", [1024, 900, 512])
@pytest.mark.parametrize("known", ["paintings", "everything"])
@pytest.mark.parametrize("text", [*RUBRICS, "Movement=high", "*=0; Complexity=1; Balance=1", "Texture=1", "*=high",
                                  "*=0; Texture=high", "*=0; Texture=high; Value=1", "Slope Redies=1", "@Hildebrand"])
def test_the_needed_columns_alone_give_the_same_score_and_criteria(critique, text, known, side):
    reference, rubric = critique.reference.distributions.paintings(), critique.rubric.rubric_language.parse(text)
    if known == "everything":
        reference = reference._replace(quantiles={column: list(map(float, range(101)))
                                                  for column in critique.measures.MEASURES} | reference.quantiles)
    own = critique.reference.distributions.OWN_SIDE
    measures = {column: quantiles[17 + 5 * (place % 9)]
                for place, (column, quantiles) in enumerate(reference.quantiles.items())} | {own: float(side)}
    needed = critique.score.judge.needed(reference, rubric)
    few = critique.score.judge.judge({column: measures[column] for column in {*needed, own}}, reference, rubric)
    whole = critique.score.judge.judge(measures, reference, rubric)
    assert needed < measures.keys() and (few.score, few.low, few.baseline) == (whole.score, whole.low, whole.baseline)
    assert [(v.points, v.contribution) for v in few.counted] == [(v.points, v.contribution) for v in whole.counted]


def test_the_band_of_a_mean_is_that_of_its_percentiles(critique, judged):
    band = critique.reference.distributions.paintings().band
    middle = judged("*=0; Texture=high", **{"Slope Redies": 50, "Fourier sigma": 50})
    assert (middle.low, middle.high) == pytest.approx((50 - band, 50 + band))


def test_what_a_small_copy_moves_counts_less_the_smaller_it_is(critique, judged):
    side = critique.reference.distributions.OWN_SIDE
    paintings = critique.reference.distributions.paintings()

    def texture(longer):
        usual = {column: quantiles[25] for column, quantiles in paintings.quantiles.items()}
        usual["Slope Redies"] = paintings.quantiles["Slope Redies"][100]
        found = critique.score.judge.judge({**usual, side: longer}, paintings)
        return next(v for v in found.verdicts if v.criterion.name == "Texture"), found

    weights = [texture(longer)[0].weight for longer in (1024.0, 960.0, 832.0, 768.0, 300.0)]
    assert weights == sorted(weights, reverse=True) and weights[-2:] == [0, 0] and weights[1] > 0
    for longer in (2000.0, 900.0, 300.0):
        found = texture(longer)[1]
        assert found.ranked
        assert sum(v.contribution for v in found.counted) == pytest.approx(found.score - found.baseline, abs=1e-9)
    assert texture(4000.0)[1].score == texture(1024.0)[1].score < texture(300.0)[1].score


@pytest.mark.parametrize("rubric, counts", [
    ("", "does not count"), ("*=0; Value=1", "does not count"), ("*=0; E*=1", "does not count"),
    ("*=0; Texture=high", "counts, as the rubric asks for it"), ("Texture=1", "counts, as the rubric asks for it")])
def test_fine_detail_of_a_small_copy_counts_where_a_rubric_names_it_and_the_report_says_so(critique, judged, rubric,
                                                                                           counts):
    paintings, parse = critique.reference.distributions.paintings(), critique.rubric.rubric_language.parse
    measures = {column: quantiles[50] for column, quantiles in paintings.quantiles.items()} | {"Own longer side": 512.0}
    found = critique.score.judge.judge(measures, paintings, parse(rubric))
    used = [[signal.column for signal in v.used] for v in found.counted if v.criterion.name == "Texture"]
    assert used == ([["Slope Redies"]] if counts.startswith("counts") else [])
    report = critique.report.critique_report
    evidence = critique.explain.reasons.evidence(found)
    picture = report.CriticisedPicture(found, {}, evidence, (512, 512), (1024, 1024))
    assert report.size_note(picture, paintings).endswith(f"(fine detail (Slope Redies)) {counts}.")
    assert f"sharpened, {counts}; other measures" in report.summary([found], paintings)


def test_the_paintings_are_even_from_0_to_100_at_every_size(critique):
    paintings = critique.reference.distributions.paintings()
    for longer in (300, 800, 900, 1024):
        sized = paintings.at_size(longer)
        assert sum(sized.shares.values()) == pytest.approx(1)
        assert sized.rank(50.0) == pytest.approx(50, abs=3) and sized.totals == sorted(sized.totals)


@pytest.fixture(scope="module")
def drawings(critique):
    """(a reference of 40 pictures of 512 pixels, the measures of each, what makes one of them a line drawing)."""
    distributions, measures = critique.reference.distributions, critique.measures.MEASURES
    middle = {column: quantiles[50] for column, quantiles in distributions.paintings().quantiles.items()}
    columns, draw = [*measures, distributions.OWN_SIDE], torch.Generator().manual_seed(0)
    rows = torch.tensor([[middle.get(column, 1.0) for column in measures] + [512.0]]).double()
    rows = rows * (1 + 0.2 * torch.rand(40, len(columns), generator=draw).double())
    rows[:, -1] = 512
    own = distributions.fit("my line drawings", "40 pictures of my line drawings", columns, rows)
    drawn = {"Ground share": 0.9, "Few colours": 0.95, "Smooth share": 0.9, "Colorfulness": 0.5, "Compactness": 0.01,
             "mean L channel": 90.0, "Dark share": 0.1}
    return own, [dict(zip(columns, row, strict=True)) for row in rows.tolist()], drawn


def test_small_pictures_are_no_small_copies_among_pictures_of_their_size(critique, drawings):
    own, rows, _ = drawings
    assert own.at_size(512) == own == own.at_size(1024) and own.side == 512
    assert own.at_size(384).shares["Slope Redies"] == 0 < own.at_size(450).shares["Slope Redies"]
    assert critique.reference.distributions.paintings().at_size(512).shares["Slope Redies"] == 0
    kinds = critique.explain.picture_kind.kinds
    told = [" ".join(kinds({**rows[0], "Own longer side": side}, own)) for side in (512.0, 400.0)]
    assert "A small copy" not in told[0] and "A small copy" in told[1]
    large = own._replace(quantiles=own.quantiles | {"Own longer side": [2000.0] * 101})
    assert large.side == 1024


def test_no_report_with_a_reference_of_ones_own_speaks_of_paintings(critique, drawings, pack):
    own, rows, drawn = drawings
    judge, report = critique.score.judge.judge, critique.report
    picture = judge({**rows[0], **drawn, "Own longer side": 300.0}, own)
    texts = [report.critique_report.summary([picture], own)]
    assert "A line drawing: one colour covers 90% of it.\n" in texts[0]
    faint = {"RMS contrast": 1.0, "std a channel": 1.0, "std b channel (Lab)": 1.0}
    texts.append(report.critique_report.summary([judge({**rows[0], **faint}, own)], own))
    texts.append(" ".join(critique.explain.picture_kind.kinds({**drawn, "Ground share": 0.9}, own._replace(
        quantiles={**own.quantiles, "Ground share": [0.1] * 101, "Colorfulness": [0.0] * 101}))))
    assert "Few pictures of my line drawings have such a ground" in texts[-1] and "No colour" not in texts[-1]
    critiques = [judge(row, own) for row in rows[:3]]
    texts.append(report.ranking.write(critiques, report.ranking.order([each.score for each in critiques]), 1, own))
    assert "Another sample of pictures of my line drawings" in texts[-1]
    page = critique.gallery.page
    texts.append(page._of_score({"rubric": "", "reference": "my line drawings 0123456789abcdef"}))
    assert texts[-1] == "0 to 100; the pictures of my line drawings are even from 0 to 100"
    texts.append(page._of_score({"rubric": "Balance=2", "reference": "paintings"}))
    assert not [text for text in texts if "paintings" in text.lower()]
    assert page._of_score({"rubric": "", "reference": "paintings"}).startswith("0 to 100; the paintings")


@pytest.mark.parametrize("rubric, column", [("Balance=high", "Tilt"), ("Balance -> 80", "Tilt"),
                                            ("Symmetry=high", "Likeness left-right"),
                                            ("Symmetry=2", "Likeness left-right"), ("Contrast=high", "RMS contrast")])
def test_what_a_rubric_names_is_read_from_the_measure_that_does_what_its_name_says(judged, rubric, column):
    found = judged(f"*=0; {rubric}")
    (verdict,) = found.counted
    assert verdict.used[0].column == column


def test_a_balance_that_is_only_weighed_keeps_its_published_measures(judged):
    (verdict,) = judged("*=0; Balance=2").counted
    assert [signal.column for signal in verdict.used] == ["DCM distance", "Balance"]
