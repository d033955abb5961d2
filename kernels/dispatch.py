"""Which form of an operation runs: what the caller names, else what a committed benchmark found faster, else torch."""
import importlib.util
import json
import logging
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "benchmarks" / "results"
FASTER = 1.15
OLDEST = (8, 0)

_failed: set[tuple[str, str]] = set()


def run(operation: str, forms: Mapping[str, Callable], device: torch.device, backend: str | None,
        allow_triton: bool, arguments: tuple):
    """Runs one of `forms` on `arguments`.

    A Triton form that the rule chose and that fails is logged once, not chosen again, and its work done by torch; one
    that the caller named raises. Raises ValueError for an unknown backend and where Triton cannot run."""
    if backend not in (None, *forms):
        raise ValueError(f"backend: expected {' or '.join(forms)}, got {backend!r}.")
    if backend == "triton" and (reason := why_no_triton(device, allow_triton)):
        raise ValueError(f"backend: triton cannot run {operation} here: {reason}.")
    if backend or not prefers_triton(operation, device, allow_triton):
        return forms[backend or "torch"](*arguments)
    try:
        return forms["triton"](*arguments)
    except Exception as error:  # whatever a compiler, a driver or a card may raise
        _failed.add((operation, architecture(device)))
        logging.warning("Bottega: %s runs in torch from now on, its Triton form failed: %s", operation, error)
        return forms["torch"](*arguments)


def why_no_triton(device: torch.device, allow_triton: bool = True) -> str:
    """Why Triton forms cannot run on a device; "" when they can."""
    if not allow_triton:
        return "the host was started with --disable-triton-backend"
    if device.type == "cpu" and _interpreted():
        return ""
    if device.type != "cuda" or torch.version.hip:
        return f"it needs an NVIDIA GPU, the tensors are on {device.type}"
    if torch.cuda.get_device_capability(device) < OLDEST:
        return f"it needs sm_80 or newer, this is {architecture(device)}"
    return "" if _installed() else "Triton is not installed"


def architecture(device: torch.device) -> str:
    """sm_90 and the like; the type of a device that is not CUDA."""
    if device.type != "cuda":
        return device.type
    return "sm_{}{}".format(*torch.cuda.get_device_capability(device))


def prefers_triton(operation: str, device: torch.device, allow_triton: bool = True) -> bool:
    """Whether the rule alone would run the Triton form: proven faster here, able to run, and never failed."""
    name = architecture(device)
    return ((operation, name) not in _failed and proven().get((operation, name), 0.0) >= FASTER
            and not why_no_triton(device, allow_triton))


@cache
def proven() -> dict[tuple[str, str], float]:
    """{(operation, architecture): speed of the Triton form over the torch form} of the committed GPU benchmarks.

    Of several results for one architecture the slowest counts."""
    found = {}
    for path in sorted(RESULTS.glob("gpu_*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        for operation, ratio in result.get("triton_over_torch", {}).items():
            key = operation, result["architecture"]
            found[key] = min(ratio, found.get(key, ratio))
    return found


@cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


@cache
def _interpreted() -> bool:
    """Whether Triton's interpreter is on, with which the tests run the kernels on the CPU."""
    if not _installed():
        return False
    import triton
    return triton.knobs.runtime.interpret
