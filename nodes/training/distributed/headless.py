"""The host without a page, in this process: its nodes and its executor, and no port, no data base, no temp folder.

Read by its path in a process where the pack is not loaded yet, so nothing is imported relatively."""
import asyncio
import importlib.util
import os
import sys
import uuid


class GraphFailed(Exception):
    """A prompt that was refused or that failed; the sentence is the node's."""


def settings_of_host() -> dict:
    """The host's flags and folders in this process, for begin() in another."""
    import comfy
    import folder_paths
    from comfy.cli_args import args
    return {
        "host": os.path.dirname(os.path.abspath(next(iter(comfy.__path__)))), "flags": dict(vars(args)),
        "models": dict(folder_paths.folder_names_and_paths),
        "folders": {kind: getattr(folder_paths, f"get_{kind}_directory")()
                    for kind in ("output", "input", "temp", "user")},
    }


def begin(settings: dict) -> None:
    """Gives this process the flags and folders of another; before anything of the host is imported but its flags.
    main.py, which prepares what is the server's alone, is not imported."""
    from comfy.cli_args import args
    vars(args).update(settings["flags"], enable_manager=False)
    import folder_paths
    folder_paths.folder_names_and_paths.update(settings["models"])
    for kind, path in settings["folders"].items():
        getattr(folder_paths, f"set_{kind}_directory")(path)


def start(packs: list[str], extras: bool):
    """The host's executor, once the custom nodes at these paths are loaded; extras: the host's own further nodes too.

    Raises RuntimeError for a pack that cannot be loaded."""
    import server

    import nodes
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    quiet(server.PromptServer(loop))                # routes of custom nodes find it; it never listens
    loop.run_until_complete(nodes.init_public_apis())
    if extras:
        loop.run_until_complete(nodes.init_builtin_extra_nodes())
    for path in packs:
        _prestart(path)
    for path in packs:
        if not loop.run_until_complete(nodes.load_custom_node(path)):
            raise RuntimeError(f"The custom nodes in {os.path.basename(path)} could not be loaded.")
    return executor_of(server.PromptServer.instance)


def start_whole(custom_nodes: bool):
    """The host's executor with everything that it loads; without the nodes of paid services."""
    import server

    import nodes
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    quiet(server.PromptServer(loop))
    loop.run_until_complete(nodes.init_extra_nodes(init_custom_nodes=custom_nodes, init_api_nodes=False))
    return executor_of(server.PromptServer.instance)


def find_pack(name: str) -> str:
    """The path of a pack of that name among the folders of custom nodes."""
    import folder_paths
    found = [os.path.join(folder, each) for folder in folder_paths.get_folder_paths("custom_nodes")
             for each in (name, f"{name}.py") if os.path.exists(os.path.join(folder, each))]
    if not found:
        raise RuntimeError(f"The custom nodes {name} are needed before the training, and this machine does not have "
                           "them.")
    return found[0]


def name_of_pack(folder) -> str:
    """What the host calls the module of the pack that lies in a folder, links followed."""
    found = [name for name, module in list(sys.modules.items()) if "WEB_DIRECTORY" in getattr(module, "__dict__", {})
             and os.path.isfile(getattr(module, "__file__", None) or "")
             and os.path.samefile(os.path.dirname(module.__file__), folder)]
    if not found:
        raise RuntimeError("ComfyUI did not load this pack; is it in custom_nodes, and not switched off by a flag?")
    return found[0]


def quiet(instance) -> None:
    """What the server's thread of prompts would set up, for nobody."""
    instance.send_sync = lambda *_, **__: None
    instance.send_progress_text = lambda *_, **__: None
    instance.client_id = instance.last_prompt_id = instance.last_node_id = None


def executor_of(instance):
    import execution
    return execution.PromptExecutor(instance, cache_type=execution.CacheType.CLASSIC,
                                    cache_args={"lru": 0, "ram": 0, "ram_inactive": 0})


def _prestart(path):
    """A pack's prestartup_script.py, as main.py runs it."""
    script = os.path.join(path, "prestartup_script.py")
    if os.path.isfile(script):
        spec = importlib.util.spec_from_file_location(script.removesuffix(".py"), script)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def run(executor, prompt: dict, wanted: list[str] | None = None) -> dict:
    """Validates and executes a prompt in API format, or as much of it as the outputs `wanted` need; returns what its
    outputs show. Raises GraphFailed."""
    import execution
    number = uuid.uuid4().hex
    ok, error, outputs, troubles = asyncio.new_event_loop().run_until_complete(
        execution.validate_prompt(number, prompt, wanted))
    if not ok or troubles:
        raise GraphFailed(_refused(error, troubles))
    executor.execute(prompt, number, {}, outputs)
    if not executor.success:
        status = dict(executor.status_messages)
        failed = status.get("execution_error")
        raise GraphFailed(f"{failed['node_type']}: {failed['exception_message']}" if failed else "cancelled")
    return executor.history_result["outputs"]


def _refused(error, troubles) -> str:
    told = [f"{node['class_type']}: {one['message']}: {one['details']}"
            for node in (troubles or {}).values() for one in node["errors"]]
    return "; ".join(told) or f"{error['message']} {error['details']}"
