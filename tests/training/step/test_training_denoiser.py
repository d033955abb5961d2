"""What the model is told beside a noisy latent: each picture's own size, its guidance, its caption of any length."""
import pytest
import torch
from training_models import FAMILIES, UNET, Family, build, caption, latents, samples, tiny_sd3


def test_each_picture_is_conditioned_on_its_own_size(pack):
    t = pack.nodes.training
    unet = dict(UNET, context_dim=32, adm_in_channels=2816, num_classes="sequential")
    patcher = build(Family("SDXL", unet, (4, 16, 16)))
    denoiser, (text, options) = t.step.denoiser.Denoiser(patcher, 1.0), caption(1, 8, 32, pooled=1280)[0]
    for height, width in ((16, 16), (16, 24), (24, 16)):
        encoded = denoiser.encode(t.data.dataset.Sample(torch.zeros(1, 4, height, width), text, options))
        expected = patcher.model.encode_adm(device="cpu", width=8 * width, height=8 * height, **options)
        assert torch.equal(encoded.conds["y"].cond, expected)


def test_captions_are_encoded_as_for_use_with_patches(pack, monkeypatch):
    """Newer hosts keep what they make of a prompt's start from one encoding to the next, unless hooks are given."""
    t, patcher, given = pack.nodes.training, tiny_sd3(), []
    own = patcher.model.extra_conds
    monkeypatch.setattr(patcher.model, "extra_conds", lambda **more: given.append(more.get("hooks")) or own(**more))
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(1)}], [caption(0)])
    t.step.denoiser.Denoiser(patcher, 1.0).encode(dataset.samples[0])
    assert given and None not in given


@pytest.mark.parametrize("own, told", [({}, 1.0), ({"guidance": 3.0}, 3.0)])
def test_a_guidance_distilled_model_is_told_1_unless_the_caption_says_otherwise(pack, own, told):
    t, family = pack.nodes.training, FAMILIES["Flux.1"]
    sample = samples(pack, family, 1)[0]
    denoiser = t.step.denoiser.Denoiser(build(family), t.plan.recipe.Recipe().guidance)
    encoded = denoiser.encode(sample._replace(options={**sample.options, **own}))
    assert encoded.conds["guidance"].cond.tolist() == [told]


def test_captions_of_different_lengths_share_a_batch_and_not_a_forward_pass(pack):
    t, patcher = pack.nodes.training, tiny_sd3()
    lengths = [caption(0, tokens=8), caption(1, tokens=12), caption(2, tokens=8)]
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(3)}], lengths)
    denoiser = t.step.denoiser.Denoiser(patcher, 1.0)
    objective = t.step.loss.Objective(patcher.model.model_sampling)
    batch = [denoiser.encode(sample) for sample in dataset.samples]
    assert t.step.gradient.group_by_shape(batch) == [[0, 2], [1]]
    noise, sigma = [torch.randn(1, 16, 8, 8) for _ in batch], torch.tensor([0.3, 0.5, 0.8])
    adapters = t.adapters.build(t.adapters.LoraShape(rank=2), patcher.model, "cpu", torch.Generator().manual_seed(0))
    with t.adapters.attached(patcher.model.diffusion_model, adapters, torch.device("cpu")):
        loss = t.step.gradient.backward(denoiser, objective, batch, noise, sigma)
        gradient = adapters.flat.grad.clone()
        adapters.flat.grad.zero_()
        single = [t.step.gradient.backward(denoiser, objective, [batch[i]], [noise[i]], sigma[[i]], share=1 / 3)
                  for i in range(3)]
    assert loss == pytest.approx(sum(value.item() for value in single) / 3, rel=1e-5)
    assert torch.allclose(adapters.flat.grad, gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max()))
