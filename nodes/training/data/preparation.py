"""From pictures, captions and masks to a training set, one picture at a time."""
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import comfy.model_management
import torch

from ...shared.picture_file import sentences
from ...shared.picture_folder import shown
from . import encoded_picture as parts
from .audit import findings
from .captions import Encoder, variants
from .clips import check_vae, clip_plan
from .dataset import REFERENCE, START, START_MASK, Lazy, LazySamples, Outline, Sample, TrainingSet
from .disk_cache import FOLDER, DiskCache, FileContents
from .made_ahead import made_ahead
from .picture_maker import Maker, Packed, Preparation, Prepared
from .read_ahead import MOST
from .sign_reader import SignReader
from .sources import Source

SHOWN = 60                  # pictures on the contact sheet
UNREADABLE = ("stop", "skip")


class Collected(NamedTuple):
    """reused: how many pictures were in the cache; worst: (source, its findings), the worst first; cached: what there
    is to say of the cache."""
    dataset: TrainingSet
    prepared: Sequence[Prepared]
    reused: int
    worst: Sequence[tuple[Source, list[findings.Finding]]] = ()
    cached: str = ""


def prepare(sources: list[Source], vae, clip, plan: Preparation, progress: Callable[[int, int], None],
            notes: Sequence[str] = (), folder: str = "", vision=None) -> Collected:
    """Opens, crops, encodes. progress: told (pictures done, of all) after each; may raise to stop. notes: for the
    report. folder: the name of the set, by which a cache knows the files of its last start. vision: a CLIP that sees,
    which the audit asks about writing and watermarks.

    Raises ValueError for a picture that cannot be read, unless the plan says to skip it, and when none is left."""
    leave_out = findings.to_leave_out(plan.leave_out)
    if leave_out & findings.SEEN and vision is None:
        raise ValueError(f"leave_out: expected a vision-language model connected to vision, which alone can see "
                         f"{' and '.join(sorted(leave_out & findings.SEEN))}, got none.")
    # Twice what the pictures that are read ahead have: a latent, a caption and its variants each.
    cache = DiskCache(2 * MOST * (2 + plan.tag_shuffles)) if plan.cache else None
    encode, audited, notes, looked_at = Encoder(clip, plan.prompt_syntax, cache), None, list(notes), 0
    with ExitStack() as stack:
        contents = stack.enter_context(FileContents(cache.folder, folder)) if cache else None
        if any(source.clip for source in sources):
            check_vae(vae, clip_plan(plan.frames, plan.fps, plan.clips))
        maker = Maker(vae, plan, cache, contents)
        prepared = Packed(maker) if cache else []
        signs = SignReader(vision, cache, contents) if vision and (plan.audit or leave_out) else None
        if leave_out:
            looked_at = len(sources)
            sources, audited = _without_faults(sources, leave_out, maker, progress, notes, signs)
        from_earlier_runs = maker.reused if leave_out else None     # what the first pass made is no earlier run's
        begun = stack.enter_context(made_ahead(maker.at_hand, maker.begin, sources))
        for done, (source, opened) in enumerate(begun, 1):
            try:
                made = maker(source, opened())
            except ValueError as error:
                if plan.unreadable != "skip":
                    raise
                notes.append(f"Left out: {error}")
            else:
                prepared.append(made)
                _warm(encode, source.caption, plan)
            progress(looked_at + done, looked_at + len(sources))
        seen = signs.of([each.source for each in prepared], progress, notes) if signs and not audited else []
    if not any(not each.source.is_regularisation for each in prepared):
        raise ValueError("folder: expected at least one picture that can be read, got none. " + " ".join(notes[:3]))
    notes += _notes(prepared) + _syntax(prepared, encode, plan.prompt_syntax)
    if plan.audit or leave_out:
        audited = audited or _audit(*(Lazy(len(prepared), each) for each in (
            lambda number: prepared[number].source, lambda number: prepared[number].encoded.look)), seen)
        notes += audited.notes
    if cache and cache.trouble:
        notes.append(f"The cache could not be written ({cache.trouble}), so that this set is held in memory.")
    fps = plan.fps if any(each.encoded.frames > 1 for each in prepared) else 0.0
    dataset = TrainingSet(_samples(prepared, encode, plan), notes, encode(""), plan.caption_dropout, plan.resolution,
                          fps)
    reused = maker.reused if from_earlier_runs is None else from_earlier_runs
    return Collected(dataset, prepared, reused, audited.worst if audited else (), cache and _trimmed(cache, plan))


class Audited(NamedTuple):
    worst: list[tuple[Source, list[findings.Finding]]]
    notes: list[str]


def _audit(sources: Sequence[Source], looks: Sequence[findings.Look | None], signs: Sequence[str | None]) -> Audited:
    names, captions = [source.name for source in sources], [source.caption for source in sources]
    found = findings.findings(names, captions, looks, comfy.model_management.throw_exception_if_processing_interrupted,
                              signs)
    of = {}
    for each in found:
        of.setdefault(each.number, []).append(each)
    worst = sorted(of, key=lambda number: -sum(each.size for each in of[number]))
    return Audited([(sources[number], of[number]) for number in worst],
                   findings.notes(names, captions, [source.repeats for source in sources], found,
                                  [source.is_regularisation for source in sources]))


def _without_faults(sources, leave_out: frozenset[str], maker: Maker, progress, notes: list[str],
                    signs: SignReader | None) -> tuple[list[Source], Audited]:
    """The sources without those that have a fault that is to be left out. Appends to notes what was left out."""
    looks = []
    with made_ahead(maker.at_hand, maker.begin_look, sources) as begun:
        for done, (source, looked) in enumerate(begun, 1):
            try:
                looks.append(maker.look(source, looked()))
            except ValueError:
                if maker.plan.unreadable != "skip":
                    raise
                looks.append(None)          # named when it is opened again
            progress(done, 2 * len(sources))
    audited = _audit(sources, looks, signs.of(sources, progress, notes) if signs else ())
    dropped = {found[0].number for _, found in audited.worst if leave_out & {each.fault for each in found}}
    if dropped:
        names = sorted(sources[number].name for number in dropped)
        notes.append(f"Left out, as leave_out asks: {shown(names, 20)}.")
    return [source for number, source in enumerate(sources) if number not in dropped], audited


def _trimmed(cache: DiskCache, plan: Preparation) -> str:
    """What the cache holds, once what is too much of it was removed."""
    entries, size, removed = cache.trim(plan.cache_limit * 1e9)
    said = f"The cache ({FOLDER} in ComfyUI's user folder) holds {entries} entries, {size / 1e9:.3g} GB"
    said += f" of {plan.cache_limit:g}" if plan.cache_limit else ""
    said += f"; {removed} that were not used for longest were removed" if removed else ""
    if plan.cache_limit and size > plan.cache_limit * 1e9:
        said += ", which is more than cache_limit, because this set needs them"
    return said + "."


def _warm(encode: Encoder, caption: str, plan: Preparation) -> None:
    """Encodes a caption and its variants while the text encoders are at hand."""
    for text in _texts(caption, plan):
        encode.warm(text)


def _samples(prepared: Sequence[Prepared], encode: Encoder, plan: Preparation) -> Sequence[Sample]:
    """Each picture, and with `flip` its mirror image after it; lazily where a cache holds them."""
    def make(number: int) -> Sample:
        return _sample(prepared[number // (1 + plan.flip)], bool(number % (1 + plan.flip)), encode, plan)

    def outlined(number: int) -> Outline:
        return _outline(prepared[number // (1 + plan.flip)], number % (1 + plan.flip), plan)

    def read_ahead(number: int | None) -> None:
        if number is None:
            prepared.maker.cache.ahead.clear()
            return
        each = prepared[number // (1 + plan.flip)]
        if each.key:
            prepared.maker.cache.read_ahead(each.key)
        for text in _texts(each.source.caption, plan):
            encode.read_ahead(text)

    count = len(prepared) * (1 + plan.flip)
    if plan.cache:
        return LazySamples(count, make, outlined, read_ahead)
    return [make(number) for number in range(count)]


def _texts(caption: str, plan: Preparation) -> list[str]:
    return [caption, *variants(caption, plan.tag_shuffles, plan.keep_first, plan.seed, plan.prompt_syntax)]


def _outline(each: Prepared, mirrored: int, plan: Preparation) -> Outline:
    source, (shape, identity) = each.source, each.encoded.latents[mirrored]
    return Outline(shape, identity, _name(source, bool(mirrored)), source.caption, source.is_regularisation,
                   source.repeats * plan.repeats, source.before is not None, source.reference is not None,
                   weight=_weight(source, plan), source=_held_with(source, plan))


def _weight(source: Source, plan: Preparation) -> float:
    return plan.regularisation_weight if source.is_regularisation else 1.0


def _name(source: Source, is_mirrored: bool) -> str:
    return source.name + (" (mirrored)" if is_mirrored else "")


def _held_with(source: Source, plan: Preparation) -> str:
    """What the clips of one video share, and a picture with its mirror image: the one shows what the other is."""
    return source.video or (source.name if plan.flip else "")


def _sample(each: Prepared, is_mirrored: bool, encode: Encoder, plan: Preparation) -> Sample:
    source, tensors, ending = each.source, each.tensors(), parts.MIRRORED if is_mirrored else ""
    reference = {REFERENCE: [tensors[parts.REFERENCE + ending]]} if parts.REFERENCE in tensors else {}
    if parts.START in tensors:
        reference |= _start(tensors[parts.START + ending])
    dressed = [(embedding, {**options, **reference})
               for embedding, options in map(encode, _texts(source.caption, plan))]
    mask = tensors[parts.MASK].float() / 255 if parts.MASK in tensors else None
    return Sample(
        tensors[parts.LATENT + ending], *dressed[0], mask=mask.flip(3) if is_mirrored and mask is not None else mask,
        weight=_weight(source, plan),
        is_regularisation=source.is_regularisation, variants=tuple(dressed[1:]), repeats=source.repeats * plan.repeats,
        name=_name(source, is_mirrored), before=tensors.get(parts.BEFORE + ending),
        source=_held_with(source, plan))


def _start(latent: torch.Tensor) -> dict:
    """What the host's WanImageToVideo gives for the latent [1, C, T, h, w] of a first frame before grey ones."""
    mask = latent.new_ones(1, 1, *latent.shape[2:])
    mask[:, :, :1] = 0
    return {START: latent, START_MASK: mask}


def _notes(prepared: Sequence[Prepared]) -> list[str]:
    grown = [(p.encoded.scale, p.source.name) for p in prepared if p.encoded.scale > 1.0]
    notes = sentences([(p.source.name, remark) for p in prepared for remark in p.encoded.remarks])
    if grown:
        scale, name = max(grown, key=lambda each: each[0])
        notes.insert(0, f"{len(grown)} of {len(prepared)} pictures are smaller than their size in training and were "
                     f"enlarged, {name} most ({scale:.1f} times); a lower resolution keeps them sharp.")
    return notes


def _syntax(prepared: Sequence[Prepared], encode: Encoder, syntax: str) -> list[str]:
    """How captions with parentheses are read."""
    holding = {caption for caption in {p.source.caption for p in prepared} if encode.holds_syntax(caption)}
    names = [p.source.name for p in prepared if p.source.caption in holding]
    if not names:
        return []
    how = ("they are learnt as they are written, where a prompt of the same words reads weights; prompt_syntax set to "
           "weights reads them as a prompt does" if syntax == "literal" else
           "they are read as a prompt's weights; prompt_syntax set to literal learns them as they are written")
    return [f"{len(names)} captions hold parentheses or backslashes before them: {how} ({shown(names)})."]
