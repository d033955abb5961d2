"""An adapter as a branch beside a layer that stays as it is: what the layer gives, changed as the patched weight would.

With f(x) = W x + b, a patch that makes W' of W at strength s becomes, on z = W x:

    LoRA, LoCon, LoHa, LoKr    z + s h(x)                        h: the adapter's own path
    OFT                        z + s (R z - z)                   R: rotations of groups of outputs
    DoRA, norms of rows        z + s (c (z + h(x)) - z)          c = magnitude / norm, of W once
    DoRA, norms of columns     z + s (W (c x) + h(c x) - z)            where z is W x and nothing else

Parts of a fused weight work on a slice of the outputs or of the inputs.
"""
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from comfy.ops import CastWeightBiasOp
from comfy.weight_adapter import LoHaAdapter, LoKrAdapter, LoRAAdapter, OFTAdapter
from torch import Tensor

from ..model.unsupported_models import is_readable
from .adapter_parts import is_narrowed, part, with_parts
from .merge import plain_factors
from .peft_dora import PeftDora

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@dataclass
class Layer:
    """The layer that a branch stands beside, as far as it has to be known."""
    forward: Callable[[Tensor], Tensor]
    own_bias: Callable[[], Tensor | None]
    """What forward adds; read only by what depends on W x."""
    weight: Callable[[], Tensor]
    """What forward multiplies with, unpacked, float32; read only for DoRA."""
    options: dict | None
    """stride, padding and dilation of a convolution; None for a linear layer."""
    kernel: tuple[int, ...] = ()
    """[in, height, ...] of a convolution: files may hold its kernels flat."""
    fresh: bool = False
    """Whether what forward gives is nobody else's, so that a branch may write into it."""

    @property
    def channels(self) -> int:
        """The dimension of a feature map that holds its channels."""
        return 1 if self.options is not None else -1

    def linear(self, x: Tensor) -> Tensor:
        """W x, without the bias."""
        y, bias = self.forward(x), self.own_bias()
        return y if bias is None else y - self.along(bias.to(y), y)

    def with_bias(self, z: Tensor) -> Tensor:
        """z = W x with the bias again."""
        bias = self.own_bias()
        return z if bias is None else z + self.along(bias.to(z), z)

    def along(self, values: Tensor, y: Tensor) -> Tensor:
        """Values of each channel, shaped to meet a feature map."""
        return values.view(-1, *[1] * (y.ndim - 2)) if self.options is not None else values

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """weight [out, in, ...] applied to x as the layer applies its own."""
        if self.options is None:
            return F.linear(x, weight.flatten(1))
        return CONVOLUTIONS[x.ndim - 2](x, weight.reshape(len(weight), *self.kernel), **self.options)


@dataclass
class Branch:
    """One adapter at one strength. Raises nothing: what cannot be a branch is told by `branch_of`."""
    patch: object
    strength: float
    offset: tuple[int, int, int] | None = None
    _kept: dict = field(default_factory=dict, repr=False)

    @property
    def depends(self) -> bool:
        """Whether the branch needs W x and not only x."""
        return isinstance(self.patch, OFTAdapter) or self.reads_weight

    @property
    def reads_weight(self) -> bool:
        """Whether the branch needs W itself: then a change that came before it has to be in W, not beside it."""
        return isinstance(self.patch, PeftDora) or self._dora() is not None

    def bytes(self) -> int:
        return sum(part.nbytes for part in self.patch.weights if isinstance(part, Tensor))

    def target(self, key: str) -> str | tuple:
        """Where its patch goes in the weight of this key, as the host's add_patches names it."""
        return key if self.offset is None else (key, self.offset)

    def added(self, x: Tensor, layer: Layer) -> Tensor:
        """What it adds to z where it does not depend on it, in x's type and on its device."""
        return _low_rank(self.patch, self._parts(x), self._input(x, layer), layer, self.strength)

    def onto(self, z: Tensor, x: Tensor, layer: Layer) -> Tensor:
        """z, with the change of this branch in its slice; z itself where layer.fresh."""
        if (product := self._product(z, x, layer)) is not None:
            return with_product(z, *product, layer, self.offset)
        if self.offset is None or self.offset[0] == 1:
            return z + self._change(z, x, layer)
        z = z.clone()
        part = z.narrow(layer.channels, *self.offset[1:])
        part.add_(self._change(part, x, layer))     # as a call: a training makes a new tensor of `part += ...`
        return z

    def release(self) -> None:
        """Lets go of what it keeps on the device."""
        self._kept.clear()

    def _product(self, z, x, layer):
        """(inner, up) of a plain LoRA beside a linear layer, None for what is no product over the last dimension."""
        if type(self.patch) is not LoRAAdapter or self.depends or not is_product(z, x, layer):
            return None
        up, down, scale = plain_factors(LoRAAdapter(set(), (*self._parts(x)[:4], None, None)))
        return layer.apply(self._input(x, layer), down) * (self.strength * scale), up.flatten(1)

    def _change(self, z, x, layer):
        if not self.depends:
            return self.added(x, layer)
        if isinstance(self.patch, OFTAdapter):
            return self.strength * (_rotated(self._rotations(x), z, layer) - z)
        factors, rows = self._magnitudes(x, layer)
        if rows:
            changed = (z + _low_rank(self.patch, self._parts(x), x, layer)) * layer.along(factors, z)
        else:
            scaled = x * layer.along(factors, x)
            changed = layer.linear(scaled) + _low_rank(self.patch, self._parts(x), scaled, layer)
        return self.strength * (changed - z)

    def _input(self, x, layer):
        return x.narrow(layer.channels, *self.offset[1:]) if self.offset and self.offset[0] == 1 else x

    def _dora(self):
        return part(self.patch, "dora_scale")

    def _parts(self, x: Tensor) -> list:
        return self._once("parts", x, lambda: [
            _usable(part, x) if isinstance(part, Tensor) else part for part in self.patch.weights])

    def _rotations(self, x):
        return self._once("rotations", x, lambda: _usable(_orthogonal(*self.patch.weights[:3]), x))

    def _magnitudes(self, x, layer):
        return self._once("magnitudes", x, lambda: _magnitudes(self.patch, self._dora(), layer.weight(), x))

    def _once(self, name, x, make):
        """Made anew only for another device or type; never an inference tensor, so that gradients can pass."""
        key = (name, x.device, x.dtype)
        if key not in self._kept:
            with torch.inference_mode(False), torch.no_grad():
                self._kept[key] = make()
        return self._kept[key]


def is_product(z: Tensor, x: Tensor, layer: Layer) -> bool:
    """Whether with_product can be used."""
    return layer.options is None and x.ndim > 1 and z.dtype == x.dtype


def with_product(z: Tensor, inner: Tensor, up: Tensor, layer: Layer, offset=None) -> Tensor:
    """z [..., out] with inner [..., rank] up^T [rank, out] added to it, or to a slice of its outputs, in one pass.

    z itself is written into where it is the layer's to give away and no gradient is asked for."""
    rows, tracked = inner.flatten(0, -2), torch.is_grad_enabled() and (z.requires_grad or inner.requires_grad)
    sliced, own = bool(offset) and offset[0] == 0, layer.fresh and z.is_contiguous() and not tracked
    if not sliced and not own:
        return torch.addmm(z.flatten(0, -2), rows, up.t()).view_as(z)
    z = z if own else z.clone(memory_format=torch.contiguous_format)
    part = z.view(-1, z.shape[-1])
    (part.narrow(1, *offset[1:]) if sliced else part).addmm_(rows, up.t())
    return z


def branch_of(patch, strength: float, target, module: torch.nn.Module) -> Branch | str:
    """The branch of a patch at `target`, or why it has to stay a patch."""
    key, offset, *function = (target, None) if isinstance(target, str) else (*target, None)[:3]
    if not key.endswith(".weight"):
        return "no layer's weight"
    if function and function[0] is not None:
        return "rearranged by the host"
    if _options(module) is None and not _is_linear(module):
        return f"of a layer that is no plain linear layer or convolution ({type(module).__name__})"
    if getattr(module, "groups", 1) != 1:
        return "of a grouped convolution"
    reason = _no_branch(patch, offset) or _no_norm(patch, module)
    return reason or Branch(patch, strength, offset)


def _no_branch(patch, offset) -> str:
    kinds = (LoRAAdapter, LoHaAdapter, LoKrAdapter, OFTAdapter, PeftDora)
    known = isinstance(patch, kinds) and (type(patch) in kinds or isinstance(patch, OFTAdapter))
    if not known:
        return "a whole difference" if isinstance(patch, tuple) else f"{getattr(patch, 'name', 'unknown')}"
    dora = part(patch, "dora_scale")
    if part(patch, "reshape") is not None:
        return "a weight made larger"
    if is_narrowed(patch):
        return "narrowed by the host"
    if isinstance(patch, OFTAdapter) and any(each is not None for each in patch.weights[1:4:2]):  # rescale, dora_scale
        return "OFT with a scale"
    return "DoRA on a part of a fused weight" if offset and (dora is not None or type(patch) is PeftDora) else ""


def _no_norm(patch, module) -> str:
    dora = type(patch) is PeftDora or part(patch, "dora_scale") is not None
    unread = dora and not is_readable(module.weight)
    return "DoRA on a weight that another pack packs, whose norm the host cannot read" if unread else ""


def layer_of(module: torch.nn.Module, forward: Callable, weight: Callable[[], Tensor],
             bias: Callable[[], Tensor | None], fresh: bool = False) -> Layer:
    options = _options(module)
    kernel = (module.in_channels, *module.kernel_size) if options else ()
    return Layer(forward, bias, weight, options, kernel, fresh)


def _is_linear(module) -> bool:
    """torch's and what stands for it in the host's operations, which is none of torch's where weights are quantised.
    Others of that name may scale their weight, as the host's EqualLinear does, or hold several."""
    hosts = isinstance(module, CastWeightBiasOp) and type(module).__name__ == "Linear"
    return isinstance(module, torch.nn.Linear) or hosts


def _options(module) -> dict | None:
    if not isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)) or module.padding_mode != "zeros":
        return None
    return {name: getattr(module, name) for name in ("stride", "padding", "dilation")}


def _usable(part: Tensor, x: Tensor) -> Tensor:
    return part.detach().to(x.device, x.dtype, copy=True)


def _low_rank(patch, parts, x: Tensor, layer: Layer, strength: float = 1.0) -> Tensor:
    """s h(x): strength and alpha / rank times the adapter's own path."""
    if isinstance(patch, PeftDora):
        up, down, alpha, _ = parts
        return _through(x, down, up, strength * (1.0 if alpha is None else alpha / len(down)), layer)
    if isinstance(patch, LoRAAdapter):
        plain = LoRAAdapter(set(), (*parts[:4], None, None))
        up, down, scale = plain_factors(plain)
        return _through(x, down, up, strength * scale, layer)
    if isinstance(patch, LoKrAdapter):
        return strength * _kronecker(x, parts, layer)
    return strength * layer.apply(x, _hadamard(parts))


def _through(x, down, up, scale, layer: Layer) -> Tensor:
    """The scale goes to the few channels in between, not to all of the output."""
    inner = layer.apply(x, down) * scale
    if layer.options is None:
        return F.linear(inner, up.flatten(1))
    return CONVOLUTIONS[x.ndim - 2](inner, up.flatten(1).view(*up.shape[:2], *[1] * (x.ndim - 2)))


def _hadamard(parts) -> Tensor:
    """The change of a LoHa, of the weight's size for the time of this call."""
    w1_a, w1_b, alpha, w2_a, w2_b, t1, t2 = parts[:7]
    tucker = lambda core, into, out: torch.einsum("ij...,jr,ip->pr...", core, into, out)
    first = w1_a @ w1_b if t1 is None else tucker(t1, w1_b, w1_a)
    second = w2_a @ w2_b if t1 is None else tucker(t2, w2_b, w2_a)
    return first * second * (1.0 if alpha is None else alpha / w1_b.shape[0])


def _kronecker(x, parts, layer: Layer) -> Tensor:
    """(A kron B) x = A X B^T with x as the matrix X [columns of A, columns of B]; a convolution forms the product."""
    w1, w2, alpha, w1_a, w1_b, w2_a, w2_b, t2 = parts[:8]
    rank = w2_b.shape[0] if w2 is None else w1_b.shape[0] if w1 is None else None
    scale = 1.0 if alpha is None or rank is None else alpha / rank
    first = w1 if w1 is not None else w1_a @ w1_b
    if w2 is None:
        w2 = w2_a @ w2_b if t2 is None else torch.einsum("ij...,jr,ip->pr...", t2, w2_b, w2_a)
    if layer.options is not None:
        return layer.apply(x, torch.kron(first.view(*first.shape, *[1] * (w2.ndim - 2)), w2)) * scale
    matrix = x.reshape(*x.shape[:-1], first.shape[1], -1)
    return (first @ F.linear(matrix, w2.flatten(1))).flatten(-2) * scale


def _orthogonal(blocks: Tensor, _rescale, constraint) -> Tensor:
    """Cayley's transform of OFT's blocks [groups, size, size], float32, as the host forms it."""
    blocks = blocks.float()
    skew = blocks - blocks.transpose(1, 2)
    length = torch.norm(skew) + 1e-8
    if constraint and length > constraint:
        skew = skew * constraint / length
    identity = torch.eye(blocks.shape[1], device=blocks.device)
    return (identity + skew) @ (identity - skew).inverse()


def _rotated(rotations: Tensor, z: Tensor, layer: Layer) -> Tensor:
    last = z.movedim(layer.channels, -1)
    grouped = last.reshape(*last.shape[:-1], *rotations.shape[:2])
    return torch.einsum("knm,...kn->...km", rotations, grouped).reshape(last.shape).movedim(-1, layer.channels)


def _magnitudes(patch, dora: Tensor | None, weight: Tensor, x: Tensor) -> tuple[Tensor, bool]:
    """(factor of each row or column, whether of rows): the magnitude over the norm that the patch divides by."""
    own = weight.float().flatten(1)
    if isinstance(patch, PeftDora):
        up, down, alpha, magnitude = (part.to(own) if isinstance(part, Tensor) else part for part in patch.weights)
        changed = own + up.flatten(1) @ down.flatten(1) * (1.0 if alpha is None else alpha / len(down))
        return (magnitude.flatten() / changed.norm(dim=1)).to(x), True
    if dora.shape[0] == own.shape[0]:
        return (dora.flatten().to(own) / (own.norm(dim=1) + torch.finfo(weight.dtype).eps)).to(x), True
    changed = weight.float() + _whole_change(patch, weight)
    norms = changed.transpose(0, 1).flatten(1).norm(dim=1) + torch.finfo(weight.dtype).eps
    return (dora.flatten().to(own) / norms).to(x), False


def _whole_change(patch, weight: Tensor) -> Tensor:
    """The adapter's change without its DoRA scale, as the host adds it; once a run, for the norm."""
    plain = with_parts(patch, dora_scale=None)
    before = torch.zeros_like(weight, dtype=torch.float32)
    return plain.calculate_weight(before, "", 1.0, 1.0, None, lambda change: change)
