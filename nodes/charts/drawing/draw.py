"""Draws a scene with Pillow, twice as large and then reduced, so that every edge is smooth."""
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from .scene import SCALE, Node
from .theme import Colour
from .typeface import own_face, runs


def render(scene: Node, paper: Colour) -> Tensor:
    """The scene on `paper`: IMAGE [1, H, W, 3], 0..1, of the scene's size."""
    width, height = round(scene.w), round(scene.h)
    canvas = Image.new("RGB", (width * SCALE, height * SCALE), paper)
    _draw(ImageDraw.Draw(canvas), canvas, scene, 0, 0)
    reduced = np.asarray(canvas.resize((width, height), Image.Resampling.BOX))
    return torch.from_numpy(reduced.astype(np.float32) / 255)[None]


def _draw(pen: ImageDraw.ImageDraw, canvas: Image.Image, node: Node, x: float, y: float) -> None:
    x, y = x + node.x, y + node.y
    if node.kind in MARKS:
        MARKS[node.kind](pen, canvas, node, x * SCALE, y * SCALE)
    for child in node.children:
        _draw(pen, canvas, child, x, y)


def _rect(pen, canvas, node, x, y):
    # Pillow's boxes hold both ends, hence the pixel less.
    left, top, right, bottom = round(x), round(y), round(x + node.w * SCALE) - 1, round(y + node.h * SCALE) - 1
    pen.rounded_rectangle((left, top, max(left, right), max(top, bottom)), node.look["radius"] * SCALE,
                          fill=node.look["fill"], outline=node.look["stroke"], width=2 * SCALE)


def _circle(pen, canvas, node, x, y):
    pen.ellipse((x, y, x + node.w * SCALE, y + node.h * SCALE), fill=node.look["fill"], outline=node.look["stroke"],
                width=2 * SCALE)


def _line(pen, canvas, node, x, y):
    points = [(x + px * SCALE, y + py * SCALE) for px, py in node.look["points"]]
    pen.line(points, fill=node.look["stroke"], width=round(node.look["width"] * SCALE), joint="curve")


def _polygon(pen, canvas, node, x, y):
    points = [(x + px * SCALE, y + py * SCALE) for px, py in node.look["points"]]
    if node.look["fill"]:
        pen.polygon(points, fill=node.look["fill"])
    if node.look["stroke"]:
        pen.line([*points, *points[:2]], fill=node.look["stroke"], width=2 * SCALE, joint="curve")


def _text(pen, canvas, node, x, y):
    size = node.look["size"] * SCALE
    weight, line = size / 40 if node.look["bold"] else 0, y + own_face(size).getmetrics()[0]
    for letters, face in runs(node.look["text"], size):  # all on one line, whatever their faces
        pen.text((x, line), letters, fill=node.look["fill"], font=face, stroke_width=weight, anchor="ls")
        x += face.getlength(letters)


def _image(pen, canvas, node, x, y):
    pixels = (node.look["pixels"].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    size = (round(node.w * SCALE), round(node.h * SCALE))
    canvas.paste(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST), (round(x), round(y)))


MARKS = {"rect": _rect, "circle": _circle, "line": _line, "polygon": _polygon, "text": _text, "image": _image}
