"""The painter: from a seed to a picture of 256 x 256 pixels and the words that name what is on it.

    python starter/painter/pictures.py SHEET.png [--seed 0] [--count 64] [--media oil,woodcut]
"""
import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from painter import abstract, landscape, media, still_life, tone  # noqa: E402
from painter.plan import Plan  # noqa: E402
from painter.scenes import HELD_OUT_MEDIA, MEDIA, Scene, random_scene  # noqa: E402

PAINTERS = {"landscape": landscape.paint, "still life": still_life.paint, "abstract": abstract.paint}


def under_painting(scene: Scene, rng: np.random.Generator) -> Plan:
    """What the strokes follow, in its key, contrast and chroma."""
    plan = PAINTERS[scene.kind](scene, rng)
    plan.rgb = tone.tune(np.clip(plan.rgb, 0, 1), scene, rng)
    return plan


def paint(scene: Scene, seed: int) -> np.ndarray:
    """[256, 256, 3] uint8; the same scene and seed give the same picture on every machine."""
    rng = np.random.default_rng([seed, 1])
    return (media.finish(under_painting(scene, rng), scene, rng) * 255 + 0.5).astype(np.uint8)


def picture(seed: int, test: bool = False, media: tuple[str, ...] = MEDIA) -> tuple[np.ndarray, Scene]:
    """The picture of a seed and its scene; `test` draws from the combinations that training never sees."""
    scene = random_scene(np.random.default_rng([seed, 0]), test, media)
    return paint(scene, seed), scene


def sheet(pictures: list[np.ndarray], columns: int = 8, gap: int = 6, side: int = 256) -> Image.Image:
    """A contact sheet on grey, every picture `side` pixels wide."""
    height = width = side
    rows = -(-len(pictures) // columns)
    board = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), (58, 56, 54))
    for k, each in enumerate(pictures):
        small = Image.fromarray(each).resize((width, height), Image.Resampling.LANCZOS)
        board.paste(small, (gap + k % columns * (width + gap), gap + k // columns * (height + gap)))
    return board


def main(options):
    chosen = tuple(options.media.split(",")) if options.media else MEDIA + HELD_OUT_MEDIA
    made = [picture(options.seed + k, media=chosen) for k in range(options.count)]
    for k, (_, scene) in enumerate(made):
        print(k, scene.caption)
    sheet([p for p, _ in made], side=options.side).save(options.sheet, quality=88)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sheet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--side", type=int, default=256, help="pixels of each on the sheet")
    parser.add_argument("--media", default="", help="names with commas between; all without")
    main(parser.parse_args())
