"""What a training set was made of, kept on disk by content: a picture's latents, an encoded caption.

Nothing that is kept is held in memory: tensors are mapped from their files when they are used, and checked."""
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

import folder_paths
import torch
from safetensors import SafetensorError, safe_open

from ...lora.file.lora_files import write_tensors
from ...shared.atomic_write import write_whole

FOLDER = "bottega/latents"
VERSION = "3"               # of what an entry holds
ABOUT, SUMS = "about", "sums"
READ_AT_ONCE = 1 << 20      # bytes of a file that is hashed
CLOCK = 2.0                 # seconds that a file system may be behind with a file's time
Tensors = dict[str, torch.Tensor]


class DiskCache:
    """Entries of tensors and JSON below ComfyUI's user folder; one that is damaged is as if it were not there.

    trouble: why nothing can be written, "" while it can."""

    def __init__(self, most_ahead: int = 64):
        """most_ahead: how many entries are held that were read ahead and not used yet."""
        self.folder = Path(folder_paths.get_user_directory()) / FOLDER
        self.trouble, self.began = "", time.time() - CLOCK
        self.ahead: dict[str, Tensors] = {}
        self.most_ahead = most_ahead

    def find(self, key: str) -> dict | None:
        """What was kept beside the tensors of an entry, None where there is no such entry. It counts as used now."""
        try:
            with safe_open(self._path(key), "pt") as file:
                about = json.loads(file.metadata()[ABOUT])
            os.utime(self._path(key))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        return about

    def keep(self, key: str, tensors: Tensors, about: dict) -> bool:
        """Whether the entry could be written."""
        sums = {name: _sum(tensor) for name, tensor in tensors.items()}
        try:
            write_whole(self._path(key), partial(write_tensors, tensors=tensors, metadata={
                ABOUT: json.dumps(about), SUMS: json.dumps(sums)}), outlasts_power_cuts=False)
        except (OSError, SafetensorError) as error:
            self.trouble = getattr(error, "strerror", None) or type(error).__name__
            return False
        return True

    def load(self, key: str) -> Tensors | None:
        """The tensors of an entry, None where it was deleted or damaged."""
        return self.ahead.pop(key, None) or self._read(key)

    def read_ahead(self, key: str) -> None:
        """Reads an entry, from any thread, for the next `load` of it."""
        if (found := self._read(key)) is not None:
            self.ahead[key] = found
        while len(self.ahead) > self.most_ahead:
            self.ahead.pop(next(iter(self.ahead)), None)

    def _read(self, key: str) -> Tensors | None:
        try:
            with safe_open(self._path(key), "pt") as file:
                sums = json.loads(file.metadata()[SUMS])
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        return tensors if all(_sum(tensor) == sums.get(name) for name, tensor in tensors.items()) else None

    def trim(self, limit: float) -> tuple[int, int, int]:
        """Removes entries, those first that were not used for longest and none that this run used, until the folder
        holds `limit` bytes (0: any number); (entries, their bytes, how many were removed)."""
        found = []
        with suppress(OSError), os.scandir(self.folder) as entries:
            found = [(status.st_mtime, status.st_size, entry.path) for entry in entries
                     if entry.name.endswith(".safetensors") for status in [entry.stat(follow_symlinks=False)]]
        size, removed = sum(each[1] for each in found), 0
        for used, own, path in sorted(found):
            if not limit or size <= limit or used >= self.began:
                break
            with suppress(OSError):
                os.unlink(path)
                size, removed = size - own, removed + 1
        return len(found) - removed, size, removed

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"


class FileContents:
    """Hashes of files' contents; a file whose size and time of change are as they were is not read again. Used as a
    context it keeps what it knows for the next start."""

    def __init__(self, folder: Path, name: str):
        self.path = folder / f"files_{digest(name)}.json"
        self.known = {}

    def __enter__(self):
        try:
            self.known = dict(json.loads(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self.known = {}
        return self

    def __exit__(self, *_):
        text, self.known = json.dumps(self.known), {}      # a training that goes on with the set needs none of it
        try:
            write_whole(self.path, lambda beside: beside.write_text(text, encoding="utf-8"))
        except OSError:
            pass                # the next start reads the files again, which is all that is lost

    def __call__(self, path: Path) -> str:
        status = path.stat()
        name, version = digest(str(path)), [status.st_size, status.st_mtime_ns]
        known = self.known.get(name)
        if not (isinstance(known, list) and len(known) == 3 and known[:2] == version):
            known = self.known[name] = [*version, hash_of_file(path)]
        return known[2]


def hash_of_file(path: Path) -> str:
    made = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while part := file.read(READ_AT_ONCE):
            made.update(part)
    return made.hexdigest()


def digest(*parts: str | bytes) -> str:
    """A hash of texts and bytes, each apart from the next."""
    made = hashlib.blake2b(digest_size=20)
    for part in (VERSION, *parts):
        part = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        made.update(len(part).to_bytes(8, "big") + part)
    return made.hexdigest()


def weights_identity(modules: Iterable[torch.nn.Module]) -> str:
    """A fingerprint of networks: names, shapes, types and a part of the numbers of their weights."""
    parts = []
    for module in modules:
        for name, weight in module.state_dict().items():
            some = weight.flatten()[:64].float().cpu().contiguous().numpy().tobytes()
            parts += [f"{type(module).__name__} {name} {tuple(weight.shape)} {weight.dtype}", some]
    return digest(*parts)


def _sum(tensor: torch.Tensor) -> int:
    """A checksum against damage of the disk, not against malice."""
    return zlib.crc32(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
