"""Every algorithm on single layers: its gradient, its start, and what the host's loader makes of its file."""
import itertools

import comfy.lora
import comfy.ops
import pytest
import torch
import torch.nn.functional as F

ALGORITHMS = {
    "LoRA": ("LoRA", {}), "LoRA, rank-stabilised": ("LoRA", {"rank_stabilised": True}),
    "LoRA, PiSSA": ("LoRA", {"pissa": True}), "DoRA": ("DoRA", {}), "LoHa": ("LoHa", {}), "LoKr": ("LoKr", {}),
    "LoKr, factor 2": ("LoKr", {"factor": 2}), "OFT": ("OFT", {}), "OFT, constrained": ("OFT", {"constraint": 0.4}),
}
OPS = comfy.ops.disable_weight_init
LAYERS = {
    "linear": (lambda: OPS.Linear(12, 16), (2, 5, 12)),
    "3 x 3, stride 2": (lambda: OPS.Conv2d(6, 8, 3, stride=2, padding=1), (2, 6, 7, 7)),
    "1 x 1, no bias": (lambda: OPS.Conv2d(6, 8, 1, bias=False), (2, 6, 4, 4)),
    "conv1d": (lambda: OPS.Conv1d(6, 8, 5, padding=4, dilation=2), (2, 6, 9)),
    "conv3d": (lambda: OPS.Conv3d(4, 6, (1, 3, 3), padding=(0, 1, 1)), (1, 4, 2, 5, 5)),
}
CASES = pytest.mark.parametrize("algorithm, kind", list(itertools.product(ALGORITHMS, LAYERS)))
RANK, ALPHA = 3, 2.0


class Setup:
    """One layer in float64 with an adapter that is away from its start."""

    def __init__(self, pack, algorithm, kind, dtype=torch.float64, moved=True, rank=RANK):
        t = pack.nodes.training
        self.t, (name, settings) = t, ALGORITHMS[algorithm]
        table = t.adapters.lora_shape.ALGORITHMS[name]
        make, shape = LAYERS[kind]
        generator = torch.Generator().manual_seed(4)
        self.layer = make().to(dtype).requires_grad_(False)
        for parameter in self.layer.parameters():
            parameter.normal_(std=0.5, generator=generator)
        self.x = torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()
        self.adapter = table.adapter(t.model.frozen.FrozenWeight(self.layer), rank, ALPHA, table.settings(**settings))
        start = self.adapter.start(generator)
        move = lambda value: torch.randn(value.shape, generator=generator) * (0.3 if moved else 0)
        masters = torch.promote_types(dtype, torch.float32)
        self.adapter.trained = {key: (value + move(value)).to(masters).requires_grad_() for key, value in start.items()}

    def output(self):
        return self.adapter.forward(self.x, self.t.model.frozen.frozen_base(self.layer))

    def with_weight(self, weight):
        """The layer's own output under another weight."""
        bias = self.layer.bias
        if self.layer.weight.ndim == 2:
            return F.linear(self.x, weight, bias)
        return self.layer._conv_forward(self.x, weight, bias)


def plain_weight(setup, norm=None):
    """W' by the formula of the paper, with the whole matrix; norm: DoRA's, which the gradient takes for a constant."""
    t, w = {**setup.adapter.trained}, setup.layer.weight
    flat, rank = w.flatten(1), setup.adapter.rank
    kind, settings = type(setup.adapter).__name__, setup.adapter.settings
    if kind in ("Lora", "Dora"):
        scale = ALPHA / rank ** 0.5 if settings.rank_stabilised else ALPHA / rank
        up, down = t["up"], t["down"].flatten(1)
        if settings.pissa:
            up0, down0 = setup.adapter.origin["up"].to(w), setup.adapter.origin["down"].flatten(1).to(w)
            changed = flat + scale * ((up0 + up) @ (down0 + down) - up0 @ down0)
        else:
            changed = flat + scale * up @ down
        if kind == "Dora":
            columns = changed.view(w.shape).transpose(0, 1).flatten(1)
            norm = columns.norm(dim=1) if norm is None else norm
            return changed.view(w.shape) * (t["magnitude"] / norm).view(1, -1, *[1] * (w.ndim - 2))
    elif kind == "Loha":
        changed = flat + ALPHA / rank * (t["hada_w1_a"] @ t["hada_w1_b"]) * (t["hada_w2_a"] @ t["hada_w2_b"])
    elif kind == "Lokr":
        whole = "lokr_w2" in t
        w2 = t["lokr_w2"].flatten(1) if whole else t["lokr_w2_a"] @ t["lokr_w2_b"] * ALPHA / rank
        changed = flat + torch.kron(t["lokr_w1"], w2)
    else:
        q = t["oft_blocks"] - t["oft_blocks"].transpose(1, 2)
        if settings.constraint and q.norm() > settings.constraint:
            q = q * settings.constraint / q.norm()
        eye = torch.eye(q.shape[-1], dtype=q.dtype)
        turn = torch.block_diag(*((eye + one) @ (eye - one).inverse() for one in q))
        changed = turn.t() @ flat
    return changed.view(w.shape)


def column_norm(setup):
    w = setup.layer.weight + setup.adapter.scale * (setup.adapter.factors()[0] @ setup.adapter.factors()[1].flatten(1)
                                                    ).view(setup.layer.weight.shape)
    return w.transpose(0, 1).flatten(1).norm(dim=1).detach()


@CASES
def test_value_and_gradient_are_those_of_the_paper_s_formula_in_float64(pack, algorithm, kind):
    setup = Setup(pack, algorithm, kind)
    norm = column_norm(setup) if algorithm == "DoRA" else None
    y, expected = setup.output(), setup.with_weight(plain_weight(setup, norm))
    assert torch.allclose(y, expected, atol=1e-6)
    g = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(5))
    wanted = [setup.x, *setup.adapter.trained.values()]
    for ours, exact in zip(torch.autograd.grad(y, wanted, g), torch.autograd.grad(expected, wanted, g), strict=True):
        assert (ours - exact).norm() <= 1e-6 * exact.norm() + 1e-9


@CASES
def test_the_gradient_is_the_slope(pack, algorithm, kind):
    if algorithm == "DoRA":
        pytest.skip("its gradient takes the norm for a constant, as the paper has it, so it is not the slope")
    setup = Setup(pack, algorithm, kind)
    trained = list(setup.adapter.trained.values())
    generator = torch.Generator().manual_seed(6)
    ways = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in trained]
    gradient = torch.autograd.grad(setup.output().sin().sum(), trained)
    expected = sum((g * way).sum() for g, way in zip(gradient, ways, strict=True))
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            moved = [p + step * way for p, way in zip(trained, ways, strict=True)]
            setup.adapter.trained = dict(zip(setup.adapter.trained, moved, strict=True))
            values.append(setup.output().sin().sum())
    assert ((values[0] - values[1]) / 2e-5).item() == pytest.approx(expected.item(), rel=1e-5)


@CASES
def test_at_the_start_the_layer_gives_what_it_gave(pack, algorithm, kind):
    for dtype in (torch.float32, torch.bfloat16):
        setup = Setup(pack, algorithm, kind, dtype, moved=False)
        assert torch.equal(setup.output(), setup.layer(setup.x))


@CASES
def test_at_the_start_something_learns(pack, algorithm, kind):
    setup = Setup(pack, algorithm, kind, moved=False)
    gradients = torch.autograd.grad(setup.output().sin().sum(), list(setup.adapter.trained.values()))
    assert any(g.abs().max() > 1e-6 for g in gradients)


def host_weight(setup):
    """The weight that the host's own loader makes of the adapter's file."""
    file = {f"diffusion_model.layer.{end}": value.detach() for end, value in setup.adapter.file().items()}
    name = {"diffusion_model.layer": "diffusion_model.layer.weight"}
    loaded = comfy.lora.load_lora(file, name, log_missing=False)["diffusion_model.layer.weight"]
    assert loaded.loaded_keys == file.keys()
    return comfy.lora.calculate_weight([(1.0, loaded, 1.0, None, None)], setup.layer.weight.detach().clone(),
                                       "diffusion_model.layer.weight"), loaded


@CASES
def test_the_host_s_loader_makes_the_same_weight_of_the_file(pack, algorithm, kind):
    setup = Setup(pack, algorithm, kind, torch.float32)
    weight, _ = host_weight(setup)
    assert (weight - setup.layer.weight).abs().max() > 0.01
    assert torch.allclose(weight, plain_weight(setup), atol=2e-5)
    assert torch.allclose(weight, setup.layer.weight + setup.adapter.change(), atol=2e-5)
    assert torch.allclose(setup.with_weight(weight), setup.output(), atol=1e-4)


@CASES
def test_a_loaded_file_brings_the_adapter_back(pack, algorithm, kind):
    setup = Setup(pack, algorithm, kind, torch.float32)
    _, loaded = host_weight(setup)
    before = setup.output().detach()
    values = setup.adapter.take(loaded.weights)
    assert values.keys() == setup.adapter.trained.keys()
    setup.adapter.trained = values
    assert torch.allclose(setup.output(), before, atol=1e-4)
