"""What Critique Gallery does when it runs: its inputs become a table in the output folder; progress and Cancel."""
import hashlib
import os
import re
import time
import unicodedata
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
from comfy_api.v0_0_2 import io

from ...shared.device_names import is_device
from ...shared.node_display import say
from ...shared.picture_folder import Cancelled, end_if_cancelled, locate, quoted
from ...shared.picture_folder import fingerprint as folder_version
from ...shared.picture_table import PictureTable
from ..gallery import making
from ..gallery.entries import LISTS, TARS, find
from ..gallery.measuring import Settings, plain
from ..measures import filter_bank
from ..report import gallery_report
from .critique_inputs import table_fingerprint

GALLERIES = "galleries"     # below the output folder
SIGNS = " _.()+-"
MARKS = ("Mn", "Mc")        # what stands on or around a letter, as vowels do in Thai and Hindi
LONGEST, MOST_BYTES = 100, 200
BETWEEN_TEXTS = 0.5         # seconds


def run(node_id, folder, name, rubric, reference, measures, workers, ray, again) -> io.NodeOutput:
    """The outputs of the node. Raises ValueError with one sentence for what is asked wrongly."""
    source = _source(folder)
    called = _called(name, source)
    settings = Settings(measures, rubric, plain(reference), filter_bank.folders())
    request = making.Request(source, Path(folder_paths.get_output_directory()) / GALLERIES / called, settings,
                             workers or os.cpu_count() or 1, ray.strip(), again)
    try:
        made = making.make(request, comfy.model_management.throw_exception_if_processing_interrupted, _Shown(node_id))
    except ValueError as error:
        said = str(error).replace("choose another folder", "choose another name")   # what is asked for here
        raise ValueError(re.sub("^out: ", "name: ", said)) from None
    report = gallery_report.write(made, PictureTable(made.table), f"{GALLERIES}/{called}")
    return io.NodeOutput(f"{GALLERIES}/{called}", report, ui={"text": (report,)})


def _source(folder: str) -> Path:
    """A folder, or a tar file or a list in one. Raises ValueError with one sentence where there is none."""
    if not folder.strip():
        raise ValueError("folder: expected a folder of pictures, a .tar file or a .parquet list, got nothing")
    if "://" in folder:
        raise ValueError("folder: addresses are read by the command alone (see the help page), got "
                         f"{quoted(folder)}; expected a folder, a .tar file or a .parquet list")
    typed = Path(folder.strip())
    if typed.suffix.lower() in (*TARS, *LISTS):
        above = locate(str(typed.parent)) if str(typed.parent) != "." else Path(folder_paths.get_input_directory())
        if (above / typed.name).is_file():
            return above / typed.name
    return locate(folder)


def fingerprint(folder: str, name: str) -> str:
    """Changes when the pictures or the table do; the text itself where there are none, which the run then says."""
    try:
        source = _source(folder)
        table = table_fingerprint(f"{GALLERIES}/{_called(name, source)}")
        if source.is_dir():
            return f"{folder_version(source)} {table}"
        status = source.stat()
        return f"{status.st_size} {status.st_mtime_ns} {_listed_version(source)} {table}"
    except (ValueError, OSError):
        return folder
    except Cancelled:
        return ""


def _listed_version(source: Path) -> str:
    """Changes when a file that a list names does; empty for a tar file, which holds its pictures."""
    if source.suffix.lower() not in LISTS:
        return ""
    lines = [f"{entry.path} {entry.key}" for entry in find(source, end_if_cancelled).entries]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _called(name: str, source: Path) -> str:
    return _checked_name(name.strip() or (source.name if source.is_dir() else source.stem))


def _checked_name(name: str) -> str:
    name = unicodedata.normalize("NFC", name)
    fits = 0 < len(name) <= LONGEST and len(name.encode("utf-8", "replace")) <= MOST_BYTES
    if not fits or not all(map(_is_plain, name)) or not (name[0].isalnum() or name[0] == "_") or ".." in name or (
            name.endswith((" ", "."))):
        raise ValueError(f"name: expected letters, digits, blanks and - _ + ( ) . alone, at most {LONGEST} of them "
                         f"and {MOST_BYTES} bytes, got {quoted(name)}")
    if is_device(name):
        raise ValueError(f"name: expected a name that a folder may have everywhere, got {quoted(name)}, which Windows "
                         "keeps for a device")
    return name


def _is_plain(letter: str) -> bool:
    return letter.isalnum() or letter in SIGNS or unicodedata.category(letter) in MARKS


class _Shown:
    """Progress on the node: the bar, and a line with the rate and the time that is left."""

    def __init__(self, node_id):
        self.node_id, self.bar, self.last = str(node_id), None, 0.0

    def __call__(self, pace: making.Pace) -> None:
        self.bar = self.bar or comfy.utils.ProgressBar(max(1, pace.total))
        self.bar.update_absolute(pace.done, max(1, pace.total))
        if time.monotonic() - self.last >= BETWEEN_TEXTS or pace.done == pace.total:
            self.last = time.monotonic()
            say(str(pace), self.node_id)
