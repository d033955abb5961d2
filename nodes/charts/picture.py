"""From the words of the Chart node to the picture it gives."""
from torch import Tensor

from . import rows as table
from . import scene
from .draw import render
from .forms import FORMS, columns_of, known
from .frame import draw
from .spec import Spec, expression, parse, presentation
from .theme import DARK, LIGHT

THEMES = {"light": LIGHT, "dark": DARK}
LARGEST = 8192
NOTE = 32


def picture(data: str, spec: str, w: int, h: int, theme: str) -> Tensor:
    """IMAGE [1, H, W, 3], 0..1. An empty spec draws bars. Raises ValueError with one sentence naming the input."""
    parsed = parse(spec.strip() or "bars()")
    theme = parsed.frame.get("theme", theme)
    if theme not in THEMES:
        raise ValueError(f"spec: theme expected light or dark, got {theme!r}")
    rows = table.read(data, parsed.frame.get("rows"))
    drawn = _scene(parsed, rows, presentation(parsed, w=w, h=h), THEMES[theme])
    if max(drawn.w, drawn.h) > LARGEST:
        raise ValueError(f"data: {len(rows)} rows would make a chart of {drawn.w:.0f} x {drawn.h:.0f} pixels; "
                         f"draw fewer, or choose a form that does not grow, such as blocks or timeline")
    return render(drawn, THEMES[theme].paper)


def _scene(parsed: Spec, rows, frame, theme):
    form = parsed.form
    if form:
        columns = columns_of(form.kind, form.options, rows)
        return _with_note(form.kind, columns, rows, frame, theme)
    if not rows:
        raise ValueError("data: expected at least one row to draw, got none")
    return draw(expression(parsed, rows), frame, theme)


def _with_note(kind, columns, rows, frame, theme):
    """The form of the rows that have numbers, and below it how many have none."""
    kept = known(kind, columns, rows)
    if len(kept) == len(rows):
        return FORMS[kind].draw(rows, frame, theme, **columns)
    drawn = FORMS[kind].draw(kept, frame._replace(h=frame.h - NOTE), theme, **columns)
    words = scene.text(f"{len(rows) - len(kept)} of {len(rows)} rows have no number and are not drawn", 17, theme.muted)
    return scene.layer([drawn, scene.place(28, drawn.h, words)], drawn.w, drawn.h + NOTE)
