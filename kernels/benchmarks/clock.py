"""Times contenders in turn on one device, and what the device can do at best."""
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

Contenders = dict[str, Callable[[], object]]


class Setting(NamedTuple):
    """Where and how large. `share` scales the models down; 1 is the real size."""
    device: torch.device
    rounds: int
    share: float
    toy: bool


def seconds(function: Callable[[], object], device: torch.device) -> float:
    """One run, from an idle device to an idle device; on CUDA by its own events."""
    if device.type != "cuda":
        before = time.perf_counter()
        function()
        return time.perf_counter() - before
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begun.record()
    function()
    ended.record()
    torch.cuda.synchronize(device)
    return begun.elapsed_time(ended) / 1e3


def interleaved(contenders: Contenders, setting: Setting, warm_up: int = 2) -> dict[str, float]:
    """Median seconds of each; all run in every round and the order turns."""
    for function in contenders.values():
        for _ in range(1 if setting.toy else warm_up):
            function()
    names, times = list(contenders), {name: [] for name in contenders}
    for number in range(setting.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            times[name].append(seconds(contenders[name], setting.device))
    return {name: statistics.median(values) for name, values in times.items()}


def peak_bytes(function: Callable[[], object], device: torch.device) -> int | None:
    """Memory that a run needs beyond what was held before; None where the device does not say."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    function()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def copy_bandwidth(setting: Setting) -> float:
    """Bytes a second, read and written, of copying what no cache holds."""
    source = torch.empty((1 << 20) if setting.toy else (1 << 30), dtype=torch.uint8, device=setting.device).random_()
    target = torch.empty_like(source)
    return 2 * source.numel() / interleaved({"copy": lambda: target.copy_(source)}, setting)["copy"]


def matrix_rate(setting: Setting) -> float:
    """Operations a second of a large bfloat16 product of random numbers."""
    side = 128 if setting.toy else 8192
    a, b = (torch.randn(side, side, device=setting.device).bfloat16() for _ in range(2))
    return 2 * side ** 3 / interleaved({"product": lambda: a @ b}, setting)["product"]
