"""The editor of block weights on a page: LoRAs to show in it, a node with it, and what a person does there."""
import pytest
import torch
from pages import open_page
from safetensors.torch import save_file

WIDTHS = {"double": ("img_attn_proj", 3072), "single": ("linear2", 15360)}
SHOWN = ".bottega-blocks .family:not(.folded) .block"


@pytest.fixture(scope="module")
def editor_loras(server):
    """A Flux LoRA without its first single blocks, whose D07 changes most; an SDXL LoRA; one for no known model."""
    flux = {}
    for kind, numbers in (("double", range(19)), ("single", range(3, 38))):
        for n in numbers:
            part, width = WIDTHS[kind]
            flux |= adapter(f"lora_unet_{kind}_blocks_{n}_{part}", width, 2.0 if (kind, n) == ("double", 7) else 0.5)
    sdxl = adapter("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", 640, 1.0)
    files = {"flux": flux, "sdxl": sdxl, "strange": adapter("some.thing", 8, 1.0)}
    folder = server.base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    for name, tensors in files.items():
        save_file(tensors, folder / f"editor_{name}.safetensors")
    return [f"editor_{name}.safetensors" for name in files]


def adapter(name, width, norm):
    """A LoRA of rank 1 whose change has this Frobenius norm."""
    down = torch.zeros(1, width)
    down[0, 0] = norm
    return {f"{name}.lora_up.weight": torch.tensor([[1.0], [0], [0], [0]]), f"{name}.lora_down.weight": down}


@pytest.fixture(scope="module")
def editor_page(browser, server, editor_loras, renderer):
    page = open_page(browser, server)
    page.set_default_timeout(15_000)
    yield page
    page.close()


@pytest.fixture
def node(editor_page):
    return Node(editor_page)


class Node:
    """One Load LoRA node alone in the graph."""

    def __init__(self, page, lora="editor_flux.safetensors", blocks=""):
        self.page = page
        page.mouse.move(0, 0)
        page.evaluate("""async ([lora, blocks]) => {
            app.graph.clear();
            await new Promise(done => setTimeout(done, 100));  // Nodes 2.0 takes an id back at once for the same node
            const node = LiteGraph.createNode("BottegaLoadLora");
            node.pos = [300, 160];
            app.graph.add(node);
            node.setSize([520, node.size[1]]);
            const set = (name, value) => { const widget = node.widgets.find(widget => widget.name === name);
                                           widget.value = value;
                                           widget.callback?.(value); };
            set("lora_name", lora);
            set("blocks", blocks);
            app.canvas.ds.scale = 1;
            app.canvas.ds.offset = [0, 0];
            app.canvas.setDirty(true, true); }""", [lora, blocks])
        if "strange" not in lora:
            page.wait_for_selector(SHOWN, state="visible")
        page.wait_for_timeout(250)
        self.remember()

    def remember(self):
        """Tells the host's undo that this is the state to come back to."""
        self.page.evaluate("""() => { const tracker = app.extensionManager.workflow.activeWorkflow.changeTracker;
                                      (tracker.captureCanvasState ?? tracker.checkState).call(tracker); }""")

    def value(self, number=0):
        return self.page.evaluate("""number => app.graph.nodes.filter(node => node.comfyClass === "BottegaLoadLora")
            [number].widgets.find(widget => widget.name === "blocks").value""", number)

    def bar(self, alias):
        return self.page.locator(f'.bottega-blocks [data-alias="{alias}"]')

    def point(self, alias, ratio):
        """Where on the screen a bar stands for a ratio, on the scale of 0 to 1.5."""
        box = self.bar(alias).locator(".track").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] * (1 - ratio / 1.5)

    def drag(self, *points, release=True):
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*point, steps=4)
        if release:
            self.page.mouse.up()
        self.page.wait_for_timeout(100)

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def tool(self, name):
        self.page.locator(".bottega-blocks .tools").get_by_role("button", name=name, exact=True).click()

    def shape(self, name):
        self.page.locator(".bottega-blocks .tools select").nth(1).select_option(name)


def reload(page):
    """What the page does with a saved workflow."""
    page.evaluate("() => app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))")
    page.wait_for_selector(SHOWN, state="visible")
    page.wait_for_timeout(300)


def errors_of_ours(page):
    """What the page's console has complained about since it was opened."""
    return [text for text in page.errors if "bottega" in text.lower() or "block_weights" in text]
