"""The editor of block weights in a person's hands, in both renderers of the host's front end."""
from block_editor import Node, errors_of_ours


def test_dragging_a_bar_changes_the_string(node):
    node.drag(node.point("D07", 0.5))
    assert node.value() == "D07=0.5"
    node.drag(node.point("D07", 1.25))
    assert node.value() == "D07=1.25"


def test_a_drag_across_bars_paints_them_all(node):
    node.drag(node.point("D02", 0.5), node.point("D05", 0.5))
    assert node.value() == "D02-D05=0.5"


def test_a_quick_drag_skips_no_bar_and_draws_the_line_between(node):
    node.page.mouse.move(*node.point("D00", 0.0))
    node.page.mouse.down()
    node.page.mouse.move(*node.point("D04", 1.0))
    node.page.mouse.up()
    assert node.value() == "D00=0; D01=0.25; D02=0.5; D03=0.75"  # D04=1 is what it was


def test_a_drag_stops_at_zero_and_at_the_top_however_far_it_goes(node):
    (x, bottom), (_, top) = node.point("D03", 0), node.point("D03", 1.5)
    node.drag(node.point("D03", 0.5), (x, bottom + 300), release=False)
    assert node.value() == "D03=0" and scale(node) == ["0", "1.5"]
    node.page.mouse.move(x, top - 300)
    assert node.value() == "D03=1.5" and scale(node) == ["0", "1.5"]
    node.page.mouse.move(*node.point("D03", 0.1))
    node.page.mouse.up()
    assert node.value() == "D03=0.1"  # no way back that has to be gone first


def test_with_shift_a_drag_goes_below_zero_and_the_scale_follows_when_it_ends(node):
    node.drag(node.point("D03", 0.5), release=False)
    node.page.keyboard.down("Shift")
    node.page.mouse.move(*node.point("D03", -0.75))
    assert node.value() == "D03=-0.75" and scale(node) == ["0", "1.5"]
    node.page.keyboard.up("Shift")
    node.page.mouse.move(*node.point("D03", -0.8))
    assert node.value() == "D03=0"
    node.page.keyboard.down("Shift")
    node.page.mouse.move(*node.point("D03", -0.75))
    node.page.mouse.up()
    node.page.keyboard.up("Shift")
    assert scale(node) == ["-1", "1.5"]


def test_between_plus_and_minus_a_drag_rests_at_zero(node):
    node = Node(node.page, blocks="D00=-1")
    box = node.bar("D03").locator(".track").bounding_box()
    x, at = box["x"] + box["width"] / 2, lambda ratio: box["y"] + box["height"] * (1 - (ratio + 1) / 2.5)
    node.drag((x, at(0.5)), (x, at(-0.3)), release=False)
    assert node.value() == "D00=-1; D03=0"
    node.page.mouse.move(x, at(-0.5))
    assert node.value() == "D00=-1; D03=-0.5"
    node.page.mouse.move(x, at(0.3))
    assert node.value() == "D00=-1; D03=0"
    node.page.mouse.up()


def scale(node):
    return [node.bar("D03").get_attribute(f"aria-value{end}") for end in ("min", "max")]


def test_a_number_is_typed_for_the_bar_with_the_focus(node):
    node.bar("S20").focus()
    node.press("0", ".", "3", "5", "Enter")
    assert node.value() == "S20=0.35"
    node.press("ArrowUp")
    assert node.value() == "S20=0.4"
    node.press("0", "Enter")
    assert node.value() == "S20=0"
    for keys in (["Enter", "0", ".", "7"], ["5"]):
        node.press(*keys, "Escape")
        assert node.value() == "S20=0" and node.page.locator(".reading input").input_value() == "0"
    node.press("1")
    node.bar("S22").click(modifiers=["ControlOrMeta"])    # which leaves the field
    assert node.value() == ""


def test_keys_move_between_bars_and_change_them(node):
    node.bar("D00").focus()
    node.press("ArrowRight", "ArrowDown", "End", "ArrowDown", "PageDown", "Home", "Shift+ArrowUp")
    assert node.value() == "D01=0.95; D18=0.7; D00=1.01"
    node.press("Delete")
    assert node.value() == "D01=0.95; D18=0.7"
    assert node.page.evaluate("() => app.graph.nodes.length") == 1  # the page's own Delete did not see the key


def test_each_family_is_one_stop_for_tab_and_says_what_it_is(node):
    stops = node.page.evaluate("""() => [...document.querySelectorAll('.bottega-blocks .block[tabindex="0"]')]
                                        .map(bar => bar.dataset.alias)""")
    assert {"D00", "S00"} <= set(stops) and len(stops) == node.page.locator(".bottega-blocks .family").count()
    bar = node.bar("S01")
    names = {name: bar.get_attribute(f"aria-{name}") for name in ("label", "valuenow", "orientation", "valuetext")}
    assert names == {"label": "S01", "valuenow": "1", "orientation": "vertical", "valuetext": "1 · not in this LoRA"}
    assert bar.get_attribute("role") == "slider"


def test_mute_solo_and_reset(node):
    node.drag(node.point("D04", 0.5))
    node.press("m")
    assert node.value() == "D04=0"
    node.press("m")
    assert node.value() == "D04=0.5"
    node.press("s")
    text = node.value()
    assert "S*=0" not in text.split("; ")[0] and "D04=0.5" in text and "=0" in text
    assert node.bar("D05").get_attribute("aria-valuenow") == "0"
    assert node.bar("D04").get_attribute("aria-valuenow") == "0.5"
    node.press("s")
    assert node.value() == "D04=0.5"
    node.tool("Reset")
    assert node.value() == ""


def test_several_are_selected_and_take_a_shape(node):
    node.bar("D02").click(modifiers=["ControlOrMeta"])
    node.bar("D06").click(modifiers=["Shift"])
    node.shape("rise")
    assert node.value() == "D02-D06=linear(0, 1)"
    node.shape("hump")
    assert node.value() == "D02,D06=0; D03,D05=0.71"
    assert node.page.locator(".bottega-blocks .selected").count() == 5
    node = Node(node.page, blocks="D*=R")                 # of which the page knows no ratio
    node.bar("D02").focus()
    node.shape("fall")
    assert node.value() == "D*=linear(1, 0)"


def test_dragging_one_of_several_selected_moves_them_all(node):
    node.bar("S10").click(modifiers=["ControlOrMeta"])
    node.bar("S12").click(modifiers=["ControlOrMeta"])
    node.drag(node.point("S12", 1.0), node.point("S12", 0.5))
    assert node.value() == "S10,S12=0.5"
    node.drag(node.point("S12", 0.5), node.point("S12", -3))
    assert node.value() == "S10,S12=0"


def test_the_slider_of_a_family_sets_all_of_it(node):
    box = node.page.get_by_role("slider", name="all of S", exact=True).bounding_box()
    node.drag((box["x"] + box["width"] / 3 + 0.5, box["y"] + 6))
    assert node.value() == "S*=0.5"
    node.page.evaluate("() => app.canvas.selectNode(app.graph.nodes[0])")
    node.press("Delete")
    assert node.value() == "" and node.page.evaluate("() => app.graph.nodes.length") == 1


def test_a_field_keeps_what_is_typed_from_the_page_and_leaves_it_its_own_keys(node):
    node.tool("Text")
    node.page.evaluate("""() => { window.seen = []; window.queued ??= app.queuePrompt;
        app.queuePrompt = () => seen.push("queued");
        window.addEventListener("keydown", ({ key }) => seen.push(key)); }""")
    node.page.locator(".bottega-blocks textarea").focus()
    node.press("r", "Delete", "Control+z", "Control+a", "Control+ArrowUp", "Control+Enter")
    node.page.wait_for_function("() => seen.includes('queued')")
    assert set(node.page.evaluate("() => seen")) == {"Control", "Enter", "queued"}
    node.page.evaluate("() => { app.queuePrompt = queued; }")


def test_the_text_keeps_what_bars_cannot_express(node):
    text = "D00-D18=1  # as trained\n*.attn=0.7; S*=R"
    node = Node(node.page, blocks=text)
    shown = node.page.locator(".bottega-blocks .also button").all_inner_texts()
    assert shown == ["*.attn=0.7"]
    assert node.bar("S04").locator(".track").get_attribute("data-text") == "R"
    node.drag(node.point("D07", 0.5))
    assert node.value() == "D00-D18=1; D07=0.5  # as trained\n*.attn=0.7; S*=R"


def test_text_mode_edits_the_raw_string(node):
    node.tool("Text")
    area = node.page.locator(".bottega-blocks textarea")
    area.fill("S*.mlp=0.25")
    assert node.value() == "S*.mlp=0.25"
    node.tool("Bars")
    assert node.bar("S05").get_attribute("class").split().count("mixed") == 1


def test_compact_mode_lowers_the_node(node):
    height = "() => document.querySelector('.bottega-blocks .content').offsetHeight"
    tall = node.page.evaluate(height)
    node.tool("Compact")
    assert node.page.evaluate(height) < 0.65 * tall
    node.drag(node.point("D07", 0.5))
    assert node.value() == "D07=0.5"


def test_the_page_has_no_errors_of_ours(editor_page):
    """Runs last: it sees what all the tests above have caused."""
    assert errors_of_ours(editor_page) == []
