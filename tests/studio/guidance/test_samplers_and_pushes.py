"""Which samplers go on from a push, and that none is made where one would not."""
import comfy.sample
import comfy.samplers
import pytest
import torch


@pytest.mark.parametrize("sampler, mask", [("lcm", None), ("sa_solver", None), ("euler", 1.0)])
def test_what_a_sampler_would_not_go_on_from_is_not_pushed_and_the_log_says_so(loaded, guided, studio, caplog, sampler,
                                                                              mask):
    push, noise = studio("guidance.early_push"), torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(5))
    words, empty = loaded.encode("a red circle"), loaded.encode("")

    def sampled(model, sampler=sampler, mask=mask):
        with torch.inference_mode():
            return comfy.sample.sample(
                model, noise, 4, 1.0, sampler, "simple", words, empty, torch.zeros_like(noise), disable_pbar=True,
                seed=5, noise_mask=None if mask is None else torch.full((1, 1, 64, 64), mask)).clone()

    pushing = guided(loaded.model, start=0.5, end=0.5, push=0.1)
    assert torch.equal(sampled(pushing), sampled(loaded.model))
    assert caplog.messages.count(f"push: {push.NOT_UNDER}") == 1
    assert (sampled(pushing, "euler", None) - sampled(loaded.model, "euler", None)).abs().max() > 0.1
    assert caplog.messages.count(f"push: {push.NOT_UNDER}") == 1


@pytest.mark.parametrize("sampler", comfy.samplers.KSampler.SAMPLERS)
def test_every_sampler_goes_on_from_a_push_or_makes_none(loaded, guided, caplog, studio, sampler):
    noise = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(5))
    words, empty = loaded.encode("a red circle"), loaded.encode("")

    def sampled(model):
        with torch.inference_mode():
            return comfy.sample.sample(model, noise, 6, 1.0, sampler, "simple", words, empty, torch.zeros_like(noise),
                                       disable_pbar=True, seed=5).clone()

    moved = (sampled(guided(loaded.model, start=0.5, end=0.5, push=0.1)) - sampled(loaded.model)).abs().max()
    refused = f"push: {studio('guidance.early_push').NOT_UNDER}" in caplog.messages
    assert moved == 0 if refused else moved > 0.1
