"""Palettes: for each a name and the colours of the things that are painted with it."""
from typing import NamedTuple

import numpy as np


class Palette(NamedTuple):
    """sRGB colours [3] in 0..1; `dark` is the deepest shadow, `pale` the lightest paint, `accent` draws the eye."""
    dark: np.ndarray
    earth: np.ndarray
    field: np.ndarray
    leaf: np.ndarray
    water: np.ndarray
    sky: np.ndarray
    glow: np.ndarray
    accent: np.ndarray
    second: np.ndarray
    pale: np.ndarray


def _palette(colours: str) -> Palette:
    return Palette(*(np.array([int(c[i:i + 2], 16) for i in (0, 2, 4)], np.float32) / 255
                     for c in colours.split()))


PALETTES = {
    # dark, earth, field, leaf, water, sky, glow, accent, second, pale
    "umber and gold": _palette("2a1a0e 6b4322 b07c2f 5c4a1e 6b6450 8a7a5e f3cc6c dd8f1f 8e5a2a f5e6bd"),
    "slate and ochre": _palette("1a232e 6a5a45 b08c45 56604a 557a92 6a8ba3 eed29a cf932f 6f8ca0 f0e6cc"),
    "rust and olive": _palette("2a150e 80391a ac842c 5f6520 6a7a60 93967c f4c47c bd3f18 8c8a2c f4e2b8"),
    "green and silver": _palette("10221a 55532f 8aa044 2b6334 6b9aa0 a0b8bc eeebc6 d0b838 469058 eef3e6"),
    "rose and grey": _palette("2b202a 7c5f5c b38d80 6d6d60 858aa2 a0a3b8 f6cbb4 c94f6a ba8c9e f6e8e0"),
    "blue and orange": _palette("0f1c35 5e4834 c08c42 3c5c54 2a669c 4788c2 f9c680 e8701a 285fa6 f8ead0"),
    "indigo and straw": _palette("141334 443a58 94864f 38446a 334682 454f96 eeda8c e6c23c 67579c f4ecc2"),
    "crimson and black": _palette("170a0c 601d18 96492e 4c2a1e 5a3a40 7a464c f4b784 c81828 901e2e f4dcc4"),
}
