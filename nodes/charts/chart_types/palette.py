"""A palette: colours side by side, as wide as their shares, each with its share and code below where there is room."""
from ..drawing import scene
from ..drawing.scene import Node, place, text
from ..drawing.theme import Theme
from ..grammar.frame import Frame, title
from ..grammar.grammar import chart, rect, stack
from ..grammar.layout import Plot

CAPTION, LINE = 0.9, 1.2  # in sizes of the words


def palette(rows, frame: Frame, theme: Theme, colour: str, share: str) -> Node:
    """The strip within a line, which parts it from paper of its own colours. Raises ValueError for negative shares."""
    if (low := min(row[share] for row in rows)) < 0:
        raise ValueError(f"data: a palette draws parts of a whole, so {share!r} must not be negative, got {low:g}")
    rows = _each_once(rows, colour, share)
    left, room = frame.rim, frame.w - 2 * frame.rim
    height = frame.h - frame.top - frame.rim - 2 * LINE * frame.size
    if height < 20:
        raise ValueError(f"spec: a palette of {frame.w} x {frame.h} pixels leaves no room to draw; make it larger")
    strip = Plot([chart(rows).flow(stack(by=colour, dir="x")).mark(rect(w=share, fill=colour))], room, height, theme)
    around = place(left - 1, frame.top - 1, scene.rect(room + 2, height + 2, None, 0, theme.muted))
    return scene.layer([*title(frame, theme), place(left, frame.top, strip.scene()), around,
                        place(left, frame.top + height + 8, _captions(rows, colour, share, room, frame.size, theme))],
                       frame.w, frame.h)


def _each_once(rows, colour: str, share: str) -> list[dict]:
    """A row a colour: equal ones are one part of the strip."""
    shares: dict = {}
    for row in rows:
        shares[row[colour]] = shares.get(row[colour], 0.0) + row[share]
    return [{colour: name, share: whole} for name, whole in shares.items()]


def _captions(rows, colour: str, share: str, room: float, size: float, theme: Theme) -> Node:
    whole, words, at = sum(row[share] for row in rows) or 1.0, [], 0.0
    for row in rows:
        width = room * row[share] / whole
        lines = (text(line, CAPTION * size, theme.muted) for line in (f"{row[share] / whole:.0%}", str(row[colour])))
        words += [place(at + (width - word.w) / 2, LINE * size * number, word)
                  for number, word in enumerate(lines) if word.w < width]
        at += width
    return scene.layer(words, room, 2 * LINE * size)
