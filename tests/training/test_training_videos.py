"""Video models learn videos: their gradients beside plain autograd in float64, a moving square, and the whole graph."""
import comfy.model_management
import comfy.sample
import comfy.sd
import pytest
import torch
from PIL import Image
from real_host import GraphError
from safetensors.torch import load_file
from torch.nn import functional as F
from training_gradients import Setup
from training_models import FAMILIES, build, tiny_sd3
from training_videos import FRAMES, moving, moving_square, still, teach_still_squares, write_video

WAN = FAMILIES["Wan 2.1"]
WORDLESS = [[torch.zeros(1, 8, 64), {}]]


def plain_gradient(setup, name):
    """(loss, {layer: gradient of its down and up}) of the merged weights W + up @ down in float64: torch's own autograd
    on the host's network, which keeps what its code overwrites."""
    twin = build(FAMILIES[name], dtype=torch.float64)
    network, factors = twin.model.diffusion_model, {}
    for layer, adapter in setup.adapters.layers.items():
        trained = {key: value.detach().double().requires_grad_() for key, value in adapter.trained.items()}
        factors[layer] = trained
        module = network.get_submodule(layer)
        module.forward = merged(module.weight, module.bias, trained, adapter.scale)
    (sample,), (noise,), sigma = setup.batch, setup.noise, setup.sigma
    noisy = (1 - sigma.item()) * sample.latent + sigma.item() * noise
    conds = {key: cond.cond for key, cond in sample.conds.items()}
    before, comfy.model_management.in_training = comfy.model_management.in_training, True
    try:
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            denoised = twin.model.apply_model(noisy, sigma, transformer_options={"sigmas": sigma}, **conds)
            velocity = (noisy - denoised) / sigma.item()
            loss = (velocity - (noise - sample.latent)).double().square().mean()
            loss.backward()
    finally:
        comfy.model_management.in_training = before
    return loss.item(), {layer: torch.cat([part.grad.flatten() for part in trained.values()])
                         for layer, trained in factors.items()}


def merged(weight, bias, trained, scale):
    def forward(x):
        change = trained["up"] @ trained["down"]
        return F.linear(x.double(), weight + scale * change, bias)
    return forward


@pytest.mark.parametrize("name", ["Wan 2.1", "HunyuanVideo", "LTXV"])
def test_the_gradient_of_a_video_is_that_of_plain_autograd_in_double_precision(pack, name):
    setup = Setup(pack, name, 1)
    assert setup.batch[0].latent.shape[2] > 1
    loss, _ = setup.gradient(checkpoint=True)
    plain_loss, plain = plain_gradient(setup, name)
    assert loss == pytest.approx(plain_loss, rel=1e-5)
    own = setup.adapters.gradients()
    largest = max(part.norm() for part in plain.values())
    errors = {layer: float((own[layer] - part).norm() / part.norm().clamp(min=1e-3 * largest))
              for layer, part in plain.items()}
    assert own.keys() == plain.keys() and max(errors.values()) < 1e-4, errors


def drawn(patcher, seeds):
    """Latents in the model's own space that the host's own sampler draws, without words."""
    comfy.model_management.load_models_gpu([patcher])
    shape, found = (1, 16, FRAMES, 4, 8), []
    with torch.inference_mode():
        for seed in seeds:
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            found.append(comfy.sample.sample(patcher, noise, 12, 1.0, "euler", "simple", WORDLESS, WORDLESS,
                                             torch.zeros(shape), disable_pbar=True, seed=seed))
    return patcher.model.process_latent_in(torch.cat(found))


def nearer_to_movement(patcher, latents):
    """Of how many latents the nearest clip of squares is one that moves."""
    def apart(clips):
        clips = patcher.model.process_latent_in(torch.cat(clips))
        return (latents[:, None] - clips[None]).square().flatten(2).mean(2).amin(1)
    return int((apart(moving(patcher.model)) < apart(still(patcher.model))).sum())


def test_a_movement_is_learnt_that_the_model_did_not_have(pack, train):
    patcher = build(WAN)
    teach_still_squares(patcher)
    assert nearer_to_movement(patcher, drawn(patcher, range(8))) <= 1
    dataset = pack.nodes.training.data.dataset.from_core_nodes([{"samples": torch.cat(moving(patcher.model))}],
                                                               [WORDLESS])
    lora = train(patcher, 300, dataset=dataset, batch_size=4, rate=1e-2, rank=16)
    assert lora.check.reached == lora.check.adapters and lora.check.gradient_error < 1e-4
    model = comfy.sd.load_lora_for_models(patcher, None, load_file(lora.path), 1.0, 0.0)[0]
    assert nearer_to_movement(model, drawn(model, range(8))) >= 7


@pytest.fixture
def graph(feed, video_vae, clip, tmp_path):
    """graph(model): two videos on their way through Training Set and Train LoRA."""
    for name, step in (("slow", 1), ("fast", 3)):
        write_video(tmp_path / f"{name}.mp4", moving_square(12, (48, 48), step=step))
        (tmp_path / f"{name}.txt").write_text(f"a square, {name}", encoding="utf-8")

    def made(model):
        link = {"model": feed("MODEL", model), "vae": feed("VAE", video_vae), "clip": feed("CLIP", clip)}
        return {
            **link,
            "set": {"class_type": "BottegaTrainingSet", "inputs": {
                "vae": ["vae", 0], "clip": ["clip", 0], "folder": str(tmp_path), "resolution": 48, "frames": "5, 9"}},
            "prompt": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["clip", 0], "text": "a square, slow"}},
            "recipe": {"class_type": "BottegaRecipe", "inputs": {"sample_every": 2, "sample_steps": 2}},
            "train": {"class_type": "BottegaTrainLora", "inputs": {
                "model": ["model", 0], "dataset": ["set", 0], "recipe": ["recipe", 0], "sample_prompts": ["prompt", 0],
                "vae": ["vae", 0], "steps": 2, "batch_size": 2, "learning_rate": 1e-3, "rank": 2, "seed": 3,
                "name": "square"}},
        }
    return made


def test_videos_train_in_a_graph_and_samples_are_animations(host, graph, output_folder):
    network = dict(WAN.unet, text_dim=4096)
    shown, _ = host.run(graph(build(WAN._replace(unet=network))))
    assert "**2 steps on 2 pictures**" in shown["train"]["text"][0]
    assert [path.name for path in (output_folder / "loras").iterdir()] == ["square.safetensors"]
    samples = sorted((output_folder / "training" / "square" / "samples").iterdir())
    assert [path.name for path in samples] == ["step_00000000_1.webp", "step_00000002_1.webp"]
    with Image.open(samples[1]) as animation:
        assert (animation.n_frames, animation.size) == (9, (48, 48))
        animation.load()
        assert animation.info["duration"] == 62                     # 16 frames a second


def test_a_model_of_pictures_refuses_videos_with_a_sentence(host, graph):
    with pytest.raises(GraphError) as error:
        host.run(graph(tiny_sd3(text=4096, pooled=2048)))
    assert error.value.args[0]["exception_message"].startswith(
        "dataset: expected pictures, because SD3 is a model of pictures; fast.mp4 is a video of 3 latent frames.")


def test_previews_of_videos_without_a_vae_have_a_frame_for_each_of_the_latent(pack, tmp_path):
    t, patcher = pack.nodes.training, build(WAN)
    plan = t.plan.recipe.SamplePlan(steps=1, cfg=1.0)
    comfy.model_management.load_models_gpu([patcher])
    samples = t.monitoring.sample_pictures.Samples(patcher, WORDLESS, None, plan, 3, torch.Size([1, 16, 3, 4, 6]),
                                                   tmp_path, fps=16)
    samples.save(samples.draw(), 0)
    with Image.open(tmp_path / "step_00000000_1.webp") as animation:
        assert (animation.n_frames, animation.size) == (3, (48, 32))
        animation.load()
        assert animation.info["duration"] == 250                    # a latent frame stands for four
