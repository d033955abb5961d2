"""What a trainer learns from: latents, each with one encoded caption."""
from typing import Any, NamedTuple

import torch

# Parts of a conditioning that steer sampling and have no meaning for one training step.
SAMPLING_ONLY = ("area", "mask", "control", "gligen", "hooks", "start_percent", "end_percent")

# Where a caption's options keep its words, so that text encoders can be trained on them.
TEXT = "bottega_text"


# The part of a caption's options that an editing model starts from: pictures, not words.
REFERENCE = "reference_latents"


class Sample(NamedTuple):
    """latent [1, C, ...] as the VAE gives it; caption = the embedding [1, T, D] or None, and its options.

    mask: [1, 1, H, W] in 0 to 1, of any size, where to learn; None everywhere. variants: further (caption, options)
    pairs, one of all is drawn each time. repeats: how often an epoch shows the picture. name: for messages. lesson:
    (share, caption, options) whose predictions by the untrained model, times their shares, sum to what is learnt
    instead of the picture; empty for the picture. before: the latent of a picture of the same size, where only what
    changes from it to this one is to be learnt (see step/pairs.py)."""
    latent: torch.Tensor
    caption: torch.Tensor | None
    options: dict[str, Any]
    mask: torch.Tensor | None = None
    weight: float = 1.0
    is_regularisation: bool = False
    variants: tuple[tuple[torch.Tensor | None, dict[str, Any]], ...] = ()
    repeats: int = 1
    name: str = ""
    lesson: tuple[tuple[float, torch.Tensor | None, dict[str, Any]], ...] = ()
    before: torch.Tensor | None = None


def with_reference(options: dict[str, Any], sample: Sample) -> dict[str, Any]:
    """Another prompt's options, with the reference of a sample that has one."""
    return {**options, REFERENCE: sample.options[REFERENCE]} if REFERENCE in sample.options else options


class TrainingSet(NamedTuple):
    """The value of a BOTTEGA_DATASET link. `notes`: sentences about what was left out, for the report.

    empty: (caption, options) of an empty prompt; it takes the caption's place in a share caption_dropout of the
    draws, and is what sample pictures are guided away from."""
    samples: list[Sample]
    notes: list[str]
    empty: tuple[torch.Tensor | None, dict[str, Any]] | None = None
    caption_dropout: float = 0.0


def from_core_nodes(latents: list[dict], positive: list[list]) -> TrainingSet:
    """Pairs the lists the core data-set nodes give: batches are split, one caption serves all pictures.

    Raises ValueError when there is nothing to train on or the numbers do not match."""
    pictures = [picture for latent in latents for picture in _split(latent)]
    captions = [entry for conditioning in positive for entry in conditioning]
    if not pictures:
        raise ValueError("latents: expected at least 1 picture to train on, got none.")
    if not captions:
        raise ValueError(f"positive: expected 1 caption or {len(pictures)}, one a picture; got none.")
    if len(captions) == 1:
        captions = captions * len(pictures)
    if len(captions) != len(pictures):
        raise ValueError(f"positive: expected 1 caption or {len(pictures)}, one a picture in latents; "
                         f"got {len(captions)} captions for {len(pictures)} pictures.")
    samples = [Sample(picture, *caption) for picture, caption in zip(pictures, captions, strict=True)]
    for number, sample in enumerate(samples, 1):
        _check(number, sample)
    return TrainingSet(samples, _left_out(latents, samples))


def _split(latent):
    samples = latent["samples"]
    if samples.is_nested:
        raise ValueError("latents: expected one tensor a picture, got a nested latent (video with sound), "
                         "which cannot be trained on yet.")
    return [samples[i:i + 1] for i in range(len(samples))]


def _check(number, sample):
    if sample.caption is not None and sample.caption.shape[0] != 1:
        raise ValueError(f"positive: expected one prompt a caption, caption {number} holds {sample.caption.shape[0]}.")
    if not sample.latent.isfinite().all():
        raise ValueError(f"latents: expected finite numbers, picture {number} holds others (a VAE that overflowed?).")


def _left_out(latents, samples):
    notes = []
    if any("noise_mask" in latent for latent in latents):
        notes.append("The masks in latents are not used: the loss covers the whole picture.")
    return notes + unused_options(samples)


def unused_options(samples: list[Sample]) -> list[str]:
    """A sentence where captions carry what steers sampling alone."""
    unused = [key for key in SAMPLING_ONLY if any(key in s.options for s in samples)]
    return [f"Not used while training, though the captions carry it: {', '.join(unused)}."] if unused else []
