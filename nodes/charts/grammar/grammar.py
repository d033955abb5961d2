"""The grammar: marks with channels, and operators that arrange them, written as `chart(rows).flow(...).mark(...)`.

After GoFish Graphics (Pollock et al., MIT): an operator arranges and draws nothing, a mark has an appearance and no
place. `to_ir` gives the same tree as GoFish's own front end for the same expression. A channel is a number, a colour,
or the name of a column.
"""
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...shared.text_syntax import shorten

Rows = Sequence[Mapping[str, Any]]
CHANNELS = {
    "rect": {"w", "h", "rx", "fill", "stroke"},
    "circle": {"r", "fill", "stroke"},
    "text": {"text", "font_size", "fill"},
    "blank": {"w", "h"},
    "line": {"stroke", "stroke_width"},
    "enclose": {"padding", "fill", "stroke"},
}
"""What is drawn of each mark."""
LOOK = {"fill", "stroke", "stroke_width", "opacity"}
GOFISH = {"rect": LOOK | {"x", "y"}, "circle": LOOK, "text": LOOK, "line": LOOK, "enclose": LOOK}
"""Channels that saved charts may have too: those that are not drawn are told below the chart."""
ARRANGES = {
    "spread": {"by", "dir", "spacing"},
    "stack": {"by", "dir"},
    "group": {"by"},
    "scatter": {"by", "x", "y"},
}
COMBINES = {"spread": {"dir", "spacing", "alignment"}, "stack": {"dir", "alignment"}}
"""The options of the same two where they arrange marks, and no groups of rows. Each way takes those of the other."""
LARGEST = 8192  # pixels
PIXELS = {"rx": 0, "stroke_width": 0, "padding": -LARGEST, "spacing": -LARGEST, "w": 0, "h": 0, "r": 0, "font_size": 1}
"""The options that are pixels, and the least that each may be."""
COLUMNS = {"w", "h", "r"}   # of them those that may name a column instead
CHOICES = {"dir": ("x", "y"), "alignment": ("start", "middle", "end")}
FRAME = {"w", "h", "axes", "legend", "coord"}


class Mark(NamedTuple):
    """A mark, or with `children` an operator that arranges marks. Another chart can select what has its `tag`."""
    kind: str
    options: dict[str, Any]
    children: tuple["Mark | Chart", ...] | None = None
    tag: str = ""

    def name(self, tag: str) -> "Mark":
        return self._replace(tag=tag)


class Operator(NamedTuple):
    kind: str
    options: dict[str, Any]


class Select(NamedTuple):
    """In the place of rows: everything that the mark of this name drew."""
    tag: str


class Chart(NamedTuple):
    rows: Rows | Select
    options: Mapping[str, Any]
    operators: tuple[Operator, ...] = ()
    leaf: Mark | None = None

    def flow(self, *operators: Operator) -> "Chart":
        return self._replace(operators=self.operators + operators)

    def mark(self, mark: Mark) -> "Chart":
        return self._replace(leaf=mark)


def chart(rows: Rows | Select, **options) -> Chart:
    return Chart(rows, _known("chart", options, FRAME))


def select_all(tag: str) -> Select:
    return Select(tag)


def rect(**channels) -> Mark:
    return _mark("rect", channels)


def circle(**channels) -> Mark:
    return _mark("circle", channels)


def text(**channels) -> Mark:
    return _mark("text", channels)


def blank(**channels) -> Mark:
    """Takes a place and draws nothing: something for `line` to connect."""
    return _mark("blank", channels)


def line(children: Sequence | None = None, **channels) -> Mark:
    """Connects what it is given, in order: named marks by `ref`, or everything a `select_all` found."""
    return _mark("line", channels, children)


def ref(tag: str) -> Mark:
    return Mark("ref", {"selection": tag})


def enclose(children: Sequence | None = None, **channels) -> Mark:
    """A common region around its children, or around everything a `select_all` found."""
    return _mark("enclose", channels, children)


def layer(children: Sequence, **options) -> Mark:
    """Children on top of one another."""
    return Mark("layer", _known("layer", options, FRAME), tuple(children))


def spread(children: Sequence | None = None, **options) -> Mark | Operator:
    """One after another along `dir`, `spacing` apart: of marks, or as an operator of the groups of column `by`."""
    return _arrange("spread", children, options)


def stack(children: Sequence | None = None, **options) -> Mark | Operator:
    """`spread` without a gap, so that lengths add up."""
    return _arrange("stack", children, options)


def group(**options) -> Operator:
    """The groups of column `by` on top of one another."""
    return _arrange("group", None, options)


def scatter(**options) -> Operator:
    """Each row, or each group of column `by`, where columns `x` and `y` say."""
    return _arrange("scatter", None, options)


def to_ir(root: Mark | Chart) -> dict:
    """The tree in GoFish's own interchange form (irVersion 0)."""
    tables: dict[str, list] = {}
    document = {"irVersion": 0, "ir": "gofish-frontend", "root": _tree(root, tables)}
    return {**document, "tables": tables} if tables else document


def _mark(kind, channels, children=None):
    channels = _known(kind, channels, CHANNELS[kind], GOFISH.get(kind, set()))
    return Mark(kind, channels, None if children is None else tuple(children))


def _arrange(kind, children, options):
    groups, marks = ARRANGES[kind], COMBINES.get(kind, set())
    options = _known(kind, options, *((groups, marks) if children is None else (marks, groups)))
    return Operator(kind, options) if children is None else Mark(kind, options, tuple(children))


def _known(kind, options, names, silent=frozenset()):
    """Raises ValueError for an option that is not one of `names`, and for a value that it cannot have.

    silent: options that are taken as well, and that no sentence recommends."""
    if unknown := sorted(options.keys() - names - silent):
        raise ValueError(f"{kind}: expected one of {', '.join(sorted(names))}, got {shorten(unknown[0], 48)}")
    for name in options.keys() & CHOICES.keys():
        if options[name] not in CHOICES[name]:
            raise ValueError(f"{kind}: {name} expected {' or '.join(CHOICES[name])}, got "
                             f"{shorten(str(options[name]), 48)}")
    for name in options.keys() & PIXELS.keys():
        if not (name in COLUMNS and isinstance(options[name], str)):
            check_pixels(f"{kind}: {name}", options[name], PIXELS[name])
    return options


def check_pixels(called: str, value, least: float) -> None:
    """Raises ValueError where a value is no number of pixels."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= LARGEST:
        raise ValueError(f"{called} expected a number of pixels from {least} to {LARGEST}, got "
                         f"{shorten(str(value), 48)}")


def _tree(node, tables) -> dict:
    if isinstance(node, Chart):
        return {"type": "chart", "data": _data(node.rows, tables), "operators": [_wire(o) for o in node.operators],
                "mark": _tree(node.leaf, tables), "options": _wire_options(node.options)}
    if node.children is None:
        tree = _wire(node)
    else:
        tree = {"type": node.kind, "__combinator": True, "options": _wire_options(node.options),
                "children": [_tree(child, tables) for child in node.children]}
    return {**tree, "name": node.tag} if node.tag else tree


def _data(rows, tables):
    if isinstance(rows, Select):
        return {"type": "select", "layer": rows.tag, "mode": "all"}
    tables[f"t{len(tables)}"] = [dict(row) for row in rows]
    return {"type": "table", "id": f"t{len(tables) - 1}"}


def _wire(node):
    return {"type": node.kind, **_wire_options(node.options)}


def _wire_options(options):
    return {_camel(key): {"type": value} if key == "coord" else value for key, value in options.items()}


def _camel(name):
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
