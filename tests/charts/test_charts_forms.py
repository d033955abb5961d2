"""Ready-made forms: which rows and columns they draw, and how."""
import importlib
import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CRITERIA = [{"name": name, "typicality": t, "points": p} for name, t, p in
            (("Line", 80.0, 5.0), ("Shape", 30.0, -7.5), ("Value", 95.0, 8.0), ("Balance", 8.0, -12.0))]
FORMS = {
    "bars(label=name, value=points)": CRITERIA,
    "radar(label=name, value=typicality)": CRITERIA,
    "waterfall(label=name, value=points)": CRITERIA,
    "palette()": [{"colour": "#704214", "share": 0.7}, {"colour": "#1f2e6d", "share": 0.3}],
    "blocks()": [{"block": f"D{i:02}", "energy": i + 1.0} for i in range(19)] + [{"block": "MID", "energy": 3.0}],
    "loss()": {"loss": [1.0, 0.5, 0.3]},
    "timeline(x=year, y=score)": [{"year": 1850 + i, "score": i % 7} for i in range(30)],
    "plane()": [{"entropy": 0.8, "complexity": 0.2}],
    'frame(coord=polar) ; spread(name, dir=x) . rect(h=typicality, fill=name)': CRITERIA,
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("spec", FORMS)
def test_every_form_draws_a_picture_of_the_size_asked_for(charts, spec, theme):
    image = charts.chart_picture.picture(json.dumps(FORMS[spec]), spec, 512, 400, theme)
    paper = torch.tensor(getattr(charts.drawing.theme, theme.upper()).paper) / 255
    assert image.shape[0] == 1 and image.shape[2:] == (512, 3)
    assert (image[0] - paper).abs().amax(-1).gt(0.1).float().mean() > 0.004


def test_the_parts_of_a_waterfall_hang_where_the_one_before_ended(charts):
    scene = charts.chart_types.waterfall(
        CRITERIA, charts.grammar.frame.Frame(), charts.drawing.theme.LIGHT, "name", "points"
    )
    rows = [row.children[1] for row in scene.children[-5:]]
    ends = [(bar.x, bar.x + bar.w) for bar in rows]
    assert ends[1][1] == pytest.approx(ends[0][1])       # -7.5 begins where +5 ended
    assert ends[2][0] == pytest.approx(ends[1][0])       # +8 begins where -7.5 ended
    assert rows[4].w == pytest.approx(abs(sum(r["points"] for r in CRITERIA)) / 5.0 * rows[0].w)


CRITIQUES = json.dumps([{"score": 30.0 + i, "measures": {"Permutation entropy": 0.8, "Statistical complexity": 0.1 + i},
                         "contributions": {"Line": 2.0 + i, "Shape": -3.0}} for i in range(2)])


@pytest.mark.parametrize("spec", ["plane(by=picture)", "timeline(x=picture, y=score)",
                                  "frame(rows=criteria); radar(label=name, value=points, by=picture)",
                                  "frame(rows=criteria, picture=2); radar(label=name, value=points, by=picture)"])
def test_what_is_drawn_by_picture_is_drawn_of_a_single_one_too(charts, spec):
    record = json.loads(CRITIQUES)[0] | {"criteria": {name: {"points": 9.0} for name in ("Line", "Shape", "Value")}}
    data = json.dumps([record] * (2 if "picture=2" in spec else 1))
    assert charts.chart_picture.picture(data, spec, 512, 400, "light").shape[2] == 512


def test_the_number_of_a_single_record_takes_no_column_s_place(charts):
    read, record = charts.grammar.rows.read, '[{"picture": "mine", "a": {"b": 1}, "rows": [{"n": "x"}]}]'
    assert read(record).rows[0]["picture"] == "mine"
    assert list(read('[{"n": "x", "a": {"b": 1}}]').rows[0]) == ["n", "a.b", "picture"]
    assert read(record, "rows").rows == [{"n": "x", "picture": "1"}]
    assert [row["picture"] for row in read(CRITIQUES, "contributions", 2).rows] == ["2", "2"]


def test_a_missing_value_opens_a_radar_and_moves_no_step(charts):
    radar = importlib.import_module(f"{charts.__name__}.chart_types.radar")
    assert radar._runs([1, 2, 3]) == [[1, 2, 3, 1]]
    assert radar._runs([1, None, 3, 4]) == [[3, 4, 1]] and radar._runs([1, None, 3, None]) == []

    def drawn(value):
        rows = [{"n": n, "v": v, "r": r} for r, values in (("x", [50, 60, 70]), ("y", [40, value, 80]))
                for n, v in zip("abc", values, strict=True)]
        return charts.chart_picture.picture(json.dumps(rows), "radar(label=n, value=v, by=r)", 800, 600, "light")

    middle = [drawn(value)[0, 250:330, 360:440] for value in (None, 0)]
    assert (middle[0] - middle[1]).abs().max() > 0.1        # no dot at the middle

    def points(values):
        scene = charts.chart_types.loss([{"l": value} for value in values], charts.grammar.frame.Frame(),
                                        charts.drawing.theme.LIGHT, "l")
        lines = (mark.look["points"] for mark in flat(scene) if mark.kind == "line")
        return next(found for found in lines if len(found) == 3)

    def flat(node):
        return [node, *(each for child in node.children for each in flat(child))]

    first, second, last = (x for x, _ in points([5.0, 4.0, None, None, 1.0]))
    assert last - first == pytest.approx(4 * (second - first))
    words = '{"loss": [5, 4, null, null, 1]}'
    assert charts.chart_picture.picture(words, "loss()", 480, 320, "light").shape[2] == 480


def test_what_is_nested_in_a_record_becomes_its_columns(charts):
    rows = charts.grammar.rows.read(CRITIQUES).rows
    assert [row["picture"] for row in rows] == ["1", "2"] and rows[1]["measures.Statistical complexity"] == 1.1
    columns = charts.chart_types.columns_of
    assert columns("plane", {}, rows) == {"entropy": "measures.Permutation entropy",
                                          "complexity": "measures.Statistical complexity"}
    assert columns("timeline", {}, rows) == {"x": "picture", "y": "score"}


def test_what_adds_up_is_drawn_of_one_picture(charts):
    rows = charts.grammar.rows
    kept, note = rows.of_one_picture(rows.read(CRITIQUES, "contributions").rows)
    assert [row["value"] for row in kept] == [2.0, -3.0] and note == ["picture 1 of 2; frame(picture=2) shows the next"]
    assert [row["value"] for row in rows.read(CRITIQUES, "contributions", 2).rows] == [3.0, -3.0]
    draw = charts.chart_picture.picture
    first, second, alone = (draw(data, f"frame(rows=contributions{extra}); waterfall()", 400, 300, "light")
                            for data, extra in ((CRITIQUES, ""), (CRITIQUES, ", picture=2"),
                                                (json.dumps(json.loads(CRITIQUES)[1:]), "")))
    assert torch.equal(second, alone) and not torch.equal(first, second) and first.shape == second.shape


FIRST = "picture 1 of 2; frame(picture=2) shows the next"


@pytest.mark.parametrize("form, noted", [("radar()", True), ("bars()", True), ("loss(value=value)", True),
                                         ("radar(by=picture)", False), ("timeline()", False)])
def test_a_form_draws_the_first_picture_unless_it_tells_them_apart(words_of, form, noted):
    records = [{"own": {name: value + i for name, value in zip("abc", (1, 2, 3), strict=True)}} for i in range(2)]
    said = words_of(records, f"frame(rows=own); {form}")
    assert (FIRST in said) == noted and not any("(1)" in word for word in said)


def test_a_column_picture_of_the_rows_themselves_is_no_number_of_a_record(words_of):
    ranked = {"ranked": [{"picture": f"{i}.png", "score": i + 1} for i in range(3)]}
    assert {"0.png", "1.png", "2.png"} <= set(words_of(ranked, "frame(rows=ranked); bars()"))
    assert "2.png" in words_of(ranked, "frame(rows=ranked, picture=1); bars()")


def test_picture_takes_one_of_the_rows_that_are_not_nested(words_of):
    said = words_of([{"n": "a", "score": 1}, {"n": "b", "score": 2}], "frame(picture=2); bars()")
    assert "b" in said and "a" not in said


@pytest.mark.parametrize("form, row, column", [
    ("bars", {"lora": "a", "step": 100, "weight": 0.2}, "weight"),          # of Average Checkpoints
    ("bars", {"lora": "a", "strength": 0.5, "blocks": "", "score": 50.0, "likeness": None}, "score"),   # of LoRA Grid
    ("bars", {"name": "Line", "points": 9.0, "weight": 1.0}, "points"),     # of Art Critique
    ("loss", {"step": 10, "loss": 0.5}, "loss"), ("timeline", {"name": "a", "step": 1, "loss": 0.5}, "loss")])
def test_a_form_finds_the_column_that_says_most_of_what_other_nodes_give(charts, form, row, column):
    assert column in charts.chart_types.columns_of(form, {}, [row]).values()


def test_a_loss_lies_at_the_step_that_its_row_names(words_of):
    own = words_of([{"step": 10 * i, "loss": 1 / i} for i in range(1, 20)], "loss()")
    assert "150" in own and "step" in own
    assert "150" not in words_of([{"step": f"step {i}", "loss": 1 / i} for i in range(1, 20)], "loss()")
    assert "row" in words_of([{"step": 10 * i} for i in range(1, 20)], "loss(value=step)")


def test_a_name_that_is_the_length_too_is_drawn(words_of):
    rows = [{"value": 3}, {"value": 3}, {"value": 5}]
    assert {"3 (1)", "3 (2)"} <= set(words_of(rows, "bars(label=value)"))
    assert {"3 (1)", "3 (2)"} <= set(words_of(rows, "radar(label=value, value=value)"))


def test_blocks_grow_closer_where_there_are_many(words_of):
    assert words_of([{"block": f"IN{i}", "energy": 1} for i in range(2000)], "blocks()")


@given(st.lists(st.floats(1e-6, 1), min_size=24, max_size=24))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_distribution_lies_outside_the_bounds_of_the_plane(charts, weights):
    import numpy as np
    plane = importlib.import_module(f"{charts.__name__}.chart_types.plane")
    h, c = plane._entropy_complexity(np.array(weights) / sum(weights))
    least, greatest = (np.array(curve).T for curve in plane.bounds(24))
    assert np.interp(h, *least) - 2e-3 <= c <= np.interp(h, *greatest) + 2e-3


@pytest.mark.parametrize("spec", ["bars()", "radar()"])
def test_rows_of_one_name_are_drawn_each_for_itself(charts, spec):
    def drawn(*names):
        rows = [{"name": name, "value": value} for name, value in zip(names, (1, 5, 9, 2), strict=True)]
        return charts.chart_picture.picture(json.dumps(rows), spec, 500, 400, "light")

    assert torch.equal(drawn("a", "b", "a", "a (1)"), drawn("a (2)", "b", "a (3)", "a (1)"))
