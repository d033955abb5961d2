"""The starter's VAE: a TAESD-shaped autoencoder whose weights are written down, not trained.

A latent is an 8x8-pixel cell. It carries the colour of each of the cell's four 4x4-pixel quarters (2x2 quarters x RGB =
12 numbers), so a 128-pixel picture is drawn with 32x32 dots. The numbers are turned so that the host's own
latent-to-RGB factors for SD3 show the mean colour of the cell (at reduced contrast): previews and cheap decoders work.

The decoder can only repeat a cell and then mix neighbours, so each dot is drawn half-way between two of its neighbours;
the encoder sharpens by as much beforehand. Convolutions pad with zeros, so the lost part of each edge is added back by
units that only fire there.
"""
import torch

LATENT_CHANNELS = 16
SHIFT, SCALE = 0.0609, 1.5305  # the host's SD3 latent format: model space = (latent - SHIFT) * SCALE
PREVIEW_CONTRAST = 0.45
DETAIL_GAIN = 1.5
SHARPEN = 0.25
INNER = 0.08                   # keeps latents small inside TAESD, whose decoder bends what exceeds about 0.3
GATE = 8.0                     # larger than any dot value: silences an edge unit away from its edge
RGB = 3

# comfy.latent_formats.SD3.latent_rgb_factors: previews are model space @ these.
SD3_RGB_FACTORS = (
    (-0.0922, -0.0175, 0.0749), (0.0311, 0.0633, 0.0954), (0.1994, 0.0927, 0.0458), (0.0856, 0.0339, 0.0902),
    (0.0587, 0.0272, -0.0496), (-0.0006, 0.1104, 0.0309), (0.0978, 0.0306, 0.0427), (-0.0042, 0.1038, 0.1358),
    (-0.0194, 0.0020, 0.0669), (-0.0488, 0.0130, -0.0268), (0.0922, 0.0988, 0.0951), (-0.0278, 0.0524, -0.0542),
    (0.0332, 0.0456, 0.0895), (-0.0069, -0.0030, -0.0810), (-0.0596, -0.0465, -0.0293), (-0.1448, -0.1463, -0.1189))


def mixing() -> torch.Tensor:
    """[16, 12] matrix from the dots of a cell (index colour * 4 + row * 2 + column, -1..1) to model space."""
    factors = torch.tensor(SD3_RGB_FACTORS, dtype=torch.float64)
    u, s, _ = torch.linalg.svd(factors)
    colour = torch.linalg.pinv(factors).T * PREVIEW_CONTRAST                      # [16, 3]: preview = contrast * colour
    haar = torch.tensor([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], dtype=torch.float64) / 4
    mix = torch.zeros(LATENT_CHANNELS, 12, dtype=torch.float64)
    for c in range(RGB):
        dots = slice(4 * c, 4 * c + 4)
        mix[:, dots] += colour[:, c, None] * haar[0]
        for d in range(3):
            mix[:, dots] += DETAIL_GAIN * u[:, 3 + 3 * c + d, None] * haar[1 + d]
    return mix


def dots_of(images: torch.Tensor, pixels: int = 4) -> torch.Tensor:
    """[B, 3, H, W] in 0..1 to the sharpened dots [B, 3, H/pixels, W/pixels] that the encoder keeps."""
    dots = torch.nn.functional.avg_pool2d(images, pixels)
    padded = torch.nn.functional.pad(dots, (1, 1, 1, 1), mode="replicate")
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return dots + SHARPEN * (4 * dots - around)


def model_space(images: torch.Tensor, pixels: int = 4) -> torch.Tensor:
    """[B, 3, H, W] in 0..1 to what the diffusion model sees [B, 16, H/8, W/8]: encode and host scaling in one step."""
    cells = torch.nn.functional.pixel_unshuffle(dots_of(images, pixels) * 2 - 1, 2)
    return torch.einsum("oi,bihw->bohw", mixing().to(images.dtype), cells)


class Layers:
    """Writes single taps into the state dict of the host's TAESD; other weights stay zero (a Block is then ReLU)."""

    def __init__(self, state: dict[str, torch.Tensor], prefix: str):
        self.state, self.prefix = state, prefix

    def tap(self, layer: str, out: int, inp: int, value: float, row: int = 0, col: int = 0):
        self.state[f"{self.prefix}.{layer}.weight"][out, inp, 1 + row, 1 + col] += value

    def bias(self, layer: str, out: int, value: float):
        self.state[f"{self.prefix}.{layer}.bias"][out] += value

    def keep(self, layer: str, channels):
        for c in channels:
            self.tap(layer, c, c, 1.0)


def write_encoder(net: Layers):
    ones = RGB
    net.keep("0", range(RGB))
    net.bias("0", ones, 1.0)
    for layer in ("2", "6"):
        for c in range(RGB + 1):
            for row in (0, 1):
                for col in (0, 1):
                    net.tap(layer, c, c, 0.25, row, col)
    sides = ((0, -1), (0, 1), (-1, 0), (1, 0))
    net.keep("7.conv.0", range(RGB))
    for i, (row, col) in enumerate(sides):                      # 4 + i: one where the neighbour on that side is missing
        net.bias("7.conv.0", 4 + i, 1.0)
        net.tap("7.conv.0", 4 + i, ones, -1.0, row, col)
    net.keep("7.conv.2", range(RGB))
    for c in range(RGB):
        net.bias("7.conv.4", c, 1.0)                             # dots are kept as 1 + value, so that ReLU cuts nothing
        net.tap("7.conv.4", c, c, 4 * SHARPEN)
        for i, (row, col) in enumerate(sides):
            net.tap("7.conv.4", c, c, -SHARPEN, row, col)
            edge = 8 + RGB * i + c
            net.tap("7.conv.2", edge, c, 1.0)
            net.tap("7.conv.2", edge, 4 + i, GATE)
            net.bias("7.conv.2", edge, -GATE)
            net.tap("7.conv.4", c, edge, -SHARPEN)
    for c in range(RGB):
        for row in (0, 1):
            for col in (0, 1):
                net.tap("10", 4 * c + 2 * row + col, c, 1.0, row, col)
    mix = mixing() * INNER
    for out in range(LATENT_CHANNELS):
        for dot in range(12):
            net.tap("14", out, dot, 2 * float(mix[out, dot]))
        net.bias("14", out, -3 * float(mix[out].sum()))          # 2 * (1 + value) - 3 = 2 * value - 1


def add_edges(net: Layers, block: int, rows: int, cols: int, extra: tuple[range, range, range], ones: int):
    """Adds, inside one Block, extra[0] where the column beside is missing, extra[1] for the row, extra[2] for both."""
    for gate, (row, col) in ((60, (0, cols)), (61, (rows, 0))):
        net.bias(f"{block}.conv.0", gate, 1.0)
        net.tap(f"{block}.conv.0", gate, ones, -1.0, row, col)
    for part, gates in zip(extra, ((60,), (61,), (60, 61)), strict=True):
        net.keep(f"{block}.conv.0", part)
        net.keep(f"{block}.conv.2", part)
        for c, channel in enumerate(part):
            net.bias(f"{block}.conv.2", channel, -GATE * len(gates))
            for gate in gates:
                net.tap(f"{block}.conv.2", channel, gate, GATE)
            net.tap(f"{block}.conv.4", c, channel, 1.0)


def write_decoder(net: Layers):
    unmix = torch.linalg.pinv(mixing()) / INNER
    for dot in range(12):
        for inp in range(LATENT_CHANNELS):
            net.tap("1", dot, inp, float(unmix[dot, inp]) / 2)
        net.bias("1", dot, 1.5)                                  # 1 + value, value = (cell + 1) / 2
    ones = 12
    net.bias("1", ones, 1.0)
    column, row, corner = range(20, 23), range(23, 26), range(26, 29)
    for c in range(RGB):
        d = 4 * c
        for dot, down, right in ((d, 1, 1), (d + 1, 1, 0), (d + 2, 0, 1), (d + 3, 0, 0)):
            net.tap("7", c, dot, 0.25, down, right)
        for dot, down in ((d + 1, 1), (d + 3, 0)):
            net.tap("7", column[c], dot, 0.25, down, 0)
        for dot, right in ((d + 2, 1), (d + 3, 0)):
            net.tap("7", row[c], dot, 0.25, 0, right)
        net.tap("7", corner[c], d + 3, 0.25)
    net.tap("7", ones, ones, 1.0)
    add_edges(net, 8, 1, 1, (column, row, corner), ones)
    for c in range(RGB):
        net.tap("12", c, c, 1.0, -1, -1)
        net.tap("12", column[c], c, 1.0, -1, 0)
        net.tap("12", row[c], c, 1.0, 0, -1)
        net.tap("12", corner[c], c, 1.0)
    net.tap("12", ones, ones, 1.0)
    add_edges(net, 13, -1, -1, (column, row, corner), ones)
    net.keep("17", range(RGB))
    for c in range(RGB):
        net.tap("19", c, c, 1.0)
        net.bias("19", c, -1.0)


def empty_state() -> dict[str, torch.Tensor]:
    """Zeros in the shapes of the host's `comfy.taesd.taesd.TAESD(latent_channels=16)`."""
    shapes = {"taesd_encoder.0": (64, RGB), "taesd_encoder.14": (LATENT_CHANNELS, 64),
              "taesd_decoder.1": (64, LATENT_CHANNELS), "taesd_decoder.19": (RGB, 64)}
    blocks = {"taesd_encoder": (1, 3, 4, 5, 7, 8, 9, 11, 12, 13), "taesd_decoder": (3, 4, 5, 8, 9, 10, 13, 14, 15, 18)}
    shapes |= {f"{net}.{i}.conv.{k}": (64, 64) for net, where in blocks.items() for i in where for k in (0, 2, 4)}
    state = {f"{name}.weight": torch.zeros(*shape, 3, 3) for name, shape in shapes.items()}
    state |= {f"{name}.bias": torch.zeros(shape[0]) for name, shape in shapes.items()}
    resampling = {"taesd_encoder": (2, 6, 10), "taesd_decoder": (7, 12, 17)}
    return state | {f"{net}.{i}.weight": torch.zeros(64, 64, 3, 3) for net, where in resampling.items() for i in where}


def write_down() -> dict[str, torch.Tensor]:
    """State dict that the host's `comfy.sd.VAE` recognises as a TAESD with 16 channels."""
    state = empty_state()
    state["vae_scale"], state["vae_shift"] = torch.tensor(SCALE * INNER), torch.tensor(SHIFT)
    write_encoder(Layers(state, "taesd_encoder"))
    write_decoder(Layers(state, "taesd_decoder"))
    return state
