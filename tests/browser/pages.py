"""Pages of the host's front end, opened as a person opens them."""
import mimetypes
import re
from urllib.parse import urlsplit

import requests

READY = """() => window.app?.extensionManager && !app.extensionManager.spinner
             && window.LiteGraph?.registered_node_types?.PreviewAny"""

# Opens a state of the workflow in the same tab, as the host's undo does it.
UNDO = """async state => { const { activeWorkflow } = app.extensionManager.workflow;
    await app.loadGraphData(state, false, false, activeWorkflow); }"""


def open_page(browser, server, query="", without_the_pack=False, front_end=None):
    """The page once it is ready; `page.errors` fills with what it complains about in its console.

    front_end: the folder of another front end than the host's."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(60_000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    if without_the_pack:
        page.route("**/extensions/bottega/**", lambda route: route.abort())
        page.route("**/object_info", lambda route: route.fulfill(json=core_nodes(server)))
    if front_end:
        serve_from(page, server, front_end)
    page.goto(f"{server.address}/{query}")
    page.wait_for_function(READY, timeout=180_000)  # on a machine with much else to do
    page.wait_for_timeout(500)  # the first workflow tab comes after the spinner has gone
    return page


def serve_from(page, server, folder):
    """Takes the files of the page from a folder; what the server alone can answer still comes from it."""
    def answer(route):
        file = folder / (urlsplit(route.request.url).path.lstrip("/") or "index.html")
        if file.is_file():
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            route.fulfill(path=file, content_type=kind)
        else:
            route.continue_()

    servers = re.compile(f"^{re.escape(server.address)}/(?!api/|extensions/|ws)")
    page.route(servers, answer)


def show(page, comfy_class, output):
    """Tells the page what a node showed, as the host's server does it."""
    page.evaluate("""async ([kind, output]) => { const { api } = await import("/scripts/api.js");
        const node = String(app.graph.nodes.find(node => node.comfyClass === kind).id);
        const detail = { node, display_node: node, prompt_id: "of a test", output };
        api.dispatchEvent(new CustomEvent("executed", { detail })); }""", [comfy_class, output])


def touch(page, *points, until=None):
    """A finger that goes down at the first of these points of the screen, over the others, and up at the last.

    until: waits for what a tap brings; its click comes later, and not at all once the screen feels no finger."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    page.wait_for_timeout(200)      # until the page feels fingers; one that comes before is lost
    for number, (x, y) in enumerate(points):
        devtools.send("Input.dispatchTouchEvent", {
            "type": "touchMove" if number else "touchStart", "touchPoints": [{"x": x, "y": y, "id": 1}]})
    page.wait_for_timeout(50)       # as a finger stays
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    until() if until else page.wait_for_timeout(300)
    devtools.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
    devtools.detach()


def object_info(server):
    return requests.get(f"{server.address}/object_info", timeout=60).json()


def core_nodes(server):
    return {name: info for name, info in object_info(server).items() if not name.startswith("Bottega")}
