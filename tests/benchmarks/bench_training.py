"""A training step: our Train LoRA against the host's TrainLoraNode and against the frozen model alone.

The shape is the starter's: SD3 of depth 3 (hidden size 192), latents of 16 x 16, captions of 77 tokens 4096 wide; fp32
weights, rank 8. A step is everything between two reports of progress: batch, noise, loss, gradient, optimizer.
"""
import tempfile
import time

import timing

ROUNDS = 5
STEPS = 12
PICTURES = 12
RANK = 8
TEXT, POOLED = 4096, 2048
HOST_DEFAULTS = dict(grad_accumulation_steps=1, optimizer="AdamW", loss_function="MSE", training_dtype="bf16",
                     lora_dtype="bf16", quantized_backward=False, algorithm="LoRA", gradient_checkpointing=True,
                     checkpoint_depth=1, offloading=False, existing_lora="[None]", bucket_mode=False, bypass_mode=False)
HOST_LIKE_OURS = dict(training_dtype="fp32", lora_dtype="fp32", gradient_checkpointing=False)
OURS = "ours"


def main():
    options = timing.parser(__doc__, ROUNDS).parse_args()
    pack = timing.start_host("training")
    rows = [row for batch in (1, 4) for row in compare(pack, batch, options.rounds)]
    timing.publish(
        "training", "A training step",
        f"SD3 of depth 3, latents 16 x 16, captions 77 x {TEXT}, rank {RANK}: milliseconds a step, median of "
        f"{options.rounds} interleaved runs of {STEPS} steps. Ratio: to ours, within a round; above 1 is slower.",
        timing.table(["contender", "batch", "ms a step", "ratio"], rows),
        "The host's node runs every picture of a batch with every caption of the batch, 16 rows for a batch of 4, "
        'where ours runs 4. "Frozen model" is its forward and the gradient of its input, without adapters, loss or '
        "optimizer.")


def compare(pack, batch, rounds):
    with tempfile.TemporaryDirectory() as folder:
        import folder_paths
        folder_paths.set_output_directory(folder)
        seconds = timing.interleave(contenders(pack, batch), rounds)
    return [(name, str(batch), timing.milliseconds(values), f"{timing.ratio(values, seconds[OURS]):.2f}")
            for name, values in seconds.items()]


def contenders(pack, batch):
    latents, captions = data()
    return {OURS: lambda: ours(pack, latents, captions, batch),
            "host, fp32, no checkpointing": lambda: host(latents, captions, batch, **HOST_LIKE_OURS),
            "host, its defaults (bf16, checkpointing)": lambda: host(latents, captions, batch),
            "frozen model": lambda: frozen(latents, captions, batch)}


def data():
    import training_models
    latents = training_models.latents(PICTURES, size=16)
    return latents, [training_models.caption(i, 77, TEXT, POOLED) for i in range(PICTURES)]


def model(disable_dynamic=True):
    """The starter's shape with random weights; the host's clone passes the argument, which a CPU has no use for."""
    import training_models
    return training_models.tiny_sd3(3, text=TEXT, pooled=POOLED)


def ours(pack, latents, captions, batch):
    training = pack.nodes.training
    dataset = training.dataset.from_core_nodes([{"samples": latents}], captions)
    settings = training.settings.Settings(STEPS, batch, 1e-3, RANK, 0)
    network = model()
    with StepClock() as clock:
        training.run.train(network, dataset, settings, "benchmark", training.progress.Progress(STEPS, "1"))
    return clock.seconds_a_step()


def host(latents, captions, batch, **options):
    from comfy_extras.nodes_train import TrainLoraNode
    network = model()
    network.cached_patcher_init = (model, ())  # it trains on a second copy, which its loaders know how to make
    inputs = {"batch_size": batch, "steps": STEPS, "learning_rate": 1e-3, "rank": RANK, "seed": 0,
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


def frozen(latents, captions, batch):
    """Seconds of one forward of the model and the gradient of its input, averaged over as many as there are steps."""
    import torch
    network = model().model.diffusion_model.requires_grad_(False)
    x, times = latents[:batch], torch.full((batch,), 0.5)
    context = torch.cat([caption[0][0] for caption in captions[:batch]])
    pooled = torch.cat([caption[0][1]["pooled_output"] for caption in captions[:batch]])
    pass_through(network, x, times, context, pooled)
    return timing.timed(lambda: [pass_through(network, x, times, context, pooled) for _ in range(STEPS)])() / STEPS


def pass_through(network, x, times, context, pooled):
    x = x.clone().requires_grad_(True)
    network(x, times, context=context, y=pooled).sum().backward()


if __name__ == "__main__":
    main()
