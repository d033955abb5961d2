"""The value of a BOTTEGA_ADAPTER link: what kind of LoRA, how large, and where."""
from dataclasses import asdict, dataclass, field, fields

import torch

from ..model.frozen import FrozenWeight
from ..model.targets import Target, check_targets, find_targets
from .flat import Adapters
from .table import ALGORITHMS

FORMATS = ("native", "kohya", "diffusers")


@dataclass(frozen=True)
class LoraShape:
    """algorithm: a name of ALGORITHMS; alpha 0: the rank; targets: in the block language, "" for the family's own.

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
