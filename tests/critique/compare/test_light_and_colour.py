"""The eight curves: their formula, their words, what they claim, and the table they come from."""
import csv
from pathlib import Path

import pytest

TABLE = Path(__file__).resolve().parents[4] / "shared" / "data" / "versions_dev.csv"
LANDSCAPE = {"mean L channel": 45.0, "RMS contrast": 20.0, "mean S channel": 0.35, "std S channel": 0.2,
             "mean a channel": 0.0, "mean b channel (Lab)": 8.0, "std a channel": 6.0, "3D Fractal dimension": 2.6}


@pytest.fixture(scope="module")
def light(critique):
    return critique.compare.light_and_colour


def changed(light, **values):
    names = {"dark": "mean L channel", "red": "mean a channel", "flat": "RMS contrast"}
    return light.reading({**LANDSCAPE, **{names[name]: value for name, value in values.items()}})


def test_nothing_is_held_against_values_within_the_free_range(light):
    assert light.reading(LANDSCAPE).total == 0 and light.reading(LANDSCAPE).unknown == []


def test_the_parts_of_two_readings_sum_to_their_log_odds(light):
    first, second = light.reading(LANDSCAPE), changed(light, dark=10.0, red=30.0)
    assert second.total == pytest.approx(sum(second.parts.values()))
    assert light.chance(first, second) == pytest.approx(1 / (1 + 2.718281828459045 ** second.total))
    assert sum(odds for _, odds in light.complaints(second, first)) == pytest.approx(second.total - first.total)


def test_a_complaint_is_named_by_the_side_it_lies_on(light):
    base = light.reading(LANDSCAPE)
    assert [word for word, _ in light.complaints(changed(light, dark=10.0), base)] == ["too dark"]
    assert [word for word, _ in light.complaints(changed(light, dark=90.0), base)] == ["too light"]
    assert [word for word, _ in light.complaints(changed(light, red=-30.0), base)] == ["too green"]
    assert light.complaints(base, changed(light, dark=10.0)) == []


def test_a_curve_never_praises_and_stays_within_its_ends(light):
    for name, curve in light.curves().items():
        low, high = curve.x[0], curve.x[-1]
        for value in (-1e6, low, (low + high) / 2, *curve.x, high, 1e6):
            part = light.reading({**LANDSCAPE, name: value}).parts[name]
            assert min(curve.log_odds) <= part <= 0
            assert bool(curve.complaint(value)) == (part < 0)


def test_no_chance_above_95_percent_is_ever_claimed(light):
    first, second = light.reading(LANDSCAPE), changed(light, dark=0.0, red=60.0, flat=3.0)
    assert light.chance(first, second) > 0.99 and light.chance_in_words(first, second) == "over 95 %"
    assert light.chance_in_words(first, first) == "50 %"


def test_a_candidate_is_marked_from_nine_in_ten_on_and_never_for_being_better(light):
    base, worse = light.reading(LANDSCAPE), changed(light, red=40.0)
    assert light.spoiled(worse, base) == "too red or magenta"
    assert light.spoiled(base, worse) == "" == light.spoiled(changed(light, red=8.0), base)


def test_a_value_that_was_never_seen_is_known_as_such(light):
    assert changed(light, red=80.0).unknown == ["mean a channel"]


@pytest.mark.skipif(not TABLE.is_file(), reason="the published table is not on this machine")
def test_the_original_of_a_true_pair_has_the_better_reading_in_six_of_seven(light):
    with open(TABLE, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["pair"] == "1"]
    read = {row["img_file"]: light.reading({name: float(row[name]) for name in LANDSCAPE}).total for row in rows}
    originals = {row["id"]: read[row["img_file"]] for row in rows if row["kind"] == "original"}
    right = [originals[row["id"]] > read[row["img_file"]] for row in rows if row["kind"] != "original"]
    assert len(right) == 3437 and sum(right) / len(right) == pytest.approx(0.8676, abs=0.0005)


def test_versions_whose_edges_run_otherwise_are_told_by_the_everyday_name_of_the_measure(pack):
    said = pack.nodes.critique.compare.same_picture.different_picture
    first, second = {"1st-order EOE": 4.0, "2nd-order EOE": 4.0}, {"1st-order EOE": 3.0, "2nd-order EOE": 4.0}
    assert "(variety of edge directions (1st-order EOE): 3.00 against 4.00)" in said([(96, 64)] * 2, [first, second])
    assert said([(96, 64)] * 2, [first, first]) == ""
