"""What a GPU machine without a network needs to measure the kernels, in one folder."""
import shutil

from . import places
from .packages import pinned_packages, pip, read_pins
from .setting_up import setup
from .terminal import SetupError

BUNDLE_MB = 60
BUNDLED = ("dev.py", "devtools", "__init__.py", "kernels", "nodes", "tests", ".ci")
NOT_BUNDLED = ("__pycache__", "custom_nodes", "models", "input", "output", "blueprints", "tests-unit", "*_tokenizer")
GPU_WHEELS = ("einops", "psutil", "safetensors", "comfy-aimdo", "numpy")
PURE_WHEELS = ("comfy-kitchen",)  # its wheel with CUDA kernels is 45 MB, and what is measured is its fallback in torch


def bundle_gpu(_, arguments):
    """A folder with this pack, the host's tree and the wheels of what the benchmark uses beside torch and Triton."""
    host, bundle = setup(), places.WORKSHOP / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    pack = bundle / "bottega"
    for name in BUNDLED:
        copy = shutil.copytree if (places.ROOT / name).is_dir() else shutil.copy2
        (pack / name).parent.mkdir(parents=True, exist_ok=True)
        copy(places.ROOT / name, pack / name)
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
