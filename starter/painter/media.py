"""From the under-painting to paint: how each medium lays its marks."""
import numpy as np
from PIL import Image, ImageFilter

from .brushes import Brush, Surface
from .fields import SIZE, clouds, grid, mix, smooth, step
from .palettes import PALETTES
from .plan import Plan
from .scenes import Scene
from .tone import WEIGHTS

WASH = {"night": 0.5, "dusk": 0.8, "dark wall": 0.6, "dark ground": 0.7, "day": 1.2}   # how much ink, by the light


def finish(plan: Plan, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """[256, 256, 3] in 0..1: the picture of the plan in the scene's medium."""
    return np.clip(MEDIUM[scene.medium](plan, scene, rng), 0, 1)


def spots(rng, spacing: float):
    """Jittered grid points in random order: (columns, rows), in pixels."""
    line = np.arange(-spacing / 2, SIZE + spacing, spacing)
    x, y = (g.ravel() + rng.uniform(-spacing / 2, spacing / 2, g.size) for g in np.meshgrid(line, line))
    order = rng.permutation(len(x))
    return x[order], y[order]


def at(field: np.ndarray, x, y):
    """The field at the nearest pixel of each point."""
    return field[np.clip(y, 0, SIZE - 1).astype(int), np.clip(x, 0, SIZE - 1).astype(int)]


def blurred(rgb: np.ndarray, radius: float) -> np.ndarray:
    picture = Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(picture, np.float32) / 255


def jitter(colours, rng, value: float, hue: float):
    """Each mark a little lighter or darker and of another tint than the next."""
    light = rng.normal(0, value, (len(colours), 1))
    return np.clip(colours * (1 + light) + rng.normal(0, hue, colours.shape), 0, 1)


def layer(surface, plan, brush, spacing, rng, keep=None, value=0.05, hue=0.012, sway=0.25, turn=None):
    """Marks of one brush on a grid; `keep`(x, y) says which points are painted."""
    x, y = spots(rng, spacing)
    if keep is not None:
        kept = keep(x, y)
        x, y = x[kept], y[kept]
    angle = at(plan.angle, x, y) if turn is None else turn(x, y)
    surface.lay(brush, x, y, jitter(at(plan.rgb, x, y), rng, value, hue), angle + rng.normal(0, sway, len(x)), rng)


def missing(surface, plan, threshold: float):
    """Which points still differ from the plan: where finer strokes are called for."""
    gap = np.abs(blurred(surface.array(), 1.0) - plan.rgb).sum(2) + 0.06 * plan.fine
    return lambda x, y: at(gap, x, y) > threshold


def light_relief(rgb: np.ndarray, height: np.ndarray, strength: float, from_right: int) -> np.ndarray:
    """Paint in light that grazes it."""
    slope = (height - np.roll(height, (1, -from_right), (0, 1)))
    return np.clip(rgb * (1 - strength * np.clip(slope, -0.35, 0.35)[..., None]), 0, 1)


def oil(plan, scene, rng):
    """Broad strokes first, finer ones where something is still missing, light grazing the ridges of paint."""
    size = rng.uniform(0.8, 1.25)
    surface = Surface(blurred(plan.rgb, 3), relief=True)
    layer(surface, plan, Brush(round(15 * size), round(38 * size), 0.45, 0.3), 11 * size, rng, value=0.07)
    layer(surface, plan, Brush(round(9 * size), round(24 * size), 0.5, 0.35), 7 * size, rng,
          missing(surface, plan, 0.07), value=0.06)
    layer(surface, plan, Brush(round(5 * size), round(14 * size), 0.45, 0.3), 4 * size, rng,
          missing(surface, plan, 0.14), value=0.05)
    layer(surface, plan, Brush(3, 8, 0.3, 0.2), 2.6, rng, missing(surface, plan, 0.3), value=0.03, sway=0.15)
    return light_relief(surface.array(), surface.relief(), 0.4, 1 if scene.side == "right" else -1)


def gouache(plan, scene, rng):
    """Flat, opaque planes: few tones, crisp edges, a trace of the brush and of the paper."""
    tones = int(rng.integers(8, 14))
    flat = poster(blurred(plan.rgb, 1.2), tones)
    planes = Plan()
    planes.rgb, planes.angle, planes.fine = flat, plan.angle, plan.fine
    surface = Surface(flat, relief=False)
    layer(surface, planes, Brush(13, 26, 0.12, 0.1), 10, rng, value=0.045, hue=0.008)
    for brush, spacing, gap in ((Brush(7, 13, 0.1, 0.1), 5, 0.07), (Brush(4, 7, 0.0, 0.05), 2.8, 0.1),
                                (Brush(2, 4, 0.0, 0.0), 1.9, 0.22)):
        layer(surface, planes, brush, spacing, rng, missing(surface, planes, gap), value=0.025, hue=0.005, sway=0.1)
    return surface.array() * (1 + 0.02 * clouds(rng, 40, 40, 2))[..., None]


def poster(rgb, tones: int):
    """Colours whose lightness has only `tones` steps."""
    luma = rgb @ WEIGHTS
    low, high = np.quantile(luma, (0.01, 0.99))
    place = np.clip((luma - low) / max(high - low, 1e-3), 0, 1) * tones
    level = np.floor(place)
    soft = np.clip((place - level - 0.5) * 8 + 0.5, 0, 1)
    wanted = low + (level + soft - 0.5) / tones * (high - low)
    return np.clip(rgb * (wanted / np.maximum(luma, 0.03))[..., None], 0, 1)


def pastel(plan, scene, rng):
    """Hatches of chalk on toned paper: the ground shows through every stroke."""
    palette = PALETTES[scene.palette]
    mean = plan.rgb.mean((0, 1))
    paper = np.clip(mix(mix(palette.earth, palette.sky, 0.5), mean, 0.6), 0.05, 0.9)
    tooth = 0.5 + 0.5 * clouds(rng, 70, 70, 2)
    surface = Surface(mix(paper, blurred(plan.rgb, 4), 0.72), relief=False)
    lean = rng.uniform(0.5, 1.0) * (1 if scene.side != "right" else -1)
    turn = lambda x, y: 0.55 * at(plan.angle, x, y) + lean
    chalk = lambda width, length: Brush(width, length, 0.35, 0.5, 0.55, 0.85)
    layer(surface, plan, chalk(8, 30), 7.5, rng, value=0.07, hue=0.02, sway=0.12, turn=turn)
    layer(surface, plan, chalk(5, 20), 5, rng, missing(surface, plan, 0.05), value=0.07, hue=0.02, sway=0.12, turn=turn)
    layer(surface, plan, chalk(3, 11), 2.8, rng, missing(surface, plan, 0.16), value=0.05, hue=0.012, sway=0.2)
    layer(surface, plan, Brush(2, 6, 0.2, 0.2, 0.2, 0.8), 2.2, rng, missing(surface, plan, 0.32), value=0.03, sway=0.2)
    return mix(surface.array(), paper * 0.96, 0.3 * step(tooth, 0.62, 0.95))


def ink_wash(plan, scene, rng):
    """Pools of thinned ink and thin colour on paper, darker along their rims, and a few dry strokes of dark ink."""
    palette = PALETTES[scene.palette]
    paper = mix(palette.pale, np.ones(3, np.float32), 0.25)
    warp = np.stack([smooth(rng, 14, 14), smooth(rng, 14, 14)]) * 2.2
    x, y = grid()
    rows, columns = (np.clip(g * SIZE + w, 0, SIZE - 1).astype(int) for g, w in ((y, warp[0]), (x, warp[1])))
    rgb = blurred(plan.rgb[rows, columns], 1.0)
    luma = rgb @ WEIGHTS
    low, high = np.quantile(luma, (0.02, 0.98))
    depth = (1 - np.clip((luma - low) / max(high - low, 0.05), 0, 1)) ** WASH.get(scene.light, 1.0)
    pools = pool(depth, rng, 4)
    density = (0.08 + 0.84 * pools ** 1.05) * (1 + 0.1 * clouds(rng, 6, 6, 4) + 0.05 * clouds(rng, 60, 60, 1))
    tint = mix(palette.dark * 0.8, rgb / np.maximum(luma, 0.08)[..., None] * 0.46, 0.95 * (1 - 0.6 * pools ** 2))
    wash = mix(paper, np.clip(tint, 0, 1), np.clip(density * rng.uniform(0.85, 1.0), 0, 1))
    surface = Surface(wash, relief=False)
    lines(surface, plan, rgb, palette, rng)
    return surface.array() * (1 + 0.025 * clouds(rng, 50, 50, 2))[..., None]


def pool(depth, rng, levels: int):
    """Washes laid over each other: steps of tone with soft insides and dark rims."""
    total = np.zeros_like(depth)
    for level in range(levels):
        wet = depth + 0.05 * smooth(rng, 5, 5)
        edge = (level + 0.45) / (levels + 0.2)
        inside = step(wet, edge - 0.03, edge + 0.05)
        rim = np.exp(-((wet - edge - 0.035) / 0.03) ** 2)
        total += inside * (0.8 + 0.2 * wet) / levels + 0.1 * rim / levels * 2
    return np.clip(0.62 * total + 0.38 * depth, 0, 1.1)


def lines(surface, plan, rgb, palette, rng):
    """Dry strokes of ink along the edges of dark things."""
    luma = rgb @ WEIGHTS
    gy, gx = np.gradient(blurred(rgb, 1.2) @ WEIGHTS)
    edge = np.hypot(gx, gy)
    level = np.quantile(edge, 0.9)
    flow = np.arctan2(gx, -gy)
    x, y = spots(rng, 3.2)
    kept = (at(edge, x, y) > level * rng.uniform(0.9, 2.0, len(x))) & (at(luma, x, y) < 0.75)
    x, y = x[kept], y[kept]
    ink = np.broadcast_to(palette.dark * 0.7, (len(x), 3))
    surface.lay(Brush(2, 11, 0.5, 0.7, 0.25, 0.75), x, y, jitter(ink, rng, 0.2, 0.01), at(flow, x, y), rng)


def woodcut(plan, scene, rng):
    """Blocks of flat colour under a black block whose lines are carved along the forms."""
    palette = PALETTES[scene.palette]
    base = blurred(plan.rgb, 2.0)
    luma = base @ WEIGHTS
    tones = np.argsort(np.argsort(luma.ravel())).reshape(luma.shape) / luma.size
    tones = 0.55 * tones + 0.45 * step(luma, *np.quantile(luma, (0.03, 0.97)))
    paper = mix(palette.pale, palette.glow, 0.3)
    chroma = base / np.maximum(luma, 0.06)[..., None]
    block = np.clip(chroma * (0.42 + 0.2 * np.floor(tones * 3)[..., None]), 0, 1)
    colour = mix(paper, block, 0.85)
    x, y = grid()
    pitch = rng.uniform(36, 46)
    turn = np.round(plan.angle / 0.5) * 0.5
    phase = (-x * np.sin(turn) + y * np.cos(turn)) * pitch + 0.5 * smooth(rng, 6, 6)
    wave = np.abs((phase % 1) - 0.5) * 2
    ink = step(0.84 - 1.2 * tones - (wave - 0.5) * 0.95, 0.36, 0.52)
    ink = np.maximum(ink, borders(plan.region, 1.3))
    black = mix(palette.dark, palette.earth, 0.12)
    return mix(colour, black, ink * (1 - 0.12 * step(smooth(rng, 60, 60), 0.4, 0.8)))


def borders(numbers: np.ndarray, radius: float) -> np.ndarray:
    """Where one number of [256, 256] meets another, as lines of 0..1."""
    change = (numbers != np.roll(numbers, 1, 0)) | (numbers != np.roll(numbers, 1, 1))
    change[0], change[:, 0] = False, False
    sheet = Image.fromarray((change * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return step(np.asarray(sheet, np.float32) / 255, 0.12, 0.3)


def dots(plan, scene, rng):
    """Round touches of unmixed colour beside each other."""
    surface = Surface(mix(blurred(plan.rgb, 3), PALETTES[scene.palette].pale, 0.12), relief=False)
    layer(surface, plan, Brush(7, 7, 0.0, 0.0), 5.5, rng, value=0.16, hue=0.035)
    layer(surface, plan, Brush(5, 5, 0.0, 0.0), 4, rng, value=0.15, hue=0.035)
    layer(surface, plan, Brush(4, 4, 0.0, 0.0), 3.2, rng, missing(surface, plan, 0.22), value=0.08, hue=0.03)
    return surface.array()


def stained_glass(plan, scene, rng):
    """Panes of one clear colour each, lit from behind, cut along the forms and held by dark leads."""
    pane = panes(plan.region, rng)
    base, count = blurred(plan.rgb, 1.5), np.bincount(pane.ravel())
    mean = np.stack([np.bincount(pane.ravel(), base[..., c].ravel()) / count for c in range(3)], -1)
    luma = (mean @ WEIGHTS)[:, None]
    clear = np.clip(1.25 * luma + 2.4 * (mean - luma), 0.02, 1)
    glass = jitter(clear, rng, 0.1, 0.02)[pane].astype(np.float32) * (1 + 0.06 * clouds(rng, 20, 20, 2))[..., None]
    return mix(glass, PALETTES[scene.palette].dark * 0.35, borders(pane, rng.uniform(1.7, 2.2)))


def panes(region: np.ndarray, rng, across: float = 24.0) -> np.ndarray:
    """[256, 256] numbers from 0 on, one a pane: cells about `across` pixels wide, cut once more where regions meet."""
    x, y = spots(rng, across)
    cell, nearest, line = np.zeros((SIZE, SIZE), np.int64), np.full((SIZE, SIZE), np.inf), np.arange(SIZE)
    near = lambda centre: slice(max(0, int(centre - 2 * across)), max(0, int(centre + 2 * across)))
    for number, (column, row) in enumerate(zip(x, y, strict=True)):
        where = near(row), near(column)
        far = np.add.outer((line[where[0]] - row) ** 2, (line[where[1]] - column) ** 2)
        closer = far < nearest[where]
        nearest[where][closer], cell[where][closer] = far[closer], number
    return np.unique(cell + len(x) * region.astype(np.int64), return_inverse=True)[1].reshape(cell.shape)


MEDIUM = {"oil": oil, "gouache": gouache, "ink wash": ink_wash, "pastel": pastel, "woodcut": woodcut, "dots": dots,
          "stained glass": stained_glass}
