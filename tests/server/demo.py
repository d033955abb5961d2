"""What `python dev.py demo` shows: runs a workflow on a server as the page would, and checks what came out.

    demo.py ADDRESS WORKFLOW.json BASE_DIRECTORY
"""
import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path

from client import Failed, Refused, connect
from PIL import Image


class Progress:
    """Says which node runs and how far it is: one moving line in a terminal, a few plain lines elsewhere."""

    def __init__(self, titles: dict[str, str]):
        self.titles, self.shown, self.began = titles, {}, time.monotonic()
        self.moving = sys.stdout.isatty() and not os.environ.get("CI")

    async def __call__(self, kind: str, data: dict):
        if kind == "progress_state":
            for state in data["nodes"].values():
                if state["state"] == "running":
                    self.show(state["node_id"], int(100 * state["value"] / max(1, state["max"])))

    def show(self, node_id: str, percent: int):
        stage = percent if self.moving else percent // 25 * 25
        if self.shown.get(node_id) == stage:
            return
        self.shown[node_id] = stage
        done = f"  {stage} %" if stage else ""
        line = f"  {time.monotonic() - self.began:6.1f} s  {self.titles.get(node_id, node_id)}{done}"
        print(f"\r{line:<78}" if self.moving else line, end="" if self.moving else "\n", flush=True)

    def close(self):
        if self.moving:
            print()


def node_titles(workflow: dict, object_info: dict) -> dict[str, str]:
    return {str(node["id"]): node.get("title") or object_info.get(node["type"], {}).get("display_name", node["type"])
            for node in workflow["nodes"]}


def texts(outputs: dict, titles: dict[str, str]) -> dict[str, str]:
    """What the nodes that show text say, by title."""
    return {titles[node]: str(shown["text"][0]) for node, shown in outputs.items() if shown.get("text")}


def carries_its_workflow(picture: Path) -> bool:
    with Image.open(picture) as opened:
        return {"prompt", "workflow"} <= set(opened.info) and len(opened.convert("RGB").getcolors(2 ** 24)) > 1


def new_files(folder: Path, since: float) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_mtime >= since)


def summary(shown: dict[str, str], files: list[Path], base: Path) -> list[str]:
    """Prints what came out and returns what is missing from it."""
    scores = {name: shown.get(name) for name in ("Score without the LoRA", "Score with the LoRA")}
    found = {name: score and f"{float(score):.1f} of 100" for name, score in scores.items()}
    loss = re.search(r"Loss: .* at the start, .* at the end", shown.get("Training report", ""))
    found["Loss"] = loss and loss.group().removeprefix("Loss: ")
    pictures = [file for file in files if file.suffix == ".png"]
    for name, value in found.items():
        print(f"{name}: {value}")
    print(f"Files in {base}:", *[f"  {file.relative_to(base)}" for file in files], sep="\n")
    found["LoRA file"] = any(file.suffix == ".safetensors" and file.parent.name == "loras" for file in files)
    found["Pictures"] = pictures
    found |= {f"Workflow in {file.name}": carries_its_workflow(file) for file in pictures}
    return [name for name, value in found.items() if not value]


async def run(address: str, path: Path, base: Path) -> int:
    workflow, since = json.loads(path.read_text(encoding="utf-8")), time.time()
    async with connect(address) as client:
        titles = node_titles(workflow, await client.get("/object_info"))
        progress = Progress(titles)
        try:
            outputs = await client.run(await client.to_prompt(workflow), workflow, progress)
        finally:
            progress.close()
    missing = summary(texts(outputs, titles), new_files(base / "output", since), base)
    if missing:
        print("Missing: " + ", ".join(missing), file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
    except (Refused, Failed) as error:
        sys.exit(f"The workflow did not run: {error}")
