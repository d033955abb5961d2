"""Stop and keep: ends a training early and lets the graph go on with what was reached."""
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ROUTE = "/bottega/training/stop"

# Only while a training runs: the flag the page's request sets, by the id of the node.
_running: dict[str, threading.Event] = {}


@contextmanager
def stoppable(node_id: str) -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether someone asked this node's training to stop and keep what it has."""
    flag = _running[str(node_id)] = threading.Event()
    try:
        yield flag.is_set
    finally:
        del _running[str(node_id)]


def request_stop(node_id: str) -> bool:
    """Asks the training of a node to stop after the step it is at; False when that node does not train."""
    flag = _running.get(str(node_id))
    if flag is None:
        return False
    flag.set()
    return True


def add_route() -> None:
    """POST {"node_id": ...} to ROUTE answers {"stopping": true or false}, anything else status 400.

    Does nothing without a server."""
    import server
    instance = getattr(server.PromptServer, "instance", None)
    if not hasattr(instance, "routes"):
        return

    @instance.routes.post(ROUTE)
    async def stop(request):
        try:
            node_id = (await request.json())["node_id"]
        except (ValueError, TypeError, KeyError):
            return server.web.json_response({"error": 'expected {"node_id": ...}, got something else'}, status=400)
        return server.web.json_response({"stopping": request_stop(node_id)})
