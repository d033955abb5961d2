"""What the nodes show of a critique and of a training, in both renderers of the host's front end."""
import re
from copy import deepcopy

import pytest
from pages import UNDO, open_page
from prompts import node, training

PICTURE = "bottega_woodcut/01.png"
SEEDS = {"classic": 7, "nodes_2": 8}


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
    """Opens a prompt in the page as a workflow with an id, moved this far, and queues it."""
    page.evaluate("""async ([prompt, offset]) => { app.graph.clear(); await app.loadApiJson(prompt, "panels");
                     await new Promise(done => setTimeout(done, 1000));  // until the host has made a tab of it
                     await app.loadGraphData({ ...app.graph.serialize(), id: crypto.randomUUID() });
                     app.canvas.ds.scale = 1; app.canvas.ds.offset = offset; app.canvas.setDirty(true, true);
                     await app.queuePrompt(0); }""", [prompt, list(offset)])


def value_of(page, comfy_class, script):
    return page.evaluate(f"""() => {{ const node = app.graph.nodes.find(node => node.comfyClass === "{comfy_class}");
                                      return {script}; }}""")


@pytest.fixture(scope="module")
def critique(page):
    run(page, {"one": node("LoadImage", image=PICTURE),
               "critique": node("BottegaCritique", images=("one", 0), rubric="", counterfactuals=True,
                                in_metadata=False)})
    page.wait_for_selector(".bottega-critique:not([hidden])", state="attached")
    return page.locator(".bottega-critique")


def test_the_critique_shows_score_radar_and_reasons(critique):
    assert critique.locator(".score").inner_text().isdigit()
    assert critique.locator(".radar .dot").count() >= 9
    assert critique.locator(".reasons li:not(.try)").count() == 3 and critique.locator(".reasons li b").count() == 5


def test_what_was_tried_and_measured_is_told_below_the_reasons(critique):
    tried = critique.locator(".reasons .try").all_inner_texts()
    said = r"Try: .+: [A-Z].+ \d+ -> \d+, score [\d.]+ -> [\d.]+"
    assert len(tried) == 2 and all(re.fullmatch(said, each) for each in tried)


def test_pointing_at_a_criterion_shows_its_heat_map(critique):
    key = critique.locator(".key")
    assert key.inner_text().split("\n") == ["adds nothing", "adds most"]
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
    assert saved == ["", True, False, "", ""]
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    inputs = next(entry["inputs"] for entry in prompt.values() if entry["class_type"] == "BottegaCritique")
    assert "bottega_critique" not in inputs


def test_a_critique_is_there_again_after_undo_after_a_reload_and_in_another_browser(page, browser, server, critique):
    said = critique.locator(".reasons").inner_text()
    saved = page.evaluate("() => app.graph.serialize()")
    visible = "() => document.querySelector('.bottega-critique:not([hidden]) .reasons')?.innerText"
    page.evaluate(UNDO, saved)
    page.wait_for_function(visible)
    other = open_page(browser, server)
    for each in (page, other):
        if each is page:
            each.reload()
            each.wait_for_function("() => window.app?.extensionManager && !app.extensionManager.spinner")
            each.wait_for_timeout(1000)
        each.evaluate("async saved => { await app.loadGraphData(saved); }", saved)
        each.wait_for_function(visible)
        assert each.evaluate(visible) == said
    other.close()


def test_pairs_of_opposites_are_shown_without_a_score(page):
    # Another id: the host's Vue nodes keep what stood in a node of the same id.
    run(page, {"one": node("LoadImage", image=PICTURE),
               "pairs": node("BottegaCritique", images=("one", 0), rubric="@Wölfflin")})
    page.wait_for_selector(".bottega-critique:not([hidden]) .pair", state="attached")
    panel = page.locator(".bottega-critique")
    assert panel.locator(".pair .mark").count() == 2 and panel.locator(".score").count() == 0
    panel.locator('.pair[data-id="WO3"]').dispatch_event("pointerenter")
    assert panel.locator(".caption").inner_text() == "Closed or open form: Left-right likeness (Likeness left-right)"


def test_the_words_of_a_critic_and_the_tables_behind_them_are_read_on_the_node(page):
    run(page, {"one": node("LoadImage", image=PICTURE),
               "critic": node("BottegaCritique", images=("one", 0), rubric="@Arnheim", counterfactuals=False)})
    page.wait_for_selector(".bottega-report:not([hidden]) .page", state="attached")
    report = page.locator(".bottega-report:not([hidden])")
    assert "Seeing is a play of forces." in report.inner_text() and report.locator("table").count() >= 1
    handle = report.locator(".handle")
    assert handle.inner_text() == "All of it"
    handle.dispatch_event("click")
    assert handle.inner_text() == "Less" and page.locator(".bottega-critique:not([hidden]) .score").count() == 1


STEPS = 4000    # so many that no machine is done before it is stopped
WORDS = "document.querySelector('.bottega-training:not([hidden]) .words')?.textContent ?? ''"
BUTTONS = ".bottega-training:not([hidden]) .foot button:visible"
BEGINS = """() => { const canvas = document.querySelector(".bottega-training:not([hidden]) canvas");
    const pixels = canvas?.width && canvas.getContext("2d").getImageData(0, 0, 3, canvas.height).data;
    return Boolean(pixels) && pixels.some(value => value > 0); }"""


@pytest.fixture(scope="module")
def trained(page, browser, server, renderer):
    """A training that was queued in one of two tabs with the same workflow, seen in both, in another browser, stopped
    and seen again; what each of them showed."""
    more = {"shown": node("PreviewAny", source=("train", 2)),
            "words": node("CLIPTextEncode", text="a ship", clip=("clip", 0))}
    prompt = deepcopy(training("bottega_woodcut", STEPS)) | more
    # What the other renderer trained is in the host's cache.
    prompt["train"]["inputs"] |= {"seed": SEEDS[renderer], "sample_prompts": ["words", 0], "vae": ["vae", 0]}
    seen = {}
    page.evaluate("async prompt => { app.graph.clear(); await app.loadApiJson(prompt, 'training'); }", prompt)
    page.wait_for_timeout(1000)  # until the host has made a tab of it
    saved = page.evaluate("() => ({ ...app.graph.serialize(), id: crypto.randomUUID() })")
    show_workflow(page, saved)
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function(f"() => ({WORDS}).includes('/ {STEPS}')")
    show_workflow(page, saved)  # another tab with a copy of it
    page.wait_for_timeout(3000)  # some events pass it by
    seen["the copy"] = page.locator(".bottega-training:not([hidden])").count()
    page.evaluate("() => app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    page.wait_for_function(f"() => ({WORDS}).includes('/ {STEPS}')")
    page.wait_for_function(BEGINS)
    other = open_page(browser, server)
    other.set_default_timeout(240_000)
    show_workflow(other, saved)
    other.wait_for_function(BEGINS)
    page.locator(BUTTONS).first.dispatch_event("click")
    for name, each in {"its own": page, "another browser": other}.items():
        each.wait_for_function(f"() => ({WORDS}).includes('Stopped')")
        seen[name] = each.evaluate(WORDS), each.locator(BUTTONS).all_inner_texts()
    other.reload()
    other.wait_for_function("() => window.app?.extensionManager && !app.extensionManager.spinner")
    other.wait_for_timeout(1000)
    show_workflow(other, saved)
    other.wait_for_function(BEGINS)
    seen["after a reload"] = other.evaluate(WORDS)
    other.close()
    page.wait_for_function("""() => { const shown = app.graph.nodes.find(node => node.comfyClass === "PreviewAny");
        return JSON.stringify(shown.widgets?.map(widget => widget.value) ?? "").includes("Stopped early"); }""")
    return seen


def show_workflow(page, saved):
    """Opens a saved workflow in a tab of its own, with the training in sight."""
    page.evaluate("""async saved => { await app.loadGraphData(saved, true, true, null);
        const node = app.graph.nodes.find(node => node.comfyClass === "BottegaTrainLora");
        app.canvas.ds.scale = 1;
        app.canvas.ds.offset = [100 - node.pos[0], 100 - node.pos[1]];
        app.canvas.setDirty(true, true); }""", saved)


def test_a_training_is_seen_and_can_be_stopped_and_kept(trained):
    words, buttons = trained["its own"]
    assert re.match(rf"Stopped at step \d+ of {STEPS}, and kept   loss [\d.]+ \(mean of the last 20 steps\)$", words)
    assert buttons == ["Go on"]


def stopped_at(trained):
    return int(re.search(r"at step (\d+)", trained["its own"][0])[1])


def test_a_copy_of_the_workflow_in_another_tab_shows_no_training(trained):
    assert trained["the copy"] == 0


def test_another_browser_and_a_page_loaded_anew_show_the_whole_training(trained):
    assert trained["another browser"] == trained["its own"] and trained["after a reload"] == trained["its own"][0]


def test_sample_pictures_are_stepped_through_and_shown_large(page, trained):
    page.wait_for_function("() => document.querySelector('.bottega-training .picture img')?.naturalWidth > 0")
    step = page.locator(".bottega-training .step")
    assert step.inner_text() == f"after step {stopped_at(trained)}"
    page.locator(".bottega-training .picture").dispatch_event("click")
    page.wait_for_function("() => document.querySelector('.bottega-samples img')?.naturalWidth > 0")
    shown = page.locator(".bottega-samples .words")
    count = int(re.search(r"\((\d+) of \1\)", shown.inner_text())[1])   # a quick machine draws some before the stop
    for _ in range(count - 1):
        page.keyboard.press("ArrowLeft")
    assert count > 1 and shown.inner_text() == f"before the first step (1 of {count})"
    page.keyboard.press("Escape")
    page.locator(".bottega-samples").wait_for(state="detached")
    assert step.inner_text() == "before the first step"


def test_the_thin_curve_stands_out_from_its_ground(page, trained):
    drawn = "() => document.querySelector('.bottega-training:not([hidden]) canvas').toDataURL()"
    for theme in ("light", "dark"):
        before = page.evaluate(drawn)
        page.evaluate("id => app.extensionManager.setting.set('Comfy.ColorPalette', id)", theme)
        page.wait_for_function(f"before => ({drawn})() !== before", arg=before)  # in the colours of the theme
        thin, ground = page.evaluate(THIN)
        assert contrast(over(thin, ground), ground) >= 3, (theme, thin, ground)


# The colour of the thin curve, and of what it is drawn on: the canvas over the node.
THIN = """() => { const panel = document.querySelector(".bottega-training:not([hidden])");
    const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const fill = colour => { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); };
    const read = () => [...pen.getImageData(0, 0, 1, 1).data].map(value => value / 255);
    const node = app.graph.nodes.find(node => node.comfyClass === "BottegaTrainLora");
    const card = document.querySelector(`[data-node-id="${node.id}"]`);
    fill(card ? getComputedStyle(card.querySelector("[data-testid^='node-body']") ?? card).backgroundColor
        : node.renderingBgColor ?? LiteGraph.NODE_DEFAULT_BGCOLOR);
    fill(getComputedStyle(panel.querySelector("canvas")).backgroundColor);
    const ground = read();
    pen.clearRect(0, 0, 1, 1);
    const probe = panel.appendChild(document.createElement("i"));
    probe.style.color = "var(--thin)";
    fill(getComputedStyle(probe).color);
    probe.remove();
    return [read(), ground]; }"""


def over(colour, ground):
    return [colour[3] * c + (1 - colour[3]) * g for c, g in zip(colour[:3], ground[:3], strict=True)]


def contrast(one, other):
    """Of WCAG 2, from 1 to 21."""
    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def test_go_on_says_what_it_resumes_and_runs_on_from_there(page, trained):
    button = page.locator(BUTTONS).first
    button.dispatch_event("click")
    page.wait_for_function(f"() => new RegExp('^\\\\d+ / {STEPS}').test({WORDS})")
    resume = value_of(page, "BottegaTrainLora", "node.widgets.find(widget => widget.name === 'resume').value")
    assert re.fullmatch(r"server_test(_\d{5})?", resume)
    assert int(page.evaluate(WORDS).split(" ")[0]) > stopped_at(trained)
    page.evaluate("async () => (await import('/scripts/api.js')).api.interrupt()")
    page.wait_for_function(f"() => ({WORDS}).includes('Cancelled')")
    button.filter(has_text="Go on").wait_for(state="attached")      # written after the words


def test_the_whole_sentence_of_an_error_stands_on_the_node_until_the_next_run(page):
    run(page, {"wrong": node("BottegaCritiqueReference", folder="nowhere")} | {
        "shown": node("PreviewAny", source=("wrong", 1))})
    words = page.locator(".bottega-error:not([hidden]) .words")
    words.wait_for(state="attached")
    assert re.match(r"folder: expected a folder below .*, got nowhere; there are ", words.inner_text())
    page.evaluate("""() => { const node = app.graph.nodes.find(node => node.comfyClass === "BottegaCritiqueReference");
        node.widgets.find(widget => widget.name === "folder").value = "bottega_woodcut"; app.queuePrompt(0); }""")
    words.wait_for(state="hidden")
    page.evaluate("async () => (await import('/scripts/api.js')).api.interrupt()")


def test_a_training_that_was_out_of_sight_has_its_curve_when_it_comes_back(page, renderer):
    graph = deepcopy(training("bottega_woodcut", 2))
    graph["far"] = graph.pop("train")  # another id: see above
    graph["far"]["inputs"]["seed"] = SEEDS[renderer]  # what the other renderer trained is in the host's cache
    run(page, graph | {"shown": node("PreviewAny", source=("far", 2))}, offset=[9000, 9000])
    said = "document.querySelector('.bottega-training .words').textContent"
    page.wait_for_function(f"() => {said}.includes('Finished: 2 steps')")
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
