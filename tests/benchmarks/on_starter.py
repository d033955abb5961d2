"""What the benchmarks share that draw or train with the starter."""
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import timing
from drawn_by import Flat


class OnStarter:
    """The flat starter, or with `drawn_by` the painter, behind the host's loaders, and the modules of the pack."""

    def __init__(self, pack, folder, sampling_steps: int | None = None, drawn_by: type[Flat] = Flat):
        self.pack, self.starter = pack, drawn_by(folder / "models", sampling_steps)
        self.part = partial(timing.part, pack)

    def latents(self, pictures):
        """Latents of pictures [B, 3, H, W]."""
        import torch

        import nodes
        with torch.inference_mode():
            return nodes.VAEEncode().encode(self.starter.vae, pictures.movedim(1, -1))[0]["samples"]

    def dataset(self, latents, captions: list):
        return self.part("training.data.dataset").from_core_nodes([{"samples": latents}], captions)

    def train(self, dataset, *settings, name: str = "bench", progress=None, **more):
        """What Train LoRA makes of a data set; settings: those of plan.settings.Settings."""
        import torch
        asked = self.part("training.plan.settings").Settings(*settings)
        progress = progress or self.part("training.monitoring.progress").Progress(asked.steps, "1")
        with torch.inference_mode():
            return self.part("training.training_run").train(self.starter.model, dataset, asked, name, progress, **more)


@contextmanager
def opened(kind: type[OnStarter], *arguments) -> Iterator[OnStarter]:
    """One of a kind, made of the arguments, with an output folder that goes away."""
    pack = timing.start_host("training", "lora", "../starter")
    import comfy.utils
    comfy.utils.PROGRESS_BAR_ENABLED = False        # the host's second bar, on the terminal
    with timing.output_folder() as folder:
        yield kind(pack, folder, *arguments)
