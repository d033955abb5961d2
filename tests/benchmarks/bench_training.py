"""A training step: our Train LoRA against the host's TrainLoraNode and against the frozen model alone.

Two shapes: the starter's, SD3 of depth 3 (hidden size 192) with latents of 16 x 16, and SD3 of depth 8 (hidden size
512) with latents of 32 x 32; captions of 77 tokens 4096 wide, fp32 weights, rank 8. A step is everything between two
reports of progress: batch, noise, loss, gradient, optimizer. Peak memory is that of a process of its own, above the
loaded models and data.
"""
import json
import os
import subprocess
import sys
import time
from typing import NamedTuple

import timing

ROUNDS = 3
PICTURES = 12
RANK = 8
TEXT, POOLED = 4096, 2048


class Shape(NamedTuple):
    """depth: of the SD3 model, whose hidden size is 64 times that; side: of the latents; steps: of a timed run."""
    depth: int
    side: int
    steps: int


STARTER, LARGER = Shape(3, 16, 8), Shape(8, 32, 2)
HOST_DEFAULTS = dict(grad_accumulation_steps=1, optimizer="AdamW", loss_function="MSE", training_dtype="bf16",
                     lora_dtype="bf16", quantized_backward=False, algorithm="LoRA", gradient_checkpointing=True,
                     checkpoint_depth=1, offloading=False, existing_lora="[None]", bucket_mode=False, bypass_mode=False)
HOST_LIKE_OURS = dict(training_dtype="fp32", lora_dtype="fp32", gradient_checkpointing=False)
OURS = "ours"


def main():
    parser = timing.parser(__doc__, ROUNDS)
    parser.add_argument("--memory", help="internal: the contender whose peak memory this process measures")
    parser.add_argument("--only", choices=("starter", "larger", "growth", "memory"), help="one part of the table")
    options = parser.parse_args()
    pack = timing.start_host("training")
    if options.memory:
        print(json.dumps(peak(pack, options.memory)))
        return
    parts = {"starter": lambda: compared(pack, STARTER, options.rounds),
             "larger": lambda: compared(pack, LARGER, max(1, options.rounds - 1)),
             "growth": lambda: growth(pack, max(1, options.rounds - 1)), "memory": memory}
    chosen = [options.only] if options.only else parts
    timing.publish(
        "training" if not options.only else f"training_{options.only}", "A training step",
        *(part for name in chosen for part in parts[name]()),
        "The host's node runs every picture of a batch with every caption of the batch, 16 rows for a batch of 4, "
        'where ours runs 4. "Frozen model" is its forward and the gradient of its input, without adapters, loss or '
        "optimizer.")


def compared(pack, shape, rounds):
    rows = [row for batch in (1, 4) for row in compare(pack, shape, batch, rounds)]
    return (f"SD3 of depth {shape.depth}, latents {shape.side} x {shape.side}, captions 77 x {TEXT}, rank {RANK}: "
            f"milliseconds a step, median of {rounds} interleaved runs of {shape.steps} steps. Ratio: to ours, within "
            "a round; above 1 is slower.",
            timing.table(["contender", "batch", "ms a step", "ratio"], rows))


def compare(pack, shape, batch, rounds):
    with timing.output_folder():
        seconds = timing.interleave(contenders(pack, shape, batch), rounds)
    return [(name, str(batch), timing.milliseconds(values), f"{timing.ratio(values, seconds[OURS]):.2f}")
            for name, values in seconds.items()]


def contenders(pack, shape, batch):
    latents, captions = data(shape)
    found = {OURS: lambda: ours(pack, shape, latents, captions, batch),
             "host, fp32, no checkpointing": lambda: host(shape, latents, captions, batch, **HOST_LIKE_OURS),
             "frozen model": lambda: frozen(shape, latents, captions, batch)}
    if shape is STARTER or batch == 1:  # 16 rows in bf16 at depth 8 take minutes a step where bf16 is emulated
        found["host, its defaults (bf16, checkpointing)"] = lambda: host(shape, latents, captions, batch)
    return found


def growth(pack, rounds):
    """Seconds a step by batch, picture tokens, steps and pictures, each as a multiple of the smallest."""
    tests = {"batch 1": (16, 1), "batch 2": (16, 2), "batch 4": (16, 4), "batch 8": (16, 8),
             "256 tokens, batch 1": (32, 1), "1024 tokens, batch 1": (64, 1), "24 steps, batch 1": (16, 1, 24),
             "48 pictures, batch 1": (16, 1, 6, 4)}

    def run(side, batch, steps=6, many=1):
        shape = Shape(3, side, steps)
        latents, captions = data(shape)
        return lambda: ours(pack, shape, latents.repeat(many, 1, 1, 1), captions * many, batch)

    with timing.output_folder():
        seconds = timing.interleave({name: run(*test) for name, test in tests.items()}, rounds)
    rows = [(name, timing.milliseconds(values), f"{timing.ratio(values, seconds['batch 1']):.2f}")
            for name, values in seconds.items()]
    return ("How the cost of our step grows, on the starter's shape (64 picture tokens and 77 of "
            "text, 12 pictures and 6 steps unless said).",
            timing.table(["what", "ms a step", "times batch 1"], rows))


MEMORY = ("ours, recomputed blocks", "ours, recomputed blocks, 48 pictures", "ours, activations kept",
          "host, its defaults", "host, fp32, no checkpointing")


def memory():
    """Peak memory of each contender, in processes of their own."""
    found = {name: child(name) for name in MEMORY}
    rows = [(name, f"{value:.0f}", f"{value / found['host, its defaults']:.2f}") for name, value in found.items()]
    return (f"Peak memory of {LARGER.steps} steps at batch 1 above the loaded models and data, SD3 of depth "
            f"{LARGER.depth}, latents {LARGER.side} x {LARGER.side}; 12 pictures unless said.",
            timing.table(["contender", "MB", "times the host's default"], rows))


def child(name):
    done = subprocess.run([sys.executable, __file__, "--memory", name], capture_output=True, text=True,
                          env=os.environ, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak(pack, name):
    """Megabytes of resident memory that a contender needs at most, above what is loaded. Linux only."""
    many = 4 if "48 pictures" in name else 1
    latents, captions = data(LARGER)
    latents, captions = latents.repeat(many, 1, 1, 1), captions * many
    network, second = model(LARGER), model(LARGER) if name.startswith("host") else None
    before = resident("VmRSS", reset=True)
    with timing.output_folder():
        if second is None:
            check = pack.nodes.training.training_run.self_check
            pack.nodes.training.training_run.self_check = lambda *a: check(*a)._replace(checkpoint="recomputed" in name)
            ours(pack, LARGER, latents, captions, 1, network)
        else:
            network.cached_patcher_init = (lambda disable_dynamic: second, ())
            host(LARGER, latents, captions, 1, network, **(HOST_LIKE_OURS if "fp32" in name else {}))
    return resident("VmHWM") - before


def resident(field, reset=False):
    """Megabytes of VmRSS (now) or VmHWM (at most since a reset)."""
    if reset:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field))


def data(shape):
    import training_models
    latents = training_models.latents(PICTURES, size=shape.side)
    return latents, [training_models.caption(i, 77, TEXT, POOLED) for i in range(PICTURES)]


def model(shape, disable_dynamic=True):
    """SD3 with random weights; the host's clone passes the argument, which a CPU has no use for."""
    import training_models
    return training_models.tiny_sd3(shape.depth, text=TEXT, pooled=POOLED)


def ours(pack, shape, latents, captions, batch, network=None):
    training = pack.nodes.training
    dataset = training.data.dataset.from_core_nodes([{"samples": latents}], captions)
    settings = training.plan.settings.Settings(shape.steps, batch, 1e-3, RANK, 0)
    network = network or model(shape)
    with StepClock() as clock:
        training.training_run.train(
            network, dataset, settings, "benchmark", training.monitoring.progress.Progress(shape.steps, "1")
        )
    return clock.seconds_a_step()


def host(shape, latents, captions, batch, network=None, **options):
    from comfy_extras.nodes_train import TrainLoraNode
    if network is None:
        network = model(shape)
        network.cached_patcher_init = (model, (shape,))  # it trains on a second copy, as its loaders can make
    inputs = {"batch_size": batch, "steps": shape.steps, "learning_rate": 1e-3, "rank": RANK, "seed": 0,
              **HOST_DEFAULTS, **options}
    with StepClock() as clock:
        TrainLoraNode.execute(model=[network], latents=[{"samples": latents}], positive=captions,
                              **{name: [value] for name, value in inputs.items()})
    return clock.seconds_a_step()


class StepClock:
    """Listens to the host's progress bar, which never leaves out the first and the last step."""

    def __enter__(self):
        import comfy.utils
        self.reports = []
        comfy.utils.PROGRESS_BAR_ENABLED = False  # the host's second bar, on the terminal
        comfy.utils.set_progress_bar_global_hook(self._report)
        return self

    def __exit__(self, *error):
        import comfy.utils
        comfy.utils.set_progress_bar_global_hook(None)

    def _report(self, step, total, preview, node_id):
        self.reports.append((step, time.perf_counter()))

    def seconds_a_step(self):
        (first, begun), (last, ended) = self.reports[0], self.reports[-1]
        return (ended - begun) / (last - first)


def frozen(shape, latents, captions, batch):
    """Seconds of one forward of the model and the gradient of its input, averaged over as many as there are steps."""
    import torch
    network = model(shape).model.diffusion_model.requires_grad_(False)
    x, times = latents[:batch], torch.full((batch,), 0.5)
    context = torch.cat([caption[0][0] for caption in captions[:batch]])
    pooled = torch.cat([caption[0][1]["pooled_output"] for caption in captions[:batch]])
    pass_through(network, x, times, context, pooled)
    runs = timing.timed(lambda: [pass_through(network, x, times, context, pooled) for _ in range(shape.steps)])
    return runs() / shape.steps


def pass_through(network, x, times, context, pooled):
    x = x.clone().requires_grad_(True)
    network(x, times, context=context, y=pooled).sum().backward()


if __name__ == "__main__":
    main()
