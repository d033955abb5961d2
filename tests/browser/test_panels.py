"""What the nodes show of a critique and of a training, in both renderers of the host's front end."""
from copy import deepcopy

import pytest
from pages import open_page
from prompts import MODELS, node, training

PICTURE = "bottega_woodcut/01.png"


@pytest.fixture(scope="module")
def page(browser, server, renderer):
    page = open_page(browser, server)
    page.set_default_timeout(240_000)  # a training begins with encoding its pictures
    yield page
    page.close()


DRAWN = """() => { const canvas = document.querySelector(".bottega-training canvas");
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some(value => value > 0); }"""


def run(page, prompt, offset=(0, 0)):
    """Opens a prompt in the page, moved this far, and queues it."""
    page.evaluate("""async ([prompt, offset]) => { app.graph.clear(); await app.loadApiJson(prompt, "panels");
                     app.canvas.ds.scale = 1; app.canvas.ds.offset = offset; app.canvas.setDirty(true, true);
                     await app.queuePrompt(0); }""", [prompt, list(offset)])


def value_of(page, comfy_class, script):
    return page.evaluate(f"""() => {{ const node = app.graph.nodes.find(node => node.comfyClass === "{comfy_class}");
                                      return {script}; }}""")


@pytest.fixture(scope="module")
def critique(page):
    run(page, {"one": node("LoadImage", image=PICTURE),
               "critique": node("BottegaCritique", images=("one", 0), rubric="", counterfactuals=False,
                                in_metadata=False)})
    page.wait_for_selector(".bottega-critique:not([hidden])", state="attached")
    return page.locator(".bottega-critique")


def test_the_critique_shows_score_radar_and_reasons(critique):
    assert critique.locator(".score").inner_text().isdigit()
    assert critique.locator(".radar .dot").count() >= 9
    assert critique.locator(".reasons li").count() == 3 and critique.locator(".reasons li b").count() == 3


def test_pointing_at_a_criterion_shows_its_heat_map(critique):
    label = critique.locator('.radar .label[data-id="E5"]')
    label.dispatch_event("pointerenter")
    assert critique.locator(".caption").inner_text().startswith("Value: ")
    first = critique.locator(".heat .strip").get_attribute("y")
    critique.locator('.radar .label[data-id="P1"]').dispatch_event("pointerenter")
    assert critique.locator(".caption").inner_text().startswith("Balance")
    assert critique.locator(".heat .strip").get_attribute("y") != first


def test_the_heat_maps_are_there_to_be_seen(page, critique):
    address = critique.locator(".heat .strip").get_attribute("href")
    assert page.evaluate("async address => (await fetch(address)).ok", address)


def test_panels_are_neither_saved_nor_sent(page, critique):
    saved = value_of(page, "BottegaCritique", "node.serialize().widgets_values")
    assert saved == ["", False, False, ""]
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    inputs = next(entry["inputs"] for entry in prompt.values() if entry["class_type"] == "BottegaCritique")
    assert "bottega_critique" not in inputs


def test_pairs_of_poles_are_shown_without_a_score(page):
    # Another id: the host's Vue nodes keep what stood in a node of the same id.
    run(page, {"one": node("LoadImage", image=PICTURE),
               "pairs": node("BottegaCritique", images=("one", 0), rubric="@Wölfflin")})
    page.wait_for_selector(".bottega-critique:not([hidden]) .pair", state="attached")
    panel = page.locator(".bottega-critique")
    assert panel.locator(".pair .mark").count() == 5 and panel.locator(".score").count() == 0
    panel.locator('.pair[data-id="WO3"]').dispatch_event("pointerenter")
    assert panel.locator(".caption").inner_text() == "Closed or open form: Mirror symmetry"


def test_a_training_is_seen_and_can_be_stopped_and_kept(page):
    run(page, MODELS | training("bottega_woodcut", 400) | {"shown": node("PreviewAny", source=("train", 2))})
    page.wait_for_selector(".bottega-training:not([hidden])", state="attached")
    page.wait_for_function("() => document.querySelector('.bottega-training .words').textContent.includes('/ 400')")
    page.wait_for_function(DRAWN)
    page.locator(".bottega-training button").dispatch_event("click")
    page.wait_for_function("""() => { const shown = app.graph.nodes.find(node => node.comfyClass === "PreviewAny");
        return JSON.stringify(shown.widgets?.map(widget => widget.value) ?? "").includes("Stopped early"); }""")
    assert page.locator(".bottega-training button").is_disabled()


def test_a_training_that_was_out_of_sight_has_its_curve_when_it_comes_back(page, renderer):
    graph = deepcopy(training("bottega_woodcut", 2))
    graph["far"] = graph.pop("train")  # another id: see above
    graph["far"]["inputs"]["seed"] = len(renderer)  # what the other renderer trained is in the host's cache
    run(page, graph | {"shown": node("PreviewAny", source=("far", 2))}, offset=[9000, 9000])
    page.wait_for_function("() => document.querySelector('.bottega-training .words').textContent.includes('2 / 2')")
    page.wait_for_timeout(500)  # whatever would still be drawn is drawn
    page.evaluate("() => { app.canvas.ds.offset = [0, 0]; app.canvas.setDirty(true, true); }")
    page.wait_for_function(DRAWN)


def test_the_pictures_of_a_run_take_the_place_of_its_previews(page):
    run(page, {"one": node("LoadImage", image=PICTURE), "two": node("LoadImage", image="bottega_woodcut/02.png"),
               "batch": node("ImageBatch", image1=("one", 0), image2=("two", 0)),
               "chosen": node("BottegaBestOf", images=("batch", 0), count=2, keep=1, seed=0, rubric="*=0; Balance=1"),
               "seen": node("PreviewImage", images=("chosen", 0))})
    page.wait_for_function("""() => { const node = app.graph.nodes.find(node => node.comfyClass === "BottegaBestOf");
        const shown = LiteGraph.vueNodesMode ? document.querySelectorAll(`[data-node-id="${node.id}"] img`) : node.imgs;
        return shown?.length === 1 && shown[0].src.includes("/view?") && shown[0].naturalWidth > 300; }""")


def test_the_page_has_nothing_to_complain_about(page):
    ours = [error for error in page.errors if "bottega" in error.lower()]
    assert ours == []
