"""Pictures are drawn as the host's KSampler draws them."""
import pytest
import torch


def test_a_picture_is_the_one_that_ksampler_and_vae_decode_give(loaded, studio):
    import nodes
    words = [*loaded.encode("a red circle on a white background"), *loaded.encode("a blue star at night")]
    empty = loaded.encode("")
    with torch.inference_mode():
        latent, = nodes.EmptyLatentImage().generate(128, 128, 2)
        sampling = studio("sampling").Sampling(words, empty, latent, loaded.vae, 2, 3.0, "euler", "simple")
        before = torch.get_rng_state()
        drawn = sampling.draw(loaded.model, 1, 7)
        assert torch.equal(before, torch.get_rng_state())
        single = {**latent, "samples": latent["samples"][:1]}
        theirs, = nodes.KSampler().sample(loaded.model, 7, 2, 3.0, "euler", "simple", words[1:], empty, single)
        assert torch.equal(drawn.latent, theirs["samples"])
        assert torch.equal(drawn.picture, nodes.VAEDecode().decode(loaded.vae, theirs)[0])


def test_a_cancel_is_honoured_at_the_next_step(loaded, studio):
    import comfy.model_management

    import nodes
    latent, = nodes.EmptyLatentImage().generate(128, 128, 1)
    words = loaded.encode("a red circle")
    sampling = studio("sampling").Sampling(words, words, latent, loaded.vae, 2, 1.0, "euler", "simple")
    comfy.model_management.interrupt_current_processing()
    with torch.inference_mode(), pytest.raises(comfy.model_management.InterruptProcessingException):
        sampling.draw(loaded.model, 0, 7)


@pytest.mark.parametrize("samples, words", [
    (torch.zeros(0, 16, 16, 16), "expected at least one latent, got none"),
    (torch.rand(1, 4, 16, 16), "expected 16 channels of a picture, as the model has them, got 4 channels of a picture"),
    (torch.zeros(1, 16, 3, 16, 16), "got 16 channels of a video; connect the empty latent that belongs to the model"),
    (torch.zeros(1, 64, 100), "got 16 channels of sound or another line"),
])
def test_a_latent_that_is_not_the_models_gets_a_sentence(loaded, studio, samples, words):
    with pytest.raises(ValueError, match=f"^latent_image: .*{words}"):
        studio("sampling").first_latent({"samples": samples}, loaded.model)


def test_video_and_sound_in_one_latent_get_a_sentence(loaded, studio):
    from comfy.nested_tensor import NestedTensor
    with pytest.raises(ValueError, match="^latent_image: expected one tensor, got video and sound in one latent$"):
        studio("sampling").first_latent({"samples": NestedTensor((torch.zeros(1, 16, 2, 8, 8), torch.zeros(1, 8, 4)))},
                                  loaded.model)


def test_an_empty_latent_of_another_model_is_made_the_models(loaded, studio):
    first = studio("sampling").first_latent({"samples": torch.zeros(2, 4, 16, 24)}, loaded.model)
    assert first.shape == (1, 16, 16, 24)


@pytest.mark.parametrize("latent, words", [
    (torch.zeros(1, 16, 1, 1), "expected at least 16 x 16 pixels, got 8 x 8"),
    (torch.full((1, 16, 4, 4), torch.nan), "expected numbers from 0 to 1, got NaN or infinity"),
])
def test_a_picture_that_cannot_be_judged_is_refused_by_the_name_of_its_latent(loaded, studio, latent, words):
    with torch.inference_mode(), pytest.raises(ValueError, match="^latent_image: what it was decoded to cannot be "
                                                                 f"judged: {words}$"):
        studio("sampling").decode_picture(loaded.vae, latent)
