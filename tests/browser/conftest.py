import shutil
import sys
from pathlib import Path

import pytest
import requests
from block_editor import editor_loras, editor_page, node  # noqa: F401

sys.path.append(str(Path(__file__).resolve().parents[1] / "server"))
from live import server  # noqa: E402, F401

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium. Only as long as one module: while it lives, asyncio.run does not work in this thread."""
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if not path:
        pytest.skip("no Chromium on the PATH (Debian: apt install chromium); looked for " + ", ".join(CHROMIUMS))
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        # Pages of the newest front end come from a folder, and would not be let talk to a server on this machine.
        arguments = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes_2"])
def renderer(request, server):  # noqa: F811
    settings = {"Comfy.TutorialCompleted": True, "Comfy.Workflow.Persist": False,
                "Comfy.VueNodes.Enabled": request.param}
    requests.post(f"{server.address}/api/settings", json=settings, timeout=60).raise_for_status()
    return "nodes_2" if request.param else "classic"
