"""The editor of block weights in a workflow, in both renderers: undone, copied, saved and linked, and what files and
runs tell it."""
import io
import json
import shutil

from block_editor import SHOWN, Node, errors_of_ours, reload
from pages import UNDO, show
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def test_a_folded_family_stays_folded_after_a_reload(node):
    node.page.get_by_role("button", name="S", exact=True).click()
    assert not node.bar("S05").is_visible() and node.bar("D05").is_visible()
    reload(node.page)
    assert not node.bar("S05").is_visible() and node.bar("D05").is_visible()


def test_undo_and_redo(node):
    node.drag(node.point("D07", 0.5))
    node.drag(node.point("D09", 0.25))
    assert node.value() == "D07=0.5; D09=0.25"
    node.press("ControlOrMeta+z")
    node.page.wait_for_timeout(600)
    assert node.value() == "D07=0.5"
    node.page.wait_for_selector(SHOWN, state="visible")
    assert node.bar("D07").get_attribute("aria-valuenow") == "0.5"
    assert node.bar("D09").get_attribute("aria-valuenow") == "1"
    node.press("ControlOrMeta+Shift+z")
    node.page.wait_for_timeout(600)
    assert node.value() == "D07=0.5; D09=0.25"


def test_copy_and_paste(node):
    node.drag(node.point("D07", 0.5))
    node.page.evaluate("""() => { app.canvas.selectNode(app.graph.nodes[0]);
        app.canvas.copyToClipboard(); app.canvas.pasteFromClipboard(); }""")
    node.page.wait_for_timeout(500)
    assert [node.value(0), node.value(1)] == ["D07=0.5", "D07=0.5"]
    node.page.evaluate("() => app.graph.remove(app.graph.nodes[1])")


def test_save_and_reload(node):
    node.drag(node.point("D07", 0.5))
    reload(node.page)
    assert node.value() == "D07=0.5"
    assert node.bar("D07").get_attribute("aria-valuenow") == "0.5"


def test_a_picture_dragged_onto_the_page_brings_the_weights_back(node):
    node.drag(node.point("D07", 0.5))
    saved = node.page.evaluate("() => JSON.stringify(app.graph.serialize())")
    Node(node.page)
    node.page.evaluate("""async bytes => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "picture.png", { type: "image/png" }));
        const target = document.querySelector("#graph-canvas");
        for (const kind of ["dragover", "drop"])
            target.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true,
                                                       clientX: 1200, clientY: 800 })); }""", list(picture(saved)))
    node.page.wait_for_function("""() => app.graph.nodes.some(node => node.comfyClass === "BottegaLoadLora"
        && node.widgets.find(widget => widget.name === "blocks").value === "D07=0.5")""")


def picture(workflow: str) -> bytes:
    info, file = PngInfo(), io.BytesIO()
    info.add_text("workflow", workflow)
    Image.new("RGB", (8, 8)).save(file, "png", pnginfo=info)
    return file.getvalue()


def test_a_linked_string_makes_it_inert_also_after_a_reload(node, renderer):
    height = "() => app.graph.nodes.find(node => node.comfyClass === 'BottegaLoadLora').size[1]"
    high = node.page.evaluate(height)
    node.page.evaluate("""() => { const text = LiteGraph.createNode("PrimitiveString"); text.pos = [20, 700];
        app.graph.add(text); const ours = app.graph.nodes.find(node => node.comfyClass === "BottegaLoadLora");
        text.connect(0, ours, ours.inputs.findIndex(input => input.name === "blocks")); }""")
    inert = """() => { const editor = document.querySelector('.bottega-blocks');
                       return editor?.checkVisibility() ? editor.inert : true; }"""  # newer pages hide what is linked
    assert node.page.evaluate(inert)
    node.page.evaluate("() => app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))")
    node.page.wait_for_timeout(1000)  # not for the bars to be visible: the classic renderer may hide what is inert
    assert node.page.evaluate(inert)
    if renderer == "classic":  # which hides them and would leave a hole
        assert node.page.evaluate(height) < high - 100
    node.page.evaluate("""() => { const ours = app.graph.nodes.find(node => node.comfyClass === "BottegaLoadLora");
        ours.disconnectInput(ours.inputs.findIndex(input => input.name === "blocks")); }""")
    node.page.wait_for_function(f"() => !({inert})()")
    if renderer == "classic":
        assert node.page.evaluate(height) == high


def test_the_bars_show_which_blocks_the_file_has_and_their_energy(node):
    shares = {alias: node.bar(alias).evaluate("bar => Number(bar.style.getPropertyValue('--share'))")
              for alias in ("D07", "D08", "S02")}
    assert shares == {"D07": 1, "D08": 0.25, "S02": 0}
    assert "‖ΔW‖ 2.00" in node.bar("D07").get_attribute("aria-valuetext")
    absent = node.page.evaluate("""() => [...document.querySelectorAll(".bottega-blocks .absent")]
                                         .map(bar => bar.dataset.alias).filter(alias => /^[DS]\\d/.test(alias))""")
    assert absent == ["S00", "S01", "S02"]
    assert "Flux.1 · 54 of 63 blocks" in node.page.locator(".bottega-blocks .reading").inner_text()


def test_another_file_brings_its_own_blocks_and_the_text_stays(node):
    node.drag(node.point("D07", 0.5))       # after which D07 is the current one
    node.page.evaluate("""() => { const widget = app.graph.nodes[0].widgets.find(widget => widget.name === "lora_name");
        widget.value = "editor_sdxl.safetensors"; widget.callback(widget.value); }""")
    node.bar("IN04").wait_for()
    assert node.page.locator(".bottega-blocks .also .bad").all_inner_texts() == ["D07=0.5"]
    assert node.value() == "D07=0.5"
    node.tool("Mute")
    assert node.value() == "BASE.time_embed=0; D07=0.5"


def test_a_file_that_is_replaced_on_the_disk_is_looked_at_again_when_the_page_refreshes_its_lists(node, server):
    loras = server.base / "models" / "loras"
    changing = loras / "editor_changing.safetensors"
    shutil.copy(loras / "editor_flux.safetensors", changing)
    node = Node(node.page, changing.name)
    node.bar("D07").wait_for()
    shutil.copy(loras / "editor_sdxl.safetensors", changing)
    own = server.base / "user" / "bottega" / "block_presets.txt"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("MY-OWN: IN04=0.5\n")
    node.page.evaluate("() => app.refreshComboInNodes()")  # what the key R does
    node.bar("IN04").wait_for()
    node.page.locator(".bottega-blocks .tools select option", has_text="MY-OWN").wait_for(state="attached")
    own.unlink()


def test_a_file_for_no_known_model_leaves_the_text_and_a_sentence(node):
    node = Node(node.page, "editor_strange.safetensors", "D07=0.5")
    assert node.page.locator(".bottega-blocks textarea").input_value() == "D07=0.5"
    assert "not known yet" in node.page.locator(".bottega-blocks .hint").inner_text()
    node.page.locator(".bottega-blocks .hint select").focus()
    node.page.locator(".bottega-blocks .hint select option[value='Flux.1']").wait_for(state="attached")
    node.page.locator(".bottega-blocks .hint select").select_option("Flux.1")
    node.bar("D07").wait_for()
    assert node.bar("D07").get_attribute("aria-valuenow") == "0.5"


def test_a_file_that_names_its_blocks_has_bars_before_any_run_marked_as_from_the_file(node):
    node = Node(node.page, "bottega_woodcut.safetensors", "J01=0.5; J07=0.5")
    hint = node.page.locator(".bottega-blocks .hint")
    assert hint.inner_text().startswith("From the names in the file: the model may have more blocks.")
    assert node.page.locator(SHOWN).count() == 3 and node.bar("J01").get_attribute("aria-valuenow") == "0.5"
    node.page.mouse.move(0, 0)
    assert node.page.locator(".bottega-blocks .also .bad").count() == 0  # J07 may be there
    told = json.dumps([{"block": f"J{n:02}", "in_file": n < 3, "ratio": 1} for n in range(8)])
    show(node.page, "BottegaLoadLora", {"bottega_blocks": [told]})
    node.bar("J07").wait_for()
    assert not hint.is_visible() and node.bar("J07").get_attribute("aria-valuenow") == "0.5"


def test_what_a_run_said_of_the_model_wins_and_survives_a_reload(node):
    told = json.dumps([{"block": "D00", "in_file": True, "ratio": 1}, {"block": "D01", "in_file": False, "ratio": 1}])
    show(node.page, "BottegaLoadLora", {"bottega_blocks": [told], "bottega_lora": ["editor_flux.safetensors"]})
    node.bar("S05").wait_for(state="detached")
    reload(node.page)
    assert node.page.locator(".bottega-blocks .block").count() == 2
    assert "absent" in node.bar("D01").get_attribute("class")


EVENT = """async ([event, more]) => { const { api } = await import("/scripts/api.js");
    const id = String(app.graph.nodes[0].id);
    api.dispatchEvent(new CustomEvent(event, { detail: { prompt_id: "of a test", node_id: id, ...more } }));
    await new Promise(done => setTimeout(done, 400)); }"""


def test_errors_and_reports_take_off_a_node_only_what_they_made_it_grow(node):
    page, error = node.page, node.page.locator(".bottega-error:not([hidden])")
    high = lambda: round(page.evaluate("() => app.graph.nodes[0].size[1]"))
    reopen = lambda: page.evaluate(UNDO, page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))"))
    reopen()                                        # so that the graph has an id
    for large in (False, True):
        page.evaluate("large => large && app.graph.nodes[0].setSize([520, 1400])", large)
        page.wait_for_timeout(300)
        for _ in range(2):
            before = high()
            page.evaluate(EVENT, ["execution_error", {"exception_message": "blocks: " + "a long sentence " * 30}])
            assert error.count() == 1 and (high() > before + 40) != large
            reopen()
            error.wait_for(state="attached")        # until the next run
            page.wait_for_timeout(400)
            page.evaluate(EVENT, ["execution_start", {}])
            assert error.count() == 0 and abs(high() - before) <= 20
            reopen()
            page.wait_for_timeout(400)
            assert error.count() == 0
    show(page, "BottegaLoadLora", {"text": ["a line\n\n" * 40]})
    page.wait_for_timeout(400)
    before = high()
    for _ in range(4):
        page.locator(".bottega-report .handle").dispatch_event("click")
        page.wait_for_timeout(400)
    assert before == high()


def test_a_removed_node_leaves_nothing_behind(node):
    node.page.evaluate("() => app.graph.clear()")
    node.page.wait_for_function("() => !document.querySelector('.bottega-blocks')")


def test_the_page_has_no_errors_of_ours(editor_page):
    """Runs last: it sees what all the tests above have caused."""
    assert errors_of_ours(editor_page) == []
