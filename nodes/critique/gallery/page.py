"""The page of a gallery: one HTML file that needs nothing else. Distributions, the best and the worst of each
criterion, a timeline where names hold years."""
import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ...shared.atomic_write import write_whole
from ...shared.picture_file import read_picture
from ...shared.picture_table import PictureTable
from ..explain.phrases import called
from ..rubric.rubric_language import parse
from .measuring import CRITERION

PAGE = "gallery.html"
FORM = 2                            # of the page; one of another form is drawn anew
BINS, BARS, HIGH = 24, 240, 60      # of a histogram: bins, and its width and height in pixels
SHOWN, SIDE = 4, 144                # pictures at each end of a criterion, and the pixels of their longer side
ERRORS = 50                         # that are named
YEAR = re.compile(r"(?<![0-9A-Za-z])(?:1[2-9]|20)\d\d(?![0-9A-Za-z])")     # 1872 and not 1280x720
STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1c1b19, #eae7e0); --ground: light-dark(#fbfaf7, #191816);
--bar: light-dark(#b4532a, #e08a5b); --line: light-dark(#d9d5cc, #3b3833) }
body { background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto;
max-width: 66rem; padding: 0 1rem }
section { border-top: 1px solid var(--line); margin-top: 1.4rem; padding-top: .6rem }
.row { display: flex; flex-wrap: wrap; gap: 1.2rem } figure { margin: 0; width: 150px } figcaption { font-size: 12px;
overflow-wrap: anywhere } img { max-width: 150px; max-height: 150px } rect { fill: var(--bar) }
circle { fill: var(--bar); fill-opacity: .45 } path { stroke: var(--ink); fill: none; stroke-width: 1.5 }
text { fill: var(--ink); font-size: 11px } h3 { margin: .2rem 0 } td { padding-right: 1rem }
"""


def write(table: PictureTable, halt: Callable[[], object]) -> Path:
    """Draws the page of a table, where it is not the one that is there; returns where it lies. halt: called between
    its parts, may raise."""
    path, mark = table.folder / PAGE, _mark(table)
    if not _is_of(path, mark):
        text = "".join(_parts(table, mark, halt))
        write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))
    return path


def _mark(table: PictureTable) -> str:
    """What a page says of the table it was drawn of; changes with every row."""
    held = [FORM, table.folder.name, *(part.name for part in table.parts), *table.gone]
    return f"<meta name=bottega-table content={hashlib.sha256(json.dumps(held).encode()).hexdigest()}>"


def _is_of(path: Path, mark: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return mark in file.read(1000)
    except (OSError, ValueError):
        return False


def _parts(table: PictureTable, mark: str, halt) -> Iterator[str]:
    table.load(table.columns, halt)
    name = html.escape(table.folder.name)
    yield (f"<!doctype html><html lang=en><meta charset=utf-8>{mark}<title>{name}</title><style>{STYLE}</style>"
           f"<h1>{name}</h1><p>{len(table.names)} pictures measured, {len(table.errors)} that could not be. "
           "Scores and points are positions among the pictures of the reference, not beauty.</p>")
    criteria = [column for column in table.columns if column.startswith(CRITERION)]
    score = table.numbers("score")
    if len(table.names):
        yield _section("Score", score, table, _of_score(table.about))
        yield _timeline(table, score)
    for column in criteria if len(table.names) else ():
        halt()
        yield _section(column.removeprefix(CRITERION), table.numbers(column), table, "points, or a place between poles")
    yield "<section><h2>Every measure</h2><div class=row>"
    for column in table.columns[1 + len(criteria):] if len(table.names) else ():
        halt()
        yield f"<div><h3>{html.escape(called(column))}</h3>{_histogram(table.numbers(column))}</div>"
    yield "</div></section>"
    yield _errors(table)


def _of_score(about: dict) -> str:
    """What the numbers of the score are, by the rubric and the reference of the table."""
    if not parse(about["rubric"]).plain:
        return "0 to 100, a mean of points"
    name = about["reference"].rpartition(" ")[0]    # before what tells it from others of its name
    return f"0 to 100; {f'the pictures of {name}' if name else 'the paintings'} are even from 0 to 100"


def _section(title: str, values: np.ndarray, table: PictureTable, what: str) -> str:
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return ""
    order = known[np.argsort(-values[known], kind="stable")]
    ends = [("highest", order[:SHOWN]), ("lowest", order[::-1][:SHOWN])]
    shown = "".join(f"<h3>{word}</h3><div class=row>{''.join(_figure(table, at, values[at]) for at in places)}</div>"
                    for word, places in ends)
    return (f"<section><h2>{html.escape(title)}</h2><p>{html.escape(what)}; median {np.median(values[known]):.4g}</p>"
            f"{_histogram(values)}{shown}</section>")


def _histogram(values: np.ndarray) -> str:
    """Bars of a histogram with its two ends; nothing where nothing was measured."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "<p>not measured</p>"
    low, high = values.min(), values.max()
    near = high - low < 1e-9 * max(1.0, abs(low), abs(high))     # numpy makes no bins between neighbouring numbers
    counts, edges = np.histogram(values, BINS, (low - 0.5, high + 0.5) if near else (low, high))
    step = BARS / BINS
    bars = "".join(f'<rect x="{number * step:.1f}" y="{HIGH * (1 - count / counts.max()):.1f}" width="{step - 1:.1f}" '
                   f'height="{HIGH * count / counts.max():.1f}"/>' for number, count in enumerate(counts))
    return (f'<svg width="{BARS}" height="{HIGH + 14}">{bars}<text x="0" y="{HIGH + 12}">{edges[0]:.4g}</text>'
            f'<text x="{BARS}" y="{HIGH + 12}" text-anchor="end">{edges[-1]:.4g}</text></svg>')


def _figure(table: PictureTable, at: int, value: float) -> str:
    name = table.names[at]
    return (f"<figure>{_thumbnail(table, name)}<figcaption>{value:.1f} {html.escape(name)}</figcaption></figure>")


def _thumbnail(table: PictureTable, name: str) -> str:
    """A small copy inside the page; nothing where the picture is gone or no file of its own."""
    try:
        image = read_picture(table.path(name)).image.convert("RGB")
    except ValueError:
        return ""
    image.thumbnail((SIDE, SIDE))
    held = io.BytesIO()
    image.save(held, "JPEG", quality=80)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode()}">'


def year(name: str) -> int | None:
    """The year in the name of a picture, or in that of the folder nearest to it."""
    found = next((found for part in reversed(name.split("/")) if (found := YEAR.search(part))), None)
    return int(found[0]) if found else None


def _timeline(table: PictureTable, score: np.ndarray, wide: int = 900, high: int = 220) -> str:
    """Scores over years, with the median of each decade; nothing where names hold fewer than two years."""
    years = np.array([year(name) or 0 for name in table.names])
    dated = np.flatnonzero((years > 0) & ~np.isnan(score))
    first, last = (years[dated].min(), years[dated].max()) if len(dated) else (0, 0)
    if first == last:
        return ""
    x, y = (years - first) / (last - first) * (wide - 40) + 20, high - 20 - score / 100 * (high - 40)
    few = dated[np.linspace(0, len(dated) - 1, min(len(dated), 3000)).astype(int)]
    dots = "".join(f'<circle cx="{x[at]:.1f}" cy="{y[at]:.1f}" r="3"/>' for at in few)
    line = " L ".join(f"{np.mean(x[own]):.1f} {np.median(y[own]):.1f}" for own in _decades(years, dated))
    return (f"<section><h2>Through the years</h2><p>{len(dated)} pictures have a year in their names; the line is the "
            f'median score of each ten years.</p><svg width="{wide}" height="{high}">{dots}<path d="M {line}"/>'
            f'<text x="20" y="{high - 4}">{first}</text><text x="{wide - 20}" y="{high - 4}" text-anchor="end">{last}'
            "</text></svg></section>")


def _decades(years: np.ndarray, dated: np.ndarray) -> list[np.ndarray]:
    decades = years[dated] // 10
    return [dated[decades == decade] for decade in np.unique(decades)]


def _errors(table: PictureTable) -> str:
    if not table.errors:
        return ""
    named: Sequence[tuple[str, str]] = sorted(table.errors.items())
    rows = "".join(f"<tr><td>{html.escape(name)}<td>{html.escape(why)}" for name, why in named[:ERRORS])
    more = f"<p>And {len(named) - ERRORS} more.</p>" if len(named) > ERRORS else ""
    return f"<section><h2>Could not be measured</h2><table>{rows}</table>{more}</section>"
