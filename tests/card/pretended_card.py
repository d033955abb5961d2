"""A pretended accelerator, `card:0`, on a machine that has none.

Its tensors hold the computer's own memory, say that they lie on the card, and refuse to meet tensors and generators of
the CPU, as a real card's do. It counts what crosses between the two, what makes the CPU wait for the card, and the
memory that its tensors hold; beyond `CARD.limit` it is out of memory.

torch registers such a device in Python alone (torch.utils.backend_registration, torch 2.11). A device named "cuda"
cannot be pretended so: autograd asks its streams.
"""
import weakref
from collections import Counter

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

aten = torch.ops.aten
MOVES = {aten._to_copy.default, aten.copy_.default, aten._has_compatible_shallow_copy_type.default}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""CUDA takes indices that lie on the CPU, and brings them over itself."""
WAITS = {aten._local_scalar_dense.default: "item", aten.equal.default: "equal", aten.nonzero.default: "nonzero",
         aten.masked_select.default: "masked_select", aten._unique2.default: "unique",
         aten.bincount.default: "bincount", aten.repeat_interleave.Tensor: "repeat_interleave"}
"""What makes the CPU wait because it has to know a number, or how large a result is."""


class Memory:
    """Bytes that the card's tensors hold, and the most that they held at once. Tensors of one storage count once."""

    def __init__(self):
        self.allocated = self.peak = 0
        self.owners: Counter[int] = Counter()
        self.references = {}

    def hold(self, held: torch.Tensor) -> None:
        storage = held.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if not self.owners[key]:
            self.allocated += size
            self.peak = max(self.peak, self.allocated)
        self.owners[key] += 1
        reference = weakref.ref(held, self._release)
        self.references[id(reference)] = reference, key, size

    def forget_peak(self) -> None:
        """The peak begins at what is held now."""
        self.peak = self.allocated

    def _release(self, reference) -> None:
        _, key, size = self.references.pop(id(reference))
        self.owners[key] -= 1
        if not self.owners[key]:
            del self.owners[key]
            self.allocated -= size


class Card:
    """What the one pretended card has seen. moved: transfers by direction; waited: synchronisations by what asked."""

    def __init__(self, gigabytes: float = 8.0):
        self.limit, self.memory = int(gigabytes * 2**30), Memory()
        self.moved, self.waited = Counter(), Counter()

    @property
    def free(self) -> int:
        return max(0, self.limit - self.memory.allocated)

    def forget(self) -> None:
        """Counts from nothing again."""
        self.moved.clear()
        self.waited.clear()
        self.memory.forget_peak()

    def check_limit(self, needed: int = 0) -> None:
        if self.memory.allocated + needed > self.limit:
            raise torch.OutOfMemoryError(f"card:0 out of memory. Tried to hold {self.memory.allocated + needed} bytes "
                                         f"of {self.limit}")


CARD = Card()


def register() -> torch.device:
    """Makes `card:0` known to torch, for this process and for good."""
    backend_registration._setup_privateuseone_for_python_backend(rename="card")
    # Where torch leaves every mode, as torch.tensor does and its compiler's wrapper around a sampler, only these are
    # asked.
    library = torch.library.Library("aten", "IMPL", "PrivateUse1")
    for operation in (aten.empty_strided.default, aten.empty.memory_format):
        library.impl(operation, lambda *args, operation=operation, **kwargs: run(operation, args, kwargs))
    library.impl("_copy_from", lambda source, target, non_blocking=False: run(aten.copy_.default, (target, source), {}))
    register.library = library
    torch.card.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]    # asked where blocks run again
    return torch.device("card:0")


class OnCard(torch.Tensor):
    """A tensor on the card; `held` is the one of the CPU that it stands for."""

    @staticmethod
    def __new__(cls, held, requires_grad=False):
        return torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            layout=held.layout, device=torch.device("card:0"), requires_grad=requires_grad)

    def __init__(self, held, requires_grad=False):
        self.held = held
        CARD.memory.hold(held)

    def untyped_storage(self):
        return self.held.untyped_storage()

    def data_ptr(self):
        return self.held.data_ptr()

    def detach(self):
        if not self.is_inference():
            return super().detach()
        with torch.inference_mode():        # torch cannot give a wrapper that was made in inference mode a new version
            return OnCard(self.held.detach())

    def tolist(self):
        CARD.waited["tolist"] += 1
        return self.held.tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError("can't convert card:0 device type tensor to numpy. Use Tensor.cpu() first.")

    def __array__(self, *args, **kwargs):
        return self.numpy()

    def __repr__(self, **_):
        return f"OnCard({self.held!r})"

    def __deepcopy__(self, memo):
        copied = OnCard(self.held.detach().clone(), self.requires_grad)
        copied._is_param = getattr(self, "_is_param", False)
        return copied

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class CardMode(TorchDispatchMode):
    """While it is entered, whatever names the card as its device, or has a tensor on it, happens there; but where
    tensors have no numbers (FakeTensorMode), nothing happens anywhere."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None:
            return func(*args, **(kwargs or {}))
        return run(func, args, kwargs or {})


def run(func, args, kwargs):
    """One operation of torch, on the card where it names it or has a tensor there."""
    flat, _ = tree_flatten((args, kwargs))
    here, target = [each for each in flat if isinstance(each, OnCard)], kwargs.get("device")
    if not here and not _is_card(target):
        return func(*args, **kwargs)
    if func._can_decompose():       # in inference mode composite operations come whole, and `to` may return its input
        with CardMode():
            return func.decompose(*args, **kwargs)
    _check_devices(func, args, flat, here, target)
    to_card = _is_card(target) if target is not None else bool(here)
    if func is aten.copy_.default:
        to_card = isinstance(args[0], OnCard)
    _count(func, args, kwargs, here, to_card)
    CARD.check_limit()
    out = func(*tree_map(_held, args), **_options(kwargs))
    if not to_card:
        return out
    # A view of a tensor from outside inference mode is no inference tensor either.
    inference = torch.is_inference_mode_enabled() and not (_is_view(func) and here and not here[0].is_inference())
    with torch.inference_mode(inference):
        return _wrapped(out, here)


def _check_devices(func, args, flat, here, target):
    for each in flat:
        if isinstance(each, torch.Generator) and each.device.type != "card":
            raise RuntimeError(f"Expected a 'card' device type for generator but found 'cpu' ({func})")
    if func in MOVES or not here:
        return
    strangers = tree_flatten(args[0])[0] if func in INDEXED else flat
    for each in strangers:
        if isinstance(each, torch.Tensor) and not isinstance(each, OnCard) and each.ndim:
            raise RuntimeError(f"Expected all tensors to be on the same device, but found card:0 and cpu! ({func})")


def _count(func, args, kwargs, here, to_card):
    if func in WAITS:
        CARD.waited[WAITS[func]] += 1
    elif func in (aten._to_copy.default, aten.copy_.default):
        source = args[1 if func is aten.copy_.default else 0]
        if to_card and not isinstance(source, OnCard):
            CARD.moved["to the card"] += 1
            if not _non_blocking(func, args, kwargs):       # CUDA catches up before such a copy returns
                CARD.waited["to the card"] += 1
        elif here and not to_card:
            CARD.moved["from the card"] += 1
            CARD.waited["cpu"] += 1
    elif func in INDEXED:
        indices = [each for each in args[1] if each is not None]
        CARD.moved["to the card"] += sum(not isinstance(each, OnCard) for each in indices)
        CARD.waited["mask"] += sum(each.dtype == torch.bool for each in indices)


def _non_blocking(func, args, kwargs) -> bool:
    return bool(kwargs.get("non_blocking") or func is aten.copy_.default and len(args) > 2 and args[2])


def _options(kwargs):
    plain = tree_map(_held, kwargs)
    if _is_card(plain.get("device")):
        plain["device"] = torch.device("cpu")
    if "pin_memory" in plain:
        plain["pin_memory"] = False
    return plain


def _held(each):
    return each.held if isinstance(each, OnCard) else each


def _wrapped(out, here):
    known = {id(each.held): each for each in here}

    def wrap(each):
        if not isinstance(each, torch.Tensor):
            return each
        return known[id(each)] if id(each) in known else OnCard(each)

    return tree_map(wrap, out)


def _is_view(func) -> bool:
    return any(each.alias_info is not None and not each.alias_info.is_write for each in func._schema.returns)


def converted(module: torch.nn.Module, convert, recurse: bool = True) -> torch.nn.Module:
    """torch.nn.Module._apply where parameters change their class on the way: they are replaced, not filled anew."""
    for child in module.children() if recurse else ():
        converted(child, convert)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                moved = convert(parameter)
            if moved is not parameter:
                module._parameters[name] = _parameter(moved, parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = convert(buffer)
    return module


def _parameter(tensor, requires_grad):
    with torch.inference_mode(tensor.is_inference()):
        return torch.nn.Parameter(tensor, requires_grad)


def _is_card(device) -> bool:
    return device is not None and torch.device(device).type == "card"
