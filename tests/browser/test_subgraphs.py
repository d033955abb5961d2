"""Block weights that subgraphs promote, in both renderers: bars on the subgraph's node, and the same inside of it."""
import pytest
from block_editor import errors_of_ours
from subgraph import HOST, INNER, MAKE, bar, enter, leave, make, ratio, reload, sent, step


@pytest.fixture
def page(editor_page):
    """A page with a subgraph as above."""
    editor_page.mouse.move(0, 0)
    make(editor_page)
    yield editor_page
    editor_page.evaluate("() => app.canvas.setGraph(app.rootGraph ?? app.graph)")


def test_the_bars_of_promoted_block_weights_stand_on_the_subgraph_s_node(page):
    assert ratio(page, HOST, "D07") == "0.5" and "absent" in bar(page, HOST, "S00").get_attribute("class")
    step(page, HOST, "D09", "ArrowDown", 2)
    assert sent(page) == "D07=0.5; D09=0.9"


def test_they_can_be_edited_inside_the_subgraph_too_and_are_the_same_weights(page):
    enter(page)
    assert bar(page, INNER, "D07").is_visible() and ratio(page, INNER, "D07") == "0.5"
    step(page, INNER, "D09", "ArrowDown")
    assert sent(page) == "D07=0.5; D09=0.95"
    leave(page)
    assert ratio(page, HOST, "D09") == "0.95"
    step(page, HOST, "D07", "ArrowUp")
    enter(page)
    assert ratio(page, INNER, "D07") == "0.55" and sent(page) == "D07=0.55; D09=0.95"


def test_a_saved_workflow_keeps_what_stands_on_the_subgraph_s_node(page):
    step(page, HOST, "D09", "ArrowDown")
    reload(page)
    assert ratio(page, HOST, "D09") == "0.95" and sent(page) == "D07=0.5; D09=0.95"
    step(page, HOST, "D09", "ArrowDown")  # what is shown is what is edited
    assert sent(page) == "D07=0.5; D09=0.9"


def test_undo_takes_back_an_edit_on_the_subgraph_s_node(page):
    step(page, HOST, "D09", "ArrowDown")
    page.keyboard.press("ControlOrMeta+z")
    page.wait_for_timeout(800)
    bar(page, HOST, "D07").wait_for(state="visible")
    assert ratio(page, HOST, "D09") == "1" and sent(page) == "D07=0.5"
    step(page, HOST, "D10", "ArrowDown")
    assert sent(page) == "D07=0.5; D10=0.95"


def test_the_file_that_a_subgraph_promotes_tells_the_bars_their_blocks(page):
    page.evaluate(f"""() => {{ const widget = {HOST}.widgets.find(widget => widget.name === "lora_name");
        widget.value = "editor_sdxl.safetensors"; widget.callback?.(widget.value); }}""")
    bar(page, HOST, "IN04").wait_for(state="visible")
    enter(page)
    bar(page, INNER, "IN04").wait_for(state="visible")


def test_a_promoted_file_alone_tells_the_bars_inside(page):
    page.evaluate(MAKE, {"blocks": "", "promote": ["lora_name"]})
    page.evaluate(f"""() => {{ const widget = {HOST}.widgets.find(widget => widget.name === "lora_name");
        widget.value = "editor_sdxl.safetensors"; widget.callback?.(widget.value); }}""")
    enter(page)
    bar(page, INNER, "IN04").wait_for(state="visible")


def test_a_link_from_outside_locks_both(page):
    page.evaluate(f"""() => {{ const text = LiteGraph.createNode("PrimitiveString"); app.graph.add(text);
        const host = {HOST}; text.connect(0, host, host.inputs.findIndex(input => input.name === "blocks")); }}""")
    page.wait_for_timeout(500)
    inert = f"() => [{HOST}, {INNER}].map(node => node.widgets.find(w => w.name === 'blocks')?.element?.inert ?? true)"
    assert page.evaluate(inert) == [True, True]


def test_a_subgraph_in_a_subgraph_promotes_them_further(page):
    page.evaluate(f"""() => {{ const outer = app.graph.convertToSubgraph(new Set([{HOST}])).node;
        promoteAll(outer, ["lora_name", "blocks"]); }}""")
    bar(page, HOST, "D07").wait_for(state="visible")
    assert ratio(page, HOST, "D07") == "0.5"
    step(page, HOST, "D09", "ArrowDown")
    assert sent(page) == "D07=0.5; D09=0.95"
    enter(page)
    assert ratio(page, INNER, "D09") == "0.95"
    enter(page, INNER)
    assert ratio(page, f"{INNER}.subgraph.nodes[0]", "D09") == "0.95"
    step(page, f"{INNER}.subgraph.nodes[0]", "D09", "ArrowDown")
    assert sent(page) == "D07=0.5; D09=0.9"
    leave(page)
    reload(page)
    assert ratio(page, HOST, "D09") == "0.9"


def test_two_nodes_of_one_subgraph_have_weights_of_their_own(page):
    page.evaluate(f"""() => {{ app.canvas.selectNode({HOST}); app.canvas.copyToClipboard();
        app.canvas.pasteFromClipboard(); }}""")
    page.wait_for_timeout(600)
    first, second = (f"app.graph.nodes.filter(node => node.subgraph)[{n}]" for n in (0, 1))
    same = page.evaluate(f"() => {first}.subgraph === {second}.subgraph")
    step(page, second, "D09", "ArrowDown")
    assert ratio(page, first, "D09") == "1" and ratio(page, second, "D09") == "0.95"
    if same:
        enter(page, second)
        assert ratio(page, f"{second}.subgraph.nodes[0]".replace("app.graph", "app.rootGraph"), "D09") == "0.95"


def test_an_unpacked_subgraph_leaves_its_node_with_the_weights(page):
    step(page, HOST, "D09", "ArrowDown")
    page.evaluate(f"() => app.graph.unpackSubgraph({HOST})")
    page.wait_for_timeout(600)
    node = "app.graph.nodes.find(node => node.comfyClass === 'BottegaLoadLora')"
    bar(page, node, "D07").wait_for(state="visible")
    assert ratio(page, node, "D09") == "0.95" and sent(page) == "D07=0.5; D09=0.95"


def test_the_page_has_no_errors_of_ours_either(editor_page):
    """Runs last: it sees what all the tests above have caused."""
    assert errors_of_ours(editor_page) == []
