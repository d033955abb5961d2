"""Which adapters a model gets: those of a LoRA Shape, or those in the shape of a saved LoRA."""
from dataclasses import asdict, dataclass, field, fields
from typing import NamedTuple

import torch

from ...lora.file.loading import read_patches
from ...lora.saving.export_names import host_names
from ..model.frozen import FrozenWeight, takes_adapter
from ..model.targets import Target, check_targets, find_targets
from .base import Adapter
from .dora import Dora
from .flat import Adapters
from .loha import Loha, LohaSettings
from .lokr import Lokr, LokrSettings
from .lora import Lora, LoraSettings
from .oft import Oft, OftSettings

FORMATS = ("native", "kohya", "diffusers")
MODEL = "diffusion_model."
ON_TOP = "apply it with Load LoRA and leave lora and lora_name empty: a new one is then trained on top of it"


class Algorithm(NamedTuple):
    """convolutions: whether those of the chosen blocks are trained without being named."""
    adapter: type[Adapter]
    settings: type
    convolutions: bool = False


ALGORITHMS = {
    "LoRA": Algorithm(Lora, LoraSettings),
    "LoCon": Algorithm(Lora, LoraSettings, convolutions=True),
    "DoRA": Algorithm(Dora, LoraSettings),
    "LoHa": Algorithm(Loha, LohaSettings),
    "LoKr": Algorithm(Lokr, LokrSettings),
    "OFT": Algorithm(Oft, OftSettings),
}


@dataclass(frozen=True)
class LoraShape:
    """The value of a BOTTEGA_ADAPTER link: what kind of LoRA, how large, and where.

    algorithm: a name of ALGORITHMS; alpha 0: the rank; targets: in the block language, "" for the family's own;
    settings: the algorithm's own. late_ratio: LoRA+; dropout: shares, 0 to 1; file_format: of FORMATS.
    Raises ValueError for what the algorithm does not offer."""
    algorithm: str = "LoRA"
    rank: int = 16
    alpha: float = 0.0
    targets: str = ""
    settings: object = field(default=None)
    late_ratio: float = 1.0
    rank_dropout: float = 0.0
    layer_dropout: float = 0.0
    file_format: str = "native"

    def __post_init__(self):
        algorithm = ALGORITHMS[self.algorithm]
        if self.settings is None:
            object.__setattr__(self, "settings", algorithm.settings())
        check_targets(self.targets)
        if self.late_ratio != 1 and not algorithm.adapter.late:
            raise ValueError(f"lora_plus_ratio: expected 1 with {self.algorithm}, which has no part that starts at "
                             f"zero beside one that does not; got {self.late_ratio:g}.")
        if self.rank_dropout and not algorithm.adapter.takes_rank_dropout:
            raise ValueError(f"rank_dropout: expected 0 with {self.algorithm}, whose ranks cannot be left out one by "
                             f"one; got {self.rank_dropout:g}.")

    def alpha_of(self, rank: int) -> float:
        """alpha of a layer of that rank: the number given, or the layer's own rank."""
        return self.alpha or float(rank)

    def as_dict(self) -> dict:
        return asdict(self)


def settings_for(algorithm: str, inputs: dict[str, tuple[str, object]]):
    """The algorithm's own settings from {field: (name of the input, value)}.

    Raises ValueError for an input that is not at rest and that the algorithm does not know."""
    kind = ALGORITHMS[algorithm].settings
    known = {field.name for field in fields(kind)}
    for name, (shown, value) in inputs.items():
        if value and name not in known:
            users = ", ".join(other for other, entry in ALGORITHMS.items()
                              if name in {field.name for field in fields(entry.settings)})
            raise ValueError(f"{shown}: expected to be left alone with {algorithm}; it is for {users}.")
    return kind(**{name: value for name, (_, value) in inputs.items() if name in known})


def build(shape: LoraShape, model: torch.nn.Module, device, generator: torch.Generator,
          encoders: torch.nn.Module | None = None) -> Adapters:
    """Adapters for a loaded model, and for its text encoders where the targets name them.

    Raises ValueError where the targets name nothing that can be trained."""
    algorithm = ALGORITHMS[shape.algorithm]
    targets: dict[str, Target] = find_targets(model, shape.targets, shape.rank, algorithm.convolutions,
                                               encoders)
    layers = {name: algorithm.adapter(FrozenWeight(target.module), target.rank, shape.alpha_of(target.rank),
                                      shape.settings) for name, target in targets.items()}
    return Adapters(layers, device, generator, {name: target.rate for name, target in targets.items()},
                    shape.late_ratio, shape.rank_dropout, shape.layer_dropout)


def build_like_saved(tensors: dict[str, torch.Tensor], model: torch.nn.Module, device,
                     generator: torch.Generator) -> Adapters:
    """Fresh adapters for the layers of a LoRA, each of its rank; Adapters.load gives them its values.

    tensors: as comfy.lora_convert leaves them. Raises ValueError for what is not a LoRA, LoCon or DoRA of whole layers
    of this model."""
    layers = {}
    for key, patch in patches_by_weight(tensors, model).items():
        if isinstance(key, str) and not key.startswith(MODEL):
            continue
        name = key.removeprefix(MODEL).removesuffix(".weight") if isinstance(key, str) else ""
        kind, rank, alpha = _kind(key, patch)
        module = model.diffusion_model.get_submodule(name)
        if not takes_adapter(module):
            raise ValueError(f"lora: expected layers that can be trained, got {name}, a {type(module).__name__}; "
                             f"{ON_TOP}.")
        layers[name] = kind.adapter(FrozenWeight(module), rank, alpha, kind.settings())
    if not layers:
        raise ValueError(f"lora: expected one for {type(model).__name__}, got one that names none of its layers.")
    return Adapters(layers, device, generator)


def patches_by_weight(tensors: dict[str, torch.Tensor], model: torch.nn.Module) -> dict:
    """{weight of the model: patch} as the host's loader reads a LoRA."""
    return read_patches(tensors, host_names(model))


def _kind(key, patch):
    """(algorithm, rank, alpha) of one patch."""
    shown = key if isinstance(key, str) else key[0]
    if not isinstance(key, str):
        raise ValueError(f"lora: expected whole layers, got a part of {shown}; {ON_TOP}.")
    if getattr(patch, "name", "") != "lora":
        raise ValueError(f"lora: expected a LoRA, LoCon or DoRA, got {getattr(patch, 'name', 'a plain difference')} "
                         f"for {shown}; {ON_TOP}.")
    _, down, alpha, _, scale, _ = patch.weights
    rank = down.shape[0]
    return ALGORITHMS["LoRA" if scale is None else "DoRA"], rank, float(rank if alpha is None else alpha)
