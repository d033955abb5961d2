"""Asks a vision model about every picture of a set, each once where its answer can be kept."""
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import comfy.model_management
import numpy as np
import torch

from ...shared.text_syntax import shorten
from ...shared.vision_model import Eye
from .audit.signs import LONGEST, QUESTION, sign_in
from .captions import encoders_identity
from .disk_cache import DiskCache, FileContents, digest
from .sources import Source


class SignReader:
    """clip: a text encoder that sees. Raises ValueError for one that does not."""

    def __init__(self, clip, cache: DiskCache | None, contents: FileContents | None):
        with _of_vision():
            self.eye, self.contents = Eye(clip), contents
        self.identity = cache and encoders_identity(clip)
        self.cache = cache if self.identity else None

    def of(self, sources: Sequence[Source], progress: Callable[[int, int], None], notes: list[str]) -> list[str | None]:
        """What sign_in makes of the answer about each picture. Appends to notes which answers say neither."""
        answers = []
        for done, source in enumerate(sources, 1):
            comfy.model_management.throw_exception_if_processing_interrupted()
            answers.append(self._answer(source))
            progress(done, len(sources))
        signs = ["" if answer is None else sign_in(answer) for answer in answers]
        odd = [answer for answer, sign in zip(answers, signs, strict=True) if sign is None]
        if odd:
            notes.append(f"{self.eye.name} was asked about writing and watermarks, and its answer about {len(odd)} "
                         f'pictures says neither, such as "{shorten(odd[0], 80)}".')
        return signs

    def _answer(self, source: Source) -> str | None:
        """None for a picture that cannot be read, which is named where it is encoded."""
        try:
            key = self.cache and digest("sign", self.identity, QUESTION, source.content(self.contents))
            kept = self.cache.find(key) if key else None
            if kept is None:
                image = source.open().image.convert("RGB")
                pixels = torch.from_numpy(np.array(image))[None].float() / 255
        except ValueError:
            return None
        if kept is not None:
            return kept["answer"]
        with _of_vision():
            found = self.eye.write(pixels, QUESTION, LONGEST)
        answer = found.text or found.missing
        if key:
            self.cache.keep(key, {}, {"answer": answer})
        return answer


@contextmanager
def _of_vision() -> Iterator[None]:
    """Names the input as Training Set does, whose clip is another."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace("clip:", "vision:", 1)) from None
