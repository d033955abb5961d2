"""Another prediction than the model's own: the loss against float64, the samples behind the host's node, the file."""
import copy

import comfy.model_management
import comfy.sample
import comfy.sd
import pytest
import torch
from comfy_extras.nodes_model_advanced import ModelSamplingSD3
from training_graphs import tensors
from training_models import FAMILIES, build, caption, samples, tiny_sd3

SD15 = FAMILIES["SD1.5"]
TARGET = torch.tensor([1.0, -0.6, 0.4, -1.2]).view(1, 4, 1, 1).expand(1, 4, 8, 8)
LEARNT = TARGET / 0.18215         # as a VAE gives it
TEXT = caption(1, *SD15.text, pooled=0)


@pytest.fixture(scope="module")
def t(pack):
    return pack.nodes.training


def settings(t, prediction, steps=1, rate=1e-3, **recipe):
    return t.plan.settings.Settings(steps, 1, rate, 4, 0, t.plan.recipe.Recipe(prediction=prediction, **recipe))


@pytest.mark.parametrize("prediction", ["flow", "v", "eps"])
def test_the_loss_is_that_of_a_float64_reference(pack, t, prediction):
    """The network itself in float64, called with the input and the time of the prediction's own papers."""
    dataset = t.data.dataset.TrainingSet(samples(pack, SD15, 2), [])
    plan = settings(t, prediction, loss=t.plan.recipe.LossPlan("none"))
    patcher, plan, _ = t.step.prediction.for_prediction(build(SD15), plan, dataset)
    comfy.model_management.load_models_gpu([patcher])
    session = t.step.session.Session(patcher, dataset, plan, None)
    session.prepare(False)
    network = copy.deepcopy(patcher.model.diffusion_model).double()
    network.dtype = torch.float64
    generator = torch.Generator().manual_seed(4)
    for sample in session.samples:
        noise = torch.randn(sample.latent.shape, generator=generator)
        sigma = session.objective.draw_sigmas(1, generator)
        with session.training():
            got = t.step.gradient.backward(session.denoiser, session.objective, [sample], [noise], sigma).item()
        assert got == pytest.approx(reference(prediction, network, sample, noise, sigma), rel=1e-4)


def reference(prediction, network, sample, noise, sigma):
    clean, noise, s = sample.latent.double(), noise.double(), sigma.double()
    if prediction == "flow":            # Liu et al. 2022: x_t = (1 - t) x + t e, and the network gives e - x
        given, time, target = (1 - s) * clean + s * noise, 1000 * s, noise - clean
    else:                               # Ho et al. 2020; Salimans & Ho 2022
        alpha, std = 1 / (1 + s * s).sqrt(), s / (1 + s * s).sqrt()
        betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=torch.float64) ** 2
        levels = ((1 - (1 - betas).cumprod(0)) / (1 - betas).cumprod(0)).sqrt()
        given, time = alpha * clean + std * noise, (levels.log() - s.log()).abs().argmin().view(1).double()
        target = noise if prediction == "eps" else alpha * noise - std * clean
    with torch.no_grad():
        out = network(given, time, context=sample.conds["c_crossattn"].cond.double())
    return (out - target).square().mean().item()


class Learner:
    """Trains a small SD1.5 to draw one latent and looks how far its samples are from it."""

    def __init__(self, t):
        self.t, self.patcher = t, build(SD15)
        self.dataset = t.data.dataset.from_core_nodes([{"samples": LEARNT}], [TEXT])
        self.shape = t.adapters.LoraShape("LoCon", rank=16, targets="*=16")

    def train(self, prediction, steps=200, name="hand", patcher=None, resume="", **recipe):
        plan = settings(self.t, prediction, steps, 1e-2, **recipe)
        progress = self.t.monitoring.progress.Progress(steps, "1")
        return self.t.training_run.train(patcher or self.patcher, self.dataset, plan, name, progress, self.shape,
                                         resume=resume)

    def distance(self, lora, patcher=None):
        """Of a sample with the LoRA, as a share of what was learnt."""
        patched, _ = comfy.sd.load_lora_for_models(patcher or self.patcher, None, lora, 1.0, 0.0)
        noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
        with torch.inference_mode():
            made = comfy.sample.sample(patched, noise, 12, 1.0, "euler", "simple", TEXT, TEXT, torch.zeros(1, 4, 8, 8),
                                       disable_pbar=True, seed=5)
        return float((made.cpu() - LEARNT).norm() / LEARNT.norm())


@pytest.fixture(scope="module")
def learner(t):
    return Learner(t)


def unet_output(patcher):
    comfy.model_management.load_models_gpu([patcher])
    with torch.inference_mode():
        return patcher.model.apply_model(TARGET, torch.tensor([0.7]), c_crossattn=TEXT[0][0]).clone()


def test_an_eps_model_becomes_a_flow_that_samples_right_behind_the_host_s_node_only(learner, output_folder):
    before, flowing = unet_output(learner.patcher), ModelSamplingSD3().patch(learner.patcher, 3.0)[0]
    flow = learner.train("flow").tensors
    assert torch.equal(unet_output(learner.patcher), before)
    assert learner.distance(flow, flowing) < 0.35 < 3 < learner.distance(flow)


def test_the_file_says_how_to_sample_and_inspect_lora_reads_it_back(pack, learner, output_folder):
    plan = learner.t.plan.recipe.TimestepPlan(shift=2.5)
    run = learner.train("flow", 1, timesteps=plan, metadata="none")
    about = tensors(run.path)[1]
    said = "Sample with ModelSamplingSD3, shift 2.5, between the model and the sampler."
    assert about["ss_discrete_flow_shift"] == "2.5" and about["modelspec.prediction_type"] == "flow"
    assert pack.nodes.lora.file.file_metadata.metadata_facts(about)["how to sample"] == said
    assert any(what == "flow prediction" and said in why for what, why in run.chosen)
    about = tensors(learner.train("v", 1, "v").path)[1]
    assert about["bottega.sample_with"].startswith("Sample with ModelSamplingDiscrete, sampling v_prediction, zsnr off")
    assert "ss_discrete_flow_shift" not in about
    assert "bottega.sample_with" not in tensors(learner.train(None, 1, "plain").path)[1]


def test_the_host_s_node_before_the_training_is_the_same_as_the_recipe(learner, output_folder):
    flowing = ModelSamplingSD3().patch(learner.patcher, 3.0)[0]
    shift = learner.t.plan.recipe.TimestepPlan(shift=3.0)
    behind = learner.train(None, 3, "behind", flowing, timesteps=shift)
    chosen = learner.train("flow", 3, "chosen", timesteps=shift)
    assert behind.losses == chosen.losses
    named = [tensors(run.path)[1]["bottega.sample_with"] for run in (behind, chosen)]
    assert named[0] == named[1]


def test_what_cannot_be_is_refused_in_a_sentence(learner, t, output_folder):
    dataset = t.data.dataset.TrainingSet([], [])
    with pytest.raises(ValueError, match="prediction: expected a model of 1,000 levels of .* to learn v; got SD3"):
        t.step.prediction.for_prediction(tiny_sd3(), settings(t, "v"), dataset)
    learner.train("flow", 2, "first")
    with pytest.raises(ValueError, match="resume: .* was trained to predict flow, this run trains eps"):
        learner.train(None, 4, "first", resume="first")
