"""What Critique Gallery does when it runs: its inputs become a table in the output folder; progress and Cancel."""
import os
import re
import time
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
from comfy_api.v0_0_2 import io

from ...shared.device_names import is_device
from ...shared.node_display import say
from ...shared.picture_folder import locate, quoted
from ...shared.picture_table import PictureTable
from ..gallery import making
from ..gallery.entries import LISTS, TARS
from ..gallery.measuring import Settings, plain
from ..measures import filter_bank
from ..report import gallery_report

GALLERIES = "galleries"     # below the output folder
NAME = re.compile(r"\w[\w .()+-]{0,99}")
BETWEEN_TEXTS = 0.5         # seconds


def run(node_id, folder, name, rubric, reference, measures, workers, ray, again) -> io.NodeOutput:
    """The outputs of the node. Raises ValueError with one sentence for what is asked wrongly."""
    source = _source(folder)
    called = _checked_name(name.strip() or (source.name if source.is_dir() else source.stem))
    settings = Settings(measures, rubric, plain(reference), filter_bank.folders())
    request = making.Request(source, Path(folder_paths.get_output_directory()) / GALLERIES / called, settings,
                             workers or os.cpu_count() or 1, ray.strip(), again)
    try:
        made = making.make(request, comfy.model_management.throw_exception_if_processing_interrupted, _Shown(node_id))
    except ValueError as error:
        raise ValueError(re.sub("^out: ", "name: ", str(error))) from None
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


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name) or ".." in name or name.endswith((" ", ".")):
        raise ValueError(f"name: expected letters, digits, blanks and - _ + ( ) . alone, got {quoted(name)}")
    if is_device(name):
        raise ValueError(f"name: expected a name that a folder may have everywhere, got {quoted(name)}, which Windows "
                         "keeps for a device")
    return name


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
