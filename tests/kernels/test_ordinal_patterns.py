"""Counts of neighbours against a pixel-by-pixel reading of their definitions, and against ordpy."""
from collections import Counter
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def patterns(pack):
    return pack.kernels.ordinal_patterns


def picture(height, width, steps, seed=0, batch=1):
    return torch.randint(0, steps, (batch, height, width), generator=torch.Generator().manual_seed(seed)).byte()


def by_definition(plane):
    """24 counts of one plane, window by window, with Python's stable sort."""
    rows, found = plane.tolist(), Counter()
    for y, x in product(range(len(rows) - 1), range(len(rows[0]) - 1)):
        window = rows[y][x], rows[y][x + 1], rows[y + 1][x], rows[y + 1][x + 1]
        found[tuple(sorted(range(4), key=window.__getitem__))] += 1
    return [found[order] for order in permutations(range(4))]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 5), st.integers(0, 10 ** 6))
def test_windows_are_sorted_stably_whatever_is_tied(patterns, height, width, steps, seed):
    plane = picture(height, width, steps, seed, batch=2)
    assert patterns.ordinal_patterns(plane).tolist() == [by_definition(one) for one in plane]


@pytest.mark.parametrize("order", permutations(range(4)))
def test_each_order_has_a_state_of_its_own_for_every_number_type(patterns, order):
    values = torch.empty(4)
    values[list(order)] = torch.arange(4.0)
    for dtype in (torch.uint8, torch.int64, torch.float32, torch.float64):
        found = patterns.ordinal_patterns(values.view(1, 2, 2).to(dtype))
        assert found.argmax() == list(permutations(range(4))).index(order) and found.sum() == 1


def test_the_states_are_those_of_ordpy(patterns):
    ordpy = pytest.importorskip("ordpy")
    plane = np.random.default_rng(3).integers(0, 6, (40, 33)).astype(float)
    states, shares = ordpy.ordinal_distribution(plane, dx=2, dy=2, return_missing=True)
    expected = {tuple(map(int, state)): round(share * 39 * 32) for state, share in zip(states, shares, strict=True)}
    found = patterns.ordinal_patterns(torch.from_numpy(plane)[None])[0].tolist()
    assert dict(zip(permutations(range(4)), found, strict=True)) == expected


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(2, 9), st.integers(2, 9), st.sampled_from([2, 7, 16]), st.integers(0, 10 ** 6))
def test_cooccurrence_counts_every_pair_once(patterns, height, width, steps, seed):
    plane = picture(height, width, steps, seed)
    expected = torch.zeros(1, 4, steps, steps, dtype=torch.int64)
    for index, (down, right) in enumerate(patterns.OFFSETS):
        for y, x in product(range(height - down), range(width)):
            if 0 <= x + right < width:
                expected[0, index, int(plane[0, y, x]), int(plane[0, y + down, x + right])] += 1
    assert torch.equal(patterns.cooccurrence(plane, steps), expected)


@pytest.mark.parametrize("size", [(16, 16), (33, 47), (5, 3)])
def test_tiles_count_their_own_pixels_and_the_last_ones_what_is_left(patterns, size):
    plane = picture(*size, 16, batch=2)
    found = patterns.local_counts(plane)
    for b, y, x in product(range(2), range(found.shape[1]), range(found.shape[2])):
        tile = plane[b, y * 16:y * 16 + 16, x * 16:x * 16 + 16]
        assert found[b, y, x].tolist() == [int((tile == level).sum()) for level in range(16)]
    assert found.sum() == plane.numel()


def test_mirrored_differences_are_exact_sums(patterns):
    plane = picture(7, 10, 256, batch=3)
    wide = plane.int()
    expected = torch.stack([(wide - wide.flip(dim)).abs().sum((1, 2)) for dim in (2, 1)], 1)
    assert torch.equal(patterns.mirrored_difference(plane), expected)
