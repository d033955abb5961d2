"""The colours a picture is made of, for its palette."""
import numpy as np
from PIL import Image

from .picture import Picture

COLOURS, SIDE = 8, 256


def swatches(picture: Picture) -> list[dict]:
    """At most eight colours of one picture, the most common first: [{"colour": "#704214", "share": 0.33}].

    Pillow's octree over every few pixels; the shares are 1 together."""
    step = max(1, max(picture.size) // SIDE)
    pixels = picture.rgb[0, :, ::step, ::step].permute(1, 2, 0).cpu().numpy()
    few = Image.fromarray(np.ascontiguousarray(pixels)).quantize(COLOURS, Image.Quantize.FASTOCTREE)
    levels, counts = few.getpalette(), few.getcolors()
    whole = sum(count for count, _ in counts)
    return [{"colour": f"#{bytes(levels[3 * index:3 * index + 3]).hex()}", "share": count / whole}
            for count, index in sorted(counts, reverse=True)]
