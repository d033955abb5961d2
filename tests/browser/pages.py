"""Pages of the host's front end, opened as a person opens them."""
import requests

READY = """() => window.app?.extensionManager && !app.extensionManager.spinner
             && window.LiteGraph?.registered_node_types?.PreviewAny"""


def open_page(browser, server, query="", without_the_pack=False):
    """The page once it is ready; `page.errors` fills with what it complains about in its console."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(60_000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    if without_the_pack:
        page.route("**/extensions/bottega/**", lambda route: route.abort())
        page.route("**/object_info", lambda route: route.fulfill(json=core_nodes(server)))
    page.goto(f"{server.address}/{query}")
    page.wait_for_function(READY, timeout=180_000)  # on a machine with much else to do
    page.wait_for_timeout(500)  # the first workflow tab comes after the spinner has gone
    return page


def object_info(server):
    return requests.get(f"{server.address}/object_info", timeout=60).json()


def core_nodes(server):
    return {name: info for name, info in object_info(server).items() if not name.startswith("Bottega")}
