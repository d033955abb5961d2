"""The host's own merging on a machine that has its tree, but not everything its files import."""
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

# Imported by the host's files, used by nothing that is measured here. numpy, psutil, safetensors and einops are used.
UNUSED = ("transformers", "tokenizers", "torchvision", "torchaudio", "torchsde", "scipy", "PIL", "av", "yaml", "tqdm",
          "huggingface_hub", "kornia", "spandrel", "sentencepiece", "requests", "aiohttp", "cv2", "trampoline")


class StubModule(types.ModuleType):
    """Has every name one may import from it, as an empty class."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, names):
        self.names = set(names)

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] in self.names:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        return StubModule(spec.name)

    def exec_module(self, module):
        module.__path__ = []


def import_host(root: Path, cpu: bool, stubbed: tuple[str, ...] = ()) -> list[str]:
    """Makes `comfy` importable from the tree at root; returns the names of libraries that are stood in for.

    stubbed: libraries to stand in for even though they are there. Raises ValueError when root is no ComfyUI."""
    if not (root / "comfy" / "lora.py").is_file():
        raise ValueError(f"COMFYUI_PATH: expected the folder of a ComfyUI checkout, got {str(root)!r}.")
    missing = [name for name in UNUSED if name in stubbed or importlib.util.find_spec(name) is None]
    sys.meta_path.insert(0, StubFinder(missing))
    sys.path.insert(0, str(root))
    from comfy.cli_args import args
    args.cpu = cpu
    import comfy.float
    import comfy.lora  # noqa: F401
    return missing
