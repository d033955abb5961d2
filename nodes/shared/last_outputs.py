"""What nodes of this pack showed last, found in the host's history of prompts: for a page that was loaded anew and for
another browser."""
from collections.abc import Iterable

ROUTE = "/bottega/shown"
LOOKED_THROUGH = 500    # prompts of the history, from the newest on
OURS = "Bottega"


def last_outputs(history: Iterable[tuple[str, dict]], workflow_id: str, others: Iterable[str] = ()) -> dict[str, dict]:
    """{node id: {"class", "prompt_id", "output"}} for each node of the pack that has shown something in a workflow.

    history: (prompt id, entry) of the host's history, the newest first. others: ids of prompts that belong to another
    copy of the workflow, with the same id. A node that a loop made is known by the node of the page it stands for."""
    found, others = {}, set(others)
    for prompt_id, entry in history:
        if prompt_id in others or workflow_id != _workflow_of(entry):
            continue
        prompt, meta = entry["prompt"][2], entry.get("meta", {})
        for node_id, output in entry.get("outputs", {}).items():
            place = meta.get(node_id, {}).get("display_node", node_id)
            kind = prompt.get(place, {}).get("class_type", "")
            if kind.startswith(OURS):
                found.setdefault(place, {"class": kind, "prompt_id": prompt_id, "output": output})
    return found


def _workflow_of(entry: dict) -> str:
    workflow = (entry["prompt"][3].get("extra_pnginfo") or {}).get("workflow")
    return str(workflow.get("id", "")) if isinstance(workflow, dict) else ""


def add_route() -> None:
    """GET of ROUTE with ?workflow_id=, and other= for each prompt that is another copy's, answers what `last_outputs`
    finds; without workflow_id status 400. Does nothing without a server."""
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
        history = instance.prompt_queue.get_history(max_items=LOOKED_THROUGH)
        newest = reversed(list(history.items()))
        return server.web.json_response(last_outputs(newest, workflow_id, request.query.getall("other", [])))
