"""Data sets whose goal comes from prompts: a slider between two of them, and prompts that must stay as they are.

The teacher is the model itself with its adapters switched off, on the pictures' own noisy latents.
"""
from .dataset import SAMPLING_ONLY, Lazy, Sample, TrainingSet, joined, mapped, outlines, with_reference

Conditioning = list


def slider(dataset: TrainingSet, more: Conditioning | None, less: Conditioning | None, strength: float) -> TrainingSet:
    """Teaches each picture's caption to mean more of one prompt and less of another:
    goal = base(caption) + strength * (base(more) - base(less)) (Concept Sliders, Gandikota et al. 2023,
    arXiv:2311.12092, eq. 7). None is the caption itself. The pictures are only where it is taught; further captions
    and dropout are left out."""
    if any(sample.is_pair for sample in outlines(dataset.samples)):
        raise ValueError("dataset: expected single pictures to teach a slider from prompts on, got pairs, which say "
                         "themselves what is learnt.")
    pair = [(sign * strength, _entry(side, name)) for sign, side, name in ((1, more, "more"), (-1, less, "less"))]
    samples = mapped(dataset.samples, lambda sample, _: sample._replace(variants=(), lesson=_lesson(sample, pair)),
                     lambda each, _: each._replace(has_lesson=True))
    note = f"A slider of strength {strength:g}: pictures are where it is taught, not what is learnt."
    # Of a set on the disk one is looked at: reading all of it is too much for a note.
    looked_at = dataset.samples[:1] if isinstance(dataset.samples, Lazy) else dataset.samples
    dropped = any(sample.variants for sample in looked_at) or dataset.caption_dropout
    notes = [note, *(["Further captions and caption dropout are left out of a slider."] if dropped else [])]
    return dataset._replace(samples=samples, notes=[*dataset.notes, *notes], caption_dropout=0.0)


def _lesson(sample, pair):
    own = (sample.caption, sample.options)
    entries = [(share, (entry[0], with_reference(entry[1], sample)) if entry else own) for share, entry in pair]
    return ((1.0, *own), *((share, *entry) for share, entry in entries))


def preserving(dataset: TrainingSet, kept: Conditioning, weight: float) -> TrainingSet:
    """Adds, for every picture, one lesson that a prompt of `kept` means what it meant (differential output
    preservation). They count `weight` each, are shown as often as their picture, and are never held out."""
    entries = [_entry([entry], "keep") for entry in kept]
    if not entries:
        raise ValueError("keep: expected at least one prompt, got none.")

    def kept_on(sample: Sample, number: int) -> Sample:
        caption, options = entries[number % len(entries)]
        options = with_reference(options, sample)
        return sample._replace(
            caption=caption, options=options, lesson=((1.0, caption, options),), weight=weight, variants=(), mask=None,
            before=None, is_regularisation=True, name=f"{sample.name or number + 1}, kept")

    samples = mapped(dataset.samples, kept_on, lambda each, number: each._replace(
        name=f"{each.name or number + 1}, kept", text=None, is_regularisation=True, is_pair=False, has_lesson=True,
        weight=weight))
    note = f"{len(entries)} prompt{'s' * (len(entries) > 1)} kept as before, on {len(dataset.samples)} pictures."
    return dataset._replace(samples=joined(dataset.samples, samples), notes=[*dataset.notes, note])


def _entry(conditioning, name):
    """(caption, options) of a conditioning with one prompt, None of None. Raises ValueError for another number."""
    if conditioning is None:
        return None
    if len(conditioning) != 1 or conditioning[0][0] is not None and conditioning[0][0].shape[0] != 1:
        raise ValueError(f"{name}: expected one prompt, got {len(conditioning)}.")
    caption, options = conditioning[0]
    return caption, {key: value for key, value in options.items() if key not in SAMPLING_ONLY}
