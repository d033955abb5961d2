"""Losses, weights and noise levels against diffusers and the papers' formulas."""
import math

import comfy.model_base
import comfy.supported_models
import pytest
import torch
from comfy.model_base import ModelType
from training_models import FAMILIES, build, samples

FLOW = [ModelType.FLOW, ModelType.FLUX, ModelType.FLOW_COSMOS]


def sampling(model_type, **settings):
    config = comfy.supported_models.SD15({})
    config.sampling_settings = settings
    return comfy.model_base.model_sampling(config, model_type)


def levels(pack, model_type, **plan):
    flow = model_type in FLOW
    plan = {"density": "logit_normal" if flow else "uniform", "shift": "none", **plan}
    t = pack.nodes.training
    return t.step.timesteps.NoiseLevels(sampling(model_type, shift=3.0), flow, t.plan.recipe.TimestepPlan(**plan))


def share(sigma, model_type):
    return sigma / (1 + sigma) if model_type == ModelType.FLOW_COSMOS else sigma


class Batch:
    """A small model with adapters, three pictures, their noise and noise levels; the loss by us and by diffusers."""

    def __init__(self, pack, kind):
        self.t = t = pack.nodes.training
        family = FAMILIES["SD3" if kind == "flow" else "SD1.5"]
        self.kind, patcher = kind, build(family)
        if kind == "v":
            patcher.model.model_sampling = comfy.model_base.model_sampling(comfy.supported_models.SD15({}),
                                                                           ModelType.V_PREDICTION)
        self.model, self.patcher = patcher.model, patcher
        self.objective = t.step.loss.Objective(patcher.model.model_sampling)
        self.denoiser = t.step.denoiser.Denoiser(patcher, 1.0)
        generator = torch.Generator().manual_seed(5)
        self.adapters = t.adapters.build(t.adapters.LoraShape(rank=2), patcher.model, "cpu", generator)
        self.adapters.flat.normal_(std=0.1, generator=generator)
        self.batch = [self.denoiser.encode(sample) for sample in samples(pack, family, 3)]
        self.noise = [torch.randn(s.latent.shape, generator=generator) for s in self.batch]
        self.steps = torch.tensor([80, 450, 900])

    def gradient(self, loss):
        self.adapters.flat.grad.zero_()
        network = self.model.diffusion_model
        host = self.t.model.differentiable
        with host.training_mode(self.patcher), host.DifferentiableHost(), \
                self.t.adapters.attached(network, self.adapters, torch.device("cpu")):
            value = loss()
        return value.item(), self.adapters.flat.grad.clone()

    def ours(self, sigma):
        return self.t.step.gradient.backward(self.denoiser, self.objective, self.batch, self.noise, sigma)

    def theirs(self):
        """The loss as diffusers' training scripts write it, the network called without the host around it."""
        import diffusers
        clean, noise = torch.cat([s.latent for s in self.batch]), torch.cat(self.noise)
        conds = [s.conds for s in self.batch]
        context = torch.cat([c["c_crossattn"].cond for c in conds])
        network = self.model.diffusion_model
        if self.kind == "flow":
            sigma = (self.steps / 1000).view(-1, 1, 1, 1)
            out = network((1 - sigma) * clean + sigma * noise, self.steps.float(), context=context,
                          y=torch.cat([c["y"].cond for c in conds]))
            loss = (out - (noise - clean)).square().mean()
        else:
            scheduler = diffusers.DDPMScheduler(1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
            out = network(scheduler.add_noise(clean, noise, self.steps), self.steps, context=context)
            target = noise if self.kind == "eps" else scheduler.get_velocity(clean, noise, self.steps)
            snr = diffusers.training_utils.compute_snr(scheduler, self.steps)
            weight = snr.clamp(max=5) / (snr if self.kind == "eps" else snr + 1)
            loss = ((out - target).square().mean((1, 2, 3)) * weight).mean()
        loss.backward()
        return loss


@pytest.mark.parametrize("kind", ["eps", "v", "flow"])
def test_one_batch_has_the_loss_and_the_gradient_of_diffusers(pack, kind):
    pytest.importorskip("diffusers")
    batch = Batch(pack, kind)
    sigma = batch.steps / 1000 if kind == "flow" else batch.model.model_sampling.sigmas[batch.steps]
    loss, gradient = batch.gradient(lambda: batch.ours(sigma))
    expected, reference = batch.gradient(batch.theirs)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert torch.dist(gradient, reference) < 1e-3 * reference.norm()


@pytest.mark.parametrize("shape", ["huber", "smooth_l1"])
def test_robust_losses_are_the_square_or_the_distance_at_their_ends(pack, shape):
    t = pack.nodes.training
    plan, delta = t.plan.recipe.LossPlan(shape=shape), torch.tensor([0.1, 0.1])
    error = torch.tensor([[1e-3], [50.0]], dtype=torch.float64)
    small, large = t.step.loss.shaped(error, plan, delta.double()).flatten().tolist()
    scale = 1.0 if shape == "huber" else 10.0              # kohya's smooth_l1 is its huber divided by delta
    assert small == pytest.approx(scale * 1e-6, rel=1e-3)
    assert large == pytest.approx(scale * 2 * 0.1 * 50, rel=0.01)


@pytest.mark.parametrize("schedule, clean, noisy", [("constant", 0.1, 0.1), ("exponential", 1.0, 0.1),
                                                    ("snr", 1.0, 0.1)])
def test_the_bend_of_a_robust_loss_falls_with_the_noise(pack, schedule, clean, noisy):
    t = pack.nodes.training
    plan = t.plan.recipe.LossPlan(shape="huber", delta_schedule=schedule)
    ends = t.step.loss.deltas("flow", plan, torch.tensor([0.0, 0.5, 1.0]))
    assert ends[0].item() == pytest.approx(clean, abs=1e-3) and ends[2].item() == pytest.approx(noisy, abs=1e-3)
    assert noisy - 1e-3 <= ends[1] <= clean + 1e-3


@pytest.mark.parametrize("kind", ["eps", "v", "flow"])
def test_min_snr_caps_the_weight_of_the_clean_latent_s_error(pack, kind):
    """The weight divided by the squared slope is what each level's clean-latent error counts: min(snr, gamma)."""
    t = pack.nodes.training
    model_type = {"eps": ModelType.EPS, "v": ModelType.V_PREDICTION, "flow": ModelType.FLOW}[kind]
    objective = t.step.loss.Objective(sampling(model_type), None, t.plan.recipe.LossPlan("min_snr", gamma=5.0))
    sigma = torch.tensor([0.05, 0.3, 0.7, 0.95] if kind == "flow" else [0.05, 0.3, 1.0, 14.0])
    snr = ((1 - sigma) / sigma) ** 2 if kind == "flow" else sigma ** -2
    slope = objective.slope(torch.zeros(4, 1, 1, 1), sigma).flatten()
    assert torch.allclose(objective.weight(sigma) / slope.square(), snr.clamp(max=5.0), rtol=1e-4)


@pytest.mark.parametrize("model_type", FLOW)
@pytest.mark.parametrize("shift", ["none", "model", "resolution", 2.5])
@pytest.mark.parametrize("density", ["uniform", "logit_normal", "cosmap"])
def test_the_share_of_draws_below_each_noise_level_is_the_density_s(pack, model_type, shift, density):
    drawn = levels(pack, model_type, density=density, shift=shift)
    sigma = share(drawn.draw(4000, torch.Generator().manual_seed(0), tokens=1024).double(), model_type)
    own = math.exp(0.5 + 0.65 * (1024 - 256) / (4096 - 256))
    model = {ModelType.FLUX: math.exp(3.0), ModelType.FLOW: 3.0}.get(model_type, 1.0)
    s = {"none": 1.0, "model": model, "resolution": own}.get(shift, shift)
    for t, below in ((0.25, {"uniform": 0.25, "logit_normal": 0.136, "cosmap": 0.2048}[density]), (0.5, 0.5)):
        assert (sigma < s * t / (1 + (s - 1) * t)).double().mean().item() == pytest.approx(below, abs=0.01)


@pytest.mark.parametrize("model_type", [*FLOW, ModelType.EPS])
@pytest.mark.parametrize("low, high", [(0.0, 0.875), (0.875, 1.0), (0.2, 0.4)])
def test_a_range_of_noise_keeps_the_shape_of_the_density_inside_it(pack, model_type, low, high):
    all_of_it = levels(pack, model_type).draw(20000, torch.Generator().manual_seed(0))
    drawn = levels(pack, model_type, low=low, high=high).draw(4000, torch.Generator().manual_seed(1))
    if model_type == ModelType.EPS:
        sigmas = sampling(model_type).sigmas
        edges = sigmas[int(low * 1000)], sigmas[min(999, int(high * 1000))]
    else:
        edges, all_of_it, drawn = (low, high), share(all_of_it, model_type), share(drawn, model_type)
    assert drawn.min() >= min(edges) - 1e-6 and drawn.max() <= max(edges) + 1e-6
    inside = all_of_it[(all_of_it >= edges[0]) & (all_of_it <= edges[1])]
    for q in (0.25, 0.5, 0.75):
        assert drawn.quantile(q).item() == pytest.approx(inside.quantile(q).item(), rel=0.1)


def test_each_stratum_has_its_turn_and_every_draw_is_uniform(pack):
    drawn = levels(pack, ModelType.FLOW, density="uniform", strata=8)
    generator = torch.Generator().manual_seed(0)
    quantiles = torch.cat([drawn.quantiles(3, generator) for _ in range(800)])
    rounds = (quantiles.view(-1, 8) * 8).long().sort(1).values
    assert (rounds == torch.arange(8)).all()
    first = quantiles.view(-1, 8)[:, 0]                     # of one place in the round
    assert first.mean().item() == pytest.approx(0.5, abs=0.05) and first.std().item() == pytest.approx(0.289, abs=0.03)


def test_a_mask_leaves_what_is_outside_it_without_a_gradient(pack):
    t = pack.nodes.training
    objective = t.step.loss.Objective(sampling(ModelType.FLOW))
    clean = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    denoised, mask = clean.clone() + 0.1, torch.zeros(2, 1, 6, 6)
    mask[0, :, :3], mask[1] = 1.0, 0.5
    denoised.requires_grad_(True)
    losses = objective.losses(denoised, clean, torch.tensor([0.5, 0.5]), mask)
    assert torch.allclose(losses, torch.full((2,), 0.04), rtol=1e-4)     # as if there were nothing outside
    losses.sum().backward()
    assert denoised.grad[0, :, 3:].abs().max() == 0 and denoised.grad[0, :, :3].abs().min() > 0


def test_a_mask_of_another_size_is_averaged_down_to_the_latent(pack):
    fit = pack.nodes.training.step.loss.fit_mask
    mask = torch.zeros(1, 1, 48, 64)
    mask[..., :32] = 1
    small = fit(mask, torch.zeros(1, 4, 6, 8))
    assert small.shape == (1, 1, 6, 8) and torch.equal(small[0, 0, 0], torch.tensor([1.0] * 4 + [0.0] * 4))
    assert fit(mask, torch.zeros(1, 16, 3, 6, 8)).shape == (1, 1, 1, 6, 8)


class Fixed:
    """A denoiser and a teacher that answer with fixed latents."""
    device = torch.device("cpu")

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, noisy, sigma, conds):
        return self.answer


def test_outside_the_mask_the_model_is_held_to_itself_without_adapters(pack):
    t = pack.nodes.training
    plan = t.plan.recipe.LossPlan("none", outside_mask=0.5)
    objective = t.step.loss.Objective(sampling(ModelType.FLOW), None, plan)
    latent, mask = torch.zeros(1, 4, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., :1] = 1.0                                      # a quarter is learnt from
    sample = t.step.denoiser.Encoded(latent, {}, mask)
    denoised, kept = torch.full_like(latent, 0.1), torch.full_like(latent, 0.3)
    loss = t.step.gradient.sample_losses(Fixed(denoised), objective, [sample], [latent], torch.tensor([0.5]),
                                         Fixed(kept))
    inside, outside = (0.1 / 0.5) ** 2, (0.2 / 0.5) ** 2
    assert loss.item() == pytest.approx(inside + 0.5 * 0.75 * outside, rel=1e-4)


def test_noise_offset_moves_whole_channels(pack):
    t = pack.nodes.training
    plan = t.plan.recipe.LossPlan("none", noise_offset=0.5)
    objective = t.step.loss.Objective(sampling(ModelType.EPS), None, plan)
    noise = objective.draw_noise(torch.zeros(1, 400, 32, 32), torch.Generator().manual_seed(0))
    assert noise.mean((2, 3)).std().item() == pytest.approx(0.5, rel=0.1)
    assert (noise - noise.mean((2, 3), keepdim=True)).std().item() == pytest.approx(1.0, rel=0.02)
