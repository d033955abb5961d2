"""Finds a diffusion model's repeated blocks and the layers worth training, from structure and names."""
import re
from collections.abc import Iterator

import torch

from .frozen import is_conv, is_linear, takes_adapter

CONTAINERS = (torch.nn.ModuleList, torch.nn.Sequential, torch.nn.ModuleDict)

# Layers that carry no picture tokens: modulation, time and guidance embeddings, routers, and what works on captions,
# lyrics or music alone: refiners, adapters, encoders, the text blocks of Krea 2 (txtfusion) and Kandinsky 5.
NOT_TRAINED = re.compile(r"mod(?!el|al)|norm|emb|time|guidance|router|refiner|adapter|encoder"
                         r"|txtfusion|text_transformer", re.IGNORECASE)


def repeated_blocks(network: torch.nn.Module, prefix: str = "") -> Iterator[tuple[str, torch.nn.Module]]:
    """Yields (name, block), outermost first: children of a list of modules that hold at least two weighted layers."""
    for name, child in network.named_children():
        path = f"{prefix}{name}"
        if isinstance(network, CONTAINERS) and not isinstance(child, CONTAINERS) and _weighted_layers(child) >= 2:
            yield path, child
        else:
            yield from repeated_blocks(child, f"{path}.")


def default_layers(network: torch.nn.Module, convolutions: bool = False) -> dict[str, torch.nn.Module]:
    """{name: layer} of every attention and feed-forward Linear inside the repeated blocks, and of every convolution
    there where asked for."""
    return {
        f"{block_name}.{name}": module
        for block_name, block in repeated_blocks(network)
        for name, module in block.named_modules()
        if takes_adapter(module) and (convolutions or not is_conv(module))
        and not NOT_TRAINED.search(f"{block_name}.{name}")
    }


def largest_side(network: torch.nn.Module) -> int | None:
    """The largest side of a latent that a model's table of positions covers; None where it has no such table."""
    most = getattr(network, "pos_embed_max_size", None)
    return most * network.patch_size if most else None


def _weighted_layers(module):
    return sum(is_linear(m) or is_conv(m) for m in module.modules())
