"""Where a sampler is follows from its schedule and its reports, and agrees with the sigmas that it really asks for."""
import comfy.sample
import comfy.samplers
import pytest
import torch

STEPS = 5
WINDOWS = [(0.0, 1.0), (0.05, 0.35), (0.5, 1.0), (0.3, 0.31), (0.9, 2.0)]


@pytest.fixture(scope="module")
def position(studio):
    return studio("guidance.sampler_position")


@pytest.fixture(scope="module")
def tiny():
    from training_models import caption, tiny_sd3
    return tiny_sd3(depth=1), caption(1), caption(2)


@pytest.mark.parametrize("sampler", comfy.samplers.KSampler.SAMPLERS)
def test_it_says_of_every_sampler_what_its_sigmas_say(position, tiny, sampler):
    model, words, empty = tiny
    model, asked = model.clone(), []
    position.follow(model)
    position.follow(model)

    def check(args):
        now = float(args["sigma"].max())
        for low, high in WINDOWS:
            for with_low in (True, False):
                inside = now <= high and (low <= now if with_low else low < now)
                found = position.lies_between(args["sigma"], low, high, args["model_options"], with_low)
                assert found == inside, (sampler, now, low, high)
        asked.append(now)
        return args["denoised"]

    model.set_model_sampler_post_cfg_function(check, disable_cfg1_optimization=True)
    latent = torch.zeros(1, 16, 8, 8)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
    if "ar_video" in sampler:
        pytest.skip("it wants latents of a video")
    with torch.inference_mode():
        comfy.sample.sample(model, noise, STEPS, 1.0, sampler, "simple", words, empty, latent, disable_pbar=True,
                            seed=3)
    assert len(asked) >= STEPS


class Unreadable:
    """A sigma that nobody may ask for."""

    def max(self):
        raise AssertionError("the device was asked")


def test_only_near_the_ends_of_a_window_the_device_is_asked(position):
    here = position.SamplerPosition([1.0, 0.8, 0.6, 0.4, 0.2, 0.0])
    options = {"transformer_options": {position.KEY: here}}
    assert position.lies_between(Unreadable(), 0.0, 1.0, options, with_low=False)
    here.step = 0
    assert not position.lies_between(Unreadable(), 0.0, 0.5, options)
    here.step = 2
    assert position.lies_between(Unreadable(), 0.1, 0.7, options)
    with pytest.raises(AssertionError, match="was asked"):
        position.lies_between(Unreadable(), 0.3, 0.7, options)
    with pytest.raises(AssertionError, match="was asked"):
        position.lies_between(Unreadable(), 0.1, 0.7, {})
