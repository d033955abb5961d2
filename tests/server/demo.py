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
from PIL import Image, ImageDraw, ImageFont

LOSS = r"Training loss: (\S+) at the start, (\S+) at the end"
SEEDS = 4
PROMPT = ("a landscape of mountains with poplars on the left, slate and ochre, day, light from the right, "
          "high horizon, woodcut")


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


def missing(shown: dict[str, str], files: list[Path]) -> list[str]:
    """What the workflow promises and did not leave behind."""
    pictures = [file for file in files if file.suffix == ".png"]
    found = {"Training report": re.search(LOSS, shown.get("Training report", "")), "Pictures": pictures,
             "LoRA file": lora_of(files)}
    found |= {f"Workflow in {file.name}": carries_its_workflow(file) for file in pictures}
    return [name for name, value in found.items() if not value]


def lora_of(files: list[Path]) -> Path | None:
    return next((file for file in files if file.suffix == ".safetensors" and file.parent.name == "loras"), None)


def likeness_prompt(workflow_prompt: dict, lora: Path) -> dict:
    """How like the training pictures the starter draws without the LoRA and with it, on seeds of their own."""
    models = {kind: next([key, 0] for key, node in workflow_prompt.items() if node["class_type"] == loader)
              for kind, loader in (("model", "UNETLoader"), ("clip", "CLIPLoader"), ("vae", "VAELoader"))}
    kept = {link[0]: workflow_prompt[link[0]] for link in models.values()}
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}
    return kept | {
        "style": node("BottegaCritiqueReference", folder="bottega_painter_woodcut", name="the woodcuts",
                      unreadable="stop"),
        "words": node("CLIPTextEncode", text=PROMPT, clip=models["clip"]),
        "nothing": node("CLIPTextEncode", text="", clip=models["clip"]),
        "empty": node("EmptySD3LatentImage", width=256, height=256, batch_size=1),
        "grid": node("BottegaLoraGrid", model=models["model"], loras=lora.name, strengths="0, 1", blocks="",
                     seeds=SEEDS, positive=["words", 0], negative=["nothing", 0], latent_image=["empty", 0],
                     vae=models["vae"], seed=100, sampling_steps=20, cfg=2.0, sampler_name="euler", scheduler="beta",
                     rubric="*=0; Value=1", style=["style", 0], best_by="likeness"),
        "data": node("PreviewAny", source=["grid", 7]),
    }


def sheet(base: Path, outputs: dict, titles: dict[str, str]) -> Image.Image:
    """Two rows, without the LoRA and with it: a picture, and what of it the critic finds most unusual."""
    shown = {titles[node]: images["images"][0] for node, images in outputs.items() if images.get("images")}
    side, gap, ink = 384, 24, "#22201c"
    page = Image.new("RGB", (2 * side + 3 * gap, 2 * (side + gap + 32) + gap), "#f4efe6")
    draw, face = ImageDraw.Draw(page), ImageFont.load_default(20)
    for row, which in enumerate(("without", "with")):
        top = gap + row * (side + gap + 32)
        for column, title in enumerate((f"Pictures {which} the LoRA", f"Heat map {which} the LoRA")):
            at = (gap + column * (side + gap), top + 32)
            words = f"{which.capitalize()} the LoRA" if column == 0 else "Where it is most unusual"
            draw.text((at[0], top), words, ink, face)
            page.paste(opened(base, shown[title]).resize((side, side), Image.LANCZOS), at)
    return page


def opened(base: Path, shown: dict) -> Image.Image:
    """A picture that a node shows, cut to a square at its top: the words of a heat map stand below it."""
    with Image.open(base / shown["type"] / shown["subfolder"] / shown["filename"]) as picture:
        width = min(picture.size)
        return picture.convert("RGB").crop((0, 0, width, width))


def told(base: Path, picture: Path, lora: Path, rows: list[dict], report: str) -> str:
    """Three lines; the rest is in the picture and on the page."""
    without, with_it = (next(row["likeness"] for row in rows if row["strength"] == strength) for strength in (0, 1))
    start, end = re.search(LOSS, report).groups()
    return (f"See {picture.relative_to(base)}: pictures without and with the LoRA, and where the critic looks.\n"
            f"Likeness to the twelve woodcuts it learnt from: {without:.0f} of 100 without it, {with_it:.0f} with it "
            f"({SEEDS} new pictures each).\n"
            f"The LoRA: {lora.relative_to(base)} (loss {start} to {end}). All below {base}.")


async def run(address: str, path: Path, base: Path) -> int:
    workflow, since = json.loads(path.read_text(encoding="utf-8")), time.time()
    async with connect(address) as client:
        titles = node_titles(workflow, await client.get("/object_info"))
        prompt, progress = await client.to_prompt(workflow), Progress(titles)
        try:
            outputs = await client.run(prompt, workflow, progress)
            said, files = texts(outputs, titles), new_files(base / "output", since)
            if lacking := missing(said, files):
                print("Missing: " + ", ".join(lacking), file=sys.stderr)
                return 1
            measured = await client.run(likeness_prompt(prompt, lora_of(files)))
        finally:
            progress.close()
    picture = base / "output" / "bottega_demo.png"
    sheet(base, outputs, titles).save(picture)
    print(told(base, picture, lora_of(files), json.loads(measured["data"]["text"][0]), said["Training report"]))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
    except (Refused, Failed) as error:
        sys.exit(f"The workflow did not run: {error}")
