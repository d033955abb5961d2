"""What nodes show again of earlier runs, and what a lost connection, an odd thing kept and a workflow that was left do
to them. What the server answers is said by the test: the routes themselves are tested beside the server."""
import json

import pytest
from block_editor import errors_of_ours
from pages import UNDO, open_page, show
from subgraph import HELPERS, MAKE

pytestmark = pytest.mark.parametrize("renderer", [False], ids=["classic"], indirect=True, scope="module")

FLUX, SDXL = "editor_flux.safetensors", "editor_sdxl.safetensors"
# A route answers what stands in `answers`; a number is the status of an empty answer, and null a lost connection.
ANSWERED = """async () => {
    const { api } = await import("/scripts/api.js");
    const fetch = api.fetchApi;
    window.answers = {}; window.asked = {};
    api.fetchApi = async function (address, ...rest) {
        const [route] = address.split("?");
        asked[route] = (asked[route] ?? 0) + 1;
        if (!(route in answers)) return fetch.call(this, address, ...rest);
        const answer = typeof answers[route] === "function" ? await answers[route]() : answers[route];
        if (answer === null) throw new TypeError("Failed to fetch");
        return typeof answer === "number" ? new Response("", { status: answer }) : new Response(JSON.stringify(answer));
    };
    window.tell = (event, detail) => api.dispatchEvent(new CustomEvent(event, { detail })); }"""
OPEN = """async kinds => {
    await app.loadGraphData({ id: crypto.randomUUID(), version: 0.4, nodes: [], links: [],
                              last_node_id: 0, last_link_id: 0 });
    await new Promise(done => setTimeout(done, 150));
    for (const kind of kinds) app.graph.add(LiteGraph.createNode(kind));
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [0, 0]; }"""
REPORTS = "[...document.querySelectorAll('.bottega-report:not([hidden]) .page')].map(page => page.innerText)"
SHOWN, STOP, CURVES = "/bottega/shown", "/bottega/training/stop", "/bottega/training/curves"


@pytest.fixture(scope="module")
def pages_of_ours(browser, server, renderer, editor_loras):
    page = open_page(browser, server)
    page.set_default_timeout(20_000)
    page.evaluate(ANSWERED)
    page.evaluate(HELPERS)
    yield page
    page.close()


@pytest.fixture
def page(pages_of_ours):
    pages_of_ours.evaluate("() => { window.answers = {}; }")
    return pages_of_ours


def tell(page, event, **detail):
    page.evaluate("([event, detail]) => tell(event, detail)", [event, detail])
    page.wait_for_timeout(200)


def said(page, prompt, text):
    """Tells the page what the first node showed in a prompt."""
    tell(page, "executed", node="1", display_node="1", prompt_id=prompt, output={"text": [text]})


def answer(page, prompt, output, running=(), prompts=None, kind="BottegaInspectLora"):
    """What the server says of the first node from now on."""
    outputs = {"1": {"class": kind, "prompt_id": prompt, "output": output}}
    told = {"outputs": outputs, "prompts": prompts or {}, "running": list(running)}
    page.evaluate(f"told => {{ answers['{SHOWN}'] = told; }}", told)


def undo(page):
    page.evaluate(UNDO, page.evaluate("() => (app.rootGraph ?? app.graph).serialize()"))
    page.wait_for_timeout(400)


def present(page):
    return page.evaluate("async () => (await app.graphToPrompt()).output")


def test_what_a_run_that_goes_on_has_shown_is_not_replaced_by_the_run_before(page):
    page.evaluate(OPEN, ["BottegaInspectLora"])
    answer(page, "first", {"text": ["of the first"]}, running=["second"], prompts={"first": present(page)})
    said(page, "second", "of the second")
    undo(page)
    assert page.evaluate(REPORTS) == ["of the second"]
    answer(page, "third", {"text": ["of the third"]}, prompts={"third": present(page)})
    tell(page, "status")    # a run went on when the page asked, so it asks again
    assert page.evaluate(REPORTS) == ["of the third"]


def test_what_is_shown_while_the_server_is_asked_is_newer_than_its_answer(page):
    page.evaluate(OPEN, ["BottegaInspectLora"])
    answer(page, "first", {"text": ["of the first"]}, prompts={"first": present(page)})
    page.evaluate(f"""() => {{ const late = answers["{SHOWN}"];
        answers["{SHOWN}"] = () => new Promise(done => {{ window.release = () => done(late); }}); }}""")
    undo(page)
    said(page, "second", "of the second")
    page.evaluate("() => release()")
    page.wait_for_timeout(300)
    assert page.evaluate(REPORTS) == ["of the second"]


def test_the_run_of_somebody_else_is_shown_only_where_the_inputs_are_the_same(page):
    page.evaluate(OPEN, ["BottegaInspectLora"])
    same = present(page)
    other = json.loads(json.dumps(same))
    other["1"]["inputs"]["lora_name"] = SDXL if same["1"]["inputs"]["lora_name"] != SDXL else FLUX
    for prompts, shown in ((other, []), ({}, []), (same, ["theirs"])):
        answer(page, "theirs", {"text": ["theirs"]}, prompts={"theirs": prompts})
        undo(page)
        assert page.evaluate(REPORTS) == shown


def test_inputs_are_the_same_where_all_that_stands_before_is(page):
    """Of two prompts: the node itself, and the one before it."""
    same = """async ([one, other]) => { const inputs = await import("/extensions/bottega/same_inputs.js");
        return inputs.sameBefore("2", one, other); }"""

    def prompt(picture="a.png", kind="LoadImage", size=1.0, **more):
        return {"1": {"class_type": kind, "inputs": {"image": picture}},
                "2": {"class_type": "Critique",
                      "inputs": {"images": ["1", 0], "size": size, "words": ["a", "b"]} | more}}

    assert page.evaluate(same, [prompt(), prompt(size=1)])
    assert page.evaluate(same, [prompt(), prompt(words={"__value__": ["a", "b"]})])
    for different in (prompt("b.png"), prompt(kind="Load"), prompt(size=2), prompt(more=1), {"2": prompt()["2"]}, {}):
        assert not page.evaluate(same, [prompt(), different])
        assert not page.evaluate(same, [different, prompt()])


def test_an_error_stands_in_its_own_tab_until_the_next_run_of_its_workflow(page):
    page.evaluate(OPEN, ["BottegaInspectLora"])
    copy = page.evaluate("() => app.graph.serialize()")
    queue = """async prompt => { const { api } = await import("/scripts/api.js");
        answers["/prompt"] = { prompt_id: prompt };
        await api.queuePrompt(0, { output: {}, workflow: {} }); }"""
    sentence = page.locator(".bottega-error:not([hidden])")
    page.evaluate(queue, "first")
    page.evaluate("async copy => { await app.loadGraphData(copy, true, true, null); }", copy)   # a tab with the same
    page.wait_for_timeout(500)
    tell(page, "execution_error", node_id="1", prompt_id="first", exception_message="lora_name: a sentence")
    assert sentence.count() == 0                        # it is of the other tab
    go(page, "Previous")
    sentence.wait_for(state="attached")
    page.evaluate(queue, "second")
    for started, left in (("of no tab", 1), ("second", 0)):
        go(page, "Next")
        assert sentence.count() == 0
        tell(page, "execution_start", prompt_id=started)
        go(page, "Previous")
        assert sentence.count() == left


def go(page, to):
    page.evaluate("to => app.extensionManager.command.execute(`Workspace.${to}OpenedWorkflow`)", to)
    page.wait_for_timeout(500)


def test_what_is_recalled_is_seen_and_changes_no_workflow(page):
    page.evaluate(OPEN, ["BottegaLoadLora"])
    blocks = json.dumps([{"block": "Q00", "in_file": True, "ratio": 1}])
    lora = present(page)["1"]["inputs"]["lora_name"]
    answer(page, "theirs", {"text": ["theirs"], "bottega_blocks": [blocks], "bottega_lora": [lora]},
           prompts={"theirs": present(page)}, kind="BottegaLoadLora")
    undo(page)
    page.locator('.bottega-blocks [data-alias="Q00"]').wait_for()
    assert page.evaluate("() => app.graph.nodes[0].properties.bottega_blocks ?? null") is None


def test_blocks_are_those_of_the_file_that_ran_though_another_is_chosen_by_then(page):
    page.evaluate(OPEN, ["BottegaLoadLora"])
    page.evaluate("""name => { const widget = app.graph.nodes[0].widgets.find(({ name }) => name === "lora_name");
        widget.value = name; widget.callback?.(name); }""", SDXL)
    blocks = json.dumps([{"block": "D00", "in_file": True, "ratio": 1, "energy": 3.0}])
    show(page, "BottegaLoadLora", {"bottega_blocks": [blocks], "bottega_lora": [FLUX]})
    page.locator('.bottega-blocks [data-alias="IN04"]').wait_for()
    assert page.evaluate("() => app.graph.nodes[0].properties.bottega_blocks.lora") == FLUX
    assert page.locator('.bottega-blocks [data-alias="D00"]').count() == 0


def test_what_is_kept_in_another_form_keeps_no_workflow_from_being_opened(page):
    page.evaluate(OPEN, ["BottegaInspectLora", "BottegaCritique"])
    critique = {"text": ["a report"], "bottega_critique": [json.dumps([PICTURE])]}
    show(page, "BottegaCritique", critique)
    show(page, "BottegaInspectLora", {"text": ["a report"]})
    assert page.evaluate("""() => { const kept = JSON.parse(sessionStorage.getItem("bottega.shown.2"));
        for (const each of kept) each[1] = [{ text: 7 }];
        sessionStorage.setItem("bottega.shown.2", JSON.stringify(kept));
        return kept.length; }""") >= 3
    answer(page, "none", {})
    undo(page)
    assert page.locator(".bottega-critique:not([hidden])").count() == 0 and page.evaluate(REPORTS) == []
    assert page.evaluate("() => app.graph.nodes.length") == 2
    left = page.evaluate("() => JSON.parse(sessionStorage.getItem('bottega.shown.2')).map(([name]) => name)")
    graph = page.evaluate("() => app.graph.id")
    assert [name for name in left if graph in name] == []


@pytest.mark.parametrize("ran", [{"lora": "a", "blocks": 7}, {"blocks": [None]}, "text", [1]])
def test_what_a_workflow_says_of_a_run_in_another_form_is_passed_over(page, ran):
    page.evaluate(OPEN, ["BottegaLoadLora"])
    page.evaluate("""async ([name, ran]) => { const [node] = app.graph.nodes;
        node.widgets.find(({ name }) => name === "lora_name").value = name;
        node.properties.bottega_blocks = ran; app.refreshComboInNodes(); }""", [SDXL, ran])
    page.locator('.bottega-blocks [data-alias="IN04"]').wait_for()
    show(page, "BottegaLoadLora", {"bottega_blocks": ["[]"], "bottega_lora": [SDXL]})
    assert page.evaluate("() => app.graph.nodes[0].properties.bottega_blocks.blocks.length") == 0


@pytest.mark.parametrize("answer", [None, 500])
def test_no_answer_about_the_files_says_of_no_row_that_its_file_is_gone(page, answer):
    page.evaluate("answer => { answers['/models/loras'] = answer; }", answer)
    page.evaluate(OPEN, ["BottegaLoraRows"])
    page.evaluate("text => { app.graph.nodes[0].widgets.find(({ name }) => name === 'rows').value = text; }",
                  f"<lora:{FLUX}:1>")
    name = page.locator(".bottega-rows .name")
    name.wait_for(state="attached")
    page.wait_for_timeout(300)
    assert "missing" not in name.get_attribute("class")


PICTURE = {"score": 50, "band": [40, 60], "rubric": "", "positions": [], "reasons": ["**Line** adds"], "size": [8, 8],
           "ground": {}, "heat": {"tiles": 0},
           "criteria": [{"id": f"P{n}", "name": f"Measure {n}", "typicality": 50, "contribution": 1, "tile": None,
                         "column": None} for n in range(3)]}


def test_a_picture_that_was_not_drawn_is_told_from_criteria_without_a_heat_map(page):
    page.evaluate(OPEN, ["BottegaCritique"])
    caption = "() => document.querySelector('.bottega-critique .caption').textContent"
    show(page, "BottegaCritique", {"bottega_critique": [json.dumps([PICTURE])]})
    assert page.evaluate(caption) == "No heat map of this picture; the report says why."
    drawn = PICTURE | {"ground": {"filename": "a.png", "subfolder": "", "type": "temp"}}
    show(page, "BottegaCritique", {"bottega_critique": [json.dumps([drawn])]})
    assert page.evaluate(caption) == "No heat map for these criteria."


@pytest.mark.parametrize("promote", [[], ["lora_name", "blocks"]], ids=["inside", "promoted"])
def test_opening_a_workflow_again_leaves_no_editor_of_a_subgraph_behind(page, promote):
    page.evaluate(MAKE, {"blocks": "", "promote": promote})
    page.wait_for_timeout(500)
    counts = []
    for _ in range(3):
        page.evaluate("() => { asked['/bottega/lora'] = 0; app.refreshComboInNodes(); }")
        page.wait_for_function("() => asked['/bottega/lora']")
        page.wait_for_timeout(800)
        counts.append(page.evaluate("() => asked['/bottega/lora']"))
        for _ in range(3):
            undo(page)
    assert counts[0] >= 1 and len(set(counts)) == 1


def training(page, **state):
    """Tells of a training that another page has queued."""
    prompts = {"a training": state.pop("prompt", None) or present(page)}
    page.evaluate("([route, told]) => { answers[route] = told; }",
                  [SHOWN, {"outputs": {}, "prompts": prompts, "running": ["a training"]}])
    tell(page, "bottega.training", **{
        "prompt_id": "a training", "node": "1", "display_node": "1", "workflow_id": page.evaluate("() => app.graph.id"),
        "step": 5, "steps": 10, "first": 1, "losses": [1.0] * 5, "rate": 1e-4, "seconds_a_step": 1, "eta": 5,
        "ended": ""} | state)


def test_the_training_of_another_page_is_shown_only_where_it_trains_the_same(page):
    page.evaluate(OPEN, ["BottegaTrainLora"])
    other = present(page)
    other["1"]["inputs"]["steps"] += 1
    training(page, prompt=other)
    assert page.locator(".bottega-training:not([hidden])").count() == 0
    training(page, prompt=other, prompt_id="of no prompt that the server knows")
    assert page.locator(".bottega-training:not([hidden])").count() == 0
    undo(page)
    training(page)
    assert page.locator(".bottega-training:not([hidden]) .words").inner_text().startswith("5 / 10")


@pytest.mark.parametrize("stop, words", [(None, "Stop did not reach the server"),
                                         ({"stopping": False}, "The server did not stop it")])
def test_a_stop_that_came_to_nothing_says_so_and_can_be_asked_for_again(page, stop, words):
    page.evaluate(OPEN, ["BottegaTrainLora"])
    training(page)
    button = page.locator(".bottega-training:not([hidden]) button").first
    page.evaluate(f"answer => {{ answers['{STOP}'] = answer; }}", stop)
    button.dispatch_event("click")
    page.wait_for_timeout(200)
    said = page.locator(".bottega-training:not([hidden]) .words")
    assert said.inner_text().startswith(f"{words}   5 / 10") and button.is_enabled()
    page.evaluate(f"() => {{ answers['{STOP}'] = {{ stopping: true }}; }}")
    button.dispatch_event("click")
    training(page, step=6, first=6, losses=[1.0])
    assert said.inner_text().startswith("6 / 10") and button.is_disabled()


def test_a_training_that_the_server_no_longer_knows_is_over_when_the_connection_is_back(page):
    page.evaluate(OPEN, ["BottegaTrainLora"])
    training(page)
    state = {"prompt_id": "a training", "node": "1", "display_node": "1", "step": 7, "steps": 10, "first": 1,
             "losses": [1.0] * 7, "rate": 1e-4, "seconds_a_step": 1, "eta": 3, "ended": "",
             "workflow_id": page.evaluate("() => app.graph.id")}
    words = page.locator(".bottega-training:not([hidden]) .words")
    for known, said in (([state], "7 / 10"), (None, "7 / 10"), ([], "Seen last at step 7 of 10")):
        page.evaluate(f"known => {{ answers['{CURVES}'] = known; }}", known)
        tell(page, "reconnected")
        assert words.inner_text().startswith(said)


def test_outputs_that_came_while_there_was_no_connection_are_shown_once_it_is_back(page):
    page.evaluate(OPEN, ["BottegaInspectLora"])
    said(page, "mine", "before")
    answer(page, "mine", {"text": ["meanwhile"]}, prompts={"mine": present(page)})
    tell(page, "reconnected")
    assert page.evaluate(REPORTS) == ["meanwhile"]


def test_a_failed_answer_is_no_architecture_and_is_asked_for_again(page):
    again = open_page_like(page)
    again.evaluate("() => { for (const each of ['presets', 'architectures']) answers[`/bottega/${each}`] = null; }")
    again.evaluate(OPEN, ["BottegaStackLora"])
    again.wait_for_timeout(500)
    names = """async () => { const { api } = await import("/scripts/api.js");
        const known = await import("/extensions/bottega/block_weights/knowledge.js");
        return [Object.keys(await known.architectures(api)), await known.presets(api)]; }"""
    assert again.evaluate(names) == [[], {"error": "Failed to fetch"}]
    assert again.locator(".bottega-blocks .hint").first.inner_text().startswith("No presets: Failed to fetch")
    again.evaluate("() => { answers = {}; }")
    found, presets = again.evaluate(names)
    assert "Flux.1" in found and presets["families"]
    again.close()


def open_page_like(page):
    """Another page of the same server, which has asked for nothing yet."""
    from types import SimpleNamespace
    again = open_page(page.context.browser, SimpleNamespace(address=page.url.split("/?")[0].rstrip("/#")))
    again.evaluate(ANSWERED)
    return again


def test_the_page_has_no_errors_of_ours(page):
    expected = "is kept in a form that is not known"
    assert [text for text in errors_of_ours(page) if expected not in text] == []
