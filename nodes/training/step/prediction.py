"""What a model is trained to predict: its own, or another of flow, v and eps, and what samples it right afterwards."""
from dataclasses import replace
from math import prod

import comfy.model_base
import comfy.model_sampling as ms

from ..data.dataset import TrainingSet, outlines
from ..plan.settings import Settings
from .loss import prediction_kind
from .timesteps import own_shift, resolution_shift

USUAL_SHIFT = 3.0       # of ModelSamplingSD3, the node that samples such a LoRA
SHIFT, SAMPLE_WITH = "ss_discrete_flow_shift", "bottega.sample_with"
# A network that counts 1,000 levels of noise can learn any of these; others get their time in another unit.
COUNTS_LEVELS = ms.ModelSamplingDiscrete
OWN_WAY = (ms.StableCascadeSampling, ms.ModelSamplingDiscreteEDM)
KINDS = {"flow": ms.CONST, "v": ms.V_PREDICTION, "eps": ms.EPS}


def for_prediction(patcher, settings: Settings, dataset: TrainingSet) -> tuple:
    """(a model that is sampled as the recipe's prediction says, settings, [(what, why)]); the model itself where that
    is what it predicts anyway.

    A flow gets the shift of the recipe, 3 where that is open. Raises ValueError for a model that cannot change."""
    asked, own = settings.recipe.prediction, patcher.get_model_object("model_sampling")
    if asked is None or prediction_kind(own) == asked:
        return patcher, settings, []
    if not isinstance(own, COUNTS_LEVELS) or isinstance(own, OWN_WAY):
        raise ValueError(f"prediction: expected a model of 1,000 levels of noise, such as SD1.5 and SDXL, to learn "
                         f"{asked}; got {type(patcher.model).__name__}, which predicts {prediction_kind(own)}. Set "
                         "prediction to as the model.")
    sampling, patcher = _sampling(asked, patcher.model.model_config, own), patcher.clone()
    if asked == "flow":
        settings = _shifted(settings)
        sampling.set_parameters(shift=_sampled_shift(settings, dataset), multiplier=1000)
    patcher.add_object_patch("model_sampling", sampling)
    why = f"as the recipe says; the model came with {prediction_kind(own)}. {how_to_sample(sampling)}"
    return patcher, settings, [(f"{asked} prediction", why)]


def sampling_facts(model, sampling) -> dict[str, str]:
    """What a LoRA file says of the sampling it was trained for: a flow's shift, and where the model's own would not do,
    a sentence on what to set."""
    own = comfy.model_base.model_sampling(model.model_config, model.model_type)
    facts = {SHIFT: f"{own_shift(sampling):.6g}"} if prediction_kind(sampling) == "flow" else {}
    return facts | ({SAMPLE_WITH: how_to_sample(sampling)} if prediction_kind(sampling) != prediction_kind(own) else {})


def how_to_sample(sampling) -> str:
    """The sentence on which node of the host makes a model sample so."""
    kind = prediction_kind(sampling)
    if kind == "flow":
        node = "ModelSamplingSD3" if getattr(sampling, "multiplier", 1.0) == 1000 else "ModelSamplingAuraFlow"
        return f"Sample with {node}, shift {own_shift(sampling):.4g}, between the model and the sampler."
    name = {"v": "v_prediction"}.get(kind, kind)
    zsnr = f"zsnr {'on' if getattr(sampling, 'zsnr', False) else 'off'}"
    return f"Sample with ModelSamplingDiscrete, sampling {name}, {zsnr}, between the model and the sampler."


def _sampling(asked, config, own):
    """A sampling as the host's nodes ModelSamplingSD3 and ModelSamplingDiscrete make it, from a model's config."""
    base = ms.ModelSamplingDiscreteFlow if asked == "flow" else ms.ModelSamplingDiscrete
    kind = type("ModelSampling", (base, KINDS[asked]), {})
    return kind(config) if asked == "flow" else kind(config, zsnr=own.zsnr)


def _shifted(settings):
    """The family's own shift is for what the family predicts; here it is the sampling's."""
    times = settings.recipe.timesteps
    if times.shift not in (None, "model"):
        return settings
    return replace(settings, recipe=replace(settings.recipe, timesteps=replace(times, shift=USUAL_SHIFT)))


def _sampled_shift(settings, dataset):
    shift = settings.recipe.timesteps.shift
    if shift == "resolution":
        return resolution_shift(max(prod(each.shape[2:]) // 4 for each in outlines(dataset.samples)))
    return 1.0 if shift == "none" else float(shift)
