"""What Art Critique does when it runs: from its inputs to its outputs, the page and the file."""
import json

import comfy.utils
import torch
from comfy_api.v0_0_2 import io, ui

from ...shared.node_display import pictures as shown_pictures
from ...shared.node_display import written_if_possible
from .. import examination
from ..explain.counterfactuals import STEPS
from ..explain.heat_maps import HIDDEN_CELLS
from ..measures import pictorial_depth
from ..picture.planes import check
from ..picture.regions import regions
from ..reference.distributions import paintings
from ..report import critique_report, node_panel
from ..rubric.rubric_language import parse, subject
from .drawn_pictures import drawn_pictures

METADATA = "bottega_critique"
TRIED = 4  # pictures of a batch for which edits are sought


def criticise(cls, images, rubric, reference, mask, depth, counterfactuals, in_metadata, heat,
              drawn="") -> io.NodeOutput:
    """Every picture criticised, one after another."""
    check(images)
    judged_by = parse(rubric)
    shown_by, asked = subject(heat, judged_by), drawn_pictures(drawn, len(images))
    tried = TRIED if counterfactuals else 0
    each = 1 + bool(tried) * STEPS + bool(shown_by) * HIDDEN_CELLS ** 2
    progress = comfy.utils.ProgressBar(len(images) * each)
    request = examination.CritiqueRequest(
        reference or paintings(), judged_by, bool(tried), lambda: progress.update(1), shown_by
    )
    shown = []
    for number, (image, box) in enumerate(regions(images, mask)):
        _check_region(image, box)
        near = pictorial_depth.depth_of(depth, number, len(images), *images.shape[1:3], box)
        own = request._replace(what_if=number < tried, drawn=number in asked)
        shown.append(_on_disk(examination.criticise(image, own, near, box)))
        progress.update_absolute((number + 1) * each)
    return _output(cls, images, shown, request.reference, in_metadata, _drawn_note(asked, len(images)))


def _on_disk(found: examination.RenderedCritique) -> examination.RenderedCritique:
    """With the page's pictures as temporary files: of a long batch only words and numbers stay in memory. Without heat
    maps where the disk takes none; the node then says so of its chart."""
    files, _ = written_if_possible(lambda: (_saved(found.ground), _saved(found.strip)))
    if files is None:
        return found._replace(ground={}, strip={}, tiles={})
    return found._replace(ground=files[0], strip=files[1])


def _drawn_note(asked: list[int], count: int) -> list[str]:
    if len(asked) == count:
        return []
    return [f"Chart and heat map: of pictures {', '.join(str(place + 1) for place in asked)} of {count}. Ask for "
            "others at drawn."]


def _check_region(image, box) -> None:
    try:
        check(image)
    except ValueError as error:
        if box is None:
            raise
        raise ValueError(f"mask: what its white part cuts out cannot be measured ({error})") from None


def _output(cls, images, shown, reference, in_metadata, notes) -> io.NodeOutput:
    pictures = [each.critique for each in shown]
    critiques = [each.critique for each in pictures]
    scores, drawn = [critique.score for critique in critiques], [each for each in shown if each.chart is not None]
    charts = _batch([each.chart for each in drawn])
    notes = [*notes, *(_into_metadata(cls, [node_panel.brief(each) for each in pictures]) if in_metadata else [])]
    grounds, strips = [each.ground for each in shown], [each.strip for each in shown]
    on_page, missing = shown_pictures(cls, [charts, *_tries(shown)])
    notes += missing
    seen = {"images": on_page.get("images", []),
            "text": ("\n\n".join([_shown(pictures, critiques, reference), *notes]),),
            "bottega_critique": [node_panel.payload(pictures, grounds, strips, [each.tiles for each in shown])]}
    return io.NodeOutput(
        sum(scores) / len(scores),
        scores,
        "\n\n".join([critique_report.write(pictures, reference), *notes]),
        json.dumps([critique_report.data(each, reference) for each in pictures]),
        charts,
        _batch([each.heatmap for each in drawn]),
        images,
        ui=seen,
    )


def _tries(shown) -> list[torch.Tensor]:
    """The pictures before and after, of those for which there is something to try."""
    return [each.before_after for each in shown if each.before_after is not None]


def _shown(pictures, critiques, reference) -> str:
    """What the node says: the first lines, and where a critic speaks, the words and then the tables."""
    spoken = critiques[0].rubric.thesis
    return critique_report.write(pictures, reference, True) if spoken else critique_report.summary(critiques, reference)


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
    if not isinstance(info, dict) or not isinstance(info.setdefault(METADATA, {}), dict):
        return ["in_metadata: the extra_pnginfo of this prompt is no object of objects, so saved files do not carry "
                "the critique."]
    info[METADATA][str(cls.hidden.unique_id)] = briefs
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
