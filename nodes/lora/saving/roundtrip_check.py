"""Proof that the host's LoRA loader takes a file: it is asked, before the file gets its name."""
from collections.abc import Mapping

import torch
from torch import Tensor

from ..applying import apply_report
from ..file.blocks_from_names import module_names
from ..file.loading import converted, host_patches
from .export_names import host_names


def check_loads(tensors: Mapping[str, Tensor], model: torch.nn.Module | None = None,
                encoders: torch.nn.Module | None = None) -> None:
    """Raises RuntimeError unless the host's loader takes every key for the model and its text encoders.

    Without encoders their keys are not judged, without a model only their endings are."""
    if model is None:
        names = {name: f"{name}.weight" for name in module_names(tensors)}
    else:
        names = host_names(model, encoders)
        if encoders is None:
            names |= {name: f"{name}.weight" for name in module_names(tensors)
                      if name.startswith(apply_report.ENCODER_NAMES)}
    read = converted(tensors)
    host_patches(read, names)
    lost = sorted(read.unread())
    if lost:
        raise RuntimeError(f"LoRA file: the host's loader does not know {len(lost)} of the {len(tensors)} keys it "
                           f"would hold, the first is {lost[0]}. Nothing was written.")
