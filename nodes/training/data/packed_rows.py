"""Rows of a large set in little memory: blocks of them as compressed JSON, of which one is open at a time."""
import json
import zlib
from typing import Any

BLOCK = 64


class PackedRows:
    """A list to append to and to read from; what it gives is what JSON makes of a row."""

    def __init__(self):
        self.blocks: list[bytes] = []
        self.last: list[Any] = []           # not packed yet
        self.opened: tuple[int, list] = (-1, [])

    def __len__(self):
        return len(self.blocks) * BLOCK + len(self.last)

    def append(self, row: Any) -> None:
        self.last.append(row)
        if len(self.last) == BLOCK:
            self.blocks.append(zlib.compress(json.dumps(self.last).encode(), 1))
            self.last = []

    def __getitem__(self, number: int) -> Any:
        block, place = divmod(number, BLOCK)
        if block == len(self.blocks):
            return self.last[place]
        opened = self.opened                # one look, as another thread may open another block meanwhile
        if opened[0] != block:
            opened = self.opened = block, json.loads(zlib.decompress(self.blocks[block]))
        return opened[1][place]
