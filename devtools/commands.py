"""The commands of dev.py and their arguments."""
import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import webbrowser
from pathlib import Path

from . import places
from .bundle import bundle_gpu
from .host import check_host
from .machine import check_python, has_nvidia_gpu, install_chromium
from .packages import in_venv, install_newest_front_end
from .server import run_server, stop_server
from .setting_up import setup
from .side_by_side import run_all
from .terminal import SetupError


def main(usage, arguments):
    """Returns the exit status. usage: what --help says."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(line_buffering=True)  # so that our lines and those of the programs we start keep their order
    try:
        check_python()
        options, rest = read_arguments(usage, arguments)
        return options.run(options, rest)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def read_arguments(usage, arguments):
    parser = argparse.ArgumentParser(prog="dev.py", description=usage,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (demo, serve, templates):
        sub = commands.add_parser(command.__name__)
        sub.set_defaults(run=command)
        sub.add_argument("--port", type=int, help="fail if it is taken, instead of taking another")
    commands.choices["demo"].add_argument("--keep", action="store_true", help="leave the server running")
    for command in (test, bench, gpu, torture, doctor, bundle_gpu):
        name = command.__name__.replace("_", "-")
        commands.add_parser(name, add_help=False).set_defaults(run=command)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command in ("demo", "serve", "templates"):
        parser.error("unrecognized arguments: " + " ".join(rest))
    return options, rest


def demo(options, _):
    process, page = run_server(setup(), options.port)
    client = [places.venv_python(), str(places.ROOT / "tests" / "server" / "demo.py"), page.split("?")[0],
              str(places.ROOT / "example_workflows" / "workshop.json"), str(places.BASE)]
    try:
        return subprocess.run(client).returncode
    finally:
        if options.keep:
            print(f"The page: {page} (the server is process {process.pid}; end that process to stop it)")
        else:
            stop_server(process)
            print("The page: `python dev.py serve`, or `python dev.py demo --keep` with these results")


def serve(options, _):
    process, page = run_server(setup(), options.port)
    print(f"The page: {page}\nCtrl+C stops the server.")
    if sys.stdout.isatty():
        webbrowser.open(page)
    try:
        return process.wait()
    finally:
        stop_server(process)


def templates(options, _):
    """Writes example_workflows anew: which inputs a node has, only the running host can say."""
    process, page = run_server(setup(), options.port)
    try:
        return subprocess.run([places.venv_python(), "-m", "devtools.templates.write_templates", page.split("/?")[0],
                               str(places.ROOT / "example_workflows")], cwd=places.ROOT).returncode
    finally:
        stop_server(process)


def test(_, arguments):
    if "--gpu" in arguments:
        return test_gpu([argument for argument in arguments if argument != "--gpu"])
    host = setup()
    install_chromium()
    install_newest_front_end()
    if any(Path(argument.split("::")[0]).exists() for argument in arguments):
        return in_venv(host, "-m", "pytest", *arguments)
    return run_all(host, arguments)


def test_gpu(arguments):
    """The node tests that otherwise run on the pretended card, on the first CUDA device."""
    host = setup()
    if not has_nvidia_gpu():
        raise SetupError("test --gpu: expected a CUDA device that torch can use, got none.")
    cases = map(str, sorted(places.CARD_CASES.glob("cases_*.py")))
    return in_venv(host, "-m", "pytest", *cases, *arguments, BOTTEGA_DEVICE="gpu")


def gpu(_, arguments):
    """Everything there is for a real card: the node tests, then the benchmark, which takes the arguments."""
    return max(test_gpu([]), bench_gpu(arguments))


def bench(_, arguments):
    if "--gpu" in arguments:
        return bench_gpu([argument for argument in arguments if argument != "--gpu"])
    host = setup()
    scripts, options = chosen_benchmarks(arguments)
    return max(in_venv(host, str(script), *options) for script in scripts)


def doctor(_, arguments):
    """In the .venv, because it asks the host."""
    return in_venv(setup(), "-m", "devtools.doctor", *arguments)


def torture(_, arguments):
    """One thread, because the faults are put into forks."""
    host = setup()
    os.environ["OMP_NUM_THREADS"] = "1"
    return in_venv(host, str(places.TORTURE), *arguments)


def chosen_benchmarks(arguments):
    """(scripts, arguments for each of them): those that are named, else all."""
    known = {path.stem.removeprefix("bench_"): path for path in sorted(places.BENCHMARKS.glob("bench_*.py"))}
    named = [argument for argument in arguments if argument in known]
    return [known[name] for name in named or known], [argument for argument in arguments if argument not in known]


def bench_gpu(arguments):
    """With the Python that runs this where it has torch, so that a GPU machine needs no setup and no network."""
    script = places.ROOT / "kernels" / "benchmarks" / "gpu.py"
    if importlib.util.find_spec("torch") is None:
        return in_venv(setup(), str(script), *arguments)
    other = os.environ.get("COMFYUI_PATH")
    host = check_host(Path(other).resolve()) if other else places.HOST
    if not host.exists():
        raise SetupError("COMFYUI_PATH: expected the folder of a ComfyUI checkout, got nothing.")
    return subprocess.run([sys.executable, str(script), *arguments], cwd=places.ROOT,
                          env={**os.environ, "COMFYUI_PATH": str(host)}).returncode
