"""The loss against the formulas of diffusers' training scripts, per kind of prediction."""
import comfy.model_base
import comfy.model_sampling
import comfy.supported_models
import pytest
import torch
from comfy.model_base import ModelType
from training_models import FAMILIES, build, samples

SHAPE = (5, 4, 6, 6)


def sampling(model_type, **settings):
    config = comfy.supported_models.SD15({})
    config.sampling_settings = settings
    return comfy.model_base.model_sampling(config, model_type)


def expected_loss(kind, out, clean, noise, sigma):
    """diffusers: mean squared error to the target, times min(snr, 5) / snr (eps) or / (snr + 1) (v)."""
    s = sigma.view(-1, 1, 1, 1)
    alpha, std = 1 / (1 + s ** 2).sqrt(), s / (1 + s ** 2).sqrt()
    target = {"eps": noise, "v": alpha * noise - std * clean, "flow": noise - clean}[kind]
    snr = (alpha / std).square().flatten()
    capped = torch.minimum(snr, torch.full_like(snr, 5.0))
    weight = {"eps": capped / snr, "v": capped / (snr + 1), "flow": torch.ones_like(snr)}[kind]
    return weight * (out - target).square().mean(dim=(1, 2, 3))


@pytest.mark.parametrize("kind, model_type", [
    ("eps", ModelType.EPS), ("v", ModelType.V_PREDICTION), ("v", ModelType.V_PREDICTION_CONTINUOUS),
    ("flow", ModelType.FLOW), ("flow", ModelType.FLUX)])
def test_the_loss_is_the_raw_prediction_error(pack, kind, model_type):
    objective = pack.nodes.training.step.loss.Objective(sampling(model_type))
    generator = torch.Generator().manual_seed(0)
    clean, noise, out = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    sigma = objective.draw_sigmas(SHAPE[0], generator)
    noisy = objective.add_noise(clean, noise, sigma)
    denoised = objective.sampling.calculate_denoised(sigma, out, noisy)
    assert objective.kind == kind
    assert torch.allclose(objective.losses(denoised, clean, sigma), expected_loss(kind, out, clean, noise, sigma),
                          rtol=1e-3)


@pytest.mark.parametrize("model_type", [ModelType.EPS, ModelType.V_PREDICTION, ModelType.FLOW, ModelType.FLUX,
                                        ModelType.EDM, ModelType.FLOW_COSMOS, ModelType.V_PREDICTION_EDM])
def test_a_perfect_prediction_costs_nothing(pack, model_type):
    objective = pack.nodes.training.step.loss.Objective(sampling(model_type, sigma_data=0.5))
    clean = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    sigma = objective.draw_sigmas(SHAPE[0], torch.Generator().manual_seed(1))
    assert objective.losses(clean.clone(), clean, sigma).max() == 0
    assert objective.losses(clean + 0.1, clean, sigma).min() > 0


def test_flow_times_are_logit_normal_before_the_model_s_shift(pack):
    generator = torch.Generator().manual_seed(0)
    objective = pack.nodes.training.step.loss.Objective(sampling(ModelType.FLOW, shift=3.0))
    sigma = objective.draw_sigmas(4000, generator)
    times = sigma / (3 - 2 * sigma)                     # the inverse of 3 t / (1 + 2 t)
    logits = torch.logit(times.double())
    assert logits.mean().abs() < 0.05
    assert (logits.std() - 1).abs() < 0.05


def test_eps_models_see_every_noise_level_equally_often(pack):
    objective = pack.nodes.training.step.loss.Objective(sampling(ModelType.EPS))
    sigma = objective.draw_sigmas(8000, torch.Generator().manual_seed(0))
    levels = objective.sampling.timestep(sigma).double()
    assert torch.histc(levels, 10, 0, 999) == pytest.approx(800, rel=0.12)


def test_models_that_remove_no_noise_are_refused(pack):
    with pytest.raises(ValueError, match="model: expected a diffusion or flow model, got an image-to-image model"):
        pack.nodes.training.step.loss.Objective(sampling(ModelType.IMG_TO_IMG))


@pytest.mark.parametrize("weighting, told", [("min_snr", True), ("soft_min_snr", True), ("debiased", False),
                                             ("none", False)])
def test_zero_terminal_snr_leaves_the_last_level_of_a_v_model_without_weight_and_that_is_known(pack, weighting, told):
    t = pack.nodes.training
    make = lambda kind, **settings: t.step.loss.Objective(
        sampling(kind, **settings), loss=t.plan.recipe.LossPlan(weighting))
    assert make(ModelType.V_PREDICTION, zsnr=True).ignores_pure_noise() == told
    assert not make(ModelType.V_PREDICTION).ignores_pure_noise()
    assert not make(ModelType.EPS, zsnr=True).ignores_pure_noise()
    assert not make(ModelType.FLOW).ignores_pure_noise()


def test_a_session_says_what_zero_terminal_snr_leaves_without_weight(pack):
    t, patcher = pack.nodes.training, build(FAMILIES["SD1.5"])
    patcher.add_object_patch("model_sampling", sampling(ModelType.V_PREDICTION, zsnr=True))
    dataset = t.data.dataset.TrainingSet(samples(pack, FAMILIES["SD1.5"], 1), [])
    session = t.step.session.Session(patcher, dataset, t.plan.settings.Settings(1, 1, 0.0, 2, 0), None)
    assert any("nothing is learnt at the last noise level under min_snr" in what for what, _ in session.chosen)
