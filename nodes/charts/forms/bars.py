"""Bars by name, blocks by family and a strip of colours: expressions of the grammar with their usual look."""
from .. import scene
from ..frame import Frame, draw
from ..grammar import chart, rect, spread, stack
from ..scene import Node, place, text
from ..theme import Theme

FAMILY_GAP, BLOCK_GAP = 22, 2


def bars(rows, frame: Frame, theme: Theme, label: str, value: str) -> Node:
    """One level bar a row, read from the top; as high as the rows need."""
    height = max(frame.h, 120 + 34 * len(rows))
    return draw(chart(rows).flow(spread(by=label, dir="y")).mark(rect(w=value, rx=3)), frame._replace(h=height), theme)


def blocks(rows, frame: Frame, theme: Theme, block: str, energy: str) -> Node:
    """One upright bar a block, families apart from each other and in their own colours."""
    rows = [{**row, "family": family(str(row[block]))} for row in rows]
    flow = spread(by="family", dir="x", spacing=FAMILY_GAP), spread(by=block, dir="x", spacing=BLOCK_GAP)
    return draw(chart(rows).flow(*flow).mark(rect(h=energy, fill="family")), frame, theme)


def family(block: str) -> str:
    """`IN04` -> IN, `TE.clip_l.05` -> TE.clip_l, `MID` -> MID."""
    return block.rstrip("0123456789").rstrip(".") or block


def palette(rows, frame: Frame, theme: Theme, colour: str, share: str) -> Node:
    """Colours side by side, as wide as their shares, each with its code and share below where there is room."""
    strip = frame._replace(axes=False, legend=False, h=min(frame.h, 220))
    whole = sum(row[share] for row in rows) or 1.0
    drawn = draw(chart(rows).flow(stack(by=colour, dir="x")).mark(rect(w=share, fill=colour)),
                 strip._replace(h=strip.h - 56), theme)
    words, at = [], 28.0
    for row in rows:
        width = (strip.w - 56) * row[share] / whole
        word = text(f"{row[share] / whole:.0%}", 20, theme.muted)
        if width > word.w:
            words.append(place(at + (width - word.w) / 2, drawn.h - 16, word))
        at += width
    return scene.layer([drawn, *words], strip.w, strip.h)
