"""The order in which pictures are shown."""
from collections.abc import Iterator

import torch


def batches(pictures: int, batch_size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Endless batches without replacement: each epoch shows every picture once, in a new order.

    The last batch of an epoch is smaller when batch_size does not divide the number of pictures."""
    while True:
        order = torch.randperm(pictures, generator=generator).tolist()
        for start in range(0, pictures, batch_size):
            yield order[start:start + batch_size]
