"""A workflow whose trainings run on several machines: the program that torchrun starts, one process a device.

    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    python -m torch.distributed.run --nnodes=2 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-endpoint=HOST:29500 \\
        --rdzv-id=JOB --max-restarts=3 PACK/nodes/training/distributed/run_workflow.py workflow_api.json -- HOST'S FLAGS

with ComfyUI's Python, from its folder. Every rank executes the workflow up to its trainings; rank 0 alone does what
comes after them and writes. A rank that dies ends the others; torchrun starts all anew, and a training of the same JOB
goes on from its newest state. docs/more_than_one_gpu.md has the lines to type. Run by its path: no pack is loaded yet.
"""
import importlib.util
import json
import logging
import os
import runpy
import sys
import traceback
from datetime import timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
NO_SHARED_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
# Environment: seconds that ranks wait for each other. The second is its name of before.
WAIT, USUAL_WAIT = ("BOTTEGA_RANK_WAIT", "BOTTEGA_RANK_TIMEOUT"), 3600.0


def main(arguments: list[str]) -> None:
    """arguments: the workflow in API format, and after -- the host's own flags."""
    workflow, flags = _read(arguments)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    _take_device(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]))
    if int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)) and os.environ.get(NO_SHARED_STORE) != "1":
        logging.warning("Set %s=1 where torchrun starts, or no restart will work (pytorch issue 135712).",
                        NO_SHARED_STORE)
    store = _rendezvous()
    headless, executor, pack = _start_host(flags, rank, store, workflow)
    joining, launches = (importlib.import_module(f"{pack}.nodes.training.distributed.{name}")
                         for name in ("joining", "launches"))
    with joining.joined(rank, size, store, launches.job_of_launch(), _wait()):
        _execute(workflow, rank, executor, headless, launches)


def _read(arguments) -> tuple[dict, list[str]]:
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    if cut != 1:
        raise SystemExit("expected: run_workflow.py workflow_api.json -- FLAGS OF COMFYUI")
    workflow = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    if not isinstance(workflow, dict) or not all(isinstance(node, dict) and "class_type" in node
                                                 for node in workflow.values()):
        raise SystemExit(f"{arguments[0]}: expected a workflow in API format (Workflow, Export (API) in the page), got "
                         "something else.")
    return workflow, arguments[cut + 1:]


def _take_device(local, ranks_here):
    """One card a rank, before torch looks at them; those that are named where some are, for ROCm in HIP's own list or
    in CUDA's, which HIP reads as well."""
    lists = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES") if _is_rocm() else ("CUDA_VISIBLE_DEVICES",)
    given = next((each for each in lists if os.environ.get(each, "").strip()), None)
    cards = [each.strip() for each in os.environ[given].split(",")] if given else list(map(str, range(ranks_here)))
    if local >= len(cards):
        raise SystemExit(f"--nproc-per-node: expected at most the {len(cards)} devices of {given}, got {ranks_here}.")
    os.environ.update(dict.fromkeys(lists, cards[local]))


def _is_rocm() -> bool:
    """Whether torch was built for ROCm, from the file that says so: torch itself is not to be imported yet."""
    version = Path(importlib.util.find_spec("torch").origin).with_name("version.py")
    return bool(runpy.run_path(str(version)).get("hip"))


def _rendezvous():
    from torch.distributed import rendezvous
    store, _, _ = next(rendezvous("env://"))
    store.set_timeout(timedelta(seconds=_wait()))
    return store


def _wait() -> float:
    return float(next(filter(None, map(os.environ.get, WAIT)), USUAL_WAIT))


def _start_host(flags, rank, store, workflow):
    """The host, on rank 0 with all that its flags ask for; others load the packs that the trainings need alone."""
    sys.path[:] = [_host(), *(path for path in sys.path if Path(path).resolve() != HERE)]
    sys.argv = ["main.py", *flags]
    import comfy.options
    comfy.options.enable_args_parsing()
    from comfy.cli_args import args
    args.enable_manager = False
    if rank:
        args.disable_all_custom_nodes, args.whitelist_custom_nodes = True, []
    import main as host  # folders, and start-up code of the packs that are to be loaded
    headless = runpy.run_path(str(HERE / "headless.py"))
    import folder_paths
    folder_paths.add_model_folder_path("loras", os.path.join(folder_paths.get_output_directory(), "loras"))
    if rank:
        needed = json.loads(store.get("packs"))
        executor = headless["start"]([headless["find_pack"](name) for name in needed["packs"]], needed["extras"])
    else:
        executor = headless["start_whole"](not args.disable_all_custom_nodes or bool(args.whitelist_custom_nodes))
    host.hijack_progress(sys.modules["server"].PromptServer.instance)
    pack = headless["name_of_pack"](HERE.parents[2])
    if not rank:
        subgraph = importlib.import_module(f"{pack}.nodes.training.distributed.subgraph")
        store.set("packs", json.dumps(subgraph.needed_by_trainings(workflow)))
    return headless, executor, pack


def _host() -> str:
    """The folder of ComfyUI: what COMFYUI_PATH names, the working directory, or where the pack lies in it."""
    for folder in (os.environ.get("COMFYUI_PATH"), os.getcwd(), HERE.parents[4]):
        if folder and (Path(folder) / "comfy" / "cli_args.py").is_file():
            return str(folder)
    raise SystemExit("COMFYUI_PATH: expected the folder of ComfyUI; run this from there or set it.")


def _execute(workflow, rank, executor, headless, launches):
    """Trainings one after another in the same order on every rank; then, on rank 0, all the rest."""
    trainings = launches.trainings_of(workflow)
    if not rank:
        launches.go_on(workflow, trainings)
    for number in trainings:
        logging.info("rank %d: training %s", rank, number)
        headless["run"](executor, workflow if not rank else launches.rank_workflow(workflow), [number])
    if not rank:
        headless["run"](executor, workflow)


if __name__ == "__main__":
    code = 1
    try:
        main(sys.argv[1:])
        code = 0
    except SystemExit as error:
        print(error, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)                      # the agents act on the code; no exit handlers of the host or of packs
