"""The reference distribution against the published tables, and the score against its own promises."""
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

TABLES = Path(__file__).resolve().parents[3] / "shared" / "data"
# They tell paintings from photographs as well, but move 5 to 21 percentiles when a picture is resized.
SIZE_BOUND = ("Complexity", "Fourier sigma", "2D Fractal dimension", "3D Fractal dimension", "Self-similarity (PHOG)",
              "Anisotropy")


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_paintings", Path(__file__).with_name("make_paintings.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables(critique, maker):
    """The published tables, every column: paintings, photographs, random-phase images."""
    if not TABLES.is_dir():
        pytest.skip(f"the published tables are not on this machine ({TABLES}); see tests/critique/make_paintings.py")
    columns = [*critique.measures.TOOLBOX, *critique.measures.FILTERED]
    return [maker.read(TABLES / f"{name}_QIPs.csv", columns) for name in ("JA", "AVA", "Random_phase")]


def published(reference):
    """The columns that were measured in the paintings."""
    return [column for column in reference.quantiles if column not in reference.estimated]


def above(first, second):
    """Area under the ROC curve: the chance that one of `first` exceeds one of `second`, ties counted half."""
    difference = first[:, None] - second[None]
    return ((difference > 0).double() + (difference == 0).double() / 2).mean().item()


def test_the_stored_reference_is_made_from_the_published_table(critique, maker, tables):
    stored = critique.reference.distributions.paintings()
    made = maker.fields(
        critique.reference.distributions.fit(stored.name, stored.source, published(stored), tables[0])
    )
    assert made["count"] == stored.count == 1629
    for column, quantiles in ((column, stored.quantiles[column]) for column in published(stored)):
        assert made["quantiles"][column] == pytest.approx(quantiles, abs=2e-9)
    assert made["totals"] == pytest.approx(stored.totals, abs=2e-9)
    assert made["shares"] == pytest.approx(stored.shares, abs=2e-9)


def columns_of(critique, rows, names):
    order = [*critique.measures.TOOLBOX, *critique.measures.FILTERED]
    return rows[:, [order.index(name) for name in names]]


@pytest.mark.parametrize("extended, published", [(False, (0.8386, 0.9897, 0.8749)), (True, (0.9006, 0.9960, 0.9014))])
def test_the_published_separations_come_out(critique, tables, extended, published):
    reference = critique.reference.distributions
    names = [*reference.SCORED, *(SIZE_BOUND if extended else ())]
    paintings, photographs, noise = (columns_of(critique, rows, names) for rows in tables)
    fitted = reference.quantiles_of(paintings[0::2])
    plain = [reference.typicalities(rows, fitted).mean(1) for rows in (paintings[1::2], photographs, noise)]
    found = [above(plain[first], plain[second]) for first, second in ((0, 1), (0, 2), (1, 2))]
    assert found == pytest.approx(published, abs=0.003)


def test_sharing_weight_keeps_the_separations(critique, tables):
    paintings, photographs, noise = (
        columns_of(critique, rows, critique.reference.distributions.SCORED) for rows in tables
    )
    fitted = critique.reference.distributions.quantiles_of(paintings[0::2])
    shares = critique.reference.distributions.independent_shares(paintings[0::2])
    typical = [
        critique.reference.distributions.typicalities(rows, fitted) for rows in (paintings[1::2], photographs, noise)
    ]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        plain = above(typical[first].mean(1), typical[second].mean(1))
        assert above(typical[first] @ shares, typical[second] @ shares) > plain - 0.005


def test_scores_of_paintings_it_never_saw_are_spread_evenly(critique, tables):
    odd = critique.reference.distributions.fit(
        "odd", "", published(critique.reference.distributions.paintings()), tables[0][1::2]
    )
    scores = sorted(critique.score.judge.judge(dict(zip(odd.quantiles, row, strict=True)), odd).score
                    for row in tables[0][0::2].tolist())
    even = np.linspace(0, 100, len(scores))
    assert np.abs(np.array(scores) - even).max() < 2 * odd.band


def test_a_percentile_is_the_middle_of_a_run_of_equal_values(critique):
    percentile = critique.reference.distributions.percentile
    quantiles = [0.0] * 20 + [float(i) for i in range(1, 82)]
    assert percentile(0.0, quantiles) == 9.5
    assert percentile(-1, quantiles) == 0 and percentile(1e9, quantiles) == 100
    assert percentile(1.5, quantiles) == 20.5


def test_equal_columns_weigh_together_as_much_as_one(critique):
    column = torch.randn(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    column[:, 1] -= column[:, 0] * (column[:, 0] @ column[:, 1]) / (column[:, 0] @ column[:, 0])
    shares = critique.reference.distributions.independent_shares(column[:, [0, 0, 0, 1]])
    assert shares.sum().item() == pytest.approx(1)
    assert shares[:3].sum().item() == pytest.approx(shares[3].item(), abs=0.01)


def test_the_band_is_that_of_kolmogorov(critique):
    assert critique.reference.distributions.paintings().band == pytest.approx(3.365, abs=0.001)


@pytest.mark.parametrize("position", [0, 1, 17, 50, 96, 100])
def test_contributions_sum_to_the_score_minus_the_baseline(critique, position):
    reference = critique.reference.distributions.paintings()
    rng = np.random.default_rng(position)
    places = np.clip(rng.normal(position, 20, len(reference.quantiles)).round().astype(int), 0, 100)
    measures = {column: reference.quantiles[column][place]
                for column, place in zip(reference.quantiles, places, strict=True)}
    found = critique.score.judge.judge(measures, reference)
    assert sum(v.contribution for v in found.verdicts) == pytest.approx(found.score - found.baseline, rel=0, abs=1e-9)
    assert 0 <= found.score <= 100


def test_the_most_typical_picture_scores_100_and_the_least_typical_0(critique):
    reference = critique.reference.distributions.paintings()
    median, lowest = ({column: values[at] for column, values in reference.quantiles.items()} for at in (50, 0))
    assert critique.score.judge.judge(median, reference).score == 100
    assert critique.score.judge.judge(lowest, reference).score == 0


def test_shapley_values_are_those_of_a_game_solved_by_hand(critique):
    # Three players, worth 1 as soon as two of them take part: one third each. Parts 1, 1, 1.
    values = critique.score.judge.shapley(np.ones(3), lambda total: (total >= 2).astype(float))
    assert values == pytest.approx([1 / 3] * 3)
    # Additive worth gives every player its own part.
    assert critique.score.judge.shapley(np.array([1.0, -2.0, 4.0]), lambda total: 3 * total) == pytest.approx(
        [3, -6, 12]
    )


def test_the_stored_reference_names_its_source_and_licence(critique):
    stored = json.loads(
        Path(critique.reference.distributions.__file__).with_name("paintings.json").read_text(encoding="utf-8")
    )
    assert "10.3758/s13428-025-02632-3" in stored["source"] and "MIT" in stored["source"]
