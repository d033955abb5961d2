"""Every shipped workflow runs as a user runs it: converted, queued, followed to its end, its files opened."""
import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from client import connect, run
from demo import node_titles, summary, texts
from PIL import Image
from prompts import MODELS, node, picture

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
            return titles, await client.run(await client.to_prompt(workflow), workflow, follow)

    titles, outputs = asyncio.run(session())
    files = [p for p in (server.base / "output").rglob("*") if p.is_file() and p.stat().st_mtime >= since]
    return SimpleNamespace(workflow=workflow, titles=titles, outputs=outputs, events=events, files=files, server=server)


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
    assert summary(texts(ran.outputs, ran.titles), ran.files, ran.server.base) == []


def test_the_lora_changes_the_pictures(ran):
    pictures = [Image.open(file).tobytes() for file in sorted(ran.files) if file.suffix == ".png"]
    assert len(set(pictures)) == len(pictures)


def test_the_lora_moves_ground_and_ink_towards_the_training_pictures(ran):
    style = pixels(sorted((ran.server.base / "input" / "bottega_woodcut").glob("*.png")))
    plain, moved = (pixels([f for f in ran.files if f.name.startswith(f"{name}_")]) for name in ("without", "with"))
    away = lambda pictures: np.abs(ground(pictures) - ground(style)).mean()
    ink = lambda pictures: (pictures.max(-1) < 110).mean()
    assert away(moved) < 0.2 * away(plain)
    assert ink(plain) < 0.3 * ink(style) < ink(moved)


def pixels(files) -> np.ndarray:
    """[pictures, height, width, 3] in 0..255."""
    return np.stack([np.asarray(Image.open(file).convert("RGB"), float) for file in files])


def ground(pictures: np.ndarray) -> np.ndarray:
    """The median colour of the eight rows at the top and at the bottom."""
    return np.median(np.concatenate([pictures[:, :8], pictures[:, -8:]], 1).reshape(-1, 3), 0)


def test_the_written_lora_loads_in_the_hosts_own_loader_without_an_unknown_key(ran):
    lora = next(file for file in ran.files if file.parent.name == "loras")
    loader = node("LoraLoader", model=("model", 0), clip=("clip", 0), lora_name=lora.name, strength_model=1.0,
                  strength_clip=1.0)
    before = len(ran.server.log())
    run(ran.server.address, MODELS | {"lora": loader} | picture(("lora", 0), "core_loader"))
    assert "lora key not loaded" not in ran.server.log()[before:]


def test_blocks_that_are_all_muted_leave_the_picture_as_it_was_without_the_lora(ran):
    lora = next(file for file in ran.files if file.parent.name == "loras")
    loader = node("BottegaLoadLora", model=("model", 0), lora_name=lora.name, strength_model=1.0, strength_clip=1.0,
                  blocks="default=0")
    full = {**loader, "inputs": {**loader["inputs"], "blocks": ""}}
    plain = saved(ran.server, MODELS | picture(("model", 0), "plain"))
    assert saved(ran.server, MODELS | {"lora": loader} | picture(("lora", 0), "muted")) == plain
    assert saved(ran.server, MODELS | {"lora": full} | picture(("lora", 0), "full")) != plain


def saved(server, prompt) -> bytes:
    """The pixels of the one picture that a prompt saves."""
    shown = run(server.address, prompt)["save"]["images"][0]
    return Image.open(server.base / "output" / shown["subfolder"] / shown["filename"]).tobytes()
