"""A real server in its own process, with the pack and the starter, one for the whole test session."""
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from devtools.server import free_port, server_command, start_server, stop_server
from devtools.setting_up import link_pack

PACK = Path(__file__).resolve().parents[2]
INSTALL_STARTER = PACK / "starter" / "install.py"
WEIGHTS = PACK / "starter" / "bottega_starter.safetensors"


@dataclass
class Server:
    address: str
    base: Path  # --base-directory: models, input, output

    def log(self) -> str:
        return (self.base / "server.log").read_text(encoding="utf-8", errors="replace")


KEY = pytest.StashKey[Server]()


@pytest.fixture(scope="session")
def server(request, tmp_path_factory) -> Server:
    """Started by the first test that asks, in whichever folder, and stopped when pytest ends."""
    stash = request.config.stash
    if KEY not in stash:
        base = tmp_path_factory.mktemp("server")
        install_starter(base)
        stash[KEY] = start(base, request.config.add_cleanup)
    return stash[KEY]


def install_starter(base):
    if not WEIGHTS.exists():
        pytest.skip(f"{WEIGHTS.relative_to(PACK)} is missing, so the server has no model to run")
    command = [sys.executable, str(INSTALL_STARTER), str(base / "models"), str(base / "input")]
    subprocess.run(command, check=True)


def start(base, add_cleanup) -> Server:
    link_pack(base)
    (base / "output").mkdir()
    port = free_port()
    command = server_command(sys.executable, Path(os.environ["COMFYUI_PATH"]), base, port, "--cpu", *front_end())
    process = start_server(command, base / "server.log")
    add_cleanup(lambda: stop_server(process))
    return Server(f"http://127.0.0.1:{port}", base)


def front_end() -> list[str]:
    """Another front end than the host's, if BOTTEGA_FRONT_END names its static folder."""
    root = os.environ.get("BOTTEGA_FRONT_END")
    return ["--front-end-root", root] if root else []
