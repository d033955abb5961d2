import json

import pytest
from scene_words import texts


@pytest.fixture(scope="session")
def charts(pack):
    return pack.nodes.charts


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
