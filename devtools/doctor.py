"""What this machine and this host offer the pack, and what they lack; run by `dev.py doctor` in the .venv."""
import importlib.metadata
import importlib.util
import os
import platform
import sys

from . import places

OPTIONAL = {"cma": "Tune Blocks searches by CMA-ES; without it one group after another",
            "triton": "compiled forms of merging and picture statistics, where a benchmark proved them faster"}


def main() -> int:
    """Prints the report; 1 where the host lacks something, 2 where the pack does not load."""
    sys.path.insert(0, os.environ["COMFYUI_PATH"])          # before the pack: both have a top-level name `nodes`
    import torch
    from comfy.cli_args import args
    args.cpu = not torch.cuda.is_available()
    print("\n".join(machine_lines(torch)))
    try:
        pack = load_pack()
    except ImportError as error:
        print(error)
        return 2
    capabilities = pack.nodes.shared.host_capabilities
    print(capabilities.report())
    return int(bool(capabilities.lacking()))


def machine_lines(torch) -> list[str]:
    """Versions, device and optional packages, a line each."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "the CPU; torch can use no GPU"
    page = version("comfyui-frontend-package") or "none"
    packages = [f"{name} {version(name) or version(f'{name}-windows') or 'is not installed'}: {use}"
                for name, use in OPTIONAL.items()]
    return [f"Python {platform.python_version()}, torch {torch.__version__}, on {device}",
            f"Host in {os.environ['COMFYUI_PATH']}, front end {page}", *packages]


def version(name: str) -> str:
    """Of an installed package; "" where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def load_pack():
    """The pack as the host loads it, without its server."""
    import nodes  # noqa: F401  the host's
    spec = importlib.util.spec_from_file_location("bottega", places.ROOT / "__init__.py")
    pack = sys.modules["bottega"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)
    return pack


if __name__ == "__main__":
    sys.exit(main())
