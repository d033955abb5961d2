"""The whole state of a training in one safetensors file: tensors as they are, the rest as JSON in its header."""
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import folder_paths
import torch
from safetensors import SafetensorError, safe_open

from ...lora.block_weights.language import shorten
from ...lora.file.files import file_version, write_lora

VERSION = 1
FORMAT = "bottega.state"


def state_folder(run: str) -> Path:
    """Where the states of a run lie: <output>/training/<run>."""
    return Path(folder_paths.get_output_directory()) / "training" / run


def take_run(stem: str) -> str:
    """`stem`, or stem_00001 and so on when there is a run of that name; makes its folder, so that no two runs have one.

    Raises OSError, as a sentence, where no folder can be made."""
    run, number = stem, 0
    while True:
        try:
            state_folder(run).mkdir(parents=True)
            return run
        except FileExistsError:
            number += 1
            run = f"{stem}_{number:05}"
        except OSError as error:
            raise OSError(f"name: no folder for the states of {run} could be made in {state_folder('')} "
                          f"({error.strerror or error}).") from None


def leave_run(run: str) -> None:
    """Takes the folder of a run away again where nothing came to lie in it."""
    with suppress(OSError):
        state_folder(run).rmdir()


def state_path(run: str, step: int) -> Path:
    return state_folder(run) / f"step_{step:08}.safetensors"


def states_of(folder: Path) -> list[Path]:
    """The states in a folder, oldest first."""
    return sorted(folder.glob("step_*.safetensors"))


def rotate(run: str, keep: int) -> None:
    """Removes all but the newest `keep` states of a run."""
    for path in states_of(state_folder(run))[:-keep]:
        path.unlink(missing_ok=True)


def find_state(text: str) -> Path:
    """The state a person named: a run (its newest state), run/step_00000120, a path, or a file of a run's folder.

    Raises ValueError when there is none."""
    text = text.strip().strip('"')
    for path in (Path(text), state_folder(text), state_folder(f"{text}.safetensors")):
        if os.path.isfile(path):  # Path.is_file raises OSError for a name too long for the system
            return path
        if os.path.isdir(path) and states_of(path):
            return states_of(path)[-1]
    known = sorted(p.name for p in state_folder("").glob("*") if p.is_dir() and states_of(p))
    raise ValueError(f"resume: expected the name of a run in output/training or the path of a state, got "
                     f"{shorten(text, 60)!r}; "
                     + (f"there are {', '.join(known[:20])}." if known else "there is none yet."))


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
        raise ValueError(f"resume: {_shown(path)} is not a whole training state ({error}).") from None
    if not header:
        raise ValueError(f"resume: expected a training state, {_shown(path)} is another safetensors file.")
    content = json.loads(header)
    if content["version"] != VERSION:
        raise ValueError(f"resume: {_shown(path)} was written by another version of the pack (format "
                         f"{content['version']}, this one reads {VERSION}).")
    return _put_together(content["tree"], tensors)


def _shown(path: str | os.PathLike) -> str:
    """A state as a person knows it: from the output folder on, where it lies there."""
    output = Path(folder_paths.get_output_directory())
    return Path(path).relative_to(output).as_posix() if Path(path).is_relative_to(output) else os.fspath(path)


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
