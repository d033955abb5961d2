"""A radar: criteria around a circle, values from the middle outwards."""
from ..drawing import scene
from ..drawing.legend import legend
from ..drawing.scene import Node, fitted, place, text
from ..drawing.theme import Theme
from ..grammar.frame import Frame, title
from ..grammar.polar import point
from ..grammar.rows import apart, numbered
from ..grammar.scales import groups, lengths

ROWS = 2  # of the legend
WIDEST = 0.28  # label, as a share of the width
RINGS = 4
FEWEST = 3


def radar(rows, frame: Frame, theme: Theme, label: str, value: str, by: str | None = None) -> Node:
    """One outline for each value of column `by`, open where it has no value.

    Raises ValueError for fewer than three labels or negative values."""
    if not by:
        own = apart(label, value)
        rows, label = numbered(rows, label, own), own
    labels = list(dict.fromkeys(str(row[label]) for row in rows))
    if len(labels) < FEWEST:
        raise ValueError(f"data: a radar needs at least {FEWEST} values of {label!r}, got {len(labels)}")
    if (low := min(row[value] for row in rows)) < 0:
        raise ValueError(f"data: a radar draws lengths from its middle, so {value!r} must not be negative, got {low:g}")
    series = groups(rows, by) if by else {value: rows}
    size = frame.size
    labels = {name: fitted(name, size, theme.ink, WIDEST * frame.w) for name in labels}
    widest = max(word.w for word in labels.values())
    colours = [theme.series[i % len(theme.series)] for i in range(len(series))]
    key = legend(list(zip(map(str, series), colours, strict=True)) if by else [], frame.w - 2 * frame.rim, ROWS,
                 size, theme)
    head = frame.top + key.h if frame.title or by else 0
    radius = min((frame.w - 2 * widest) / 2 - size, (frame.h - head) / 2 - 2.6 * size)
    if radius < 30:
        raise ValueError(f"spec: a radar of {frame.w} x {frame.h} pixels leaves no room; make it larger")
    scale = lengths(0.0, max(100.0 if high_is_percent(rows, value) else 0.0, *(row[value] for row in rows)), radius)
    flat = scene.layer([], len(labels), radius)
    drawn = [_outline(part, list(labels), label, value, scale, flat, radius, colour)
             for part, colour in zip(series.values(), colours, strict=True)]
    disc = scene.layer([*_web(len(labels), flat, radius, theme), *drawn, *_numbers(scale, radius, size, theme)],
                       2 * radius, 2 * radius)
    left, top = frame.w / 2 - radius, head + (frame.h - head) / 2 - radius
    return scene.layer([*title(frame, theme), place(frame.rim, frame.top, key), place(left, top, disc),
                        *_labels(list(labels.values()), flat, radius, left, top, size)], frame.w, frame.h)


def high_is_percent(rows, value: str) -> bool:
    """Values that lie within 0 to 100 and not all within 0 to 1 are read as percent."""
    highest = max(row[value] for row in rows)
    return 1 < highest <= 100


def _web(count, flat, radius, theme) -> list[Node]:
    def ring(share):
        return scene.polygon([point(i, flat.h * (1 - share), flat, radius) for i in range(count)], None, theme.rule)

    rings = [ring(number / RINGS) for number in range(1, RINGS + 1)]
    spokes = [scene.line([(radius, radius), point(i, 0, flat, radius)], theme.rule, 1.5) for i in range(count)]
    return rings + spokes


def _outline(rows, labels, label, value, scale, flat, radius, colour) -> Node:
    """A dot for each label that these rows have, joined to the next one; nothing is drawn where they have none."""
    held = {str(row[label]): row[value] for row in rows}
    points = [point(i, flat.h - scale(held[name]), flat, radius) if name in held else None
              for i, name in enumerate(labels)]
    dots = [place(x - 6, y - 6, scene.circle(6, colour)) for x, y in filter(None, points)]
    return scene.layer([*(scene.line(run, colour, 4) for run in _runs(points)), *dots], 2 * radius, 2 * radius)


def _runs(points: list) -> list[list]:
    """The points that follow one another around the circle: one closed run, or those between the gaps."""
    if None not in points:
        return [[*points, points[0]]]
    gap, runs = points.index(None), [[]]
    for each in points[gap:] + points[:gap]:
        runs[-1].append(each) if each else runs.append([])
    return [run for run in runs if len(run) > 1]


def _numbers(scale, radius, size, theme) -> list[Node]:
    return [place(radius + 6, radius - at - size / 2, text(name, 0.8 * size, theme.muted))
            for name, at in scale.ticks() if at > 0]


def _labels(words, flat, radius, left, top, size) -> list[Node]:
    """Words beside the disc begin or end at it; only those at its top and bottom are centred, and stand further off."""
    nodes = []
    for i, word in enumerate(words):
        x, y = point(i, 0, flat, radius)
        side, up = (x - radius) / radius, (y - radius) / radius
        centred = abs(side) < 0.15
        at = x - word.w / 2 if centred else x + 0.5 * size if side > 0 else x - 0.5 * size - word.w
        nodes.append(place(left + at, top + y - word.h / 2 + size * up * (1.4 if centred else 0.4), word))
    return nodes

