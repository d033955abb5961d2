"""A subgraph that promotes block weights, on a page, and what a person does there."""

# A Load LoRA in a subgraph that promotes its file and its block weights; `host` stands for it, `inner` is in it.
MAKE = """async ({ blocks, promote }) => {  // another workflow each time: the host keeps values by its id
    await app.loadGraphData({ id: crypto.randomUUID(), version: 0.4, nodes: [], links: [],
                              last_node_id: 0, last_link_id: 0 });
    await new Promise(done => setTimeout(done, 150));
    const inner = LiteGraph.createNode("BottegaLoadLora");
    app.graph.add(inner);
    const set = (name, value) => { const widget = inner.widgets.find(widget => widget.name === name);
                                   widget.value = value;
                                   widget.callback?.(value); };
    set("lora_name", "editor_flux.safetensors");
    set("blocks", blocks);
    const host = app.graph.convertToSubgraph(new Set([inner])).node;
    promoteAll(host, promote);
    host.pos = [100, 60];
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [0, 0];
    app.canvas.setDirty(true, true);
    const tracker = app.extensionManager.workflow.activeWorkflow.changeTracker;
    (tracker.captureCanvasState ?? tracker.checkState).call(tracker); }"""
HELPERS = """() => {
    window.promoteAll = (host, names) => { const [inner] = host.subgraph.nodes;
        for (const name of names) { const slot = inner.inputs.find(input => input.widget?.name === name);
            host.subgraph.addInput(name, String(slot.type)).connect(slot, inner); } };
    window.hostOf = graph => graph.nodes.find(node => node.subgraph);
    window.valueOf = (node, name) => node.widgets.find(widget => widget.name === name).value; }"""
HOST, INNER = "hostOf(app.rootGraph ?? app.graph)", "hostOf(app.rootGraph ?? app.graph).subgraph.nodes[0]"


def make(page, blocks="D07=0.5", promote=("lora_name", "blocks")):
    page.evaluate(HELPERS)
    page.evaluate(MAKE, {"blocks": blocks, "promote": list(promote)})
    bar(page, HOST, "D07").wait_for(state="visible")
    page.wait_for_timeout(300)


def bar(page, node, alias):
    """The bar of a block on a node."""
    page.evaluate(f"""() => {{ document.querySelectorAll("[data-on]").forEach(root => root.removeAttribute("data-on"));
        {node}.widgets.find(widget => widget.name === "blocks").element.dataset.on = "it"; }}""")
    return page.locator(f'.bottega-blocks[data-on] [data-alias="{alias}"]')


def ratio(page, node, alias):
    return bar(page, node, alias).get_attribute("aria-valuenow")


def step(page, node, alias, key, times=1):
    """Changes a ratio by keys."""
    bar(page, node, alias).focus()
    for _ in range(times):
        page.keyboard.press(key)
    page.wait_for_timeout(150)


def sent(page):
    """The block weights that a run would send."""
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    return next(node["inputs"]["blocks"] for node in prompt.values() if node["class_type"] == "BottegaLoadLora")


def enter(page, host=HOST):
    page.evaluate(f"() => app.canvas.openSubgraph({host}.subgraph, {host})")
    page.wait_for_timeout(500)


def leave(page):
    page.evaluate("() => app.canvas.setGraph(app.rootGraph)")
    page.wait_for_timeout(300)


def reload(page):
    page.evaluate("() => app.loadGraphData(JSON.parse(JSON.stringify((app.rootGraph ?? app.graph).serialize())))")
    bar(page, HOST, "D07").wait_for(state="visible")
    page.wait_for_timeout(300)
