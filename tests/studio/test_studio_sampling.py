"""Pictures are drawn as the host's KSampler draws them."""
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
    import pytest

    import nodes
    latent, = nodes.EmptyLatentImage().generate(128, 128, 1)
    words = loaded.encode("a red circle")
    sampling = studio("sampling").Sampling(words, words, latent, loaded.vae, 2, 1.0, "euler", "simple")
    comfy.model_management.interrupt_current_processing()
    with torch.inference_mode(), pytest.raises(comfy.model_management.InterruptProcessingException):
        sampling.draw(loaded.model, 0, 7)
