"""What the benchmarks share: the pack inside the host, contenders timed in turn, and the table of what came out."""
import argparse
import importlib
import importlib.metadata
import logging
import operator
import os
import pkgutil
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"


def parser(doc: str, rounds: int | None) -> argparse.ArgumentParser:
    """The options every benchmark has, because `python dev.py bench` passes the same ones to all."""
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    made.add_argument("--rounds", type=int, default=rounds, help="how often each contender runs")
    return made


def start_host(*helpers: str):
    """The pack as the host at COMFYUI_PATH imports it, on the CPU, and what its nodes import when they run.

    helpers: folders of tests to import from."""
    sys.path[:0] = [str(TESTS), *(str(TESTS / folder) for folder in helpers)]
    import real_host
    real_host.find_host()
    pack = real_host.load_pack()
    for module in pkgutil.walk_packages(pack.nodes.__path__, f"{pack.nodes.__name__}."):
        importlib.import_module(module.name)
    logging.getLogger().setLevel(logging.ERROR)
    return pack


def part(pack, name: str):
    """A module of the pack by its name below `nodes`: whole, so that `tests/host/test_benchmarks.py` can look it up."""
    return operator.attrgetter(name)(pack.nodes)


@contextmanager
def output_folder() -> Iterator[Path]:
    """An output folder that goes away, whose loras the host lists before all others."""
    import folder_paths
    with tempfile.TemporaryDirectory() as folder:
        folder_paths.set_output_directory(folder)
        folder_paths.add_model_folder_path("loras", os.path.join(folder, "loras"), is_default=True)
        yield Path(folder)


def timed(function: Callable) -> Callable[[], float]:
    """A contender that returns the seconds function took."""
    def run() -> float:
        before = time.perf_counter()
        function()
        return time.perf_counter() - before
    return run


def interleave(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The seconds every contender returned in each round, after one round that is thrown away.

    All run in every round, and the order turns, so that a disturbance of the machine does not meet the same one."""
    names, seconds = list(contenders), {name: [] for name in contenders}
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            seconds[name].append(contenders[name]())
    return {name: values[1:] for name, values in seconds.items()}


def ratio(seconds: list[float], base: list[float]) -> float:
    """The median of the ratios within a round, which a busy machine disturbs less than the seconds themselves."""
    return statistics.median(mine / other for mine, other in zip(seconds, base, strict=True))


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    header = list(header)
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def milliseconds(seconds: list[float]) -> str:
    """The median, with three figures."""
    value = statistics.median(seconds) * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def command() -> str:
    """What makes the figures again."""
    return f"Made by `{shlex.join(['python', 'tests/benchmarks/' + Path(sys.argv[0]).name, *sys.argv[1:]])}`."


def conditions() -> str:
    """Versions, date and machine, and whether the machine had other work."""
    import comfyui_version
    import torch
    return (f"{date.today().isoformat()}, ComfyUI {comfyui_version.__version__}, torch {torch.__version__}, "
            f"NumPy {importlib.metadata.version('numpy')}, Python {platform.python_version()}, {platform.system()} "
            f"{platform.machine()}, {os.cpu_count()} CPUs, torch on {torch.get_num_threads()} of them."
            + _other_work(torch.get_num_threads()))


def _other_work(own_threads: int) -> str:
    if not hasattr(os, "getloadavg"):  # Windows
        return ""
    load = os.getloadavg()[0]
    shared = "The machine was shared with other work: the times are too long, the ratios hold better."
    return f" Load average {load:.1f}. {shared if load > own_threads + 0.5 else ''}".rstrip()


def publish(name: str, title: str, *parts: str) -> None:
    """Prints the parts below a title and keeps them in results/<name>.md."""
    text = "\n\n".join([f"# {title}", *parts, f"{command()} {conditions()}"]) + "\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
