"""Critique guidance where weights are stored in eight bits, streamed, quantised or packed by another pack."""

import pytest
import torch
from studio_graphs import loaders, node

STEPS = 4


def streamed(model):
    """The model as a device with room for half of its weights loads it: the others are cast at every use."""
    class Streamed(type(model)):
        def partially_load(self, device, extra_memory=0, **more):
            return super().partially_load(device, min(extra_memory, self.model_size() // 2), **more)

    clone = model.clone()
    clone.__class__ = Streamed
    return clone


def with_lora(model):
    key = next(key for key in model.model.state_dict() if key.endswith("x_block.mlp.fc1.weight"))
    change = torch.randn(model.model.state_dict()[key].shape, generator=torch.Generator().manual_seed(6)) * 0.05
    clone = model.clone()
    assert clone.add_patches({key: ("diff", (change,))}, 0.5)
    return clone


def starter_model(starter, dtype="default"):
    import nodes
    return nodes.UNETLoader().load_unet(starter.MODEL, dtype)[0]


def diffusion(kind, **more):
    import training_models
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete
    return ModelSamplingDiscrete().patch(training_models.build(training_models.FAMILIES["SD1.5"], **more), kind,
                                         False)[0]


def quantised(name):
    import training_bases
    return training_bases.BASES[name][0]()


EIGHT_BITS = {"dtype": torch.float8_e4m3fn, "cast": torch.float32}
BASES = {
    "flow, eight bits": lambda starter: starter_model(starter, "fp8_e4m3fn"),
    "flow, streamed": lambda starter: streamed(starter_model(starter)),
    "flow, eight bits, streamed under a LoRA": lambda starter: with_lora(streamed(starter_model(starter,
                                                                                                "fp8_e4m3fn"))),
    "flow, int8": lambda starter: quantised("int8"),
    "flow, scaled fp8": lambda starter: quantised("fp8, activations too"),
    "flow, packed by another pack": lambda starter: quantised("opaque"),
    "eps, eight bits": lambda starter: diffusion("eps", **EIGHT_BITS),
    "eps, streamed": lambda starter: streamed(diffusion("eps")),
    "v, eight bits": lambda starter: diffusion("v_prediction", **EIGHT_BITS),
    "v, streamed": lambda starter: streamed(diffusion("v_prediction")),
}
APART = {"flow, int8": 5e-3}    # the host rounds activations by the whole batch: unguided pictures are 1.2e-3 apart


@pytest.fixture(scope="module")
def steer(pack, host):
    """The node's execute: steer(model, strength) -> MODEL."""
    node = host.nodes.NODE_CLASS_MAPPINGS["BottegaSteer"]

    def steer(model, strength, decoder="auto", vae=None, end=1.0, **more):
        with torch.inference_mode():
            return node.execute(model, "Balance=high", strength, 0.0, end, 0.1, decoder, vae, **more).result[0]
    return steer


@pytest.fixture
def draw(loaded):
    """Samples as the host's nodes do, inside inference mode: noise [B, ...] -> latents."""
    import comfy.model_management
    import comfy.sample
    import training_models

    def draw(model, noise):
        with torch.inference_mode():
            if len(noise[0]) == 4:
                words, empty = (training_models.caption(seed, 8, 16, pooled=0) for seed in (1, 2))
            elif noise.shape[-1] == 16:
                words, empty = loaded.encode("a red circle on the left on a white background"), loaded.encode("")
            else:
                words, empty = training_models.caption(1), training_models.caption(2)
            return comfy.sample.sample(model, noise, STEPS, 3.0, "euler", "normal", words, empty,
                                       torch.zeros_like(noise), disable_pbar=True, seed=5).clone()
    yield draw
    comfy.model_management.unload_all_models()


def noise_for(base, model):
    size = 8 if base in ("flow, int8", "flow, scaled fp8", "flow, packed by another pack") else 16
    channels = model.model.latent_format.latent_channels
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(5))


def points(pack, model, latent):
    rewards, decoder = pack.nodes.studio.gradient.reward, pack.nodes.studio.gradient.latent_decoder.decoder(model)
    rubric = pack.nodes.critique.rubric.rubric_language.parse("Balance=high")
    paintings = pack.nodes.critique.reference.distributions.paintings()
    reward = rewards.reward(rewards.named(rubric), paintings, False)
    with torch.no_grad():
        return reward(decoder.decode(model.model.process_latent_in(latent).float()))


@pytest.mark.parametrize("base", BASES)
def test_off_it_changes_no_bit_and_on_it_moves_each_picture_as_it_would_alone(pack, starter, steer, draw, base):
    with torch.inference_mode():    # as the host's loaders
        model = BASES[base](starter)
    noise = noise_for(base, model)
    plain = draw(model, noise)
    assert model.model.model_lowvram == ("streamed" in base)
    if "eight bits" in base:
        assert torch.float8_e4m3fn in {weight.dtype for weight in model.model.state_dict().values()}
    off, on = steer(model, 0.0), steer(model, 5.0)
    assert off is model and torch.equal(draw(off, noise), plain)
    guided = draw(on, noise)
    assert (points(pack, model, guided) > points(pack, model, plain) + 2).all()
    alone = torch.cat([draw(on, each) for each in noise.split(1)])
    assert torch.allclose(guided, alone, atol=APART.get(base, 1e-3) * plain.abs().max().item())
    assert torch.equal(draw(model, noise), plain)


@pytest.mark.parametrize("base", BASES)
def test_a_push_passes_through_the_model_and_leaves_it_as_it_was(pack, starter, steer, draw, base):
    with torch.inference_mode():
        model = BASES[base](starter)
    noise = noise_for(base, model)
    plain = draw(model, noise)
    pushing = steer(model, 5.0, end=0.0, push=0.1, push_end=0.8)
    pushed = draw(pushing, noise)
    assert (pushed - plain).abs().amax((1, 2, 3)).min() > 1e-3 * plain.abs().max()
    assert points(pack, model, pushed).mean() > points(pack, model, plain).mean()
    assert torch.equal(draw(model, noise), plain)


def test_a_streamed_vae_gives_the_gradient_of_a_whole_one(starter, steer, loaded):
    import comfy.model_management

    import nodes
    latent = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        vae, = nodes.VAELoader().load_vae(starter.VAE)
        vae.patcher = streamed(vae.patcher)
        comfy.model_management.load_models_gpu([vae.patcher])
        assert vae.first_stage_model is vae.patcher.model
        moves = [steer(loaded.model, 5.0, "VAE", each).model_options["sampler_post_cfg_function"][-1].move(latent)
                 for each in (loaded.vae, vae)]
    assert moves[0].abs().max() > 0 and torch.allclose(*moves, atol=1e-5)


def test_in_a_graph_an_eight_bit_model_is_steered(host, starter):
    import numpy as np
    from PIL import Image

    def picture(strength):
        outputs, _ = host.run(loaders(starter) | {
            "model": node("UNETLoader", unet_name=starter.MODEL, weight_dtype="fp8_e4m3fn"),
            "words": node("CLIPTextEncode", text="a red circle on the left on a white background", clip=["clip", 0]),
            "empty": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
            "steer": node("BottegaSteer", model=["model", 0], rubric="Balance=high", strength=strength, start=0.0,
                          end=1.0, norm_limit=0.1, decoder="auto"),
            "sampled": node("KSampler", model=["steer", 0], seed=3, steps=STEPS, cfg=1.0, sampler_name="euler",
                            scheduler="simple", positive=["words", 0], negative=["words", 0],
                            latent_image=["empty", 0], denoise=1.0),
            "pixels": node("VAEDecode", samples=["sampled", 0], vae=["vae", 0]),
            "saved": node("SaveImage", images=["pixels", 0], filename_prefix="eight_bits")})
        saved = outputs["saved"]["images"][0]
        with Image.open(host.tmp / "output" / saved["subfolder"] / saved["filename"]) as image:
            return np.asarray(image.convert("RGB")).copy()

    plain, steered = picture(0.0), picture(30.0)
    assert np.abs(plain.astype(int) - steered).max() > 8
