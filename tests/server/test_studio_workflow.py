"""The studio template runs on a real server, with fewer pictures than it ships with, so that it takes a minute."""
import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from client import connect
from demo import node_titles, texts

WORKFLOW = Path(__file__).resolve().parents[2] / "example_workflows" / "studio.json"
ROOMS = {"BottegaTrainLora", "BottegaBlockEffect", "BottegaTuneBlocks", "BottegaApplyLora", "BottegaSteer",
         "BottegaCritique", "BottegaChart"}
SMALL = {"steps": 4, "sampling_steps": 2, "mode": "solo", "budget": 3, "held_out": 1, "rubric": "*=0; Balance=1"}


@pytest.fixture(scope="module")
def workflow():
    return json.loads(WORKFLOW.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ran(workflow, server):
    """Texts by the titles of the nodes that show them, what every node showed, and the prompt."""
    async def session():
        async with connect(server.address) as client:
            prompt = await client.to_prompt(workflow)
            for node in prompt.values():
                node["inputs"] |= {name: value for name, value in SMALL.items() if name in node["inputs"]}
            titles = node_titles(workflow, await client.get("/object_info"))
            outputs = await client.run(prompt, workflow)
            return SimpleNamespace(prompt=prompt, outputs=outputs, texts=texts(outputs, titles))

    return asyncio.run(session())


def test_it_joins_every_room(workflow):
    nodes = {node["id"]: node["type"] for node in workflow["nodes"]}
    assert set(nodes.values()) >= ROOMS
    assert all(source in nodes and target in nodes for _, source, _, target, *_ in workflow["links"])


def test_no_two_nodes_lie_on_one_another_and_each_is_inside_a_group(workflow):
    boxes = [(*node["pos"], node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1])
             for node in workflow["nodes"]]
    groups = [(x, y, x + w, y + h) for x, y, w, h in (group["bounding"] for group in workflow["groups"])]
    apart = [a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
             for at, a in enumerate(boxes) for b in boxes[:at]]
    inside = [any(g[0] <= b[0] and g[1] <= b[1] and g[2] >= b[2] and g[3] >= b[3] for g in groups) for b in boxes]
    assert all(apart) and sum(inside) == len(boxes) - 1  # the note stands beside them


def test_the_loop_runs_to_its_end_and_every_node_shows_something(ran):
    assert all(any(shown.values()) for shown in ran.outputs.values())
    assert "Shapley" not in ran.texts["What the blocks do"] and "changes pixels most" in ran.texts["What the blocks do"]
    assert "held-out seeds" in ran.texts["What tuning found"] and "J00=" in ran.texts["Blocks"]


def test_the_tuned_weights_reach_the_lora_and_both_pictures_are_scored(ran):
    applied = [node for node in ran.prompt.values() if node["class_type"] == "BottegaApplyLora"]
    tuner = next(key for key, node in ran.prompt.items() if node["class_type"] == "BottegaTuneBlocks")
    assert [tuner, 0] in [node["inputs"]["blocks"] for node in applied]
    assert all(0 <= float(ran.texts[f"Score of {what}"]) <= 100 for what in ("the whole LoRA", "the studio"))
