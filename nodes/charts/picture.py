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
    rows = table.read(data, parsed.frame.get("rows"), parsed.frame.get("picture"))
    drawn = _scene(parsed, rows, presentation(parsed, w=w, h=h), THEMES[theme])
    if max(drawn.w, drawn.h) > LARGEST:
        raise ValueError(f"data: {len(rows)} rows would make a chart of {drawn.w:.0f} x {drawn.h:.0f} pixels; "
                         f"draw fewer, or choose a form that does not grow, such as blocks or timeline")
    return render(drawn, THEMES[theme].paper)


def _scene(parsed: Spec, rows, frame, theme):
    if not rows:
        raise ValueError("data: expected at least one row to draw, got none")
    if not parsed.form:
        return draw(expression(parsed, rows), frame, theme)
    form, notes = FORMS[parsed.form.kind], []
    if "by" not in form.columns and "rows" in parsed.frame:  # what adds up or lies side by side is of one picture
        rows, notes = table.of_one_picture(rows)
    size, columns = 0.9 * frame.size, columns_of(parsed.form.kind, parsed.form.options, rows)
    kept = known(parsed.form.kind, columns, rows)
    if len(kept) < len(rows):
        notes = [*notes, f"{len(rows) - len(kept)} of {len(rows)} rows have no value there and are not drawn"]
    drawn = form.draw(kept, frame._replace(h=frame.h - NOTE * len(notes)), theme, **columns)
    words = [scene.place(frame.rim, drawn.h + NOTE * number, scene.fitted(note, size, theme.muted, frame.w - frame.rim))
             for number, note in enumerate(notes)]
    return scene.layer([drawn, *words], drawn.w, drawn.h + NOTE * len(notes))
