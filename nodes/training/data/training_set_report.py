"""The contact sheet of a training set: every picture as it will be learnt, and what the report says about them."""
from collections import Counter
from typing import NamedTuple

import numpy as np
import torch

from ...charts.chart_types.contact_sheet import Cell, sheet, thumbnail
from ...charts.drawing.draw import render
from ...charts.drawing.theme import LIGHT
from .captions import can_shuffle
from .encoded_picture import THUMBNAIL, THUMBNAIL_MASK
from .preparation import SHOWN, Collected, Preparation, Prepared
from .sources import Source

WORST = 24                  # pictures of the audit's sheet
LINES = 3                   # of findings below a picture
DIMMED = 0.25


def contact_sheet(collected: Collected) -> torch.Tensor:
    """IMAGE [1, H, W, 3]: thumbnails with size and caption; what a mask hides is dimmed; at most SHOWN pictures."""
    shown = collected.prepared[:SHOWN]
    rest = len(collected.prepared) - len(shown)
    return render(sheet([_cell(each) for each in shown], LIGHT, f"and {rest} more" if rest else ""), LIGHT.paper)


def _cell(each: Prepared) -> Cell:
    tensors = each.tensors()
    pixels = tensors[THUMBNAIL].float() / 255
    if THUMBNAIL_MASK in tensors and each.source.before is None:
        pixels = pixels * (DIMMED + (1 - DIMMED) * tensors[THUMBNAIL_MASK][..., None].float() / 255)
    size = _size(each) + (" regularisation" if each.source.is_regularisation else
                                                      " before, after" if each.source.before else "")
    return Cell(pixels, (size, each.source.caption or "(no words)"))


def worst_sheet(collected: Collected) -> torch.Tensor:
    """IMAGE [1, H, W, 3]: the pictures in which the audit found most, with what it found; at most WORST of them."""
    cells = [Cell(_opened_small(source), (source.name, *(f"{each.fault}: {each.detail}" for each in found[:LINES])))
             for source, found in collected.worst[:WORST]]
    rest = len(collected.worst) - len(cells)
    nothing = Cell((torch.tensor(LIGHT.paper) / 255).expand(8, 8, 3), ("", "Nothing was found."))
    return render(sheet(cells or [nothing], LIGHT, f"and {rest} more" if rest else ""), LIGHT.paper)


def _opened_small(source: Source) -> torch.Tensor:
    image = source.open().image.convert("RGB")
    return thumbnail(torch.from_numpy(np.array(image))[None].float() / 255)


def report(collected: Collected, plan: Preparation) -> str:
    """Markdown: how many pictures in which sizes, their captions, and what was noted."""
    texts: dict[str, str] = {}
    every = [_told(each, texts) for each in collected.prepared]
    own = [each for each in every if not each.is_regularisation]
    regular = len(every) - len(own)
    lines = [f"# Training set: {len(own)} pictures" + (f" and {regular} for regularisation" if regular else ""), "",
             "| size | pictures |", "|---|---|"]
    sizes = Counter(each.size for each in every)
    lines += [f"| {size} | {count} |" for size, count in sizes.most_common()]
    epoch = sum(each.repeats for each in every) * plan.repeats * (1 + plan.flip)
    lines += ["", f"An epoch shows {epoch} pictures."]
    captions = [each.caption for each in own]
    least, most = (end(len(caption.split()) for caption in captions) for end in (min, max))
    lines += [f"Captions: {len(set(captions))} different, of {least if least == most else f'{least} to {most}'} words."]
    lines += [sentence for sentence in (
        f"Captions are left away in {plan.caption_dropout:.0%} of the steps." if plan.caption_dropout else "",
        _shuffled(every, plan),
        f"Pairs: {sum(each.is_pair for each in own)}. Only the change from what is before to the picture "
        "is learnt, forwards at strength 1 and backwards at -1." if any(each.is_pair for each in own) else "",
        _videos(every, plan),
        "Every picture is also shown mirrored." if plan.flip else "",
        f"Masked: {sum(each.is_masked for each in own)} of {len(own)} pictures." if plan.masks != "none" else "",
        f"Latents kept from earlier runs: {collected.reused}." if collected.reused else "",
        collected.cached) if sentence]
    lines += ["", *[f"- {note}" for note in collected.dataset.notes]] if collected.dataset.notes else []
    return "\n".join(lines)


class _Told(NamedTuple):
    """What the report tells of a picture: little, because a large set has many."""
    size: str
    is_video: bool
    is_regularisation: bool
    repeats: int
    caption: str
    is_pair: bool
    is_masked: bool


def _told(each: Prepared, texts: dict[str, str]) -> _Told:
    """texts: what was told before; the same size or caption is held once."""
    source, once = each.source, lambda text: texts.setdefault(text, text)
    return _Told(once(_size(each)), each.encoded.frames > 1, source.is_regularisation, source.repeats,
                 once(source.caption), source.before is not None, each.encoded.is_masked)


def _size(each: Prepared) -> str:
    """`80 x 48`, of a clip `80 x 48 x 17 frames`."""
    (width, height), frames = each.encoded.cropped, each.encoded.frames
    return f"{width} x {height}" + (f" x {frames} frames" if frames > 1 else "")


def _shuffled(every: list[_Told], plan: Preparation) -> str:
    if not plan.tag_shuffles:
        return ""
    count = sum(can_shuffle(each.caption, plan.keep_first, plan.prompt_syntax) for each in every)
    if not count:
        return (f"No caption has two tags or more behind the first {plan.keep_first}, so tag_shuffles changes none.")
    which = "Each caption has" if count == len(every) else f"{count} of {len(every)} captions have"
    orders = "order" if plan.tag_shuffles == 1 else "orders"
    return f"{which} {plan.tag_shuffles} further {orders} of tags; the first {plan.keep_first} stay in place."


def _videos(every: list[_Told], plan: Preparation) -> str:
    clips = [each for each in every if each.is_video]
    if not clips:
        return ""
    rate = f"{plan.fps:g} frames a second" if plan.fps else "as many frames a second as each video has"
    return f"Clips of videos: {len(clips)} of {len(every)}, at {rate}; sound is not learnt."
