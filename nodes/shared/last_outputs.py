"""What nodes of this pack showed last, found in the host's history of prompts: for a page that was loaded anew and for
another browser."""
from collections.abc import Iterable, Mapping

ROUTE = "/bottega/shown"
LOOKED_THROUGH = 500    # prompts of the history, from the newest on
OURS = "Bottega"


def last_outputs(history: Iterable[tuple[str, dict]], workflow_id: str, others: Iterable[str] = ()) -> dict[str, dict]:
    """{node id: {"class", "prompt_id", "output"}} for each node of the pack that has shown something in a workflow.

    history: (prompt id, entry) of the host's history, the newest first. others: ids of prompts that belong to another
    copy of the workflow, with the same id. A node that a loop made is known by the node of the page it stands for."""
    found, others = {}, set(others)
    for prompt_id, entry in history:
        if prompt_id in others or workflow_id != workflow_of(entry["prompt"]):
            continue
        prompt, meta = entry["prompt"][2], entry.get("meta", {})
        for node_id, output in entry.get("outputs", {}).items():
            place = meta.get(node_id, {}).get("display_node", node_id)
            kind = prompt.get(place, {}).get("class_type", "")
            if kind.startswith(OURS):
                found.setdefault(place, {"class": kind, "prompt_id": prompt_id, "output": output})
    return found


def workflow_of(item: tuple) -> str:
    """The id of the workflow that an item of the host's queue was made from; "" where it names none.

    What comes over the API may have anything in that place."""
    return id_in(item[3].get("extra_pnginfo") if isinstance(item[3], dict) else None)


def id_in(extra_pnginfo: object) -> str:
    """The id of the workflow in what the host writes into pictures; "" where there is none."""
    workflow = extra_pnginfo.get("workflow") if isinstance(extra_pnginfo, dict) else None
    return str(workflow.get("id", "")) if isinstance(workflow, dict) else ""


def told(running: list[tuple], history: Mapping[str, dict], workflow_id: str, others: Iterable[str] = ()) -> dict:
    """What a page is told of a workflow: {"outputs": see last_outputs, "prompts": {id: nodes by id}, "running": [id]}.

    running: items of the host's queue, of which those of the workflow are named: what their nodes have shown is in no
    history yet. prompts: these and those that the outputs are of, so that the page can tell whether its nodes have the
    same inputs."""
    found = last_outputs(reversed(list(history.items())), workflow_id, others)
    ours = [item for item in running if workflow_of(item) == workflow_id]
    items = [*ours, *(history[prompt_id]["prompt"] for prompt_id in {each["prompt_id"] for each in found.values()})]
    return {"outputs": found,
            "prompts": {item[1]: {node_id: {key: node.get(key) for key in ("class_type", "inputs")}
                                  for node_id, node in item[2].items()} for item in items},
            "running": [item[1] for item in ours]}


def add_route() -> None:
    """GET of ROUTE with ?workflow_id=, and other= for each prompt that is another copy's, answers what `told`
    says; without workflow_id status 400. Does nothing without a server."""
    import server
    instance = getattr(server.PromptServer, "instance", None)
    if not hasattr(instance, "routes"):
        return

    @instance.routes.get(ROUTE)
    async def shown(request):
        workflow_id = request.query.get("workflow_id")
        if not workflow_id:
            error = "workflow_id: expected the id of a workflow, got nothing"
            return server.web.json_response({"error": error}, status=400)
        queue = instance.prompt_queue
        running, _ = queue.get_current_queue_volatile()  # first: a prompt that ends meanwhile is in both, not in none
        history = queue.get_history(max_items=LOOKED_THROUGH)
        return server.web.json_response(told(running, history, workflow_id, request.query.getall("other", [])))
