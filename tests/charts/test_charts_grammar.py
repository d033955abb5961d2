"""The grammar says the same as GoFish's own front end, and the spec says the same as the grammar."""

import pytest

ROWS = [{"a": "x", "k": "p", "b": 1, "c": 2}, {"a": "y", "k": "q", "b": 3, "c": 1}]

EXPRESSIONS = {
    "bars": lambda g: g.chart(ROWS).flow(g.spread(by="a", dir="x", spacing=4)).mark(g.rect(h="b")),
    "stacked bars": lambda g: g.chart(ROWS, w=200, h=100, axes=True).flow(
        g.spread(by="a", dir="x", alignment="end"), g.stack(by="k", dir="y")).mark(g.rect(h="b", fill="k")),
    "scatter": lambda g: g.chart(ROWS).flow(g.scatter(x="b", y="c")).mark(g.circle(r=5, fill="k", stroke_width=2)),
    "groups on top of one another": lambda g: g.chart(ROWS).flow(
        g.group(by="k"), g.spread(by="a", dir="x")).mark(g.rect(w=3, h="b")),
    "words": lambda g: g.chart(ROWS).flow(g.spread(by="a", dir="y")).mark(g.text(text="a", font_size=12)),
    "a line through dots": lambda g: g.layer([
        g.chart(ROWS).flow(g.scatter(by="a", x="b", y="c")).mark(g.blank().name("dots")),
        g.chart(g.select_all("dots")).mark(g.line(stroke="#ff0000", stroke_width=2))]),
    "a region around groups": lambda g: g.layer([
        g.chart(ROWS).flow(g.scatter(x="b", y="c")).mark(g.circle(r=4).name("dots")),
        g.chart(g.select_all("dots")).flow(g.group(by="k")).mark(g.enclose(padding=6, stroke="#000000"))]),
    "marks side by side": lambda g: g.spread([g.rect(w=10, h=20), g.rect(w=10, h=30)], dir="x", spacing=4,
                                             alignment="middle"),
    "marks in a pile": lambda g: g.stack([g.rect(w=10, h=20, rx=2), g.circle(r=4)], dir="y"),
    "marks on top of one another": lambda g: g.layer([g.rect(w=10, h=20), g.text(text="hi", fill="#111111")]),
    "marks enclosed": lambda g: g.enclose([g.rect(w=10, h=10), g.circle(r=4)], padding=3, stroke="#000000"),
    "marks connected by name": lambda g: g.layer([
        g.spread([g.rect(w=4, h=4).name("p"), g.rect(w=4, h=4).name("q")], dir="x"),
        g.line([g.ref("p"), g.ref("q")], stroke="#000000")]),
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=list(EXPRESSIONS))
def test_the_tree_of_an_expression_is_that_of_gofish(charts, expression):
    gofish = pytest.importorskip("gofish")
    pytest.importorskip("pyarrow")
    ours = charts.grammar.grammar
    assert ours.to_ir(expression(ours)) == expression(gofish).to_ir()


def test_a_disc_is_named_as_gofish_names_it(charts):
    gofish, ours = pytest.importorskip("gofish"), charts.grammar.grammar
    pytest.importorskip("pyarrow")
    theirs = gofish.chart(ROWS, coord=gofish.Coord.polar()).flow(gofish.stack(by="a", dir="x")).mark(gofish.rect(w="b"))
    mine = ours.chart(ROWS, coord="polar").flow(ours.stack(by="a", dir="x")).mark(ours.rect(w="b"))
    assert ours.to_ir(mine) == theirs.to_ir()


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=list(EXPRESSIONS))
def test_every_expression_can_be_drawn(charts, expression):
    frame, theme = charts.grammar.frame, charts.drawing.theme.LIGHT
    scene = frame.draw(expression(charts.grammar.grammar), frame.Frame(w=300, h=200), theme)
    drawn = charts.drawing.draw.render(scene, theme.paper)
    assert drawn.shape[1:] == (round(scene.h), 300, 3)
    assert drawn.flatten(0, 2).unique(dim=0).shape[0] > 1


CHANGES = {
    "rect": {"w": 9, "h": 9, "rx": 9, "fill": "loss", "stroke": "ink", "x": 9, "y": 9, "opacity": 9, "stroke_width": 9},
    "circle": {"r": 9, "fill": "loss", "stroke": "ink", "opacity": 9, "stroke_width": 9},
    "text": {"text": "b", "font_size": 9, "fill": "loss", "stroke": "ink", "opacity": 9, "stroke_width": 9},
    "line": {"stroke": "gain", "stroke_width": 9, "fill": "loss", "opacity": 9},
    "enclose": {"padding": 9, "fill": "loss", "stroke": "ink", "opacity": 9, "stroke_width": 9},
}


@pytest.mark.parametrize("kind, channel, value", [(k, c, v) for k, some in CHANGES.items() for c, v in some.items()])
def test_a_channel_is_recommended_where_it_is_drawn_and_else_taken_without_effect(charts, kind, channel, value):
    grammar, theme = charts.grammar.grammar, charts.drawing.theme.LIGHT
    assert set(CHANGES[kind]) == grammar.CHANNELS[kind] | grammar.GOFISH[kind]
    usual = {"text": {"text": "a"}, "line": {"stroke": "loss"}}.get(kind, {})

    def drawn(**options):
        first, mark = grammar.chart(ROWS).flow(grammar.scatter(x="b", y="c")), getattr(grammar, kind)(**options)
        marks = [first.mark(grammar.circle().name("a")), grammar.chart(grammar.select_all("a")).mark(mark)]
        chart = grammar.layer(marks) if kind in ("line", "enclose") else first.mark(
            grammar.rect(**{"w": 20, "h": 20, **options}) if kind == "rect" else mark)
        frame = charts.grammar.frame
        return charts.drawing.draw.render(frame.draw(chart, frame.Frame(w=300, h=200), theme), theme.paper)

    changed = (drawn(**usual) != drawn(**{**usual, channel: value})).any()
    assert changed == (channel in grammar.CHANNELS[kind])


def test_an_option_that_a_mark_does_not_have_is_refused_by_name(charts):
    with pytest.raises(ValueError, match="rect: expected one of .*fill.*got wide"):
        charts.grammar.grammar.rect(wide=3)


SAME = {
    'spread(a, dir=x, spacing=4) . rect(h=b)': EXPRESSIONS["bars"],
    'scatter(x=b, y=c) . circle(r=5, fill=k, stroke_width=2)': EXPRESSIONS["scatter"],
    'group(k).spread(a, dir=x).rect(w=3, h=b)  # a note': EXPRESSIONS["groups on top of one another"],
    'scatter(a, x=b, y=c).blank().name(dots); select(dots).line(stroke=#ff0000, stroke_width=2)':
        EXPRESSIONS["a line through dots"],
    'scatter(x=b,y=c).circle(r=4).name(dots)\nselect(dots).group(k).enclose(padding=6, stroke="#000000")':
        EXPRESSIONS["a region around groups"],
}


@pytest.mark.parametrize("words", [words for words, same in SAME.items() if same])
def test_the_spec_says_what_the_grammar_says(charts, words):
    grammar, spec = charts.grammar.grammar, charts.chart_language
    assert grammar.to_ir(spec.expression(spec.parse(words), ROWS)) == grammar.to_ir(SAME[words](grammar))


def test_a_line_alone_connects_what_its_operators_place(charts):
    grammar, spec = charts.grammar.grammar, charts.chart_language
    tree = grammar.to_ir(spec.expression(spec.parse("scatter(x=b, y=c) . line(stroke=k)"), ROWS))["root"]
    dots, line = tree["children"]
    assert dots["mark"] == {"type": "blank", "name": line["data"]["layer"]}
    assert line["mark"] == {"type": "line", "stroke": "k"}


@pytest.mark.parametrize("words, quoted", [
    ("rect(h=b", r"expected '\)', got the end in 'rect\(h=b'"),
    ("spread(a) . ", "nothing follows the last dot"),
    ("spread(a) . blob(h=b)", "expected a mark, one of rect.*got 'blob'"),
    ("heap(a) . rect(h=b)", "expected an operator, one of spread.*got 'heap'"),
    ("rect(tall=3)", "rect: expected one of .*got tall"),
    ("frame(titel=x); rect(h=b)", "frame expected one of .*title.*got 'titel'"),
    ("rect(h=)", "h expected a value"),
    ("rect(h=b) §", "cannot read '§'"),
    ("# only a note", "got nothing to draw"),
    ("radar(); rect(h=b)", "stands alone"),
    ("rect(opacity=0.5, tall=3)", "rect: expected one of fill, h, rx, stroke, w, got tall"),
    ("spread(a, wide=1).rect(h=b)", "spread: expected one of by, dir, spacing, got wide"),
    ("= 3", "expected a name"),
])
def test_what_cannot_be_read_is_quoted(charts, words, quoted):
    spec = charts.chart_language
    with pytest.raises(ValueError, match="spec: .*" + quoted):
        spec.expression(spec.parse(words), ROWS)
