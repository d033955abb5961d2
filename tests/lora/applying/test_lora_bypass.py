"""LoRAs beside the layers: what each layer gives is what its patched weight would give, and no weight is touched."""
import lora_models as small
import pytest
import torch
from lora_models import small_clip, small_model

BYPASSED = ("lora", "dora", "loha", "lokr", "oft")


@pytest.fixture(scope="module")
def stack(pack):
    return pack.nodes.lora.applying.stack


@pytest.fixture(scope="module")
def bypass(pack):
    return pack.nodes.lora.applying.bypass


@pytest.fixture
def both(pack, stack):
    """both(model, tensors, strength, blocks): the patched model, the bypassed one and its result."""
    lora = pack.nodes.lora

    def apply(model, tensors, strength=1.0, blocks="", clip=None):
        file = lora.file.lora_files.LoraFile(tensors, {})
        arguments = (model, clip, file, strength, strength, lora.block_weights.block_language.parse(blocks))
        patched, bypassed = lora.applying.patching.apply_lora(*arguments), stack.apply_bypassed(*arguments)
        return patched[clip is not None], bypassed[clip is not None], bypassed[2]
    return apply


def layers(module):
    """Linear layers and convolutions of two dimensions, by name."""
    return {name: each for name, each in module.named_modules()
            if isinstance(each, (torch.nn.Linear, torch.nn.Conv2d))}


def given(patcher, injected: bool):
    """What each layer gives for noise, with the host's patches in the weights or the injections before them."""
    patcher = getattr(patcher, "patcher", patcher)
    patcher.patch_model()
    if injected:
        patcher.inject_model()
    try:
        found = {}
        for name, layer in layers(patcher.model).items():
            generator = torch.Generator().manual_seed(len(name))
            shape = (2, layer.in_features) if isinstance(layer, torch.nn.Linear) else (2, layer.in_channels, 6, 5)
            with torch.no_grad():
                found[name] = layer(torch.randn(shape, generator=generator))
        return found
    finally:
        patcher.eject_model()
        patcher.unpatch_model()


def far(found, expected):
    gaps = {name: float((found[name] - expected[name]).abs().max() / expected[name].abs().max().clamp_min(1))
            for name in expected}
    return {name: gap for name, gap in gaps.items() if gap > 5e-5}


@pytest.mark.parametrize("strength", [1.0, -0.7])
@pytest.mark.parametrize("kind", small.KINDS)
@pytest.mark.parametrize("architecture", ["SD3-medium", "SDXL"])
def test_each_layer_gives_what_its_patched_weight_would(architecture, kind, strength, both):
    model = small_model(architecture)
    patched, bypassed, result = both(model, small.lora_for(model, kind), strength, "*.attn=0.5")
    assert patched is not model and bypassed is not model
    assert not far(given(bypassed, True), given(patched, False))
    assert (kind in BYPASSED) == (": 0 weights by branches" not in result.notes[-1])


@pytest.mark.parametrize("architecture", ["SD1.5", "Flux.1", "Z-Image", "Wan2.1-1.3B"])
def test_it_holds_on_other_families(architecture, both):
    model = small_model(architecture)
    patched, bypassed, _ = both(model, small.lora_for(model, "lora"), 0.8)
    assert not far(given(bypassed, True), given(patched, False))


def test_a_part_of_a_fused_weight_is_changed_alone(both):
    model = small_model("Flux.1")
    base, rank, wide = "transformer.transformer_blocks.0.attn", 2, 64
    tensors = {}
    for seed, name in enumerate(("to_q", "to_k", "to_v")):
        generator = torch.Generator().manual_seed(seed)
        tensors[f"{base}.{name}.lora_A.weight"] = torch.randn(rank, wide, generator=generator)
        tensors[f"{base}.{name}.lora_B.weight"] = torch.randn(wide, rank, generator=generator)
    patched, bypassed, result = both(model, tensors, 1.0, "D00.k=0")
    assert not far(given(bypassed, True), given(patched, False))
    assert "1 weights by branches" in result.notes[-1]


def test_no_weight_is_copied_and_everything_is_as_before_once_it_is_unloaded(both):
    model = small_model("SD3-medium")
    before = {key: tensor.data_ptr() for key, tensor in model.model.state_dict().items()}
    _, bypassed, _ = both(model, small.lora_for(model, "lora"))
    bypassed.patch_model()
    bypassed.inject_model()
    assert {key: tensor.data_ptr() for key, tensor in bypassed.model.state_dict().items()} == before
    assert not bypassed.backup and not bypassed.patches
    bypassed.eject_model()
    bypassed.unpatch_model()
    assert not [name for name, layer in layers(model.model).items() if "forward" in vars(layer)]


def test_text_encoders_are_bypassed_too(both):
    clip = small_clip()
    patched, bypassed, result = both(small_model("SD1.5"), small.lora_for_clip(clip), 0.6, clip=clip)
    assert not far(given(bypassed, True), given(patched, False))
    assert any(note.startswith("CLIP, beside the model") for note in result.notes)


def test_two_bypassed_loras_add_up_and_a_stack_is_a_chain(pack, both, stack):
    model = small_model("SD3-medium")
    first, second = small.lora_for(model, "lora"), small.lora_for(model, "lokr")
    patched, bypassed, _ = both(model, first, 0.5)
    parse = pack.nodes.lora.block_weights.block_language.parse
    file = pack.nodes.lora.file.lora_files.LoraFile(second, {})
    patched = pack.nodes.lora.applying.patching.apply_lora(patched, None, file, 0.8, 1.0, parse(""))[0]
    bypassed = stack.apply_bypassed(bypassed, None, file, 0.8, 1.0, parse(""))[0]
    assert not far(given(bypassed, True), given(patched, False))


def column_dora(model):
    """A DoRA of the model whose magnitudes are those of the columns, which most files have."""
    tensors, state = {}, model.model.state_dict()
    names = {small.kohya_name(key) + ".dora_scale": state[key] for key in state}
    for key, tensor in small.lora_for(model, "dora").items():
        weight = names.get(key)
        tensors[key] = tensor if weight is None else 1.1 * weight.transpose(0, 1).flatten(1).norm(dim=1).view(
            1, -1, *[1] * (weight.ndim - 2))
    return tensors


PAIRS = [("lora", kind) for kind in (*small.KINDS, "peft", "columns")]
PAIRS += [(kind, "lora") for kind in ("dora", "oft", "columns")] + [("oft", "columns"), ("columns", "oft")]


@pytest.mark.parametrize("ways", ["bypass bypass", "bypass patch", "patch bypass"])
@pytest.mark.parametrize("kinds", PAIRS)
def test_a_chain_is_that_of_patches_in_whatever_way_each_lora_is_applied(kinds, ways, pack, stack):
    model, lora = small_model("SD3-medium"), pack.nodes.lora
    apply = {"patch": lora.applying.patching.apply_lora, "bypass": stack.apply_bypassed}
    make = {"peft": peft_dora, "columns": column_dora}
    files = [lora.file.lora_files.LoraFile(make[kind](model) if kind in make else small.lora_for(model, kind), {})
             for kind in kinds]
    chains = []
    for each in ("patch patch", ways):
        chain = model
        for file, way in zip(files, each.split(), strict=True):
            chain, _, result = apply[way](chain, None, file, 0.8, 1.0, ())
        chains.append(given(chain, True))
    assert not far(chains[1], chains[0])
    if kinds in (("lora", "loha"), ("lora", "columns")):
        told = any("branches of earlier LoRAs are patches now" in note for note in result.notes)
        assert told == (ways.startswith("bypass") and kinds[1] == "columns")


def test_another_wrapper_on_a_layer_survives_the_end_of_ours(bypass, both):
    model = small_model("SD3-medium")
    _, bypassed, _ = both(model, small.lora_for(model, "lora"))
    bypassed.inject_model()
    layer = next(layer for layer in layers(model.model).values() if "forward" in vars(layer))
    ours = layer.forward
    layer.forward = lambda x: ours(x) + 1
    bypassed.eject_model()
    try:
        x = torch.randn(2, layer.in_features) if isinstance(layer, torch.nn.Linear) else torch.randn(
            2, layer.in_channels, 4, 4)
        assert torch.equal(layer(x), type(layer).forward(layer, x) + 1)
    finally:
        del layer.forward


def test_the_copy_of_a_model_on_another_card_has_branches_of_its_own(both):
    """The host copies a model for each card, with the injections of the first."""
    model = small_model("SD3-medium")
    _, bypassed, _ = both(model, small.lora_for(model, "lora"))
    other = bypassed.clone(model_override=(small.build("SD3-medium", "cpu", small.SMALL["SD3-medium"]),
                                           ({}, {}, {}, set())))
    changed = lambda patcher: sum("forward" in vars(layer) for layer in layers(patcher.model).values())
    bypassed.inject_model()
    other.inject_model()
    assert changed(bypassed) == changed(other) > 0
    bypassed.eject_model()
    assert changed(bypassed) == 0 < changed(other)
    other.eject_model()
    assert changed(other) == 0


def test_gradients_pass_through_branches_that_were_made_under_inference_mode(both):
    model = small_model("SD3-medium")
    with torch.inference_mode():
        _, bypassed, _ = both(model, {key: t.clone() for key, t in small.lora_for(model, "lora").items()})
        bypassed.inject_model()
        layer = next(layer for layer in layers(model.model).values()
                     if "forward" in vars(layer) and isinstance(layer, torch.nn.Linear))
        layer(torch.randn(2, layer.in_features))
    try:
        x = torch.randn(2, layer.in_features, requires_grad=True)
        layer(x).sum().backward()
        assert x.grad.abs().sum() > 0
    finally:
        bypassed.eject_model()


def test_a_model_with_branches_is_told_from_one_without(bypass, both):
    model = small_model("SD3-medium")
    patched, bypassed, _ = both(model, small.lora_for(model, "lora"))
    assert bypass.is_bypassed(bypassed) and not bypass.is_bypassed(patched)
    assert bypassed.model is model.model


def test_a_layer_that_scales_its_weight_is_patched_and_a_quantised_linear_layer_is_not(pack):
    import comfy.ops
    from comfy.ldm.wan.model_animate import EqualLinear
    from comfy.weight_adapter import LoRAAdapter
    branch = pack.nodes.lora.patches.branch
    patch = LoRAAdapter(set(), (torch.ones(8, 2), torch.ones(2, 16), *[None] * 4))
    plain = [torch.nn.Linear(16, 8), comfy.ops.manual_cast.Linear(16, 8), comfy.ops.mixed_precision_ops().Linear(16, 8)]
    assert all(isinstance(branch.branch_of(patch, 1.0, "a.weight", each), branch.Branch) for each in plain)
    said = branch.branch_of(patch, 1.0, "a.weight", EqualLinear(16, 8))
    assert said == "of a layer that is no plain linear layer or convolution (EqualLinear)"


def test_training_asks_for_loras_in_the_weights(pack, bypass, both):
    model = small_model("SD3-medium")
    patched, bypassed, _ = both(model, small.lora_for(model, "lora"))
    bypass.check_patched(patched)
    with pytest.raises(ValueError, match="set apply_as to patch where they are loaded"):
        pack.nodes.training.training_run.load_for_training(bypassed, None, None)


@pytest.fixture
def sampled(host, starter):
    """sampled(apply_as, blocks): what the starter draws with its woodcut LoRA, [height, width, 3] in 0..255."""
    import numpy as np
    from PIL import Image
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}

    def draw(apply_as, blocks=""):
        graph = {
            "model": node("UNETLoader", unet_name=starter.MODEL, weight_dtype="default"),
            "clip": node("CLIPLoader", clip_name=starter.TEXT, type="sd3"),
            "vae": node("VAELoader", vae_name=starter.VAE),
            "lora": node("BottegaLoadLora", model=["model", 0], lora_name=starter.LORAS[0], strength_model=1.0,
                         strength_clip=1.0, blocks=blocks, apply_as=apply_as),
            "words": node("CLIPTextEncode", text="a red star on a white background, flat style", clip=["clip", 0]),
            "empty": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
            "sample": node("KSampler", model=["lora", 0], positive=["words", 0], negative=["words", 0],
                           latent_image=["empty", 0], seed=3, steps=4, cfg=1.0, sampler_name="euler",
                           scheduler="simple", denoise=1.0),
            "decode": node("VAEDecode", samples=["sample", 0], vae=["vae", 0]),
            "save": node("SaveImage", images=["decode", 0], filename_prefix="bypass"),
        }
        shown = host.run(graph)[0]["save"]["images"][0]
        return np.asarray(Image.open(host.tmp / "output" / shown["filename"]), float)
    return draw


def test_a_picture_is_the_same_as_with_a_patch_and_a_moved_bar_changes_it(sampled):
    patched, bypassed, half = sampled("patch"), sampled("bypass"), sampled("bypass", "J00=0; J01=0")
    assert abs(patched - bypassed).max() <= 1
    assert abs(half - bypassed).mean() > 1
    assert abs(sampled("patch", "J00=0; J01=0") - half).max() <= 1


KEY = "diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight"


def of_its_own(name):
    """A small model that a test may take apart."""
    import comfy.model_patcher
    model = small.build(name, "cpu", small.SMALL[name])
    small.fill(model)
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


def peft_dora(model):
    """The LoRA of the model with magnitudes as PEFT keeps them."""
    tensors = {}
    for key, tensor in small.lora_for(model, "dora").items():
        tensors[key.replace(".dora_scale", ".lora_magnitude_vector")] = (
            tensor.flatten() if key.endswith("dora_scale") else tensor)
    return tensors


@pytest.mark.parametrize("kind", ["dora", "oft", "peft"])
def test_beside_a_weight_that_is_patched_while_it_is_streamed_it_is_as_beside_a_patched_one(kind, pack, stack):
    from comfy.model_patcher import LowVramPatch
    lora, outputs = pack.nodes.lora, []
    for streamed in (False, True):
        model = of_its_own("SD3-medium")
        first = {key: tensor * 3 for key, tensor in small.lora_for(model, "lora").items()}
        first["lora_unet_joint_blocks_0_x_block_mlp_fc1.diff_b"] = torch.linspace(-2, 2, 512)
        second = peft_dora(model) if kind == "peft" else small.lora_for(model, kind)
        model, _, _ = lora.applying.patching.apply_lora(model, None, lora.file.lora_files.LoraFile(first, {}), 1, 1, ())
        model, _, _ = stack.apply_bypassed(model, None, lora.file.lora_files.LoraFile(second, {}), 1, 1, ())
        layer = model.model.diffusion_model.joint_blocks[0].x_block.mlp.fc1
        if streamed:
            layer.weight_function = [LowVramPatch(KEY, model.patches)]
            layer.bias_function = [LowVramPatch(KEY.replace("weight", "bias"), model.patches)]
            layer.comfy_cast_weights = True
        else:
            model.patch_model()
        model.inject_model()
        with torch.no_grad():
            outputs.append(layer(torch.randn(2, layer.in_features, generator=torch.Generator().manual_seed(1))))
    whole, streamed = outputs
    assert torch.allclose(whole, streamed, atol=1e-5 * float(whole.abs().max()))
