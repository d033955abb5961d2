"""What nodes report of a real run, on the nodes themselves, in both renderers of the host's front end."""
import pytest
from pages import UNDO, open_page, show
from prompts import MODELS, node

LORA = "report_test.safetensors"
# Nodes 2.0 lay nodes out by themselves, and newer ones leave the size that the node is saved with as it is.
SIZE = """kind => { const node = app.graph.nodes.find(node => node.comfyClass === kind);
    const shown = LiteGraph.vueNodesMode && document.querySelector(`[data-node-id="${node.id}"]`);
    const { width, height } = shown ? shown.getBoundingClientRect() : { width: node.size[0], height: node.size[1] };
    return [Math.round(width), Math.round(height)]; }"""


@pytest.fixture(scope="module")
def lora(server):
    """A LoRA for the first two blocks of the starter, one of them with DoRA."""
    import torch
    from safetensors.torch import load_file, save_file
    weights = load_file(server.base / "models" / "diffusion_models" / "bottega_starter.safetensors")
    torch.manual_seed(0)
    tensors = {}
    for name in ("joint_blocks.0.x_block.mlp.fc1", "joint_blocks.1.x_block.mlp.fc1"):
        weight = weights[f"model.diffusion_model.{name}.weight"].float()
        tensors[f"diffusion_model.{name}.lora_up.weight"] = torch.randn(weight.shape[0], 2)
        tensors[f"diffusion_model.{name}.lora_down.weight"] = torch.randn(2, weight.shape[1])
    tensors[f"diffusion_model.{name}.dora_scale"] = weight.norm(dim=1, keepdim=True)
    (server.base / "models" / "loras").mkdir(exist_ok=True)
    save_file(tensors, server.base / "models" / "loras" / LORA)


@pytest.fixture(scope="module")
def page(browser, server, renderer, lora):
    page = open_page(browser, server)
    yield page
    page.close()


@pytest.fixture(scope="module")
def ran(page, renderer):
    """The page after a run of a prompt that is new to the server, which sends nothing for what it remembers."""
    strength = 0.5 if renderer == "classic" else 0.75
    loaded = node("BottegaLoadLora", model=("model", 0), clip=("clip", 0), lora_name=LORA, strength_model=strength,
                  strength_clip=1.0, blocks="J00=0.25")
    prompt = MODELS | {
        "load": loaded, "seen": node("PreviewAny", source=("load", 2)),
        "idle": node("BottegaStackLora", lora_name=LORA, strength_model=1.0, strength_clip=1.0, blocks=""),
        "inspect": node("BottegaInspectLora", lora_name=LORA, model=("load", 0)),
    }
    page.evaluate("""async prompt => { app.graph.clear(); await app.loadApiJson(prompt, "reports");
        await app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())));  // so that the graph has an id
        app.canvas.ds.scale = 1; app.canvas.ds.offset = [100, 100];
        const pos = {BottegaLoadLora: [0, 0], BottegaInspectLora: [600, 0], BottegaStackLora: [1100, 0]};
        for (const node of app.graph.nodes) node.pos = pos[node.comfyClass] ?? [-3000, 0];
        app.canvas.setDirty(true, true); }""", prompt)
    page.wait_for_timeout(500)
    page.idle_before = size(page, "BottegaStackLora")
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function("() => document.querySelectorAll('.bottega-report:not([hidden])').length === 2")
    page.wait_for_function(f"() => ({SIZE})('BottegaInspectLora')[1] > 400")  # its picture has come
    page.wait_for_timeout(300)
    return page


def of(page, comfy_class):
    """The report on the node of a class: every report's root is the element of that node's own widget."""
    page.evaluate("""kind => { for (const node of app.graph.nodes) for (const widget of node.widgets ?? [])
        if (widget.name === "bottega_report") widget.element.dataset.of = node.comfyClass; }""", comfy_class)
    return page.locator(f'.bottega-report[data-of="{comfy_class}"]')


def size(page, comfy_class):
    return page.evaluate(SIZE, comfy_class)


def test_the_report_of_a_run_is_seen_on_the_node(ran, renderer):
    text = of(ran, "BottegaLoadLora").inner_text()
    assert text.startswith(f"{LORA}: changes 2 weights of the model and 0 weights of the CLIP; 5 of 5 keys used.")
    assert f"model, strength {0.5 if renderer == 'classic' else 0.75}: J00=0.25; J01=1" in text


def test_a_node_that_has_not_run_is_as_it_was(ran):
    assert size(ran, "BottegaStackLora") == ran.idle_before
    assert of(ran, "BottegaStackLora").count() == 0


def test_a_report_has_its_lists_and_tables(ran):
    items = of(ran, "BottegaInspectLora").locator(".item").all_inner_texts()
    assert "•\nLoRA with DoRA on 1 weight, rank 2" in items
    table = "**Best**: 2\n\n| rank | reason |\n|---:|---|\n| 1 | **few** hues |\n| 2 | `D*=1` |\nend"
    show(ran, "BottegaStackLora", {"text": [table]})
    report = of(ran, "BottegaStackLora")
    assert report.locator("tr").all_inner_texts() == ["rank\treason", "1\tfew hues", "2\tD*=1"]
    assert report.locator("b").all_inner_texts() == ["Best", "few"]
    assert report.locator(".page > *").last.inner_text() == "end"
    show(ran, "BottegaStackLora", {"text": [""]})
    assert not report.is_visible()


def test_the_picture_of_a_node_stays_beside_its_report(ran):
    node = "app.graph.nodes.find(node => node.comfyClass === 'BottegaInspectLora')"
    assert ran.evaluate(f"() => app.nodeOutputs[{node}.id].images.length") == 1
    box = of(ran, "BottegaInspectLora").bounding_box()
    (_, top), (width, height) = ran.evaluate(f"() => [...{node}.pos]"), size(ran, "BottegaInspectLora")
    assert top + 100 <= box["y"] and box["y"] + box["height"] <= top + 100 + height + 1
    assert box["width"] > 0.85 * width and height > box["height"] + 200  # the picture has room of its own


def test_a_long_report_is_folded_and_unfolds(ran):
    report = of(ran, "BottegaInspectLora")
    handle, body = report.locator(".handle"), report.locator(".body")
    folded, node_folded = body.bounding_box()["height"], size(ran, "BottegaInspectLora")[1]
    assert "cut" in report.get_attribute("class") and handle.get_attribute("aria-expanded") == "false"
    handle.dispatch_event("click")
    ran.wait_for_timeout(300)
    assert body.bounding_box()["height"] > 1.5 * folded and size(ran, "BottegaInspectLora")[1] > node_folded + 40
    assert "cut" not in report.get_attribute("class") and handle.get_attribute("aria-expanded") == "true"
    heights = []
    for _ in range(3):  # the host lays its picture out anew the first time
        handle.dispatch_event("click")
        ran.wait_for_timeout(300)
        heights.append(size(ran, "BottegaInspectLora")[1])
        handle.dispatch_event("click")
        ran.wait_for_timeout(300)
    handle.dispatch_event("click")
    assert abs(heights[2] - heights[1]) <= 20 and heights[2] < node_folded + 100


def test_the_report_is_copied_as_it_was_written(ran):
    ran.context.grant_permissions(["clipboard-read", "clipboard-write"])
    report = of(ran, "BottegaInspectLora")
    report.locator(".copy").dispatch_event("click")
    ran.wait_for_function("() => [...document.querySelectorAll('.bottega-report .copy')]"
                          ".some(button => button.textContent === 'Copied')")
    assert ran.evaluate("() => navigator.clipboard.readText()").startswith(f"{LORA}: 5 keys")


def test_what_a_file_is_called_never_becomes_html(ran):
    said = "<img src=x onerror=window.bottegaHacked=1>: **<b>S*=0.5</b>**\n- `<i>` and D*=1; S*=0"
    show(ran, "BottegaLoadLora", {"text": [said]})
    report = of(ran, "BottegaLoadLora")
    assert report.locator("img, i").count() == 0 and ran.evaluate("() => window.bottegaHacked") is None
    first = report.locator(".page > *").first.inner_text()
    assert first == "<img src=x onerror=window.bottegaHacked=1>: <b>S*=0.5</b>"
    assert report.locator("code").inner_text() == "<i>" and report.locator(".item").inner_text().endswith("D*=1; S*=0")


def test_the_blocks_of_the_run_reach_the_bars(ran):
    bars = {bar: ran.locator(f'.bottega-blocks [data-alias="{bar}"]').first for bar in ("J00", "J01", "J02")}
    assert ["absent" in bars[bar].get_attribute("class") for bar in bars] == [False, False, True]
    assert bars["J00"].get_attribute("aria-valuenow") == "0.25"
    told = {entry["block"]: entry.get("energy") for entry in ran.evaluate("""() => app.graph.nodes.find(node =>
        node.comfyClass === "BottegaLoadLora").properties.bottega_blocks.blocks""")}
    assert f"‖ΔW‖ {told['J01']:.3g}" in bars["J01"].get_attribute("aria-valuetext")  # DoRA, which the file cannot tell
    assert told["J02"] is None


def test_reports_survive_a_reload_of_the_graph_and_of_the_page(ran):
    before = of(ran, "BottegaInspectLora").locator(".page").inner_text()
    ran.evaluate(UNDO, ran.evaluate("() => app.graph.serialize()"))
    ran.wait_for_function("() => document.querySelectorAll('.bottega-report').length === 2")
    ran.wait_for_timeout(300)
    assert of(ran, "BottegaInspectLora").locator(".page").inner_text() == before
    saved = ran.evaluate("() => app.graph.serialize()")
    assert "LoRA with DoRA" not in str(saved)  # what a node said is no part of the workflow
    ran.reload()
    ran.wait_for_function("() => window.app?.extensionManager && !app.extensionManager.spinner")
    ran.wait_for_timeout(1000)
    ran.evaluate("async saved => { await app.loadGraphData(saved); }", saved)
    ran.wait_for_function("() => document.querySelectorAll('.bottega-report').length === 2")
    assert of(ran, "BottegaInspectLora").locator(".page").inner_text() == before


def test_a_copy_of_a_node_has_said_nothing_yet(ran):
    ran.evaluate("""() => { app.canvas.deselectAll?.();
        app.canvas.selectNode(app.graph.nodes.find(node => node.comfyClass === "BottegaLoadLora"));
        app.canvas.copyToClipboard(); app.canvas.pasteFromClipboard(); }""")
    ran.wait_for_timeout(500)
    assert ran.evaluate("""() => app.graph.nodes.filter(node => node.comfyClass === "BottegaLoadLora").map(node =>
        node.widgets.some(widget => widget.name === "bottega_report"))""") == [True, False]


def test_a_report_is_neither_saved_nor_sent(ran):
    prompt = ran.evaluate("async () => (await app.graphToPrompt()).output")
    assert all("bottega_report" not in entry["inputs"] for entry in prompt.values())
    assert [error for error in ran.errors if "bottega" in error.lower()] == []
