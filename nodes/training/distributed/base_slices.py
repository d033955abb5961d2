"""A frozen base in slices: each rank keeps its part of the bytes of the repeated blocks' weights, and a block is put
together while it runs, forwards and backwards.

Bytes and not numbers, so that every type stays what it is, quantised ones included; and the modules stay the host's
own. What fully_shard of torch does, which knows no quantised tensors. Autograd keeps none of these weights, because
frozen layers fetch theirs again for the backward (model/frozen.py).
"""
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ..model.frozen import is_conv, is_linear
from ..model.layers import repeated_blocks
from .order import Order

ALIGNED = 16            # bytes: a tensor of any type may begin there


class Block:
    """One block's weights. views: (tensor, begin, end) in its bytes; slice: this rank's part of them."""

    def __init__(self, module: torch.nn.Module, rank: int, size: int, device: torch.device):
        self.module, self.views, end = module, [], 0
        for tensor in weights_of(module):
            begin = -(-end // ALIGNED) * ALIGNED
            end = begin + tensor.numel() * tensor.element_size()
            self.views.append((tensor, begin, end))
        self.length = -(-end // (ALIGNED * size)) * ALIGNED             # of a slice
        whole = torch.zeros(self.length * size, dtype=torch.uint8)
        for tensor, begin, end in self.views:
            whole[begin:end] = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
        self.sum = int(whole.view(torch.int64).sum())                   # wraps around; tells blocks apart
        self.slice = whole[rank * self.length:(rank + 1) * self.length].clone().to(device)
        self.own = [tensor.data for tensor, _, _ in self.views]
        self.users = 0
        self.close()

    def open(self, whole: torch.Tensor) -> None:
        """Lets the tensors be views of a buffer that holds the block's bytes."""
        for (tensor, begin, end), own in zip(self.views, self.own, strict=True):
            tensor.data = whole[begin:end].view(own.dtype).view(own.shape)

    def close(self) -> None:
        """Tensors without memory of their own, so that shape and type stay true for whoever asks."""
        for (tensor, _, _), own in zip(self.views, self.own, strict=True):
            tensor.data = torch.empty(1, dtype=own.dtype).expand(own.shape)

    def give_back(self) -> None:
        for (tensor, _, _), own in zip(self.views, self.own, strict=True):
            tensor.data = own

    def forget_own(self) -> None:
        """Where nobody needs the whole weights after the training: shapes and types stay, the memory goes."""
        self.own = [torch.empty(1, dtype=own.dtype).expand(own.shape) for own in self.own]


class BaseSlices:
    """The blocks of a network in slices. gather(whole, slice): begins to fill `whole` with everybody's slices in order
    of ranks, and returns what to call to wait for it. announce(number): called before a block is gathered.

    Rank 0 keeps the whole weights in main memory, where the host left them, and the model gets them back at the end."""

    def __init__(self, network: torch.nn.Module, rank: int, size: int, device: torch.device,
                 gather: Callable[[torch.Tensor, torch.Tensor], Callable[[], None]],
                 announce: Callable[[int], None] = lambda number: None):
        self.size, self.gather, self.announce, self.order = size, gather, announce, Order()
        self.blocks, self.waits = [], [None, None]
        self.lingering: int | None = None       # a block after whose backward nothing comes, see linger()
        try:
            self._make(network, rank, device)
        except BaseException:           # a full memory, after some blocks: the model is the user's
            for block in self.blocks:
                block.give_back()
            raise
        self.replaced = [vars(block.module).get("forward") for block in self.blocks]
        for number, block in enumerate(self.blocks):
            block.module.forward = SlicedForward(self, number, block.module.forward)

    def _make(self, network, rank, device):
        """The blocks, and the two buffers that the longest of them fits into."""
        for _, module in repeated_blocks(network):
            make_normal(module)
            self.blocks.append(Block(module, rank, self.size, device))
            if rank:
                self.blocks[-1].forget_own()
        if not self.blocks:
            raise ValueError("share_base: expected a model of repeated blocks, which the devices can share; this one "
                             "has none.")
        longest = max(block.length for block in self.blocks) * self.size
        self.buffers = [torch.empty(longest, dtype=torch.uint8, device=device) for _ in range(2)]

    @property
    def sums(self) -> list[int]:
        """A number a block that differs where its bytes do."""
        return [block.sum for block in self.blocks]

    def held(self, network: torch.nn.Module) -> tuple[int, int]:
        """(bytes of the network that this rank has for computing: what is whole, its slices and the two buffers; bytes
        of the whole network). Not counted: what waits in rank 0's main memory for the end."""
        parts = [getattr(each, "_qdata", each) for each in network.parameters()]
        whole = sum({part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for part in parts}.values())
        sliced = sum(end - begin for block in self.blocks for _, begin, end in block.views)
        own = sum(block.slice.numel() for block in self.blocks) + sum(buffer.numel() for buffer in self.buffers)
        return whole + own, whole + sliced

    def take(self, number: int) -> None:
        """The block's weights are there until drop()."""
        if self.lingering not in (None, number):
            self._end_lingering()
        block = self.blocks[number]
        block.users += 1
        if block.users > 1:
            return
        self.order.asked(number)
        slot = self.order.slot_of(number)
        if slot is None:
            slot = self.start(number)
        self._finish(slot)
        block.open(self.buffers[slot])
        self.order.now(slot)
        if (following := self.order.following()) is not None:
            self.start(following)

    def ask_on(self, until: int) -> None:
        """Asks for the next blocks of the learnt order as if they ran, up to so many asked for in all."""
        self._close_all()                               # of a pass that was cut short
        while self.order.count < until:
            number = self.order.learnt[self.order.at]
            self.take(number)
            self.drop(number)

    def drop(self, number: int) -> None:
        block = self.blocks[number]
        block.users = max(0, block.users - 1)           # a backward that was cut short had forgotten it
        if not block.users:
            block.close()

    def linger(self, number: int) -> None:
        """Keeps a block that is there for its backward until another is asked for or the whole backward ends: no
        gradient leaves it that would say when its own has."""
        self._end_lingering()
        self.lingering = number
        torch.autograd.Variable._execution_engine.queue_callback(self._end_lingering)

    def _end_lingering(self):
        number, self.lingering = self.lingering, None
        if number is not None:
            self.drop(number)

    def _close_all(self):
        self.lingering = None
        for block in self.blocks:
            block.users = 0
            block.close()

    def start(self, number: int) -> int:
        """Begins to gather a block into the buffer that is free; returns which."""
        block, slot = self.blocks[number], self.order.place(number, [each.users for each in self.blocks])
        self._finish(slot)
        self.announce(number)
        self.waits[slot] = self.gather(self.buffers[slot][:block.length * self.size], block.slice)
        return slot

    def _finish(self, slot):
        wait, self.waits[slot] = self.waits[slot], None
        if wait is not None:
            wait()

    def forget(self) -> None:
        """Nothing is under way or known to lie in a buffer; on all ranks at the same time."""
        for slot in range(2):
            self._finish(slot)
        self.order.forget()
        self._close_all()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Rank 0's own weights in their places, for who reads them one by one; nothing runs inside."""
        for block in self.blocks:
            block.give_back()
        try:
            yield
        finally:
            for block in self.blocks:
                block.close()

    def undo(self) -> None:
        """Rank 0's model is as it was."""
        for block, forward in zip(self.blocks, self.replaced, strict=True):
            if forward is None:
                del block.module.forward
            else:
                block.module.forward = forward
            block.give_back()


class SlicedForward:
    """A block's forward that has its weights put together for it, and again for its backward."""

    def __init__(self, base: BaseSlices, number: int, inner: Callable):
        self.base, self.number, self.inner = base, number, inner

    def __call__(self, *args, **kwargs):
        args, kwargs = list(args), dict(kwargs)
        places = [(args, i) for i in range(len(args))] + [(kwargs, key) for key in kwargs]
        inputs = [(box, key) for box, key in places if _has_gradient(box[key])]
        if inputs:
            _replace(inputs, _AfterBackward.apply(self, *(box[key] for box, key in inputs)))
        self.base.take(self.number)
        try:
            out = self.inner(*args, **kwargs)
        finally:
            self.base.drop(self.number)
        found = list(out) if isinstance(out, tuple) else [out]
        outputs = [(found, i) for i, value in enumerate(found) if _has_gradient(value)]
        if outputs:
            _replace(outputs, _BeforeBackward.apply(self, bool(inputs), *(box[key] for box, key in outputs)))
        return tuple(found) if isinstance(out, tuple) else found[0]


def _has_gradient(value) -> bool:
    return torch.is_grad_enabled() and isinstance(value, torch.Tensor) and value.requires_grad


def _replace(places, values):
    for (box, key), value in zip(places, values, strict=True):
        box[key] = value


class _BeforeBackward(torch.autograd.Function):
    """Copies of a block's outputs; its backward runs before the block's. Copies, because models write into such
    tensors, which views that come in several do not allow."""

    @staticmethod
    def forward(ctx, block, closes, *outputs):
        ctx.block, ctx.closes = block, closes
        return tuple(value.clone() for value in outputs)

    @staticmethod
    def backward(ctx, *gradients):
        base, number = ctx.block.base, ctx.block.number
        base.take(number)
        if not ctx.closes:              # the first block
            base.linger(number)
        return None, None, *gradients


class _AfterBackward(torch.autograd.Function):
    """Copies of a block's inputs; its backward runs after the block's."""

    @staticmethod
    def forward(ctx, block, *inputs):
        ctx.block = block
        return tuple(value.clone() for value in inputs)

    @staticmethod
    def backward(ctx, *gradients):
        ctx.block.base.drop(ctx.block.number)
        return None, *gradients


def weights_of(block: torch.nn.Module) -> Iterator[torch.Tensor]:
    """The tensors with the bytes of a block's linear layers and convolutions; biases, norms and scales are small and
    stay whole, for autograd keeps some of them."""
    seen = set()
    for module in block.modules():
        weight = getattr(module, "weight", None) if is_linear(module) or is_conv(module) else None
        if isinstance(weight, torch.Tensor) and id(weight) not in seen:
            seen.add(id(weight))
            yield getattr(weight, "_qdata", weight)


def make_normal(block: torch.nn.Module) -> None:
    """What the executor loaded was made in inference mode, and such tensors take no new data outside of it."""
    for module in block.modules():
        for name, value in module._parameters.items():
            if value is not None and (value.is_inference() or getattr(value, "_qdata", value).is_inference()):
                module._parameters[name] = torch.nn.Parameter(value.detach().clone(), requires_grad=False)
