"""A small model with adapters, and the gradient and the slope of its loss."""
from contextlib import nullcontext

import torch
from training_models import FAMILIES, MORE_FAMILIES, build, samples


class Setup:
    """A family's model with adapters of rank 2 whose `up` is not zero, and a fixed batch, noise and noise level."""

    def __init__(self, pack, name, batch, dtype=torch.float32, algorithm="LoRA"):
        t = pack.nodes.training
        family = {**FAMILIES, **MORE_FAMILIES}[name]
        self.t, self.patcher = t, build(family, dtype=dtype)
        self.objective = t.step.loss.Objective(self.patcher.model.model_sampling)
        self.denoiser = t.step.denoiser.Denoiser(self.patcher, guidance=1.0)
        self.network = self.patcher.model.diffusion_model
        generator = torch.Generator().manual_seed(5)
        shape = t.adapters.LoraShape(algorithm, rank=2)
        self.adapters = t.adapters.build(shape, self.patcher.model, "cpu", generator)
        self.adapters.flat.normal_(std=0.1, generator=generator)
        self.batch = [self.denoiser.encode(sample) for sample in samples(pack, family, batch)]
        self.noise = [torch.randn(s.latent.shape, generator=generator) for s in self.batch]
        self.sigma = self.objective.draw_sigmas(batch, generator)

    def gradient(self, checkpoint, rewrites=True):
        t = self.t
        blocks = [block for _, block in t.model.layers.repeated_blocks(self.network)] if checkpoint else []
        self.adapters.flat.grad.zero_()
        mode = t.model.differentiable.DifferentiableHost() if rewrites else nullcontext()
        with t.model.differentiable.training_mode(self.patcher), mode, \
                t.adapters.attached(self.network, self.adapters, torch.device("cpu")), \
                t.adapters.checkpointed(blocks):
            loss = t.step.gradient.backward(self.denoiser, self.objective, self.batch, self.noise, self.sigma)
        self.rewritten = rewrites and mode.has_acted
        return loss.item(), self.adapters.flat.grad.clone()

    def losses(self, rows):
        """Losses of single samples, one forward each, without any of the training modes."""
        t = self.t
        with torch.no_grad(), t.adapters.attached(self.network, self.adapters, torch.device("cpu")):
            return [t.step.gradient.sample_losses(self.denoiser, self.objective, [self.batch[i]], [self.noise[i]],
                                                  self.sigma[[i]]).item() for i in rows]

    def slope(self, direction, step=1e-2):
        """Central difference of the batch's mean loss along a unit direction in adapter space."""
        start, values = self.adapters.flat.clone(), []
        for sign in (1, -1):
            self.adapters.flat.copy_(start + sign * step * direction)
            values.append(sum(self.losses(range(len(self.batch)))) / len(self.batch))
        self.adapters.flat.copy_(start)
        return (values[0] - values[1]) / (2 * step)
