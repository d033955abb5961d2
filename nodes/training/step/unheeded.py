"""What a data set has and its model takes no notice of, or the model would take and the set lacks: notes of a run."""
from collections.abc import Callable, Iterator, Sequence

from ..data.dataset import START


def unheeded_references(model, denoiser, samples: Sequence, having: list[int]) -> Iterator[str]:
    """having: indices of the samples with a reference picture."""
    if having and denoiser.ignores_reference(samples[having[0]]):
        yield (f"{len(having)} of {len(samples)} pictures have a reference, which {type(model).__name__} takes no "
               "notice of: it is not an editing model.")


def unheeded_start(model, clip, encode: Callable) -> Iterator[str]:
    """Whether a model that begins from a picture and a clip with a start picture go together. encode: gives the
    clip as the model reads it."""
    name, has_start = type(model).__name__, START in clip.options
    if has_start and "c_concat" not in encode().conds:
        yield f"The clips have a start picture, which {name} takes no notice of: it makes videos of words alone."
    elif not has_start and getattr(model, "image_to_video", False):
        yield (f"{name} makes videos of a picture and learns here without one; start_picture in Training Set gives it "
               "the first frame of each clip.")
