"""Writes example_workflows/*.json.

    python -m devtools.templates.write_templates ADDRESS_OR_OBJECT_INFO_JSON FOLDER
"""
import json
import sys
from pathlib import Path

import requests

from .jobs import MODEL_JOBS, PICTURE_JOBS, SEEING_JOBS, VIDEO_JOBS
from .layered_layout import Layers, arrange
from .model_families import FAMILIES, STARTER
from .workflow import Node, Schema, saved

PANELS = {"BottegaLoadLora": 330, "BottegaApplyLora": 330, "BottegaStackLora": 330, "BottegaScheduleLora": 330,
          "BottegaLoraRows": 60, "BottegaRegionalLora": 330}
"""What the pack's own panels add to the height of a node."""


def templates(object_info: dict) -> dict[str, dict]:
    """Every template by the stem of its file."""
    schema, found = Schema(object_info), {}
    for name, job, family in _jobs():
        graph = job(family)
        layers_of(graph, schema)
        found[named(name, family.key)] = saved(graph, schema)
    return found


def _jobs():
    """(name, job, family) of each template."""
    yield from ((name, job, family) for name, job in MODEL_JOBS.items() for family in (STARTER, *FAMILIES))
    yield from ((name, job, STARTER) for name, job in {**PICTURE_JOBS, **SEEING_JOBS}.items())
    yield from ((name, job, family) for name, (job, key) in VIDEO_JOBS.items() for family in FAMILIES
                if family.key == key)


def layers_of(graph: list[Node], schema: Schema) -> Layers:
    """The columns of a template's graph, in the order in which they are drawn."""
    for node in graph:
        if node.subgraph and not any(inner.pos[0] for inner in node.subgraph.nodes):
            arrange(node.subgraph.nodes, schema, PANELS)
    return arrange(graph, schema, PANELS)


def named(job: str, family: str = "") -> str:
    """The stem of a template's file: `train-a-lora SDXL.app`, for the host knows an app by the end of its name."""
    ending = ".app" if job.endswith(".app") else ""
    return f"{job.removesuffix(ending)} {family}".strip() + ending


def text_of(workflow: dict) -> str:
    return json.dumps(workflow, ensure_ascii=False, separators=(",", ":")) + "\n"


def write(object_info: dict, folder: Path) -> list[Path]:
    written = []
    for name, workflow in templates(object_info).items():
        path = folder / f"{name}.json"
        path.write_text(text_of(workflow), encoding="utf-8")
        written.append(path)
    return written


def main(source: str, folder: str) -> None:
    saved = Path(source)
    info = json.loads(saved.read_text(encoding="utf-8")) if saved.exists() else requests.get(
        f"{source}/object_info", timeout=60).json()
    print(*write(info, Path(folder)), sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
