"""The chart of a training: losses, their trend, validation, the learning rate, and the newest sample pictures."""
import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from ...charts.drawing.draw import render
from ...charts.drawing.scene import Node, circle, image, layer, line, place, rect, text
from ...charts.drawing.theme import LIGHT, Colour, Theme
from ...charts.grammar.ticks import labelled, ticks

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 960, 116, 36, 92, 56
LOSS_HEIGHT, RATE_HEIGHT, GAP = 330, 90, 34
PICTURE, POINTS = 216, 420
Points = list[tuple[float, float]]


def training_chart(loss_map: dict, theme: Theme = LIGHT) -> torch.Tensor:
    """A LOSS_MAP as IMAGE [1, H, W, 3]: the losses, their trend, and what else ours carries.

    Raises ValueError when it holds no finite loss."""
    losses = [float(loss) for loss in loss_map.get("loss", ())] if isinstance(loss_map, dict) else []
    if not any(map(math.isfinite, losses)):
        raise ValueError(f"loss_map: expected at least 1 finite loss, got {len(losses)} losses and none that is.")
    more = (loss_map.get(name) or [] for name in ("learning_rate", "validation", "critique"))
    return render(_chart(losses, *more, theme), theme.paper)


def progress_chart(losses: Sequence[float], rates: Sequence[float], validated: Points,
                   pictures: list[Image.Image], critique: Points = (), theme: Theme = LIGHT) -> torch.Tensor:
    """The same while it runs, with sample pictures below. Before the first step there are only these."""
    parts, height = [], 0.0
    if losses:
        chart = _chart(losses, rates, validated, critique, theme)
        parts, height = [chart], chart.h
    if pictures:
        row = _pictures(pictures)
        parts.append(place(0, height, row))
        height += row.h
    return render(layer(parts, WIDTH, height), theme.paper)


def picture_of(image: torch.Tensor) -> Image.Image:
    return Image.fromarray((image[0].numpy() * 255).round().astype(np.uint8))


def trend(losses: Sequence[float]) -> list[float]:
    """A running mean over about a twentieth of the run, without delay: smoothed forwards, then backwards."""
    keep = math.exp(-40 / max(40, len(losses)))
    return _smoothed(_smoothed(losses, keep)[::-1], keep)[::-1]


def _smoothed(values, keep):
    """Exponential mean, corrected for its start; what is not finite is passed over."""
    total = weight = 0.0
    smooth = []
    for value in values:
        if math.isfinite(value):
            total, weight = keep * total + (1 - keep) * value, keep * weight + 1 - keep
        smooth.append(total / weight if weight else value)
    return smooth


def _chart(losses, rates, validated, critique, theme):
    smooth, steps = trend(losses), len(losses)
    raw = thinned([(i, loss) for i, loss in enumerate(losses, 1) if math.isfinite(loss)])
    low, high = _span([y for _, y in raw], smooth, [y for _, y in validated])
    panel = _Panel(TOP, LOSS_HEIGHT, low, high, steps, theme)
    parts = [*panel.grid(), panel.curve(raw, _thin(theme), 2),
             panel.curve(thinned(list(enumerate(smooth, 1))), theme.series[0], 4)]
    if validated:
        parts += [panel.curve(validated, theme.series[1], 3), *(panel.dot(p, theme.series[1]) for p in validated)]
    bottom = TOP + LOSS_HEIGHT
    if rates:
        below = _Panel(bottom + GAP, RATE_HEIGHT, 0.0, max(rates) * 1.05 or 1.0, steps, theme)
        parts += [*below.grid(2), below.curve(thinned(list(enumerate(rates, 1))), theme.series[2], 3)]
        bottom += GAP + RATE_HEIGHT
    judged = [(max(1, step), score) for step, score in critique if math.isfinite(score)]
    if judged:
        scores = [score for _, score in judged]
        below = _Panel(bottom + GAP, RATE_HEIGHT, *_span(scores, scores, []), steps, theme)
        parts += [*below.grid(2), below.curve(judged, theme.series[3], 3),
                  *(below.dot(point, theme.series[3]) for point in judged)]
        bottom += GAP + RATE_HEIGHT
    title = f"Trend of the loss {smooth[-1]:.4f} after {steps} step{'s' if steps > 1 else ''}"
    parts += [place(LEFT, 16, text(title, 30, theme.ink, bold=True)), *_legend(validated, rates, judged, theme),
              *_steps(panel, bottom, steps, theme)]
    return layer(parts, WIDTH, bottom + BOTTOM)


def _thin(theme: Theme) -> Colour:
    """Of the losses of single steps: behind their trend, and still 3:1 against the paper."""
    return tuple(round(0.4 * rule + 0.6 * muted) for rule, muted in zip(theme.rule, theme.muted, strict=True))


class _Panel:
    """A field of the chart: maps (step, value) to its place."""

    def __init__(self, top, height, low, high, steps, theme):
        self.top, self.height, self.low, self.high, self.steps, self.theme = top, height, low, high, steps, theme
        self.width = WIDTH - LEFT - RIGHT

    def at(self, step, value):
        share = min(1.0, max(0.0, (self.high - value) / (self.high - self.low)))
        return LEFT + self.width * (step - 1) / max(1, self.steps - 1), self.top + self.height * share

    def curve(self, points: Points, colour, width) -> Node:
        placed = [self.at(*point) for point in points]
        if len(placed) == 1:
            placed = [(LEFT, placed[0][1]), (LEFT + self.width, placed[0][1])]
        return line(placed, colour, width)

    def dot(self, point, colour) -> Node:
        x, y = self.at(*point)
        return place(x - 6, y - 6, circle(6, colour, self.theme.paper))

    def grid(self, about=5):
        parts = []
        for words, value in labelled(self.low, self.high, about):
            number, y = text(words, 22, self.theme.muted), self.at(1, float(value))[1]
            parts += [place(LEFT, y, rect(self.width, 1.5, self.theme.rule)),
                      place(LEFT - 12 - number.w, y - number.h / 2, number)]
        return parts


def _steps(panel, bottom, steps, theme):
    parts = []
    for step in ticks(1, max(2, steps)):
        if step == int(step) and step <= steps:
            number = text(f"{step:g}", 22, theme.muted)
            parts.append(place(panel.at(step, panel.low)[0] - number.w / 2, bottom + 10, number))
    return parts


def _legend(validated, rates, judged, theme):
    entries = [("loss of each step", _thin(theme)), ("trend", theme.series[0])]
    entries += [("validation loss", theme.series[1])] if validated else []
    entries += [("learning rate", theme.series[2])] if rates else []
    entries += [("critique", theme.series[3])] if judged else []
    parts, x = [], LEFT
    for name, colour in entries:
        word = text(name, 22, theme.muted)
        parts += [place(x, 68, rect(22, 5, colour, 2)), place(x + 30, 56, word)]
        x += 54 + word.w
    return parts


def _pictures(pictures):
    parts = []
    for i, picture in enumerate(pictures[:4]):
        scale = min(PICTURE / picture.width, PICTURE / picture.height)
        small = picture.convert("RGB").resize((round(picture.width * scale), round(picture.height * scale)))
        pixels = torch.from_numpy(np.asarray(small).astype(np.float32) / 255)
        parts.append(place(24 + i * (PICTURE + 16), 12, image(pixels)))
    return layer(parts, WIDTH, PICTURE + 36)


def _span(raw, smooth, validated):
    """Room for the trend, the validation and all but the wildest hundredth of the losses."""
    low, high = np.percentile(raw, (1, 99)).tolist()
    finite = [value for value in (*smooth, *validated) if math.isfinite(value)]
    low, high = min(low, *finite), max(high, *finite)
    rim = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - rim, high + rim


def thinned(points: Points) -> Points:
    """At most POINTS points, each the mean of its neighbours."""
    if len(points) <= POINTS:
        return points
    return [tuple(part.mean(0).tolist()) for part in np.array_split(np.array(points), POINTS)]
