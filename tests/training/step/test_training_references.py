"""Edit pairs: the picture a model starts from is part of what it sees, in the loss, the gradient and the batch."""
import comfy.model_management
import pytest
import torch
from training_gradients import Setup
from training_models import FAMILIES, Family, build, caption, latents, samples, tiny_sd3

OMNIGEN = Family("Omnigen2", dict(
    patch_size=2, in_channels=16, hidden_size=64, num_layers=2, num_refiner_layers=1, num_attention_heads=4,
    num_kv_heads=4, multiple_of=16, ffn_dim_multiplier=None, norm_eps=1e-5, axes_dim_rope=(4, 6, 6),
    axes_lens=(64, 64, 64), text_feat_dim=64, timestep_scale=1000.0), (16, 8, 8),
    options={"attention_mask": torch.ones(1, 8, dtype=torch.long)})
EDITORS = {"Flux.1": FAMILIES["Flux.1"], "Qwen-Image": FAMILIES["Qwen-Image"], "OmniGen2": OMNIGEN}


def referenced(made, sizes):
    """The samples with a reference each, of so many latent rows."""
    generator = torch.Generator().manual_seed(4)
    found = []
    for sample, rows in zip(made, sizes, strict=True):
        shape = (*sample.latent.shape[:-2], rows, sample.latent.shape[-1])
        found.append(sample._replace(options={
            **sample.options, "reference_latents": [torch.randn(shape, generator=generator)]}))
    return found


def setup(pack, monkeypatch, name, sizes):
    """test_training_gradients' Setup of a batch with references."""
    monkeypatch.setitem(FAMILIES, name, EDITORS[name])
    made = Setup(pack, name, len(sizes))
    made.plain = made.batch
    made.batch = [made.denoiser.encode(s) for s in referenced(samples(pack, EDITORS[name], len(sizes)), sizes)]
    return made


@pytest.mark.parametrize("name", EDITORS)
@pytest.mark.parametrize("sizes", [(8, 8), (8, 12)])
def test_the_gradient_with_references_is_that_of_the_loss_and_reaches_every_adapter(pack, monkeypatch, name, sizes):
    made = setup(pack, monkeypatch, name, sizes)
    groups = pack.nodes.training.step.gradient.group_by_shape(made.batch)
    assert len(groups) == len(set(sizes))                       # equal references share a forward pass
    for checkpoint in (False, True):
        loss, gradient = made.gradient(checkpoint)
        direction = gradient / gradient.norm()
        assert made.slope(direction) == pytest.approx(float(gradient.norm()), rel=0.02)
        assert loss == pytest.approx(sum(made.losses(range(2))) / 2, rel=1e-4)
    reached = [bool(part.any()) for part in made.adapters.gradients().values()]
    assert reached.count(False) <= {"Qwen-Image": 4}.get(name, 0)


@pytest.mark.parametrize("name", EDITORS)
def test_the_prediction_depends_on_the_reference(pack, monkeypatch, name):
    made = setup(pack, monkeypatch, name, (8, 8))
    own, without = made.losses([0])[0], None
    kept = made.batch
    made.batch = made.plain
    without = made.losses([0])[0]
    made.batch = [kept[0]._replace(conds=kept[1].conds)]
    others = made.losses([0])[0]
    assert abs(own - without) > 1e-4 * own and abs(own - others) > 1e-4 * own


def session(pack, model, dataset):
    t = pack.nodes.training
    settings = t.plan.settings.Settings(4, 2, 1e-2, 4, 3, t.plan.recipe.Recipe())
    made = t.step.session.Session(model, dataset, settings, None)
    comfy.model_management.load_models_gpu([made.patcher])
    made.prepare(False)
    return made


def test_a_caption_that_is_dropped_keeps_its_reference(pack):
    t = pack.nodes.training
    flux = FAMILIES["Flux.1"]
    dataset = t.data.dataset.TrainingSet(referenced(samples(pack, flux, 2), (8, 12)), [], tuple(caption(9)[0]), 1.0)
    made = session(pack, build(flux), dataset)
    for sample in made.samples:
        dressed = made._dressed(sample)
        assert torch.equal(dressed.conds["c_crossattn"].cond, caption(9)[0][0])
        assert torch.equal(dressed.conds["ref_latents"].cond[0], sample.conds["ref_latents"].cond[0])


def test_a_concept_keeps_the_references_of_its_pictures(pack):
    t = pack.nodes.training
    dataset = t.data.dataset.TrainingSet(referenced(samples(pack, FAMILIES["Flux.1"], 1), (8,)), [])
    taught = t.data.concept.preserving(t.data.concept.slider(dataset, caption(1), None, 2.0), caption(2), 1.0)
    reference = dataset.samples[0].options["reference_latents"][0]
    lessons = [options for sample in taught.samples for _, _, options in sample.lesson]
    assert len(lessons) == 4 and all(options["reference_latents"][0] is reference for options in lessons)
    assert taught.samples[1].options["reference_latents"][0] is reference


def test_a_model_that_takes_no_reference_says_so(pack, train):
    t = pack.nodes.training
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(3)}], [caption(i) for i in range(3)])
    dataset = dataset._replace(samples=[*referenced(dataset.samples[:2], (8, 8)), dataset.samples[2]])
    trained = train(tiny_sd3(), 2, dataset=dataset)
    assert ("2 of 3 pictures have a reference, which SD3 takes no notice of: it is not an editing model."
            in trained.notes)
