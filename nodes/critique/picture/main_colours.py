"""The colours a picture is made of, for its palette: large ones, and small ones that stand apart."""
import numpy as np
import torch

from . import colour_spaces
from .planes import Picture

COLOURS, SIDE = 8, 256
STEP = 16  # levels of a channel: colours are first joined within such steps
STANDING_OUT = 0.35  # the power of a colour's share in its claim: below 1 small colours that stand apart come in
ROUNDS = 8


def swatches(picture: Picture) -> list[dict]:
    """At most eight colours of one picture, the most common first: [{"colour": "#704214", "share": 0.33}].

    Clusters in CIE L*a*b* of every few pixels. They begin with the commonest colour and then with what has the largest
    claim, its distance from those chosen times a power of its share (after Gonzalez 1985, doi
    10.1016/0304-3975(85)90224-5); then they settle as k-means do. The shares are 1 together."""
    step = max(1, max(picture.size) // SIDE)
    pixels = picture.rgb[0, :, ::step, ::step].flatten(1).T.cpu().numpy()
    colours, lab, shares = _joined(pixels)
    nearest = _clusters(lab, shares)
    parts = [nearest == number for number in range(nearest.max() + 1)]
    found = [(shares[part].sum(), _mean(colours[part], shares[part])) for part in parts if part.any()]
    return [{"colour": f"#{bytes(colour).hex()}", "share": float(share)}
            for share, colour in sorted(found, key=lambda pair: -pair[0])]


def _joined(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means [K, 3] of colours within steps of STEP levels, their L*a*b* [K, 3] and shares [K]."""
    cells = pixels.astype(np.int64) // STEP
    _, cell, counts = np.unique((cells[:, 0] << 8) + (cells[:, 1] << 4) + cells[:, 2], return_inverse=True,
                                return_counts=True)
    means = np.stack([np.bincount(cell, pixels[:, channel]) for channel in range(3)], 1) / counts[:, None]
    rgb = torch.from_numpy(np.rint(means).astype(np.uint8)).T[None, :, :, None]
    return means, colour_spaces.lab(rgb, torch.float64)[0, :, :, 0].T.numpy(), counts / counts.sum()


def _clusters(lab: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The cluster, from 0, of each colour."""
    chosen = [int(shares.argmax())]
    apart = np.linalg.norm(lab - lab[chosen[0]], axis=1)
    while len(chosen) < min(COLOURS, len(lab)) and apart.max() > 1:
        chosen.append(int((apart * shares ** STANDING_OUT).argmax()))
        apart = np.minimum(apart, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
    centres = lab[chosen]
    for _ in range(ROUNDS):
        nearest = np.linalg.norm(lab[:, None] - centres[None], axis=2).argmin(1)
        centres = np.stack([np.average(lab[nearest == at], 0, shares[nearest == at]) if (nearest == at).any() else old
                            for at, old in enumerate(centres)])
    return nearest


def _mean(colours: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return np.rint(np.average(colours, 0, shares)).astype(np.uint8)
