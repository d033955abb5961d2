"""Captions: their files, the characters they may hold, their shuffled variants, and their encoding, each text once."""
import json
import random
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import torch

from ...shared.picture_folder import shown
from ...shared.text_syntax import LONGEST, check_length, shorten
from .dataset import PROMPT, TEXT
from .disk_cache import DiskCache, digest, weights_identity

Encoding = tuple  # (embedding [1, T, D] or None, options)
SYNTAXES = ("literal", "weights")
EMBEDDING = "embedding"
PARENTHESIS = re.compile("[()]")
PARTS = re.compile(r"\\[()]|[(),]|[^\\(),]+|\\")      # of a prompt: an escaped parenthesis is none
BYTES_OF_A_CHARACTER = 4
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_caption(path: Path) -> str:
    """The text of a caption file on one line, from UTF-8 or, where the file says so, UTF-16.

    Raises ValueError that names a file of another kind, or a longer one."""
    try:
        size = path.stat().st_size
        if size > BYTES_OF_A_CHARACTER * LONGEST:
            raise ValueError(f"captions: expected at most {LONGEST} characters in {path.name}, got {size} bytes.")
        data = path.read_bytes()
        text = data.decode(BYTE_ORDER_MARKS.get(data[:2], "utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError(f"captions: expected UTF-8 text, {path.name} is something else.") from None
    except OSError as error:
        raise ValueError(f"captions: {path.name} cannot be read ({error.strerror}).") from None
    return checked(text, path.name)


def checked(text: str, of: str) -> str:
    """A caption on one line. Raises ValueError for one that is too long or holds characters that no text has.

    of: where it stands, for the message."""
    text = " ".join(text.split())
    check_length(text, f"captions: {of}")
    wrong = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs")), None)
    if wrong:
        raise ValueError(f"captions: expected text, {of} holds the character U+{ord(wrong):04X}.")
    return text


def spread(captions: Sequence[str], count: int) -> list[str]:
    """One caption a picture: the list itself, or a single one for all. Raises ValueError for another number."""
    captions = [checked(caption, f"caption {number}") for number, caption in enumerate(captions, 1)]
    if len(captions) == 1:
        return captions * count
    if len(captions) != count:
        raise ValueError(f"captions: expected 1 caption or {count}, one a picture; got {len(captions)}.")
    return captions


def fill_in(captions: Sequence[str | None], names: Sequence[str], default: str) -> list[str]:
    """The captions, with `default` where a picture has none. Raises ValueError that names them when that is empty."""
    default = checked(default, "default_caption")
    missing = [name for name, caption in zip(names, captions, strict=True) if caption is None]
    if missing and not default:
        raise ValueError(f"captions: expected a text file beside every picture; {len(missing)} of {len(names)} have "
                         f"none ({shown(missing)}). Write them, or give a default_caption for all.")
    return [default if caption is None else caption for caption in captions]


def variants(caption: str, count: int, keep: int, seed: int, syntax: str = "literal") -> list[str]:
    """`count` further orders of a caption's comma-separated tags, the first `keep` of which stay where they are.

    syntax: of SYNTAXES; with weights a group in parentheses is one tag, whatever commas it has."""
    if count <= 0 or not can_shuffle(caption, keep, syntax):
        return []
    tags = _tags(caption, syntax)
    head, rest = tags[:keep], tags[keep:]
    generator, orders = random.Random(f"{seed} {caption}"), []
    for _ in range(count):
        generator.shuffle(rest)
        orders.append(", ".join([*head, *rest]))
    return orders


def can_shuffle(caption: str, keep: int, syntax: str = "literal") -> bool:
    """Whether a caption has tags that can stand in another order."""
    return len(_tags(caption, syntax)[keep:]) > 1


def _tags(caption, syntax):
    parts = caption.split(",") if syntax == "literal" else _outside_parentheses(caption)
    return [tag.strip() for tag in parts if tag.strip()]


def _outside_parentheses(caption):
    """A prompt, split at the commas that stand in no group of weights."""
    tags, depth = [""], 0
    for part in PARTS.findall(caption):
        depth = max(0, depth + (part == "(") - (part == ")"))
        if part == "," and not depth:
            tags.append("")
        else:
            tags[-1] += part
    return tags


class Encoder:
    """A CLIP that encodes each text once. syntax: literal, or weights, which reads parentheses as a prompt's. cache:
    where encodings are kept instead of in memory.

    Raises ValueError for a text it makes several conditionings of, or one that is not finite."""

    def __init__(self, clip, syntax: str = "literal", cache: DiskCache | None = None):
        self.clip, self.known = clip, {}
        self.escapes = syntax == "literal" and self._tokens("\\(") == self._tokens("(")
        identity = encoders_identity(clip) if cache else None
        self.cache, self.identity = cache if identity else None, f"{identity} {self.escapes}"
        self.kept: set[str] = set()

    def warm(self, text: str) -> None:
        """Encodes a text that is neither known nor kept, while the encoders are at hand."""
        if self.cache and text not in self.known and text not in self.kept:
            if self.cache.find(self._key(text)) is None:
                self(text)
            self.kept.add(text)
        elif not self.cache:
            self(text)

    def __call__(self, text: str) -> Encoding:
        if text in self.known:
            return self.known[text]
        key = self._key(text)
        about = self.cache.find(key) if self.cache else None
        if about is not None and (tensors := self.cache.load(key)) is not None:
            return _unpacked(tensors, about)
        with torch.inference_mode():        # a damaged entry is made anew in the middle of a training
            encoded = self._encode(text)
        packed = _packed(*encoded)
        if not (self.cache and packed and self.cache.keep(key, *packed)):
            self.known[text] = encoded
        return encoded

    def read_ahead(self, text: str) -> None:
        """Reads what is kept of a text, from any thread."""
        if self.cache and text not in self.known:
            self.cache.read_ahead(self._key(text))

    def _key(self, text: str) -> str:
        return digest("caption", self.identity, text)

    def _encode(self, text: str) -> Encoding:
        prompt = self.prompt(text)
        try:
            tokens = self.clip.tokenize(prompt)
        except RecursionError:
            raise ValueError(f"captions: expected fewer parentheses within parentheses, got {shorten(text)}") from None
        encoded = self.clip.encode_from_tokens_scheduled(tokens, show_pbar=False)
        if len(encoded) != 1:
            raise ValueError(f"clip: expected one conditioning a caption, got {len(encoded)} (a scheduled CLIP?).")
        embedding, options = encoded[0]
        if embedding is not None and not embedding.isfinite().all():
            raise ValueError(f"captions: expected weights that give finite numbers, got {shorten(text)}")
        return embedding, {**options, TEXT: text, **({PROMPT: prompt} if prompt != text else {})}

    def prompt(self, text: str) -> str:
        """What the tokenizer is given: with escaped parentheses, backslashes before them included, where they are
        literal. Each of ComfyUI's tokenizers takes one backslash away again, with weights or without."""
        return PARENTHESIS.sub(r"\\\g<0>", text) if self.escapes else text

    def holds_syntax(self, text: str) -> bool:
        """Whether a prompt of the same words means something else than the words."""
        literal = PARENTHESIS.sub(r"\\\g<0>", text)
        return literal != text and self._tokens(literal) != self._tokens(text)

    def _tokens(self, text):
        return str(self.clip.tokenize(text))    # tensors among them, of embeddings, cannot be compared in lists


def encoders_identity(clip) -> str | None:
    """A fingerprint of text encoders and of how they read; None where patches or hooks change what they give."""
    if clip.patcher.patches or clip.patcher.forced_hooks or clip.apply_hooks_to_conds:
        return None
    return digest(weights_identity([clip.cond_stage_model]), type(clip.tokenizer).__name__,
                  repr((clip.layer_idx, clip.use_clip_schedule, sorted(clip.tokenizer_options.items()))))


def _packed(embedding, options: dict) -> tuple[dict, dict] | None:
    """(tensors, what else there is, as JSON) of an encoding; None of one with other things in it."""
    tensors = {key: value.clone() for key, value in options.items() if isinstance(value, torch.Tensor)}
    about = {key: value for key, value in options.items() if key not in tensors}
    if embedding is None or EMBEDDING in options or _json_or_none(about) != about:
        return None
    return {EMBEDDING: embedding, **tensors}, about


def _unpacked(tensors: dict, about: dict) -> Encoding:
    return tensors[EMBEDDING], {**{key: value for key, value in tensors.items() if key != EMBEDDING}, **about}


def _json_or_none(value):
    """A value as it comes back from JSON, None where it cannot be written."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return None
