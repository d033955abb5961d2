"""Landscapes: sky and light, ranges of hills, water, fields and paths, and what stands in them."""
import numpy as np

from .fields import SIZE, box, clouds, grid, line, mix, polygon, smooth, step
from .palettes import PALETTES, Palette
from .plan import Plan
from .scenes import Scene

HORIZON = {"high horizon": (0.27, 0.36), "low horizon": (0.62, 0.71)}
SKY = {"day": (1.05, 0.35), "dusk": (0.55, 0.95), "night": (0.3, 0.25)}  # brightness, glow
LAND = {"day": 1.05, "dusk": 0.55, "night": 0.38}


def richer(colour, gain: float) -> np.ndarray:
    """The colour with its distance from grey stretched."""
    grey = colour.mean()
    return np.clip(grey + (colour - grey) * gain, 0, 1)


class Light:
    """Where the light stands (x, y), on which side (-1 left, 1 right), how bright the land is."""

    def __init__(self, scene: Scene, horizon: float, rng):
        self.from_right = 1 if scene.side == "right" else -1
        self.x = 0.5 + self.from_right * rng.uniform(0.24, 0.42)
        lift = {"day": 0.9, "dusk": 0.06, "night": 0.6}[scene.light]
        self.y = horizon * (1 - lift * rng.uniform(0.7, 1.0))
        self.time, self.land = scene.light, LAND[scene.light]


def paint(scene: Scene, rng: np.random.Generator) -> Plan:
    """The under-painting of a landscape."""
    plan, palette = Plan(), PALETTES[scene.palette]
    horizon = rng.uniform(*HORIZON[scene.plan])
    light = Light(scene, horizon, rng)
    sky(plan, palette, light, horizon, rng)
    bank = {"hills": hills, "mountains": mountains, "a lake": lake, "the sea": sea, "a path": path}[scene.subject](
        plan, palette, light, horizon, rng)
    if scene.thing:
        outward = 1 if scene.place == "right" else -1
        x = 0.5 + outward * (1 / 6 + rng.uniform(-0.04, 0.08))
        foot = bank or min(max(horizon + 0.17, 0.74), 0.9)
        STAND[scene.thing](plan, palette, light, horizon, x, foot + rng.uniform(-0.02, 0.03), rng)
    return plan


def sky(plan: Plan, palette: Palette, light: Light, horizon: float, rng):
    """A gradient down to the horizon, a glow about the light, clouds lit from its side, the sun or moon itself."""
    x, y = grid()
    bright, warm = SKY[light.time]
    height = np.clip(y / horizon, 0, 1)
    upper = {"night": mix(palette.dark, richer(palette.sky, 1.7), 0.5) * 0.8, "day": richer(palette.sky, 1.25),
             "dusk": mix(richer(palette.sky, 1.4), palette.second, 0.35) * bright}.get(light.time, palette.sky * bright)
    low = mix(palette.glow, palette.accent, 0.35) if light.time == "dusk" else palette.glow
    lower = mix(palette.sky * (0.4 + 0.6 * bright), low * (0.6 + 0.4 * bright), 0.25 + 0.6 * warm)
    rgb = mix(upper, lower, height ** rng.uniform(1.2, 2.2))
    far = np.hypot((x - light.x) * 0.8, y - light.y)
    rgb = mix(rgb, palette.glow, (0.35 + 0.6 * warm) * np.exp(-(far / rng.uniform(0.22, 0.38)) ** 2))
    rgb = cloud(rgb, palette, light, horizon, rng)
    disc = {"day": 0.0, "dusk": 0.05, "night": 0.04}[light.time] * rng.uniform(0.8, 1.2)
    if disc:
        rgb = mix(rgb, mix(palette.pale, palette.glow, 0.35), step(-far / disc, -1.12, -0.9))
    plan.lay(np.ones((SIZE, SIZE), np.float32), rgb, angle=0.35 * smooth(rng, 2, 3), fine=0.1)


def cloud(rgb, palette, light, horizon, rng):
    """Banks of cloud, flat towards the horizon, light on the side of the sun and dark below."""
    x, y = grid()
    near = np.clip(1.15 - y / horizon, 0.1, 1)
    field = clouds(rng, rng.uniform(2, 3.5), rng.uniform(4, 7) / horizon * 0.5, 5, 0.55)
    cover = step(field + 0.15 * near, rng.uniform(-0.1, 0.35), rng.uniform(0.5, 0.8)) * rng.uniform(0.6, 1.0)
    shift = int(6 * light.from_right)
    lit = field - np.roll(field, (5, -shift), (0, 1))
    bright, warm = SKY[light.time]
    high = mix(palette.pale, palette.glow, 0.2 + 0.6 * warm) * (0.35 + 0.65 * bright)
    low = mix(palette.sky, palette.dark, 0.35) * (0.45 + 0.5 * bright)
    return mix(rgb, mix(low, high, step(lit, -0.35, 0.45)), cover)


def far_colour(palette: Palette, light: Light, depth: float, base) -> np.ndarray:
    """The colour of land at `depth` (0 near, 1 at the horizon): air lies between."""
    air = mix(palette.sky, palette.glow, 0.45) * (0.3 + 0.7 * SKY[light.time][0])
    return mix(base * light.land, air, 0.12 + 0.62 * depth ** 1.3)


def slopes(ridge: np.ndarray, light: Light, gain: float) -> np.ndarray:
    """[256] how much light falls on the slopes of a ridge, 0..1."""
    slope = np.gradient(np.convolve(np.pad(ridge, 4, mode="edge"), np.ones(9) / 9, "valid")) * SIZE
    return np.clip(0.5 + gain * slope * -light.from_right, 0, 1)


def ridge(plan: Plan, palette: Palette, light: Light, depth: float, base, top: np.ndarray, rng, rough: float = 1.0):
    """One range: everything below the line `top` [256], modelled by the light on its slopes and by patches of field."""
    _, y = grid()
    below = y - top
    cover = np.clip(below * SIZE + 0.5, 0, 1)
    lit = slopes(-top, light, 0.5 * rough)
    patch = clouds(rng, 3, 10, 4, 0.6)
    crest = 0.8 * (lit[None] - 0.5) * np.exp(-6 * np.maximum(below, 0))
    shade = np.clip(crest + 0.55 * patch + 0.5 - 0.25 * below, 0, 1)
    shadow = far_colour(palette, light, depth, mix(base, palette.dark, 0.6))
    bright = far_colour(palette, light, depth, mix(base, palette.glow, 0.38))
    incline = np.arctan(np.gradient(top) * SIZE) * 0.8
    angle = incline[None] + 0.5 * patch
    plan.lay(cover, mix(shadow, bright, shade), angle=angle, fine=0.15 + 0.35 * depth)


def ranges(plan, palette, light, horizon, rng, count: int, rise: float, drop: float, bases, waves: float, fall: float):
    """`count` ranges from the horizon forward; each lower on the canvas, nearer and stronger."""
    for k in range(count):
        depth = 1 - k / max(count - 0.3, 1)
        top = horizon + drop * (k / count) ** 1.2 - rise * (0.4 + 0.6 * depth) * (
            0.3 + 0.9 * line(rng, waves * rng.uniform(0.7, 1.3), 5, fall))
        ridge(plan, palette, light, depth, bases[min(k, len(bases) - 1)], np.clip(top, 0.04, 1.2).astype(np.float32),
              rng, 0.6)


def hills(plan, palette, light, horizon, rng):
    bases = [mix(palette.water, palette.leaf, 0.5), palette.leaf, palette.field, mix(palette.field, palette.leaf, 0.5),
             palette.earth]
    for k in range(5):
        depth = 1 - k / 4.6
        rise = (0.13 if k < 2 else 0.09) * (0.7 if horizon < 0.5 else 1.0)
        crest = rise * (0.25 + 0.75 * line(rng, rng.uniform(1.1, 1.9), 4, 0.22))
        top = horizon + (0.92 - horizon) * (k / 5) ** 1.25 - crest
        ridge(plan, palette, light, depth, bases[k], np.clip(top, 0.05, 1.2).astype(np.float32), rng, 1.0)


def mountains(plan, palette, light, horizon, rng):
    _, y = grid()
    for k in range(2):
        tall = (0.62 - 0.22 * k) * horizon
        centre = rng.uniform(0.2, 0.8)
        line_x = np.linspace(0, 1, SIZE, dtype=np.float32)
        peak = np.clip(1 - np.abs(line_x - centre) / rng.uniform(0.35, 0.6), 0, 1)
        top = horizon - tall * (0.25 + 0.75 * peak) * (0.78 + 0.32 * line(rng, 5, 5, 0.55)) - 0.02
        face(plan, palette, light, 0.75 - 0.35 * k, top.astype(np.float32), rng)
    bases = [palette.leaf, palette.field, palette.earth]
    ranges(plan, palette, light, horizon, rng, 3, 0.035, 0.8 - horizon * 0.8, bases, 2.0, 0.4)


def face(plan, palette, light, depth, top, rng):
    """A mountain: facets of rock, lit on one side, with snow towards the peak."""
    x, y = grid()
    field = clouds(rng, 5, 4, 4, 0.6)
    below = y - top[None] + 0.015 * field
    facet = field - np.roll(field, int(7 * -light.from_right), 1)
    shade = step(0.9 * facet + 0.55 * (slopes(-top, light, 0.22)[None] - 0.5), -0.5, 0.5)
    snow = step(0.35 * field - below / (0.05 + 0.25 * (1 - top.min())), -0.35, 0.1)
    rock_dark = far_colour(palette, light, depth, mix(palette.earth, palette.dark, 0.7))
    rock_light = far_colour(palette, light, depth, mix(palette.earth, palette.glow, 0.55))
    rgb = mix(rock_dark, rock_light, shade)
    white = mix(mix(palette.sky, palette.pale, 0.3), palette.pale, shade) * (0.35 + 0.65 * SKY[light.time][0])
    plan.lay(np.clip((y - top) * SIZE + 0.5, 0, 1), mix(rgb, white, 0.8 * snow), angle=np.sign(facet) + 0.3 * field,
             fine=0.3)


def mirrored(plan: Plan, palette, light, top: float, bottom: float, rng, calm: float):
    """Water between two heights: what lies above it upside down, broken by level ripples, darker towards the eye."""
    x, y = grid()
    inside = np.clip((y - top) * SIZE + 0.5, 0, 1) * np.clip((bottom - y) * SIZE + 0.5, 0, 1)
    depth = np.clip((y - top) / max(bottom - top, 1e-3), 0, 1)
    wave = smooth(rng, 5, 60) * (0.3 + depth) + 0.6 * smooth(rng, 3, 26) * depth
    row = np.clip((2 * top - y) * SIZE + 12 * calm * wave, 0, SIZE - 1).astype(int)
    column = np.clip(x * SIZE + 5 * calm * smooth(rng, 4, 30), 0, SIZE - 1).astype(int)
    seen = plan.rgb[row, column]
    body = palette.water * (0.25 + 0.65 * light.land)
    rgb = mix(seen * 0.9, mix(body, palette.dark, 0.3 * depth), 0.25 + 0.3 * depth)
    rgb = mix(rgb, mix(palette.glow, palette.pale, 0.4) * (0.3 + 0.7 * SKY[light.time][0]), glitter(light, top, wave))
    plan.lay(inside, rgb, angle=0.06 * wave, fine=0.35)


def glitter(light, top, wave):
    """[256, 256] share of the light's own path on the water."""
    x, y = grid()
    spread = 0.035 + 0.22 * (y - top)
    return 0.85 * np.exp(-((x - light.x) / spread) ** 2) * step(wave, -0.05, 0.45)


def shore(plan, palette, light, level: float, rng, base, rise: float):
    """The near bank."""
    top = level + rise * line(rng, 1.5, 4, 0.45)
    ridge(plan, palette, light, 0.08, base, np.clip(top, 0, 1.3).astype(np.float32), rng, 0.4)


def lake(plan, palette, light, horizon, rng):
    for k in range(2):
        depth = 0.85 - 0.45 * k
        top = horizon - (0.45 - 0.25 * k) * horizon * np.clip(0.35 + 0.65 * line(rng, 2.2, 5, 0.45), 0.04, 1)
        ridge(plan, palette, light, depth, [palette.water, palette.leaf][k], top.astype(np.float32), rng, 0.35)
    bottom = horizon + (1 - horizon) * rng.uniform(0.62, 0.75)
    mirrored(plan, palette, light, horizon + 0.01, 1.0, rng, rng.uniform(0.4, 0.8))
    shore(plan, palette, light, bottom, rng, mix(palette.field, palette.leaf, 0.5), 0.05)
    return min(bottom + 0.11, 0.93)


def sea(plan, palette, light, horizon, rng):
    mirrored(plan, palette, light, horizon, 1.0, rng, rng.uniform(0.8, 1.3))
    x, y = grid()
    depth = np.clip((y - horizon) / (1 - horizon), 0, 1)
    bend = (1.6 * smooth(rng, 2.5, 2) + 0.9 * smooth(rng, 6, 7)) * (0.35 + depth)
    swell = np.sin(depth ** 0.6 * rng.uniform(30, 40) + bend)
    body = (y > horizon) * step(depth, 0.02, 0.35)
    crest = step(swell, 0.62, 1.0) * step(smooth(rng, 5, 14), -0.1, 0.6) * body
    plan.rgb[:] = mix(plan.rgb, palette.dark * (0.5 + 0.6 * light.land), 0.42 * step(-swell, -0.2, 1.0) * body)
    plan.rgb[:] = mix(plan.rgb, palette.pale * (0.4 + 0.6 * light.land), 0.75 * crest)
    headland(plan, palette, light, horizon, rng)


def headland(plan, palette, light, horizon, rng):
    """Rocks that reach into the sea from the side away from the light."""
    _, y = grid()
    away = -light.from_right
    inland = np.clip((np.linspace(0, 1, SIZE, dtype=np.float32) - 0.5) * away - rng.uniform(0.08, 0.2), 0, 1) / 0.4
    crags = 1 + 0.22 * line(rng, 7, 4, 0.6)
    steps = np.round(4 * inland + 0.3 * crags) / 5
    top = np.where(inland > 0, horizon + 0.02 - 0.3 * (0.4 + horizon) * steps * crags, 1.3)
    foot = horizon + 0.02 + 0.1 * inland
    cover = np.clip((y - top) * SIZE + 0.5, 0, 1) * np.clip((foot - y) * SIZE + 0.5, 0, 1)
    field = clouds(rng, 9, 4, 4, 0.6)
    facet = field - np.roll(field, int(6 * -light.from_right), 1)
    low, high = mix(palette.earth, palette.dark, 0.7), mix(palette.earth, palette.glow, 0.45)
    plan.lay(cover, mix(far_colour(palette, light, 0.25, low), far_colour(palette, light, 0.25, high),
                        step(facet, -0.35, 0.5)), angle=1.2 + 0.4 * field, fine=0.4)


def path(plan, palette, light, horizon, rng):
    """A plain with furrows that run to one point, and a path that winds there."""
    ranges(plan, palette, light, horizon, rng, 2, 0.05, 0.04, [palette.water, palette.leaf], 1.5, 0.4)
    x, y = grid()
    depth = np.clip((y - horizon - 0.02) / (0.98 - horizon), 1e-3, 1)
    goal = 0.5 + rng.uniform(-0.12, 0.12)
    spoke = np.arctan2(x - goal, depth + 0.03)
    furrow = np.sin(spoke * rng.uniform(16, 26) + 1.5 * smooth(rng, 3, 3))
    patch = step(clouds(rng, 3, 5, 3), -0.5, 0.6)
    near = mix(mix(palette.leaf, palette.field, patch), palette.glow, 0.18 * (1 + furrow)) * light.land
    air = far_colour(palette, light, 0.9, palette.field)
    rgb = mix(near * (0.86 + 0.14 * furrow[..., None]), air, np.exp(-4.5 * depth))
    cover = np.clip((y - horizon - 0.02) * SIZE + 0.5, 0, 1)
    plan.lay(cover, rgb, angle=np.pi / 2 - spoke, fine=0.2)
    sway = goal + rng.choice((-1, 1)) * depth ** 0.8 * 0.22 * np.sin(2.6 / (depth + 0.28) + rng.uniform(0, 6))
    half = 0.006 + 0.13 * depth ** 1.5
    lane = np.clip((half - np.abs(x - sway)) * SIZE / (1 + 6 * depth) + 0.5, 0, 1) * cover
    sand = mix(mix(palette.pale, palette.glow, 0.4), palette.earth, 0.25 + 0.2 * smooth(rng, 6, 18))
    sand = sand * (0.25 + 0.7 * light.land)
    plan.lay(lane, mix(sand, air, np.exp(-6 * depth) * 0.5), angle=1.2 + 0 * x, fine=0.35)


def clump(plan, x, y, radius, squash, dark, bright, light, rng):
    """A mass of leaves: a rough ball lit from the side of the light and from above."""
    reach = 1.3 * radius
    where = box(x - reach, y - reach * squash, x + reach, y + reach * squash)
    gx, gy = (g[where] for g in grid())
    if not gx.size:
        return
    dx, dy = (gx - x) / radius, (gy - y) / radius / squash
    rough = smooth(rng, 7, 7, 64)
    rough = rough[np.arange(gx.shape[0])[:, None] % 64, np.arange(gx.shape[1])[None] % 64]
    far = dx * dx + dy * dy + 0.55 * rough
    lit = step(0.55 * dx * light.from_right - 0.6 * dy + 0.7 * rough, -0.55, 0.85)
    plan.lay(step(-far, -1.1, -0.85), mix(dark, bright, lit), angle=np.arctan2(dx, -dy) * 0.7, fine=0.55, where=where,
             new=False)


def leaves(palette, light):
    deep = mix(palette.leaf, palette.dark, 0.75) * (0.35 + 0.5 * light.land)
    bright = mix(palette.leaf, palette.glow, 0.5) * (0.15 + 0.8 * light.land)
    return deep, bright


def shadow(plan, palette, light, x, y, long, wide):
    """What a thing throws on the ground, away from the light."""
    gx, gy = grid()
    away = (gx - x) * -light.from_right
    cover = 0.55 * step(-np.hypot((away - long * 0.5) / (long * 0.6), (gy - y) / wide), -1.0, -0.5)
    plan.rgb[:] = mix(plan.rgb, palette.dark * 0.8, cover)


def tree(plan, palette, light, horizon, x, foot, rng):
    """One large tree that stands before the distance."""
    tall = rng.uniform(0.52, 0.62)
    deep, bright = leaves(palette, light)
    shadow(plan, palette, light, x, foot, 0.28, 0.03)
    wood = mix(palette.dark, palette.earth, 0.35) * (0.4 + 0.6 * light.land)
    for tip, top, wide in ((0.0, 0.6, 0.02), (-0.1, 0.72, 0.008), (0.09, 0.75, 0.008)):
        where, cover = polygon([(x - wide, foot), (x + tip - 0.4 * wide, foot - tall * top),
                                (x + tip + 0.4 * wide, foot - tall * top), (x + wide * 1.15, foot)])
        plan.lay(cover, wood, angle=1.5, fine=0.6, where=where)
    plan.regions += 1
    middle, lean = foot - tall * 0.68, rng.uniform(-0.03, 0.03)
    boughs = [(x + lean + 0.155 * np.cos(t) * o, middle + 0.24 * tall * np.sin(t) * o)
              for t, o in ((2 * np.pi * k / 9 + rng.uniform(-0.3, 0.3), 0.0 if k == 8 else rng.uniform(0.75, 1.05))
                           for k in range(9))]
    for cx, cy in boughs:
        clump(plan, cx, cy, rng.uniform(0.075, 0.095), 0.8, deep * 0.9, deep, light, rng)
    for cx, cy in sorted(boughs, key=lambda spot: spot[1], reverse=True):
        for _ in range(3):
            dx, dy = rng.normal(0.012 * light.from_right, 0.032), rng.normal(-0.02, 0.022)
            low = np.clip((cy + dy - middle) / (0.3 * tall) * 0.5 + 0.25 - 4 * dx * light.from_right, 0, 0.85)
            clump(plan, cx + dx, cy + dy, rng.uniform(0.03, 0.05), 0.75, deep, mix(bright, deep, low), light, rng)


def poplars(plan, palette, light, horizon, x, foot, rng):
    """A row of tall, narrow trees."""
    deep, bright = leaves(palette, light)
    for off in np.linspace(-0.12, 0.12, 4):
        cx, ground = x + off + rng.uniform(-0.012, 0.012), foot + rng.uniform(-0.015, 0.02)
        tall = rng.uniform(0.38, 0.56)
        shadow(plan, palette, light, cx, ground, 0.12, 0.015)
        plan.regions += 1
        for j in range(9):
            up = j / 8
            wide = 0.035 * np.sin(np.pi * min(0.15 + 0.85 * (1 - up), 1)) ** 0.7 + 0.01
            at = cx + rng.uniform(-0.006, 0.006), ground - tall * (0.06 + 0.9 * up)
            clump(plan, *at, wide, 1.7, deep, bright, light, rng)


def house(plan, palette, light, horizon, x, foot, rng):
    """A house with a lit and a dark wall and a roof in the accent's colour."""
    base, wide, tall = foot - 0.02, rng.uniform(0.24, 0.3), rng.uniform(0.12, 0.15)
    shine, side = 0.35 + 0.65 * light.land, light.from_right
    left, right, ridge_y = x - wide / 2, x + wide / 2, base - tall - rng.uniform(0.1, 0.13)
    split = x + side * wide * 0.12
    walls = [((left, split), mix(palette.pale, palette.earth, 0.6 if side > 0 else 0.12)),
             ((split, right), mix(palette.pale, palette.earth, 0.12 if side > 0 else 0.6))]
    shadow(plan, palette, light, x, base, 0.34, 0.03)
    for (a, b), colour in walls:
        where, cover = polygon([(a, base), (a, base - tall), (b, base - tall), (b, base)])
        plan.lay(cover, colour * shine, angle=1.5, fine=0.6, where=where)
    gable = (split + right) / 2 if side > 0 else (left + split) / 2
    far = left if side > 0 else right
    end = right if side > 0 else left
    where, cover = polygon([(split, base - tall), (gable, ridge_y), (end, base - tall)])
    plan.lay(cover, walls[1 if side > 0 else 0][1] * shine, angle=0.8, fine=0.6, where=where)
    where, cover = polygon([(split, base - tall + 0.012), (gable, ridge_y - 0.006), (far - side * 0.0, ridge_y),
                            (far - side * 0.025, base - tall + 0.012)])
    plan.lay(cover, mix(palette.accent, palette.dark, 0.2) * shine, angle=0.9 * side, fine=0.5, where=where)
    glass = palette.glow if light.time in ("night", "dusk") else mix(palette.dark, palette.sky, 0.3)
    for at in (0.3, 0.68):
        cx = far + (split - far) * at
        where, cover = polygon([(cx - 0.014, base - tall * 0.75), (cx + 0.014, base - tall * 0.75),
                                (cx + 0.014, base - tall * 0.35), (cx - 0.014, base - tall * 0.35)])
        plan.lay(cover, glass * (1 if light.time in ("night", "dusk") else shine), fine=0.9, where=where)


def boat(plan, palette, light, horizon, x, _, rng):
    """A sailing boat with its reflection."""
    level, tall = horizon + (1 - horizon) * rng.uniform(0.22, 0.34), rng.uniform(0.26, 0.33)
    shine, lean = 0.4 + 0.6 * light.land, rng.uniform(-0.02, 0.02)
    hull = [(x - 0.1, level - 0.022), (x + 0.11, level - 0.026), (x + 0.075, level + 0.018), (x - 0.07, level + 0.018)]
    main = [(x + lean, level - tall), (x + 0.004, level - 0.035), (x - 0.1, level - 0.04)]
    jib = [(x + 0.012 + lean, level - tall * 0.9), (x + 0.012, level - 0.04), (x + 0.1, level - 0.035)]
    cloth = mix(palette.pale, palette.accent, 0.55)
    for points, colour in ((main, palette.pale), (jib, cloth), (hull, mix(palette.dark, palette.accent, 0.2))):
        flipped = [(a, 2 * level + 0.03 - (b - level) * 0.7 - level) for a, b in points]
        where, cover = polygon(flipped)
        plan.lay(0.45 * cover, colour * shine * 0.8, where=where, new=False)
    for points, colour in ((main, palette.pale), (jib, cloth), (hull, mix(palette.dark, palette.accent, 0.2))):
        where, cover = polygon(points)
        plan.lay(cover, colour * shine, angle=1.3, fine=0.7, where=where)


STAND = {"a tree": tree, "poplars": poplars, "a house": house, "a sailing boat": boat}
