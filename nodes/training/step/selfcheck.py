"""A micro step before the run: is the model unchanged, are the gradients right, does every adapter get one?"""
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import comfy.model_management
import torch

from ...shared.full_memory import is_memory_full
from ...shared.host_version import version_of_host
from ...shared.text_syntax import shorten
from ..adapters import Adapters, attached, checkpointed
from ..data.dataset import START, START_MASK, Sample
from ..model.differentiable import DifferentiableHost, operation_without_gradient, private_copies, training_mode
from ..model.layers import repeated_blocks
from .denoiser import Denoiser
from .gradient import backward
from .loss import Objective

UNFIT = (RuntimeError, AssertionError, AttributeError, IndexError, KeyError, TypeError)    # of inputs of other shapes
MICRO_SIDE, MICRO_FRAMES = 64, 2
GRADIENT_TOLERANCE = 0.02
FORWARD_TOLERANCE = {True: 1e-3, False: 0.05}  # by whether the model computes in fp32


class SelfCheck(NamedTuple):
    """checkpoint: whether the run must recompute its blocks; rewrites: whether it needs DifferentiableHost. Errors are
    relative; saved_bytes is for one sample."""
    checkpoint: bool
    rewrites: bool
    adapters: int
    reached: int
    forward_error: float
    gradient_error: float
    saved_bytes: float
    unreached: tuple[str, ...] = ()
    """Layers whose adapters receive no gradient."""

    def sentence(self) -> str:
        others = "" if self.reached == self.adapters else " (nor do the others in the reference)"
        return (f"{self.reached} of {self.adapters} adapters receive a gradient{others}; it differs from a plain "
                f"reference by {self.gradient_error:.1e}, and untrained adapters change the model by "
                f"{self.forward_error:.1e}.")


def self_check(patcher, denoiser: Denoiser, objective: Objective, adapters: Adapters, sample: Sample,
               batch_size: int, seed: int, beside: Callable = nullcontext,
               of: tuple[str, str] = ("dataset", "that model's VAE and text encoder to Training Set")) -> SelfCheck:
    """Compares a step on a small crop of `sample` with a reference that no in-place code can disturb, and decides
    whether activations of a whole batch fit half of the free memory. beside: makes the context of what else is on while
    training. of: the input that `sample` comes from, and what belongs there.

    Raises ValueError where the model does not take the sample, and RuntimeError where it cannot be trained correctly.
    """
    with _fitting(denoiser, sample, *of):
        probe = _Probe(patcher, denoiser, objective, adapters, sample, seed, beside)
        untouched = probe.inference()
    try:
        reference, saved = probe.reference()
    except RuntimeError as error:
        if name := operation_without_gradient(error):
            raise RuntimeError(f"model: {type(denoiser.model).__name__} uses the fused operation {name}, which has no "
                               f"gradient in ComfyUI {version_of_host()}, so it cannot be trained.") from None
        raise
    saved *= sample.latent.numel() / probe.micro.latent.numel()
    checkpoint = saved * batch_size > comfy.model_management.get_free_memory(denoiser.device) / 2
    gradient = None if checkpoint else probe.gradient(checkpoint=False)
    if gradient is None:
        checkpoint, gradient = True, probe.gradient(checkpoint=True)
    result = SelfCheck(
        checkpoint=checkpoint,
        rewrites=checkpoint or probe.rewrites,
        adapters=len(adapters.layers),
        reached=sum(bool(part.any()) for part in gradient.values()),
        forward_error=relative_error(probe.trained_forward(), untouched).item(),
        gradient_error=_worst_layer(gradient, reference),
        saved_bytes=saved,
        unreached=tuple(name for name, part in gradient.items() if not part.any()))
    _judge(result, denoiser.model.get_dtype_inference())
    return result


def check_prompts(denoiser: Denoiser, objective: Objective, sample: Sample, prompts: list) -> None:
    """Asks the model once about each sample prompt, on a small crop of `sample`: before the training and not in it.

    prompts: CONDITIONING. Raises ValueError for one that the model does not take."""
    sigma = objective.levels.sigmas(torch.tensor([0.5])).to(denoiser.device)
    for caption, options in prompts:
        prompt = Sample(_crop(sample.latent), caption, options)
        with torch.no_grad(), _fitting(denoiser, prompt, "sample_prompts", "the text encoder of that model"):
            micro = denoiser.encode(prompt)
            denoiser(micro.latent.to(denoiser.device), sigma, [micro.conds])


@contextmanager
def _fitting(denoiser, sample, name, what):
    """Names the input where the model's code does not take a latent or a caption. what: should be connected."""
    try:
        yield
    except UNFIT as error:
        if is_memory_full(error):
            raise
        model, said = denoiser.model, shorten(str(error).partition("\n")[0], 200)
        raise ValueError(f"{name}: expected {_expected(model, sample)}: connect {what}. The model's code says: "
                         f"{said or type(error).__name__}.") from error


def _expected(model, sample):
    """What is most likely wrong with a sample, as `... as MODEL takes, got ...`."""
    of, shape, takes = type(model).__name__, tuple(sample.latent.shape), model.latent_format
    if shape[1] != takes.latent_channels:
        return f"latents of {takes.latent_channels} channels, as {of} takes, got {shape[1]}"
    if len(shape) == 5 and takes.latent_dimensions == 2:
        return f"latents of single pictures, as {of} takes, got {list(shape)}, as a VAE of videos gives"
    caption = "none" if sample.caption is None else f"{list(sample.caption.shape)}"
    return f"captions of the text encoder of {of}, got {caption} on a latent of {list(shape)}"


def answer(patcher, denoiser: Denoiser, objective: Objective, adapters: Adapters, sample: Sample,
           seed: int, beside=nullcontext) -> torch.Tensor:
    """What the model without its adapters makes of a small crop of `sample` under noise of that seed: tells models
    apart that call themselves alike. Draws noise levels from the objective."""
    return _Probe(patcher, denoiser, objective, adapters, sample, seed, beside).inference()


def _judge(result, dtype):
    if result.reached == 0:
        raise RuntimeError(f"model: none of its {result.adapters} adapted layers receives a gradient, "
                           "so it cannot be trained.")
    if not result.gradient_error <= GRADIENT_TOLERANCE:
        raise RuntimeError(f"model: its gradients differ from a plain reference by {result.gradient_error:.2g} "
                           f"(at most {GRADIENT_TOLERANCE} is accepted), so training it would go wrong.")
    tolerance = FORWARD_TOLERANCE[dtype == torch.float32]
    if not result.forward_error <= tolerance:
        raise RuntimeError(f"model: its output changes by {result.forward_error:.2g} under untrained adapters "
                           f"(at most {tolerance} is accepted), so training it would go wrong.")


class _Probe:
    def __init__(self, patcher, denoiser, objective, adapters, sample, seed, beside):
        self.beside = beside
        self.patcher, self.denoiser, self.objective, self.adapters = patcher, denoiser, objective, adapters
        self.network = denoiser.model.diffusion_model
        generator = torch.Generator().manual_seed(seed)
        options = {key: _crop(value) if key in (START, START_MASK) else value for key, value in sample.options.items()}
        self.micro = denoiser.encode(sample._replace(latent=_crop(sample.latent), before=None, options=options))
        self.noise = torch.randn(self.micro.latent.shape, generator=generator)
        self.sigma = objective.draw_sigmas(1, generator)

    def inference(self):
        """The model as it samples, without adapters."""
        with torch.no_grad(), self.beside():
            return self._denoised(self.micro)

    def trained_forward(self):
        with self._training(), DifferentiableHost():
            return self._denoised(self.denoiser.fresh(self.micro)).detach()

    def reference(self):
        """Gradient with private copies of all that autograd saves, and the bytes it saved."""
        with self._training(), DifferentiableHost(residuals=False), private_copies() as saved:
            self._backward()
        return self._take(), saved.bytes

    def gradient(self, checkpoint: bool):
        """Gradient as the run will compute it; None when in-place code forbids running without checkpoints."""
        blocks = [block for _, block in repeated_blocks(self.network)]
        try:
            with self._training(), DifferentiableHost() as mode, checkpointed(blocks) if checkpoint else nullcontext():
                self._backward()
            self.rewrites = mode.has_acted
        except RuntimeError as error:
            if checkpoint or "inplace operation" not in str(error):
                raise
            self.adapters.flat.grad.zero_()
            return None
        return self._take()

    @contextmanager
    def _training(self):
        with training_mode(self.patcher), attached(
                self.network, self.adapters, self.denoiser.device, self.denoiser.encoders), self.beside():
            yield

    def _denoised(self, sample):
        noisy = self.objective.add_noise(self.micro.latent, self.noise, self.sigma)
        device = self.denoiser.device
        return self.denoiser(noisy.to(device), self.sigma.to(device), [sample.conds])

    def _backward(self):
        backward(self.denoiser, self.objective, [self.denoiser.fresh(self.micro)], [self.noise], self.sigma)

    def _take(self):
        gradient = self.adapters.gradients()
        self.adapters.flat.grad.zero_()
        return gradient


def _crop(latent):
    if latent.ndim < 4:
        return latent
    if latent.ndim == 5:
        latent = latent[:, :, :MICRO_FRAMES]
    return latent[..., :MICRO_SIDE, :MICRO_SIDE]


def relative_error(value, reference):
    return (value - reference).norm() / reference.norm().clamp(min=1e-12)


def _worst_layer(gradient, reference):
    """Largest relative error of a layer; layers with next to no gradient are measured against the largest one."""
    norms = torch.stack([part.norm() for part in reference.values()])
    errors = torch.stack([(gradient[name] - part).norm() for name, part in reference.items()])
    return (errors / norms.clamp(min=float(norms.max()) * 1e-3 + 1e-30)).max().item()
