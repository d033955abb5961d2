"""A LoRA in a part of the picture, on small real models of every family, through the host's own sampler."""
import lora_models as small
import pytest
import regional_models as models
import torch
from regional_models import far, left_half, sample

DITS = ["SD3-medium", "Flux.1", "Z-Image", "Qwen-Image", "Wan2.1-1.3B"]
UNETS = ["SD1.5", "SDXL"]
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def regional(pack, host):
    return pack.nodes.lora.regional


@pytest.fixture
def put(pack, regional):
    """put(model, tensors, mask, strength, ...): the model with the LoRA in the mask, and its result."""
    lora = pack.nodes.lora

    def put(model, tensors, mask, strength=0.5, blocks="", **more):
        file = lora.file.lora_files.LoraFile(tensors, {})
        spec = lora.block_weights.block_language.parse(blocks)
        return regional.apply_regional.apply_regional(model, file, mask, strength, spec, **more)
    return put


@pytest.fixture
def beside(pack):
    """beside(model, tensors, strength): the model with the LoRA everywhere, as apply_as bypass does."""
    lora = pack.nodes.lora

    def beside(model, tensors, strength=0.5):
        file = lora.file.lora_files.LoraFile(tensors, {})
        return lora.applying.stack.apply_bypassed(model, None, file, strength, 1.0, ())[0]
    return beside


@pytest.mark.parametrize("name", DITS)
def test_where_no_attention_mixes_the_picture_is_the_full_one_inside_and_untouched_outside(name, put):
    model = models.without_attention(name)
    tensors, mask = models.lora_for(model, name), left_half()
    base, half, full = (sample(each, name) for each in (
        model, put(model, tensors, mask)[0], put(model, tensors, torch.ones_like(mask))[0]))
    assert far(full[..., :4], base[..., :4]) > 0.05 and far(full[..., 4:], base[..., 4:]) > 0.05
    assert far(half[..., :4], full[..., :4]) < ROUNDING
    assert far(half[..., 4:], base[..., 4:]) < ROUNDING


@pytest.mark.parametrize("name", UNETS + DITS)
def test_an_empty_mask_is_the_model_itself(name, put):
    model = models.model(name)
    tensors = models.lora_for(model, name)
    assert torch.equal(sample(put(model, tensors, torch.zeros(1, 8, 8))[0], name), sample(model, name))


@pytest.mark.parametrize("name", [*UNETS, "Wan2.1-1.3B"])
def test_a_full_mask_is_the_lora_everywhere(name, put, beside):
    model = models.model(name)
    place = lambda key: not any(part in key for part in ("time_", "label_emb", "emb_layers", "text_embedding"))
    tensors = models.lora_for(model, name, only=place)
    found, wanted = (sample(each, name) for each in (put(model, tensors, torch.ones(8, 8))[0],
                                                    beside(model, tensors)))
    assert far(found, wanted) < 1e-4 and far(wanted, sample(model, name)) > 0.02


@pytest.mark.parametrize("kind", ["dora", "loha", "lokr", "oft"])
def test_it_holds_for_every_adapter(kind, put):
    name, mask = "SD3-medium", left_half()
    model = models.without_attention(name)
    tensors = models.lora_for(model, name, kind)
    base, half, full = (sample(each, name) for each in (
        model, put(model, tensors, mask)[0], put(model, tensors, torch.ones_like(mask))[0]))
    assert far(full, base) > 0.02
    assert far(half[..., :4], full[..., :4]) < ROUNDING and far(half[..., 4:], base[..., 4:]) < ROUNDING


def test_two_regions_and_block_weights_each_have_their_own_lora(put):
    name, left = "Flux.1", left_half()
    model = models.without_attention(name)
    first, second = models.lora_for(model, name), models.lora_for(model, name, seed=5)
    everywhere = torch.ones_like(left)
    both = put(put(model, first, left, blocks="D00=0")[0], second, 1 - left, -0.4)[0]
    both = sample(both, name)
    assert far(both[..., :4], sample(put(model, first, everywhere, blocks="D00=0")[0], name)[..., :4]) < ROUNDING
    assert far(both[..., 4:], sample(put(model, second, everywhere, -0.4)[0], name)[..., 4:]) < ROUNDING
    added = put(put(model, first, everywhere, 0.2)[0], first, everywhere, 0.3)[0]
    assert far(sample(added, name), sample(put(model, first, everywhere, 0.5)[0], name)) < 1e-4


def test_dora_in_a_region_is_on_top_of_what_the_whole_picture_has_in_whatever_order(put, beside):
    name, left = "SD3-medium", left_half()
    model = models.without_attention(name)
    plain, dora = models.lora_for(model, name), models.lora_for(model, name, "dora", seed=5)
    everywhere = put(beside(model, plain), dora, torch.ones_like(left))[0]
    full, base = sample(everywhere, name), sample(beside(model, plain), name)
    region, result = put(beside(model, plain), dora, left)
    later = sample(beside(put(model, dora, left)[0], plain), name)
    for half in (sample(region, name), later):
        assert far(half[..., :4], full[..., :4]) < ROUNDING and far(half[..., 4:], base[..., 4:]) < ROUNDING
    assert any("branches of earlier LoRAs are patches now" in note for note in result.notes)
    assert far(full, sample(put(model, dora, torch.ones_like(left))[0], name)) > 0.02


def test_two_doras_whose_regions_overlap_add_up(put, beside):
    name, whole = "SD3-medium", torch.ones(8, 36)
    model = models.without_attention(name)
    first, second = (models.lora_for(model, name, "dora", seed=seed) for seed in (0, 5))
    together = [sample(put(put(model, a, whole)[0], b, whole)[0], name) for a, b in ((first, second), (second, first))]
    assert far(*together) < ROUNDING


def test_parts_of_a_fused_weight_are_changed_in_the_mask(put, beside):
    name, tensors = "Flux.1", {}
    model = models.without_attention(name)
    for seed, part in enumerate(("attn.to_q", "attn.to_v", "proj_mlp")):
        for side, shape in (("A", (2, 64)), ("B", (256 if part == "proj_mlp" else 64, 2))):
            tensors[f"transformer.single_transformer_blocks.0.{part}.lora_{side}.weight"] = torch.randn(
                shape, generator=torch.Generator().manual_seed(seed))
    half = sample(put(model, tensors, left_half())[0], name)
    assert far(half[..., :4], sample(beside(model, tensors), name)[..., :4]) < ROUNDING
    assert far(half[..., 4:], sample(model, name)[..., 4:]) < ROUNDING


def test_each_picture_of_a_batch_can_have_its_own_mask(put):
    name = "SD1.5"
    model = models.model(name)
    tensors = models.lora_for(model, name)
    masks = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    found = sample(put(model, tensors, masks)[0], name)
    assert far(found[:1], sample(model, name)[:1]) < ROUNDING
    assert far(found[1:], sample(put(model, tensors, torch.ones(8, 8))[0], name)[1:]) < ROUNDING


def test_each_frame_of_a_video_can_have_its_own_mask(put):
    name, shape = "Wan2.1-1.3B", (1, 16, 3, 7, 9)
    model = models.without_attention(name)
    tensors = models.lora_for(model, name)
    everywhere, base = (sample(each, name, shape=shape) for each in (put(model, tensors, torch.ones(8, 8))[0], model))
    for frames in (3, 9):       # of the latent, and of the video, of which the first stands alone
        masks = torch.zeros(frames, 8, 8)
        masks[1 if frames == 3 else slice(1, 5)] = 1
        found = sample(put(model, tensors, masks)[0], name, shape=shape)
        assert far(found[:, :, 1], everywhere[:, :, 1]) < ROUNDING
        assert far(found[:, :, ::2], base[:, :, ::2]) < ROUNDING


def test_a_reference_picture_behind_the_own_one_is_left_alone(put):
    name, mask = "Flux.1", left_half()
    model = models.without_attention(name)
    prompt = models.words(name)
    prompt[0][1]["reference_latents"] = [torch.ones(1, 16, 5, 6)]
    tensors = models.lora_for(model, name)
    base, half, full = (sample(each, name, positive=prompt) for each in (
        model, put(model, tensors, mask)[0], put(model, tensors, torch.ones_like(mask))[0]))
    assert far(half[..., :4], full[..., :4]) < ROUNDING and far(half[..., 4:], base[..., 4:]) < ROUNDING


def test_tokens_that_are_not_known_get_a_sentence(regional):
    masks = regional.token_masks.TokenMasks([torch.ones(1, 8, 8)], (1, 16, 2, 7, 9), 1, (1, 2, 2), 7)
    for count in (39, 41, 80):      # 2 frames of 4 x 5 places are 40
        with pytest.raises(ValueError, match=f"expected tokens of a picture of 4 x 5 places, got {count} in a layer"):
            masks.tokens(count, "picture", (0,), torch.zeros(1))


def test_a_cross_attention_reads_with_the_lora_in_the_mask_alone(put):
    name = "Wan2.1-1.3B"
    model = models.model(name, ("self_attn.o",))
    tensors = models.lora_for(model, name, only=lambda key: "cross_attn_k" in key or "cross_attn_v" in key)
    base, half, full = (sample(each, name) for each in (
        model, put(model, tensors, left_half(), 3.0)[0], put(model, tensors, torch.ones(8, 8), 3.0)[0]))
    assert far(full, base) > 0.01
    assert far(half[..., :4], full[..., :4]) < ROUNDING and far(half[..., 4:], base[..., 4:]) < ROUNDING


@pytest.mark.parametrize("name", ["SD1.5", "Wan2.1-1.3B"])
def test_a_region_reads_its_own_words(name, put):
    model, own = models.model(name), models.words(name, 5, seed=9)
    read = put(model, {}, torch.ones(8, 8), 0.0, words=own[0][0])[0]
    wanted = sample(model, name, positive=[[own[0][0], models.words(name)[0][1]]])
    assert far(wanted, sample(model, name)) > 1e-3
    assert far(sample(read, name), wanted) < 1e-4
    nowhere = put(model, {}, torch.zeros(8, 8), 0.0, words=own[0][0])[0]
    assert far(sample(nowhere, name), sample(model, name)) < ROUNDING


def test_words_are_read_in_the_mask_alone_with_the_lora_of_the_region(put):
    name, own = "Wan2.1-1.3B", models.words("Wan2.1-1.3B", 5, seed=9)[0][0]
    model = models.model(name, ("self_attn.o",))
    tensors = models.lora_for(model, name)
    left, everywhere = left_half(), torch.ones(8, 8)
    half = sample(put(model, tensors, left, words=own)[0], name)
    assert far(half[..., :4], sample(put(model, tensors, everywhere, words=own)[0], name)[..., :4]) < ROUNDING
    assert far(half[..., 4:], sample(model, name)[..., 4:]) < ROUNDING
    other = models.words(name, 6, seed=11)[0][0]
    both = sample(put(put(model, tensors, left, words=own)[0], tensors, 1 - left, -0.4, words=other)[0], name)
    assert far(both[..., :4], half[..., :4]) < ROUNDING
    assert far(both[..., 4:], sample(put(model, tensors, everywhere, -0.4, words=other)[0], name)[..., 4:]) < ROUNDING


def test_no_layer_is_changed_once_the_model_is_unloaded(put):
    model = models.model("SD1.5")
    clone, result = put(model, models.lora_for(model, "SD1.5"), left_half())
    sample(clone, "SD1.5")
    clone.eject_model()
    clone.unpatch_model()
    assert not [path for path, layer in model.model.named_modules() if "forward" in vars(layer)]
    assert "left out: 24 (they act on the whole picture at once" in result.notes[-1] and not clone.backup


def test_a_lora_beside_the_whole_model_stays(put, beside):
    name = "Flux.1"
    model = models.without_attention(name)
    first, second = models.lora_for(model, name), models.lora_for(model, name, seed=5)
    both = beside(put(beside(model, first, 0.2), second, left_half())[0], first, 0.3)
    found = sample(both, name)
    assert far(found[..., 4:], sample(beside(model, first), name)[..., 4:]) < ROUNDING
    assert far(found[..., :4], sample(beside(model, first), name)[..., :4]) > 0.02


def test_what_blurring_rounds_is_no_fault_of_a_mask_and_more_is_named_in_digits_that_show_it(regional):
    checked = regional.apply_regional.checked_mask
    assert checked(torch.tensor([[-1e-7, 1 + 8e-7]])).tolist() == [[[0.0, 1.0]]]
    with pytest.raises(ValueError, match="expected numbers from 0 to 1, got 0 to 1.002"):
        checked(torch.tensor([[0.0, 1.002]]))


@pytest.mark.parametrize("mask, said", [
    (torch.zeros(3, 8, 8), "mask: expected 1 mask, one for each of 2 pictures, got 3 masks"),
    (torch.full((1, 8, 8), float("nan")), "mask: expected numbers from 0 to 1, got nan"),
    (torch.full((1, 8, 8), 2.0), "mask: expected numbers from 0 to 1, got 2 to 2"),
    (torch.zeros(1, 1, 8, 8), r"mask: expected \[masks, rows, columns\], got \[1, 1, 8, 8\]")])
def test_a_mask_that_is_none_gets_a_sentence(mask, said, put):
    model = models.model("SD3-medium")
    with pytest.raises(ValueError, match=said):
        sample(put(model, models.lora_for(model, "SD3-medium"), mask)[0], "SD3-medium")


def test_a_family_whose_tokens_are_not_known_gets_a_sentence(regional):
    model = small.build("PixArt-Sigma", "meta").diffusion_model
    with pytest.raises(ValueError, match="model: expected a family in which the places .* got PixArtMS; use Load LoRA"):
        regional.token_streams.family_of(model)


def test_a_lora_that_reaches_no_place_gets_a_sentence(put):
    model, mask = models.model("SD3-medium"), left_half()
    with pytest.raises(ValueError, match="lora_name: expected .* got LoRA: no key of the file belongs to this model"):
        put(model, {"lora_unet_other.alpha": torch.tensor(1.0)}, mask)
    modulation = models.lora_for(model, "SD3-medium", only=lambda key: "adaLN" in key)
    with pytest.raises(ValueError, match="5 weights are left out, they act on the whole picture at once"):
        put(model, modulation, mask)
    with pytest.raises(ValueError, match="the weight of every block it has is 0"):
        put(model, models.lora_for(model, "SD3-medium"), mask, blocks="*=0")
    assert put(model, models.lora_for(model, "SD3-medium"), mask, 0.0)[0] is model


def test_words_where_none_can_be_read_get_a_sentence(put, regional):
    model = models.model("SD3-medium")
    with pytest.raises(ValueError, match="words: expected nothing for SD3, where picture and words share"):
        put(model, {}, left_half(), 0.0, words=torch.zeros(1, 5, 32))
    with pytest.raises(ValueError, match="words: expected one prompt .* got a conditioning of 2 prompts"):
        regional.apply_regional.words_of(models.words("SD1.5") * 2)
    wide = put(models.model("SD1.5"), {}, left_half(), 0.0, words=torch.zeros(1, 5, 48))[0]
    with pytest.raises(ValueError, match="words: expected the words of this model's text encoder, 32 wide, got 48"):
        sample(wide, "SD1.5")


def test_a_prompt_for_an_area_and_a_call_past_the_sampler_get_a_sentence(put, pack):
    model = models.model("SD1.5")
    clone = put(model, models.lora_for(model, "SD1.5"), left_half())[0]
    area = [[models.words("SD1.5")[0][0], {"area": (8, 8, 0, 0), "strength": 1.0}]]
    with pytest.raises(ValueError, match="positive: expected prompts for the whole picture .* got one for an area"):
        sample(clone, "SD1.5", positive=area)
    clone.inject_model()
    with pytest.raises(RuntimeError, match="the model was called past ComfyUI's sampling"):
        clone.model.diffusion_model.input_blocks[0][0](torch.zeros(1, 4, 8, 8))
    clone.eject_model()
    with pytest.raises(ValueError, match="expected LoRAs that are in the model's weights"):
        pack.nodes.lora.applying.bypass.check_patched(clone)


def test_in_a_graph_the_picture_changes_where_the_mask_is(host, starter):
    import numpy as np
    from PIL import Image
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}
    graph = {
        "model": node("UNETLoader", unet_name=starter.MODEL, weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name=starter.TEXT, type="sd3"),
        "vae": node("VAELoader", vae_name=starter.VAE),
        "black": node("SolidMask", value=0.0, width=64, height=64),
        "white": node("SolidMask", value=1.0, width=32, height=64),
        "left": node("MaskComposite", destination=["black", 0], source=["white", 0], x=0, y=0, operation="add"),
        "lora": node("BottegaRegionalLora", model=["model", 0], lora_name=starter.LORAS[0], mask=["left", 0],
                     strength=1.0, blocks="J00=0.5"),
        "words": node("CLIPTextEncode", text="a red star on a white background, flat style", clip=["clip", 0]),
        "empty": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "sample": node("KSampler", model=["lora", 0], positive=["words", 0], negative=["words", 0],
                       latent_image=["empty", 0], seed=3, steps=3, cfg=2.0, sampler_name="euler", scheduler="simple",
                       denoise=1.0),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["vae", 0]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="regional"),
    }

    def drawn():
        outputs = host.run(graph)[0]
        return outputs, np.asarray(Image.open(host.tmp / "output" / outputs["save"]["images"][0]["filename"]), float)

    outputs, found = drawn()
    graph["sample"]["inputs"]["model"] = ["model", 0]
    change = abs(found - drawn()[1])
    assert change[:, :56].mean() > 4 * change[:, 72:].mean() > 0
    text = outputs["lora"]["text"][0]
    assert "J00=0.5" in text and "in the region: 12 weights" in text and "9 (they act on the words alone)" in text
