"""Captions: where they come from, their shuffled variants, and their encoding, each text once."""
import random
from collections.abc import Sequence

from .dataset import TEXT
from .folder import shown

Encoding = tuple  # (embedding [1, T, D] or None, options)


def spread(captions: Sequence[str], count: int) -> list[str]:
    """One caption a picture: the list itself, or a single one for all. Raises ValueError for another number."""
    if len(captions) == 1:
        return list(captions) * count
    if len(captions) != count:
        raise ValueError(f"captions: expected 1 caption or {count}, one a picture; got {len(captions)}.")
    return list(captions)


def fill_in(captions: Sequence[str | None], names: Sequence[str], default: str) -> list[str]:
    """The captions, with `default` where a picture has none. Raises ValueError that names them when that is empty."""
    missing = [name for name, caption in zip(names, captions, strict=True) if caption is None]
    if missing and not default.strip():
        raise ValueError(f"captions: expected a text file beside every picture; {len(missing)} of {len(names)} have "
                         f"none ({shown(missing)}). Write them, or give a default_caption for all.")
    return [default.strip() if caption is None else caption for caption in captions]


def variants(caption: str, count: int, keep: int, seed: int) -> list[str]:
    """`count` further orders of a caption's comma-separated tags, the first `keep` of which stay where they are."""
    tags = [tag.strip() for tag in caption.split(",") if tag.strip()]
    head, rest = tags[:keep], tags[keep:]
    if count <= 0 or len(rest) < 2:
        return []
    generator, orders = random.Random(f"{seed} {caption}"), []
    for _ in range(count):
        generator.shuffle(rest)
        orders.append(", ".join([*head, *rest]))
    return orders


class Encoder:
    """A CLIP that encodes each text once. Raises ValueError for a text it makes several conditionings of."""

    def __init__(self, clip):
        self.clip, self.known = clip, {}

    def __call__(self, text: str) -> Encoding:
        if text not in self.known:
            encoded = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text), show_pbar=False)
            if len(encoded) != 1:
                raise ValueError(f"clip: expected one conditioning a caption, got {len(encoded)} (a scheduled CLIP?).")
            embedding, options = encoded[0]
            self.known[text] = (embedding, {**options, TEXT: text})
        return self.known[text]
