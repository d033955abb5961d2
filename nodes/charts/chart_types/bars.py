"""Bars by name and blocks by family: expressions of the grammar with their usual look."""
from ..drawing.scene import Node
from ..drawing.theme import Theme
from ..grammar.frame import Frame, draw
from ..grammar.grammar import chart, rect, spread
from ..grammar.rows import numbered

FAMILY_GAP, BLOCK_GAP = 22, 2


def bars(rows, frame: Frame, theme: Theme, label: str, value: str) -> Node:
    """One level bar a row, read from the top; as high as the rows need. Rows of one name are numbered."""
    rows = numbered(rows, label)
    height = max(frame.h, (8 + 1.9 * len(rows)) * frame.size)
    return draw(chart(rows).flow(spread(by=label, dir="y")).mark(rect(w=value, rx=3)), frame._replace(h=height), theme)


def blocks(rows, frame: Frame, theme: Theme, block: str, energy: str) -> Node:
    """One upright bar a block, families apart from each other and in their own colours."""
    rows = [{**row, "family": family(str(row[block]))} for row in rows]
    rows = numbered(rows, block)
    flow = spread(by="family", dir="x", spacing=FAMILY_GAP), spread(by=block, dir="x", spacing=BLOCK_GAP)
    return draw(chart(rows).flow(*flow).mark(rect(h=energy, fill="family")), frame, theme)


def family(block: str) -> str:
    """`IN04` -> IN, `TE.clip_l.05` -> TE.clip_l, `MID` -> MID."""
    return block.rstrip("0123456789").rstrip(".") or block
