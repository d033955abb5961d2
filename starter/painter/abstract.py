"""Abstract compositions: circles, blocks, bars and waves on a light or dark ground."""
import numpy as np

from .fields import SIZE, clouds, grid, mix, polygon, smooth, step
from .palettes import PALETTES
from .plan import Plan
from .scenes import Scene


def paint(scene: Scene, rng: np.random.Generator) -> Plan:
    """The under-painting of an abstract composition."""
    plan, palette = Plan(), PALETTES[scene.palette]
    ground(plan, palette, scene.light == "dark ground", rng)
    colours = paints(palette, scene.light == "dark ground", rng)
    {"circles": circles, "blocks": blocks, "bars": bars, "waves": waves}[scene.subject](plan, scene.plan, colours, rng)
    return plan


def ground(plan, palette, dark: bool, rng):
    x, y = grid()
    first, second = (palette.dark, mix(palette.dark, palette.earth, 0.65)) if dark else (
        mix(palette.pale, palette.sky, 0.45), mix(palette.pale, palette.glow, 0.3))
    edge = np.hypot(x - 0.5, y - 0.5)
    share = np.clip(0.85 - edge + 0.3 * clouds(rng, 2, 2, 4), 0, 1)
    rgb = mix(first, second, share)
    for turn in rng.uniform(0, np.pi, 3):
        side = (x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn) + rng.uniform(-0.25, 0.25) + 0.03 * smooth(rng, 4, 4)
        tone = [palette.sky, palette.second, palette.earth, palette.glow][int(rng.integers(4))]
        rgb = mix(rgb, tone, rng.uniform(0.1, 0.26) * (0.7 if dark else 1) * step(side, -0.004, 0.004))
    plan.lay(np.ones((SIZE, SIZE), np.float32), rgb, angle=2.0 * smooth(rng, 2, 2), fine=0.0)


def paints(palette, dark: bool, rng) -> list[np.ndarray]:
    """Colours that stand out from the ground, the accent among them."""
    tones = [palette.accent, palette.second, palette.field, palette.water, palette.leaf, palette.glow,
             palette.pale if dark else palette.dark, mix(palette.accent, palette.glow, 0.4), palette.earth]
    return [tones[i] for i in rng.permutation(len(tones))]


def places(plan: str, count: int, rng) -> list[tuple[float, float, float]]:
    """(x, y, size about 1) of the masses: mirrored, along a diagonal, or scattered with a centre of gravity."""
    if plan == "symmetric":
        half = [(rng.uniform(0.14, 0.42), rng.uniform(0.15, 0.85), rng.uniform(0.6, 1.1)) for _ in range(count // 2)]
        axis = [(0.5, y, rng.uniform(0.7, 1.5)) for y in (0.5, rng.uniform(0.2, 0.35), rng.uniform(0.65, 0.8))]
        return axis + [p for x, y, s in half for p in ((x, y, s), (1 - x, y, s))]
    if plan == "diagonal":
        side, spots = rng.choice((-1, 1)), np.linspace(0.1, 0.9, count)
        return [(0.5 + side * (t - 0.5) + rng.uniform(-0.09, 0.09), t + rng.uniform(-0.09, 0.09),
                 0.75 + 0.7 * (1 - abs(t - 0.5) * 2) * rng.random()) for t in rng.permutation(spots)]
    return [(x + rng.uniform(-0.12, 0.12), y + rng.uniform(-0.12, 0.12), rng.uniform(0.45, 1.45))
            for x, y in [(a, b) for a in (0.17, 0.5, 0.83) for b in (0.17, 0.5, 0.83)][:: 1 if count > 7 else 2]]


def modelled(colour, turn, rng):
    """A plane of paint that is lighter towards one side, with the ground's breath in it."""
    x, y = grid()
    fall = (x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn)
    return np.clip(mix(colour * 0.78, np.minimum(colour * 1.18 + 0.03, 1),
                       np.clip(0.5 + 1.6 * fall + 0.35 * smooth(rng, 5, 5), 0, 1)), 0, 1)


def circles(plan, arrangement, colours, rng):
    """Discs and rings, some cut into halves of two colours."""
    gx, gy = grid()
    spots = places(arrangement, 9, rng)
    twin = arrangement == "symmetric"
    for k, (x, y, size) in enumerate(spots):
        n = (k + 1) // 2 if twin and k > 2 else k
        radius = 0.115 * size
        far = np.hypot(gx - x, gy - y)
        angle = np.arctan2(gy - y, gx - x) + np.pi / 2
        for j, share in enumerate((1.0, 0.68, 0.36)[:1 + n % 3]):
            cover = np.clip((radius * share - far) * SIZE + 0.5, 0, 1)
            plan.lay(cover, modelled(colours[(n + 3 * j) % len(colours)], 1.0 + k, rng), angle=angle, fine=0.3)


def blocks(plan, arrangement, colours, rng):
    """Rectangles, a little turned, over each other."""
    spots, shapes = places(arrangement, 10, rng), rng.uniform(0.65, 1.5, (16, 2))
    tilt = {"symmetric": 0.0, "diagonal": rng.choice((-0.5, 0.5)), "scattered": rng.uniform(-0.5, 0.5)}[arrangement]
    for k, (x, y, size) in enumerate(spots):
        n = (k + 1) // 2 if arrangement == "symmetric" and k > 2 else k
        wide, tall = 0.12 * size * shapes[n]
        turn = tilt + (rng.uniform(-0.15, 0.15) if arrangement != "symmetric" else 0)
        c, s = np.cos(turn), np.sin(turn)
        corners = [(x + a * wide * c - b * tall * s, y + a * wide * s + b * tall * c)
                   for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        where, cover = polygon(corners)
        if cover.size:
            tone = modelled(colours[n % len(colours)], k, rng)
            plan.lay(cover, tone[where], angle=turn, fine=0.25, where=where)


def bars(plan, arrangement, colours, rng):
    """Long bars: mirrored fans, parallel diagonals, or thrown."""
    count, lean = 9, rng.choice((-1, 1))
    for k in range(count):
        if arrangement == "symmetric":
            n, mirror = k // 2, (-1) ** k
            x, y, turn = 0.5 + mirror * (0.07 + 0.1 * n), 0.5, np.pi / 2 + mirror * 0.18 * n
        elif arrangement == "diagonal":
            n, t = k, (k + 0.5) / count
            x, y, turn = 0.5 + lean * (t - 0.5) * 0.75, t * 0.75 + 0.12, -lean * np.pi / 4 + rng.uniform(-0.06, 0.06)
        else:
            n, x, y, turn = k, rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), rng.uniform(0, np.pi)
        long = (0.3 if arrangement == "symmetric" else rng.uniform(0.18, 0.42))
        bar(plan, x, y, turn, long, (0.018 + 0.02 * ((n * 7) % 3)), colours[n % len(colours)], k, rng)


def bar(plan, x, y, turn, long, half, colour, k, rng):
    c, s = np.cos(turn), np.sin(turn)
    where, cover = polygon([(x + a * long * c - b * half * s, y + a * long * s + b * half * c)
                            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    if cover.size:
        plan.lay(cover, modelled(colour, k, rng)[where], angle=turn, fine=0.4, where=where)


def waves(plan, arrangement, colours, rng):
    """Flowing bands, one over another."""
    x, y = grid()
    if arrangement == "symmetric":
        across, along = y, 2 * np.abs(x - 0.5)
        bend = 0.12 * np.sin(along * rng.uniform(4, 7) + rng.uniform(0, 6))
    elif arrangement == "diagonal":
        lean = rng.choice((-1, 1))
        across, bend = (y + lean * (x - 0.5)) * 0.72 + 0.14, 0.07 * smooth(rng, 3, 3)
    else:
        across, bend = y, 0.2 * smooth(rng, 2, 1.5) + 0.06 * smooth(rng, 5, 4)
    field = across + bend
    slope_y, slope_x = np.gradient(field)
    angle = np.arctan2(-slope_x, slope_y)
    edges = np.sort(rng.uniform(0.05, 0.95, 7)) * 0.4 + np.linspace(0.08, 0.92, 7) * 0.6
    for k, low in enumerate(edges):
        high = low + rng.uniform(0.06, 0.14)
        cover = np.clip((field - low) * SIZE + 0.5, 0, 1) * np.clip((high - field) * SIZE + 0.5, 0, 1)
        share = step(field, low, high) if k % 2 else 1 - step(field, low, high)
        tone = modelled(colours[k % len(colours)], k, rng) * (0.72 + 0.4 * share[..., None])
        plan.lay(cover, np.clip(tone, 0, 1), angle=angle, fine=0.3)
