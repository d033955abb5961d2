"""What is measured on a GPU: each section returns {title, rows, targets} with seconds and ratios."""
import importlib
import math
import sys
import tempfile

import torch
import torch.nn.functional as F

from .. import dispatch, flat_optimizer, lora_linear, merge
from ..image_statistics import image_statistics
from . import layers
from .clock import Setting, interleaved, peak_bytes
from .eager_statistics import eager_statistics

RANKS = {1: 16, 4: 32}
DTYPES = {"bf16": torch.bfloat16, "e4m3": torch.float8_e4m3fn}


def target(name: str, found: float, asked: float, at_most: bool = False) -> dict:
    return {"name": name, "found": round(found, 3), "asked": asked, "at_most": at_most,
            "met": found <= asked if at_most else found >= asked}


def merging(setting: Setting, model: str, dtype: str, count: int, bandwidth: float) -> dict:
    """`count` LoRAs into the layers of a model: the host's own code on the same layers against both forms of ours."""
    shapes = layers.each(getattr(layers, model), setting.share)
    if setting.toy:
        shapes = [(rows // 128, columns // 64) for rows, columns in shapes[:3]]
    weights = [_weight(shape, DTYPES[dtype], setting.device) for shape in shapes]
    loras = [[_lora(shape, RANKS[count], seed) for seed in range(count)] for shape in shapes]
    seeds = list(range(len(weights))) if dtype == "e4m3" else None
    contenders = _merging_contenders(setting, weights, loras, seeds)
    found = interleaved(contenders, setting)
    moved = 2 * sum(weight.nbytes for weight in weights)
    rows = {name: {"seconds": value, "over_host": found["host"] / value,
                   "share_of_copy_bandwidth": moved / value / bandwidth,
                   "peak_bytes": peak_bytes(contenders[name], setting.device)} for name, value in found.items()}
    kernel = "triton, planned" if "triton, planned" in found else "torch"
    asked = 20 if dtype == "e4m3" else {1: 4, 4: 12}[count]
    targets = [target(f"merge {model} {dtype} N={count}: speed over the host's", rows[kernel]["over_host"], asked),
               target(f"merge {model} {dtype} N={count}: share of copy bandwidth",
                      rows[kernel]["share_of_copy_bandwidth"], 0.7)]
    return {"title": f"merge {count} LoRAs of rank {RANKS[count]}, {model}, {dtype}, {len(weights)} layers, "
                     f"{sum(w.numel() for w in weights) / 1e6:.0f} M parameters",
            "rows": rows, "targets": targets,
            "triton_over_torch": found["torch"] / found[kernel] if kernel != "torch" else None}


def _weight(shape, dtype, device):
    # In pieces, so that the float32 numbers of a large layer do not crowd the card.
    weight = torch.empty(shape, dtype=dtype, device=device)
    for part in weight.split(1024):
        part.copy_(torch.randn(part.shape, device=device) * 0.03)
    return weight


def _lora(shape, rank, seed):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape[0], rank, generator=generator).mul_(0.02).half(),
            torch.randn(rank, shape[1], generator=generator).mul_(0.02).half())


def _merging_contenders(setting, weights, loras, seeds):
    outs = [torch.empty_like(w) for w in weights]
    stacked = [merge.stack(*zip(*pairs, strict=True), [0.8] * len(pairs)) for pairs in loras]
    on_device = [tuple(part.to(setting.device) for part in pair) for pair in stacked]
    made = {"host": _host(setting, weights, loras),
            "torch": lambda: merge.merge(weights, on_device, outs, seeds, backend="torch")}
    if not dispatch.why_no_triton(setting.device):
        from ..triton.merge import plan
        made["triton, planned"] = plan(weights, outs, *merge.in_half(on_device), seeds)
        made["triton, factors from memory"] = lambda: merge.merge(weights, stacked, outs, seeds, backend="triton")
    return made


def _host(setting, weights, loras):
    """patch_weight_to_device of the host's ModelPatcher, on weights that are on the device already."""
    import comfy.float
    import comfy.lora
    import comfy.model_management
    from comfy.weight_adapter import LoRAAdapter
    patches = [[(0.8, LoRAAdapter(set(), (up, down, None, None, None, None)), 1.0, None, None) for up, down in pairs]
               for pairs in loras]
    compute = comfy.model_management.lora_compute_dtype(setting.device)

    def run():
        for number, (weight, own) in enumerate(zip(weights, patches, strict=True)):
            wide = comfy.model_management.cast_to_device(weight, setting.device, compute, copy=True)
            merged = comfy.lora.calculate_weight(own, wide, "key")
            comfy.float.stochastic_rounding(merged, weight.dtype, seed=number)

    return run


def linear(setting: Setting, rate: float) -> dict:
    """Forward and backward of one linear: 3072 wide, 4096 tokens, rank 16, bfloat16."""
    width, tokens, rank = (32, 64, 4) if setting.toy else (3072, 4096, 16)
    rand = lambda *shape: torch.randn(*shape, device=setting.device).mul_(0.03)
    x, weight, g = rand(tokens, width).bfloat16().requires_grad_(), rand(width, width).bfloat16(), \
        rand(tokens, width).bfloat16()
    down, up = rand(rank, width).requires_grad_(), rand(width, rank).requires_grad_()
    base = _Base(weight)
    forms = {"frozen layer alone": lambda: lora_linear.FrozenLayer.apply(x, base),
             "ours": lambda: lora_linear.LoraLinear.apply(x, down, up, 0.5, base),
             "host, bypass": lambda: base(x) + F.linear(F.linear(x, down.bfloat16()), up.bfloat16()) * 0.5,
             "host, its default": lambda: F.linear(x, (weight + 0.5 * (up @ down)).to(weight.dtype))}
    runs = {name: (lambda form=form: form().backward(g)) for name, form in forms.items()}
    found = interleaved(runs, setting)
    frozen, work = found["frozen layer alone"], 4 * tokens * width ** 2
    return {"title": f"LoRA linear {width} wide, {tokens} tokens, rank {rank}, bf16, forward and backward",
            "rows": {name: {"seconds": value, "over_frozen": value / frozen,
                            "share_of_matrix_rate": work / value / rate} for name, value in found.items()},
            "targets": [target("LoRA linear: time over the frozen layer", found["ours"] / frozen, 1.10, at_most=True)]}


class _Base:
    keeps_input = False

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, x):
        return F.linear(x, self.weight)

    def input_gradient(self, g, x, shape):
        return g @ self.weight


def statistics(setting: Setting) -> dict:
    """All statistics of one picture of a megapixel."""
    side = 48 if setting.toy else 1024
    rgb = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8, device=setting.device)
    rgb = F.avg_pool2d(rgb.float(), 5, 1, 2).round().byte()
    forms = {"separate torch operations": lambda: eager_statistics(rgb),
             "torch": lambda: image_statistics(rgb, backend="torch")}
    if not dispatch.why_no_triton(setting.device):
        forms["triton"] = lambda: image_statistics(rgb, backend="triton")
    found = interleaved(forms, setting)
    eager, best = found["separate torch operations"], found.get("triton", found["torch"])
    return {"title": f"statistics of a picture of {side} x {side}",
            "rows": {name: {"seconds": value, "over_separate": eager / value} for name, value in found.items()},
            "targets": [target("statistics: speed over separate torch operations", eager / best, 15)],
            "triton_over_torch": found["torch"] / found["triton"] if "triton" in found else None}


def optimizer(setting: Setting) -> dict:
    """A step over the parameters of a LoRA of rank 16 on Flux: clip, AdamW, zero."""
    number, rank = (4, 2) if setting.toy else (304, 16)
    pair = {"down": (rank, 3072), "up": (3072, rank)}
    shapes = {f"{layer}.{name}": shape for layer in range(number) for name, shape in pair.items()}
    flat = flat_optimizer.FlatBuffer(shapes, setting.device)
    ours = flat_optimizer.FlatAdamW(flat.values)
    ours.set_rate(1e-4)
    single = [torch.nn.Parameter(p.detach().clone()) for p in flat.parameters.values()]
    for parameter in single:
        parameter.grad = torch.zeros_like(parameter)
    theirs = torch.optim.AdamW(single, lr=1e-4)

    def one_by_one():
        torch.nn.utils.clip_grad_norm_(single, 1.0)
        theirs.step()
        theirs.zero_grad(set_to_none=False)

    contenders = {"torch, parameter by parameter": one_by_one, "ours, one buffer": lambda: ours.step(1.0)}
    if setting.device.type == "cuda":
        zero = torch.zeros((), device=setting.device)
        contenders["ours, captured"] = _captured(ours, zero)
    found = interleaved(contenders, setting)
    base = found["torch, parameter by parameter"]
    return {"title": f"optimiser step over {len(shapes)} parameters, {flat.values.numel() / 1e6:.1f} M",
            "rows": {name: {"seconds": value, "over_torch": base / value} for name, value in found.items()},
            "targets": []}


def _captured(ours, zero):
    replay = flat_optimizer.captured(lambda _: ours.step(1.0), [zero], ours.state())
    return lambda: replay(zero)


def training(setting: Setting, tests, missing: list[str]) -> dict:
    """A step of our Train LoRA against the host's node, on an SD3 of random weights (tests/benchmarks)."""
    if missing:
        raise ImportError(f"the host's nodes need {', '.join(missing)}")
    bench, pack = _training_benchmark(tests)
    shape = bench.Shape(2, 16, 3) if setting.toy else bench.Shape(12, 64, 8)
    rows, targets = {}, []
    with tempfile.TemporaryDirectory() as folder:
        import folder_paths
        folder_paths.set_output_directory(folder)
        for batch in (1, 4):
            for name, run in bench.contenders(pack, shape, batch).items():
                if name != "frozen model":  # it is measured where its weights lie, which is the CPU
                    rows[f"{name}, batch {batch}"] = _step(run, setting)
    for asked, name in ((1.25, "host, fp32, no checkpointing, batch 1"), (3.0, "host, fp32, no checkpointing, batch 4"),
                        (2.0, "host, its defaults (bf16, checkpointing), batch 1")):
        ours = rows[f"{bench.OURS}, batch {name[-1]}"]
        targets.append(target(f"training step: speed over the {name}", rows[name]["seconds"] / ours["seconds"], asked))
        if ours["peak_bytes"]:
            share = ours["peak_bytes"] / rows[name]["peak_bytes"]
            targets.append(target(f"training step: peak memory over the {name}", share, 0.7, at_most=True))
    return {"title": f"training step, SD3 of depth {shape.depth}, latents {shape.side} x {shape.side}",
            "rows": rows, "targets": targets}


def _training_benchmark(tests):
    """tests/benchmarks/bench_training.py and the pack as the host loads it."""
    sys.path[:0] = [str(tests), str(tests / "benchmarks"), str(tests / "training")]
    import bench_training
    import real_host
    pack = real_host.load_pack()
    importlib.import_module(f"{pack.__name__}.nodes.training.training_run")
    return bench_training, pack


def _step(run, setting: Setting) -> dict:
    """The faster of two runs, because each makes a model of its own and there is no time for more."""
    seconds = [run()]
    peak = peak_bytes(lambda: seconds.append(run()), setting.device)
    return {"seconds": min(seconds), "peak_bytes": peak}


def geometric_mean(values) -> float | None:
    values = [value for value in values if value]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None
