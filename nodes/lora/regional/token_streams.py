"""What each layer of a model family works on: places of the picture, words, both, or what all places share.

A layer is known by its path below the diffusion model, such as `double_blocks.7.img_attn.qkv`.
"""
import re
from typing import NamedTuple

import torch

PICTURE = "picture"     # places of the picture: a feature map, or tokens from the first on
JOINT = "joint"         # words and places of the picture as one sequence
WORDS = "words"         # words alone
CROSS = "cross"         # what places of the picture read of the words: keys and values of a cross-attention
SHARED = "shared"       # time, pooled words and modulation: the same for all places


class Family(NamedTuple):
    """How a family lays out its tokens. rules: (what a layer works on, pattern of its path); the first that fits."""
    title: str
    rules: tuple[tuple[str, str], ...]
    cross_attention: str = ""
    """Pattern of the modules in which places of the picture read the words; "" where both share one attention."""
    picture_last: bool = False
    """Whether the picture ends the sequence, filled up to a multiple; else it follows the words, or begins it."""
    references: bool = False
    """Whether tokens of other pictures can follow those of the picture."""
    levels: bool = False
    """Whether deeper layers have half the rows and columns."""


_FLUX = ((SHARED, r"_mod\.lin|modulation|_modulation|time_in|vector_in|guidance_in|distilled_guidance"),
         (WORDS, r"txt_"), (JOINT, r"single_blocks\."), (PICTURE, r"img_|final_layer\.linear"))

FAMILIES = {
    "UNetModel": Family("UNet", ((SHARED, r"time_embed|label_emb|emb_layers"), (CROSS, r"attn2\.to_[kv]"),
                                 (PICTURE, r"")), r"attn2", levels=True),
    "OpenAISignatureMMDITWrapper": Family("SD3", (
        (SHARED, r"adaLN_modulation|t_embedder|y_embedder"), (WORDS, r"context_"),
        (PICTURE, r"x_block\.|x_embedder|final_layer\.linear"))),
    "Flux": Family("Flux", _FLUX, references=True),
    "Chroma": Family("Chroma", _FLUX, references=True),
    "NextDiT": Family("Lumina and Z-Image", (
        (SHARED, r"adaLN_modulation|t_embedder|time_text_embed|clip_text"), (WORDS, r"cap_embedder|context_refiner"),
        (SHARED, r"siglip"), (JOINT, r"layers\.\d|noise_refiner|final_layer\.linear"), (PICTURE, r"x_embedder")),
        picture_last=True),
    "WanModel": Family("Wan", (
        (SHARED, r"time_"), (WORDS, r"text_embedding|img_emb"), (CROSS, r"cross_attn\.[kv](_img)?$"),
        (PICTURE, r"blocks\.|patch_embedding|head\.head")), r"cross_attn"),
    "QwenImageTransformer2DModel": Family("Qwen-Image", (
        (SHARED, r"img_mod|txt_mod|time_text_embed|norm_out"), (WORDS, r"txt_|add_[qkv]_proj|to_add_out"),
        (PICTURE, r"attn\.|img_|proj_out")), references=True),
}
"""By the class of the host's diffusion model: a class derived from one of them may lay out its tokens otherwise."""


def family_of(diffusion_model: torch.nn.Module) -> Family:
    """The family of a model. Raises ValueError with one sentence where its layout is not known."""
    name = type(diffusion_model).__name__
    timed = any("time_stack" in path for path, _ in diffusion_model.named_modules())
    if name not in FAMILIES or timed:
        known = ", ".join(family.title for family in FAMILIES.values())
        raise ValueError(f"model: expected a family in which the places of the picture are known among the tokens "
                         f"({known}), got {name}{' with layers over time' if timed else ''}; use Load LoRA (Block "
                         "Weights), which changes the whole picture.")
    return FAMILIES[name]


def stream_of(family: Family, path: str) -> str:
    """What the layer of this path works on; SHARED where no rule names it."""
    return next((stream for stream, pattern in family.rules if re.search(pattern, path)), SHARED)


def cross_attentions(family: Family, diffusion_model: torch.nn.Module) -> list[str]:
    """Paths of the modules in which places of the picture read the words."""
    if not family.cross_attention:
        return []
    return [path for path, _ in diffusion_model.named_modules() if re.fullmatch(family.cross_attention,
                                                                               path.rpartition(".")[2])]


def patch_size(diffusion_model: torch.nn.Module) -> tuple[int, ...]:
    """Places of the latent that become one token: (frames, rows, columns)."""
    size = getattr(diffusion_model, "patch_size", 1)
    size = (size,) if isinstance(size, int) else tuple(size)
    return (1,) * (3 - len(size)) + size if len(size) > 1 else (1, *size * 2)
