"""LoRAs x strengths x block weights, each drawn from the same seeds and judged: which checkpoint at which strength."""
import json
import math
from collections.abc import Callable, Sequence
from statistics import mean, stdev
from typing import NamedTuple

from torch import Tensor

from ..charts.chart_types.contact_sheet import thumbnail
from ..critique.compare.veto import Base
from ..critique.examination import measured
from ..critique.reference.distributions import Reference
from ..critique.report import what_counts
from ..critique.rubric.criteria import Rubric
from ..critique.score.judge import judge, needed
from ..lora.applying.apply_report import why_nothing
from ..lora.applying.patching import apply_lora, dry_run
from ..lora.block_weights import presets
from ..lora.block_weights.block_language import parse
from ..lora.file.lora_files import LoraFile
from ..shared.markdown_table import cell as table_cell
from ..shared.text_syntax import lines, shorten
from . import cut_short
from .sampling import Sampling, shrunk_for_sheet
from .shared_sampling import Share
from .tuning.likeness import Likeness

SCORE, LIKENESS = BEST_BY = ("score", "likeness")
MOST = 1000         # cells of a grid
NAMED = 5           # LoRAs of a sentence
LOOKED_AT = 4       # pictures of a setting, at most, that are held against those without the LoRA


class Setting(NamedTuple):
    """One cell: the LoRA's place among the rows, its strength, and its block weights as text."""
    lora: int
    strength: float
    blocks: str


class Grid(NamedTuple):
    """names: of the LoRAs, one a row; every combination of strength and blocks is a column.

    open: gives the LoRA of a row, so that no more than one is in memory."""
    names: Sequence[str]
    open: Callable[[int], LoraFile]
    strengths: Sequence[float]
    blocks: Sequence[str]

    @property
    def columns(self) -> list[tuple[float, str]]:
        return [(strength, blocks) for blocks in self.blocks for strength in self.strengths]

    @property
    def settings(self) -> list[Setting]:
        return [Setting(row, *column) for row in range(len(self.names)) for column in self.columns]


class Judged(NamedTuple):
    """What came of one cell: the mean score, the mean likeness or None, and the spread of scores over its pictures.

    small: its first picture for the sheet, uint8 [h, w, 3]; picture: the same, [1, H, W, C], a part of the grid's
    `images`. spoiled: what its pictures suffer from beside those without the LoRA, such as "too red"; "" where they do
    not. nothing: why nothing of the LoRA is applied; "" where something is, and at strength 0, where nothing is meant
    to be."""
    setting: Setting
    score: float
    likeness: float | None
    error: float | None
    small: Tensor
    picture: Tensor
    spoiled: str = ""
    nothing: str = ""


class Filled(NamedTuple):
    """cells: those that were drawn; images: IMAGE of their first pictures in the order of the grid; ended: why the rest
    is missing, "" where none is."""
    cells: list[Judged]
    images: Tensor
    ended: str = ""


class Pictures:
    """The first picture of every cell, in one batch from the start: to join them at the end would take it twice."""

    def __init__(self, count: int):
        self.count, self.images = count, None

    def keep(self, place: int, picture: Tensor) -> Tensor:
        """Copies [1, H, W, C] to its place; returns it there."""
        if self.images is None:
            self.images = self._room(picture)
        self.images[place] = picture[0]
        return self.images[place:place + 1]

    def _room(self, picture):
        try:
            return picture.new_empty((self.count, *picture.shape[1:]))
        except (RuntimeError, MemoryError) as error:
            size = self.count * picture.nbytes / 1e9
            raise ValueError(f"loras: expected settings whose pictures fit into memory, got {self.count} of "
                             f"{picture.shape[2]}x{picture.shape[1]}, which take {size:.3g} GB; draw fewer at a time"
                             ) from error


class Judge(NamedTuple):
    """What cells are judged by."""
    rubric: Rubric
    reference: Reference
    likeness: Likeness | None
    best_by: str

    @property
    def columns(self) -> set[str]:
        """What has to be measured of every picture."""
        return needed(self.reference, self.rubric) | (self.likeness.columns if self.likeness else set())

    def value(self, cell: Judged) -> float:
        return cell.likeness if self.best_by == LIKENESS else cell.score


def numbers(written: str) -> list[float]:
    """Strengths from `0.5, 0.75, 1`, each once. Raises ValueError for what is no number or not from -100 to 100."""
    parts = [part.strip() for line in lines(written, "strengths") for part in line.replace(";", ",").split(",")]
    found = list(dict.fromkeys(_strength(part) for part in parts if part))
    if not found:
        raise ValueError("strengths: expected at least one number, such as 0.5, 0.75, 1, got none")
    return found


def _strength(part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not -100 <= value <= 100:
        raise ValueError(f'strengths: expected numbers from -100 to 100, such as 0.5, 1, got "{shorten(part)}"')
    return value


def variants(written: str) -> list[str]:
    """Texts of block weights, one a line; nothing written: every block at 1. Raises ValueError for what is none, a
    preset that there is not included."""
    found = list(dict.fromkeys(filter(None, map(str.strip, lines(written, "blocks"))))) or [""]
    for line in found:
        presets.expand(parse(line))
    return found


def check(grid: Grid, model) -> None:
    """Raises ValueError before anything is drawn: for too many cells, for blocks that the model does not have, and
    where no LoRA would change anything. Opens LoRAs until one does, which is the first as a rule."""
    if len(grid.settings) > MOST:
        raise ValueError(f"loras: expected at most {MOST} pictures of LoRAs, strengths and block weights together, got "
                         f"{len(grid.settings)}")
    told = []
    for row, name in enumerate(grid.names):
        lora = grid.open(row)
        reasons = [why_nothing(dry_run(model, None, lora, 1.0, 1.0, parse(blocks))) for blocks in grid.blocks]
        if not all(reasons) or not any(grid.strengths):
            return
        told.append(f"{name}: {reasons[0]}")
    more = [f"{len(told) - NAMED} more LoRAs change nothing either"] if len(told) > NAMED else []
    raise ValueError("loras: expected a LoRA that changes something of this model, got none: "
                     + "; ".join([*told[:NAMED], *more]))


class Job(NamedTuple):
    """What is drawn at once: the pictures of (prompt, seed) at a setting, None for the model without a LoRA. looked_at:
    how many of them are held against others. name: of the setting's LoRA, whose place may be another one in a process
    that lists the files a moment later."""
    setting: Setting | None
    samples: tuple[tuple[int, int], ...]
    looked_at: int
    name: str = ""


class DrawnJob(NamedTuple):
    """pictures: those that are looked at; measures: of all; nothing: as `Judged` has it."""
    pictures: list[Tensor]
    measures: list[dict[str, float]]
    nothing: str = ""


class Drawing(NamedTuple):
    """Draws and measures the pictures of a grid."""
    model: object
    grid: Grid
    sampling: Sampling
    by: Judge

    def draw(self, job: Job) -> DrawnJob:
        model, setting, nothing = self.model, job.setting, ""
        if setting:
            model, _, result = apply_lora(model, None, self.grid.open(self.grid.names.index(job.name)),
                                          setting.strength, 1.0, parse(setting.blocks))
            nothing = why_nothing(result) if setting.strength else ""
        done = DrawnJob([], [], nothing)
        for prompt, seed in job.samples:
            picture = self.sampling.draw(model, prompt, seed).picture
            if setting:
                done.measures.append(measured(picture, self.by.columns, self.by.reference))
            if len(done.pictures) < job.looked_at:
                done.pictures.append(picture)
        return done


def fill(model, grid: Grid, sampling: Sampling, seeds: Sequence[int], by: Judge,
         show: Callable[[list[Judged]], None], share: Share = map) -> Filled:
    """Every cell judged; `show` is told all so far after each. share: the devices that draw them, a cell each.

    A Cancel, full memory, a device that is gone or a file that cannot be read ends it early and keeps what there is;
    before the first cell they are raised."""
    cells: list[Judged] = []
    kept, ended = Pictures(len(grid.settings)), ""
    draw = Drawing(model, grid, sampling, by).draw
    samples = tuple((prompt, seed) for prompt in range(sampling.prompts) for seed in seeds)
    try:
        bases = without_lora(draw, samples, share)
        jobs = [Job(setting, samples, len(bases), grid.names[setting.lora]) for setting in grid.settings]
        for setting, drawn in zip(grid.settings, share(draw, jobs), strict=True):
            cell = _judged(setting, drawn, by, bases)
            cells.append(cell._replace(picture=kept.keep(len(cells), cell.picture)))
            show(cells)
    except cut_short.CUTS as error:
        ended = cut_short.why_it_ends(error)
        if not (cells and ended):
            raise
    return Filled(cells, kept.images[:len(cells)], ended)


def without_lora(draw: Callable[[Job], DrawnJob], samples: Sequence[tuple[int, int]], share: Share) -> list[Base]:
    """The first pictures of the model without a LoRA, in the order in which those of a setting are drawn."""
    jobs = [Job(None, (sample,), 1) for sample in samples[:LOOKED_AT]]
    return [Base(drawn.pictures[0][..., :3]) for drawn in share(draw, jobs)]


def spoiled(found: Sequence[str]) -> str:
    """Why a setting looks spoiled, from what each of its pictures suffers from: where at least half of them do."""
    reasons = [each for each in found if each]
    return max(reasons, key=reasons.count) if reasons and 2 * len(reasons) >= len(found) else ""


def _judged(setting: Setting, drawn: DrawnJob, by: Judge, bases: Sequence[Base]) -> Judged:
    scores = [judge(measures, by.reference, by.rubric).score for measures in drawn.measures]
    near = [by.likeness.of(measures) for measures in drawn.measures] if by.likeness else []
    found = [base.why_spoiled(picture[..., :3]) for base, picture in zip(bases, drawn.pictures, strict=True)]
    error = stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else None
    first = drawn.pictures[0]
    return Judged(setting, mean(scores), mean(near) if near else None, error, small(first), first, spoiled(found),
                  drawn.nothing)


def small(picture: Tensor) -> Tensor:
    """IMAGE [1, H, W, C] as a cell of the sheet shows it: uint8 [h, w, 3]."""
    return (thumbnail(shrunk_for_sheet(picture).cpu()[..., :3]).clamp(0, 1) * 255).round().byte()


def best(cells: Sequence[Judged], by: Judge) -> Judged:
    """The cell with the highest value of those that change something and do not look spoiled, or of all that change
    something where all look so, or of all where none does; of equals the first."""
    meant = _meant(cells)
    return max([cell for cell in meant if not cell.spoiled] or meant or cells, key=by.value)


def _meant(cells: Sequence[Judged]) -> list[Judged]:
    """Without those where nothing of the LoRA is applied, which have the picture without it."""
    return [cell for cell in cells if not cell.nothing]


def report(grid: Grid, cells: Sequence[Judged], by: Judge, ended: str, notes: Sequence[str] = ()) -> str:
    """Markdown: the best cell in words that can be typed into Load LoRA, and every cell, the best first; then notes.
    ended: as `Filled` has it."""
    told = [_headline(grid, cells, by), *_told_of_nothing(grid, cells), *_told_of_spoiled(_meant(cells), by),
            *what_counts.left_out(by.rubric, by.reference)]
    if ended:
        told.append(cut_short.told(ended, len(cells), len(grid.settings), "settings", "drawn"))
    if cells[0].error is None:
        told.append("Each setting was judged by one picture: raise seeds to know how much of a difference is luck.")
    return "\n\n".join([*told, _table(grid, cells, by), *filter(None, notes)])


def _headline(grid: Grid, cells: Sequence[Judged], by: Judge) -> str:
    top = best(cells, by)
    if top.nothing:
        return f"**No setting is the best**: nothing of a LoRA is applied in the {len(cells)} that were drawn."
    return (f"**{grid.names[top.setting.lora]} at strength {top.setting.strength:g}"
            + (f" with {top.setting.blocks}" if top.setting.blocks else "") + f"**: {by.best_by} {by.value(top):.1f}, "
            f"the highest of {_of_which(_meant(cells))}.")


def _table(grid: Grid, cells: Sequence[Judged], by: Judge) -> str:
    marked = any(cell.spoiled for cell in cells)
    head = ("| LoRA | strength | blocks | score |" + (" likeness |" if by.likeness else "")
            + (" looks spoiled |" if marked else ""))
    names = [*map(table_cell, grid.names)]
    ordered = sorted(cells, key=lambda cell: (not cell.nothing, by.value(cell)), reverse=True)
    rows = [f"| {names[cell.setting.lora]} | {cell.setting.strength:g} | {cell.setting.blocks or 'all at 1'}"
            f"{', nothing applied' * bool(cell.nothing)} | "
            f"{cell.score:.1f}" + (f" ± {cell.error:.1f}" if cell.error is not None else "") + " |"
            + (f" {cell.likeness:.1f} |" if by.likeness else "") + (f" {cell.spoiled} |" if marked else "")
            for cell in ordered]
    ruled = "|---|---:|---|---:|" + ("---:|" if by.likeness else "") + ("---|" if marked else "")
    return "\n".join([head, ruled, *rows])


def _told_of_nothing(grid: Grid, cells: Sequence[Judged]) -> list[str]:
    """A sentence for each LoRA and text of blocks of which nothing is applied: its pictures are those without it."""
    found = {(grid.names[cell.setting.lora], cell.setting.blocks): cell.nothing for cell in cells if cell.nothing}
    told = [f"**{name}{f' with {blocks}' if blocks else ''}: {why}**. Its pictures are those without the LoRA, and it "
            "is never the best." for (name, blocks), why in found.items()]
    more = [f"The same holds for {len(told) - NAMED} more in the table."] if len(told) > NAMED else []
    return [*told[:NAMED], *more]


def _of_which(cells: Sequence[Judged]) -> str:
    whole = sum(not cell.spoiled for cell in cells)
    if whole in (0, len(cells)):
        return f"{len(cells)} settings"
    return f"the settings that do not look spoiled ({whole} of {len(cells)})"


def _told_of_spoiled(cells: Sequence[Judged], by: Judge) -> list[str]:
    """Which settings were passed over, and why."""
    marked = [cell for cell in cells if cell.spoiled]
    if not marked:
        return []
    if len(marked) == len(cells):
        return [f"**Every setting looks spoiled** in light and colour beside the picture without the LoRA "
                f"({marked[0].spoiled}): this is the one with the highest {by.best_by}, and none that is recommended. "
                "Try lower strengths."]
    top = max(marked, key=by.value)
    return [f"**{len(marked)} of {len(cells)} settings look spoiled** in light and colour beside the picture without "
            f"the LoRA and are never chosen; the highest of them has {by.best_by} {by.value(top):.1f} ({top.spoiled}). "
            "Whoever wants such colours can read its settings in the table."]


def data(grid: Grid, cells: Sequence[Judged]) -> str:
    """JSON: a row for each cell, for Chart."""
    return json.dumps([{"lora": grid.names[cell.setting.lora], "strength": cell.setting.strength,
                        "blocks": cell.setting.blocks, "score": cell.score, "likeness": cell.likeness,
                        "spoiled": cell.spoiled, "nothing_applied": cell.nothing}
                       for cell in cells])
