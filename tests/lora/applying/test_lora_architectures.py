"""Every architecture of the host at full depth, and bases that are quantised: the same patches as the core loader's."""
import lora_models as small
import pytest
import torch
from lora_models import ARCHITECTURES, KINDS, build, small_model


def meta_model(name):
    import comfy.model_patcher
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(build(name, "meta"), cpu, cpu)


def one_of_every_kind(model):
    """An adapter for the first matrix of every block, its kind changing from block to block."""
    tensors, seen = {}, set()
    for key, weight in model.model.state_dict().items():
        block = ".".join(key.split(".")[:3])
        square = weight.ndim == 2 and key.endswith(".weight") and not any(n % 4 for n in weight.shape)
        if square and key.startswith("diffusion_model.") and block not in seen:
            kind = KINDS[len(seen) % len(KINDS)]
            seen.add(block)
            tensors |= {small.kohya_name(key) + suffix: tensor
                        for suffix, tensor in small.adapter(kind, tuple(weight.shape), rank=1, empty=True).items()}
    return tensors


def entries(model):
    """Strengths, slice, and the very tensors of every patch."""
    return {key: [(strength, weight, offset, patch.name if hasattr(patch, "name") else patch[0],
                   [id(t) for t in (patch.weights if hasattr(patch, "weights") else patch[1])
                    if isinstance(t, torch.Tensor)])
                  for strength, patch, weight, offset, _ in patches] for key, patches in model.patches.items()}


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "Cascade-C"])
def test_all_weights_one_give_the_patches_of_the_core_loader(name, pack):
    import comfy.sd
    model = meta_model(name)
    tensors = one_of_every_kind(model)
    lora = pack.nodes.lora.file.lora_files.LoraFile(tensors, {})
    ours, _, result = pack.nodes.lora.applying.patching.apply_lora(model, None, lora, 1.0, 1.0, ())
    theirs, _ = comfy.sd.load_lora_for_models(model, None, tensors, 1.0, 1.0)
    assert entries(ours) == entries(theirs) != {}
    assert not result.unused and all(not change.problem for change in result.components[0].changes)


def quantised(kind):
    """The small Flux model with its linear layers quantised: as plain fp8, or as the host's own tensor types."""
    import comfy.model_patcher
    import comfy.ops
    model = build("Flux.1", "cpu", small.SMALL["Flux.1"])
    small.fill(model)
    for module in model.diffusion_model.modules():
        if isinstance(module, torch.nn.Linear):
            data = module.weight.data.to(torch.float8_e4m3fn)
            if kind != "float8_e4m3fn":
                data = comfy.ops.QuantizedTensor.from_float(module.weight.data, kind, scale="recalculate")
                quantised_linear = comfy.ops.mixed_precision_ops(compute_dtype=torch.float32).Linear
                module.layout_type = kind
                module.convert_weight = quantised_linear.convert_weight.__get__(module)
                module.set_weight = quantised_linear.set_weight.__get__(module)
            module.weight = torch.nn.Parameter(data, requires_grad=False)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, cpu, cpu)


def raw(model):
    """Every weight's stored bytes, as the patched model would hold them."""
    model.patch_model()
    parts = {}
    for key, weight in model.model.named_parameters():
        stored = weight._qdata if hasattr(weight, "_qdata") else weight
        parts[key] = stored.detach().clone().contiguous().view(torch.uint8)
    model.unpatch_model()
    return parts


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "TensorCoreFP8E4M3Layout", "TensorWiseINT8Layout"])
def test_a_muted_block_of_a_quantised_base_keeps_its_bits(kind, pack):
    model = quantised(kind)
    lora = pack.nodes.lora.file.lora_files.LoraFile(small.lora_for(small_model("Flux.1"), "lora"), {})
    new, _, result = pack.nodes.lora.applying.patching.apply_lora(
        model, None, lora, 1.0, 1.0, pack.nodes.lora.block_weights.block_language.parse("D00=0; S*=0.5"))
    base, found = raw(model), raw(new)
    assert all(not change.problem for change in result.components[0].changes)
    different = {key for key in base if not torch.equal(base[key], found[key])}
    assert not [key for key in different if "double_blocks.0." in key]
    assert len([key for key in different if "double_blocks.1." in key or "single_blocks" in key]) > 10
    assert (
        pack.nodes.lora.applying.patching.apply_lora(
            model, None, lora, 1.0, 1.0, pack.nodes.lora.block_weights.block_language.parse("*=0")
        )[0]
        is model
    )
