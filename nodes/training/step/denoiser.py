"""Runs the host's model on a batch of samples with their own captions, one row each."""
from typing import NamedTuple

import comfy.hooks
import comfy.model_patcher
import comfy.sampler_helpers
import comfy.samplers
import torch

from ..data.dataset import PROMPT, REFERENCE, TEXT, Sample
from ..model.differentiable import attend_with_sdpa
from .loss import fit_mask


class Conds(dict):
    """name -> comfy.conds.COND*, for one sample. options: those of the caption, its words included where known."""

    options: dict = {}


class Encoded(NamedTuple):
    """latent [1, C, ...] in the model's own latent space, fp32; conds with one row each; mask [1, 1, h, w] like the
    latent, or None. All on the CPU. variants: further conds, drawn as often as conds; empty: conds of an empty prompt.
    lesson: (share, conds), see Sample. before: a latent like latent, or None.
    """
    latent: torch.Tensor
    conds: Conds
    mask: torch.Tensor | None = None
    weight: float = 1.0
    variants: tuple[Conds, ...] = ()
    empty: Conds | None = None
    lesson: tuple[tuple[float, Conds], ...] = ()
    before: torch.Tensor | None = None


class Denoiser:
    """apply_model of a loaded ModelPatcher, with the user's patches and wrappers active."""

    def __init__(self, patcher, guidance: float, clip=None):
        """`guidance` is what a guidance-distilled model is told unless a caption says otherwise. clip: when its text
        encoders are trained too."""
        self.clip = clip
        self.model, self.device, self.guidance = patcher.model, patcher.load_device, guidance
        options = comfy.model_patcher.create_model_options_clone(patcher.model_options)
        options.setdefault("transformer_options", {})
        comfy.sampler_helpers.prepare_model_patcher(patcher, {}, options)
        self.transformer_options = options["transformer_options"]
        self.transformer_options["optimized_attention_override"] = attend_with_sdpa

    def encode(self, sample: Sample, empty: tuple | None = None) -> Encoded:
        """Asks the model for its conditions at this sample's own latent shape. empty: an empty prompt's caption."""
        # In inference mode, as in sampling: some models run their text adapter here only then.
        with torch.inference_mode():
            latent = self.model.process_latent_in(sample.latent.float())
            conds, *others = [self._conds(latent, *pair) for pair in
                              ((sample.caption, sample.options), *sample.variants, *([empty] if empty else []))]
            lesson = tuple((share, self._conds(latent, *pair)) for share, *pair in sample.lesson)
            before = None if sample.before is None else self.model.process_latent_in(sample.before.float())
        mask = None if sample.mask is None else fit_mask(_normal(sample.mask, "cpu"), latent)
        return Encoded(_normal(latent, "cpu"), conds, mask, sample.weight, tuple(others[:len(sample.variants)]),
                       others[-1] if empty else None, lesson, None if before is None else _normal(before, "cpu"))

    def _conds(self, latent, caption, options):
        entry = comfy.sampler_helpers.convert_cond([[caption, options]])[0]
        if is_guidance_distilled(self.model.diffusion_model):
            entry.setdefault("guidance", self.guidance)
        # As for use with patches: a newer host caches what it makes of a prompt's start where there are none.
        entry.setdefault("hooks", comfy.hooks.HookGroup())
        encoded = comfy.samplers.encode_model_conds(
            self.model.extra_conds, [entry], torch.zeros_like(latent, device=self.device), self.device, "positive",
            latent_image=latent.to(self.device), denoise_mask=None, seed=None, latent_shapes=[latent.shape])
        conds = {key: cond.process_cond(batch_size=1, area=None) for key, cond in encoded[0]["model_conds"].items()}
        with torch.inference_mode(False):
            made = Conds({key: _moved(cond, "cpu") for key, cond in conds.items()})
        made.options = options
        return made

    def ignores_reference(self, sample: Sample) -> bool:
        """True when the model's conditions are the same without the picture a sample starts from."""
        bare = {key: value for key, value in sample.options.items() if key != REFERENCE}
        if len(bare) == len(sample.options):
            return False
        with torch.inference_mode():
            latent = self.model.process_latent_in(sample.latent.float())
            return self._conds(latent, sample.caption, bare).keys() == self._conds(
                latent, sample.caption, sample.options).keys()

    @property
    def encoders(self) -> torch.nn.Module | None:
        """The text encoders, when they are trained."""
        return self.clip.cond_stage_model if self.clip else None

    def fresh(self, sample: Encoded) -> Encoded:
        """The sample with its caption encoded anew where the text encoders are trained: gradients reach them so."""
        if not self.clip:
            return sample
        options = sample.conds.options
        tokens = self.clip.tokenize(options.get(PROMPT, options[TEXT]))
        caption, changed = self.clip.encode_from_tokens_scheduled(tokens, show_pbar=False)[0]
        return sample._replace(conds=self._conds(sample.latent, caption, {**options, **changed}))

    def __call__(self, noisy: torch.Tensor, sigma: torch.Tensor, conds: list[Conds]) -> torch.Tensor:
        """The denoised latents for noisy [B, C, ...] at sigma [B], row i with conds[i]; all rows in one forward."""
        rows = comfy.samplers.cond_cat([{key: _moved(cond, self.device) for key, cond in c.items()} for c in conds])
        options = {**self.transformer_options, "cond_or_uncond": [0], "sigmas": sigma}
        return self.model.apply_model(noisy, sigma, transformer_options=options, **rows)


def same_shapes(a: Encoded, b: Encoded) -> bool:
    """True when the two samples can share a forward pass without padding."""
    return (a.latent.shape == b.latent.shape and (a.before is None) == (b.before is None)
            and fit_together(a.conds, b.conds))


def fit_together(a: Conds, b: Conds) -> bool:
    """True when rows with these conditions can share a forward pass."""
    return a.keys() == b.keys() and all(a[k].size() == b[k].size() and a[k].can_concat(b[k]) for k in a)


def is_guidance_distilled(network: torch.nn.Module) -> bool:
    """Flux.1-dev, HunyuanVideo and their kin embed the guidance scale they were distilled with."""
    return bool(getattr(getattr(network, "params", None), "guidance_embed", False))


def _moved(cond, device):
    return cond._copy_with(_normal(cond.cond, device))


def _normal(value, device):
    """Moves tensors at any depth and copies those created in inference mode, which autograd refuses to save."""
    if isinstance(value, torch.Tensor):
        value = value.to(device, non_blocking=torch.device(device).type != "cpu")
        return value.clone() if value.is_inference() else value
    if isinstance(value, dict):
        return {key: _normal(v, device) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_normal(v, device) for v in value)
    return value
