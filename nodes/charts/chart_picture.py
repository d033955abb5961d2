"""From the words of the Chart node to the picture it gives."""
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

THEMES = {"light": LIGHT, "dark": DARK}
NOTE = 32


def picture(data: str, spec: str, w: int, h: int, theme: str) -> Tensor:
    """IMAGE [1, H, W, 3], 0..1. An empty spec draws bars. Raises ValueError with one sentence naming the input."""
    parsed = parse(spec.strip() or "bars()")
    theme = parsed.frame.get("theme", theme)
    if theme not in THEMES:
        raise ValueError(f"spec: theme expected light or dark, got {theme!r}")
    rows = table.read(data, parsed.frame.get("rows"), parsed.frame.get("picture"))
    drawn = _scene(parsed, rows, presentation(parsed, w=w, h=h), THEMES[theme])
    if max(drawn.w, drawn.h) > LARGEST:
        raise ValueError(f"data: {len(rows)} rows would make a chart of {drawn.w:.0f} x {drawn.h:.0f} pixels; "
                         f"draw fewer, or choose a form that does not grow, such as blocks or timeline")
    return render(drawn, THEMES[theme].paper)


def _scene(parsed: Spec, rows, frame, theme):
    if not rows:
        raise ValueError("data: expected at least one row to draw, got none")
    notes = _codes(rows)
    if not parsed.chart_type:
        return _noted(draw(expression(parsed, rows), frame._replace(h=frame.h - NOTE * len(notes)), theme), notes,
                      frame, theme)
    form = CHART_TYPES[parsed.chart_type.kind]
    if "by" not in form.columns and "rows" in parsed.frame:  # what adds up or lies side by side is of one picture
        rows, more = table.of_one_picture(rows)
        notes = [*notes, *more]
    columns = columns_of(parsed.chart_type.kind, parsed.chart_type.options, rows)
    kept = known(parsed.chart_type.kind, columns, rows)
    if len(kept) < len(rows):
        notes = [*notes, f"{len(rows) - len(kept)} of {len(rows)} rows have no value there and are not drawn"]
    drawn = form.draw(rows if form.ordered else kept, frame._replace(h=frame.h - NOTE * len(notes)), theme, **columns)
    return _noted(drawn, notes, frame, theme)


def _codes(rows) -> list[str]:
    """A sentence where letters of the data have to be written as codes."""
    letters = "".join(dict.fromkeys("".join(undrawn(word) for row in rows for pair in row.items() for word in pair
                                            if isinstance(word, str))))
    if not letters:
        return []
    return [f"No typeface of this system has {len(letters)} of the letters; they are written as codes (U+...)"]


def _noted(drawn, notes: list[str], frame, theme):
    """The drawing with sentences below it."""
    size = 0.9 * frame.size
    words = [scene.place(frame.rim, drawn.h + NOTE * number, scene.fitted(note, size, theme.muted, frame.w - frame.rim))
             for number, note in enumerate(notes)]
    return scene.layer([drawn, *words], drawn.w, drawn.h + NOTE * len(notes))
