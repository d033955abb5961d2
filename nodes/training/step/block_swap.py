"""Blocks whose weights rest in the computer's memory and come to the device for as long as they are at work.

While a block computes, the next one is brought: forwards in the forward pass, backwards where the backward runs the
blocks again. So at most two of them are on the device. Nothing is computed in another way: the numbers are the same.
Blocks must be recomputed in the backward (see adapters.attach.checkpointed), which is when they are needed again.
"""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch

from ...shared.full_memory import is_memory_full

ON_DEVICE = 2


class BlockSwap:
    """The last `count` blocks of a model, on their way. Weights that are elsewhere anyway stay there."""

    def __init__(self, blocks: Sequence[torch.nn.Module], count: int, device: torch.device):
        self.device, self.blocks = torch.device(device), list(blocks)[-count:] if count else []
        self.resting: list[dict] = []
        self.here: dict[int, dict] = {}
        self.last, self.away = -1, False
        self.stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    @contextmanager
    def on(self) -> Iterator[None]:
        """Inside, the blocks come and go; outside, all are on the device as the host put them there."""
        if not self.resting:
            self.resting = [self._copied(block) for block in self.blocks]
        forwards = [vars(block).get("forward") for block in self.blocks]
        try:
            for number, block in enumerate(self.blocks):
                self._put(self.resting[number])
                block.forward = partial(self._run, number, block.forward)
            yield
        finally:
            for block, forward in zip(self.blocks, forwards, strict=True):
                if forward is None:
                    vars(block).pop("forward", None)
                else:
                    block.forward = forward
            self.bring_back()

    def bring_back(self) -> None:
        """All blocks to the device, as far as there is room: an error's traceback may still hold what filled it."""
        self.last, self.away = -1, False
        self._wait()
        for number, weights in enumerate(self.resting):
            try:
                self._put(self.here.pop(number, None) or self._brought(number))
            except Exception as error:
                if not is_memory_full(error):
                    raise
                self._put(weights)
                self.away = True
        self._wait()

    def _run(self, number, forward, *args, **kwargs):
        self._arrive(number)
        return forward(*args, **kwargs)

    def _arrive(self, number):
        """Has block `number` here, and the one that comes after it on its way; the others go."""
        forwards = number > self.last or number == 0
        after = number + (1 if forwards else -1)
        self.last = number
        for other in [n for n in self.here if n not in (number, after)]:
            self._put(self.resting[other])
            del self.here[other]
        if number not in self.here:
            self._wait()        # what goes may still compute, and its memory is what comes next is brought into
            self.here[number] = self._brought(number)
        self._wait()
        self._put(self.here[number])
        if 0 <= after < len(self.blocks) and after not in self.here:
            self.here[after] = self._brought(after)

    def _brought(self, number) -> dict:
        """The weights of a block on the device; on CUDA they come while it computes."""
        if self.stream is None:
            return {key: self._as_weight(weight.to(self.device, non_blocking=True), weight)
                    for key, weight in self.resting[number].items()}
        with torch.cuda.stream(self.stream):
            return {key: self._as_weight(weight.to(self.device, non_blocking=True), weight)
                    for key, weight in self.resting[number].items()}

    def _wait(self):
        """What is computed from here on meets weights that have arrived."""
        if self.stream is not None:
            torch.cuda.current_stream(self.device).wait_stream(self.stream)
            self.stream.wait_stream(torch.cuda.current_stream(self.device))

    def _copied(self, block) -> dict:
        """{(module, name): weight in the computer's memory, pinned on CUDA} of what lies on the device."""
        with torch.inference_mode(False), torch.no_grad():
            return {(module, name): self._as_weight(self._pinned(weight.detach().to("cpu", copy=True)), weight)
                    for module in block.modules() for name, weight in module._parameters.items()
                    if weight is not None and weight.device == self.device}

    def _pinned(self, weight):
        return weight.pin_memory() if self.stream is not None and type(weight) is torch.Tensor else weight

    @staticmethod
    def _as_weight(tensor, like):
        return torch.nn.Parameter(tensor, requires_grad=like.requires_grad)

    @staticmethod
    def _put(weights):
        for (module, name), weight in weights.items():
            module._parameters[name] = weight


def saved_bytes(blocks: Sequence[torch.nn.Module], count: int, device: torch.device) -> int:
    """What swapping the last `count` blocks frees on the device: all but the two largest of them."""
    sizes = [block_bytes(block, device) for block in list(blocks)[-count:]] if count else []
    return sum(sorted(sizes)[:-ON_DEVICE])


def block_bytes(block: torch.nn.Module, device: torch.device) -> int:
    """Of the block's weights that lie on the device."""
    return sum(weight.untyped_storage().nbytes() for weight in block.parameters() if weight.device == device)
