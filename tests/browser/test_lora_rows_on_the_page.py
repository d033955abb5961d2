"""LoRA Rows on a page, in both renderers: what a hand and a keyboard do there, saved, promoted and after a run."""
import json

import pytest
from block_editor import errors_of_ours
from pages import show, touch
from playwright.sync_api import TimeoutError
from subgraph import HELPERS, HOST, INNER, enter, leave

FLUX, SDXL = "editor_flux.safetensors", "editor_sdxl.safetensors"
ONE, TWO = f"<lora:{FLUX}:1>", f"<lora:{SDXL}:1>"
MAKE = """async rows => {
    await app.loadGraphData({ id: crypto.randomUUID(), version: 0.4, nodes: [], links: [],
                              last_node_id: 0, last_link_id: 0 });
    await new Promise(done => setTimeout(done, 150));
    const node = LiteGraph.createNode("BottegaLoraRows");
    node.pos = [300, 120];
    app.graph.add(node);
    node.setSize([520, node.size[1]]);
    node.widgets.find(widget => widget.name === "rows").value = rows;
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [0, 0];
    app.canvas.setDirty(true, true);
    const tracker = app.extensionManager.workflow.activeWorkflow.changeTracker;
    (tracker.captureCanvasState ?? tracker.checkState).call(tracker); }"""


@pytest.fixture
def page(editor_page):
    editor_page.mouse.move(0, 0)
    editor_page.evaluate(HELPERS)
    yield editor_page
    editor_page.evaluate("() => app.canvas.setGraph(app.rootGraph ?? app.graph)")


def make(page, rows):
    page.evaluate(MAKE, rows)
    page.locator(".bottega-rows .add").wait_for(state="visible")
    page.wait_for_timeout(400)


def value(page, node="app.graph.nodes[0]"):
    return page.evaluate(f"() => {node}.widgets.find(widget => widget.name === 'rows').value")


def sent(page):
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    return next(node["inputs"]["rows"] for node in prompt.values() if node["class_type"] == "BottegaLoraRows")


def field(page, kind, at=0):
    return page.locator(f".bottega-rows:visible .{kind}").nth(at)


def add(page, name):
    field(page, "add").fill(name)
    page.keyboard.press("Enter")


def test_rows_are_added_weighed_muted_and_taken_out(page):
    make(page, "")
    add(page, "editor_flux")                        # as in a prompt: without ending
    add(page, SDXL)
    assert value(page) == f"{ONE}\n{TWO}"
    add(page, "nowhere")
    assert "missing" in field(page, "add").get_attribute("class") and value(page) == f"{ONE}\n{TWO}"
    field(page, "model").focus()
    for key in ("ArrowDown", "ArrowDown", "Shift+ArrowDown"):
        page.keyboard.press(key)
    field(page, "clip").fill("0.1234567")           # as typed, to the last digit
    page.keyboard.press("Enter")
    assert value(page) == f"<lora:{FLUX}:0.89:0.1234567>\n{TWO}"
    field(page, "on", 1).focus()
    page.keyboard.press("Space")
    assert value(page).endswith(f"\n# {TWO}")
    field(page, "all").click()
    assert value(page).count("# <") == 2
    field(page, "out").click()
    assert value(page) == f"# {TWO}" and sent(page) == f"# {TWO}"


def test_a_strength_that_passes_the_other_one_leaves_it_as_it_is(page):
    make(page, f"<lora:{FLUX}:0.7:0.6>")
    field(page, "model").focus()
    seen = []
    for _ in range(3):
        page.keyboard.press("ArrowDown")
        seen.append(value(page))
    assert seen == [f"<lora:{FLUX}:{model}:0.6>" for model in (0.65, 0.6, 0.55)]
    field(page, "add").focus()                      # no field of the row is being typed in, so that a drag weighs
    x, y = middle(field(page, "model"))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 4, y)                       # to the 0.6 of the CLIP, and past it
    page.mouse.move(x + 12, y, steps=4)
    page.mouse.up()
    assert value(page) == f"<lora:{FLUX}:0.7:0.6>"
    field(page, "clip").fill("")
    page.keyboard.press("Enter")
    assert value(page) == f"<lora:{FLUX}:0.7>"


def test_a_row_has_bars_of_its_own(page):
    make(page, f"{ONE}\n{TWO}")
    field(page, "weigh").click()
    bar = field(page, "row").locator('[data-alias="D09"]')
    bar.focus()
    page.keyboard.press("ArrowDown")
    assert value(page) == f"<lora:{FLUX}:1:lbw=D09=0.95>\n{TWO}"
    field(page, "weigh", 1).click()
    field(page, "row", 1).locator('[data-alias="IN04"]').wait_for(state="visible")
    make(page, f"<lora:{FLUX}:1:lbw=D05=A; D06=0.2; A=0.5>")
    field(page, "weigh").click()
    bar.wait_for(state="visible")
    assert field(page, "row").locator('[data-alias="D05"]').get_attribute("aria-valuenow") == "0.5"
    assert field(page, "row").locator(".also .bad").count() == 0
    field(page, "row").get_by_role("button", name="Text", exact=True).click()
    field(page, "row").locator("textarea").focus()
    page.keyboard.press("Home")
    page.keyboard.type(":#<")
    assert value(page) == f"<lora:{FLUX}:1:lbw=#D05=A; D06=0.2; A=0.5>"
    page.keyboard.press("Backspace")                # the #, where the caret still is
    field(page, "add").focus()
    assert value(page) == f"<lora:{FLUX}:1:lbw=D05=A; D06=0.2; A=0.5>"


def test_rows_are_reordered_by_hand_and_by_keys(page):
    three = [ONE, TWO, "# a note"]
    make(page, "\n".join(three))
    first, last = (field(page, "grip", at).bounding_box() for at in (0, 2))
    page.mouse.move(first["x"] + 5, first["y"] + 10)
    page.mouse.down()
    page.mouse.move(last["x"] + 5, last["y"] + 20, steps=5)
    page.mouse.up()
    assert value(page) == "\n".join([TWO, "# a note", ONE])
    field(page, "grip", 2).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert value(page) == "\n".join(three[:1] + [TWO, "# a note"])
    page.keyboard.press("Delete")
    assert value(page) == f"{TWO}\n# a note"


def test_a_finger_weighs_moves_and_mutes_rows_and_leaves_the_graph_where_it_is(page):
    make(page, f"{ONE}\n{TWO}")
    x, y = middle(field(page, "model"))
    touch(page, (x, y), (x - 12, y), (x - 24, y))
    becomes(page, f"<lora:{FLUX}:0.7>\n{TWO}")
    (x, y), (_, below) = middle(field(page, "grip")), middle(field(page, "grip", 1))
    touch(page, (x, y), (x, y + 8), (x, below + 8))
    becomes(page, f"{TWO}\n<lora:{FLUX}:0.7>")
    field(page, "weigh", 1).click()
    track = field(page, "row", 1).locator('[data-alias="D09"] .track')
    track.wait_for(state="visible")
    (x, y), box = middle(track), track.bounding_box()
    touch(page, (x, y), (x, box["y"] + box["height"]))
    becomes(page, f"{TWO}\n<lora:{FLUX}:0.7:lbw=D09=0>")
    muted = f"# {TWO}\n<lora:{FLUX}:0.7:lbw=D09=0>"
    tap(page, field(page, "on"), muted)
    assert page.evaluate("() => [app.canvas.ds.scale, ...app.canvas.ds.offset]") == [1, 0, 0]


def tap(page, part, rows):
    """Once more where nothing came of it: a browser under load drops one that a script makes now and then."""
    try:
        touch(page, middle(part), until=lambda: becomes(page, rows))
    except TimeoutError:
        touch(page, middle(part), until=lambda: becomes(page, rows))


def becomes(page, rows):
    """Waits: on a busy machine the page answers a finger later than the script asks."""
    page.wait_for_function("rows => app.graph.nodes[0].widgets.find(each => each.name === 'rows').value === rows",
                           arg=rows)


def middle(part):
    box = part.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_drag_over_a_strength_changes_it_and_undo_takes_it_back(page):
    make(page, ONE)
    box = field(page, "model").bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 10 - 24, box["y"] + 10, steps=4)
    page.mouse.up()
    assert value(page) == f"<lora:{FLUX}:0.7>"
    page.mouse.click(1200, 850)
    page.keyboard.press("ControlOrMeta+z")
    page.wait_for_timeout(800)
    assert value(page) == ONE and field(page, "model").input_value() == "1"


def test_a_saved_workflow_comes_back_and_text_the_rows_cannot_show_is_kept(page):
    rows = f'# <lora:{FLUX}:0.5:lbw=D*=0>\n<lora:{SDXL}:te=0.5>\n<lora:gone:1>\n<lora:"a: b > c":1>'
    make(page, rows)
    page.evaluate("() => app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))")
    page.wait_for_timeout(500)
    assert value(page) == rows and sent(page) == rows
    assert field(page, "note").text_content() == f"<lora:{SDXL}:te=0.5>"
    assert "missing" in field(page, "name", 1).get_attribute("class")
    assert field(page, "name", 2).input_value() == "a: b > c"
    field(page, "all").click()
    assert value(page).endswith('\n# <lora:gone:1>\n# <lora:"a: b > c":1>')


def test_a_row_whose_file_is_there_is_not_marked_for_what_was_typed_and_left(page):
    make(page, f"{ONE}\n<lora:gone:1>")
    for at, is_missing in ((0, False), (1, True)):
        for leave_by in ("Tab", "Escape"):
            field(page, "name", at).click()
            page.keyboard.type("zzz")
            page.keyboard.press(leave_by)
            assert field(page, "name", at).input_value() == (FLUX, "gone")[at]
            assert ("missing" in field(page, "name", at).get_attribute("class")) == is_missing
            assert ("no file of this name" in field(page, "name", at).get_attribute("title")) == is_missing
    field(page, "as-text").click()
    page.locator(".bottega-rows:visible textarea").fill(TWO)
    assert value(page) == TWO
    field(page, "as-text").click()
    assert field(page, "name").input_value() == SDXL


def test_a_run_tells_a_row_the_blocks_of_a_file_of_no_known_model(page):
    make(page, "<lora:editor_strange.safetensors:1>")
    field(page, "weigh").click()
    page.locator(".bottega-rows .hint").wait_for(state="visible")
    blocks = {"editor_strange.safetensors": [{"block": "X00", "in_file": True, "ratio": 1},
                                             {"block": "X01", "in_file": False, "ratio": 1}]}
    show(page, "BottegaLoraRows", {"text": ["told"], "bottega_rows": [json.dumps(blocks)]})
    page.locator('.bottega-rows [data-alias="X00"]').wait_for(state="visible")


def test_a_subgraph_promotes_the_rows(page):
    make(page, ONE)
    page.evaluate("""() => { const host = app.graph.convertToSubgraph(new Set([app.graph.nodes[0]])).node;
        promoteAll(host, ["rows"]); host.pos = [100, 60]; }""")
    page.wait_for_timeout(600)
    field(page, "model").focus()
    page.keyboard.press("ArrowDown")
    assert value(page, HOST) == f"<lora:{FLUX}:0.95>" and sent(page) == f"<lora:{FLUX}:0.95>"
    enter(page)
    field(page, "model").focus()
    page.keyboard.press("ArrowDown")
    assert sent(page) == f"<lora:{FLUX}:0.9>"
    leave(page)
    assert field(page, "model").input_value() == "0.9" and value(page, INNER) is not None


def test_the_page_has_no_errors_of_ours(editor_page):
    """Runs last: it sees what all the tests above have caused."""
    assert errors_of_ours(editor_page) == []
