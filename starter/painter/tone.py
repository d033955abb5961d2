"""Key, contrast and chroma of the under-painting, drawn so that the pictures are spread like the paintings."""
import numpy as np

from .fields import grid
from .scenes import Scene

WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
# Quantiles 0.05, 0.25, 0.5, 0.75, 0.95 that the pictures' luma, its standard deviation and their chroma are drawn from.
AT = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
KEY = (0.10, 0.16, 0.26, 0.36, 0.47, 0.62, 0.72)
SPREAD = (0.08, 0.11, 0.15, 0.18, 0.215, 0.265, 0.30)
CHROMA = (0.7, 0.9, 1.15, 1.4, 1.75, 2.3, 2.6)
EVEN = 0.5        # how far the tones are spread over the scale
# Which part of the keys a light may have.
RANK = {"night": (0.0, 0.4), "dusk": (0.15, 0.65), "day": (0.5, 1.0),
        "dark wall": (0.0, 0.5), "bright wall": (0.5, 1.0), "dark ground": (0.0, 0.5), "light ground": (0.55, 1.0)}
MEDIUM_LIFT = {"oil": 0.0, "gouache": 0.05, "ink wash": 0.15, "pastel": 0.05, "woodcut": 0.1, "dots": 0.0,
               "stained glass": 0.0}


def tune(rgb: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """[256, 256, 3] with the key, contrast and chroma of one painting among the paintings."""
    rank = np.clip(rng.uniform(*RANK[scene.light]) + MEDIUM_LIFT[scene.medium] * rng.random(), 0, 1)
    key, spread = np.interp(rank, AT, KEY), np.interp(rng.random(), AT, SPREAD)
    chroma = np.interp(rng.random(), AT, CHROMA)
    luma = rgb @ WEIGHTS
    wanted = even(luma * fall_of_light(scene, rng), EVEN)
    wanted = key + wanted * (spread / max(float(wanted.std()), 0.02))
    wanted = soft_clip(wanted)
    shift = (wanted.mean() - key)
    wanted = soft_clip(wanted - shift)
    change = np.clip(wanted, 0.02, 1) / np.clip(luma, 0.05, 1)
    strength = np.clip(chroma * np.where(change < 1, change ** 0.35, change ** 0.3), 0.3, 4)
    return np.clip(wanted[..., None] + (rgb - luma[..., None]) * strength[..., None], 0, 1).astype(np.float32)


def fall_of_light(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """[256, 256] light that falls off towards the corners, and in abstract pictures towards one side."""
    x, y = (g - 0.5 for g in grid())
    corner = 1 - rng.uniform(0.0, 0.75) * np.hypot(x - rng.uniform(-0.3, 0.3), y - rng.uniform(-0.3, 0.3)) ** 2 * 2
    turn = rng.uniform(0, 2 * np.pi)
    side = rng.uniform(0.0, 0.9) if scene.kind == "abstract" else rng.uniform(0.0, 0.25)
    return corner * (1 + side * (x * np.cos(turn) + y * np.sin(turn)))


def even(luma: np.ndarray, share: float) -> np.ndarray:
    """Mean 0 and deviation 1; a `share` of it with its values spread like a normal distribution's."""
    counts, edges = np.histogram(luma, 200)
    place = np.clip((np.cumsum(counts) - counts / 2) / luma.size, 0.004, 0.996)
    normal = np.log(place / (1 - place)) / 1.7                     # within 0.02 of the normal quantiles
    plain = (luma - luma.mean()) / max(float(luma.std()), 1e-3)
    return (1 - share) * plain + share * np.interp(luma, (edges[1:] + edges[:-1]) / 2, normal)


def soft_clip(values: np.ndarray, low: float = 0.04, high: float = 0.94, knee: float = 0.1) -> np.ndarray:
    """Values bent smoothly into low..high."""
    over = np.maximum(values - (high - knee), 0)
    values = np.where(over > 0, high - knee * np.exp(-over / knee), values)
    under = np.maximum(low + knee - values, 0)
    return np.where(under > 0, low + knee * np.exp(-under / knee), values)
