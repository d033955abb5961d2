"""What another rank executes of a graph: the training itself, without what rank 0 alone does, and what stands before
its model."""
import os
from typing import Any, NamedTuple

TRAININGS = ("BottegaTrainLora", "BottegaCriticTrain", "TrainLoraNode")
HARMLESS = ("BottegaLearnedScore", "BottegaCritiqueReference")     # they show a text and leave nothing behind
OF_THE_REPORT = {"BottegaLearnedScore": ("images",)}               # links that only what they show needs
SENT, TAKEN = "BottegaSent", "BottegaTaken"     # nodes of a rank alone: what it was sent, and the end of its graph


class Inputs(NamedTuple):
    """Of a node that several devices share. replayed: links whose values cannot be sent, so that each rank makes its
    own; of_rank_0: what only rank 0 needs, and what the others have instead (None: nothing)."""
    replayed: tuple[str, ...]
    of_rank_0: dict[str, Any]


INPUTS = {
    "BottegaTrainLora": Inputs(("model", "clip"), {
        "sample_prompts": None, "vae": None, "critic": None, "critic_weighting": 0.0, "resume": "", "devices": "1"}),
    "BottegaCriticTrain": Inputs(("model", "vae"), {"held_out": None, "resume": "", "seeds": 0, "devices": "1"}),
}
DRAWING = {
    "BottegaBestOf": Inputs(("guider", "sampler", "vae"), {"devices": "1"}),
    **{kind: Inputs(("model", "vae"), {"devices": "1"})
       for kind in ("BottegaBlockEffect", "BottegaTuneBlocks", "BottegaLoraGrid")},
}


def links_of(node: dict, names=None) -> dict[str, str]:
    """The nodes that a node's inputs are linked to, by input."""
    return {name: value[0] for name, value in node["inputs"].items()
            if (names is None or name in names) and isinstance(value, list) and len(value) == 2
            and isinstance(value[0], str)}


def before(get_node, links) -> dict[str, dict]:
    """All nodes that these links need, by id; get_node(id) gives one."""
    todo, found = list(links), {}
    while todo:
        if (one := todo.pop()) not in found:
            found[one] = get_node(one)
            todo += links_of(found[one]).values()
    return found


def stripped(node: dict) -> dict:
    """A node without what rank 0 alone needs."""
    own = _inputs_of(node).of_rank_0
    kept = {name: value for name, value in node["inputs"].items() if name not in own}
    return {**node, "inputs": {**kept, **{name: value for name, value in own.items() if value is not None}}}


def _inputs_of(node):
    return (INPUTS | DRAWING)[node["class_type"]]


def rank_graph(get_node, node_id: str, also: tuple[str, ...] = ()) -> tuple[dict[str, dict], list[str]]:
    """(the prompt that a spawned rank executes, the inputs whose values it is sent). also: further inputs to replay.

    Raises ValueError where what stands before the model cannot be done twice."""
    node = stripped(get_node(node_id))
    replayed = links_of(node, (*_inputs_of(node).replayed, *also))
    graph = {}
    for name, link in replayed.items():
        graph |= _checked(before(lambda number: _without_report(get_node(number)), [link]), name)
    sent = sorted(links_of(node).keys() - replayed.keys())
    inputs = {**node["inputs"], **{name: [f"sent {name}", 0] for name in sent}}
    feeds = {f"sent {name}": {"class_type": SENT, "inputs": {"name": name}} for name in sent}
    return {**graph, **feeds, node_id: {**node, "inputs": inputs}}, sent


def _without_report(node: dict) -> dict:
    left_out = OF_THE_REPORT.get(node["class_type"], ())
    return {**node, "inputs": {name: value for name, value in node["inputs"].items() if name not in left_out}}


def listed(get_node, link: list, known: dict | None = None) -> bool:
    """Whether a link [node, output] may carry a list, for each value of which the host executes a node anew."""
    from nodes import NODE_CLASS_MAPPINGS
    known, (number, output) = {} if known is None else known, link
    if (number, output) not in known:
        known[number, output] = False
        node = get_node(number)
        cls = NODE_CLASS_MAPPINGS[node["class_type"]]
        makes = getattr(cls, "OUTPUT_IS_LIST", None) or ()
        takes = getattr(cls, "INPUT_IS_LIST", False)
        known[number, output] = any(makes[output:output + 1]) or not takes and any(
            listed(get_node, node["inputs"][name], known) for name in links_of(node))
    return known[number, output]


def _checked(graph, name):
    """The graph before an input, where each rank may do it for itself."""
    from nodes import NODE_CLASS_MAPPINGS
    for node in graph.values():
        kind, cls = node["class_type"], NODE_CLASS_MAPPINGS[node["class_type"]]
        begins = f"devices: each device makes its own {name}, and before {name} stands"
        if kind in TRAININGS:
            raise ValueError(f"{begins} a training ({kind}), which would run once on each. Save its LoRA and load the "
                             "file instead.")
        if getattr(cls, "API_NODE", False):
            raise ValueError(f"{begins} {kind}, which calls a paid service and would be paid for each. Save what it "
                             "gives and load the file instead.")
        if getattr(cls, "OUTPUT_NODE", False) and kind not in HARMLESS:
            raise ValueError(f"{begins} {kind}, which writes or shows something and would do so once for each. Connect "
                             f"{name} to what stands before it.")
    return graph


def packs_of(graph: dict[str, dict]) -> tuple[list[str], bool]:
    """(paths of the custom nodes in a graph, whether nodes of the host's comfy_extras are among them). Packs that are
    not in it stay unloaded in other ranks: their start-up code, ports and seconds too."""
    import nodes
    homes = {getattr(nodes.NODE_CLASS_MAPPINGS[node["class_type"]], "RELATIVE_PYTHON_MODULE", "nodes")
             for node in graph.values() if node["class_type"] != SENT}
    names = sorted(home.partition(".")[2] for home in homes if home.startswith("custom_nodes."))
    return ([_path_of(name, nodes.LOADED_MODULE_DIRS[name]) for name in names],
            any(home.startswith("comfy_extras") for home in homes))


def needed_by_trainings(workflow: dict[str, dict]) -> dict:
    """{packs: names of those that ranks other than 0 load, extras: as packs_of} of a workflow with trainings."""
    trainings = {number: stripped(node) for number, node in workflow.items() if node["class_type"] in INPUTS}
    graph = before((workflow | trainings).__getitem__, trainings)
    paths, extras = packs_of(graph)
    return {"packs": [os.path.basename(path).removesuffix(".py") for path in paths], "extras": extras}


def _path_of(name, folder):
    """A pack is a folder, or one file in a folder of packs."""
    return folder if os.path.basename(folder) == name else os.path.join(folder, f"{name}.py")
