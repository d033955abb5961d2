"""Which noise levels a step of a sampler can be at, known without asking the device, which would have to catch up."""
from comfy.patcher_extension import WrappersMP
from torch import Tensor

KEY = "bottega_position"
OWN_STEPS = ("sample_dpm_fast", "sample_dpm_adaptive", "sample_ar_video")  # take steps that are not the schedule's


class SamplerPosition:
    """sigmas: the schedule, falling; step: the last one that the sampler has reported, -1 before the first."""

    def __init__(self, sigmas: list[float]):
        self.sigmas, self.step = sigmas, -1

    def bounds(self) -> tuple[float, float]:
        """The least and the most that sigma can be: a sampler reports a step in its middle or at its end."""
        return self.sigmas[min(self.step + 2, len(self.sigmas) - 1)], self.sigmas[max(self.step, 0)]


def follow(model) -> None:
    """Makes MODEL, a clone of one's own, note its position while it is sampled."""
    if not model.get_wrappers(WrappersMP.SAMPLER_SAMPLE, KEY):
        model.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, KEY, _followed)


def _followed(executor, guider, sigmas, extra_args, callback, *rest):
    if not _keeps_to_schedule(executor.class_obj):
        return executor(guider, sigmas, extra_args, callback, *rest)
    position = SamplerPosition(sigmas.tolist())
    extra_args["model_options"].setdefault("transformer_options", {})[KEY] = position

    def reported(step, *state):
        position.step = step
        if callback is not None:
            callback(step, *state)

    return executor(guider, sigmas, extra_args, reported, *rest)


def _keeps_to_schedule(sampler) -> bool:
    """The host's own samplers do, but for a few, and where noise is added again in a step."""
    function = getattr(sampler, "sampler_function", None)
    return (getattr(function, "__module__", "") == "comfy.k_diffusion.sampling" and function.__name__ not in OWN_STEPS
            and not getattr(sampler, "extra_options", {}).get("s_churn"))


def lies_between(sigma: Tensor, low: float, high: float, model_options: dict | None, with_low: bool = True) -> bool:
    """Whether low <= sigma <= high (low < sigma without `with_low`), for the largest of sigma [B].

    The device is asked only in the steps around the two ends, and under samplers that keep to no schedule."""
    position = ((model_options or {}).get("transformer_options") or {}).get(KEY)
    if position:
        least, most = position.bounds()
        if low < least and most <= high:
            return True
        if most < low or high < least:
            return False
    now = float(sigma.max())
    return now <= high and (low <= now if with_low else low < now)
