"""Stop and keep: ends a training early and lets the graph go on with what was reached. What the page asks for."""
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from comfy.model_management import InterruptProcessingException

from .monitoring import curves

STOP = "/bottega/training/stop"
CURVES = "/bottega/training/curves"
LONGEST_REQUEST = 10_000  # bytes

# Only while a training runs: the flag the page's request sets, by the prompt and the node in it.
_running: dict[tuple[str, str], threading.Event] = {}


@contextmanager
def stoppable(node_id: str) -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether someone asked this node's training to stop and keep what it has.

    On leaving, every page is told how the training ended."""
    place = curves.place_of(node_id)
    flag = _running[place.prompt, place.node] = threading.Event()
    how = "failed"
    try:
        yield flag.is_set
        how = "stopped" if flag.is_set() else "finished"
    except InterruptProcessingException:
        how = "cancelled"
        raise
    finally:
        del _running[place.prompt, place.node]
        _tell_the_end(place, how)


def _tell_the_end(place, how):
    from .monitoring.progress import tell
    if curve := curves.end(place.prompt, place.node, how):
        tell(curve)


def request_stop(prompt_id: str, node_id: str) -> bool:
    """Asks the training of a node in a prompt to stop after the step it is at; False when there is none."""
    flag = _running.get((str(prompt_id), str(node_id)))
    if flag is None:
        return False
    flag.set()
    return True


def asked(body: bytes) -> tuple[str, str]:
    """(prompt, node in it) that a request names, whatever charset its client says; ValueError for anything else."""
    try:
        found = json.loads(body) if len(body) <= LONGEST_REQUEST else {}
        names = [found["prompt_id"], found["node"]]
    except (ValueError, TypeError, LookupError, RecursionError):
        names = [None]
    if not all(isinstance(name, (str, int)) for name in names):
        raise ValueError('expected {"prompt_id": ..., "node": ...}, got something else')
    return str(names[0]), str(names[1])


def add_routes() -> None:
    """POST {"prompt_id": ..., "node": ...} to STOP answers {"stopping": true or false}, anything else status 400.

    GET of CURVES answers the curves that are kept, with ?workflow_id= those of one workflow. Does nothing without a
    server."""
    import server
    instance = getattr(server.PromptServer, "instance", None)
    if not hasattr(instance, "routes"):
        return

    @instance.routes.post(STOP)
    async def stop(request):
        try:
            prompt_id, node = asked(await request.read())
        except ValueError as error:
            return server.web.json_response({"error": str(error)}, status=400)
        return server.web.json_response({"stopping": request_stop(prompt_id, node)})

    @instance.routes.get(CURVES)
    async def kept(request):
        wanted = request.query.get("workflow_id")
        return server.web.json_response([one for one in curves.known() if wanted in (None, one["workflow_id"])])
