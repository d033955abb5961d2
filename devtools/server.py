"""The host as a server in a process of its own."""
import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

from . import places
from .machine import has_nvidia_gpu
from .setting_up import install_starter
from .terminal import SetupError, last_line

DEFAULT_PORT = 8188


def run_server(host, port):
    """Starts the workshop's own server; returns its process and the page that shows the workshop."""
    install_starter(places.BASE)
    port = choose_port(port)
    flags = [] if has_nvidia_gpu() else ["--cpu"]
    print(f"Starting the server on the {'CPU' if flags else 'GPU'} ...")
    command = server_command(places.venv_python(), host, places.BASE, port, *flags)
    process = start_server(command, places.WORKSHOP / "server.log")
    return process, f"http://127.0.0.1:{port}/?template=workshop&source=bottega"


def choose_port(asked):
    """The port that was asked for, else the usual one, else any free one."""
    if asked:
        if not port_is_free(asked):
            raise SetupError(f"--port: {asked} is taken by another program; name another, or leave --port out.")
        return asked
    return DEFAULT_PORT if port_is_free(DEFAULT_PORT) else free_port()


def port_is_free(port):
    with socket.socket() as probe:
        if os.name != "nt":  # where it would mean that two may listen
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


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
