"""Pictures that are nearly the same, by a perceptual hash and a coarse look at those that it finds."""
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

SIDE, LOW = 32, 8               # of the picture that is hashed, and of its low frequencies
COARSE = 8                      # of the picture that is compared
BITS_APART = 16                 # of 63, at most
ALIKE = 0.75                    # correlation of the coarse pictures, at least
HASHES = 1 << 20                # pairs whose hashes are compared at once
PAIRS = 1 << 14                 # pairs whose coarse pictures are


class Fingerprint(NamedTuple):
    """bits and mirrored: hashes of a picture and of its mirror image; coarse: grey levels, [COARSE, COARSE] uint8."""
    bits: int
    mirrored: int
    coarse: bytes


def fingerprint(image: Image.Image) -> Fingerprint:
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    coarse = grey.reshape(COARSE, SIDE // COARSE, COARSE, -1).mean((1, 3))
    return Fingerprint(hashed(grey), hashed(grey[:, ::-1]), np.rint(coarse).astype(np.uint8).tobytes())


def hashed(grey: np.ndarray) -> int:
    """63 bits: whether each low frequency of the cosine transform of [SIDE, SIDE], without the mean, lies above their
    median (pHash, Zauner 2010)."""
    low = (COSINES @ grey @ COSINES.T).reshape(-1)[1:]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def near_duplicates(pictures: Sequence[Fingerprint], halt: Callable[[], object] = lambda: None) -> list[list[int]]:
    """Groups of pictures that are nearly the same, or each other's mirror image: each is like another of its group.
    halt: called between blocks of rows, may raise. Takes memory by the number of pictures alone."""
    coarse = np.frombuffer(b"".join(picture.coarse for picture in pictures), np.uint8).reshape(-1, COARSE, COARSE)
    one, group = _normal(coarse), np.arange(len(pictures))
    for flip in (1, -1):
        other = _normal(coarse[:, :, ::flip])
        for rows, columns in _alike_hashes(pictures, flip, halt):
            apart = group[rows] != group[columns]
            rows, columns = rows[apart], columns[apart]
            alike = np.einsum("ij,ij->i", one[rows], other[columns]) >= ALIKE
            for i, j in zip(rows[alike].tolist(), columns[alike].tolist(), strict=True):
                if group[i] != group[j]:
                    group[group == group[j]] = group[i]
    found = {}
    for number, label in enumerate(group.tolist()):
        found.setdefault(label, []).append(number)
    return [numbers for numbers in found.values() if len(numbers) > 1]


def _alike_hashes(pictures, flip, halt):
    """Arrays (i, j), i < j, of at most PAIRS pairs whose hashes are near, those of mirror images where flip is -1."""
    bits = np.array([picture.bits for picture in pictures], np.uint64)
    hashes = bits if flip == 1 else np.array([picture.mirrored for picture in pictures], np.uint64)
    rows_at_once = max(1, HASHES // max(1, len(bits)))
    for start in range(0, len(bits), rows_at_once):
        halt()
        apart = _count_bits(bits[start:start + rows_at_once, None] ^ hashes[None, start:])
        rows, columns = np.nonzero(apart <= BITS_APART)
        rows, columns = rows[rows < columns] + start, columns[rows < columns] + start
        for piece in range(0, len(rows), PAIRS):
            yield rows[piece:piece + PAIRS], columns[piece:piece + PAIRS]


def _normal(coarse: np.ndarray) -> np.ndarray:
    """[N, COARSE, COARSE] -> [N, COARSE**2] whose products are correlations; a flat picture is like none."""
    flat = coarse.reshape(len(coarse), COARSE * COARSE).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), COARSE)


def _count_bits(numbers: np.ndarray) -> np.ndarray:
    if hasattr(np, "bitwise_count"):            # NumPy 2
        return np.bitwise_count(numbers)
    return BITS_OF[numbers.view(np.uint16).reshape(*numbers.shape, 4)].sum(-1)


BITS_OF = np.array([bin(number).count("1") for number in range(1 << 16)], np.uint8)
COSINES = np.array([[np.sqrt((1 if k == 0 else 2) / SIDE) * np.cos(np.pi * (2 * n + 1) * k / (2 * SIDE))
                     for n in range(SIDE)] for k in range(LOW)], np.float32)
