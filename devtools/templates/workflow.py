"""A workflow as the page saves it, built from nodes that name their inputs."""
import uuid
from dataclasses import dataclass, field

SOCKETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}     # types that the page shows as a widget
GROWING = "COMFY_AUTOGROW_V3"                               # as many inputs as are given: `latents.latent0` and so on
FIELDS = {"IMAGECOMPARE"}                                   # widgets of the page that hold no value of a person's
BORDER = -10                                                # what links from outside of a subgraph begin at
NAMESPACE = uuid.UUID("b07e6a00-0000-4000-8000-000000000000")


@dataclass(frozen=True)
class Output:
    """One output of a node: what a link begins at."""
    node: "Node"
    slot: int


@dataclass(eq=False)
class Node:
    """A node of a graph: `values` by the names of its inputs, an `Output` among them for a link.

    asked: the inputs that an app asks for and what it calls them, "" for the page's own name. is_shown: whether an app
    shows what the node gives. ways: by output, the points that its wires run through on their way to the right.
    subgraph: what a node that stands for others stands for; its type is then a name of ours."""
    type: str
    values: dict
    title: str = ""
    subgraph: "Subgraph | None" = None
    models: tuple = ()
    size: tuple[int, int] | None = None
    asked: dict[str, str] = field(default_factory=dict)
    is_shown: bool = False
    id: int = 0
    pos: tuple[float, float] = (0, 0)
    ways: dict = field(default_factory=dict)

    def __getitem__(self, output: int | str) -> Output:
        """An output by its number, one of a subgraph by its name."""
        return Output(self, list(self.subgraph.outputs).index(output) if isinstance(output, str) else output)

    def links(self) -> dict[str, Output]:
        return {name: value for name, value in self.values.items() if isinstance(value, Output)}


@dataclass(eq=False)
class Note(Node):
    """Markdown beside the nodes."""
    type: str = "MarkdownNote"
    values: dict = field(default_factory=dict)
    text: str = ""


@dataclass
class Subgraph:
    """Nodes that stand as one, with `outputs` by name.

    inputs: what the outer node is given, by name, and the inputs of inner nodes that each feeds, by a link or by what
    its widget holds."""
    name: str
    nodes: list[Node]
    outputs: dict[str, tuple[Output, str]]
    inputs: dict[str, list[tuple[Node, str]]]

    @property
    def id(self) -> str:
        return str(uuid.uuid5(NAMESPACE, repr((self.name, said(self.nodes), list(self.inputs), list(self.outputs)))))


def said(graph: list[Node]) -> list:
    """What tells a graph from every other: by its id the page knows what its nodes have shown."""
    return [(node.type, node.title, node.models, getattr(node, "text", ""), node.subgraph and node.subgraph.id,
             sorted((name, "" if isinstance(value, Output) else str(value)) for name, value in node.values.items()))
            for node in graph]


class Schema:
    """What the host says of its nodes (`/object_info`): which inputs a node has, in order, and which are widgets."""

    def __init__(self, object_info: dict):
        self.info = object_info

    def inputs(self, node: Node) -> list[tuple[str, str, dict, bool]]:
        """(name, type, options, whether it is a widget) of each input. Raises KeyError for an unknown node."""
        if node.subgraph:
            return [self._outer(name, *targets[0]) for name, targets in node.subgraph.inputs.items()]
        found = []
        for group in ("required", "optional"):
            for name, spec in self.info[node.type]["input"].get(group, {}).items():
                if spec[0] == GROWING:
                    ((kind, *_),) = spec[1]["template"]["input"]["required"].values()
                    found += [(given, kind, {}, False) for given in node.values if given.startswith(f"{name}.")]
                    continue
                kind, options = (spec[0] if isinstance(spec[0], str) else "COMBO"), (spec[1] if len(spec) > 1 else {})
                widget = (kind in SOCKETS or kind in FIELDS) and not options.get("forceInput")
                found.append((name, kind, options | ({"options": spec[0]} if kind == "COMBO" and not isinstance(
                    spec[0], str) else {}), widget))
        return found

    def _outer(self, name: str, node: Node, inner: str) -> tuple[str, str, dict, bool]:
        """An input of a subgraph's node, which begins with what the inner node holds."""
        _, kind, options, widget = next(entry for entry in self.inputs(node) if entry[0] == inner)
        kept = {key: value for key, value in options.items() if key == "multiline"}
        return name, kind, kept | ({"default": self.value(node, inner, options)} if widget else {}), widget

    def outputs(self, node: Node) -> list[tuple[str, str]]:
        if node.subgraph:
            return [(name, kind) for name, (_, kind) in node.subgraph.outputs.items()]
        info = self.info[node.type]
        return list(zip(info["output_name"], map(str, info["output"]), strict=True))

    def value(self, node: Node, name: str, options: dict):
        """What a widget holds: what the node says, else its default."""
        if name in node.values and not isinstance(node.values[name], Output):
            return node.values[name]
        choices = options.get("options") or [""]
        return options.get("default", choices[0] if "options" in options else "")


def saved(graph: list[Node], schema: Schema, groups=()) -> dict:
    """The workflow of `graph` in the page's own format."""
    everyone = [*graph, *(inner for node in graph if node.subgraph for inner in node.subgraph.nodes)]
    for number, node in enumerate(everyone, 1):     # or the page would give some of them other ids
        node.id = number
    links = []
    nodes = [_node(node, order, schema, links) for order, node in enumerate(graph)]
    _list_links(nodes, links)
    definitions = [_definition(node.subgraph, schema) for node in graph if node.subgraph]
    return {"id": str(uuid.uuid5(NAMESPACE, repr(said(graph)))), "revision": 0,
            "last_node_id": len(everyone), "last_link_id": len(links), "nodes": nodes, "links": links,
            "groups": list(groups), "definitions": {"subgraphs": definitions}, "config": {},
            "extra": _app(graph) | _ways(graph, links), "version": 0.4}


def _app(graph: list[Node]) -> dict:
    """What the page opens as an app: a form with some inputs and what some nodes give. Nothing where none is named."""
    asked = [[str(node.id), name] for node in graph for name in node.asked]
    shown = [str(node.id) for node in graph if node.is_shown]
    return {"linearMode": True, "linearData": {"inputs": asked, "outputs": shown}} if shown else {}


def _ways(graph: list[Node], links: list) -> dict:
    """The points of the wires as the page keeps them: the wires of one output share them as far as they go together."""
    reroutes, ends = [], []
    by_id = {node.id: node for node in graph}
    for node in graph:
        for slot, points in node.ways.items():
            passing = [link for link in links if link[1:3] == [node.id, slot]]
            before = {link[0]: None for link in passing}
            for number, (x, y) in enumerate(points):     # two for each column that is passed
                behind = points[number | 1][0]
                on = [link[0] for link in passing if by_id[link[3]].pos[0] > behind]
                parent = {} if before[on[0]] is None else {"parentId": before[on[0]]}
                reroutes.append({"id": len(reroutes) + 1, **parent, "pos": [x, y], "linkIds": on})
                before |= dict.fromkeys(on, len(reroutes))
            ends += [{"id": link, "parentId": last} for link, last in before.items() if last]
    return {"reroutes": reroutes, "linkExtensions": ends} if reroutes else {}


def _node(node: Node, order: int, schema: Schema, links: list) -> dict:
    common = {"id": node.id, "type": node.type, "pos": list(node.pos), "size": list(node.size), "flags": {},
              "order": order, "mode": 0}
    title = {"title": node.title} if node.title else {}
    if isinstance(node, Note):
        return common | {"inputs": [], "outputs": [], **title, "properties": {}, "widgets_values": [node.text],
                         "color": "#432", "bgcolor": "#653"}
    if node.subgraph:
        common |= {"type": node.subgraph.id, "title": node.title or node.subgraph.name}
    return common | title | _sockets(node, schema, links)


def _sockets(node: Node, schema: Schema, links: list) -> dict:
    inputs, values = [], []
    listed = schema.inputs(node)
    unknown = set(node.values) - {name for name, *_ in listed}
    if unknown:
        raise ValueError(f"{node.type} has no input {', '.join(sorted(unknown))}")
    for name, kind, _, widget in sorted(listed, key=lambda entry: entry[3]):
        given = node.values.get(name)
        link = _link(links, given, node.id, len(inputs), kind) if isinstance(given, Output) else None
        called = ({"label": node.asked[name]} if name in node.asked else {}) | (
            {"widget": {"name": name}} if widget else {})
        inputs.append({"name": name, "type": kind, **called, "link": link})
    for name, kind, options, widget in listed:
        if widget:
            values.append(schema.value(node, name, options) if kind not in FIELDS else None)
            values += ["fixed"] if options.get("control_after_generate") else []
            values += ["image"] if options.get("image_upload") else []
    outputs = [{"name": name, "type": kind, "links": None} for name, kind in schema.outputs(node)]
    return {"inputs": inputs, "outputs": outputs, "properties": _properties(node), "widgets_values": values}


def _properties(node: Node) -> dict:
    if node.subgraph:
        return {}
    models = [dict(zip(("name", "url", "directory"), model, strict=True)) for model in node.models]
    return {"Node name for S&R": node.type} | ({"models": models} if models else {})


def _link(links: list, source: Output, target: int, slot: int, kind: str) -> int:
    links.append([len(links) + 1, source.node.id, source.slot, target, slot, kind])
    return len(links)


def _list_links(nodes: list[dict], links: list) -> None:
    by_id = {node["id"]: node for node in nodes}
    for number, source, slot, *_ in links:
        output = by_id[source]["outputs"][slot]
        output["links"] = [*(output["links"] or []), number]


def _definition(graph: Subgraph, schema: Schema) -> dict:
    links = []
    nodes = [_node(node, order, schema, links) for order, node in enumerate(graph.nodes)]
    by_id = {node.id: entry for node, entry in zip(graph.nodes, nodes, strict=True)}
    _list_links(nodes, links)
    inputs = [_border_input(graph, slot, by_id, links) for slot in range(len(graph.inputs))]
    right = max(node.pos[0] + node.size[0] for node in graph.nodes) + 120
    outputs = []
    for slot, (name, (source, kind)) in enumerate(graph.outputs.items()):
        links.append([len(links) + 1, source.node.id, source.slot, -20, slot, kind])
        socket = by_id[source.node.id]["outputs"][source.slot]
        socket["links"] = [*(socket["links"] or []), len(links)]
        outputs.append({"id": str(uuid.uuid5(NAMESPACE, graph.id + name)), "name": name, "type": kind,
                        "linkIds": [len(links)], "pos": [right + 20, 40 + 20 * slot]})
    named = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return {"id": graph.id, "version": 1, "revision": 0, "config": {}, "name": graph.name,
            "state": {"lastGroupId": 0, "lastNodeId": max(by_id), "lastLinkId": len(links), "lastRerouteId": 0},
            "inputNode": {"id": BORDER, "bounding": [-240, 0, 120, 60 + 20 * len(inputs)]},
            "outputNode": {"id": -20, "bounding": [right, 0, 140, 60 + 20 * len(outputs)]},
            "inputs": inputs, "outputs": outputs, "widgets": [], "nodes": nodes, "groups": [],
            "links": [dict(zip(named, link, strict=True)) for link in links], "extra": {}}


def _border_input(graph: Subgraph, slot: int, by_id: dict[int, dict], links: list) -> dict:
    """An input of a subgraph as its definition lists it; adds the links that go on from it to inner nodes."""
    name, targets = list(graph.inputs.items())[slot]
    made = []
    for node, inner in targets:
        inputs = by_id[node.id]["inputs"]
        at = next(number for number, entry in enumerate(inputs) if entry["name"] == inner)
        links.append([len(links) + 1, BORDER, slot, node.id, at, inputs[at]["type"]])
        inputs[at]["link"] = len(links)
        made.append(links[-1])
    return {"id": str(uuid.uuid5(NAMESPACE, f"{graph.id} in {name}")), "name": name, "type": made[0][-1],
            "linkIds": [link[0] for link in made], "pos": [-140, 40 + 20 * slot]}
