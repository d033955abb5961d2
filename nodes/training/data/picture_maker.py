"""One picture on its way into a training set: opened by any thread, then encoded, or found in the cache."""
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import comfy.model_management
import torch

from .audit import findings
from .buckets import bucket_sizes, pixel_step
from .dataset import Lazy
from .disk_cache import FOLDER, DiskCache, FileContents, Tensors, digest, weights_identity
from .encoded_picture import Encoded, Opened, encode_picture, open_picture, opened
from .packed_rows import PackedRows
from .sources import Source


class Preparation(NamedTuple):
    """resolution in pixels, of the side of a square with as many; cache_limit in GB; the rest as on the node."""
    resolution: int = 1024
    buckets: bool = True
    repeats: int = 1
    flip: bool = False
    masks: str = "none"
    tag_shuffles: int = 0
    keep_first: int = 1
    caption_dropout: float = 0.0
    regularisation_weight: float = 1.0
    unreadable: str = "stop"
    cache: bool = False
    seed: int = 0
    prompt_syntax: str = "literal"
    audit: bool = True
    leave_out: str = ""
    cache_limit: float = 50.0
    frames: str = ""
    fps: float = 16.0
    clips: int = 1
    start_picture: bool = False


class Prepared(NamedTuple):
    """A picture of the set: for the report, and for the contact sheet. tensors: gives what encode_picture made, which
    is made anew where an entry of the cache was lost. key: of that entry, "" where there is none."""
    source: Source
    encoded: Encoded
    tensors: Callable[[], Tensors]
    key: str = ""


class Begun(NamedTuple):
    """What was done of a picture ahead of its turn. key: of its entry in the cache, "" or None where there is none;
    kept: what the cache says of it; opened: its pixels, None where it is kept, and of a clip."""
    key: str | None
    kept: dict | None
    opened: Opened | None


class Maker:
    """Makes what is learnt of a picture, or finds it in the cache, where there is one."""

    def __init__(self, vae, plan: Preparation, cache: DiskCache | None, contents: FileContents | None):
        sizes = bucket_sizes(plan.resolution, pixel_step(vae))
        self.sizes = sizes if plan.buckets else sizes[:1]
        self.vae, self.plan, self.cache, self.contents = vae, plan, cache, contents
        self.reused = 0
        if cache:
            self.identity = digest(weights_identity([vae.first_stage_model]), str(vae.vae_dtype), repr(
                (plan.resolution, plan.buckets, plan.masks, plan.flip, *["start picture"] * plan.start_picture)))

    def at_hand(self, source: Source) -> Begun | None:
        """What `begin` gives, where the cache has the picture; None where it is to be opened."""
        if not self.cache:
            return None
        with suppress(ValueError):          # begin raises it again
            key = self._key(source)
            kept = self.cache.find(key)
            return None if kept is None else Begun(key, kept, None)
        return None

    def begin(self, source: Source) -> Begun:
        """What can be done without the VAE, by any thread. Raises ValueError for what cannot be read."""
        key = self.cache and self._key(source)
        kept = self.cache.find(key) if key else None
        # A clip is many pictures at once, of which no two are to be held.
        return Begun(key, kept, None if kept is not None or source.clip else self._open(source))

    def __call__(self, source: Source, begun: Begun | None = None) -> Prepared:
        """begun: by `begin`, if it was. Raises ValueError for what cannot be read or does not fit together."""
        key, kept, made = begun or self.begin(source)
        if key and kept is None:
            kept = self.cache.find(key)     # the same picture was made meanwhile
        if kept is not None:
            self.reused += 1
            return self.of_entry(source, Encoded.from_kept(kept), key)
        encoded, tensors = self._encode(source, made)
        if key and self.cache.keep(key, tensors, encoded.as_kept()):
            return self.of_entry(source, encoded, key)
        return Prepared(source, encoded, lambda: tensors)

    def of_entry(self, source: Source, encoded: Encoded, key: str) -> Prepared:
        return Prepared(source, encoded, partial(self._kept, key, source), key)

    def _key(self, source: Source) -> str:
        return digest("picture", self.identity, source.content(self.contents))

    def _open(self, source: Source) -> Opened:
        # What is kept is kept with its look: the next start may ask for it.
        audit = bool(self.plan.audit or self.plan.leave_out or self.cache)
        return open_picture(source, self.sizes, self.plan.masks, audit)

    def _encode(self, source: Source, made: Opened | None = None) -> tuple[Encoded, Tensors]:
        return encode_picture(source, made or self._open(source), self.plan.flip, self.vae, self.plan.start_picture)

    def _kept(self, key: str, source: Source) -> Tensors:
        """What the cache holds of a picture; made anew, perhaps in the middle of a training, where it was lost."""
        found = self.cache.load(key)
        if found is not None:
            return found
        if self._key(source) != key:
            raise ValueError(f"cache: what was kept of {source.name} is gone from {FOLDER}, and its file has changed "
                             "since; run Training Set again.")
        before, comfy.model_management.in_training = comfy.model_management.in_training, False
        try:
            with torch.inference_mode():
                encoded, tensors = self._encode(source)
        finally:
            comfy.model_management.in_training = before
        self.cache.keep(key, tensors, encoded.as_kept())
        return tensors

    def begin_look(self, source: Source) -> Begun | findings.Look | None:
        """What `look` asks for, by any thread."""
        if self.cache:
            return self.begin(source)
        return None if source.clip else opened(source, self.sizes, self.plan.masks, True)[0].look

    def look(self, source: Source, begun: Begun | findings.Look | None) -> findings.Look | None:
        """What the audit sees, nothing of a clip; with a cache all else is made on the way, so that no start opens the
        picture again. begun: by begin_look."""
        return self(source, begun).encoded.look if self.cache else begun


class Packed(Lazy):
    """The pictures of a set whose entries lie in the cache, each packed as long as nobody looks at it. Those that are
    not in the cache, or not of a folder's files, are held as they are."""

    def __init__(self, maker: Maker):
        super().__init__(0, self._prepared)
        self.maker, self.rows, self.held = maker, PackedRows(), {}

    def append(self, made: Prepared) -> None:
        is_packed = made.key and made.source.files
        self.rows.append([made.source.as_row(), made.encoded.as_kept(), made.key] if is_packed else None)
        if not is_packed:
            self.held[self.count] = made
        self.count += 1

    def _prepared(self, number: int) -> Prepared:
        if number in self.held:
            return self.held[number]
        source, kept, key = self.rows[number]
        return self.maker.of_entry(Source.from_row(source), Encoded.from_kept(kept), key)
