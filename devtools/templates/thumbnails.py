"""Pictures of the finished templates: thumbnails for the host's dialog, one for the help pages, the others for docs.

    python -m devtools.templates.thumbnails ADDRESS FOLDER [NAME ...]

Each template of the starter is opened on the page of a running server, run, and photographed. The dialog's card shows
what it gave; those of the families carry the same card under the family's name. Needs Chromium and Playwright, which
the tests install.
"""
import io
import shutil
import sys
from itertools import product
from pathlib import Path

import requests
from PIL import Image

from .cards import card, labelled
from .jobs import SEEING_JOBS, VIDEO_JOBS
from .model_families import FAMILIES
from .write_templates import named

QUALITY = 66
STARTER = "the picture is the starter's"
LIKE_VIDEOS = "train-on-a-folder"     # what templates of videos, for which there is no starter, are shown as
SHOTS, HELP, SHOT_WIDTH, SHOT_QUALITY = Path("docs/screenshots"), Path("web/docs"), 1600, 60
VIEW = {"width": 1800, "height": 1040}
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Workflow.Persist": False, "Comfy.Minimap.Visible": False,
            "Comfy.ColorPalette": "dark", "LiteGraph.Canvas.MinFontSizeForLOD": 0}
RENDERERS = {"classic": False, "nodes_2": True}
READY = """() => window.app?.extensionManager && !app.extensionManager.spinner
             && window.LiteGraph?.registered_node_types?.PreviewAny"""
RUN = """() => { window.ended = ''; for (const end of ['execution_success', 'execution_error'])
           app.api.addEventListener(end, () => window.ended = end)
          window.given = []
          app.api.addEventListener('executed', ({ detail: { node, output } }) => {
            const { type, pos } = app.graph.getNodeById(node) ?? {}
            if (['PreviewImage', 'SaveImage'].includes(type)) window.given.push([pos[0], pos[1], output.images[0]]) })
          return app.queuePrompt(0, 1) }"""
GIVEN = "() => window.given.sort((a, b) => b[0] - a[0] || a[1] - b[1]).map(([, , picture]) => picture)"
"""The pictures that previews and savers show, those furthest to the right first: the end of the job."""
FIT = """() => { const at = app.graph._nodes.map(n => [n.pos[0], n.pos[1] - 30, n.pos[0] + n.size[0],
                                                    n.pos[1] + n.size[1]])
               .concat([...app.graph.reroutes.values()].map(({ pos: [x, y] }) => [x - 9, y - 9, x + 9, y + 9])),
             low = i => Math.min(...at.map(b => b[i])), high = i => Math.max(...at.map(b => b[i])),
             wide = high(2) - low(0), tall = high(3) - low(1), scale = Math.min(1660 / wide, 880 / tall),
             view = app.canvas.ds
           view.scale = scale; view.offset = [90 / scale - low(0), 100 / scale - low(1)]
           app.canvas.setDirty(true, true)
           return [80, 90, 100 + wide * scale, 110 + tall * scale] }"""
"""Brings the whole graph into view and returns the rectangle it fills, in pixels of the page."""


def photograph(address: str, folder: Path, names: list[str]) -> None:
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport=VIEW)
        page.set_default_timeout(600_000)
        for name, (renderer, is_new) in product(names, RENDERERS.items()):  # the second finds what the first has run
            settings = SETTINGS | {"Comfy.VueNodes.Enabled": is_new}
            requests.post(f"{address}/api/settings", json=settings, timeout=60).raise_for_status()
            shot = _finished(page, address, name)
            _keep_shot(shot, name, renderer)
            if not is_new:
                _keep(card(_given(page, address, name) or [shot]), folder, name)
        browser.close()


def _finished(page, address: str, name: str) -> Image.Image:
    """What the page shows once the template has run; what needs models that the starter has not is not run."""
    page.goto(f"{address}/?template={name}&source=bottega")
    page.wait_for_function(READY)
    page.wait_for_timeout(3000)
    if name not in SEEING_JOBS:
        page.evaluate(RUN)
        page.wait_for_function("() => window.ended")
        if page.evaluate("() => window.ended") != "execution_success":
            raise RuntimeError(f"{name} failed on the page")
    page.wait_for_timeout(5000)             # the note of the finished job goes away
    box = (0, 36, *VIEW.values())
    if not name.endswith(".app"):
        left, top, right, low = page.evaluate(FIT)
        box = (left, top, min(right, VIEW["width"]), min(low, VIEW["height"]))
    page.wait_for_timeout(1500)
    return Image.open(io.BytesIO(page.screenshot())).crop(box)


def _keep_shot(picture: Image.Image, name: str, renderer: str) -> None:
    width = min(SHOT_WIDTH, picture.width)
    size = (width, round(width * picture.height / picture.width))
    picture.convert("RGB").resize(size, Image.LANCZOS).save(shot_path(name, renderer), quality=SHOT_QUALITY, method=6)


def shot_path(name: str, renderer: str) -> Path:
    """Graphs as the new renderer draws them are shown by the help pages, which the pack carries; the rest is not."""
    shown = renderer == "nodes_2" and not name.endswith(".app")
    return HELP / f"{name}.webp" if shown else SHOTS / f"{name}.{renderer}.webp"


def _given(page, address: str, name: str) -> list[Image.Image]:
    """What the run gave; nothing of what was not run, and of an app its whole view is what one knows it by."""
    if name in SEEING_JOBS or name.endswith(".app"):
        return []
    return [Image.open(io.BytesIO(requests.get(f"{address}/view", params=picture, timeout=60).content))
            for picture in page.evaluate(GIVEN)]


def _keep(picture: Image.Image, folder: Path, name: str) -> None:
    save = lambda card, name: card.save(folder / f"{name}.jpg", quality=QUALITY, optimize=True)  # noqa: E731
    save(picture, name)
    for family in FAMILIES:
        if (folder / f"{named(name, family.key)}.json").exists():
            save(labelled(picture, family.title, STARTER), named(name, family.key))
    for job, (_, key) in VIDEO_JOBS.items() if name == LIKE_VIDEOS else ():
        save(labelled(picture, f"{key}, videos", STARTER), f"{job} {key}")


if __name__ == "__main__":
    photograph(sys.argv[1], Path(sys.argv[2]), sys.argv[3:] or sorted(
        path.stem for path in Path(sys.argv[2]).glob("*.json") if "-" in path.stem and " " not in path.stem))
