"""Every shipped workflow runs as a user runs it: converted, queued, followed to its end, its files opened."""
import asyncio
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from client import connect, run
from demo import likeness_prompt, lora_of, missing, node_titles, sheet, texts, told
from PIL import Image
from prompts import PAINTER, node, picture

WORKFLOWS = [Path(__file__).resolve().parents[2] / "example_workflows" / "workshop.json"]


@pytest.fixture(scope="module", params=WORKFLOWS, ids=lambda path: path.stem)
def ran(request, server):
    """One run of a shipped workflow: what its nodes showed, what the server sent, which files are new."""
    workflow, events, since = json.loads(request.param.read_text(encoding="utf-8")), [], time.time()

    async def follow(kind, data):
        events.append((kind, data))

    async def session():
        async with connect(server.address) as client:
            titles = node_titles(workflow, await client.get("/object_info"))
            prompt = await client.to_prompt(workflow)
            return titles, prompt, await client.run(prompt, workflow, follow)

    titles, prompt, outputs = asyncio.run(session())
    files = [p for p in (server.base / "output").rglob("*") if p.is_file() and p.stat().st_mtime >= since]
    return SimpleNamespace(workflow=workflow, titles=titles, prompt=prompt, outputs=outputs, events=events, files=files,
                           server=server)


def test_its_links_join_nodes_that_exist(ran):
    nodes = {node["id"] for node in ran.workflow["nodes"]}
    assert all(source in nodes and target in nodes for _, source, _, target, *_ in ran.workflow["links"])


def test_every_output_node_showed_something(ran):
    assert all(any(shown.values()) for shown in ran.outputs.values())


def test_progress_of_the_training_arrives_step_by_step(ran):
    trainer = next(str(n["id"]) for n in ran.workflow["nodes"] if n["type"] == "BottegaTrainLora")
    progress = [data["nodes"] for kind, data in ran.events if kind == "progress_state"]
    states = [nodes[trainer] for nodes in progress if trainer in nodes]
    values = [state["value"] for state in states]
    assert values == sorted(values) and len(set(values)) >= 5
    assert states[-1]["state"] == "finished"


def test_the_demo_finds_everything_it_promises(ran):
    assert missing(texts(ran.outputs, ran.titles), ran.files) == []


def test_the_demo_ends_with_a_picture_of_both_and_a_likeness_that_rose(ran):
    base, lora = ran.server.base, lora_of(ran.files)
    shown = run(ran.server.address, likeness_prompt(ran.prompt, lora))
    rows = json.loads(shown["data"]["text"][0])
    report = texts(ran.outputs, ran.titles)["Training report"]
    said = told(base, base / "output" / "bottega_demo.png", lora, rows, report)
    without, with_it = map(int, re.search(r"(\d+) of 100 without it, (\d+) with it", said).groups())
    assert with_it > without and len(said.splitlines()) == 3
    page = np.asarray(sheet(base, ran.outputs, ran.titles), float)
    assert page.std() > 20 and abs(page[60:400, 30:400] - page[500:840, 30:400]).mean() > 5


def test_the_lora_changes_the_pictures(ran):
    pictures = [Image.open(file).tobytes() for file in sorted(ran.files) if file.suffix == ".png"]
    assert len(set(pictures)) == len(pictures)


def test_the_lora_draws_lines_as_the_woodcuts_have_them(ran):
    style = lines(pixels(sorted((ran.server.base / "input" / "bottega_painter_woodcut").glob("*.png"))))
    plain, moved = (lines(pixels([f for f in ran.files if f.name.startswith(f"{name}_")]))
                    for name in ("without", "with"))
    assert plain < 0.5 * style and abs(style - moved) < 0.75 * (style - plain)


def pixels(files) -> np.ndarray:
    """[pictures, height, width, 3] in 0..255."""
    return np.stack([np.asarray(Image.open(file).convert("RGB"), float) for file in files])


def lines(pictures: np.ndarray) -> float:
    """How much grey changes from a pixel to the next, on the mean."""
    grey = pictures.mean(-1)
    return (np.abs(np.diff(grey, axis=1)).mean() + np.abs(np.diff(grey, axis=2)).mean()) / 2


def test_the_written_lora_loads_in_the_hosts_own_loader_without_an_unknown_key(ran):
    lora = next(file for file in ran.files if file.parent.name == "loras")
    loader = node("LoraLoader", model=("model", 0), clip=("clip", 0), lora_name=lora.name, strength_model=1.0,
                  strength_clip=1.0)
    before = len(ran.server.log())
    run(ran.server.address, PAINTER | {"lora": loader} | picture(("lora", 0), "core_loader"))
    assert "lora key not loaded" not in ran.server.log()[before:]


def test_blocks_that_are_all_muted_leave_the_picture_as_it_was_without_the_lora(ran):
    lora = next(file for file in ran.files if file.parent.name == "loras")
    loader = node("BottegaLoadLora", model=("model", 0), lora_name=lora.name, strength_model=1.0, strength_clip=1.0,
                  blocks="default=0")
    full = {**loader, "inputs": {**loader["inputs"], "blocks": ""}}
    plain = saved(ran.server, PAINTER | picture(("model", 0), "plain"))
    assert saved(ran.server, PAINTER | {"lora": loader} | picture(("lora", 0), "muted")) == plain
    assert saved(ran.server, PAINTER | {"lora": full} | picture(("lora", 0), "full")) != plain


def saved(server, prompt) -> bytes:
    """The pixels of the one picture that a prompt saves."""
    shown = run(server.address, prompt)["save"]["images"][0]
    return Image.open(server.base / "output" / shown["subfolder"] / shown["filename"]).tobytes()
