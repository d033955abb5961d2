"""Tells from pixels what is painted, and whether a picture has what its caption names; no network has a part in it.

Every property is read by a linear discriminant: one weighted sum of the measures of `features.py` for each value it may
have, in closed form (ridge regression) from pictures of the painter, whose scenes are known. A caption's word is
accepted when its sum is the largest, or falls short of it by no more than true words do in 99 of 100 pictures that had
no part in the fit. What it reads are mostly samples, which a VAE's decoder drew: so it is fitted on the same pictures
as the VAE gives them back, too.

    python starter/painter/judge.py fit POOL      # writes judge.safetensors; POOL as pool.py --all-media paints it
    python starter/painter/judge.py check POOL    # how often it is right about pictures that were not in the fit

check: once about the pictures as they were painted, once as the VAE gives them back.
"""
import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from painter import latents, pool  # noqa: E402
from painter.features import GRIDS, features, lab, of_planes  # noqa: E402
from painter.scenes import Scene, mirrored, values_of  # noqa: E402

FILE, VAE = (Path(__file__).with_name(name) for name in ("judge.safetensors", "vae.safetensors"))
RIDGE, FOLDS, ACCEPTED = 0.05, 5, 0.99
BENDS = (-0.8, 0.0, 0.8)      # deviations above which a measure of the whole picture counts once more


def bent(measures: np.ndarray) -> np.ndarray:
    """Standardised measures [..., D], and those of the whole picture again as far as they exceed each of BENDS: a sum
    of these can peak in the middle, as dusk lies between day and night."""
    whole = measures[..., GRIDS:]
    return np.concatenate([measures, *(0.7 * np.maximum(whole - at, 0) for at in BENDS)], -1)


class Reading(NamedTuple):
    """Of a property: its possible values, the sum for each, and by how much the true one may fall short."""
    values: tuple[str, ...]
    sums: np.ndarray
    margin: float

    @property
    def best(self) -> str:
        return self.values[int(self.sums.argmax())]

    def allows(self, value: str) -> bool:
        """Whether the picture may be said to have this value."""
        return value in self.values and self.sums.max() - self.sums[self.values.index(value)] <= self.margin


class Judge:
    """Reads pictures [256, 256, 3] uint8 (other sizes are resized)."""

    def __init__(self, path: Path = FILE):
        self.parts = {name: value.astype(np.float32) for name, value in load_file(path).items()}

    def read(self, picture: np.ndarray, kind: str | None = None) -> dict[str, Reading]:
        """Every property by name. `kind` names what the picture is taken for; none: what it looks like."""
        measures = bent((features(picture) - self.parts["mean"]) / self.parts["scale"])
        found = {"kind": self._reading("all", "kind", measures)}
        kind = kind or found["kind"].best
        for name in values_of(kind):
            found[name] = self._reading(kind, name, measures)
        return found

    def _reading(self, kind: str, name: str, measures) -> Reading:
        weights, offset, margin = (self.parts[f"{kind}/{name}/{part}"] for part in ("weights", "offset", "margin"))
        return Reading(values_of(kind)[name], measures @ weights + offset, float(margin[0]))

    def wrong(self, picture: np.ndarray, scene: Scene) -> list[str]:
        """The properties of the scene's caption that the picture does not have; empty when it is right."""
        return missing(self.read(picture, scene.kind), scene)


def missing(found: dict[str, Reading], scene: Scene) -> list[str]:
    """The properties of a scene that what was read on a picture does not allow; the place of nothing is not asked."""
    asked = [name for name in found if name != "place" or scene.thing]
    return [name for name in asked if not found[name].allows(getattr(scene, name))]


def given_back(pictures: np.ndarray, path: Path) -> np.ndarray:
    """The pictures through a VAE's encoder and decoder."""
    net = latents.load_vae(path)
    return np.stack([latents.given_back(net, picture) for picture in pictures])


def table(pictures: np.ndarray, scenes: list[Scene]) -> tuple[np.ndarray, list[Scene], np.ndarray]:
    """Measures [N, D] of pictures and their mirror images, and of abstract ones also upside down; their scenes; and
    which picture each row is made of."""
    rows, names, origin = [], [], []
    for k, (picture, scene) in enumerate(zip(pictures, scenes, strict=True)):
        planes = lab(picture)
        made = [(planes, scene), (planes[:, ::-1], mirrored(scene))]
        if scene.kind == "abstract":
            made += [(each[::-1], words) for each, words in made]
        rows += [of_planes(each) for each, _ in made]
        names += [words for _, words in made]
        origin += [k] * len(made)
    return np.array(rows), names, np.array(origin)


def solve(measures: np.ndarray, answers: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [D, K] and offset [K] of the ridge regression of `answers` [N, K] on the rows in `keep`."""
    rows, wanted = measures[keep], answers[keep]
    mean, level = rows.mean(0), wanted.mean(0)
    rows = rows - mean
    square = rows.T @ rows + RIDGE * len(rows) * np.eye(rows.shape[1], dtype=rows.dtype)
    weights = np.linalg.solve(square, rows.T @ (wanted - level))
    return weights, level - mean @ weights


def answers_of(scenes: list[Scene], kind: str) -> tuple[np.ndarray, dict[str, slice]]:
    """What the sums of the kind's properties should be [N, K], and each property's columns.

    1 - share for the true value and -share for the others, over the root of the share; 0 where there is none to tell.
    """
    blocks, columns, start = [], {}, 0
    for name, values in values_of(kind).items():
        true = np.array([[getattr(scene, name) == value for value in values] for scene in scenes], np.float32)
        share = np.maximum(true.mean(0), 1e-3)
        blocks.append((true - share) / np.sqrt(share) * true.any(1, keepdims=True))
        columns[name] = slice(start, start + len(values))
        start += len(values)
    return np.concatenate(blocks, 1), columns


def short_of(sums: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """By how much the true value's sum falls short of the largest, where there is a true value."""
    told = answers.max(1) > 0
    return (sums.max(1) - sums[np.arange(len(sums)), answers.argmax(1)])[told]


def fit_kind(measures: np.ndarray, scenes: list[Scene], kind: str, origin: np.ndarray) -> dict[str, np.ndarray]:
    """Weights, offset and margin of every property of a kind; rows of the same `origin` are in the same fold."""
    answers, columns = answers_of(scenes, kind)
    fold, gaps = origin % FOLDS, {name: [] for name in columns}
    for part in range(FOLDS):
        weights, offset = solve(measures, answers, fold != part)
        sums = measures[fold == part] @ weights + offset
        for name, where in columns.items():
            gaps[name] += short_of(sums[:, where], answers[fold == part][:, where]).tolist()
    weights, offset = solve(measures, answers, np.ones(len(scenes), bool))
    found = {}
    for name, where in columns.items():
        found |= {f"{kind}/{name}/weights": weights[:, where].astype(np.float16),
                  f"{kind}/{name}/offset": offset[where].astype(np.float32),
                  f"{kind}/{name}/margin": np.array([np.quantile(gaps[name], ACCEPTED)], np.float32)}
    return found


def fit(folder: Path, path: Path, vae: Path):
    """Writes the judge that the pictures of a pool teach, as painted and as the VAE gives them back."""
    pictures, scenes = pool.opened(folder)
    painted, back = table(pictures, scenes), table(given_back(pictures, vae), scenes)
    measures, origin = (np.concatenate([one, two]) for one, two in ((painted[0], back[0]), (painted[2], back[2])))
    scenes = painted[1] + back[1]
    mean, scale = measures.mean(0), measures.std(0) + 0.02
    measures = bent((measures - mean) / scale)
    parts = {"mean": mean.astype(np.float32), "scale": scale.astype(np.float32)}
    for kind in ("all", "landscape", "still life", "abstract"):
        rows = np.array([kind in ("all", scene.kind) for scene in scenes])
        some = [scene for scene, row in zip(scenes, rows, strict=True) if row]
        parts |= fit_kind(measures[rows], some, kind, origin[rows])
    save_file(parts, path)


def changed(scene: Scene, rng: np.random.Generator) -> tuple[str, Scene]:
    """The scene with one word that is not true, and which."""
    names = [name for name in values_of(scene.kind) if name != "place" or scene.thing]
    name = names[int(rng.integers(len(names)))]
    others = [v for v in values_of(scene.kind)[name] if v != getattr(scene, name)]
    return name, scene._replace(**{name: others[int(rng.integers(len(others)))]})


def check(pictures: np.ndarray, scenes: list[Scene], path: Path) -> dict:
    """Shares of pictures: properties read exactly; true captions accepted; captions with one wrong word refused."""
    judge, rng = Judge(path), np.random.default_rng(0)
    read, accepted, refused = {}, [], {}
    for picture, scene in zip(pictures, scenes, strict=True):
        found = judge.read(picture, scene.kind)
        for name, reading in found.items():
            if name != "place" or scene.thing:
                read.setdefault(name, []).append(reading.best == getattr(scene, name))
        accepted.append(not missing(found, scene))
        for _ in range(4):
            name, false = changed(scene, rng)
            refused.setdefault(name, []).append(name in missing(found, false))
    share = lambda hits: round(float(np.mean(hits)), 3)
    return {"pictures": len(accepted), "read exactly": {name: share(hits) for name, hits in read.items()},
            "true captions accepted": share(accepted), "one wrong word refused": share(sum(refused.values(), [])),
            "refused, by the word": {name: share(hits) for name, hits in refused.items()}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("fit", "check"))
    parser.add_argument("pool", type=Path)
    parser.add_argument("--file", type=Path, default=FILE)
    parser.add_argument("--vae", type=Path, default=VAE)
    options = parser.parse_args()
    if options.task == "fit":
        fit(options.pool, options.file, options.vae)
    else:
        pictures, scenes = pool.opened(options.pool)
        print(json.dumps({"as painted": check(pictures, scenes, options.file),
                          "given back": check(given_back(pictures, options.vae), scenes, options.file)}, indent=1))
