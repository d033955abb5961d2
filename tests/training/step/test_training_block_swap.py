"""Blocks that come and go, on the CPU: in which order. What it costs and gives on a card is in tests/card."""
import torch


def test_nothing_is_brought_into_the_memory_of_a_block_that_may_still_compute(pack, monkeypatch):
    block_swap = pack.nodes.training.step.block_swap
    blocks, said = [torch.nn.Linear(4, 4) for _ in range(4)], []
    swap = block_swap.BlockSwap(blocks, 4, torch.device("cpu"))
    put, brought, wait = swap._put, swap._brought, swap._wait
    monkeypatch.setattr(swap, "_put", lambda weights: (
        said.append("goes") if any(weights is each for each in swap.resting) else None, put(weights)))
    monkeypatch.setattr(swap, "_brought", lambda number: (said.append("comes"), brought(number))[1])
    monkeypatch.setattr(swap, "_wait", lambda: (said.append("waits"), wait()))
    before = [block.weight.clone() for block in blocks]
    with swap.on():
        for _ in range(2):              # two passes forwards, as with a teacher
            for block in blocks:
                block(torch.ones(1, 4))
    assert said.count("comes") >= 8
    for what, after in zip(said, said[1:], strict=False):
        assert (what, after) != ("goes", "comes")
    assert all(torch.equal(block.weight, weight) for block, weight in zip(blocks, before, strict=True))
