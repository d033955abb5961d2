"""From the words of the Chart node to the picture it gives."""
from collections.abc import Iterator
from functools import partial

from torch import Tensor

from .chart_language import Spec, expression, parse, presentation
from .chart_types import CHART_TYPES, columns_of, known
from .drawing import scene
from .drawing.draw import render
from .drawing.theme import DARK, LIGHT
from .drawing.typeface import undrawn
from .grammar import rows as table
from .grammar.frame import draw
from .grammar.grammar import LARGEST
from .without_effect import without_effect

THEMES = {"light": LIGHT, "dark": DARK}
NOTE = 32


def picture(data: str, spec: str, w: int, h: int, theme: str) -> Tensor:
    """IMAGE [1, H, W, 3], 0..1. An empty spec draws bars. Raises ValueError with one sentence naming the input."""
    parsed = parse(spec.strip() or "bars()")
    theme = parsed.frame.get("theme", theme)
    if theme not in THEMES:
        raise ValueError(f"spec: theme expected light or dark, got {theme!r}")
    read = table.read(data, parsed.frame.get("rows"), parsed.frame.get("picture"))
    return render(_scene(parsed, read, presentation(parsed, w=w, h=h), THEMES[theme]), THEMES[theme].paper)


def _scene(parsed: Spec, read: table.Table, frame, theme):
    if not read.rows:
        raise ValueError("data: expected at least one row to draw, got none")
    drawing, notes = _form(parsed, read, theme) if parsed.chart_type else (
        partial(draw, expression(parsed, read.rows), theme=theme), [])
    notes = [*notes, *without_effect(parsed, read)]
    drawn = _above(notes, drawing, frame)
    if codes := _codes(drawn):      # known once it is drawn, and it takes its line from the height
        notes = [*codes, *notes]
        drawn = _above(notes, drawing, frame)
    if max(drawn.w, drawn.h) > LARGEST:
        raise ValueError(f"data: {len(read.rows)} rows would make a chart of {drawn.w:.0f} x {drawn.h:.0f} pixels; "
                         f"draw fewer, or choose a form that does not grow, such as blocks or timeline")
    return _noted(drawn, notes, frame, theme)


def _above(notes: list[str], drawing, frame) -> scene.Node:
    """The drawing in the height that the sentences leave it, or in all of it where that is too little: the picture then
    grows by them, for no sentence may stop a chart that has room without."""
    try:
        return drawing(frame=frame._replace(h=frame.h - NOTE * len(notes)))
    except ValueError:
        return drawing(frame=frame)


def _form(parsed: Spec, read: table.Table, theme):
    """(what draws it in a frame, sentences below it) of a ready-made form."""
    (kind, _, options), (rows, records, _) = parsed.chart_type, read
    form, notes = CHART_TYPES[kind], []
    if records > 1 and not form.of_many and "by" not in options:  # what adds up or lies side by side is of one picture
        rows, notes = table.of_one_picture(rows)
    columns = columns_of(kind, options, rows)
    kept = known(kind, columns, rows)
    if len(kept) < len(rows):
        notes = [*notes, f"{len(rows) - len(kept)} of {len(rows)} rows have no value there and are not drawn"]
    return partial(form.draw, rows if form.ordered else kept, theme=theme, **columns), notes


def _codes(drawn: scene.Node) -> list[str]:
    """A sentence where letters of what is drawn have to be written as codes."""
    letters = set("".join(map(undrawn, _texts(drawn))))
    if not letters:
        return []
    return [f"No typeface of this system has {len(letters)} of the letters; they are written as codes (U+...)"]


def _texts(node: scene.Node) -> Iterator[str]:
    if node.kind == "text":
        yield node.look["text"]
    for child in node.children:
        yield from _texts(child)


def _noted(drawn, notes: list[str], frame, theme):
    """The drawing with sentences below it."""
    size = 0.9 * frame.size
    words = [scene.place(frame.rim, drawn.h + NOTE * number, scene.fitted(note, size, theme.muted, frame.w - frame.rim))
             for number, note in enumerate(notes)]
    return scene.layer([drawn, *words], drawn.w, drawn.h + NOTE * len(notes))
