"""The kernels on the CPU: merging against the host's patching, the LoRA linear, the statistics of a picture.

Merging: four LoRAs of rank 32 in float16 on one block's worth of float16 layers of SDXL and of Flux, through the host's
ModelPatcher both times. LoRA linear: forward and backward. Statistics: against each as torch operations of its own.
"""
import importlib
import subprocess
import sys
from pathlib import Path

import timing

ROUNDS = 7
LORAS, RANK = 4, 32
WIDTH, TOKENS, LINEAR_RANK = 1024, 2048, 16
SIDE = 1024
HOST, OURS = "host", "ours"


def main():
    parser = timing.parser(__doc__, ROUNDS)
    parser.add_argument("--peak", nargs=2, help="for itself: prints the peak memory of one contender on one model")
    options = parser.parse_args()
    pack = timing.start_host("lora")
    if options.peak:
        return print(peak(pack, *options.peak))
    rows = [row for name in ("SDXL", "Flux") for row in merging(pack, name, options.rounds)]
    timing.publish(
        "kernels", "Kernels on the CPU",
        f"Merging {LORAS} LoRAs of rank {RANK} through the host's ModelPatcher: milliseconds, median of "
        f"{options.rounds} interleaved runs; speed: to the host's own adapters, within a round; error: root mean "
        "square against float64, in that of rounding the exact sum; extra: peak memory beyond model and LoRAs.",
        timing.table(["layers", "adapters", "ms", "speed", "error", "extra MB"], rows),
        f"A linear {WIDTH} wide with a LoRA of rank {LINEAR_RANK}, {TOKENS} tokens, float32, forward and backward; "
        "time: to the frozen layer alone, within a round.",
        timing.table(["contender", "ms", "time"], linear(pack, options.rounds)),
        f"Statistics of one picture of {SIDE} x {SIDE}; speed: to separate torch operations, within a round.",
        timing.table(["contender", "ms", "speed"], statistics(pack, options.rounds)))


def merging(pack, name, rounds):
    made = patchers(pack, name)
    seconds = timing.interleave({which: lambda p=p: patch(p) for which, p in made.items()}, rounds)
    errors = {which: error(made[which], made[HOST]) for which in made}
    return [(f"{name} block", which, timing.milliseconds(seconds[which]),
             f"{timing.ratio(seconds[HOST], seconds[which]):.2f}x", f"{errors[which]:.3f}",
             f"{extra_memory(which, name):.0f}") for which in made]


def patchers(pack, name):
    """{contender: ModelPatcher} over the same layers with the same LoRAs."""
    import comfy.model_patcher
    import torch
    layers = importlib.import_module(f"{pack.__name__}.kernels.benchmarks.layers")
    stack = importlib.import_module(f"{pack.__name__}.nodes.lora.patches.rank_stack")
    generator = torch.Generator().manual_seed(0)
    shapes = layers.each(layers.SDXL_BLOCK if name == "SDXL" else layers.FLUX_BLOCK)
    model = torch.nn.ModuleList(torch.nn.Linear(k, n, bias=False, dtype=torch.half) for n, k in shapes)
    model.requires_grad_(False)
    for layer in model:
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator).mul_(0.03))
    loras = {f"{index}.weight": [lora(shape, generator) for _ in range(LORAS)] for index, shape in enumerate(shapes)}
    cpu = torch.device("cpu")
    made = {which: comfy.model_patcher.ModelPatcher(model, cpu, cpu) for which in (HOST, OURS)}
    for key, adapters in loras.items():
        made[OURS].add_patches({key: stack.combine([(adapter, 0.8) for adapter in adapters])}, 1.0)
        for adapter in adapters:
            made[HOST].add_patches({key: adapter}, 0.8)
    return made


def lora(shape, generator):
    import torch
    from comfy.weight_adapter import LoRAAdapter
    up = torch.randn(shape[0], RANK, generator=generator).mul_(0.02).half()
    down = torch.randn(RANK, shape[1], generator=generator).mul_(0.02).half()
    return LoRAAdapter(set(), (up, down, float(RANK), None, None, None))


def patch(patcher):
    seconds = timing.timed(patcher.patch_model)()
    patcher.unpatch_model()
    return seconds


def error(patcher, host):
    """Of the smallest layer: root mean square of the difference to float64 over that of the exact sum rounded."""
    key = min(host.patches, key=lambda key: host.model.state_dict()[key].numel())
    exact = host.model.state_dict()[key].double()
    for strength, adapter, *_ in host.patches[key]:
        exact = exact + strength * adapter.weights[0].double() @ adapter.weights[1].double()
    patcher.patch_model()
    found = patcher.model.state_dict()[key].double()
    patcher.unpatch_model()
    return float((found - exact).square().mean().sqrt() / (exact.half().double() - exact).square().mean().sqrt())


def extra_memory(which, name):
    """Megabytes, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--peak", which, name], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def peak(pack, which, name):
    patcher = patchers(pack, name)[which]
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak of making the model
    before = resident("VmRSS")
    patcher.patch_model()
    return (resident("VmHWM") - before) / 1024


def resident(name):
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))


def linear(pack, rounds):
    import torch
    import torch.nn.functional as F
    kernels = importlib.import_module(f"{pack.__name__}.kernels.lora_linear")
    rand = lambda *shape: torch.randn(*shape, generator=torch.Generator().manual_seed(0)).mul_(0.03)
    x, weight, g = rand(TOKENS, WIDTH).requires_grad_(), rand(WIDTH, WIDTH), rand(TOKENS, WIDTH)
    down, up = rand(LINEAR_RANK, WIDTH).requires_grad_(), rand(WIDTH, LINEAR_RANK).requires_grad_()

    class Base:
        keeps_input = False

        def __call__(self, x):
            return F.linear(x, weight)

        def input_gradient(self, g, x, shape):
            return g @ weight

    forms = {"frozen layer alone": lambda: kernels.FrozenLayer.apply(x, Base()),
             "ours": lambda: kernels.LoraLinear.apply(x, down, up, 0.5, Base()),
             "host, bypass": lambda: F.linear(x, weight) + F.linear(F.linear(x, down), up) * 0.5,
             "host, its default": lambda: F.linear(x, weight + 0.5 * (up @ down))}
    seconds = timing.interleave({name: timing.timed(lambda f=f: f().backward(g)) for name, f in forms.items()}, rounds)
    base = seconds["frozen layer alone"]
    return [(name, timing.milliseconds(s), f"{timing.ratio(s, base):.2f}") for name, s in seconds.items()]


def statistics(pack, rounds):
    import torch
    module = importlib.import_module(f"{pack.__name__}.kernels.image_statistics")
    eager_statistics = importlib.import_module(f"{pack.__name__}.kernels.benchmarks.eager_statistics").eager_statistics
    rgb = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 4 - 1.5
    rgb = (torch.nn.functional.avg_pool2d(rgb, 9, 1, 4) * 2).clamp(0, 1).mul(255).round().byte()
    forms = {"separate torch operations": lambda: eager_statistics(rgb), "ours": lambda: module.image_statistics(rgb)}
    seconds = timing.interleave({name: timing.timed(form) for name, form in forms.items()}, rounds)
    base = seconds["separate torch operations"]
    return [(name, timing.milliseconds(s), f"{timing.ratio(base, s):.2f}x") for name, s in seconds.items()]


if __name__ == "__main__":
    main()
