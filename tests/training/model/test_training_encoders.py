"""Text encoders trained along with the model: gradients, the file, and what is refused."""
import json
from pathlib import Path
from types import SimpleNamespace

import comfy.sd
import comfy.sd1_clip
import pytest
import torch
from training_graphs import tensors
from training_models import FAMILIES, build, caption, latents, randomise, tiny_sd3

WORDS = ("a plum on a blue cloth", "two pears, woodcut")

pytestmark = pytest.mark.usefixtures("own_output_folder")


def small_clip():
    """A CLIP-L with two layers of width 64 and the real tokenizer."""
    target = SimpleNamespace(params={}, clip=comfy.sd1_clip.SD1ClipModel, tokenizer=comfy.sd1_clip.SD1Tokenizer)
    config = dict(hidden_size=64, intermediate_size=128, num_attention_heads=4, num_hidden_layers=2, vocab_size=49408,
                  projection_dim=64)
    clip = comfy.sd.CLIP(target, model_options={"clip_l_model_config": config, "dtype": torch.float32})
    randomise(clip.cond_stage_model.requires_grad_(False), 5)
    return clip


class Setup:
    def __init__(self, pack, targets="TE.*=2@1e-4; J00=2; default=0"):
        self.t, self.clip = pack.nodes.training, small_clip()
        self.model = tiny_sd3(pooled=64)
        encode = self.t.data.captions.Encoder(self.clip)
        self.dataset = self.t.data.dataset.TrainingSet(
            [self.t.data.dataset.Sample(latents(1, seed=i), *encode(words)) for i, words in enumerate(WORDS)], [])
        self.shape = self.t.adapters.LoraShape(rank=2, targets=targets)
        self.settings = self.t.plan.settings.Settings(6, 2, 1e-2, 2, 0)

    def session(self):
        patcher = self.t.model.loading.load_for_training(self.model, self.dataset, self.settings.batch_size)
        return self.t.step.session.Session(patcher, self.dataset, self.settings, self.shape, self.clip)

    def train(self, dataset=None, clip=True):
        return self.t.training_run.train(self.model, dataset or self.dataset, self.settings, "words",
                                         self.t.monitoring.progress.Progress(6, "1"), self.shape,
                                         clip=self.clip if clip else None)


def loss(setup, session, gradient):
    """Of the batch with fixed noise; with its gradient left in the adapters when asked for."""
    t = setup.t
    generator = torch.Generator().manual_seed(3)
    noise = [torch.randn(1, 16, 8, 8, generator=generator) for _ in session.samples]
    with session.training(), torch.set_grad_enabled(gradient):
        batch = [session.denoiser.fresh(sample) for sample in session.samples]
        arguments = session.denoiser, session.objective, batch, noise, torch.tensor([0.5, 0.8])
        return t.step.gradient.backward(*arguments) if gradient else t.step.gradient.sample_losses(*arguments).mean()


def test_the_gradient_reaches_the_text_encoders_and_is_the_slope(host, pack):
    setup = Setup(pack)
    with torch.inference_mode(False):
        session = setup.session()
        session.prepare(False)
        flat = session.adapters.flat
        flat.add_(torch.randn(flat.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
        loss(setup, session, True)
        gradient, start, values = flat.grad.clone(), flat.clone(), []
        encoders = [name for name in session.adapters.layers if name.startswith("text_encoders.")]
        by_layer = session.adapters.gradients()
        # CLIP-L is read before its last layer where the model asks for it; every other adapter must learn.
        assert len(encoders) == 12 and sum(bool(by_layer[name].any()) for name in encoders) >= 6
        part = next(group.part for group in session.adapters.groups if group.rate == 1e-4)
        way = torch.zeros_like(flat)
        way[part] = gradient[part] / gradient[part].norm()
        for step in (1e-2, -1e-2):
            flat.copy_(start + step * way)
            values.append(loss(setup, session, False).item())
    assert (values[0] - values[1]) / 2e-2 == pytest.approx(gradient[part].norm().item(), rel=0.02)


def test_a_run_trains_both_and_the_host_loads_both(host, pack):
    setup = Setup(pack)
    before = setup.clip.encode_from_tokens(setup.clip.tokenize(WORDS[0]))
    trained = setup.train()
    assert trained.check.reached >= trained.check.adapters - 6
    assert torch.equal(before, setup.clip.encode_from_tokens(setup.clip.tokenize(WORDS[0])))
    name = Path(trained.path).name
    _, clip = host.nodes.NODE_CLASS_MAPPINGS["LoraLoader"]().load_lora(setup.model, setup.clip, name, 1.0, 1.0)
    assert len(clip.patcher.patches) == 12
    assert not torch.allclose(before, clip.encode_from_tokens(clip.tokenize(WORDS[0])), atol=1e-4)


def test_text_encoders_alone_can_be_trained(host, pack):
    setup = Setup(pack, targets="TE.*=2; default=0")
    trained = setup.train()
    keys, about = tensors(trained.path)
    assert json.loads(about["ss_tag_frequency"]) == {"captions": {
        "a plum on a blue cloth": 1, "two pears": 1, "woodcut": 1}}
    assert about["modelspec.resolution"] == "64x64" and about["modelspec.timestep_range"] == "0,1000"
    assert len(keys) == 36 and all(key.startswith("text_encoders.") for key in keys)
    assert trained.check.reached >= 6


@pytest.mark.parametrize("style, start", [("kohya", "lora_te"), ("diffusers", "text_encoder.")])
def test_text_encoders_have_names_in_every_format(host, pack, style, start):
    setup = Setup(pack)
    setup.shape = setup.t.adapters.LoraShape(rank=2, targets=setup.shape.targets, file_format=style)
    keys = tensors(setup.train().path)[0]
    assert sum(key.startswith(start) for key in keys) >= 24


def test_what_cannot_train_text_encoders_is_one_sentence(host, pack):
    setup = Setup(pack)
    with pytest.raises(ValueError, match="targets: TE names the text encoders, which are trained when they are connec"):
        setup.train(clip=False)
    encoded = setup.t.data.dataset.from_core_nodes([{"samples": latents(2)}], [caption(0, 77, 64, 64)])
    with pytest.raises(ValueError, match="dataset: expected the words of every caption to train text encoders with"):
        setup.train(encoded)


def test_connected_text_encoders_that_nothing_names_stay_as_they_are(host, pack):
    setup = Setup(pack, targets="J00=2; TE.*=0")
    session = setup.session()
    assert session.denoiser.clip is None
    assert not any(name.startswith("text_encoders.") for name in session.adapters.layers)


SMALL_T5 = dict(d_ff=128, d_kv=16, d_model=64, num_heads=4, num_layers=2)
SMALL_QWEN = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
                  num_key_value_heads=2)


@pytest.fixture(params=["T5", "Qwen3"])
def larger(request, pack):
    """Setup with AuraFlow and the text encoder of another family, shrunk, with its real tokenizer."""
    from comfy.text_encoders import pixart_t5, z_image
    encoder, tokenizer, options = {
        "T5": (pixart_t5.pixart_te(), pixart_t5.PixArtTokenizer, {"t5xxl_model_config": SMALL_T5}),
        "Qwen3": (z_image.te(), z_image.ZImageTokenizer, {"qwen3_4b_model_config": SMALL_QWEN})}[request.param]
    setup = Setup.__new__(Setup)
    setup.t, setup.model = pack.nodes.training, build(FAMILIES["AuraFlow"])
    target = SimpleNamespace(params={}, clip=encoder, tokenizer=tokenizer)
    setup.clip = comfy.sd.CLIP(target, model_options={**options, "dtype": torch.float32})
    randomise(setup.clip.cond_stage_model.requires_grad_(False), 5)
    data, encode = setup.t.data.dataset, setup.t.data.captions.Encoder(setup.clip)
    setup.dataset = data.TrainingSet(
        [data.Sample(latents(1, channels=4, seed=i), *encode(words)) for i, words in enumerate(WORDS)], [])
    setup.shape = setup.t.adapters.LoraShape(rank=2, targets="TE.*=2@1e-4; default=0")
    setup.settings = setup.t.plan.settings.Settings(6, 2, 1e-2, 2, 0)
    return setup


def test_the_encoders_of_newer_models_learn_by_the_slope_of_the_loss(host, pack, larger):
    with torch.inference_mode(False):
        session = larger.session()
        session.prepare(False)
        flat = session.adapters.flat
        flat.add_(torch.randn(flat.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
        generator = torch.Generator().manual_seed(3)
        noise = [torch.randn(1, 4, 8, 8, generator=generator) for _ in session.samples]

        def measured():
            batch = [session.denoiser.fresh(sample) for sample in session.samples]
            return larger.t.step.gradient.backward(session.denoiser, session.objective, batch, noise,
                                                   torch.tensor([0.5, 0.8]))

        with session.training():
            measured()
            gradient, start, values = flat.grad.clone(), flat.clone(), []
            way = gradient / gradient.norm()
            for step in (1e-2, -1e-2):
                flat.copy_(start + step * way)
                values.append(measured().item())
    assert (values[0] - values[1]) / 2e-2 == pytest.approx(gradient.norm().item(), rel=0.02)


def test_a_lora_of_newer_encoders_is_loaded_by_the_host(host, pack, larger):
    before = larger.clip.encode_from_tokens(larger.clip.tokenize(WORDS[0]))
    trained = larger.train()
    _, clip = host.nodes.NODE_CLASS_MAPPINGS["LoraLoader"]().load_lora(larger.model, larger.clip,
                                                                      Path(trained.path).name, 1.0, 1.0)
    assert len(clip.patcher.patches) == trained.layers > 10
    assert not torch.allclose(before, clip.encode_from_tokens(clip.tokenize(WORDS[0])), atol=1e-5)
