"""From the words of the Chart node to the picture it gives."""
from torch import Tensor

from . import rows as table
from .draw import render
from .forms import FORMS, columns_of
from .frame import draw
from .spec import Spec, expression, parse, presentation
from .theme import DARK, LIGHT

THEMES = {"light": LIGHT, "dark": DARK}
LARGEST = 8192


def picture(data: str, spec: str, w: int, h: int, theme: str) -> Tensor:
    """IMAGE [1, H, W, 3], 0..1. An empty spec draws bars. Raises ValueError with one sentence naming the input."""
    parsed = parse(spec.strip() or "bars()")
    theme = parsed.frame.get("theme", theme)
    if theme not in THEMES:
        raise ValueError(f"spec: theme expected light or dark, got {theme!r}")
    rows = table.read(data, parsed.frame.get("rows"))
    scene = _scene(parsed, rows, presentation(parsed, w=w, h=h), THEMES[theme])
    if max(scene.w, scene.h) > LARGEST:
        raise ValueError(f"data: {len(rows)} rows would make a chart of {scene.w:.0f} x {scene.h:.0f} pixels; "
                         f"draw fewer, or choose a form that does not grow, such as blocks or timeline")
    return render(scene, THEMES[theme].paper)


def _scene(parsed: Spec, rows, frame, theme):
    form = parsed.form
    if form:
        return FORMS[form.kind].draw(rows, frame, theme, **columns_of(form.kind, form.options, rows))
    if not rows:
        raise ValueError("data: expected at least one row to draw, got none")
    return draw(expression(parsed, rows), frame, theme)
