"""What a chart shows stands in proportion to the data."""
import sys

import pytest
from scene_words import texts

WEEK = [{"day": day, "kind": kind, "n": n} for day, kind, n in
        (("mon", "a", 2), ("mon", "b", 1), ("tue", "a", 4), ("tue", "b", 3), ("wed", "a", -2), ("wed", "b", -1))]


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


def test_families_of_blocks_share_the_room_by_their_blocks(drawn):
    rows = [{"f": "IN", "b": f"IN{i}", "e": 1.0} for i in range(4)] + [{"f": "MID", "b": "MID", "e": 2.0}]
    bars = drawn("spread(f, dir=x, spacing=30) . spread(b, dir=x, spacing=5) . rect(h=e)", rows)
    assert [bar[3] for bar in bars] == pytest.approx([(300 - 30 - 3 * 5) / 5] * 5)
    assert bars[-1][1] + bars[-1][3] == pytest.approx(300)


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
