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
