"""The contact sheet of a training set: every picture as it will be learnt, and what the report says about them."""
from collections import Counter

import torch

from ...charts.draw import render
from ...charts.sheet import Cell, sheet
from ...charts.theme import LIGHT
from .collect import Collected, Preparation, Prepared

MOST = 60
DIMMED = 0.25


def contact_sheet(collected: Collected) -> torch.Tensor:
    """IMAGE [1, H, W, 3]: thumbnails with size and caption; what a mask hides is dimmed; at most MOST pictures."""
    shown = collected.prepared[:MOST]
    rest = len(collected.prepared) - len(shown)
    return render(sheet([_cell(each) for each in shown], LIGHT, f"and {rest} more" if rest else ""), LIGHT.paper)


def _cell(each: Prepared) -> Cell:
    pixels = each.thumbnail
    if each.mask is not None and each.source.before is None:
        pixels = pixels * (DIMMED + (1 - DIMMED) * each.mask[..., None])
    size = f"{each.cut.width} x {each.cut.height}" + (" regularisation" if each.source.is_regularisation else
                                                      " before, after" if each.source.before else "")
    return Cell(pixels, (size, each.source.caption or "(no words)"))


def report(collected: Collected, plan: Preparation) -> str:
    """Markdown: how many pictures in which sizes, their captions, and what was noted."""
    own = [p for p in collected.prepared if not p.source.is_regularisation]
    regular = len(collected.prepared) - len(own)
    lines = [f"# Training set: {len(own)} pictures" + (f" and {regular} for regularisation" if regular else ""), "",
             "| size | pictures |", "|---|---|"]
    sizes = Counter(f"{p.cut.width} x {p.cut.height}" for p in collected.prepared)
    lines += [f"| {size} | {count} |" for size, count in sizes.most_common()]
    lines += ["", f"An epoch shows {sum(s.repeats for s in collected.dataset.samples)} pictures."]
    captions = [p.source.caption for p in own]
    least, most = (end(len(caption.split()) for caption in captions) for end in (min, max))
    lines += [f"Captions: {len(set(captions))} different, of {least if least == most else f'{least} to {most}'} words."]
    lines += [sentence for sentence in (
        f"Captions are left away in {plan.caption_dropout:.0%} of the steps." if plan.caption_dropout else "",
        f"Each caption has {plan.tag_shuffles} further orders of its tags; the first {plan.keep_first} stay in place."
        if plan.tag_shuffles else "",
        f"Pairs: {sum(p.source.before is not None for p in own)}. Only the change from what is before to the picture "
        "is learnt, forwards at strength 1 and backwards at -1." if any(p.source.before for p in own) else "",
        "Every picture is also shown mirrored." if plan.flip else "",
        f"Masked: {sum(p.mask is not None for p in own)} of {len(own)} pictures." if plan.masks != "none" else "",
        f"Latents kept from earlier runs: {collected.reused}." if collected.reused else "") if sentence]
    lines += ["", *[f"- {note}" for note in collected.dataset.notes]] if collected.dataset.notes else []
    return "\n".join(lines)
