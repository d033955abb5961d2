"""The real ComfyUI in this process: the pack as the host loads it, and the host's validation, executor and Cancel."""
import asyncio
import os
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace

PACK = Path(__file__).resolve().parents[1]


def find_host():
    """Makes the host importable, on the CPU, or on the GPU where BOTTEGA_DEVICE=gpu.

    Raises ValueError when COMFYUI_PATH does not name a host."""
    root = os.environ.get("COMFYUI_PATH")
    if not root or not (Path(root) / "nodes.py").is_file():
        raise ValueError(f"COMFYUI_PATH: expected the folder of a ComfyUI checkout, got {root!r}; "
                         "`python dev.py test` sets it for you")
    sys.path.insert(0, root)             # before the pack: both have a top-level name `nodes`
    from comfy.cli_args import args
    args.cpu = os.environ.get("BOTTEGA_DEVICE") != "gpu"     # read once, when comfy.model_management is imported


def load_pack():
    """Loads the pack the way the host does and returns its package, for tests of single modules."""
    import nodes
    name = str(PACK).replace(".", "_x_")
    if name not in sys.modules:
        asyncio.run(nodes.init_public_apis())
        assert asyncio.run(nodes.load_custom_node(str(PACK))), "the host could not load the pack"
    return sys.modules[name]


class GraphError(Exception):
    """A prompt that the host refused or that failed while running."""


class Host:
    """PromptExecutor with the server reduced to what the executor touches."""

    def __init__(self, tmp: Path):
        import execution
        import folder_paths
        import main
        from app.node_replace_manager import NodeReplaceManager
        from server import PromptServer

        import nodes

        for kind in ("output", "temp", "input"):
            (tmp / kind).mkdir()
            getattr(folder_paths, f"set_{kind}_directory")(str(tmp / kind))
        folder_paths.add_model_folder_path("loras", str(tmp / "output" / "loras"))
        self.tmp, self.events = tmp, []
        self.server = SimpleNamespace(
            client_id="test", last_node_id=None, last_prompt_id=None, sockets_metadata={},
            node_replace_manager=NodeReplaceManager(),
            send_sync=lambda event, data, sid=None: self.events.append((event, data)),
            send_progress_text=lambda *a, **k: None,
        )
        PromptServer.instance = self.server
        main.hijack_progress(self.server)  # without it ProgressBar neither reports nor checks Cancel
        asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
        load_pack()
        self.nodes, self.execution = nodes, execution
        self.executor = execution.PromptExecutor(
            self.server, cache_type=execution.CacheType.CLASSIC, cache_args={"lru": 0, "ram": 0, "ram_inactive": 0})

    def validate(self, prompt: dict):
        """Returns (outputs to run, errors); `errors` is empty when the host accepts the API-format prompt."""
        self.server.node_replace_manager.apply_replacements(prompt)
        ok, error, outputs, node_errors = asyncio.run(self.execution.validate_prompt(uuid.uuid4().hex, prompt, None))
        return outputs, ({} if ok and not node_errors else {"error": error, "nodes": node_errors})

    def run(self, prompt: dict, **extra_data):
        """Validates and executes an API-format prompt, with what the page would send beside it.

        Returns ({node id: its ui output}, ids that really ran).
        """
        outputs, errors = self.validate(prompt)
        if errors:
            raise GraphError(errors)
        self.events.clear()
        self.executor.execute(prompt, uuid.uuid4().hex, {"client_id": "test", **extra_data}, outputs)
        if not self.executor.success:
            status = dict(self.executor.status_messages)
            raise GraphError(status.get("execution_error") or status.get("execution_interrupted"))
        cached = next(data["nodes"] for event, data in self.events if event == "execution_cached")
        return self.executor.history_result["outputs"], [i for i in prompt if i not in cached]


HOST_ALONE = """
import importlib.util, sys, time
sys.path.insert(0, {host!r})
from comfy.cli_args import args
args.cpu = True
import comfy_api.v0_0_2, nodes
spec = importlib.util.spec_from_file_location("bottega", {pack!r})
pack = sys.modules["bottega"] = importlib.util.module_from_spec(spec)
"""
"""Source for a new process: the host on the CPU, and the pack just before `spec.loader.exec_module(pack)`."""


def host_alone(then: str) -> str:
    """HOST_ALONE for the host that was found, and what is to be done in it."""
    return HOST_ALONE.format(host=os.environ["COMFYUI_PATH"], pack=str(PACK / "__init__.py")) + then
