"""Still lifes: a table by a wall, light from a window, vessels turned on a wheel, fruit, flowers and cloth."""
import numpy as np

from .fields import SIZE, box, clouds, grid, line, mix, smooth, step
from .palettes import PALETTES, Palette
from .plan import Plan
from .scenes import Scene

CENTRE = {"on the left": 0.34, "centred": 0.5, "on the right": 0.66}
# Half widths of vessels from the foot (0) to the lip (1), as shares of the height.
PROFILES = {
    "jug": ((0, 0.24), (0.05, 0.26), (0.25, 0.4), (0.5, 0.38), (0.72, 0.22), (0.85, 0.19), (1.0, 0.25)),
    "bottle": ((0, 0.19), (0.04, 0.21), (0.5, 0.21), (0.62, 0.17), (0.7, 0.07), (0.95, 0.06), (1.0, 0.075)),
    "vase": ((0, 0.2), (0.05, 0.22), (0.35, 0.36), (0.6, 0.33), (0.85, 0.17), (1.0, 0.23)),
    "bowl": ((0, 0.3), (0.06, 0.36), (0.14, 0.4), (0.4, 0.86), (0.75, 1.1), (1.0, 1.2)),
}


class Window:
    """Which side the light comes from (-1 left, 1 right), how bright it is and how deep its shadows are."""

    def __init__(self, scene: Scene, rng):
        self.from_right = 1 if scene.side == "right" else -1
        self.dark = scene.light == "dark wall"
        self.ambient = rng.uniform(0.05, 0.14) if self.dark else rng.uniform(0.25, 0.36)
        self.normal = np.array([0.62 * self.from_right, -0.5, 0.6])


def paint(scene: Scene, rng: np.random.Generator) -> Plan:
    """The under-painting of a still life."""
    plan, palette, window = Plan(), PALETTES[scene.palette], Window(scene, rng)
    edge = rng.uniform(0.56, 0.64)
    wall(plan, palette, window, rng)
    table(plan, palette, window, edge, rng)
    x = CENTRE[scene.plan] + rng.uniform(-0.02, 0.02)
    base = edge + rng.uniform(0.14, 0.19)
    {"a jug and fruit": jug_and_fruit, "a bowl of fruit": bowl_of_fruit, "a bottle and fruit": bottle_and_fruit,
     "a vase of flowers": vase_of_flowers}[scene.subject](plan, palette, window, x, base, rng)
    return plan


def wall(plan: Plan, palette: Palette, window: Window, rng):
    """Plaster with a fall of light: the wall by the window is in shade, across from it bright."""
    x, y = grid()
    across = x if window.from_right < 0 else 1 - x
    tint = mix(*[[palette.sky, palette.water, palette.earth, palette.second][i] for i in rng.choice(4, 2, False)], 0.4)
    beam = np.exp(-(((across - 0.72) + 0.5 * (y - 0.35)) / 0.34) ** 2)
    stain = clouds(rng, 3, 3, 4, 0.55)
    if window.dark:
        rgb = mix(palette.dark * 0.75, mix(tint, palette.dark, 0.35), 0.75 * beam + 0.12 * stain)
    else:
        rgb = mix(mix(tint, palette.dark, 0.25), mix(tint, palette.pale, 0.75), 0.15 + 0.75 * beam + 0.14 * stain)
    plan.lay(np.ones((SIZE, SIZE), np.float32), rgb, angle=0.9 * window.from_right + 0.8 * smooth(rng, 3, 3), fine=0.0)


def table(plan: Plan, palette: Palette, window: Window, edge: float, rng):
    """The top of a table, half under a cloth that falls in folds."""
    x, y = grid()
    depth = np.clip((y - edge) / (1 - edge), 0, 1)
    grain = smooth(rng, 2, 34) * 0.5 + clouds(rng, 2, 6, 3)
    light = 0.55 + 0.3 * depth + 0.1 * grain - 0.25 * np.abs(x - 0.5 + 0.2 * window.from_right)
    wood = mix(mix(palette.earth, palette.dark, 0.6), mix(palette.earth, palette.field, 0.6), np.clip(light, 0, 1))
    plan.lay(np.clip((y - edge) * SIZE + 0.5, 0, 1), wood * (0.75 if window.dark else 1), angle=0.08 * grain, fine=0.1)
    if rng.random() < 0.75:
        cloth(plan, palette, window, edge, rng)


def cloth(plan, palette, window, edge, rng):
    x, y = grid()
    side = rng.choice((-1, 1))
    border = 0.5 + side * rng.uniform(-0.2, 0.12) + 0.1 * line(rng, 2.5, 3)[:, None] + side * (y - 0.8) * -0.35
    inside = np.clip((x - border) * side * SIZE + 0.5, 0, 1) * np.clip((y - edge - 0.025) * SIZE + 0.5, 0, 1)
    turn = rng.uniform(0.7, 1.2) * side
    along, across = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    folds = np.sin(across * rng.uniform(22, 32) + 2.4 * smooth(rng, 2, 2) + 1.2 * along)
    height = folds * (0.4 + 0.6 * np.abs(smooth(rng, 3, 3))) + 0.5 * smooth(rng, 5, 5)
    lit = step(height - np.roll(height, int(4 * -window.from_right), 1) + 0.35 * height, -0.8, 0.9)
    tone = [palette.pale, palette.second, mix(palette.pale, palette.sky, 0.4)][int(rng.integers(3))]
    low, high = mix(tone, palette.dark, 0.62), mix(tone, palette.pale, 0.4)
    rgb = mix(low, high, lit) * (0.72 if window.dark else 0.98)
    plan.lay(inside, rgb, angle=turn + 0.2 * folds, fine=0.3)


def cast(plan, palette, window, x, base, wide, tall):
    """The shadow on the table: from the foot away from the window."""
    gx, gy = grid()
    away = (gx - x) * -window.from_right
    long = wide + 0.4 * tall
    shape = np.hypot((away - long * 0.5) / (long * 0.75), (gy - base + 0.25 * away - 0.005) / (0.3 * wide + 0.012))
    plan.rgb[:] = mix(plan.rgb, palette.dark * 0.6, 0.72 * step(-shape, -1.0, -0.45))


def lit(window: Window, nx, ny, nz):
    """Lambert's light, ambient light and the light thrown back from the other side, 0..1."""
    direct = np.clip(nx * window.normal[0] + ny * window.normal[1] + nz * window.normal[2], 0, 1)
    back = 0.16 * np.clip(-nx * window.normal[0] + 0.3 * ny - 0.35, 0, 1)
    return window.ambient + (1 - window.ambient) * direct + back


def paint_form(plan, window, where, cover, normals, colour, palette, gloss, angle):
    """A modelled form: shadow, half tone, light and highlight."""
    nx, ny, nz = normals
    light = lit(window, nx, ny, nz)
    shadow, bright = mix(colour, palette.dark, 0.82), mix(colour, palette.pale, 0.4)
    rgb = mix(mix(shadow, colour, step(light, 0.05, 0.62)), bright, step(light, 0.6, 1.0))
    half = window.normal + np.array([0, 0, 1.0])
    half = half / np.linalg.norm(half)
    shine = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1) ** 40
    plan.lay(cover, mix(rgb, palette.pale, np.clip(gloss * shine, 0, 1)), angle=angle, fine=0.6, where=where)


def ball(plan, palette, window, x, y, radius, colour, rng, squash=1.0, gloss=0.7):
    """A fruit that rests with its foot at `y`."""
    cast(plan, palette, window, x, y - 0.1 * radius, radius, 1.6 * radius)
    cy = y - radius * squash
    where = box(x - 1.15 * radius, cy - 1.15 * radius, x + 1.15 * radius, cy + 1.15 * radius)
    gx, gy = (g[where] for g in grid())
    nx, ny = (gx - x) / radius, (gy - cy) / radius / squash
    far = np.hypot(nx, ny)
    nz = np.sqrt(np.clip(1 - far ** 2, 0, 1))
    blush = mix(colour, palette.accent, 0.3 * step(smooth(rng, 2, 2)[where], -0.2, 0.8))
    paint_form(plan, window, where, np.clip((1 - far) * radius * SIZE + 0.5, 0, 1), (nx, ny, nz), blush, palette, gloss,
               np.arctan2(nx, -ny))
    stalk = np.clip(1.6 - np.abs(gx - x - 0.15 * (gy - cy)) * SIZE, 0, 1) * (gy < cy - 0.7 * radius * squash) * (
        gy > cy - 1.15 * radius * squash)
    plan.lay(stalk * 0.8, palette.dark, where=where, new=False)


def vessel(plan, palette, window, profile, x, base, tall, colour, rng, gloss=0.8):
    """A thing turned on a wheel: its profile says how wide it is at each height."""
    heights, widths = np.array(PROFILES[profile]).T
    reach = widths.max() * tall
    cast(plan, palette, window, x, base - 0.01, widths[1] * tall, tall)
    sag = 0.22 * widths[0] * tall
    where = box(x - reach * 1.05, base - tall * 1.12, x + reach * 1.05, base + sag)
    gx, gy = (g[where] for g in grid())
    nx = (gx - x) / tall
    drop = lambda half: 0.22 * half * np.sqrt(np.clip(1 - (nx / np.maximum(half, 1e-3)) ** 2, 0, 1))
    up = (base - gy) / tall
    half = np.interp(np.clip(up, 0, 1), heights, widths)
    half = np.interp(np.clip(up + drop(half), 0, 1), heights, widths)
    inside = np.clip((half - np.abs(nx)) * tall * SIZE + 0.5, 0, 1)
    inside *= np.clip((up + drop(widths[0] + 0 * up)) * tall * SIZE + 0.5, 0, 1) * np.clip(
        (1 - up) * tall * SIZE + 0.5, 0, 1)
    side = np.clip(nx / np.maximum(half, 1e-3), -1, 1)
    lean = np.gradient(np.interp(np.linspace(0, 1, 64), heights, widths)) * 63
    ny = 0.5 * np.interp(np.clip(up, 0, 1), np.linspace(0, 1, 64), np.clip(lean, -1, 1))
    nz = np.sqrt(np.clip(1 - side ** 2, 0, 1))
    length = np.sqrt(side ** 2 + ny ** 2 + nz ** 2)
    paint_form(plan, window, where, inside, (side / length, ny / length, nz / length), colour, palette, gloss,
               np.pi / 2 + 0.5 * side)
    mouth(plan, palette, window, where, nx, up, widths[-1], colour)


def mouth(plan, palette, window, where, nx, up, lip, colour):
    """The opening, seen a little from above."""
    ring = np.hypot(nx / lip, (up - 1) / (0.2 * lip))
    bright = mix(colour, palette.pale, 0.45)
    plan.lay(step(-ring, -1.06, -0.94), bright * (0.75 + 0.25 * window.ambient), fine=0.8, where=where, new=False)
    plan.lay(step(-ring, -0.88, -0.76), mix(colour, palette.dark, 0.75), fine=0.8, where=where)


def handle(plan, palette, window, x, base, tall, colour, side):
    where = box(x - tall, base - tall, x + tall, base)
    gx, gy = (g[where] for g in grid())
    ring = np.hypot((gx - x - side * 0.3 * tall) / (0.2 * tall), (gy - base + 0.66 * tall) / (0.27 * tall))
    cover = step(-np.abs(ring - 1), -0.2, -0.12) * ((gx - x) * side > 0.16 * tall)
    tone = mix(colour, palette.dark, 0.25 if side == window.from_right else 0.7)
    plan.lay(cover, tone, angle=1.2, fine=0.8, where=where)


def fruit_colours(palette: Palette, rng):
    options = [palette.accent, mix(palette.accent, palette.glow, 0.5), mix(palette.leaf, palette.glow, 0.4),
               mix(palette.accent, palette.dark, 0.35), mix(palette.field, palette.glow, 0.35)]
    return [options[i] for i in rng.permutation(len(options))]


def fruit_row(plan, palette, window, places, base, rng):
    """Fruit at `places` (offset from the middle line, radius), the farther ones first."""
    colours = fruit_colours(palette, rng)
    order = sorted(((rng.uniform(0.005, 0.07), x, radius) for x, radius in places))
    for k, (near, x, radius) in enumerate(order):
        ball(plan, palette, window, x, base + near, radius, colours[k % len(colours)], rng, rng.uniform(0.88, 1.0))


def vessel_colour(palette: Palette, rng):
    options = [mix(palette.second, palette.pale, 0.15), mix(palette.water, palette.pale, 0.25),
               mix(palette.pale, palette.earth, 0.25), mix(palette.accent, palette.earth, 0.5)]
    return options[int(rng.integers(len(options)))]


def jug_and_fruit(plan, palette, window, x, base, rng):
    side = rng.choice((-1, 1))
    colour, tall = vessel_colour(palette, rng), rng.uniform(0.47, 0.53)
    at = x - 0.06 * side
    handle(plan, palette, window, at, base, tall, colour, -side)
    vessel(plan, palette, window, "jug", at, base, tall, colour, rng)
    fruit_row(plan, palette, window, [(x + side * off + rng.uniform(-0.01, 0.01), rng.uniform(0.07, 0.088))
                                      for off in (0.1, 0.24, -0.2)[:int(rng.integers(2, 4))]], base, rng)


def bottle_and_fruit(plan, palette, window, x, base, rng):
    side = rng.choice((-1, 1))
    colour = mix(mix(palette.leaf, palette.dark, 0.35), palette.water, rng.uniform(0, 0.5))
    vessel(plan, palette, window, "bottle", x - 0.05 * side, base - 0.015, rng.uniform(0.56, 0.62), colour, rng, 1.0)
    fruit_row(plan, palette, window, [(x + side * off + rng.uniform(-0.01, 0.01), rng.uniform(0.072, 0.09))
                                      for off in (0.1, 0.26, -0.2)[:int(rng.integers(2, 4))]], base, rng)


def bowl_of_fruit(plan, palette, window, x, base, rng):
    tall = rng.uniform(0.185, 0.205)
    lip, colours = base - tall, fruit_colours(palette, rng)
    heap = (-0.085, 0.075), (0.09, 0.07), (0.0, 0.11), (-0.13, 0.01), (0.125, 0.01), (0.0, 0.03)
    for k, (off, up) in enumerate(heap):
        radius = rng.uniform(0.066, 0.076)
        ball(plan, palette, window, x + off + rng.uniform(-0.01, 0.01), lip - up + 0.09, radius, colours[k % 5], rng)
    vessel(plan, palette, window, "bowl", x, base, tall, vessel_colour(palette, rng), rng)
    redo(plan, palette, window, x, lip, colours, rng)
    if rng.random() < 0.6:
        fruit_row(plan, palette, window, [(x + 0.29 * rng.choice((-1, 1)), rng.uniform(0.062, 0.072))], base, rng)


def redo(plan, palette, window, x, lip, colours, rng):
    """The fruit that lies before the mouth of the bowl, cut by its near lip."""
    keep = plan.rgb.copy(), plan.angle.copy(), plan.fine.copy(), plan.region.copy()
    gx, gy = grid()
    for k, (off, up) in enumerate(((-0.1, 0.055), (0.1, 0.055), (0.0, 0.11), (-0.045, 0.0), (0.075, 0.005))):
        radius = 0.072 + 0.004 * rng.uniform(-1, 1)
        ball(plan, palette, window, x + off, lip - up + 0.08, radius, colours[(k + 2) % 5], rng)
    half = 0.235
    near = lip + 0.045 * np.sqrt(np.clip(1 - ((gx - x) / half) ** 2, 0, 1))
    below = (gy > near) | (np.abs(gx - x) > half)
    for field, before in zip((plan.rgb, plan.angle, plan.fine, plan.region), keep, strict=True):
        field[below] = before[below]


def vase_of_flowers(plan, palette, window, x, base, rng):
    colour, tall = vessel_colour(palette, rng), rng.uniform(0.3, 0.34)
    vessel(plan, palette, window, "vase", x, base, tall, colour, rng)
    middle = base - tall - 0.16
    for _ in range(26):
        turn, out = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0.0, 1))
        petal(plan, palette, window, x + 0.23 * out * np.cos(turn), middle + 0.22 * out * np.sin(turn),
              rng.uniform(0.04, 0.065), mix(palette.leaf, palette.dark, rng.uniform(0.1, 0.6)), rng, 3.0)
    blooms = [palette.accent, palette.pale, palette.second, mix(palette.accent, palette.pale, 0.5), palette.glow]
    for k in range(int(rng.integers(13, 18))):
        turn, out = 2.4 * k + rng.uniform(-0.4, 0.4), 0.21 * np.sqrt((k + 0.5) / 16)
        at = x + out * np.cos(turn), middle + 0.95 * out * np.sin(turn)
        petal(plan, palette, window, *at, rng.uniform(0.045, 0.068), blooms[int(rng.integers(len(blooms)))], rng,
              rng.choice((5, 6, 8)))


def petal(plan, palette, window, x, y, radius, colour, rng, petals):
    """A flower (or a leaf with few petals) whose petals catch the light."""
    where = box(x - radius, y - radius, x + radius, y + radius)
    gx, gy = (g[where] for g in grid())
    dx, dy = (gx - x) / radius, (gy - y) / radius
    turn, far = np.arctan2(dy, dx), np.hypot(dx, dy)
    edge = 0.78 + 0.2 * np.cos(petals * turn + rng.uniform(0, 6))
    light = np.clip(0.55 + 0.4 * (dx * window.from_right - dy) + 0.25 * np.cos(petals * turn), 0, 1)
    rgb = mix(mix(colour, palette.dark, 0.6), mix(colour, palette.pale, 0.3), light * (0.75 if window.dark else 1))
    rgb = mix(rgb, palette.dark, 0.6 * step(-far, -0.26, -0.14) * (petals > 3))
    plan.lay(np.clip((edge - far) * radius * SIZE + 0.5, 0, 1), rgb, angle=turn, fine=0.7, where=where)
