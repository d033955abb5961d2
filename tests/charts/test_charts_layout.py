"""What a chart shows stands in proportion to the data."""
import importlib
import json
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

WEEK = [{"day": day, "kind": kind, "n": n} for day, kind, n in
        (("mon", "a", 2), ("mon", "b", 1), ("tue", "a", 4), ("tue", "b", 3), ("wed", "a", -2), ("wed", "b", -1))]


@pytest.fixture(scope="module")
def drawn(charts):
    """(kind, x, y, w, h) of every mark of a spec, plotted on 300 x 200 pixels without a frame."""
    spec, layout, theme = charts.chart_language, charts.grammar.layout, charts.drawing.theme.LIGHT

    def flat(node, x=0.0, y=0.0):
        x, y = x + node.x, y + node.y
        if node.kind != "layer":
            yield node.kind, round(x, 6), round(y, 6), round(node.w, 6), round(node.h, 6), node.look
        for child in node.children:
            yield from flat(child, x, y)

    def draw(words, rows):
        root = spec.expression(spec.parse(words), rows)
        plots = list(root.children) if root.__class__.__name__ == "Mark" else [root]
        return [mark for mark in flat(layout.Plot(plots, 300, 200, theme).scene())]
    return draw


def test_bars_share_the_width_and_are_as_long_as_their_numbers(drawn):
    bars = drawn("spread(n, dir=x, spacing=0) . rect(h=n)", [{"n": 1}, {"n": 4}, {"n": 2}])
    assert [bar[1:5] for bar in bars] == [(0, 150, 100, 50), (100, 0, 100, 200), (200, 100, 100, 100)]


def test_a_stack_adds_up_and_negative_numbers_grow_the_other_way(drawn):
    bars = drawn("spread(day, dir=x, spacing=0) . stack(kind, dir=y) . rect(h=n)", WEEK)
    unit = 200 / 10  # from -3 to 7
    tops = [(x, y, h) for _, x, y, _, h, _ in bars]
    assert tops == [(0, 5 * unit, 2 * unit), (0, 4 * unit, unit), (100, 3 * unit, 4 * unit), (100, 0, 3 * unit),
                    (200, 7 * unit, 2 * unit), (200, 9 * unit, unit)]


def test_a_list_reads_from_the_top_and_its_bars_begin_at_zero(drawn):
    bars = drawn("spread(day, dir=y, spacing=0) . rect(w=n)", [{"day": "a", "n": 3}, {"day": "b", "n": -1}])
    assert [bar[1:5] for bar in bars] == [(75, 0, 225, 100), (0, 100, 75, 100)]


def test_proximity_groups_what_belongs_together(drawn):
    bars = drawn("spread(day, dir=x, spacing=30) . spread(kind, dir=x, spacing=2) . rect(h=n)", WEEK)
    starts, width = [bar[1] for bar in bars], bars[0][3]
    gaps = [b - a - width for a, b in zip(starts, starts[1:], strict=False)]
    assert gaps == pytest.approx([2, 30, 2, 30, 2])


def test_scattered_dots_keep_the_order_and_the_distances_of_the_data(drawn):
    dots = drawn("scatter(x=a, y=b) . circle(r=5)", [{"a": 0, "b": 0}, {"a": 1, "b": 1}, {"a": 4, "b": 2}])
    x, y = ([dot[i] + 5 for dot in dots] for i in (1, 2))
    assert (x[2] - x[0]) == pytest.approx(4 * (x[1] - x[0]))
    assert (y[0] - y[2]) == pytest.approx(2 * (y[0] - y[1])) and y[0] > y[1] > y[2]


def test_a_line_is_drawn_for_every_value_of_its_colour(drawn):
    rows = [{"x": i, "y": i * i, "run": run} for run in "ab" for i in range(3)]
    lines = [mark for mark in drawn("scatter(x=x, y=y) . line(stroke=run)", rows) if mark[0] == "line"]
    assert len(lines) == 2 and all(len(look["points"]) == 3 for *_, look in lines)
    assert lines[0][-1]["stroke"] != lines[1][-1]["stroke"]


def test_a_region_holds_all_marks_of_its_group(drawn):
    rows = [{"x": i, "y": i, "k": k} for i, k in enumerate("aab")]
    marks = drawn("scatter(x=x, y=y) . circle(r=5).name(dots); select(dots) . group(k) . enclose(padding=4)", rows)
    regions, dots = [m for m in marks if m[0] == "rect"], [m for m in marks if m[0] == "circle"]
    assert len(regions) == 2
    for dot in dots[:2]:
        assert regions[0][1] <= dot[1] - 4 and dot[1] + 14 <= regions[0][1] + regions[0][3] + 1e-6


def test_a_column_of_colours_is_taken_at_its_word(drawn):
    bars = drawn("stack(c, dir=x) . rect(w=n, fill=c)", [{"c": "#ff0000", "n": 1}, {"c": "#00ff00", "n": 3}])
    assert [(bar[3], bar[-1]["fill"]) for bar in bars] == [(75, (255, 0, 0)), (225, (0, 255, 0))]


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


def test_families_of_blocks_share_the_room_by_their_blocks(drawn):
    rows = [{"f": "IN", "b": f"IN{i}", "e": 1.0} for i in range(4)] + [{"f": "MID", "b": "MID", "e": 2.0}]
    bars = drawn("spread(f, dir=x, spacing=30) . spread(b, dir=x, spacing=5) . rect(h=e)", rows)
    assert [bar[3] for bar in bars] == pytest.approx([(300 - 30 - 3 * 5) / 5] * 5)
    assert bars[-1][1] + bars[-1][3] == pytest.approx(300)


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


def texts(node):
    found = [node.look["text"]] if node.kind == "text" else []
    return found + [words for child in node.children for words in texts(child)]


@pytest.fixture(scope="module")
def words_of(charts):
    """Everything that the picture of some data says."""
    module = charts.chart_picture

    def read(data, words, w=960):
        parsed = charts.chart_language.parse(words)
        table = charts.grammar.rows.read(json.dumps(data), parsed.frame.get("rows"), parsed.frame.get("picture"))
        frame = charts.chart_language.presentation(parsed, w=w, h=600)
        return texts(module._scene(parsed, table, frame, charts.drawing.theme.LIGHT))
    return read


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


@pytest.mark.parametrize("base", [1125899906842624, 2 ** 56, 2 ** 60, 2 ** 64])
def test_seeds_keep_their_distances_and_all_their_digits(words_of, drawn, base):
    rows = [{"seed": base + i, "score": i} for i in range(5)]
    numbers = [int(word) for word in words_of(rows, "timeline()") if len(word) > 10]
    assert len(numbers) > 1 and set(numbers) <= {row["seed"] for row in rows}
    places = [mark[1] for mark in drawn("scatter(x=seed, y=score) . circle()", rows)]
    assert places == pytest.approx([places[0] + i * (places[1] - places[0]) for i in range(5)]) and places[1] > 0
    assert f"seed {base}" in words_of(rows, "spread(seed) . rect(h=score, fill=seed)")


def test_the_axis_of_tiny_numbers_has_numbers(words_of):
    assert "4e-14" in words_of([{"name": str(i), "value": i * 1e-14} for i in range(5)], "bars()")


def test_a_name_that_is_the_length_too_is_drawn(words_of):
    rows = [{"value": 3}, {"value": 3}, {"value": 5}]
    assert {"3 (1)", "3 (2)"} <= set(words_of(rows, "bars(label=value)"))
    assert {"3 (1)", "3 (2)"} <= set(words_of(rows, "radar(label=value, value=value)"))


def test_blocks_grow_closer_where_there_are_many(words_of):
    assert words_of([{"block": f"IN{i}", "energy": 1} for i in range(2000)], "blocks()")


def steps_of(work) -> int:
    """How many instructions of Python some work takes, the same on every machine."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("part", ["numbered", "colours", "places"])
def test_twice_the_rows_take_twice_the_work_and_not_four_times(charts, part):
    class Name(str):
        """Compared in Python, so that looking through a list counts too."""
        __hash__ = str.__hash__

        def __eq__(self, other):
            return str.__eq__(self, other)

    def work(count):
        names = [Name(f"name {i}") for i in range(count)]
        rows = [{"name": "x", "c": name} for name in names]
        if part == "numbered":
            assert charts.grammar.rows.numbered(rows, "name")[-1]["name"] == f"x ({count})"
        elif part == "colours":
            fills = charts.grammar.fill_colours.Fills([(rows, {"fill": "c"})], charts.drawing.theme.LIGHT)
            for name in names:
                fills.by_value("c", name)
        else:
            place = charts.grammar.scales.places(names, 900)
            for name in names:
                place(name)
    work(10)        # what is prepared once is prepared
    assert steps_of(lambda: work(400)) < 2.5 * steps_of(lambda: work(200))


def test_axes_say_what_they_measure(charts):
    spec, frame, theme = charts.chart_language, charts.grammar.frame, charts.drawing.theme.LIGHT
    rows = [{"year": 1870, "score": 3.0}, {"year": 1880, "score": 5.0}]

    def drawn(words):
        parsed = spec.parse(words)
        return texts(frame.draw(spec.expression(parsed, rows), spec.presentation(parsed), theme))

    assert {"year", "score"} <= set(drawn("scatter(x=year, y=score) . circle()"))
    assert "year" not in drawn("spread(year) . rect(h=score)") and "score" in drawn("spread(year) . rect(h=score)")
    asked = drawn('frame(x="", y=points); scatter(x=year, y=score) . circle()')
    assert "points" in asked and "year" not in asked and "score" not in asked


def placed_words(node, x=0.0, y=0.0):
    x, y = x + node.x, y + node.y
    if node.kind == "text" and node.look["text"]:
        yield x, y, x + node.w, y + node.h, node.look["text"]
    for child in node.children:
        yield from placed_words(child, x, y)


LONG = [{"name": f"a rather long name of criterion {i}", "value": float(i), "by": f"painter number {i % 7}",
         "year": 1870 + i, "H": 0.5, "C": 0.2} for i in range(1, 15)]


@pytest.mark.parametrize("words", [
    "bars(label=name, value=value)", "radar(label=name, value=value)", "radar(label=year, value=value, by=by)",
    "waterfall(label=name, value=value)", "loss(value=value, by=by)", "timeline(x=year, y=value, by=by)",
    "plane(entropy=H, complexity=C, by=by)",
    'frame(title="A title that is far too long for a picture of this size, and goes on"); spread(name) . rect(h=value)',
    "spread(year, dir=x) . rect(h=value, fill=by)"])
def test_no_words_of_a_small_chart_touch_or_leave_it(charts, words):
    spec, forms, theme = charts.chart_language, charts.chart_types, charts.drawing.theme.LIGHT
    parsed = spec.parse(words)
    frame = spec.presentation(parsed, w=512, h=400)
    if parsed.chart_type:
        columns = forms.columns_of(parsed.chart_type.kind, parsed.chart_type.options, LONG)
        scene = charts.chart_types.CHART_TYPES[parsed.chart_type.kind].draw(LONG, frame, theme, **columns)
    else:
        scene = charts.grammar.frame.draw(spec.expression(parsed, LONG), frame, theme)
    found = list(placed_words(scene))
    for left, top, right, bottom, each in found:
        assert left >= -1 and top >= -1 and right <= scene.w + 1 and bottom <= scene.h + 1, each
    for i, (left, top, right, bottom, one) in enumerate(found):
        for x, y, x2, y2, other in found[i + 1:]:
            assert min(right, x2) - max(left, x) < 1 or min(bottom, y2) - max(top, y) < 6, (one, other)


@given(st.lists(st.floats(1e-6, 1), min_size=24, max_size=24))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_distribution_lies_outside_the_bounds_of_the_plane(charts, weights):
    import numpy as np
    plane = importlib.import_module(f"{charts.__name__}.chart_types.plane")
    h, c = plane._entropy_complexity(np.array(weights) / sum(weights))
    least, greatest = (np.array(curve).T for curve in plane.bounds(24))
    assert np.interp(h, *least) - 2e-3 <= c <= np.interp(h, *greatest) + 2e-3


@pytest.mark.parametrize("data, spec, words", [
    ("[", "bars()", "data: expected JSON"),
    ("[]", "bars()", "data: expected at least one row"),
    ("7", "bars()", "data: expected a list of rows, got int"),
    ('[{"a": 1}]', "bars(label=b)", "expected a column of data, got 'b'; row 1 has a"),
    ('[{"name": "x", "value": "tall"}]', "bars(value=value)", "needs a number there, row 1 has 'tall'"),
    ('[{"n": NaN}]', "rect(h=n)", "must hold finite numbers, row 1 has nan"),
    ('[{"n": 1}, {"m": 2}]', "spread(n) . rect(h=n)", "got 'n'; row 2 has m"),
    ('{"a": [1, 2], "b": [1]}', "bars()", "columns of one length, got a 2, b 1"),
    ('[{"name": "a", "value": 1}, {"name": "b", "value": 2}]', "radar()", "at least 3 values"),
    ('[{"n": 1}]', "rect(h=n, fill=nowhere)", "expected a column, a colour .* got 'nowhere'"),
    ('[{"n": 1}]', "rect(h=n); select(dots) . line()", "finds nothing of that name"),
    ('[{"x": [1]}]', "frame(rows=y); bars()", "got 'y'; record 1 has x"),
    ('[{"x": null}]', "frame(rows=x); bars()", "expected a list or an object at 'x', record 1 has nothing there"),
    ('[{"x": [1]}]', "frame(rows=x, picture=2); bars()", "picture expected a number from 1 to 1, got 2"),
    ('[{"n": 1}]', "frame(w=100, h=60); rect(h=n)", "leaves no room"),
    (json.dumps([{"a": i, "n": 1} for i in range(90)]), "spread(a) . rect(h=n)", "90 marks .* do not fit into"),
    ('[{"colour": "#000000", "share": -1}]', "palette()", "'share' must not be negative, got -1"),
    (json.dumps([{str(i): i for i in range(40)}]), "bars(label=b)", "row 1 has 0, 1, .*, 11 and 28 more$"),
    ('[{"n": 1, "k": "x"}, {"n": 2}]', "rect(h=n, fill=k)", "rect fill expected a column .* got 'k'; row 2 has n"),
    ('[{"n": 1, "k": "x"}, {"n": 2}]', "scatter(x=n, y=n) . line(stroke=k)", "line stroke expected a column .* row 2"),
    ('[{"n": 1}]', "frame(theme=sepia); rect(h=n)", "theme expected light or dark, got 'sepia'"),
])
def test_what_cannot_be_drawn_is_said_in_one_sentence(charts, data, spec, words):
    with pytest.raises(ValueError, match=words):
        charts.chart_picture.picture(data, spec, 400, 300, "light")


@given(st.text(alphabet="spreadctlin()=.,;#\"' \n0123456789abxyh-", max_size=40))
@settings(max_examples=150, deadline=None)
def test_no_words_break_the_reading_of_a_spec(charts, words):
    try:
        charts.chart_picture.picture('[{"a": "x", "h": 1}, {"a": "y", "h": 2}]', words, 200, 160, "light")
    except ValueError as error:
        assert str(error).startswith(("spec: ", "data: "))


@pytest.mark.parametrize("spec", ["bars()", "radar()"])
def test_rows_of_one_name_are_drawn_each_for_itself(charts, spec):
    def drawn(*names):
        rows = [{"name": name, "value": value} for name, value in zip(names, (1, 5, 9, 2), strict=True)]
        return charts.chart_picture.picture(json.dumps(rows), spec, 500, 400, "light")

    assert torch.equal(drawn("a", "b", "a", "a (1)"), drawn("a (2)", "b", "a (3)", "a (1)"))


@pytest.mark.parametrize("value, sentence", [
    (1e308, r"^data: expected numbers up to 1e\+100, row 1 has 1e\+308 in 'value'"),
    (-10 ** 400, r"^data: expected numbers up to 1e\+100, row 1 has an integer of 401 digits in 'value'"),
    ("1" * 5000, r"^data: expected JSON, got ")])
@pytest.mark.parametrize("spec", ["bars()", "waterfall()", "timeline(x=name, y=value)", "loss()"])
def test_numbers_that_no_chart_can_hold_give_a_sentence(charts, value, sentence, spec):
    data = f'[{{"name": "x", "value": {value}}}, {{"name": "y", "value": 2}}]'
    with pytest.raises(ValueError, match=sentence) as error:
        charts.chart_picture.picture(data, spec, 400, 300, "light")
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("value", [5e-324, 1e-200, 1e99, -1e99])
@pytest.mark.parametrize("spec", ["bars()", "waterfall()", "timeline(x=name, y=value)", "loss()"])
def test_the_least_and_the_largest_numbers_are_drawn(charts, value, spec):
    data = json.dumps([{"name": "x", "value": value}, {"name": "y", "value": 0}, {"name": "z", "value": 1}])
    assert charts.chart_picture.picture(data, spec, 400, 300, "light").shape[2] == 400


def test_letters_that_no_typeface_has_are_told_below_the_chart(charts):
    data = json.dumps([{"name": "\U00013000", "value": 1}, {"name": "\U00013001", "value": 2}])
    plain = data.replace(json.dumps("\U00013000"), '"a"').replace(json.dumps("\U00013001"), '"b"')
    draw = charts.chart_picture.picture
    assert (draw(data, "bars()", 600, 400, "light") != draw(plain, "bars()", 600, 400, "light"))[:, -32:].any()


@pytest.mark.parametrize("note, title, told", [("\U00013000", "", False), ("", "\U00013000", True)])
def test_only_letters_that_are_drawn_are_told(words_of, note, title, told):
    rows = [{"name": "a", "value": 1, "note": note}, {"name": "b", "value": 2, "note": ""}]
    assert any("typeface" in word for word in words_of(rows, f'frame(title="{title}"); bars()')) == told


SILENT = [
    ("rect(h=n, opacity=1, x=2); rect(h=n, opacity=3)", "rect(h=n); rect(h=n)", "rect(opacity, x) is not drawn"),
    ("spread(a, alignment=end) . rect(h=n)", "spread(a) . rect(h=n)", "spread(alignment) is not drawn"),
    ("spread(n, by=a) . rect(h=n)", "spread(a) . rect(h=n)", "n alone in spread(...) has no effect; write key=value"),
    ("spread(a) . text(a, stroke=ink)", "spread(a) . text(a)", "text(stroke) is not drawn"),
    ("scatter(x=n, y=n) . line(fill=ink)", "scatter(x=n, y=n) . line()", "line(fill) is not drawn"),
    ("bars(n)", "bars()", "n alone in bars(...) has no effect; write key=value"),
    ("spread(a) . rect(n, h=n)", "spread(a) . rect(h=n)", "n alone in rect(...) has no effect; write key=value"),
    ("bars().rect(h=n).blob()", "bars()", ".rect, .blob behind bars(...) has no effect"),
    ("frame(title=t).x(n); bars()", "frame(title=t); bars()", ".x behind frame(...) has no effect"),
    ("rect(h=n).name(d, b=1)", "rect(h=n)", "name(b) is not drawn"),
    ("circle().name(d); select(d).spread(a).enclose()", "circle().name(d); select(d).enclose()",
     ".spread behind select(...) has no effect"),
    ("circle().name(d); select(d, b=1).group().enclose()", "circle().name(d); select(d).enclose()",
     "select(b) is not drawn"),
    ("circle().name(d); select(d).group(z).enclose()", "circle().name(d); select(d).enclose()",
     "group(z): not every row has that column"),
    ("spread(a) . text(k)", None, "text(k): rows without that column show its name"),
    ("frame(picture=9); bars()", "bars()", "frame(picture=9) has no effect: data has no such picture"),
    ("scatter(x=n, y=n) . line(fill=a)", None, "line(fill) divides lines and does not colour them; stroke does"),
]


@pytest.mark.parametrize("said, drawn, note", SILENT, ids=[said for said, _, _ in SILENT])
def test_what_a_saved_spec_says_in_vain_is_drawn_as_ever_and_told_once(words_of, charts, said, drawn, note):
    rows = [{"a": "one", "n": 1, "k": "own"}, {"a": "two", "n": 2}]
    assert words_of(rows, said).count(note) == 1
    assert drawn is None or note not in words_of(rows, drawn)
    if drawn:
        said, drawn = (charts.chart_picture.picture(json.dumps(rows), spec, 500, height, "light")
                       for spec, height in ((said, 400 + charts.chart_picture.NOTE), (drawn, 400)))
        assert torch.equal(said[:, :400], drawn)


def test_a_sentence_stops_no_chart_that_has_room_without(charts):
    heights = [charts.chart_picture.picture('[{"n": 1}]', spec, 200, 128, "light").shape[1]
               for spec in ("spread(n) . rect(h=n)", "spread(n, alignment=end) . rect(h=n, opacity=1)")]
    assert heights == [128, 128 + 2 * charts.chart_picture.NOTE]
