"""The page as a person meets it, in both renderers of the host's front end."""
import json
from pathlib import Path

import pytest
from client import convert_ui_to_api
from pages import object_info, open_page

PACK = Path(__file__).resolve().parents[2]
TEMPLATES = PACK / "example_workflows"
WORKFLOW = TEMPLATES / "workshop.json"


def shipped():
    return json.loads(WORKFLOW.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def baseline(browser, server, renderer):
    """What the host's own page complains about when the pack is not there."""
    page = open_page(browser, server, without_the_pack=True)
    page.close()
    return set(page.errors)


@pytest.fixture(scope="module")
def page(browser, server, renderer, baseline, tmp_path_factory):
    """The page with the workshop opened as a template, by the address that the host gives every template."""
    page = open_page(browser, server, "?template=workshop&source=bottega")
    page.wait_for_function("() => app.graph.nodes.some(node => node.comfyClass === 'BottegaTrainLora')")
    page.wait_for_timeout(1000)
    page.screenshot(path=tmp_path_factory.mktemp("browser") / f"{renderer}.png")
    yield page
    page.close()


def select(page, node_id):
    page.evaluate("""id => { const node = app.graph.nodes.find(node => node.comfyClass === id);
                             app.canvas.selectNode(node); app.canvas.centerOnNode(node); }""", node_id)


def test_the_template_opens_with_every_node_known(page):
    types = page.evaluate("() => app.graph.nodes.map(node => node.type)")
    known = set(page.evaluate("() => Object.keys(LiteGraph.registered_node_types)"))
    assert sorted(types) == sorted(node["type"] for node in shipped()["nodes"])
    assert set(types) - known == set()


def test_templates_are_listed_by_name_those_of_one_model_last(page):
    listed = page.evaluate("async () => (await (await import('/scripts/api.js')).api.getWorkflowTemplates()).bottega")
    names = [path.stem for path in TEMPLATES.glob("*.json")]
    assert listed == sorted(names, key=lambda name: (" " in name, name.lower()))


def test_the_page_sends_the_prompt_that_the_tests_send(page, server):
    sent = page.evaluate("async () => (await app.graphToPrompt()).output")
    converted = convert_ui_to_api(shipped(), object_info(server))
    assert {id: node["inputs"] for id, node in sent.items()} == {id: node["inputs"] for id, node in converted.items()}


def test_the_help_page_is_shown_with_its_picture(page):
    select(page, "BottegaTrainLora")
    page.get_by_test_id("info-button").click()
    heading = (PACK / "web" / "docs" / "BottegaTrainLora.md").read_text(encoding="utf-8").splitlines()[0].strip("# ")
    page.get_by_role("heading", name=heading).first.wait_for()
    page.wait_for_function("() => document.querySelector('.node-help-content img')?.naturalWidth > 0")


def test_wrong_text_in_blocks_is_answered_in_the_page(page):
    accepted = page.evaluate("""async () => {
        const node = app.graph.nodes.find(node => node.comfyClass === 'BottegaApplyLora');
        node.widgets.find(widget => widget.name === 'blocks').value = 'what is this';
        const target = app.graph.nodes.find(node => node.title === 'Pictures with the LoRA');
        return await app.queuePrompt(0, 1, [target.id]); }""")
    assert accepted is False
    page.get_by_test_id("error-overlay").get_by_text("blocks").first.wait_for()


def test_every_node_can_be_added_to_an_empty_graph(page, server):
    ours = [name for name in object_info(server) if name.startswith("Bottega")]
    added = page.evaluate("""names => { app.graph.clear();
        for (const name of names) app.graph.add(LiteGraph.createNode(name));
        return app.graph.nodes.map(node => node.comfyClass); }""", ours)
    page.wait_for_timeout(500)
    assert sorted(added) == sorted(ours) and ours


def test_every_node_keeps_its_values_when_the_workflow_is_saved_and_opened(page, server):
    ours = [name for name in object_info(server) if name.startswith("Bottega")]
    values = """() => Object.fromEntries(app.graph.nodes.map(node =>
        [node.comfyClass, (node.widgets ?? []).map(({ name, value }) => [name, value])]))"""
    page.evaluate("""names => { app.graph.clear();
        const other = ({ value, options, name }) => typeof value === "number" ? value + (options.step2 || 1)
            : typeof value === "boolean" ? !value : options.values?.at?.(-1) ?? `# ${name}`;
        for (const name of names) {
            const node = LiteGraph.createNode(name);
            app.graph.add(node);
            for (const widget of node.widgets ?? []) if (widget.serialize !== false) widget.value = other(widget);
        } }""", ours)
    before = page.evaluate(values)
    page.evaluate("() => app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))")
    page.wait_for_timeout(500)
    assert page.evaluate(values) == before and sum(map(len, before.values())) > 200


@pytest.mark.parametrize("name", ["compare-versions Flux.1-dev", "image-pairs"])
def test_a_template_with_subgraphs_opens_whole_and_sends_what_it_holds(page, server, name):
    workflow = json.loads((TEMPLATES / f"{name}.json").read_text(encoding="utf-8"))
    page.evaluate("async workflow => { await app.loadGraphData(workflow); }", workflow)
    page.wait_for_timeout(500)
    sent = page.evaluate("async () => (await app.graphToPrompt()).output")
    converted = convert_ui_to_api(workflow, object_info(server))
    assert {id: node["inputs"] for id, node in sent.items()} == {id: node["inputs"] for id, node in converted.items()}
    assert overlaps(page) == []


def overlaps(page):
    """Pairs of nodes that lie on one another as the page draws them."""
    return page.evaluate("""() => { const nodes = app.graph.nodes, titled = LiteGraph.NODE_TITLE_HEIGHT;
        const apart = (a, b) => [0, 1].some(axis => a.pos[axis] + a.size[axis] <= b.pos[axis] - axis * titled
                                                 || b.pos[axis] + b.size[axis] <= a.pos[axis] - axis * titled);
        return nodes.flatMap((a, i) => nodes.slice(0, i).filter(b => !apart(a, b)).map(b => [a.title, b.title])); }""")


def test_the_page_complains_about_nothing_the_host_does_not(page, baseline):
    """Runs last: it sees what all the tests above have caused."""
    expected = ("status of 400", "PromptExecutionError",  # the prompt of a test above, refused as it should be
                "https://api.comfy.org",                  # the host asks its registry about every node but its own
                "https://huggingface.co")                 # and where a template offers a file, how large it is
    assert [text for text in page.errors if text not in baseline and not any(part in text for part in expected)] == []
