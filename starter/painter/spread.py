"""How the painter's pictures are spread among the paintings: the pack's own measures at 1024 pixels.

    python starter/painter/spread.py [--count 200] [--seed 100000] [--workers 1] [--rows ROWS.npy]

Prints, for every scored column, the Kolmogorov-Smirnov distance to the 1,629 paintings' quantiles in the pack (to the
published table itself where `../shared/data/JA_QIPs.csv` lies beside the checkout) and the medians of both.
With --rows the measures are kept in a file, and a later call with the same seed goes on where it ends.
"""
import argparse
import csv
import importlib
import multiprocessing
import sys
import types
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
if __package__ in (None, ""):
    sys.path.insert(0, str(ROOT / "starter"))

from painter import pictures  # noqa: E402
from painter.scenes import HELD_OUT_MEDIA, MEDIA  # noqa: E402

PUBLISHED = ROOT.parent / "shared" / "data" / "JA_QIPs.csv"
LIMIT, NEEDED, AT_ONCE = 0.25, 12, 20


def pack(part: str):
    """A module of the pack by its name below `nodes`, imported without the host."""
    for name, folder in (("bottega", ROOT), ("bottega.nodes", ROOT / "nodes")):
        if name not in sys.modules:
            package = sys.modules[name] = types.ModuleType(name)
            package.__path__ = [str(folder)]
    return importlib.import_module(f"bottega.nodes.{part}")


def critique(part: str):
    return pack(f"critique.{part}")


def scored() -> tuple[str, ...]:
    """The columns that make the total."""
    return critique("reference.distributions").SCORED


def measure(picture: np.ndarray) -> list[float]:
    """The scored columns of a picture [H, W, 3] uint8, measured as the pack measures it."""
    planes = critique("picture.planes")
    image = planes.Picture(torch.from_numpy(picture).movedim(-1, 0)[None]).at_longer_side(planes.CANONICAL)
    found = critique("measures").measure(image, None, set(scored()))
    return [found[column].item() for column in scored()]


def measure_seed(seed: int) -> list[float]:
    torch.set_num_threads(1)
    return measure(pictures.picture(seed, media=MEDIA + HELD_OUT_MEDIA)[0])


def measure_many(seeds, workers: int = 1, path: Path | None = None) -> np.ndarray:
    """[N, 15] the measures of the pictures of these seeds; the first are those in the file at `path`, which grows."""
    seeds, rows = list(seeds), np.load(path).tolist() if path and path.exists() else []
    with multiprocessing.get_context("spawn").Pool(workers) if workers > 1 else nullcontext() as pool:
        while len(rows) < len(seeds):
            some = seeds[len(rows):len(rows) + AT_ONCE * workers]
            rows += pool.map(measure_seed, some) if pool else map(measure_seed, some)
            if path:
                np.save(path, np.array(rows))
    return np.array(rows[:len(seeds)])


def distance(values: np.ndarray, published: np.ndarray) -> float:
    """The largest gap between two empirical distribution functions."""
    at = np.concatenate([values, published])
    below = lambda rows: np.searchsorted(np.sort(rows), at, side="right") / len(rows)
    return float(np.abs(below(values) - below(published)).max())


def paintings() -> dict[str, np.ndarray]:
    """Every scored column of the paintings: the published rows where they are, else 1,001 points of the quantiles."""
    if PUBLISHED.exists():
        with PUBLISHED.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {column: np.array([float(row[column]) for row in rows]) for column in scored()}
    quantiles = critique("reference.distributions").paintings().quantiles
    return {c: np.interp(np.linspace(0, 100, 1001), np.arange(101), quantiles[c]) for c in scored()}


def table(values: np.ndarray) -> tuple[str, int]:
    """A Markdown table of all columns, and how many lie under the limit."""
    lines, good = ["| column | distance | paintings: 5, 50, 95 % | here: 5, 50, 95 % |", "|---|--:|---|---|"], 0
    triple = lambda rows: ", ".join(f"{v:.4g}" for v in np.quantile(rows, (0.05, 0.5, 0.95)))
    for k, (column, published) in enumerate(paintings().items()):
        gap = distance(values[:, k], published)
        good += gap < LIMIT
        lines.append(f"| {column} | {gap:.3f}{'' if gap < LIMIT else ' (over)'} | "
                     f"{triple(published)} | {triple(values[:, k])} |")
    return "\n".join(lines), good


def main(options):
    values = measure_many(range(options.seed, options.seed + options.count), options.workers, options.rows)
    text, good = table(values)
    print(text)
    print(f"\n{good} of {values.shape[1]} columns under {LIMIT} ({options.count} pictures; {NEEDED} are asked for)")
    totals = [critique_score(row) for row in values]
    print("score by these columns: quartiles", np.round(np.quantile(totals, (0.25, 0.5, 0.75)), 1))


def critique_score(row) -> float:
    """What the pack's reference makes of the scored columns of a 256-pixel picture: its rank among the paintings."""
    parts = critique("reference.distributions")
    reference = parts.paintings().at_size(256)
    mean = sum(share * parts.typicality(reference.percentile(column, row[scored().index(column)]))
               for column, share in reference.shares.items())
    return float(reference.rank(mean))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=100000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rows", type=Path, help="a .npy file for the measures themselves; goes on where it exists")
    main(parser.parse_args())
