"""Bars by name and blocks by family: expressions of the grammar with their usual look."""
from ..drawing.scene import Node
from ..drawing.theme import Theme
from ..grammar.frame import Frame, draw
from ..grammar.grammar import chart, rect, spread
from ..grammar.rows import apart, numbered

FAMILY_GAP, BLOCK_GAP = 22, 2
GAPS = 0.4  # of the width, at most, between many blocks


def bars(rows, frame: Frame, theme: Theme, label: str, value: str) -> Node:
    """One level bar a row, read from the top; as high as the rows need. Rows of one name are numbered."""
    name = apart(label, value)
    rows = numbered(rows, label, name)
    height = max(frame.h, (8 + 1.9 * len(rows)) * frame.size)
    return draw(chart(rows).flow(spread(by=name, dir="y")).mark(rect(w=value, rx=3)), frame._replace(h=height), theme)


def blocks(rows, frame: Frame, theme: Theme, block: str, energy: str) -> Node:
    """One upright bar a block, families apart from each other and in their own colours, closer where there are many."""
    name, kind = apart(block, energy), f"family of {block}, {energy}"
    rows = numbered([{**row, kind: family(str(row[block]))} for row in rows], block, name)
    families = len({row[kind] for row in rows})
    gaps = FAMILY_GAP * (families - 1) + BLOCK_GAP * (len(rows) - families)
    closer = min(1.0, GAPS * frame.w / max(1, gaps))
    flow = (spread(by=kind, dir="x", spacing=FAMILY_GAP * closer),
            spread(by=name, dir="x", spacing=BLOCK_GAP * closer))
    return draw(chart(rows).flow(*flow).mark(rect(h=energy, fill=kind)), frame, theme)


def family(block: str) -> str:
    """`IN04` -> IN, `TE.clip_l.05` -> TE.clip_l, `MID` -> MID."""
    return block.rstrip("0123456789").rstrip(".") or block
