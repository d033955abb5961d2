"""What the judge measures on a picture: layout, colours, edges and the marks of the medium; no network, no weights."""
import numpy as np
from PIL import Image

from .fields import grid

GRIDS = 256 + 64 + 64 + 168 + 512 + 256


def lab(picture: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 -> CIE L*, a*, b* (D65), each divided by 100."""
    rgb = np.arange(256, dtype=np.float32) / 255
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)[picture]
    xyz = light @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]], np.float32)
    xyz = xyz / np.array([0.9505, 1.0, 1.089], np.float32)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([1.16 * y - 0.16, 5 * (x - y), 2 * (y - z)], -1)


def small(plane: np.ndarray, side: int) -> np.ndarray:
    """[side, side] means of equal squares."""
    n = plane.shape[0] // side
    return plane[:n * side, :n * side].reshape(side, n, side, n).mean((1, 3))


def grown(plane: np.ndarray, times: int) -> np.ndarray:
    """Every value repeated in a square."""
    return np.repeat(np.repeat(plane, times, 0), times, 1)


def layout(light: np.ndarray) -> list[np.ndarray]:
    """Where it is light and dark: 16 x 16 squares without the picture's own key and contrast, and these two."""
    squares = small(light, 16)
    mean, spread = squares.mean(), squares.std() + 0.01
    rows = small(light, 32).mean(1)
    return [((squares - mean) / spread).ravel() / 8, np.diff(rows) * 2, [mean * 3, spread * 5, light.std() * 5]]


def symmetry(planes: np.ndarray) -> list[float]:
    """How like itself the picture is, mirrored across each axis and turned: its light, its edges and its colours."""
    light, found = small(planes[..., 0], 32), []
    fine = light - grown(small(light, 4), 8)
    for s in (light, fine, np.hypot(*np.gradient(light)), small(planes[..., 1], 32), small(planes[..., 2], 32)):
        s = (s - s.mean()) / (s.std() + 1e-3)
        turned = (s[:, ::-1], s[::-1], s.T, s[::-1, ::-1].T, s[::-1, ::-1])
        found += [float((s * other).mean()) for other in turned]
        found += [max(found[-3], found[-2]), found[-5] - max(found[-4:])]
    return found


def colours(planes: np.ndarray) -> list[np.ndarray]:
    """Means in squares, a histogram of a* and b*, and the hue that each band of lightness leans to."""
    light, a, b = np.moveaxis(planes, -1, 0)
    cells = [small(a, 8).ravel() * 2, small(b, 8).ravel() * 2]
    chroma = np.hypot(a, b) + 1e-4
    spot = (small(a, 64).ravel(), small(b, 64).ravel())
    table, *_ = np.histogram2d(*spot, bins=[np.linspace(-0.5, 0.7, 13), np.linspace(-0.7, 0.8, 15)])
    hue = (np.arctan2(b, a) / np.pi + 1) * 8
    wheel = np.bincount(hue.astype(int).ravel() % 16, chroma.ravel(), 16) / chroma.sum()
    order = np.argsort(light.ravel())
    bands = [part for cut in np.array_split(order, 6)
             for part in (a.ravel()[cut].mean() * 4, b.ravel()[cut].mean() * 4, chroma.ravel()[cut].mean() * 4,
                          a.ravel()[cut].mean() / chroma.ravel()[cut].mean(),
                          b.ravel()[cut].mean() / chroma.ravel()[cut].mean())]
    return [*cells, np.sqrt(table / table.sum()).ravel(), np.sqrt(wheel), bands]


def edges(light: np.ndarray, side: int = 8, turns: int = 8) -> list[np.ndarray]:
    """In each of 8 x 8 squares how strong the edges of each of eight directions are, against the whole; the same with
    the picture and its mirror image together; and over the whole picture the directions by strength."""
    dy, dx = np.gradient(small(light, 128))
    size = np.hypot(dx, dy)
    turn = (np.arctan2(dy, dx) / np.pi * turns + 0.5).astype(int) % turns
    cells = np.stack([small(np.where(turn == t, size, 0), side) for t in range(turns)], -1)
    mirrored = cells[:, ::-1][..., [-t % turns for t in range(turns)]]
    both = (cells + mirrored)[:, :side // 2] / 2
    scale = size.mean() + 1e-4
    whole = np.bincount((np.arctan2(dy, dx) / np.pi * 24 + 0.5).astype(int).ravel() % 24, size.ravel() ** 2, 24)
    whole = whole / whole.sum()
    level, slant, steep = (sum(whole[k % 24] for k in ks) for ks in ((11, 12, 13), (5, 6, 7, 17, 18, 19), (-1, 0, 1)))
    peak = np.roll(whole, -int(whole.argmax()))
    strong = np.sort(size.ravel())[::-1]
    parts = [np.sqrt(cells / scale).ravel() / 4, np.sqrt(both / scale).ravel() / 4, np.sort(whole)[::-1] * 3, peak * 3]
    sharp = strong[:160].mean()
    return [*parts, [level * 2, slant * 2, steep * 2, np.sqrt(scale) * 4, sharp * 3, strong[:1600].mean() / sharp]]


def coherence(light: np.ndarray) -> list[float]:
    """How far edges near each other share a direction, at three sizes of neighbourhood."""
    dy, dx = np.gradient(small(light, 128))
    found = []
    for side in (32, 16, 8):
        xx, yy, xy = small(dx * dx, side), small(dy * dy, side), small(dx * dy, side)
        share = np.hypot(xx - yy, 2 * xy) / (xx + yy + 1e-5)
        weight = xx + yy
        found += [float((share * weight).sum() / weight.sum()), float(share.mean()),
                  *np.quantile(weight / weight.mean(), (0.25, 0.5, 0.75, 0.95)) / 4]
    return found


def diagonals(light: np.ndarray) -> list[float]:
    """How much of what stands out lies along one diagonal rather than the other, and along the middle lines."""
    s = np.abs(small(light, 32) - np.median(light))
    x, y = (g - 0.5 for g in grid(32))
    fall = s.sum() + 1e-4
    along = [float((s * np.exp(-(far / 0.16) ** 2)).sum() / fall) for far in (x - y, x + y, x, y)]
    low, high = sorted(along[:2])
    return [low, high, high - low, *along[2:], float((s * np.hypot(x, y)).sum() / fall)]


def marks(light: np.ndarray, planes: np.ndarray) -> list:
    """The medium: detail at four scales, how it is shared out, its repetition along four directions, its tones."""
    found, rest = [], light
    for _ in range(4):
        low = grown(small(rest, rest.shape[0] // 2), 2)
        detail, rest = rest - low, small(rest, rest.shape[0] // 2)
        power = np.sqrt(small(detail ** 2, 16))
        found += [*np.quantile(power, (0.05, 0.25, 0.5, 0.75, 0.95)) * 15, np.log(power.mean() + 1e-4) / 2]
        share = detail / (detail.std() + 1e-4)
        square = share * share
        found += [np.tanh((square * share).mean() / 3), np.log((square * square).mean()) / 2]
    found += repeats((light - grown(small(light, 32), 8))[64:192])
    for plane in (planes[..., 1], planes[..., 2]):
        found.append(np.log((plane - grown(small(plane, 64), 4)).std() + 1e-4) / 2)
    levels = np.histogram(light, 64, (0, 1))[0] / light.size
    found += [np.sqrt(np.sort(levels)[::-1][k]) for k in (0, 1, 2, 4, 8, 16)]
    tones = np.quantile(light[::2, ::2], (0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99))
    found += [*tones, light.max() - tones[5]]
    return [np.array(found)]


def repeats(detail: np.ndarray) -> list[float]:
    """Correlation of detail with itself, shifted along rows, columns and both diagonals."""
    power, found = (detail ** 2).mean() + 1e-6, []
    for lag in (1, 2, 3, 4, 6):
        found += [(detail[:, lag:] * detail[:, :-lag]).mean() / power, (detail[lag:] * detail[:-lag]).mean() / power,
                  (detail[lag:, lag:] * detail[:-lag, :-lag]).mean() / power,
                  (detail[lag:, :-lag] * detail[:-lag, lag:]).mean() / power]
    return found


def features(picture: np.ndarray) -> np.ndarray:
    """[D] float32 for a picture [256, 256, 3] uint8; another size is brought to 256 first.

    The first GRIDS of them are of places on the picture, the others of the whole.
    """
    if picture.shape[0] != grid()[0].shape[0]:
        picture = np.asarray(Image.fromarray(picture).resize(grid()[0].shape, Image.Resampling.LANCZOS))
    return of_planes(lab(picture))


def of_planes(planes: np.ndarray) -> np.ndarray:
    """The same for the planes of `lab`."""
    light = planes[..., 0]
    (squares, *keys), (first, second, table, *hues) = layout(light), colours(planes)
    cells, both, *turns = edges(light)
    places = [squares, first, second, table, cells, both]
    whole = [*keys, symmetry(planes), diagonals(light), *hues, *turns, coherence(light), *marks(light, planes)]
    return np.concatenate([np.asarray(part, np.float32).ravel() for part in (*places, *whole)])
