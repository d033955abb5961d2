"""The host's SD3 transformer as both starters train it: its size, and the weights it begins with."""
import comfy.ops
import text
import torch
from comfy.ldm.modules.diffusionmodules.mmdit import OpenAISignatureMMDITWrapper

HEAD = 64       # numbers of a head; there are as many heads as blocks


def build(seed: int, depth: int, positions: int, channels: int) -> torch.nn.Module:
    """On the CPU, for latents [B, channels, up to 2 * positions, same]; only the dimensions that the text encoder
    writes are read."""
    hidden = HEAD * depth
    reader = {"target": "torch.nn.Linear", "params": {"in_features": text.READ, "out_features": hidden}}
    net = OpenAISignatureMMDITWrapper(
        input_size=None, patch_size=2, in_channels=channels, depth=depth, adm_in_channels=text.READ,
        context_embedder_config=reader, num_patches=positions ** 2, pos_embed_max_size=positions,
        pos_embed_scaling_factor=None, qk_norm="rms", dtype=torch.float32, device="cpu",
        operations=comfy.ops.disable_weight_init)
    generator = torch.Generator().manual_seed(seed)
    for name, p in net.named_parameters():
        with torch.no_grad():
            if p.ndim > 1:
                quiet = "adaLN" in name or "final_layer" in name
                p.normal_(0, 0.002 if quiet else p[0].numel() ** -0.5 * 0.7, generator=generator)
            else:
                p.fill_(1.0 if ".ln_" in name else 0.0)
    net.pos_embed.copy_(position_table(hidden, positions))
    return net


def position_table(hidden: int, positions: int) -> torch.Tensor:
    """[1, positions^2, hidden] waves of the two places."""
    line = torch.arange(positions, dtype=torch.float64)
    rate = 0.02 ** (torch.arange(hidden // 4, dtype=torch.float64) / (hidden // 4)) * 1.5
    wave = torch.cat([(line[:, None] * rate).sin(), (line[:, None] * rate).cos()], 1)
    y, x = torch.meshgrid(torch.arange(positions), torch.arange(positions), indexing="ij")
    return torch.cat([wave[x.flatten()], wave[y.flatten()]], 1)[None].float()
