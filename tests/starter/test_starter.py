"""The starter in the host's own classes: what is written down matches its formula, the model draws what is asked."""
import random

import pytest
import torch


@pytest.fixture(scope="module")
def vae():
    import comfy.sd
    import vae
    return comfy.sd.VAE(sd=vae.write_down())


@pytest.fixture(scope="module")
def clip(installed):
    import comfy.sd
    return comfy.sd.load_clip([str(installed / "models/text_encoders/bottega_starter_text.safetensors")],
                              clip_type=comfy.sd.CLIPType.SD3)


def photograph(size):
    from skimage import data
    picture = torch.from_numpy(data.astronaut()).movedim(-1, 0)[None] / 255
    return torch.nn.functional.interpolate(picture, (size, size), mode="area")


@torch.inference_mode()
def test_the_host_encodes_a_photograph_as_the_formula_says(vae):
    from vae import SCALE, SHIFT, model_space
    photo = photograph(128)
    latent = vae.encode(photo.movedim(1, -1))
    assert latent.shape == (1, 16, 16, 16)
    torch.testing.assert_close((latent - SHIFT) * SCALE, model_space(photo), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_flat_picture_comes_back_with_its_edges_intact(vae):
    flat = torch.tensor([0.9, 0.3, 0.1]).expand(1, 128, 128, 3)
    torch.testing.assert_close(vae.decode(vae.encode(flat)), flat, atol=1e-3, rtol=0)


@torch.inference_mode()
def test_a_photograph_of_32_dots_comes_back_close_to_itself(vae):
    dots = photograph(32)
    photo = torch.nn.functional.interpolate(dots, scale_factor=4, mode="bilinear")
    assert (vae.decode(vae.encode(photo.movedim(1, -1))).movedim(-1, 1) - photo).abs().mean() < 0.06  # 0.0415 measured


@torch.inference_mode()
def test_the_hosts_preview_of_a_latent_shows_the_right_colours():
    import comfy.latent_formats
    from latent_preview import Latent2RGBPreviewer
    from vae import model_space
    sd3 = comfy.latent_formats.SD3()
    halves = torch.zeros(1, 3, 128, 128)
    halves[:, 0, :, :64], halves[:, 2, :, 64:] = 1, 1
    preview = Latent2RGBPreviewer(sd3.latent_rgb_factors).decode_latent_to_preview(model_space(halves))
    left, right = preview.getpixel((3, 8)), preview.getpixel((12, 8))
    assert left[0] > max(left[1:]) + 40 and right[2] > max(right[:2]) + 40


@pytest.mark.parametrize("prompt", ["", "a red circle",
                                    "a small red circle left of a blue square at night, outlined style"])
@torch.inference_mode()
def test_the_hosts_clip_gives_what_the_training_script_computed(clip, prompt):
    import text
    tokens = clip.tokenize(prompt)
    ids = [t[0] for t in tokens["l"][0]]
    context, pooled = clip.encode_from_tokens(tokens, return_pooled=True)
    expected, expected_pooled = text.encode(ids[:ids.index(text.END) + 1], text.codes())
    n = len(expected)
    torch.testing.assert_close(context[0, :n, :text.READ], expected, atol=2e-3, rtol=0)
    torch.testing.assert_close(pooled[0, :text.READ], expected_pooled, atol=2e-3, rtol=0)
    assert context[0, n:, :text.READ].abs().max() < 1e-6, "padding must read as zero"


def test_the_shipped_model_reads_nothing_but_what_the_text_encoder_writes(installed):
    import text
    from safetensors.torch import load_file
    model = load_file(installed / "models/diffusion_models/bottega_starter.safetensors")
    for name in ("context_embedder.weight", "y_embedder.mlp.0.weight"):
        weight = model[f"model.diffusion_model.{name}"]
        assert weight[:, :text.READ].any() and not weight[:, text.READ:].any()


def test_a_held_out_combination_never_reaches_the_training_set():
    import pictures
    rng = random.Random(3)
    parts = lambda scene: ([(t.shape, t.colour) for t in scene.things], scene.ground, scene.style)
    assert not any(pictures.held_out(*parts(pictures.random_scene(rng))) for _ in range(300))
    assert all(pictures.held_out(*parts(pictures.random_scene(rng, test=True))) for _ in range(100))


def test_the_judge_names_what_was_drawn():
    import judge
    import pictures
    rng = random.Random(5)
    scenes = [pictures.random_scene(rng) for _ in range(40)]
    right = [judge.agrees(judge.find(pictures.draw(s, 128, rng), s.ground), s) for s in scenes]
    assert sum(right) >= 39


def test_the_judge_notices_a_wrong_colour_shape_place_or_count():
    import judge
    import pictures
    rng = random.Random(6)
    scene = pictures.two_things(rng, ("star", "red"), ("ring", "blue"), "left of", "white", "flat")
    found = judge.find(pictures.draw(scene), "white")
    assert judge.agrees(found, scene)
    wrong = [(("star", "red"), ("ring", "cyan")), (("heart", "red"), ("ring", "blue")),
             (("ring", "blue"), ("star", "red"))]
    assert not any(judge.agrees(found, pictures.two_things(rng, *pair, "left of", "white", "flat")) for pair in wrong)
    assert not judge.agrees(found, pictures.one_thing(rng, "star", "red", "white", "flat"))


def test_installing_again_writes_nothing(installed):
    from install import LORAS, PICTURES, install_models, install_pictures
    stamps = lambda: {p: p.stat().st_mtime_ns for p in installed.rglob("*") if p.is_file()}
    before = stamps()
    install_models(installed / "models")
    install_pictures(installed / "input" / PICTURES)
    assert stamps() == before and len(before) == 3 + len(LORAS) + 2 * 12


def test_what_is_installed_is_as_open_as_any_new_file(installed, tmp_path):
    (tmp_path / "any").touch()
    modes = {path.stat().st_mode for path in installed.rglob("*") if path.is_file()}
    assert modes == {(tmp_path / "any").stat().st_mode}


def test_an_interrupted_write_leaves_no_file_behind(tmp_path):
    from install import beside

    def broken(part):
        part.write_text("half", encoding="utf-8")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        beside(tmp_path / "model.safetensors", broken)
    assert list(tmp_path.iterdir()) == []


def test_unseen_prompts_give_the_right_things(host, installed):
    """A sample of what starter/evaluate.py checks on 240 prompts."""
    import judge
    from evaluate import Starter, unseen_scenes
    starter, scenes = Starter(installed / "models"), unseen_scenes(24, seed=1)
    with torch.inference_mode():
        images = [starter.sample(s.prompt, i)[0] for i, s in enumerate(scenes)]
    right = sum(judge.agrees(judge.find(image, s.ground), s) for image, s in zip(images, scenes, strict=True))
    assert right >= 20, f"{right} of {len(scenes)}"
