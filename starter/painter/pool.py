"""Pictures painted ahead, with their scenes, in a folder: what the judge is fitted on and the transformer learns from.

    python starter/painter/pool.py FOLDER --count 9000 [--seed 0] [--all-media] [--any]

Goes on where an earlier call stopped. `pictures.npy` holds [N, 256, 256, 3] uint8, `scenes.jsonl` a line a picture.
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from painter import pictures  # noqa: E402
from painter.fields import SIZE  # noqa: E402
from painter.scenes import HELD_OUT_MEDIA, MEDIA, Scene  # noqa: E402


def opened(folder: Path) -> tuple[np.ndarray, list[Scene]]:
    """What is painted so far: ([N, 256, 256, 3] read from the disk as needed, N scenes)."""
    scenes = [Scene(*json.loads(line)) for line in (folder / "scenes.jsonl").read_text(encoding="utf-8").splitlines()]
    return np.load(folder / "pictures.npy", mmap_mode="r")[:len(scenes)], scenes


def fill(folder: Path, count: int, seed: int, media: tuple[str, ...], anything: bool):
    """Paints up to `count` pictures; with `anything` every second one is of a combination training never sees."""
    folder.mkdir(parents=True, exist_ok=True)
    path, lines = folder / "pictures.npy", folder / "scenes.jsonl"
    lines.touch()
    done = len(lines.read_text(encoding="utf-8").splitlines())
    board = np.lib.format.open_memmap(path, mode="r+" if path.exists() else "w+", dtype=np.uint8,
                                      shape=(count, SIZE, SIZE, 3))
    if len(board) != count:
        raise SystemExit(f"{path} was begun for {len(board)} pictures, not for {count}")
    with lines.open("a", encoding="utf-8") as file:
        for k in range(done, count):
            board[k], scene = pictures.picture(seed + k, test=anything and k % 2 == 1, media=media)
            board.flush() if k % 200 == 0 else None
            file.write(json.dumps(scene) + "\n")
            file.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1_000_000)
    parser.add_argument("--all-media", action="store_true", help="also those that training holds out")
    parser.add_argument("--any", action="store_true", help="also the combinations that training holds out")
    options = parser.parse_args()
    fill(options.folder, options.count, options.seed, MEDIA + HELD_OUT_MEDIA * options.all_media, options.any)
