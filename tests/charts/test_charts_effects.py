"""Bars and the grid of effects: everything lies inside the picture, and colours follow each column's own scale."""
import pytest


def leaves(node, x=0.0, y=0.0):
    """(kind, look, left, right, top, bottom) of every mark."""
    x, y = x + node.x, y + node.y
    if not node.children:
        yield node.kind, node.look, x, x + node.w, y, y + node.h
    for child in node.children:
        yield from leaves(child, x, y)


WORDS = ("What each group does", "itself alone", "the whole")


@pytest.mark.parametrize("parts", [
    [(3.0, 1.0), (-2.0, 0.5), (0.01, None), (None, None)], [(-3.0, 1.0), (-2.0, 0.5), (None, None)],
    [(0.0, 0.0), (-5.0, None)], [(0.0, None)], [(None, None)], [(1234.0, None), (3.0, 400.0)], [(2.0, 9.0)],
])
def test_no_bar_whisker_or_number_leaves_the_picture(charts, parts):
    effects = charts.chart_types.effect_bars
    drawn = effects.effect_bars([effects.Part(f"L{n:02}", *part) for n, part in enumerate(parts)],
                                effects.Words(*WORDS), charts.drawing.theme.LIGHT)
    for _, _, left, right, top, bottom in leaves(drawn):
        assert left >= 0 and right <= drawn.w and top >= 0 and bottom <= drawn.h


def test_numbers_have_the_decimals_that_the_largest_needs(charts):
    effects = charts.chart_types.effect_bars
    drawn = effects.effect_bars([effects.Part("a", 8.731), effects.Part("b", -0.0443), effects.Part("c", -0.001)],
                                effects.Words(*WORDS), charts.drawing.theme.LIGHT)
    texts = [look["text"] for kind, look, *_ in leaves(drawn) if kind == "text"]
    assert {"+8.73", "-0.04", "+0.00"} <= set(texts)


def test_a_grid_names_every_row_and_column_and_the_whole_has_no_say_in_the_scales(charts):
    effects, theme = charts.chart_types.effect_bars, charts.drawing.theme.LIGHT
    names = [f"J{n:02}.x_block.mlp.fc1" for n in range(20)]
    columns = ["pixels", "Colour richness", *(f"measure{n}" for n in range(17))]
    rows = [(name, [float(n)] * 18 + [None]) for n, name in enumerate(names)]
    drawn = effects.effect_grid(rows, columns, effects.Words(*WORDS), theme, ("the whole LoRA", [190.0] * 19))
    marks = list(leaves(drawn))
    texts = [look["text"] for kind, look, *_ in marks if kind == "text"]
    assert {*names, "Colour", "richness", "measure16", "the whole LoRA", "+19.0", "+190.0", "-"} <= set(texts)
    full = [look for kind, look, *_ in marks if kind == "rect" and look["fill"] == theme.gain]
    assert len(full) == 18 + 19       # the largest of each column, and the whole
    assert all(left >= 0 and right <= drawn.w and bottom <= drawn.h for _, _, left, right, _, bottom in marks)
