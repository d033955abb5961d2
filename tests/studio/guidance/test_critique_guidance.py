"""Critique guidance in the real host: it raises what it steers, and does nothing at all where it is off."""
from copy import deepcopy

import pytest
import torch
from real_host import GraphError
from studio_graphs import loaders, node


@pytest.fixture(scope="module")
def earned(studio, parse, paintings):
    """Points of latents as a sampler returns them."""
    def earned(model, latent, text="Balance=high"):
        found, rewards = studio("gradient.latent_decoder").decoder(model), studio("gradient.reward")
        reward = rewards.reward(rewards.named(parse(text)), paintings, found.detail)
        with torch.no_grad():
            return reward(found.decode(model.model.process_latent_in(latent).clone().float()))
    return earned


def sample(model, words, empty, shape, steps=4, cfg=3.0, sampler="euler", scheduler="simple", seed=5):
    import comfy.sample
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        return comfy.sample.sample(model, noise, steps, cfg, sampler, scheduler, words, empty,
                                   torch.zeros(shape), disable_pbar=True, seed=seed).clone()


@pytest.fixture(scope="module")
def draw(loaded):
    words, empty = loaded.encode("a red circle on the left on a white background"), loaded.encode("")

    def draw(model, count=1, **more):
        return sample(model, words, empty, (count, 16, 16, 16), **more)
    return draw


@pytest.fixture(scope="module")
def plain(loaded, draw):
    return draw(loaded.model, 2)


def test_a_flow_model_is_guided_to_more_points(loaded, draw, plain, guided, earned):
    found = draw(guided(loaded.model), 2)
    assert (earned(loaded.model, found) > earned(loaded.model, plain) + 2).all()


@pytest.mark.parametrize("kind", ["eps", "v_prediction"])
def test_diffusion_models_are_guided_to_more_points(guided, earned, kind):
    import training_models
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete
    model, = ModelSamplingDiscrete().patch(training_models.build(training_models.FAMILIES["SD1.5"]), kind, False)
    words, empty = (training_models.caption(seed, 8, 16, pooled=0) for seed in (1, 2))
    runs = [sample(each, words, empty, (2, 4, 16, 16), scheduler="normal") for each in (model, guided(model))]
    before, after = (earned(model, latent) for latent in runs)
    assert (after > before + 5).all()


def test_through_a_vae_fine_detail_is_steered_too(loaded, draw, plain, guided, module):
    text = "Texture=high"
    found = draw(guided(loaded.model, text, vae=loaded.vae, points=20.0))
    slope = module("critique.measures.soft").slope
    with torch.inference_mode():
        before, after = (slope(loaded.vae.decode(latent[:1]).movedim(-1, 1).clone()) for latent in (plain, found))
    assert after > before


def test_outside_its_range_nothing_changes_to_the_last_bit(loaded, draw, plain, guided):
    never = guided(loaded.model, start=0.9999)  # after the last of four steps
    assert torch.equal(draw(never, 2), plain)


def test_the_model_itself_and_its_weights_stay_as_they_were(loaded, draw, plain, guided):
    weights = {name: tensor.clone() for name, tensor in loaded.model.model.state_dict().items()}
    draw(guided(loaded.model))
    after = loaded.model.model.state_dict()
    assert all(torch.equal(weights[name], after[name]) for name in weights)
    assert torch.equal(draw(loaded.model, 2), plain)


def test_each_picture_of_a_batch_is_moved_as_it_would_be_alone(loaded, guided):
    guidance = guided(loaded.model).model_options["sampler_post_cfg_function"][-1]
    latent = torch.randn(3, 16, 16, 16, generator=torch.Generator().manual_seed(1)) * torch.tensor([.1, 1, 3]).view(
        -1, 1, 1, 1)
    with torch.inference_mode():
        alone = torch.cat([guidance.move(each) for each in latent.split(1)])
        assert torch.allclose(guidance.move(latent), alone, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_move_is_counted_in_float32_and_keeps_to_its_limit(loaded, guided, dtype):
    model = guided(loaded.model, "Value=high", limit=0.02, points=100.0)
    guidance = model.model_options["sampler_post_cfg_function"][-1]
    with torch.inference_mode():
        latent = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(1)).to(dtype)
        after = guidance({"denoised": latent, "sigma": torch.ones(2)})
        assert after.dtype == dtype and guidance.move(latent).dtype == torch.float32
        share = (after - latent).double().flatten(1).norm(dim=1) / latent.double().flatten(1).norm(dim=1)
    assert (share <= 0.0205).all() and share[0] > 0 and share[1] > 0.0195


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("pixels", [0.005, 0.02])
def test_few_pixels_change_by_more_than_their_limit(loaded, guided, pixels, fitted):
    """Seen as guidance sees it; without the limit the same move goes further."""
    latent = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(1))

    def change(limit):
        guidance = guided(loaded.model, limit=0.5, points=100.0, pixels=limit, vae=loaded.vae if fitted else None
                          ).model_options["sampler_post_cfg_function"][-1]
        seen = [guidance.decoder.decode(each) for each in (latent, latent + guidance.move(latent))]
        return (seen[1] - seen[0]).abs().flatten(1)

    assert ((change(pixels) > pixels + 1e-4).float().mean(1) <= 0.021).all()
    assert change(pixels).amax() > pixels / 4
    assert change(1.0).mean() > change(pixels).mean()


def test_within_a_limit_of_pixels_a_video_of_equal_frames_moves_as_its_picture(loaded, guided):
    latent = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    guidance = guided(loaded.model, limit=0.5, points=100.0, pixels=0.02, vae=loaded.vae).model_options[
        "sampler_post_cfg_function"][-1]
    video = guidance.move(latent[:, :, None].expand(-1, -1, 3, -1, -1).clone())
    assert (picture := guidance.move(latent)).abs().amax() > 0
    assert torch.allclose(video, picture[:, :, None].expand_as(video), atol=1e-4)


def test_a_latent_without_a_gradient_stays_where_it_is(loaded, guided):
    guidance = guided(loaded.model).model_options["sampler_post_cfg_function"][-1]
    with torch.inference_mode():
        assert guidance.move(torch.zeros(1, 16, 16, 16)).isfinite().all()
        assert guidance.move(torch.full((1, 16, 16, 16), 1e4)).isfinite().all()


def test_other_patches_are_seen_in_their_order_and_two_guidances_add_up(loaded, draw, guided, earned):
    seen = []

    def watch(args):
        seen.append(args["denoised"].clone())
        return args["denoised"]

    first = loaded.model.clone()
    first.set_model_sampler_post_cfg_function(watch)
    both = guided(guided(first, "Balance=high"), "Colour richness=low")
    both.set_model_sampler_post_cfg_function(watch)
    found = draw(both)
    before, after = seen[0], seen[1]
    one, two = both.model_options["sampler_post_cfg_function"][1:3]
    with torch.inference_mode():
        middle = before + one.move(before)
        assert torch.allclose(after, middle + two.move(middle), atol=1e-6)
    alone = draw(guided(loaded.model, "Balance=high"))
    text = "Colour richness=low"
    assert earned(loaded.model, found, text) > earned(loaded.model, alone, text)
    assert torch.equal(draw(guided(loaded.model, "Balance=high")), alone)  # and the pair left nothing behind


def test_a_video_gets_a_gradient_in_every_frame(guided):
    import training_models
    model = training_models.build(training_models.FAMILIES["Wan 2.1"])
    guidance = guided(model).model_options["sampler_post_cfg_function"][-1]
    with torch.inference_mode():
        move = guidance.move(torch.randn(1, 16, 3, 8, 8, generator=torch.Generator().manual_seed(1)))
    assert (move.abs().amax((0, 1, 3, 4)) > 0).all()


def test_cancel_is_honoured_at_the_step(loaded, draw, guided):
    import comfy.model_management
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        draw(guided(loaded.model))


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m", "uni_pc"])
def test_early_pushes_through_the_model_alone_earn_points(loaded, draw, guided, earned, sampler):
    """start = end: the predicted clean latent is not moved."""
    plain = draw(loaded.model, 2, steps=6, sampler=sampler)
    found = draw(guided(loaded.model, start=0.5, end=0.5, push=0.1), 2, steps=6, sampler=sampler)
    assert earned(loaded.model, found).mean() > earned(loaded.model, plain).mean() + 0.5


@pytest.mark.parametrize("kind", ["eps", "v_prediction"])
def test_a_push_raises_what_diffusion_models_predict_next(guided, earned, kind):
    import training_models
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete
    model, = ModelSamplingDiscrete().patch(training_models.build(training_models.FAMILIES["SD1.5"]), kind, False)
    words, empty = (training_models.caption(seed, 8, 16, pooled=0) for seed in (1, 2))
    pushed = guided(model, start=0.5, end=0.5, push=0.1, push_end=0.8)
    runs = [sample(each, words, empty, (2, 4, 16, 16), scheduler="normal") for each in (model, pushed)]
    before, after = (earned(model, latent) for latent in runs)
    assert (after > before).all()


def test_without_a_push_nothing_changes_to_the_last_bit(loaded, draw, plain, guided):
    for push, push_end in ((0.0, 0.6), (0.1, 0.01)):
        assert torch.equal(draw(guided(loaded.model, push=push, push_end=push_end)), draw(guided(loaded.model)))
    never = guided(loaded.model, start=0.9999, push=0.1, push_end=0.1)  # between the first and the second of four steps
    assert torch.equal(draw(never, 2), plain)


@pytest.fixture
def pass_of(loaded, studio, parse, paintings):
    """(predict, noisy [2, ...], a Push): one pass of the starter as a push sees it, at sigma 0.9."""
    push, rewards = studio("guidance.early_push"), studio("gradient.reward")
    found = studio("gradient.latent_decoder").decoder(loaded.model)
    reward = rewards.reward(rewards.named(parse("Balance=high")), paintings, found.detail)
    words = loaded.encode("a red circle on the left on a white background")[0]
    with torch.inference_mode():
        noisy = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(1))

    def predict(own):
        return loaded.model.model.apply_model(own, own.new_full((len(own),), 0.9), c_crossattn=words[0].expand(
            len(own), -1, -1), y=words[1]["pooled_output"].expand(len(own), -1))
    return predict, noisy, push.Push(reward, found, 0.02, 1.0, 0.0)


def test_a_push_raises_what_the_model_predicts_of_each_picture_and_keeps_the_norm(loaded, studio, module, pass_of):
    push, gradient = studio("guidance.early_push"), studio("guidance.reward_gradient")
    predict, noisy, part = pass_of
    with torch.inference_mode():
        clean, directions = push.predict_with_gradients(predict, noisy, [part], loaded.model)
        moved = push.moved_along(noisy, directions, [part.share])
        before, after = (gradient.reward_slope(part.reward, part.decoder, each, False).points
                         for each in (clean, predict(moved)))
        assert torch.allclose(gradient.norm(moved), gradient.norm(noisy), rtol=1e-5)
        assert torch.allclose(clean, predict(noisy), atol=1e-5)
    assert (after > before).all()


def test_pictures_of_a_batch_are_pushed_alike_alone_and_where_blocks_are_run_again(loaded, studio, module, pass_of):
    push = studio("guidance.early_push")
    predict, noisy, part = pass_of
    blocks = list(module("training.model.layers").repeated_blocks(loaded.model.model.diffusion_model))
    with torch.inference_mode():
        _, (both,) = push.predict_with_gradients(predict, noisy, [part], loaded.model)
        alone = torch.cat([push.predict_with_gradients(predict, each, [part], loaded.model)[1][0]
                           for each in noisy.split(1)])
        _, (again,) = push._predict_with_gradients(predict, noisy, [part], loaded.model, blocks)
    assert blocks and torch.allclose(both, again, rtol=1e-4, atol=1e-6 * both.abs().max().item())
    assert torch.cosine_similarity(both.flatten(1), alone.flatten(1)).min() > 0.9999


def test_two_nodes_push_in_one_pass_and_leave_nothing_behind(loaded, draw, plain, guided):
    options = dict(start=0.5, end=0.5, push=0.1)
    first = guided(loaded.model, "Balance=high", **options)
    both = guided(first, "Colour richness=low", **options)
    one, two, together = (draw(each) for each in (first, guided(loaded.model, "Colour richness=low", **options), both))
    assert not torch.equal(together, one) and not torch.equal(together, two)
    assert torch.equal(draw(first), one) and torch.equal(draw(loaded.model, 2), plain)


def test_a_model_whose_gradient_is_silently_wrong_is_found_at_its_first_push(loaded, studio, pass_of, monkeypatch):
    push, (predict, noisy, part) = studio("guidance.early_push"), pass_of
    monkeypatch.setattr(push, "_checked", set())

    def spoiled(own):
        hidden = own * 1
        kept = hidden * hidden
        hidden.data.add_(3)             # as a kernel does that autograd does not see
        return predict(own) + 0.1 * kept

    with pytest.raises(ValueError, match="push: expected a model whose gradient is right, got one where it differs"):
        push.predict_with_gradients(spoiled, noisy, [part], loaded.model)
    push.predict_with_gradients(predict, noisy, [part], loaded.model)
    assert push._checked == {loaded.model.model.diffusion_model}


def test_a_gradient_that_memory_is_too_short_to_check_is_said_once(loaded, studio, pass_of, monkeypatch, caplog):
    push, (predict, noisy, part) = studio("guidance.early_push"), pass_of
    monkeypatch.setattr(push, "_checked", set())
    plain = push._predict_with_gradients

    def full_at_the_reference(*arguments, reference=False):
        if reference:
            raise torch.OutOfMemoryError("full")
        return plain(*arguments, reference=reference)

    monkeypatch.setattr(push, "_predict_with_gradients", full_at_the_reference)
    for _ in range(2):
        push.predict_with_gradients(predict, noisy, [part], loaded.model)
    assert caplog.messages.count(push.NOT_CHECKED) == 1


def test_a_patch_that_stops_the_gradient_is_named(loaded, draw, plain, guided):
    blind = loaded.model.clone()
    blind.set_model_sampler_post_cfg_function(lambda args: args["denoised"].detach())
    with pytest.raises(ValueError, match="patch that stops it .* set push to 0"):
        draw(guided(blind, push=0.1))
    assert torch.equal(draw(loaded.model, 2), plain)


def graph(starter, **inputs):
    return loaders(starter) | {
        "words": node("CLIPTextEncode", text="a red circle on the left on a white background", clip=["clip", 0]),
        "none": node("CLIPTextEncode", text="", clip=["clip", 0]),
        "empty": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "steer": node("BottegaSteer", **dict(
            model=["model", 0], rubric="Balance=high; Line=1", strength=5.0, start=0.0, end=0.8, norm_limit=0.1,
            decoder="auto") | inputs),
        "sampled": node("KSampler", model=["steer", 0], seed=3, steps=4, cfg=3.0, sampler_name="euler",
                        scheduler="simple", positive=["words", 0], negative=["none", 0], latent_image=["empty", 0],
                        denoise=1.0),
        "pixels": node("VAEDecode", samples=["sampled", 0], vae=["vae", 0]),
        "saved": node("SaveImage", images=["pixels", 0], filename_prefix="steer"),
        "said": node("PreviewAny", source=["steer", 1]),
    }


def picture(host, prompt):
    import numpy as np
    from PIL import Image
    outputs, _ = host.run(deepcopy(prompt))
    saved = outputs["saved"]["images"][0]
    with Image.open(host.tmp / "output" / saved["subfolder"] / saved["filename"]) as image:
        return torch.from_numpy(np.asarray(image.convert("RGB")).copy()), outputs["said"]["text"][0]


def test_in_a_graph_it_moves_the_picture_and_says_what_it_steers(host, starter):
    bare = graph(starter)
    bare["sampled"]["inputs"]["model"] = ["model", 0]
    plain, _ = picture(host, bare)
    steered, said = picture(host, graph(starter))
    assert not torch.equal(plain, steered)
    assert "Balance: the more the better" in said and "Line: nothing differentiable" in said
    pushed, said = picture(host, graph(starter, push=0.1, push_end=0.6))
    assert not torch.equal(pushed, steered) and "from 4% to 60% pushes the noisy latent by 10.0%" in said
    for off in ({"strength": 0.0, "push": 0.1}, {"start": 0.5, "end": 0.5}):
        same, said = picture(host, graph(starter, **off))
        assert torch.equal(plain, same) and said.startswith("Off:")


@pytest.mark.parametrize("inputs, words", [
    ({"rubric": "*=0; Line=1"}, "name one of .*Balance"),
    ({"rubric": "Texture=high"}, r"too coarse for fine detail \(Slope Redies\); connect a VAE"),
    ({"rubric": "Ballance=high"}, "did you mean \"Balance\""),
    ({"decoder": "VAE"}, "connect it or choose auto"),
])
def test_bad_input_is_refused_with_a_sentence(host, starter, inputs, words):
    with pytest.raises(GraphError, match=words):
        host.run(graph(starter, **inputs))
