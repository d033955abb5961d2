"""What is trained: small tensors beside the frozen layers of a model."""
from .attach import attached, checkpointed
from .flat import Adapters, Group
from .lora_shape import FORMATS, LoraShape, build

__all__ = ["FORMATS", "Adapters", "Group", "LoraShape", "attached", "build", "checkpointed"]
