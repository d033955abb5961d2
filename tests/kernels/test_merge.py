"""Merging and rounding in torch, against float64 and against a table of all numbers of a format."""
import importlib
import logging

import pytest
import torch

STORAGE = [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.fixture(scope="module")
def kernels(pack):
    for name in ("merge", "rounding", "reference", "dispatch"):
        importlib.import_module(f"{pack.__name__}.kernels.{name}")
    return pack.kernels


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def codes(x):
    """Numbers in order: neighbours of a format differ by one."""
    words = x.contiguous().view(torch.int8 if x.dtype.itemsize == 1 else torch.int16).int()
    lowest = -1 << (8 * x.dtype.itemsize - 1)
    return torch.where(words < 0, lowest - words, words)


@pytest.mark.parametrize("dtype", STORAGE)
def test_four_loras_merge_to_the_nearest_number_of_the_format(kernels, dtype):
    weight = (random(300, 200) * 0.05).to(dtype)
    ups = [random(300, 8, seed=seed) * 0.03 for seed in range(4)]
    downs = [random(8, 200, seed=9 + seed) * 0.03 for seed in range(4)]
    strengths = [1.0, -0.5, 0.3, 2.0]
    out, = kernels.merge.merge([weight], [kernels.merge.stack(ups, downs, strengths)])
    expected = kernels.reference.nearest(kernels.reference.merged(weight, ups, downs, strengths), dtype)
    apart = (codes(out) - codes(expected)).abs()
    assert apart.max() <= 1 and (apart > 0).float().mean() <= 2e-4
    assert (codes(out) != codes(weight)).any()


def test_single_precision_and_kernels_of_convolutions(kernels):
    weight, up, down = random(20, 6, 3, 3), random(20, 4, 1, 1, seed=1), random(4, 6, 3, 3, seed=2)
    out, = kernels.merge.merge([weight], [kernels.merge.stack([up], [down], [0.5])])
    assert torch.allclose(out.double(), kernels.reference.merged(weight, [up], [down], [0.5]), atol=1e-5)


@pytest.mark.parametrize("seeds", [None, [7]])
def test_a_plane_in_pieces_comes_out_as_in_one(kernels, seeds, monkeypatch):
    weight, factors = (random(50, 33) * 0.1).to(torch.float8_e4m3fn), (random(50, 2), random(2, 33))
    whole, = kernels.merge.merge([weight], [factors], seeds=seeds)
    monkeypatch.setitem(kernels.merge.CHUNK, "cpu", 100)
    pieces, = kernels.merge.merge([weight], [factors], seeds=seeds)
    assert torch.equal(whole.float(), pieces.float())


def test_a_large_weight_never_needs_a_large_copy(kernels):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, (list, tuple)) else [out]:
                if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() != weight.data_ptr():
                    self.elements = max(self.elements, tensor.untyped_storage().nbytes() // 4)
            return out

    weight = torch.zeros(3000, 1000, dtype=torch.float8_e4m3fn)
    with Largest() as seen:
        kernels.merge.merge([weight], [(random(3000, 2), random(2, 1000))], [weight], seeds=[1])
    assert seen.elements <= 2 * kernels.merge.CHUNK["cpu"] < weight.numel()


@pytest.mark.parametrize("dtype", STORAGE)
def test_stochastic_rounding_takes_a_neighbour_and_is_unbiased(kernels, dtype):
    x = random(1, 4000) * torch.logspace(-4, 1, 4000)
    low, high, share = kernels.reference.neighbours(x.double(), dtype)
    ups = torch.zeros(4000)
    for seed in range(40):
        found = kernels.rounding.rounded(x, dtype, seed).double()
        assert ((found == low) | (found == high)).all()
        ups += (found == high)[0].float()
    share, open_ = share[0], (share[0] > 0) & (share[0] < 1)
    expected, spread = 40 * share[open_], 40 * (share * (1 - share))[open_]
    z = (ups[open_].double() - expected).sum() / spread.sum().sqrt()
    assert open_.sum() > 3000 and abs(z) < 4
    chi = ((ups[open_].double() - expected) ** 2 / spread.clamp(min=1e-3)).mean()  # the random bits are independent
    assert 0.8 < chi < 1.2


@pytest.mark.parametrize("dtype", STORAGE)
def test_numbers_of_the_format_are_kept_by_both_roundings(kernels, dtype):
    values = kernels.reference.finite_values(dtype)[None]
    for seed in (None, 5):
        assert torch.equal(kernels.rounding.rounded(values.float(), dtype, seed).double(), values)
    assert kernels.rounding.rounded(torch.tensor([[float("nan")]]), dtype, 1).isnan().all()


@pytest.mark.parametrize("dtype", STORAGE)
def test_ties_and_what_lies_beside_them_go_where_the_table_says(kernels, dtype):
    values = kernels.reference.finite_values(dtype)
    middles = ((values[1:] + values[:-1]) / 2).float()
    near = [torch.nextafter(middles, torch.full_like(middles, side)) for side in (-9e9, 9e9)]
    numbers = torch.cat([middles, *near])[None]
    expected = kernels.reference.nearest(numbers.double(), dtype)
    assert torch.equal(kernels.rounding.rounded(numbers, dtype).float(), expected.float())


def test_neighbouring_seeds_and_places_have_unlike_dice(kernels):
    bits = [kernels.rounding.random_bits(seed, 0, 64, 64).double() for seed in range(3)]
    for one in bits:
        assert abs(one.mean() / 65535 - 0.5) < 0.02
        assert abs(torch.corrcoef(torch.stack((one[:, :-1].flatten(), one[:, 1:].flatten())))[0, 1]) < 0.06
    assert abs(torch.corrcoef(torch.stack([one.flatten() for one in bits]))[0, 1]) < 0.06


def test_wrong_weights_and_factors_are_named(kernels):
    up, down = random(4, 2), random(2, 6)
    for weights, factors, words in (
            ([torch.zeros(4, 6, dtype=torch.int8)], [(up, down)], "expected one of float32.*got torch.int8"),
            ([torch.zeros(4, 6), torch.zeros(4, 6).half()], [(up, down)] * 2, "one dtype and one device, got"),
            ([torch.zeros(6, 4).t()], [(up, down)], "expected contiguous"),
            ([torch.zeros(4)], [(up, random(2, 1))], r"expected \[out, in, ...\] with something in it, got \[4\]"),
            ([torch.zeros(0, 6)], [(random(0, 2), down)], r"got \[0, 6\]"),
            ([torch.zeros(4, 0)], [(up, random(2, 0))], r"got \[4, 0\]"),
            ([torch.zeros(4, 6)], [(random(4, 0), random(0, 6))], r"got \(4, 0\) @ \(0, 6\)"),
            ([torch.zeros(4, 6)], [(up, random(3, 6))], r"up @ down of \(4, 6\), got \(4, 2\) @ \(3, 6\)")):
        with pytest.raises(ValueError, match=words):
            kernels.merge.merge(weights, factors)
    assert kernels.merge.merge([], []) == []


def test_without_a_gpu_torch_runs_and_triton_says_why_not(kernels):
    run, cpu = kernels.dispatch.run, torch.device("cpu")
    forms = {"torch": lambda: "torch", "triton": lambda: "triton"}
    assert run("merge", forms, cpu, None, True, ()) == "torch"
    with pytest.raises(ValueError, match="cannot run merge here: it needs an NVIDIA GPU, the tensors are on cpu"):
        run("merge", forms, cpu, "triton", True, ())
    with pytest.raises(ValueError, match="started with --disable-triton-backend"):
        run("merge", forms, cpu, "triton", False, ())
    with pytest.raises(ValueError, match="backend: expected torch or triton, got 'cuda'"):
        run("merge", forms, cpu, "cuda", True, ())


def test_triton_is_chosen_only_where_a_committed_benchmark_says_so(kernels, monkeypatch, tmp_path):
    dispatch, cpu = kernels.dispatch, torch.device("cpu")
    (tmp_path / "gpu_a.json").write_text('{"architecture": "cpu", "triton_over_torch": {"merge": 1.3, "other": 1.1}}')
    (tmp_path / "gpu_b.json").write_text('{"architecture": "cpu", "triton_over_torch": {"slow": 2.0, "merge": 1.2}}')
    monkeypatch.setattr(dispatch, "RESULTS", tmp_path)
    monkeypatch.setattr(dispatch, "why_no_triton", lambda device, allow=True: "" if allow else "told not to")
    dispatch.proven.cache_clear()
    forms = {"torch": lambda: "torch", "triton": lambda: "triton"}
    try:
        assert dispatch.proven() == {("merge", "cpu"): 1.2, ("other", "cpu"): 1.1, ("slow", "cpu"): 2.0}
        assert [dispatch.run(name, forms, cpu, None, True, ()) for name in ("merge", "other")] == ["triton", "torch"]
        assert dispatch.run("merge", forms, cpu, None, False, ()) == "torch"
    finally:
        dispatch.proven.cache_clear()


def test_a_triton_form_that_fails_is_logged_once_and_not_tried_again(kernels, monkeypatch, caplog):
    dispatch, tried = kernels.dispatch, []
    monkeypatch.setattr(dispatch, "_failed", set())
    monkeypatch.setattr(dispatch, "proven", lambda: {("merge", "cpu"): 2.0})
    monkeypatch.setattr(dispatch, "why_no_triton", lambda *_: "")

    def fails():
        tried.append(1)
        raise RuntimeError("no such card")

    forms = {"torch": lambda: "torch", "triton": fails}
    with caplog.at_level(logging.WARNING):
        assert [dispatch.run("merge", forms, torch.device("cpu"), None, True, ()) for _ in range(3)] == ["torch"] * 3
    assert len(tried) == 1 and [r.message for r in caplog.records] == [
        "Bottega: merge runs in torch from now on, its Triton form failed: no such card"]
    with pytest.raises(RuntimeError, match="no such card"):
        dispatch.run("merge", forms, torch.device("cpu"), "triton", True, ())
