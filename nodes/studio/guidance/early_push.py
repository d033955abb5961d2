"""Early pushes: the noisy latent that a sampler holds is pushed up the gradient of a reward through the model itself.

A move of the predicted clean latent changes pixels; what stands where is settled earlier, in the noise. The gradient of
the reward of the predicted clean picture with respect to the noisy latent (Chung et al. 2023, arXiv:2209.14687; Bansal
et al. 2023, arXiv:2302.07121) points to what the model itself would still change.
"""
import logging
import weakref
from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import NamedTuple

import comfy.model_management
import comfy.model_patcher
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...shared.full_memory import is_memory_full
from ...shared.host_capabilities import require
from ...training.adapters import attached, checkpointed
from ...training.model.differentiable import (
    DifferentiableHost,
    attend_with_sdpa,
    gradients_wanted,
    private_copies,
)
from ...training.model.layers import repeated_blocks
from ...training.step.selfcheck import GRADIENT_TOLERANCE, relative_error
from ..gradient.latent_decoder import Decoder
from ..gradient.reward import Reward
from .reward_gradient import norm, per_picture, reward_slope
from .sampler_position import lies_between

KEY = "bottega_push"
NO_ADAPTERS = SimpleNamespace(layers={})
NOT_CHECKED = ("push: the gradient of this model is not compared with a plain reference, because memory is too short "
               "to compute it twice; the push uses it as it is.")
NOT_UNDER = "Under a noise mask, as for inpainting, and with the samplers lcm and sa_solver no push is made."
_checked = weakref.WeakSet()     # networks whose gradient was found right


class Push(NamedTuple):
    """One reward's part: the length of a push as a share of the noisy latent's norm, while sigma lies between `last`
    and `first`."""
    reward: Reward
    decoder: Decoder
    share: float
    first: float
    last: float

    def slope(self, clean: Tensor) -> Tensor:
        """The gradient at a predicted clean latent, each picture's of root mean square 1: only its direction counts,
        and small numbers would vanish in float16."""
        slope = reward_slope(self.reward, self.decoder, clean).slope
        size = norm(slope) / slope[0].numel() ** 0.5
        return (slope / per_picture(size.clamp(min=torch.finfo(slope.dtype).tiny), slope)).to(clean.dtype)


class Pushes(NamedTuple):
    """A wrapper of the host around the prediction of a step, without a state of its own. All that push one model share
    its pass."""
    parts: tuple[Push, ...]

    def __call__(self, executor, noisy: Tensor, timestep: Tensor, model_options=None, seed=None):
        due = [part for part in self.parts
               if lies_between(timestep, part.last, part.first, model_options, with_low=False)]
        wanted = ((model_options or {}).get("transformer_options") or {}).get(KEY, True)
        if not due or not wanted:
            return executor(noisy, timestep, model_options, seed)
        comfy.model_management.throw_exception_if_processing_interrupted()

        def predict(own):
            return executor(own, timestep.clone(), _options(model_options), seed)

        clean, directions = predict_with_gradients(predict, noisy, due, executor.class_obj.model_patcher)
        # The sampler goes on from this very tensor (if not, see _without_what_is_forgotten): it has no other door for a
        # change of what it holds.
        noisy.copy_(moved_along(noisy, directions, [part.share for part in due]))
        return clean


def _without_what_is_forgotten(executor, guider, sigmas, extra_args, callback, noise, latent_image=None,
                               denoise_mask=None, *rest):
    """A wrapper of the host around a sampler: no pushes where it would not go on from what is pushed. Under a mask the
    host shows the model a mixture made anew, lcm goes on from the prediction alone, and sa_solver from what it held
    before."""
    function = getattr(getattr(executor.class_obj, "sampler_function", None), "__name__", "")
    if denoise_mask is not None or function == "sample_sa_solver" or function.startswith("sample_lcm"):
        logging.warning("push: %s", NOT_UNDER)
        extra_args["model_options"].setdefault("transformer_options", {})[KEY] = False
    return executor(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, *rest)


def moved_along(noisy: Tensor, directions: list[Tensor], shares: list[float]) -> Tensor:
    """Noisy latents [B, C, ...] moved along each of `directions` by its share of their norm, which stays as it was."""
    length, moved = norm(noisy), noisy.float()
    for direction, share in zip(directions, shares, strict=True):
        size = norm(direction)
        factor = torch.where(size > 0, share * length / size, 0).nan_to_num(0, 0, 0)
        moved = moved + direction * per_picture(factor, direction)
    return (moved * per_picture(length / norm(moved).clamp(min=1e-12), moved)).to(noisy.dtype)


def predict_with_gradients(predict, noisy: Tensor, parts: list[Push], patcher) -> tuple[Tensor, list[Tensor]]:
    """(the predicted clean latents, the gradient of each part's reward at `noisy`), float32.

    Where the activations do not fit, the blocks are run again in the backward. Raises ValueError with one sentence
    where no gradient passes.
    """
    try:
        found = _predict_with_gradients(predict, noisy, parts, patcher)
        _check_once(found[1], predict, noisy, parts, patcher)
        return found
    except Exception as error:
        if not (is_memory_full(error) or "inplace operation" in str(error)):
            raise
    # Only now has the error let go of the tensors of the first try.
    comfy.model_management.soft_empty_cache()
    found = _predict_with_gradients(predict, noisy, parts, patcher, repeated_blocks(patcher.model.diffusion_model))
    _check_once(found[1], predict, noisy, parts, patcher)
    return found


def _check_once(directions, predict, noisy, parts, patcher) -> None:
    """Compares with a reference that no in-place code can disturb, at a model's first push; where that does not fit
    into memory, the log says that it is not checked. Raises ValueError where they differ."""
    network = patcher.model.diffusion_model
    if network in _checked:
        return
    try:
        reference = _predict_with_gradients(predict, noisy, parts, patcher, reference=True)[1]
    except Exception as error:
        if not is_memory_full(error):
            raise
        logging.warning(NOT_CHECKED)
        reference = directions
    error = max(float(relative_error(got, right)) for got, right in zip(directions, reference, strict=True))
    if not error <= GRADIENT_TOLERANCE:
        raise ValueError("push: expected a model whose gradient is right, got one where it differs from a plain "
                         f"reference by {error:.2g} (at most {GRADIENT_TOLERANCE} is accepted); set push to 0")
    _checked.add(network)


def _predict_with_gradients(predict, noisy, parts, patcher, rerun=(), reference=False):
    """`predict_with_gradients`; rerun: (name, block) of those that are run again in the backward. reference: with
    private copies of all that autograd keeps."""
    with differentiable(patcher, [block for _, block in rerun], reference), \
            private_copies() if reference else nullcontext():
        own = noisy.detach().clone().requires_grad_()
        clean = predict(own)
        try:
            directions = [
                torch.autograd.grad(clean, own, part.slope(clean), retain_graph=part is not parts[-1])[0].float()
                for part in parts]
        except RuntimeError as error:
            if is_memory_full(error) or "inplace operation" in str(error) and not rerun:
                raise
            raise ValueError("push: expected a model that a gradient can pass, got one with a patch that stops it "
                             f"({str(error).splitlines()[0]}); set push to 0") from error
    return clean.detach(), directions


@contextmanager
def differentiable(patcher, blocks, reference=False):
    """The model as a sampler runs it, but a gradient can pass. Undone on exit."""
    with ExitStack() as stack:
        for context in (torch.inference_mode(False), torch.enable_grad(),
                        attached(patcher.model.diffusion_model, NO_ADAPTERS, patcher.load_device),
                        checkpointed(blocks), DifferentiableHost(residuals=not reference), gradients_wanted()):
            stack.enter_context(context)
        yield


def _options(model_options: dict) -> dict:
    """A copy in which attention has a backward."""
    options = comfy.model_patcher.create_model_options_clone(model_options)
    options.setdefault("transformer_options", {})["optimized_attention_override"] = attend_with_sdpa
    return options


def push(model, part: Push) -> None:
    """Makes MODEL, a clone of one's own, push as well, beside what pushes it already."""
    for capability in ("frozen weights", "training mode", "fused operations", "guidance"):
        require(capability)
    others = [part for pushes in model.get_wrappers(WrappersMP.PREDICT_NOISE, KEY) for part in pushes.parts]
    model.remove_wrappers_with_key(WrappersMP.PREDICT_NOISE, KEY)
    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, KEY, Pushes((*others, part)))
    if not others:
        model.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, KEY, _without_what_is_forgotten)
