"""The host's CLIP vision class, small, with random weights; its embeddings have 32 numbers."""
import torch
from comfy.clip_vision import ClipVisionModel

WIDTH = 32
SHAPE = {"hidden_act": "quick_gelu", "hidden_size": 64, "image_size": 28, "intermediate_size": 64,
         "num_attention_heads": 2, "num_channels": 3, "num_hidden_layers": 2, "patch_size": 14,
         "projection_dim": WIDTH, "model_type": "clip_vision_model"}


def tiny_clip_vision() -> ClipVisionModel:
    made, generator = ClipVisionModel(SHAPE), torch.Generator().manual_seed(3)
    for parameter in made.model.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return made
