"""Places the nodes of a graph in columns from left to right, with lanes for wires that pass a column.

After Sugiyama, Tagawa and Toda (1981): columns by the longest way from a source, lanes where a wire goes on to a later
column, the order within the columns that crosses fewest wires, then heights. A lane becomes points that the wire runs
through.
"""
import random
from dataclasses import dataclass, field
from itertools import permutations

from .workflow import Node, Note, Output, Schema

GAP_X, GAP_Y, TITLE, LANE = 150, 60, 30, 30
ASIDE, APART = 25, 9        # how far before and behind a column a wire is at the height of its lane; of the next lane
STEEP = 0.1                 # of more room between columns for each pixel that a wire runs down: it swings out
SLOT, FIRST = 20, 14        # pixels from one socket of a node to the next, and from the node's edge to the first
WIDTHS = {"PreviewImage": 420, "SaveImage": 420, "ImageCompare": 460, "LoadImage": 320, "CLIPTextEncode": 360}
PICTURES = {"PreviewImage": 440, "SaveImage": 470, "ImageCompare": 480, "LoadImage": 380}
TRIED, STARTS = 6, 12       # items of a column whose every order is tried; orders that the search begins with
ABOVE = 1e-4                # of a crossing, for each pixel of a node above a lane: lanes run above where they may
_orders: dict = {}          # of graphs of one form


def size_of(node: Node, schema: Schema, panels: dict[str, int]) -> tuple[int, int]:
    """Width and height that the node needs in either renderer; panels: what the pack's own add, by type of node."""
    if node.size:
        return node.size
    if isinstance(node, Note):
        return 400, 110 + 17 * sum(1 + len(line) // 50 for line in node.text.splitlines())
    inputs = schema.inputs(node)
    widgets = [(kind, options) for _, kind, options, widget in inputs if widget]
    texts = sum(bool(options.get("multiline")) for _, options in widgets)
    sockets = max(len(inputs) - len(widgets), len(schema.outputs(node)))
    height = 30 + 24 * sockets + 32 * (len(widgets) - texts) + 110 * texts
    return WIDTHS.get(node.type, 340), PICTURES.get(node.type, 0) or height + panels.get(node.type, 0)


@dataclass(eq=False)
class Lane:
    """Room for the wires of one output in a column that they pass."""
    output: Output
    y: float = 0


@dataclass(eq=False)
class Edge:
    """What joins an item of a column to one of the next: items, and the sockets of nodes by number."""
    source: Node | Lane
    slot: int
    target: Node | Lane
    at: int


@dataclass
class Layers:
    """Columns of nodes and lanes; edges[i] join column i to the next."""
    columns: list[list]
    edges: list[list[Edge]]
    lanes: dict = field(default_factory=dict)


def arrange(graph: list[Node], schema: Schema, panels: dict[str, int]) -> Layers:
    """Sets size and place of every node and the points of the wires. The note stands left of all."""
    for node in graph:
        node.size = size_of(node, schema, panels)
    notes = [node for node in graph if isinstance(node, Note)]
    layers = _layers([node for node in graph if not isinstance(node, Note)], schema)
    _order(layers)
    _place([notes, *layers.columns], layers)
    return layers


def crossings_of(layers: Layers) -> int:
    return sum(crossings(*each) for each in zip(layers.edges, layers.columns, layers.columns[1:], strict=False))


def _layers(nodes: list[Node], schema: Schema) -> Layers:
    columns = _columns(nodes)
    level = {id(node): number for number, column in enumerate(columns) for node in column}
    layers = Layers([list(column) for column in columns], [[] for _ in columns])
    for node in nodes:
        places = [name for name, _, _, widget in sorted(schema.inputs(node), key=lambda entry: entry[3])]
        for name, output in node.links().items():
            _join(layers, output, level[id(output.node)], node, places.index(name), level[id(node)])
    return layers


def _join(layers: Layers, output: Output, start: int, node: Node, at: int, end: int) -> None:
    """Adds a wire, as edges from column to column over lanes that all wires of the output share."""
    here, slot = output.node, output.slot
    for level in range(start + 1, end):
        key = (id(output.node), output.slot, level)
        if key not in layers.lanes:
            layers.lanes[key] = Lane(output)
            layers.columns[level].append(layers.lanes[key])
            layers.edges[level - 1].append(Edge(here, slot, layers.lanes[key], 0))
        here, slot = layers.lanes[key], 0
    layers.edges[end - 1].append(Edge(here, slot, node, at))


def _columns(nodes: list[Node]) -> list[list[Node]]:
    depth: dict[int, int] = {}

    def of(node):
        if id(node) not in depth:
            depth[id(node)] = 1 + max((of(link.node) for link in node.links().values()), default=-1)
        return depth[id(node)]

    for node in nodes:
        of(node)
    users = {id(node): [user for user in nodes if any(link.node is node for link in user.links().values())]
             for node in nodes}
    for node in sorted(nodes, key=lambda n: -depth[id(n)]):      # sources stand close to whoever uses them
        if users[id(node)] and (node.links() or len(users[id(node)]) == 1):
            depth[id(node)] = min(depth[id(user)] for user in users[id(node)]) - 1
    columns = [[node for node in nodes if depth[id(node)] == level] for level in range(max(depth.values()) + 1)]
    return [column for column in columns if column]


def crossings(edges: list[Edge], left: list, right: list) -> int:
    """How many pairs of wires between two columns cross; wires of one output are one where they begin."""
    row = {id(item): number for column in (left, right) for number, item in enumerate(column)}
    ends = [((row[id(e.source)], e.slot), (row[id(e.target)], e.at)) for e in edges]
    return sum((a0 < b0) != (a1 < b1) for number, (a0, a1) in enumerate(ends) for b0, b1 in ends[:number]
               if a0 != b0 and a1 != b1)


def _order(layers: Layers) -> None:
    """Sorts the columns, as they were sorted before for a graph of the same form."""
    items = [list(column) for column in layers.columns]
    number = {id(item): (level, row) for level, column in enumerate(items) for row, item in enumerate(column)}
    form = repr(([[getattr(item, "size", "lane") for item in column] for column in items], [
        [(number[id(e.source)], e.slot, number[id(e.target)], e.at) for e in edges] for edges in layers.edges]))
    if form not in _orders:
        best = min((_settled(layers, start) for start in range(STARTS)), key=lambda columns: _cost(layers, columns))
        _orders[form] = [[number[id(item)][1] for item in column] for column in best]
    layers.columns = [[column[row] for row in rows] for column, rows in zip(items, _orders[form], strict=True)]


def _settled(layers: Layers, start: int) -> list[list]:
    draw = random.Random(start)
    columns = [draw.sample(column, len(column)) for column in layers.columns] if start else _followed(layers)
    cost = _cost(layers, columns)
    while True:
        for level, column in enumerate(columns):
            columns[level] = min(_near(column), key=lambda order: _cost_at(layers, columns, level, order))
        if (now := _cost(layers, columns)) >= cost:
            return columns
        cost = now


def _followed(layers: Layers) -> list[list]:
    """Each column in the order of what leads to it: the wires of one node stay in their order."""
    columns, place = [], {}
    for column, edges in zip(layers.columns, [[], *layers.edges], strict=False):
        into = {id(item): [place[id(e.source)] + e.slot / 100 for e in edges if e.target is item] for item in column}
        columns.append(sorted(column, key=lambda item: sum(into[id(item)]) / max(1, len(into[id(item)]))))
        place |= {id(item): row for row, item in enumerate(columns[-1])}
    return columns


def _near(column: list) -> list[list]:
    """All orders of a short column; of a long one those that move one item."""
    if len(column) <= TRIED:
        return [list(order) for order in permutations(column)]
    moved = [column]
    for start in range(len(column)):
        rest = column[:start] + column[start + 1:]
        moved += [[*rest[:end], column[start], *rest[end:]] for end in range(len(column))]
    return moved


def _cost_at(layers: Layers, columns: list[list], level: int, order: list) -> float:
    found = _lanes_below(order)
    if level:
        found += crossings(layers.edges[level - 1], columns[level - 1], order)
    if level + 1 < len(columns):
        found += crossings(layers.edges[level], order, columns[level + 1])
    return found


def _cost(layers: Layers, columns: list[list]) -> float:
    return crossings_of(Layers(columns, layers.edges)) + sum(map(_lanes_below, columns))


def _lanes_below(order: list) -> float:
    above, found = 0, 0.0
    for item in order:
        if isinstance(item, Lane):
            found += above * ABOVE
        else:
            above += item.size[1]
    return found


def _place(columns: list[list], layers: Layers) -> None:
    """Left to right, each item at the height of what leads to it where there is room."""
    into = {}
    for edge in sum(layers.edges, []):
        into.setdefault(id(edge.target), []).append(edge)
    for column in columns:
        below = 0
        for item in column:
            wanted = [_height(e.source, e.slot) - (FIRST + SLOT * e.at if isinstance(item, Node) else 0)
                      for e in into.get(id(item), ())]
            top = max(below, min(wanted, default=0))
            if isinstance(item, Lane):
                item.y, below = top, top + LANE
            else:
                item.pos, below = (0, round(top)), top + item.size[1] + TITLE + GAP_Y
    x = 0
    for column, behind in zip(columns, [[], *layers.edges], strict=True):
        x += _place_column(column, x) + GAP_X + round(STEEP * max(map(_rise, behind), default=0))


def _place_column(column: list, x: float) -> float:
    """Sets what is left of each place and the points of the lanes; returns the width."""
    nodes = [item for item in column if isinstance(item, Node)]
    width = max((node.size[0] for node in nodes), default=0)
    for node in nodes:
        node.pos = (x, node.pos[1])
    for number, lane in enumerate(item for item in column if isinstance(item, Lane)):
        aside = ASIDE + APART * number      # the lowest turns last, so that wires that go down do not cross
        way = lane.output.node.ways.setdefault(lane.output.slot, [])
        way += [(x - aside, round(lane.y)), (x + width + aside, round(lane.y))]
    return width


def _rise(edge: Edge) -> float:
    """How far down or up a wire runs from one column to the next."""
    y = edge.target.y if isinstance(edge.target, Lane) else edge.target.pos[1] + FIRST + SLOT * edge.at
    return abs(y - _height(edge.source, edge.slot))


def _height(item: Node | Lane, slot: int) -> float:
    return item.y if isinstance(item, Lane) else item.pos[1] + FIRST + SLOT * slot
