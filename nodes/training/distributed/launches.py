"""What a workflow that torchrun started, or started again, has to train, and where it goes on."""
import os
from pathlib import Path

from ...lora.saving.output_file import file_stem
from ..disk.checkpoint import LAUNCH, is_own_folder, remove_empty_run_folder, state_folder, states_of
from ..plan.experts import ENDINGS
from .subgraph import INPUTS, before, stripped


def trainings_of(workflow: dict[str, dict]) -> list[str]:
    """The nodes that train, by id, in an order that is the same on every rank."""
    found = sorted(number for number, node in workflow.items() if node["class_type"] in INPUTS)
    if not found:
        raise ValueError("The workflow has no Train LoRA and no Train with the Critic: there is nothing to share.")
    return found


def rank_workflow(workflow: dict[str, dict]) -> dict[str, dict]:
    """What ranks other than 0 execute: the trainings without what rank 0 alone needs, and what stands before them."""
    trainings = {number: stripped(workflow[number]) for number in trainings_of(workflow)}
    return before((workflow | trainings).__getitem__, trainings)


def note_launch(run: str, node_id: str, job: str) -> None:
    """Leaves the job's name beside the states of a run. The count of restarts is no help: it differs by machine."""
    (state_folder(run) / LAUNCH).write_text(f"{job}\n{node_id}\n", encoding="utf-8")


def job_of_launch() -> str:
    """The name of the job that torchrun started this process for. Without one torchrun calls every job "none": that
    name is then this launch's alone, of which a restart has the same parent. In containers the parent of every launch
    has one number, so when it began belongs to it."""
    job = os.environ.get("TORCHELASTIC_RUN_ID", "")
    return f"none, launched by {os.getppid()} of {_began(os.getppid())}" if job == "none" else job


def _began(process: int) -> str:
    """When a process began, in ticks of this boot, which no setting of the clock moves; nothing but on Linux, where
    containers are."""
    try:
        ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {ticks}"
    except (OSError, IndexError):
        return ""


def go_on(workflow: dict[str, dict], trainings: list[str]) -> None:
    """Sets `resume` of each training that this job has begun before and left a state of; the folders of those that
    ended before their first state are taken away."""
    job = job_of_launch()
    for number in trainings:
        inputs = workflow[number]["inputs"]
        own = [folder for folder in state_folder("").glob("*") if _is_of(folder, job, number)
               and _may_be_called(folder, inputs["name"])]
        begun = [folder for folder in own if states_of(folder)]
        for folder in own:
            remove_empty_run_folder(folder.name)
        if begun:
            inputs["resume"] = max(begun, key=_newest).name


def _may_be_called(folder: Path, name) -> bool:
    """Whether a run of this name takes such a folder, also where it trains an expert of Wan 2.2, which the model alone
    tells; what a link will give is not known yet."""
    return not isinstance(name, str) or any(is_own_folder(folder, file_stem(name) + ending)
                                            for ending in ("", *ENDINGS.values()))


def _is_of(folder: Path, job, number) -> bool:
    launch = folder / LAUNCH
    return bool(job) and launch.is_file() and launch.read_text(encoding="utf-8") == f"{job}\n{number}\n"


def _newest(folder):
    return states_of(folder)[-1].stat().st_mtime
