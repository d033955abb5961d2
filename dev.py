#!/usr/bin/env python3
"""The developer's door: sets up a pinned ComfyUI with this pack in it, and runs it. Needs nothing but Python.

    python dev.py demo [--keep] [--port N]   run the shipped workflow on a real server and show what came out
    python dev.py serve [--port N]           open the page with the pack loaded
    python dev.py test [pytest arguments]    run the tests
    python dev.py bench [names] [arguments]  run the benchmarks, or those of the names: training, loading, ...
    python dev.py bench --gpu [arguments]    measure the kernels on a CUDA device, at most 8 minutes
    python dev.py bundle-gpu                 gather what that needs for a GPU machine without a network

Everything it makes lies in `.venv`, of the Python that ran it first, and `.workshop`; delete them to start again.
`COMFYUI_PATH` uses another host. The exact versions stand in `.ci/pins.ini`.
"""
import argparse
import configparser
import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
WORKSHOP = ROOT / ".workshop"
STAMP = WORKSHOP / "packages.txt"
HOST = WORKSHOP / "host" / "ComfyUI"
BASE = WORKSHOP / "base"
PINS = ROOT / ".ci" / "pins.ini"

UNFINISHED = "unfinished"
PYTHONS = (3, 10), (3, 13)
OLDEST_HOST = (0, 30, 0)
DISK_GB = 9  # 6 stay; the wheels need the rest while pip installs them
DEFAULT_PORT = 8188

BUNDLE_MB = 60
BUNDLED = ("dev.py", "__init__.py", "kernels", "nodes", "tests", ".ci")
NOT_BUNDLED = ("__pycache__", "custom_nodes", "models", "input", "output", "blueprints", "tests-unit", "*_tokenizer")
GPU_WHEELS = ("einops", "psutil", "safetensors", "comfy-aimdo", "numpy")
PURE_WHEELS = ("comfy-kitchen",)  # its wheel with CUDA kernels is 45 MB, and what is measured is its fallback in torch


class SetupError(Exception):
    """One sentence for the person at the terminal."""


# Reading the pins

def read_pins(path=PINS):
    pins = configparser.ConfigParser(delimiters=(": ",), allow_no_value=True)
    pins.optionxform = str
    pins.read(path, encoding="utf-8")
    return pins


def pinned_packages(pins):
    """Requirement lines that pip resolves together, in the order of the file."""
    sections = ("host packages", "test packages", "peer packages", "transitive packages")
    return [line for section in sections for line in pins[section]]


# What the machine must have

def check_python(version=sys.version_info):
    oldest, newest = PYTHONS
    if not oldest <= tuple(version[:2]) <= newest:
        raise SetupError("Python: expected {}.{} to {}.{}, got {}.{}; run dev.py with another one, for example "
                         "`python3.11 dev.py`.".format(*oldest, *newest, *version[:2]))


def check_disk(folder=ROOT, needed_gb=DISK_GB):
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < needed_gb:
        raise SetupError(f"Disk: the setup needs about {needed_gb} GB beside {folder}, got {free_gb:.1f} GB free.")


def has_nvidia_gpu():
    """True when the driver answers and the installed torch can use it."""
    if not shutil.which("nvidia-smi") or subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode:
        return False
    probe = [venv_python(), "-c", "import sys, torch; sys.exit(not torch.cuda.is_available())"]
    return subprocess.run(probe, capture_output=True).returncode == 0


# Python packages

def venv_python():
    return str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def make_venv():
    """Makes .venv once. What an interrupted setup left behind is thrown away; one that is not ours is not touched."""
    stamp = STAMP.read_text(encoding="utf-8") if STAMP.exists() else None
    if stamp not in (None, UNFINISHED) and Path(venv_python()).exists():
        tell_other_python()
        return
    if stamp is None and VENV.exists():
        raise SetupError(f"{VENV} exists but was not made by dev.py: move it away or delete it.")
    STAMP.write_text(UNFINISHED, encoding="utf-8")
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True)
    if made.returncode:
        raise SetupError("This Python cannot make a virtual environment (on Debian and Ubuntu install python3-venv): "
                         + last_line(made.stdout + made.stderr))


def tell_other_python():
    """The .venv keeps the Python it was made with, whichever one runs dev.py."""
    made = re.search(r"^version = (\d+\.\d+)", (VENV / "pyvenv.cfg").read_text(encoding="utf-8"), re.MULTILINE)
    running = "{}.{}".format(*sys.version_info)
    if made and made.group(1) != running:
        print(f"{VENV} is of Python {made.group(1)} and is used as it is; delete it to have one of Python {running}.")


def install_packages(host):
    """Installs the pins and what `host` asks for; does nothing when that was finished before."""
    pins, requirements = read_pins(), host / "requirements.txt"
    wanted = hashlib.sha256(PINS.read_bytes() + requirements.read_bytes()).hexdigest()
    if STAMP.read_text(encoding="utf-8") == wanted:
        return
    check_disk()
    print("Installing the packages (about 6 GB, some minutes) ...")
    STAMP.write_text(UNFINISHED, encoding="utf-8")
    listed = WORKSHOP / "requirements.txt"
    listed.write_text("\n".join(pinned_packages(pins)) + "\n", encoding="utf-8")
    pip("install", "-r", listed)
    pip("install", "--no-deps", *pins["lone packages"])
    if host != HOST:
        install_other_host(requirements, listed)
    STAMP.write_text(wanted, encoding="utf-8")


def install_other_host(requirements, pinned):
    """Another host gets what it asks for: at our versions when they fit, else at its own."""
    try:
        pip("install", "-r", requirements, "-c", pinned)
    except SetupError:
        pip("install", "-r", requirements)


def pip(*arguments):
    """Runs pip in the .venv, shows what it is busy with, keeps its words in a log."""
    command = [venv_python(), "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    log = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          encoding="utf-8", errors="replace") as process:
        try:
            for line in process.stdout:
                log.append(line)
                if line.startswith(("Collecting", "Installing collected")):
                    show_step(line[:70])
        except BaseException:  # leaving the block waits for the process, so end it first
            process.kill()
            raise
    show_step("")
    (WORKSHOP / "pip.log").write_text("".join(log), encoding="utf-8")
    if process.returncode:
        errors = [line for line in log if line.startswith("ERROR")] or log
        raise SetupError(f"pip could not install (network? the whole log is in {WORKSHOP / 'pip.log'}): "
                         + last_line("".join(errors)))


def last_line(text):
    return text.strip().splitlines()[-1].strip() if text.strip() else "no message"


def show_step(text):
    """Overwrites one line of a terminal; says nothing where output is kept, such as in CI."""
    if sys.stdout.isatty() and not os.environ.get("CI"):
        print(f"\r  {text.strip():<76}", end="" if text else "\r", flush=True)


# The host's tree

def unpack_host(archive, target):
    """Unpacks `vendor/ComfyUI` of the archive into `target`, which appears only when it is complete."""
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            if parts[1:3] != ("vendor", "ComfyUI") or member.isdir():
                continue
            if not member.isfile() or ".." in parts or "\\" in member.name:
                raise SetupError(f"{Path(archive).name} holds {member.name!r}, which is not a plain file inside it.")
            path = unfinished.joinpath(*parts[3:])
            path.parent.mkdir(parents=True, exist_ok=True)
            with tar.extractfile(member) as source, path.open("wb") as copy:
                shutil.copyfileobj(source, copy)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def check_hash(path, expected):
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise SetupError(f"{path.name}: expected SHA-256 {expected}, got {found}; nothing was unpacked.")


def fetch_host():
    """Downloads, verifies and unpacks the pinned host, unless the very same one is there."""
    pin = read_pins()["host"]
    origin = HOST.parent / "origin.txt"
    if HOST.exists() and origin.exists() and origin.read_text(encoding="utf-8") == pin["sha256"]:
        return
    check_disk()
    print(f"Fetching ComfyUI ({pin['source']}) ...")
    HOST.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORKSHOP) as folder:
        pip("download", "--no-deps", "--no-binary", pin["source"].split("==")[0], "--ignore-requires-python",
            "--dest", folder, pin["source"])
        archive = next(Path(folder).glob("*.tar.gz"))
        check_hash(archive, pin["sha256"])
        unpack_host(archive, HOST)
    origin.write_text(pin["sha256"], encoding="utf-8")


def check_host(path):
    """The folder of another host, or a sentence saying what is wrong with it."""
    if not (path / "main.py").is_file() or not (path / "requirements.txt").is_file():
        raise SetupError(f"COMFYUI_PATH: expected the folder of a ComfyUI checkout, got {str(path)!r}.")
    version_file = path / "comfyui_version.py"
    text = version_file.read_text(encoding="utf-8") if version_file.is_file() else ""
    version = re.search(r'__version__ = "(\d+)\.(\d+)\.(\d+)', text)
    if not version or tuple(map(int, version.groups())) < OLDEST_HOST:
        raise SetupError("COMFYUI_PATH: this host is too old; expected ComfyUI {}.{}.{} or newer, got {}.".format(
            *OLDEST_HOST, ".".join(version.groups()) if version else "a version without a number"))
    return path


# The whole setup

def setup():
    """Makes everything ready and returns the folder of the host; the second time it only looks."""
    WORKSHOP.mkdir(exist_ok=True)
    other = os.environ.get("COMFYUI_PATH")
    host = check_host(Path(other).resolve()) if other else HOST
    make_venv()
    if not other:
        fetch_host()
    install_packages(host)
    link_pack(BASE)
    return host


def link_pack(base):
    """Makes this checkout appear as custom node `bottega` in a base directory of the host, whose tree stays clean."""
    link = base / "custom_nodes" / "bottega"
    link.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(link):
        if os.path.realpath(link) == str(ROOT):
            return
        link.unlink() if link.is_symlink() else link.rmdir()
    if os.name == "nt":  # a junction needs no administrator's right, a symbolic link does
        subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(ROOT)], check=True, capture_output=True)
    else:
        link.symlink_to(ROOT, target_is_directory=True)


def install_starter(base):
    """Puts the starter's model and its training pictures where the host looks for them."""
    command = [venv_python(), str(ROOT / "starter" / "install.py"), str(base / "models"), str(base / "input")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SetupError("The starter could not be installed: " + last_line(done.stderr))


# The server

def port_is_free(port):
    with socket.socket() as probe:
        if os.name != "nt":  # where it would mean that two may listen
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose_port(asked):
    """The port that was asked for, else the usual one, else any free one."""
    if asked:
        if not port_is_free(asked):
            raise SetupError(f"--port: {asked} is taken by another program; name another, or leave --port out.")
        return asked
    return DEFAULT_PORT if port_is_free(DEFAULT_PORT) else free_port()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def server_command(python, host, base, port, *flags):
    """A host that sees only this pack, and writes only below `base`."""
    return [python, str(host / "main.py"), "--base-directory", str(base), "--listen", "127.0.0.1", "--port", str(port),
            "--database-url", "sqlite:///:memory:", "--disable-all-custom-nodes", "--whitelist-custom-nodes", "bottega",
            "--disable-api-nodes", *flags]


def start_server(command, log):
    """Starts the host detached from this terminal and returns its process once it answers."""
    detached = {"start_new_session": True}
    if os.name == "nt":
        detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **detached)
    try:
        wait_until_up(process, command[command.index("--port") + 1], log)
    except BaseException:
        stop_server(process)
        raise
    return process


def wait_until_up(process, port, log, seconds=300):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            direct.open(f"http://127.0.0.1:{port}/system_stats", timeout=5).close()
            return
        time.sleep(0.2)
    raise SetupError(f"The server did not start (log: {log}): "
                     + last_line(log.read_text(encoding="utf-8", errors="replace")))


def stop_server(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_server(host, port):
    """Starts the workshop's own server; returns its process and the page that shows the workshop."""
    install_starter(BASE)
    port = choose_port(port)
    flags = [] if has_nvidia_gpu() else ["--cpu"]
    print(f"Starting the server on the {'CPU' if flags else 'GPU'} ...")
    process = start_server(server_command(venv_python(), host, BASE, port, *flags), WORKSHOP / "server.log")
    return process, f"http://127.0.0.1:{port}/?template=workshop&source=bottega"


# The commands

def demo(options, _):
    process, page = run_server(setup(), options.port)
    client = [venv_python(), str(ROOT / "tests" / "server" / "demo.py"), page.split("?")[0],
              str(ROOT / "example_workflows" / "workshop.json"), str(BASE)]
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


def test(_, arguments):
    host = setup()
    install_chromium()
    named = any(Path(argument.split("::")[0]).exists() for argument in arguments)
    return in_venv(host, "-m", "pytest", *([] if named else ["tests"]), *arguments)


def bench(_, arguments):
    if "--gpu" in arguments:
        return bench_gpu([argument for argument in arguments if argument != "--gpu"])
    host = setup()
    scripts, options = chosen_benchmarks(arguments)
    return max(in_venv(host, str(script), *options) for script in scripts)


def chosen_benchmarks(arguments):
    """(scripts, arguments for each of them): those that are named, else all."""
    known = {path.stem.removeprefix("bench_"): path for path in sorted((ROOT / "tests/benchmarks").glob("bench_*.py"))}
    named = [argument for argument in arguments if argument in known]
    return [known[name] for name in named or known], [argument for argument in arguments if argument not in known]


def bench_gpu(arguments):
    """With the Python that runs this where it has torch, so that a GPU machine needs no setup and no network."""
    script = ROOT / "kernels" / "benchmarks" / "gpu.py"
    if importlib.util.find_spec("torch") is None:
        return in_venv(setup(), str(script), *arguments)
    other = os.environ.get("COMFYUI_PATH")
    host = check_host(Path(other).resolve()) if other else HOST
    if not host.exists():
        raise SetupError("COMFYUI_PATH: expected the folder of a ComfyUI checkout, got nothing.")
    return subprocess.run([sys.executable, str(script), *arguments], cwd=ROOT,
                          env={**os.environ, "COMFYUI_PATH": str(host)}).returncode


def bundle_gpu(_, arguments):
    """A folder with this pack, the host's tree and the wheels of what the benchmark uses beside torch and Triton."""
    host, bundle = setup(), WORKSHOP / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    pack = bundle / "bottega"
    for name in BUNDLED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (pack / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, pack / name)
    shutil.copytree(host, bundle / "ComfyUI", ignore=shutil.ignore_patterns(*NOT_BUNDLED))
    pins = pinned_packages(read_pins())
    wanted = lambda names: [line for line in pins if line.split("==")[0] in names]
    options = ("--no-deps", "--only-binary", ":all:", "--dest", bundle / "wheels")
    pip("download", *options, *wanted(GPU_WHEELS))
    pip("download", *options, "--platform", "any", "--abi", "none", "--implementation", "py", *wanted(PURE_WHEELS))
    for cache in bundle.rglob("__pycache__"):
        shutil.rmtree(cache)
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) / 1e6
    if size > BUNDLE_MB:
        raise SetupError(f"The bundle: expected at most {BUNDLE_MB} MB, got {size:.0f} MB in {bundle}.")
    print(f"{bundle}: {size:.0f} MB. On the GPU machine, with this version of Python and torch and Triton in it:\n"
          f"    pip install --no-index --no-deps wheels/*\n"
          f"    COMFYUI_PATH=$PWD/ComfyUI python bottega/dev.py bench --gpu")
    return 0


def in_venv(host, *arguments):
    environment = {**os.environ, "COMFYUI_PATH": str(host)}
    return subprocess.run([venv_python(), *arguments], cwd=ROOT, env=environment).returncode


def install_chromium():
    """Gives a bare Debian or Ubuntu (a CI machine) the browser; elsewhere the browser tests say what is missing."""
    if shutil.which("chromium") or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    print("Installing chromium for the browser tests ...")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["apt-get", "update"], **quiet)
    subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"], **quiet)


def read_arguments(arguments):
    parser = argparse.ArgumentParser(prog="dev.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (demo, serve):
        sub = commands.add_parser(command.__name__)
        sub.set_defaults(run=command)
        sub.add_argument("--port", type=int, help="fail if it is taken, instead of taking another")
    commands.choices["demo"].add_argument("--keep", action="store_true", help="leave the server running")
    for command in (test, bench, bundle_gpu):
        name = command.__name__.replace("_", "-")
        commands.add_parser(name, add_help=False).set_defaults(run=command)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command in ("demo", "serve"):
        parser.error("unrecognized arguments: " + " ".join(rest))
    return options, rest


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(line_buffering=True)  # so that our lines and those of the programs we start keep their order
    try:
        check_python()
        options, rest = read_arguments(sys.argv[1:])
        return options.run(options, rest)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
