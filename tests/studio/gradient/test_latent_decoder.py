"""Every decoder shows what the host shows, and a gradient comes back to the latent, inside inference mode too."""
from types import SimpleNamespace

import comfy.latent_formats
import pytest
import torch

FORMATS = [form for form in vars(comfy.latent_formats).values()
           if isinstance(form, type) and form().latent_rgb_factors]


@pytest.fixture(scope="module")
def decoders(studio):
    return studio("gradient.latent_decoder")


def model_of(form):
    """What a MODEL says about its latents."""
    return SimpleNamespace(model=SimpleNamespace(latent_format=form))


def gradient(decode, latent):
    with torch.inference_mode(False), torch.enable_grad():
        own = latent.clone().requires_grad_()
        return torch.autograd.grad(decode(own).square().sum(), own)[0]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.__name__)
def test_latent_colours_are_those_of_the_hosts_preview(decoders, form):
    from latent_preview import Latent2RGBPreviewer
    with torch.inference_mode():
        form = form()
        channels = form.latent_channels if form.latent_rgb_factors_reshape else len(form.latent_rgb_factors)
        shape = (2, channels, *(3, 4, 6)[3 - max(2, form.latent_dimensions):])
        latent = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        found = decoders.decoder(model_of(form))
        previewer = Latent2RGBPreviewer(form.latent_rgb_factors, form.latent_rgb_factors_bias,
                                        form.latent_rgb_factors_reshape)
        theirs = previewer.decode_latent_to_preview(latent)
        with torch.inference_mode(False):
            ours = found.decode(latent.clone())
    assert ours.shape == (2 * (latent.shape[2] if latent.ndim == 5 else 1), 3, theirs.height, theirs.width)
    pixels = torch.frombuffer(bytearray(theirs.tobytes()), dtype=torch.uint8).view(theirs.height, theirs.width, 3)
    assert (ours[0].movedim(0, -1) * 255 - pixels).abs().max() <= 1
    assert gradient(found.decode, latent).abs().max() > 0
    assert found.detail == (form.spacial_downscale_ratio == 1)


def test_of_several_frames_each_gets_a_gradient(decoders):
    found = decoders.decoder(model_of(comfy.latent_formats.Wan21()))
    assert (gradient(found.decode, torch.randn(1, 16, 3, 4, 4)).abs().amax((0, 1, 3, 4)) > 0).all()


def test_a_connected_vae_shows_what_vae_decode_shows(decoders, loaded):
    import nodes
    latent = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        found = decoders.decoder(loaded.model, "VAE", loaded.vae)
        form = loaded.model.model.latent_format
        theirs = nodes.VAEDecode().decode(loaded.vae, {"samples": form.process_out(latent)})[0]
        weights = {name: tensor.clone() for name, tensor in loaded.vae.first_stage_model.state_dict().items()}
        with torch.inference_mode(False):
            assert torch.allclose(found.decode(latent.clone()), theirs.movedim(-1, 1), atol=1e-5)
        assert gradient(found.decode, latent).abs().max() > 0
    after = loaded.vae.first_stage_model.state_dict()
    assert found.detail and all(torch.equal(weights[name], after[name]) for name in weights)


def test_a_fitted_decoder_shows_nearly_what_the_vae_shows(decoders, loaded):
    import nodes
    with torch.inference_mode():
        found = decoders.decoder(loaded.model, "auto", loaded.vae)
        picture = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8), (128, 128), mode="bilinear").movedim(1, -1)
        latent = nodes.VAEEncode().encode(loaded.vae, picture)[0]["samples"]
        theirs = nodes.VAEDecode().decode(loaded.vae, {"samples": latent})[0].movedim(-1, 1)
        latent = loaded.model.model.process_latent_in(latent)
        with torch.inference_mode(False):
            ours = found.decode(latent.clone())
    small = torch.nn.functional.interpolate(theirs, (64, 64), mode="area")
    assert (ours - small).square().mean().sqrt() < 0.05 < (ours - small.flip(-1)).square().mean().sqrt()
    assert found.detail and "fitted to the VAE" in found.name and gradient(found.decode, latent).abs().max() > 0


def autoencoder(dtype=torch.float32, normed=False):
    """The host's own KL autoencoder, shrunk, as a loader leaves it: made in inference mode."""
    from comfy.ldm.models.autoencoder import AutoencoderKL
    shape = dict(double_z=True, z_channels=4, resolution=32, in_channels=3, out_ch=3, ch=32, ch_mult=[1, 2],
                 num_res_blocks=1, attn_resolutions=[], dropout=0.0)
    with torch.inference_mode():
        network = AutoencoderKL(ddconfig=shape, embed_dim=4).to(dtype).eval()
        for number, parameter in enumerate(network.parameters()):
            generator = torch.Generator().manual_seed(number)
            parameter.data = torch.randn(parameter.shape, generator=generator).to(dtype) * 0.1
    return SimpleNamespace(first_stage_model=network, latent_dim=2, output_channels=3, vae_dtype=dtype,
                           process_output=lambda image: image.add_(1.0).div_(2.0).clamp_(0.0, 1.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_gradient_through_a_full_autoencoder_is_that_of_finite_differences(decoders, dtype):
    with torch.inference_mode():
        found = decoders.decoder(model_of(comfy.latent_formats.SDXL()), "VAE", autoencoder(dtype))
        latent = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(4)) * 0.3
        slope = gradient(found.decode, latent)
        way = slope / slope.norm()
        with torch.inference_mode(False):
            ends = [found.decode(latent.clone() + way.clone() * step).square().sum() for step in (-0.05, 0.05)]
    assert found.decode and slope.dtype == torch.float32
    assert ((ends[1] - ends[0]) / 0.1).item() == pytest.approx(slope.norm().item(), rel=0.02 if dtype != torch.bfloat16
                                                              else 0.25)


def test_a_format_with_tensors_of_its_own_made_in_inference_mode_passes_a_gradient(decoders):
    vae = autoencoder()
    vae.latent_dim = 2
    with torch.inference_mode():
        form = comfy.latent_formats.SDXL_Playground_2_5()
        assert form.latents_mean.is_inference()
        found = decoders.decoder(model_of(form), "VAE", vae)
        assert gradient(found.decode, torch.randn(1, 4, 4, 4)).abs().max() > 0


@pytest.fixture
def tiny(tmp_path, host):
    """models/vae_approx of this test."""
    import folder_paths
    kept = folder_paths.folder_names_and_paths["vae_approx"]
    folder_paths.folder_names_and_paths["vae_approx"] = ([str(tmp_path)], kept[1])
    folder_paths.filename_list_cache.pop("vae_approx", None)
    yield tmp_path
    folder_paths.folder_names_and_paths["vae_approx"] = kept
    folder_paths.filename_list_cache.pop("vae_approx", None)


def test_taesd_is_found_where_the_host_finds_it_and_shows_what_the_host_shows(decoders, tiny):
    from comfy.taesd.taesd import TAESD
    from safetensors.torch import save_file
    network = TAESD(latent_channels=16)
    for number, parameter in enumerate(network.parameters()):
        parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)) * 0.06
    save_file(network.taesd_decoder.state_dict(), tiny / "taef1_decoder.safetensors")
    latent = torch.randn(1, 16, 4, 4)
    with torch.inference_mode():
        found = decoders.decoder(model_of(comfy.latent_formats.Flux()), "TAESD")
        network.vae_scale.data.fill_(1)
        network.vae_shift.data.fill_(0)
        theirs = ((network.decode(latent) + 1) / 2).clamp(0, 1)
        with torch.inference_mode(False):
            assert torch.allclose(found.decode(latent.clone()), theirs, atol=1e-5)
        assert gradient(found.decode, latent).abs().max() > 0 and found.detail


@pytest.mark.parametrize("form, choice, words", [
    ("LatentFormat", "auto", "connect a VAE"),
    ("StableAudio1", "auto", "makes pictures"),
    ("LatentFormat", "latent colours", "connect a VAE and choose"),
    ("SD15", "TAESD", "expected taesd_decoder in models/vae_approx, found none"),
    ("Wan21", "TAESD", "there is no TAESD for latents of Wan21"),
    ("SD15", "VAE", "got none; connect it"),
])
def test_what_is_missing_is_said_in_a_sentence(decoders, tiny, form, choice, words):
    with pytest.raises(ValueError, match=words):
        decoders.decoder(model_of(getattr(comfy.latent_formats, form)()), choice)


def test_a_tiny_decoder_for_video_that_only_a_newer_host_knows_is_none_for_pictures(decoders, tiny, monkeypatch):
    import latent_preview
    form = comfy.latent_formats.SD15()
    form.taesd_decoder_name = "taeh3"
    with pytest.raises(ValueError, match="expected taeh3 in models/vae_approx, found none"):
        decoders.decoder(model_of(form), "TAESD")
    monkeypatch.setattr(latent_preview, "VIDEO_TAES", ["taeh3"], raising=False)
    with pytest.raises(ValueError, match="there is no TAESD for latents of SD15"):
        decoders.decoder(model_of(form), "TAESD")


def test_video_and_sound_in_one_packed_latent_are_refused(decoders):
    with pytest.raises(ValueError, match="video and sound"):
        decoders.decoder(model_of(comfy.latent_formats.LTXAV())).decode(torch.zeros(1, 1, 999))
