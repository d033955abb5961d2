"""What nodes showed last, for a page that was loaded anew and for another browser."""
import asyncio

import pytest

SHOW_NOTHING = {"BottegaAdapter", "BottegaConcept", "BottegaCoreTrainingSet", "BottegaRecipe", "BottegaStackLora",
                "BottegaTrainingChart", "BottegaTrainingCritic"}


@pytest.fixture(scope="module")
def shown(pack):
    return pack.nodes.shared.last_outputs


def entry(outputs, workflow="flow", nodes=None, meta=None, prompt_id="id"):
    """A prompt of the host's history."""
    prompt = {node: {"class_type": kind, "inputs": {}} for node, kind in (nodes or {"7": "BottegaApplyLora"}).items()}
    extra = {"extra_pnginfo": {"workflow": {"id": workflow}}} if workflow is not None else {}
    return {"prompt": (0, prompt_id, prompt, extra, []), "outputs": outputs, "meta": meta or {}}


def test_the_newest_prompt_of_the_workflow_that_showed_something_counts(shown):
    history = [("d", entry({"7": {"text": ["another's"]}}, "another")),
               ("c", entry({"9": {"text": ["a core node's"]}}, nodes={"7": "BottegaApplyLora", "9": "PreviewAny"})),
               ("b", entry({"7": {"text": ["last"]}})), ("a", entry({"7": {"text": ["first"]}}))]
    found = shown.last_outputs(history, "flow")
    assert found == {"7": {"class": "BottegaApplyLora", "prompt_id": "b", "output": {"text": ["last"]}}}
    assert shown.last_outputs(history, "flow", ["b"])["7"]["output"] == {"text": ["first"]}


def test_a_node_that_a_loop_made_is_known_by_the_one_it_stands_for(shown):
    looped = entry({"7.0.0.1": {"text": ["in a loop"]}}, meta={"7.0.0.1": {"display_node": "7"}})
    assert shown.last_outputs([("a", looped)], "flow")["7"]["output"] == {"text": ["in a loop"]}


def test_prompts_without_a_workflow_belong_to_nobody(shown):
    assert shown.last_outputs([("a", entry({"7": {"text": ["x"]}}, None))], "flow") == {}


@pytest.mark.parametrize("extra", [{"extra_pnginfo": {"workflow": "no workflow"}}, {"extra_pnginfo": [{}]},
                                   {"extra_pnginfo": "text"}, {"extra_pnginfo": 7}, {"extra_pnginfo": None}, [], "x"])
def test_whatever_stands_in_a_prompt_of_another_program_keeps_no_page_from_its_outputs(shown, extra):
    strange, ours = entry({"7": {"text": ["x"]}}), entry({"7": {"text": ["ours"]}})
    strange["prompt"] = (*strange["prompt"][:3], extra, [])
    answer = shown.told([strange["prompt"]], {"a": ours, "b": strange}, "flow")
    assert answer["outputs"]["7"]["output"] == {"text": ["ours"]} and answer["running"] == []


def test_what_the_outputs_are_of_and_what_runs_now_is_told(shown):
    nodes = {"7": "BottegaApplyLora", "9": "PreviewAny"}
    history = {"old": entry({"7": {"text": ["old"]}}, nodes=nodes),
               "new": entry({"7": {"text": ["new"]}}, nodes=nodes, prompt_id="new"),
               "theirs": entry({"7": {"text": ["theirs"]}}, "another")}
    history["new"]["prompt"][2]["7"] |= {"inputs": {"text": ["9", 0]}, "_meta": {"title": "mine"}}
    running = [(1, "now", {}, {"extra_pnginfo": {"workflow": {"id": "flow"}}}, []),
               (2, "theirs too", {}, {"extra_pnginfo": {"workflow": {"id": "another"}}}, [])]
    answer = shown.told(running, history, "flow")
    assert answer["prompts"] == {"new": {"7": {"class_type": "BottegaApplyLora", "inputs": {"text": ["9", 0]}},
                                         "9": {"class_type": "PreviewAny", "inputs": {}}}, "now": {}}
    assert answer["running"] == ["now"]


def test_the_page_asks_by_the_id_of_the_workflow(shown, host, monkeypatch):
    from types import SimpleNamespace

    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer
    routes = web.RouteTableDef()
    history = {"a": entry({"7": {"text": ["first"]}}), "b": entry({"7": {"text": ["last"]}})}
    queue = SimpleNamespace(get_history=lambda max_items: history, get_current_queue_volatile=lambda: ([], []))
    monkeypatch.setattr(host.server, "routes", routes, raising=False)
    monkeypatch.setattr(host.server, "prompt_queue", queue, raising=False)
    shown.add_route()

    async def talk():
        app = web.Application()
        app.add_routes(routes)
        async with TestClient(TestServer(app)) as client:
            queries = ("?workflow_id=flow", "?workflow_id=flow&other=b", "")
            answers = [await client.get(shown.ROUTE + query) for query in queries]
            return [(answer.status, await answer.json()) for answer in answers]

    (_, last), (_, first), (status, refusal) = asyncio.run(talk())
    texts = [each["outputs"]["7"]["output"]["text"] for each in (last, first)]
    assert texts == [["last"], ["first"]]
    assert status == 400 and refusal["error"].startswith("workflow_id: expected")


def test_every_node_that_shows_something_shows_it_again_when_the_host_answers_from_its_cache(pack, host):
    known = host.nodes.NODE_CLASS_MAPPINGS
    ours = {name: known[name].GET_SCHEMA() for name in known if name.startswith("Bottega")}
    silent = {name for name, schema in ours.items() if not (schema.is_output_node or schema.has_intermediate_output)}
    assert silent == SHOW_NOTHING


def test_a_cached_run_shows_the_page_a_node_in_the_middle_of_the_graph_again(host):
    size = {"width": 64, "height": 64, "batch_size": 2, "color": 8355711}
    prompt = {"grey": {"class_type": "EmptyImage", "inputs": size},
              "ranked": {"class_type": "BottegaRankImages", "inputs": {"images": ["grey", 0], "rubric": "", "keep": 1}},
              "seen": {"class_type": "PreviewImage", "inputs": {"images": ["ranked", 0]}}}
    first, ran = host.run(prompt)
    again, ran_again = host.run(prompt)
    assert "ranked" in ran and ran_again == []
    assert again["ranked"]["text"] == first["ranked"]["text"] and again["ranked"]["text"][0]
    assert ("ranked", first["ranked"]["text"]) in [
        (data["node"], data["output"]["text"]) for event, data in host.events
        if event == "executed" and "text" in (data["output"] or {})]
