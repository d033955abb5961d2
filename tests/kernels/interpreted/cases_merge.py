"""The merging kernel in Triton's interpreter: run by test_triton_interpreted.py in a process of its own."""
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import merge, reference, rounding
from kernels.triton.codecs import encode, random_bits
from kernels.triton.merge import FORMAT, STORED

STORAGE = list(rounding.FORMATS)
MARGIN = 300


def guarded(values, fill):
    """`values` as a contiguous view amid a margin, and a function that says whether the margin is untouched."""
    words = {1: torch.uint8, 2: torch.int16, 4: torch.int32}[values.dtype.itemsize]
    raw = torch.full((values.numel() + 2 * MARGIN,), fill, dtype=words)
    inside = raw[MARGIN:-MARGIN].view(values.dtype).view(values.shape).copy_(values)
    return inside, lambda: bool((raw[:MARGIN] == fill).all() and (raw[-MARGIN:] == fill).all())


def layers(shapes, dtype, seed, exact=False):
    """Weights with NaN around them and factors; `exact` ones whose sums float32 holds without rounding."""
    generator = torch.Generator().manual_seed(seed)
    weights, factors = [], []
    for rows, columns, rank in shapes:
        weight, up, down = (torch.randn(size, generator=generator) for size in
                            ((rows, columns), (rows, rank), (rank, columns)))
        if exact:
            weight, up, down = (weight * 4).round() / 8, (up * 4).round() / 64, (down * 4).round() / 16
        nan = {1: 0x7F, 2: 0x7FFF, 4: 0x7FFFFFFF}[dtype.itemsize]
        weights.append(guarded(rounding.rounded(weight, dtype), nan)[0])
        factors.append((up, down) if exact else (up * 0.1, down * 0.1))
    return weights, factors


def run(weights, factors, seeds=None):
    outs, intact = zip(*(guarded(torch.zeros_like(w), 0x55) for w in weights), strict=True)
    merge.merge(weights, factors, outs, seeds, backend="triton")
    assert all(check() for check in intact)
    return outs


def codes(x):
    """Numbers in order: neighbours of a format differ by one."""
    words = x.contiguous().view(torch.int8 if x.dtype.itemsize == 1 else torch.int16).int()
    lowest = -1 << (8 * x.dtype.itemsize - 1)
    return torch.where(words < 0, lowest - words, words)


shapes = st.lists(st.tuples(st.integers(1, 150), st.integers(1, 150), st.integers(1, 40)), min_size=1, max_size=3)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(shapes, st.sampled_from(STORAGE), st.integers(0, 10 ** 6))
def test_merging_equals_the_oracle_rounded_to_the_nearest(shapes, dtype, seed):
    weights, factors = layers(shapes, dtype, seed)
    for out, weight, (up, down) in zip(run(weights, factors), weights, factors, strict=True):
        expected = reference.nearest(reference.merged(weight, [up], [down], [1.0]), dtype)
        apart = (codes(out) - codes(expected)).abs()
        assert apart.max() <= 1 and (apart > 0).sum() <= max(2, 2e-4 * apart.numel())


@settings(max_examples=8, deadline=None, derandomize=True)
@given(shapes, st.sampled_from(STORAGE), st.integers(0, 10 ** 6), st.integers(0, 2 ** 40))
def test_stochastic_rounding_is_that_of_torch_bit_for_bit(shapes, dtype, data, seed):
    weights, factors = layers(shapes, dtype, data, exact=True)
    seeds = [seed + number for number in range(len(weights))]
    expected = merge.merge(weights, factors, seeds=seeds, backend="torch")
    for out, right in zip(run(weights, factors, seeds), expected, strict=True):
        assert torch.equal(out.float(), right.float())


@pytest.mark.parametrize("rank", [128, 200])
def test_many_ranks_take_the_larger_tile_and_rows_of_whole_words_the_aligned_path(rank):
    weights, factors = layers([(140, 272, rank), (3, 16, 1)], torch.bfloat16, 0)
    for out, weight, (up, down) in zip(run(weights, factors), weights, factors, strict=True):
        expected = reference.nearest(reference.merged(weight, [up], [down], [1.0]), torch.bfloat16)
        apart = (codes(out) - codes(expected)).abs()
        assert apart.max() <= 1 and (apart > 0).sum() <= max(2, 2e-4 * apart.numel())


def test_kernels_of_convolutions_and_merging_in_place():
    weights = [torch.randn(20, 6, 3, 3).half()]
    factors = [(torch.randn(20, 4), torch.randn(4, 54))]
    expected = reference.merged(weights[0], [factors[0][0]], [factors[0][1]], [1.0])
    merge.merge(weights, factors, weights, backend="triton")
    assert torch.allclose(weights[0].double(), expected, rtol=2 ** -10, atol=1e-4)


@triton.jit
def encode_kernel(x, out, columns, seed, FORMAT: tl.constexpr, STORED: tl.constexpr, STOCHASTIC: tl.constexpr,
                  ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row, first = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * COLUMNS
    column = first + tl.arange(0, COLUMNS)
    place = row[:, None] * columns + column[None, :]
    noise = random_bits(seed, row, first // 2, columns, ROWS, COLUMNS)
    tl.store(out + place, encode(tl.load(x + place), noise, FORMAT, False, STOCHASTIC, STORED))


def encoded(x, dtype, seed=None):
    """float32 [rows, 128] through the kernel's codec."""
    words = {"fp16": torch.float16, "bf16": torch.int16}.get(FORMAT[dtype], torch.uint8)
    padded = torch.nn.functional.pad(x, (0, 0, 0, -len(x) % 64))
    out = torch.empty(padded.shape, dtype=words)
    encode_kernel[(len(padded) // 64, 1)](padded, out, 128, seed or 0, FORMAT[dtype], STORED[FORMAT[dtype]],
                                          seed is not None, 64, 128)
    return out.view(dtype)[:len(x)]


def hard_numbers(dtype):
    """Every number of the format, every middle between two of them, and what lies right beside the middles."""
    values = reference.finite_values(dtype)
    middles, values = ((values[1:] + values[:-1]) / 2).float(), values.float()
    near = [torch.nextafter(middles, torch.full_like(middles, side)) for side in (-9e9, 9e9)]
    numbers = torch.cat([values, middles, *near, torch.tensor([0.0, -0.0, 1e-30, -1e-30])])
    return torch.nn.functional.pad(numbers, (0, -len(numbers) % 128)).view(-1, 128)


@pytest.mark.parametrize("dtype", STORAGE)
def test_the_codec_rounds_every_hard_number_to_the_nearest(dtype):
    numbers = hard_numbers(dtype)
    found = encoded(numbers, dtype)
    assert torch.equal(found.float(), reference.nearest(numbers.double(), dtype).float())
    assert torch.equal(found.float().signbit(), numbers.signbit())


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_eight_bits_saturate_and_keep_nan(dtype):
    numbers = torch.zeros(1, 128)
    numbers[0, :5] = torch.tensor([1e9, -1e9, float("inf"), -float("inf"), float("nan")])
    largest = rounding.FORMATS[dtype].largest
    for seed in (None, 7):
        found = encoded(numbers, dtype, seed).float()[0].tolist()
        assert found[:4] == [largest, -largest, largest, -largest] and found[4] != found[4]


@pytest.mark.parametrize("dtype", STORAGE)
def test_the_codec_throws_the_dice_as_torch_does(dtype):
    numbers = torch.cat([torch.randn(64, 128) * 10.0 ** torch.randint(-6, 5, (64, 128)), hard_numbers(dtype)[:64]])
    assert torch.equal(encoded(numbers, dtype, 12345).float(), rounding.rounded(numbers, dtype, 12345).float())


@pytest.mark.parametrize("dtype", STORAGE)
def test_every_code_survives_a_merge_with_nothing(dtype):
    codes = torch.arange(1 << 8 * dtype.itemsize).to(torch.uint8 if dtype.itemsize == 1 else torch.uint16)
    weight = codes.view(dtype).view(-1, 256)
    nothing = torch.zeros(len(weight), 1), torch.zeros(1, 256)
    for seeds in (None, [3]):
        out = run([weight], [nothing], seeds)[0].float()
        kept = weight.float().isfinite()
        assert torch.equal(out[kept], weight.float()[kept]) and out[weight.isnan()].isnan().all()
