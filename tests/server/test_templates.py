"""The templates: one job each, as the generator makes them, and each runs on the starter as a person would run it."""
import asyncio
import json
from collections import Counter

import pytest
from client import connect
from PIL import Image
from real_host import PACK

from devtools.templates.jobs import MODEL_JOBS, MODELS, PICTURE_JOBS, SEEING_JOBS
from devtools.templates.layered_layout import crossings_of
from devtools.templates.model_families import FAMILIES, STARTER
from devtools.templates.thumbnails import HELP, RENDERERS, SHOTS, shot_path
from devtools.templates.workflow import Note, Schema
from devtools.templates.write_templates import layers_of, templates, text_of

FOLDER = PACK / "example_workflows"
LOOPS = {"studio", "workshop"}          # the two whole loops, drawn by hand
JOBS = [*MODEL_JOBS, *PICTURE_JOBS]
SMALL = {"steps": 4, "sampling_steps": 2, "count": 2, "budget": 3, "held_out": 1, "seeds": 1, "sample_every": 2,
         "validation_every": 2, "sample_steps": 2}
CROSSINGS = 14
ARCHITECTURES = {"SDXL": "SDXL", "Flux.1-dev": "Flux.1", "Flux.2-klein": "Flux.2-klein-4B", "Z-Image": "Z-Image",
                 "Qwen-Image": "Qwen-Image", "Wan-2.2": "Wan2.1/2.2-14B-T2V"}


@pytest.fixture(scope="module")
def info(server):
    async def info():
        async with connect(server.address) as client:
            return await client.get("/object_info")
    return asyncio.run(info())


@pytest.fixture(scope="module")
def written(info):
    return templates(info)


def test_the_files_are_what_the_generator_writes(written):
    files = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert set(files) == set(written) | LOOPS
    stale = [name for name, workflow in written.items() if files[name] != text_of(workflow)]
    assert not stale, "run `python dev.py templates`"


@pytest.mark.parametrize("name", [*JOBS, *SEEING_JOBS])
def test_a_template_has_at_most_twelve_nodes_a_note_and_one_place_for_the_models(name):
    graph = (MODEL_JOBS | PICTURE_JOBS | SEEING_JOBS)[name](STARTER)
    kinds = Counter(node.type for node in graph)
    assert len(graph) <= 12 and sum(isinstance(node, Note) for node in graph) == 1
    assert kinds[MODELS] == (name in MODEL_JOBS) and "Run" in graph[0].text


def test_no_two_templates_have_one_id_by_which_the_page_would_show_what_the_nodes_of_another_have_shown(written):
    assert len({workflow["id"] for workflow in written.values()}) == len(written)


def test_nodes_of_a_template_and_of_its_subgraphs_have_ids_of_their_own(written):
    """Or the page gives some of them others, and a prompt from the file is not the one that the page sends."""
    for name, workflow in written.items():
        graphs = [workflow, *workflow["definitions"]["subgraphs"]]
        ids = [node["id"] for graph in graphs for node in graph["nodes"]]
        assert len(set(ids)) == len(ids), name


def test_no_two_nodes_of_a_template_lie_on_one_another(written):
    for name, workflow in written.items():
        boxes = [(*n["pos"], n["pos"][0] + n["size"][0], n["pos"][1] + n["size"][1]) for n in workflow["nodes"]]
        for number, a in enumerate(boxes):
            assert all(a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1] for b in boxes[:number]), name


def test_few_wires_cross_and_none_goes_on_behind_a_column(written, info):
    """What is drawn alike is drawn in one subgraph; a crossing more than now is one too many."""
    found = {name: crossings_of(layers_of(job(STARTER), Schema(info)))
             for name, job in (MODEL_JOBS | PICTURE_JOBS | SEEING_JOBS).items()}
    assert sum(found.values()) <= CROSSINGS, found
    for name, workflow in written.items():
        columns = sorted({node["pos"][0] for node in workflow["nodes"]})
        where = {node["id"]: columns.index(node["pos"][0]) for node in workflow["nodes"]}
        points = {end["id"]: end["parentId"] for end in workflow["extra"].get("linkExtensions", ())}
        far = [link for link in workflow["links"] if where[link[3]] - where[link[1]] > 1]
        assert {link[0] for link in far} == set(points), name


@pytest.mark.parametrize("name", [name for name in JOBS if name.endswith(".app")])
def test_an_app_asks_for_inputs_that_are_there_and_shows_what_nodes_give(name, written):
    apps = {stem: found for stem, found in written.items()
            if stem.endswith(".app") and stem.split(" ")[0].startswith(name.removesuffix(".app"))}
    assert len(apps) == (7 if name in MODEL_JOBS else 1)
    for workflow in apps.values():
        nodes, asked = {str(node["id"]): node for node in workflow["nodes"]}, workflow["extra"]["linearData"]
        labels = {name: slot.get("label") for node, name in asked["inputs"] for slot in nodes[node]["inputs"]
                  if slot["name"] == name}
        others = {name for _, name in asked["inputs"]} - set(labels)    # a panel of the pack
        assert workflow["extra"]["linearMode"] and all(labels.values()) and len(labels) >= 2
        assert len(others) == 1 and others <= {"bottega_critique", "bottega_training"}
        assert {nodes[node]["type"] for node in asked["outputs"]} <= {"PreviewImage", "SaveImage"}


def test_every_link_joins_outputs_and_inputs_of_one_type(written):
    for name, workflow in written.items():
        outer = {node["id"]: node for node in workflow["nodes"]}
        for _, source, slot, target, at, kind in workflow["links"]:
            given, taken = outer[source]["outputs"][slot]["type"], outer[target]["inputs"][at]["type"]
            assert taken in (given, "*") and kind == taken, f"{name}: {given} into {taken}"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.key)
def test_the_block_texts_of_a_family_name_blocks_of_its_architecture(pack, family):
    lora = pack.nodes.lora
    table = json.loads((PACK / "tests" / "lora" / "architectures.json").read_text(encoding="utf-8"))
    blocks = table[ARCHITECTURES[family.key]]["blocks"].split()
    families = {block.rstrip("0123456789").split("-")[0].rstrip("0123456789") for block in blocks}
    for text in (family.half, family.muted):
        for statement in lora.block_weights.block_language.parse(text):
            for selector in statement.selectors:
                assert selector.split(".")[0].rstrip("*").split("-")[0].rstrip("0123456789") in families | {""}, text


def test_files_of_a_family_say_where_they_come_from(written):
    for name, workflow in written.items():
        loaders = [node for graph in workflow["definitions"]["subgraphs"] for node in graph["nodes"]
                   if "Loader" in node["type"]]
        for node in loaders if " " in name else ():
            models = node["properties"]["models"]
            assert {model["name"] for model in models} == {value for value in node["widgets_values"]
                                                           if str(value).endswith(".safetensors")}
            assert all(model["url"].split("?")[0].endswith(model["name"]) for model in models)


@pytest.mark.parametrize("name", JOBS)
def test_a_template_runs_on_the_starter_and_every_node_shows_something(name, written, server):
    async def session():
        async with connect(server.address) as client:
            prompt = await client.to_prompt(written[name])
            for node in prompt.values():
                node["inputs"] |= {key: value for key, value in SMALL.items()
                                   if isinstance(node["inputs"].get(key), int)}
            return await client.run(prompt, written[name])

    outputs = asyncio.run(session())
    assert outputs and all(any(shown.values()) for shown in outputs.values())
    for picture in (image for shown in outputs.values() for image in shown.get("images", ())):
        opened = Image.open(server.base / picture["type"] / picture["subfolder"] / picture["filename"]).convert("RGB")
        assert len(opened.getcolors(2 ** 24)) > 1


def test_every_template_has_a_screenshot_in_both_renderers():
    shots = {path.relative_to(PACK) for folder in (SHOTS, HELP) for path in (PACK / folder).glob("*.webp")}
    others = {SHOTS / "promoted-block-weights.webp"}  # the editor on a subgraph, on both front ends
    assert shots - others == {shot_path(name, renderer) for name in [*JOBS, *SEEING_JOBS] for renderer in RENDERERS}


def test_every_template_has_a_thumbnail():
    assert {path.stem for path in FOLDER.glob("*.jpg")} == {path.stem for path in FOLDER.glob("*.json")}
