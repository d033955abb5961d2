"""The newest front end on the package index in place of the host's own: what leans on the page, in both renderers."""
import pytest
from block_editor import SHOWN, errors_of_ours
from pages import open_page
from prompts import MODELS, node
from subgraph import HOST, INNER, bar, enter, leave, make, ratio, sent, step

from devtools.packages import newest_front_end

PICTURE = "bottega_woodcut/01.png"


@pytest.fixture(scope="module")
def page(browser, server, renderer, editor_loras):
    folder = newest_front_end()
    if not folder.exists():
        pytest.skip(f"{folder} is missing; `python dev.py test` puts it there")
    page = open_page(browser, server, front_end=folder)
    page.set_default_timeout(120_000)
    yield page
    page.close()


def test_it_is_the_version_that_was_asked_for(page):
    assert page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__") == newest_front_end().parents[1].name


def test_block_weights_are_edited_on_a_node(page):
    page.evaluate("""() => { app.graph.clear();
        const node = LiteGraph.createNode("BottegaLoadLora");
        app.graph.add(node);
        const widget = node.widgets.find(widget => widget.name === "lora_name");
        widget.value = "editor_flux.safetensors"; widget.callback(widget.value);
        app.canvas.ds.scale = 1; app.canvas.ds.offset = [100, 100]; app.canvas.setDirty(true, true); }""")
    page.wait_for_selector(SHOWN, state="visible")
    step(page, "app.graph.nodes[0]", "D07", "ArrowDown", 2)
    assert page.evaluate("() => app.graph.nodes[0].widgets.find(({ name }) => name === 'blocks').value") == "D07=0.9"


def test_promoted_block_weights_are_edited_outside_and_inside_of_the_subgraph(page):
    make(page)
    step(page, HOST, "D09", "ArrowDown")
    enter(page)
    assert bar(page, INNER, "D07").is_visible() and ratio(page, INNER, "D09") == "0.95"
    step(page, INNER, "D09", "ArrowDown")
    leave(page)
    assert ratio(page, HOST, "D09") == "0.9" and sent(page) == "D07=0.5; D09=0.9"


def test_a_run_shows_its_report_and_its_critique_and_they_are_there_after_the_page_is_loaded_anew(page, renderer):
    strength = 0.25 if renderer == "classic" else 0.3
    prompt = MODELS | {
        "load": node("BottegaLoadLora", model=("model", 0), clip=("clip", 0), lora_name="editor_strange.safetensors",
                     strength_model=strength, strength_clip=1.0, blocks=""),
        "seen": node("PreviewAny", source=("load", 2)), "one": node("LoadImage", image=PICTURE),
        "critique": node("BottegaCritique", images=("one", 0), rubric="", counterfactuals=False, in_metadata=False)}
    page.evaluate("""async prompt => { app.graph.clear(); await app.loadApiJson(prompt, "newest");
        await new Promise(done => setTimeout(done, 1000));  // until the host has made a tab of it
        await app.loadGraphData({ ...app.graph.serialize(), id: crypto.randomUUID() }); }""", prompt)
    saved = page.evaluate("() => app.graph.serialize()")
    both = """() => [".bottega-report", ".bottega-critique"].every(panel =>
        document.querySelector(`${panel}:not([hidden])`))"""
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function(both)
    page.reload()
    page.wait_for_function("() => window.app?.extensionManager && !app.extensionManager.spinner")
    page.wait_for_timeout(1000)
    page.evaluate("async saved => { await app.loadGraphData(saved); }", saved)
    page.wait_for_function(both)


def test_the_page_has_no_errors_of_ours(page):
    """Runs last: it sees what all the tests above have caused."""
    assert errors_of_ours(page) == []
