"""Small real models that can be sampled, with and without attention, and LoRAs for their layers."""
import functools

import lora_models as small
import torch

CHANGES = {"SDXL": dict(adm_in_channels=1568), "Z-Image": dict(dim=256, n_heads=8, n_kv_heads=8)}
QWEN = dict(attention_head_dim=32, num_attention_heads=2, axes_dims_rope=[8, 12, 12], joint_attention_dim=32,
            num_layers=2)
LATENTS = {"SD1.5": (2, 4, 18, 14), "SDXL": (2, 4, 18, 14), "SD3-medium": (2, 16, 7, 9), "Flux.1": (2, 16, 7, 9),
           "Z-Image": (2, 16, 7, 9), "Qwen-Image": (2, 16, 1, 7, 9), "Wan2.1-1.3B": (2, 16, 3, 7, 9)}
"""Sides that the patches of two do not divide; those of a UNet halve to odd ones."""
ATTENTION = {"SD3-medium": ("attn.proj",), "Flux.1": ("attn.proj",), "Z-Image": ("attention.out",),
             "Qwen-Image": ("to_out", "to_add_out"), "Wan2.1-1.3B": ("self_attn.o", "cross_attn.o")}
"""What brings together what attention gathered: where it is 0, no place of the picture knows of another."""
WIDTHS = {"Wan2.1-1.3B": 4096}


@functools.cache
def model(name: str, silent: tuple[str, ...] = ()):
    """A ModelPatcher; silent: layers that give nothing. Shared: clone it."""
    import comfy.model_patcher
    changes = QWEN if name == "Qwen-Image" else small.SMALL[name] | CHANGES.get(name, {})
    made = small.build(name, "cpu", changes)
    small.fill(made)
    for key, tensor in made.state_dict().items():
        if any(part in key for part in silent):
            tensor.zero_()
        if silent and name == "Flux.1" and key.endswith("linear2.weight"):
            tensor[:, :64] = 0
    return comfy.model_patcher.ModelPatcher(made, torch.device("cpu"), torch.device("cpu"))


def without_attention(name: str):
    return model(name, ATTENTION[name])


def lora_for(patcher, name: str, kind: str = "lora", only=lambda key: True, seed: int = 0) -> dict[str, torch.Tensor]:
    """A LoRA for the layers `only` says yes to, without those that bring attention together."""
    left = [part.replace(".", "_") for part in ATTENTION.get(name, ())] + ["linear2"]
    tensors = {key: t for key, t in small.lora_for(patcher, kind).items()
               if only(key) and not any(part in key for part in left)}
    generator = torch.Generator().manual_seed(seed)
    return {key: t + 0.05 * torch.randn(t.shape, generator=generator) if t.ndim and seed else t
            for key, t in tensors.items()}


def words(name: str, tokens: int = 7, seed: int = 2):
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(1, tokens, WIDTHS.get(name, 32), generator=generator),
             {"pooled_output": torch.randn(1, 32, generator=generator)}]]


def sample(patcher, name: str, steps: int = 1, positive=None, shape=None) -> torch.Tensor:
    """Through the host's sampler, with and without the prompt in one batch: latents [2, channels, ...]."""
    import comfy.sample
    shape = shape or LATENTS[name]
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    return comfy.sample.sample(patcher, noise, steps, 2.0, "euler", "simple", positive or words(name),
                               words(name, seed=3), torch.zeros(shape), disable_pbar=True, seed=1)


def left_half(columns: int = 36) -> torch.Tensor:
    """A mask of the left 4 of 9 (or 7 of 14) columns of a latent, in pixels."""
    mask = torch.zeros(1, 28, 2 * columns)
    mask[:, :, :32] = 1
    return mask


def far(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())
