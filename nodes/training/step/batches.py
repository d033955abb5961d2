"""The order in which pictures are shown."""
from collections import Counter
from collections.abc import Hashable, Sequence

import torch


class BatchOrder:
    """Endless batches without replacement: each epoch shows every picture once, in a new order.

    Pictures of one batch share their key, which stands for a shape, so that they share a forward pass. The last batch
    of a key in an epoch is smaller when batch_size does not divide its number of pictures. repeats: by picture, how
    often an epoch shows it."""

    def __init__(self, keys: Sequence[Hashable], batch_size: int, generator: torch.Generator,
                 repeats: Sequence[int] | None = None):
        self.keys, self.batch_size, self.generator = list(keys), batch_size, generator
        self.shown = [i for i in range(len(self.keys)) for _ in range(repeats[i] if repeats else 1)]
        self.left: list[list[int]] = []        # what is left of the epoch

    @property
    def batches(self) -> int:
        """How many an epoch has."""
        of_key = Counter(self.keys[i] for i in self.shown)
        return sum(-(-count // self.batch_size) for count in of_key.values())

    def __next__(self) -> list[int]:
        if not self.left:
            self.left = self._epoch()
        return self.left.pop(0)

    def _epoch(self):
        shuffled = [self.shown[i] for i in torch.randperm(len(self.shown), generator=self.generator).tolist()]
        batches = []
        for key in dict.fromkeys(self.keys):
            of_key = [i for i in shuffled if self.keys[i] == key]
            batches += [of_key[start:start + self.batch_size] for start in range(0, len(of_key), self.batch_size)]
        if len(set(self.keys)) > 1:
            batches = [batches[i] for i in torch.randperm(len(batches), generator=self.generator).tolist()]
        return batches
