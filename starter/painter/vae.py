"""The painter's VAE: trained narrow, kept in the shape of the host's TAESD with 16 channels.

The encoder begins with what needs no training: 8 x 8 pixels become 192 numbers, which the host's three strided
convolutions can carry exactly. The decoder is a TAESD decoder with fewer channels at the finer scales; the missing ones
are zeros in the file the host reads, and a block whose weights are zero passes what it is given. The numbers between
encoder and decoder are what the diffusion model sees: `model space` = (latent - SHIFT) * SCALE of the host's SD3.
"""
import torch
from torch import Tensor, nn
from torch.nn import functional

LATENT_CHANNELS, FULL, CELL = 16, 64, 8
SHIFT, SCALE = 0.0609, 1.5305                      # the host's SD3 latent format
WIDTHS = {8: 64, 4: 64, 2: 32, 1: 20}              # channels of the decoder at 1/8, 1/4, 1/2 and full size
DECODER_BLOCKS = {3: 8, 4: 8, 5: 8, 8: 4, 9: 4, 13: 2, 14: 2, 18: 1}        # index in TAESD: scale
ENCODER_BLOCKS = (11, 12, 13)


class Block(nn.Module):
    """The host's Block: three convolutions beside the identity."""

    def __init__(self, width: int):
        super().__init__()
        conv = lambda: nn.Conv2d(width, width, 3, padding=1)
        self.conv = nn.Sequential(conv(), nn.ReLU(), conv(), nn.ReLU(), conv())

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv(x) + x)


class Autoencoder(nn.Module):
    """[B, 3, H, W] in 0..1 to model space [B, 16, H/8, W/8] and back; sides are multiples of 8."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Conv2d(3 * CELL * CELL, FULL, 1)
        self.encoder = nn.ModuleDict({str(i): Block(FULL) for i in ENCODER_BLOCKS})
        self.latent = nn.Conv2d(FULL, LATENT_CHANNELS, 3, padding=1)
        self.decoder = nn.ModuleDict({str(i): Block(WIDTHS[scale]) for i, scale in DECODER_BLOCKS.items()})
        self.decoder["1"] = nn.Conv2d(LATENT_CHANNELS, WIDTHS[8], 3, padding=1)
        for index, scale in ((7, 4), (12, 2), (17, 1)):
            self.decoder[str(index)] = nn.Conv2d(WIDTHS[2 * scale], WIDTHS[scale], 3, padding=1, bias=False)
        self.decoder["19"] = nn.Conv2d(WIDTHS[1], 3, 3, padding=1)

    def encode(self, images: Tensor) -> Tensor:
        x = self.cell(functional.pixel_unshuffle(images, CELL))
        for index in ENCODER_BLOCKS:
            x = self.encoder[str(index)](x)
        return self.latent(x)

    def decode(self, latents: Tensor) -> Tensor:
        part = self.decoder
        x = functional.relu(part["1"](torch.tanh(latents / 3) * 3))
        for group, up in (((3, 4, 5), 7), ((8, 9), 12), ((13, 14), 17), ((18,), None)):
            for index in group:
                x = part[str(index)](x)
            if up:
                x = part[str(up)](functional.interpolate(x, scale_factor=2))
        return part["19"](x)


def fresh(seed: int, patches: Tensor) -> Autoencoder:
    """A new autoencoder: the encoder is the principal components of `patches` [N, 192], the decoder random."""
    torch.manual_seed(seed)
    net = Autoencoder()
    mean = patches.mean(0)
    _, spread, axes = torch.linalg.svd(patches - mean, full_matrices=False)
    spread = spread / len(patches) ** 0.5
    with torch.no_grad():
        net.cell.weight.copy_((axes[:FULL] / spread[:FULL, None].clamp(min=0.02))[:, :, None, None])
        net.cell.bias.copy_(-(axes[:FULL] @ mean) / spread[:FULL].clamp(min=0.02) + 3)
        for block in net.encoder.values():
            block.conv[4].weight.mul_(0.1)
        net.latent.weight.mul_(0.05)
        for k in range(LATENT_CHANNELS):
            net.latent.weight[k, k, 1, 1] = 1.0
        net.latent.bias.fill_(-3.0)
    return net


def host_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the host's `comfy.taesd.taesd.TAESD(latent_channels=16)`."""
    wide = {"taesd_encoder.0": (FULL, 3), "taesd_encoder.14": (LATENT_CHANNELS, FULL),
            "taesd_decoder.1": (FULL, LATENT_CHANNELS), "taesd_decoder.19": (3, FULL)}
    blocks = {"taesd_encoder": (1, 3, 4, 5, 7, 8, 9, 11, 12, 13), "taesd_decoder": (3, 4, 5, 8, 9, 10, 13, 14, 15, 18)}
    wide |= {f"{net}.{i}.conv.{k}": (FULL, FULL) for net, where in blocks.items() for i in where for k in (0, 2, 4)}
    shapes = {f"{name}.weight": (*shape, 3, 3) for name, shape in wide.items()}
    shapes |= {f"{name}.bias": (shape[0],) for name, shape in wide.items()}
    strides = {"taesd_encoder": (2, 6, 10), "taesd_decoder": (7, 12, 17)}
    return shapes | {f"{net}.{i}.weight": (FULL, FULL, 3, 3) for net, where in strides.items() for i in where}


def for_the_host(narrow: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict that the host's `comfy.sd.VAE` loads, from that of an `Autoencoder`."""
    state = {name: torch.zeros(shape) for name, shape in host_shapes().items()}
    for name, value in narrow.items():
        if name.startswith("cell."):
            continue
        target = f"taesd_{name}" if not name.startswith("latent") else name.replace("latent", "taesd_encoder.14")
        state[target][tuple(slice(0, n) for n in value.shape)] = value.float()
    write_cells(state, narrow["cell.weight"].float()[:, :, 0, 0], narrow["cell.bias"].float())
    state["vae_scale"], state["vae_shift"] = torch.tensor(SCALE), torch.tensor(SHIFT)
    return state


def write_cells(state: dict[str, Tensor], weight: Tensor, bias: Tensor):
    """The cells of 8 x 8 pixels through the host's three strided convolutions, with a channel of ones for the bias.

    A strided convolution with a border of one reads, for output i, the inputs 2i - 1, 2i and 2i + 1: its taps 1 and 2
    are the two inputs of a pair.
    """
    ones = (3, 12, 48)                                        # where the ones are kept before each convolution
    for c in range(3):
        state["taesd_encoder.0.weight"][c, c, 1, 1] = 1.0
    state["taesd_encoder.0.bias"][ones[0]] = 1.0
    for layer, channels in ((2, 3), (6, 12)):
        for c in range(channels):
            for row in (0, 1):
                for column in (0, 1):
                    state[f"taesd_encoder.{layer}.weight"][4 * c + 2 * row + column, c, 1 + row, 1 + column] = 1.0
    state["taesd_encoder.2.weight"][ones[1], ones[0], 1, 1] = 1.0
    state["taesd_encoder.6.weight"][ones[2], ones[1], 1, 1] = 1.0
    last = state["taesd_encoder.10.weight"]
    bits = lambda value: ((value >> 2) & 1, (value >> 1) & 1, value & 1)
    for c in range(3):
        for y in range(CELL):
            for x in range(CELL):
                (y2, y1, y0), (x2, x1, x0) = bits(y), bits(x)  # the first convolution pairs neighbours: bit 0
                channel = 4 * (4 * c + 2 * y0 + x0) + 2 * y1 + x1
                last[:, channel, 1 + y2, 1 + x2] += weight[:, c * CELL * CELL + y * CELL + x]
    last[:, ones[2], 1, 1] += bias
