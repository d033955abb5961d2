"""What the critique's nodes do when they run: from their inputs to their outputs, the page and the file."""
import json

import comfy.utils
import torch
from comfy_api.v0_0_2 import io, ui

from . import critic, page, rank, report, space
from .counterfactual import STEPS
from .heat import HIDDEN_CELLS
from .language import parse, subject
from .picture import Picture, check
from .reference import paintings
from .region import regions
from .score import check_total, judge

METADATA = "bottega_critique"


def criticise(cls, images, rubric, reference, mask, depth, counterfactuals, in_metadata, heat) -> io.NodeOutput:
    """Art Critique: every picture studied, one after another."""
    check(images)
    judged_by = parse(rubric)
    shown_by = subject(heat, judged_by)
    each = 1 + counterfactuals * STEPS + bool(shown_by) * HIDDEN_CELLS ** 2
    progress = comfy.utils.ProgressBar(len(images) * each)
    asked = critic.Asked(reference or paintings(), judged_by, counterfactuals, lambda: progress.update(1), shown_by)
    shown = []
    for number, (image, box) in enumerate(regions(images, mask)):
        _check_region(image, box)
        near = space.depth_of(depth, number, len(images), *images.shape[1:3], box)
        shown.append(critic.study(image, asked, near, box))
        progress.update_absolute((number + 1) * each)
    return _output(cls, images, shown, asked.reference, in_metadata)


def rank_images(images, rubric, keep, reference) -> io.NodeOutput:
    """Rank Images: every picture judged, then sorted."""
    check(images)
    progress, reference, asked = comfy.utils.ProgressBar(len(images)), reference or paintings(), parse(rubric)
    check_total(asked)
    critiques = []
    for image in images.split(1):
        critiques.append(judge(critic.examine(Picture.from_images(image.cpu()))[1], reference, asked))
        progress.update(1)
    places = rank.order([critique.score for critique in critiques])
    written = rank.write(critiques, places, keep, reference)
    return io.NodeOutput(images[places[:keep]], images[places], [critiques[place].score for place in places], written,
                         ui={"text": (written,)})


def _check_region(image, box) -> None:
    try:
        check(image)
    except ValueError as error:
        if box is None:
            raise
        raise ValueError(f"mask: what its white part cuts out cannot be measured ({error})") from None


def _output(cls, images, shown, reference, in_metadata) -> io.NodeOutput:
    studies = [each.study for each in shown]
    critiques = [done.critique for done in studies]
    scores, charts = [critique.score for critique in critiques], torch.cat([each.chart for each in shown])
    notes = _into_metadata(cls, [page.brief(done) for done in studies]) if in_metadata else []
    grounds, strips = [_saved(each.ground) for each in shown], [_saved(each.strip) for each in shown]
    seen = {**ui.PreviewImage(charts, cls=cls).as_dict(),
            "text": ("\n\n".join([report.summary(critiques, reference), *notes]),),
            "bottega_critique": [page.payload(studies, grounds, strips, [each.tiles for each in shown])]}
    return io.NodeOutput(sum(scores) / len(scores), scores, "\n\n".join([report.write(studies, reference), *notes]),
                         json.dumps([report.data(done) for done in studies]), charts,
                         _batch([each.heatmap for each in shown]), images, ui=seen)


def _saved(drawn) -> dict:
    """Pixels [h, w, C] as a temporary file for the page."""
    pixels = torch.from_numpy(drawn)[None].float() / 255
    return dict(ui.ImageSaveHelper.save_images(pixels, "bottega_heat", io.FolderType.temp, None, 1)[0])


def _into_metadata(cls, briefs) -> list[str]:
    """Adds the critique to what later nodes write into PNG files; a sentence where they would write nothing."""
    info = cls.hidden.extra_pnginfo
    if info is None:
        return ["in_metadata: this prompt carries no extra_pnginfo (the page always sends it; over the API add it to "
                "extra_data), so saved files do not carry the critique."]
    info.setdefault(METADATA, {})[str(cls.hidden.unique_id)] = briefs
    return []


def _batch(images: list[torch.Tensor]) -> torch.Tensor:
    """IMAGEs of one picture each as one batch; smaller ones get a margin in the colour of their corner."""
    height, width = (max(image.shape[dim] for image in images) for dim in (1, 2))
    sheets = []
    for image in images:
        sheet = image[:, -1:, -1:].expand(1, height, width, -1).clone()
        sheet[:, :image.shape[1], :image.shape[2]] = image
        sheets.append(sheet)
    return torch.cat(sheets)
