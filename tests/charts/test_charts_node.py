"""The Chart node in the real executor."""
import json

import pytest
from real_host import GraphError


def prompt(data, spec, **inputs):
    return {"1": {"class_type": "BottegaChart",
                  "inputs": {"data": data, "spec": spec, "width": 400, "height": 300, "theme": "dark", **inputs}}}


def test_a_chart_is_shown_on_the_node(host):
    outputs, ran = host.run(prompt(json.dumps([{"name": "a", "value": 3}, {"name": "b", "value": 5}]), ""))
    assert ran == ["1"] and len(outputs["1"]["images"]) == 1


def test_it_draws_what_the_critique_gives(host):
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 96, "height": 64, "batch_size": 2, "color": 0x884422}},
        "2": {"class_type": "BottegaCritique", "inputs": {"images": ["1", 0]}},
        "3": prompt(["2", 3], 'frame(rows=contributions, title="Points"); waterfall()')["1"],
    }
    outputs, _ = host.run(graph)
    assert len(outputs["3"]["images"]) == 1


@pytest.mark.parametrize("name, value", [("width", 100_000), ("width", 0), ("height", 4097)])
def test_a_size_over_a_link_is_held_to_its_range(host, name, value):
    graph = {"2": {"class_type": "PrimitiveInt", "inputs": {"value": value}},
             **prompt('[{"name": "a", "value": 3}]', "waterfall()", **{name: ["2", 0]})}
    with pytest.raises(GraphError, match=f"{name}: expected 128 to 4096, got {value}"):
        host.run(graph)


@pytest.mark.parametrize("form", ["bars", "radar"])
def test_criteria_that_were_not_counted_do_not_stop_the_chart(host, form):
    points = {"Line": 60.0, "Shape": 40.0, "Space": None, "Value": 9.0}
    criteria = {name: {"points": value} for name, value in points.items()}
    spec = f"frame(rows=criteria); {form}(label=name, value=points)"
    outputs, _ = host.run(prompt(json.dumps([{"criteria": criteria}]), spec))
    assert len(outputs["1"]["images"]) == 1
    with pytest.raises(GraphError, match="expected a value in points of at least one row, got null in all"):
        host.run(prompt(json.dumps([{"criteria": {"Space": {"points": None}}}]), spec))


def test_a_spec_that_cannot_be_read_is_refused_before_anything_runs(host):
    _, errors = host.validate(prompt("[]", "spread(a . rect(h=b)"))
    assert "spec: expected" in json.dumps(errors)


def test_data_that_are_no_rows_stop_the_graph_with_a_sentence(host):
    with pytest.raises(GraphError, match="data: expected JSON"):
        host.run(prompt("no json", "bars()"))


@pytest.mark.parametrize("spec, said", [("name(dots)", "a mark, one of"), ("select(dots)", "a mark, one of"),
                                        ("rect(h=" + "9" * 400 + ")", "at most 308 digits"), ("x" * 500, "xxx...")])
def test_a_spec_that_draws_nothing_gets_a_short_sentence(pack, spec, said):
    language = pack.nodes.charts.chart_language
    with pytest.raises(ValueError, match="^spec: ") as error:
        found = language.parse(spec)
        language.expression(found, [{"a": 1}])
    assert said in str(error.value) and len(str(error.value)) < 400


ART = [{"score": 61.0, "band": [57.0, 64.0], "rubric": "the default rubric", "measures": {"RMS contrast": 1.0}}]
ROWS = [{"name": "a", "v": 1, "l": [1], "neg": -2, "big": 1e60}, {"name": "b", "v": 2, "l": [2], "neg": 1, "big": 1}]
ENDLESS = [{"name": "a", "v": float("nan"), "i": float("inf")}, {"name": "b", "v": 2.0, "i": 1.0}]


@pytest.fixture(scope="module")
def picture(pack):
    return lambda rows, spec: pack.nodes.charts.chart_picture.picture(json.dumps(rows), spec, 400, 300, "light")


@pytest.mark.parametrize("rows, spec", [
    (ART, ""), (ART, "timeline()"), (ROWS, "frame(title=2024, x=5); scatter(x=name, y=v) . circle()"),
    (ROWS, "spread(name) . rect(h=v) . name(k); select(k) . enclose(padding=-3)"), (ROWS, "spread(name) . blank(w=v)")])
def test_what_can_be_drawn_is(picture, rows, spec):
    assert picture(rows, spec).shape == (1, 300, 400, 3)


@pytest.mark.parametrize("rows, spec", [
    *((ROWS, spec) for spec in (
        "spread(l) . rect(h=v)", "scatter(x=l, y=v) . circle()", "timeline(x=l, y=v)", "timeline(x=name, y=v, by=l)",
        "palette(colour=l, share=v)", "loss(value=v, by=l)", "scatter(x=name, y=v) . circle(fill=l)",
        "scatter(x=name, y=v) . circle() . name(k); select(k) . group(l) . line()", "spread(name, dir=z) . rect(h=v)",
        "spread(name, spacing=wide) . rect(h=v)", "spread(name, alignment=foo) . rect(h=v)",
        "spread(name) . rect(h=v, rx=-3)", "spread(name) . rect(h=v, rx=abc)", "spread(name) . rect(h=true)",
        "scatter(x=v, y=v) . circle(r=-5)", "scatter(x=v, y=v) . circle(r=neg)", "scatter(x=v, y=v) . circle(r=big)",
        "scatter(x=name, y=v) . line(stroke_width=thick)", "spread(name) . text(name, font_size=0)",
        "spread(name) . text(name, font_size=big)", "group(name) . enclose(padding=foo)", "frame(w=wide); bars()",
        "frame(h=-4); bars()", "frame(title=true); bars()", "scatter(name) . rect(h=v)",
        "spread(name) . rect(h=v) . name(k); select(k) . circle()")),
    *((ENDLESS, spec) for spec in (
        "scatter(x=v, y=v) . circle()", "timeline(x=v, y=v)", "timeline(x=i, y=v)", "scatter(x=i, y=i) . circle()",
        "scatter(x=name, y=name) . circle(fill=i)", "scatter(x=name, y=name) . circle(r=i)"))])
def test_what_cannot_be_drawn_is_a_sentence_about_spec_or_data(picture, rows, spec):
    with pytest.raises(ValueError, match="^(spec|data): ") as error:
        picture(rows, spec)
    assert len(str(error.value)) < 300
