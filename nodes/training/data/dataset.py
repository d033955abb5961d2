"""What a trainer learns from: latents, each with one encoded caption."""
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

# Parts of a conditioning that steer sampling and have no meaning for one training step.
SAMPLING_ONLY = ("area", "mask", "control", "gligen", "hooks", "start_percent", "end_percent")

# Where a caption's options keep its words, so that text encoders can be trained on them.
TEXT = "bottega_text"

# What the tokenizer was given for them, where that is not the same: see captions.Encoder.
PROMPT = "bottega_prompt"

# The part of a caption's options that an editing model starts from: pictures, not words.
REFERENCE = "reference_latents"

# What a model that makes a video of a picture is given: the latent of its first frame before grey ones, and a mask
# that is 0 where that frame is known, as the host's WanImageToVideo gives them.
START, START_MASK = "concat_latent_image", "concat_mask"


class Sample(NamedTuple):
    """latent [1, C, ...] as the VAE gives it; caption = the embedding [1, T, D] or None, and its options.

    mask: [1, 1, H, W] in 0 to 1, of any size, where to learn; None everywhere. variants: further (caption, options)
    pairs, one of all is drawn each time. repeats: how often an epoch shows the picture. name: for messages. lesson:
    (share, caption, options) whose predictions by the untrained model, times their shares, sum to what is learnt
    instead of the picture; empty for the picture. before: the latent of a picture of the same size, where only what
    changes from it to this one is to be learnt (see step/pairs.py). source: what samples share that are held out
    together, such as a picture and its mirror image; "" where it stands alone."""
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
    source: str = ""


PROBED = 1024       # values of a latent that its identity is made of


class Outline(NamedTuple):
    """A sample without its tensors. shape: of the latent, [1, C, ...]; identity: see latent_identity, of the latent and
    of what it is paired with; text: the caption's words, None where they are not known. The rest as in Sample."""
    shape: tuple[int, ...]
    identity: str
    name: str = ""
    text: str | None = None
    is_regularisation: bool = False
    repeats: int = 1
    is_pair: bool = False
    has_reference: bool = False
    has_lesson: bool = False
    weight: float = 1.0
    source: str = ""


def latent_identity(*latents: torch.Tensor | None) -> str:
    """A hash of the shapes and first values of a latent and, where there is one, of that before it."""
    made = hashlib.blake2b(digest_size=16)
    for latent in latents:
        if latent is not None:
            made.update(str(tuple(latent.shape)).encode())
            made.update(latent.detach().flatten()[:PROBED].to("cpu", torch.float32).numpy().tobytes())
    return made.hexdigest()


def outline(sample: Sample) -> Outline:
    return Outline(tuple(sample.latent.shape), latent_identity(sample.latent, sample.before), sample.name,
                   sample.options.get(TEXT), sample.is_regularisation, sample.repeats, sample.before is not None,
                   REFERENCE in sample.options, bool(sample.lesson), sample.weight, sample.source)


def with_reference(options: dict[str, Any], sample: Sample) -> dict[str, Any]:
    """Another prompt's options, with the pictures that a sample starts from, where it has such."""
    return options | {key: sample.options[key] for key in (REFERENCE, START, START_MASK) if key in sample.options}


class Lazy(Sequence):
    """Things that are made whenever one is asked for, so that none is held: make(number) gives it."""

    def __init__(self, count: int, make: Callable[[int], Any]):
        self.count, self.make = count, make

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        if isinstance(number, slice):
            return [self.make(each) for each in range(*number.indices(self.count))]
        if not -self.count <= number < self.count:
            raise IndexError(number)
        return self.make(number % self.count)


class LazySamples(Lazy):
    """outline(number): what can be said of a sample without its tensors. read_ahead(number), None where there is no
    such: reads the files of a sample, from any thread, so that it is made sooner; of None: lets go of what was read."""

    def __init__(self, count: int, make: Callable[[int], Sample], outline: Callable[[int], Outline],
                 read_ahead: Callable[[int | None], object] | None = None):
        super().__init__(count, make)
        self.outline, self.read_ahead = outline, read_ahead


def mapped(samples: Sequence[Sample], change: Callable[[Sample, int], Sample],
           outlined: Callable[[Outline, int], Outline]) -> Sequence[Sample]:
    """The samples as change(sample, its number) makes them, which leaves their latents; lazily where they are lazy.
    outlined: what it does to an outline."""
    if isinstance(samples, LazySamples):
        return LazySamples(len(samples), lambda number: change(samples[number], number),
                           lambda number: outlined(samples.outline(number), number), samples.read_ahead)
    return [change(sample, number) for number, sample in enumerate(samples)]


def joined(first: Sequence[Sample], second: Sequence[Sample]) -> Sequence[Sample]:
    """One after the other; lazily where they are lazy."""
    if not isinstance(first, LazySamples):
        return [*first, *second]
    of = lambda number: (first, number) if number < len(first) else (second, number - len(first))  # noqa: E731
    return LazySamples(len(first) + len(second), lambda number: (lambda part, i: part[i])(*of(number)),
                       lambda number: (lambda part, i: part.outline(i))(*of(number)))


def outlines(samples: Sequence[Sample]) -> Iterator[Outline]:
    """What is known of each without its tensors: what looks at all of a large set reads nothing by it."""
    of_one = samples.outline if isinstance(samples, LazySamples) else lambda number: outline(samples[number])
    return map(of_one, range(len(samples)))


class TrainingSet(NamedTuple):
    """The value of a BOTTEGA_DATASET link. `notes`: sentences about what was left out, for the report.

    empty: (caption, options) of an empty prompt; it takes the caption's place in a share caption_dropout of the
    draws, and is what sample pictures are guided away from. resolution: in pixels, of the side of a square with as many
    as each picture has; 0 where it is not known. fps: frames a second of its videos; 0 where it is not known."""
    samples: Sequence[Sample]
    notes: list[str]
    empty: tuple[torch.Tensor | None, dict[str, Any]] | None = None
    caption_dropout: float = 0.0
    resolution: int = 0
    fps: float = 0.0


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
