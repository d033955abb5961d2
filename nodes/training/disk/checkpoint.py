"""The whole state of a training in one safetensors file: tensors as they are, the rest as JSON in its header."""
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import folder_paths
import torch
from safetensors import SafetensorError, safe_open

from ...lora.file.lora_files import file_version, write_lora
from ...shared.atomic_write import clear_leftovers
from ...shared.text_syntax import shorten

VERSION, READ = 2, (1, 2)   # 1: the batches that were left of an epoch stood in the header
FORMAT = "bottega.state"
SAMPLES = "samples"         # the folder of sample pictures in that of a run
STATE = re.compile(r"step_([0-9]{8,})\.safetensors")      # as state_path names them
FIRST = re.compile(r"step_0{8}_[0-9]+\.\w+")             # sample pictures of before the first step
LAUNCH = "launch.txt"       # beside the states of a run that torchrun started: which job and which node wrote them


def state_folder(run: str) -> Path:
    """Where the states of a run lie: <output>/training/<run>."""
    return Path(folder_paths.get_output_directory()) / "training" / run


def run_folder(stem: str, state: Path | None = None) -> str:
    """The name of the folder of a run called `stem` that goes on from `state`, or begins where that is None.

    The newest state of a run of that name belongs to the run, which goes on in its folder. Any other is where a new
    run branches off: that gets a folder of its own, and what lies in the other one is left alone."""
    if state and is_own_folder(state.parent, stem) and states_of(state.parent)[-1:] == [state]:
        return state.parent.name
    return claim_run_folder(stem)


def is_own_folder(folder: Path, stem: str) -> bool:
    """Whether a folder is one of those that runs called `stem` claim: more digits are a date that ends another name."""
    sibling = rf"{re.escape(stem)}(_(?!00000)[0-9]{{5}})?"
    return folder == state_folder(folder.name) and bool(re.fullmatch(sibling, folder.name))


def claim_run_folder(stem: str) -> str:
    """`stem`, or stem_00001 and so on when there is a run of that name; makes its folder, so that no two runs have one.

    Raises OSError, as a sentence, where no folder can be made."""
    clear_leftovers(state_folder("").glob("*"))
    run, number = stem, 0
    try:
        state_folder("").mkdir(parents=True, exist_ok=True)     # raises where a file or a link to nothing is there
        while not _made(state_folder(run)):
            number += 1
            run = f"{stem}_{number:05}"
        return run
    except OSError as error:
        raise OSError(f"name: no folder for the states of {run} could be made in {shown(state_folder(''))} "
                      f"({_why(error)}).") from None


def _made(folder: Path) -> bool:
    """Makes a folder; False where something of its name is there already."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _why(error: OSError) -> str:
    if isinstance(error, FileExistsError):
        return "it is a file, or a link to a folder that is not there"
    return error.strerror or str(error)


def remove_empty_run_folder(run: str) -> None:
    """Takes the folder of a run away again where nothing came to lie in it but whose it is."""
    folder = state_folder(run)
    with suppress(OSError):
        if [each.name for each in folder.iterdir()] == [LAUNCH]:
            (folder / LAUNCH).unlink()
        folder.rmdir()


def remove_first_pictures(run: str) -> None:
    """Takes the sample pictures of before the first step away again, of a run that made none."""
    folder = state_folder(run) / SAMPLES
    with suppress(OSError):
        for path in folder.iterdir():
            if FIRST.fullmatch(path.name):
                path.unlink()
        folder.rmdir()


def state_path(run: str, step: int) -> Path:
    return state_folder(run) / f"step_{step:08}.safetensors"


def states_of(folder: Path) -> list[Path]:
    """The states in a folder, oldest first. What a person gave another name is kept aside and not one of them."""
    return sorted((path for path in folder.glob("step_*") if STATE.fullmatch(path.name)),
                  key=lambda path: int(STATE.fullmatch(path.name)[1]))


def find_state(text: str) -> Path:
    """The state a person named: a run (its newest state), run/step_00000120, a path, or a file of a run's folder.

    Raises ValueError when there is none."""
    text = text.strip().strip('"')
    for path in (Path(text), state_folder(text), state_folder(f"{text}.safetensors")) if is_path(text) else ():
        if os.path.isfile(path):  # Path.is_file raises OSError for a name too long for the system
            return path
        if os.path.isdir(path) and states_of(path):
            return states_of(path)[-1]
    known = sorted(p.name for p in state_folder("").glob("*") if p.is_dir() and states_of(p))
    raise ValueError(f"resume: expected the name of a run in output/training or the path of a state, got "
                     f"{shorten(text, 60)!r}; "
                     + (f"there are {', '.join(known[:20])}." if known else "there is none yet."))


def is_path(text: str) -> bool:
    """Whether a text could be the path of a file: no NUL, and nothing that the system cannot write in a name."""
    try:
        return bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def name_of(state: Path) -> str:
    """What `resume` calls a state: run/step_00000120, or its path where it lies elsewhere."""
    own = state.parent == state_folder(state.parent.name)
    return f"{state.parent.name}/{state.stem}" if own else os.fspath(state)


def resume_name(state: Path) -> str:
    """The shortest text that makes `resume` go on from a state: the name of its run where it is the newest there."""
    newest = state.parent == state_folder(state.parent.name) and states_of(state.parent)[-1:] == [state]
    return state.parent.name if newest else name_of(state)


def state_version(resume: str | None) -> str:
    """Changes when the state that `resume` names has moved on; empty where it names none."""
    try:
        return file_version(find_state(resume)) if resume and resume.strip() else ""
    except ValueError:
        return ""


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Writes a tree of dicts, lists, tuples, numbers, strings and tensors; whole or not at all."""
    tensors: dict[str, torch.Tensor] = {}
    tree = _taken_apart(state, "", tensors)
    write_lora(path, tensors, {FORMAT: json.dumps({"version": VERSION, "tree": tree})})


def load_state(path: str | os.PathLike) -> dict[str, Any]:
    """What save_state wrote, on the CPU. Raises ValueError for a file that is damaged or something else."""
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(FORMAT)
            tensors = {key: file.get_tensor(key) for key in file.keys()} if header else {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"resume: {shown(path)} is not a whole training state ({shorten(str(error))}).") from None
    if not header:
        raise ValueError(f"resume: expected a training state, {shown(path)} is another safetensors file.")
    try:
        content = json.loads(header)
        version = content["version"]
        tree = _put_together(content["tree"], tensors) if version in READ else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"resume: {shown(path)} is damaged: what it says of the training cannot be read.") from None
    if tree is None:
        raise ValueError(f"resume: {shown(path)} was written by another version of the pack (format "
                         f"{shorten(str(version), 20)}, this one reads {VERSION}).")
    return tree


def shown(path: str | os.PathLike) -> str:
    """A file as a person knows it: from the output folder or a folder of LoRAs on, where it lies there."""
    for folder in (folder_paths.get_output_directory(), *folder_paths.get_folder_paths("loras")):
        if Path(path).is_relative_to(folder):
            return Path(path).relative_to(folder).as_posix()
    return os.fspath(path)


def _taken_apart(value, place, tensors):
    """JSON for value; dicts and tuples are spelled out, because JSON knows neither number keys nor tuples."""
    if isinstance(value, torch.Tensor):
        tensors[place] = value
        return {"tensor": place}
    if isinstance(value, dict):
        return {"dict": [[key, _taken_apart(v, f"{place}.{key}", tensors)] for key, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_taken_apart(v, f"{place}.{i}", tensors) for i, v in enumerate(value)]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{place}: a {type(value).__name__} cannot be kept in a training state.")


def _put_together(value, tensors):
    if not isinstance(value, dict):
        return value
    (kind, content), = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _put_together(v, tensors) for key, v in content}
    return (tuple if kind == "tuple" else list)(_put_together(v, tensors) for v in content)
