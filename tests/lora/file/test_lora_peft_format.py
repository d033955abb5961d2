"""What PEFT and diffusers write beyond plain factors, against their own merges and loaders."""
import json

import pytest
import torch
from lora_models import metadata_of, small_model, weights
from safetensors.torch import load_file, save_file

peft, diffusers = pytest.importorskip("peft"), pytest.importorskip("diffusers")
MODEL = "SD1.5"
LINEAR = "input_blocks.1.1.transformer_blocks.0.attn1.to_q"
CONV = "input_blocks.1.0.in_layers.2"
BIASED = "time_embed.0"


def trained(path, name="default", **options):
    """(a PEFT model around one layer of the small model, the tensors of its state dict under the host's names)."""
    module = small_model(MODEL).model.get_submodule(f"diffusion_model.{path}")
    bias = module.bias is not None
    layer = torch.nn.Linear(*reversed(module.weight.shape), bias=bias) if module.weight.ndim == 2 else (
        torch.nn.Conv2d(*reversed(module.weight.shape[:2]), module.weight.shape[2:], padding=1, bias=bias))
    layer.load_state_dict(module.state_dict())
    plain = {"r": 4, "lora_alpha": 6, "init_lora_weights": False, "target_modules": ["layer"]}
    config = peft.LoraConfig(**plain | options)
    model = peft.get_peft_model(torch.nn.ModuleDict({"layer": layer}), config, adapter_name=name)
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn_like(parameter) * 0.05
    key = lambda own: own.replace("base_model.model.layer", f"diffusion_model.{path}")
    return model, {key(own): t.detach().clone() for own, t in model.state_dict().items() if ".lora_" in own}


def alpha(path, value=6.0):
    return {f"diffusion_model.{path}.alpha": torch.tensor(value)}


def saved_by_peft(model, path, name="default"):
    tensors = peft.get_peft_model_state_dict(model, adapter_name=name)
    return {own.replace("base_model.model.layer", f"diffusion_model.{path}"): t for own, t in tensors.items()}


@pytest.fixture
def apply(lora):
    """The small model's weights with a LoRA from memory or of a file, and the result."""
    def apply(tensors, model=MODEL, strength=1.0):
        file = tensors if isinstance(tensors, tuple) else lora.file.lora_files.from_memory(tensors)
        patched, _, result = lora.applying.patching.apply_lora(small_model(model), None, file, strength, 1.0, ())
        return weights(patched), result
    return apply


def near(found, expected):
    return torch.linalg.norm(found - expected) < 2e-6 * torch.linalg.norm(expected)


@pytest.mark.parametrize("strength", [1.0, 0.4])
@pytest.mark.parametrize("path", [LINEAR, CONV])
def test_dora_is_applied_as_peft_merges_it(path, strength, apply, lora):
    model, _ = trained(path, use_dora=True)
    key = f"diffusion_model.{path}.weight"
    before = weights(small_model(MODEL))[key]
    found, result = apply(saved_by_peft(model, path) | alpha(path), strength=strength)
    merged = model.merge_and_unload()["layer"].weight.detach()
    assert near(found[key], before + strength * (merged - before)) and not near(found[key], before)
    assert not result.unused and "3 of 3" not in lora.applying.apply_report.report("x", result)
    assert "4 of 4 keys used" in lora.applying.apply_report.report("x", result)


def test_dora_of_peft_is_measured_described_and_saved_as_the_difference_it_makes(apply, lora, room, source, core):
    model, _ = trained(LINEAR, use_dora=True)
    tensors, key = saved_by_peft(model, LINEAR) | alpha(LINEAR), f"diffusion_model.{LINEAR}.weight"
    found, result = apply(tensors)
    report = lora.inspection.inspection_report
    seen = report.inspect(lora.file.lora_files.from_memory(tensors), small_model(MODEL))
    change = torch.linalg.norm(found[key] - weights(small_model(MODEL))[key])
    assert seen.blocks["IN01"].norm == pytest.approx(float(change), rel=1e-5)
    assert "LoRA with PEFT's DoRA on 1 weight, rank 4, alpha 6" in report.describe(
        "x", lora.file.lora_files.from_memory(tensors), seen)
    path = room.save([source(tensors, 0.5)], "dora", "comfy", 0, {}, small_model(MODEL)).path
    assert near(core(path, small_model(MODEL))[0][key], apply(tensors, strength=0.5)[0][key])
    with pytest.raises(ValueError, match="model: connect the model"):
        room.save([source(tensors)], "dora", "comfy", 0, {})


def test_a_magnitude_of_the_wrong_length_is_named(apply, lora):
    model, _ = trained(LINEAR, use_dora=True)
    tensors = saved_by_peft(model, LINEAR)
    _, result = apply(tensors | {f"diffusion_model.{LINEAR}.lora_magnitude_vector": torch.ones(3)})
    assert "the DoRA magnitude has 3" in lora.applying.apply_report.report("x", result)


@pytest.mark.parametrize("options", [{}, {"use_dora": True}])
def test_the_name_of_an_adapter_in_its_keys_does_not_matter(options, apply):
    model, tensors = trained(LINEAR, "style", **options)
    assert any(".lora_A.style.weight" in key for key in tensors)
    found, result = apply(tensors | alpha(LINEAR))
    assert near(found[f"diffusion_model.{LINEAR}.weight"], model.merge_and_unload()["layer"].weight.detach())
    assert not result.unused


def test_of_several_adapters_one_is_applied_and_the_others_are_named(apply, lora):
    (_, first), (_, second) = trained(LINEAR, "one"), trained(LINEAR, "two")
    found, result = apply(first | second)
    assert torch.equal(found[f"diffusion_model.{LINEAR}.weight"], apply(first)[0][f"diffusion_model.{LINEAR}.weight"])
    text = lora.applying.apply_report.report("x", result)
    assert "the file holds 2 adapters; one is applied, the others are not" in text and "2 of 4 keys used" in text
    assert "not applied, it belongs to another adapter of the file: 2 keys" in text


def test_a_trained_bias_is_applied_as_peft_merges_it(apply):
    model, _ = trained(BIASED, lora_bias=True)
    found, result = apply(saved_by_peft(model, BIASED) | alpha(BIASED))
    layer = model.merge_and_unload()["layer"]
    for part in ("weight", "bias"):
        assert near(found[f"diffusion_model.{BIASED}.{part}"], getattr(layer, part).detach())
    assert not result.unused


@pytest.fixture
def flux():
    """A small Flux of diffusers, as wide as the small model of the host."""
    def flux():
        return diffusers.FluxTransformer2DModel(
            in_channels=64, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=2,
            joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(8, 12, 12), guidance_embeds=True)
    return flux


@pytest.fixture
def with_header(flux, tmp_path):
    """(the model of diffusers with its adapter, a file of it with rank and alpha in the header alone)."""
    def make(**options):
        model = flux()
        config = peft.LoraConfig(**{"r": 16, "lora_alpha": 64, "init_lora_weights": False,
                                    "target_modules": ["to_out.0", "proj_mlp"]} | options)
        model.add_adapter(config)
        diffusers.FluxPipeline.save_lora_weights(
            tmp_path, transformer_lora_layers=peft.get_peft_model_state_dict(model),
            transformer_lora_adapter_metadata=config.to_dict())
        return model, next(tmp_path.glob("*.safetensors"))
    return make


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {
    "rank_pattern": {"to_out.0": 4}, "alpha_pattern": {"transformer_blocks.1.attn.to_out.0": 2}}],
    ids=["alpha", "rank-stabilised", "patterns"])
def test_rank_and_alpha_of_the_header_are_those_of_diffusers(options, with_header, lora, apply):
    model, path = with_header(**options)
    file = lora.file.lora_files.read_lora(path)
    found, result = apply(file, "Flux.1")
    base = weights(small_model("Flux.1"))
    for block in range(2):
        key = f"diffusion_model.double_blocks.{block}.img_attn.proj.weight"
        expected = model.transformer_blocks[block].attn.to_out[0].get_delta_weight("default").detach()
        assert torch.allclose(found[key] - base[key], expected, rtol=1e-4, atol=1e-5)
    text = lora.applying.apply_report.report("x", result)
    assert f"{len(load_file(path))} of {len(load_file(path))} keys used" in text and "as the header has it" in text
    assert "alpha as the header has it" in lora.inspection.inspection_report.describe(
        "x", file, lora.inspection.inspection_report.inspect(file))


def test_the_bars_of_the_editor_know_the_alpha_of_the_header(lora, tmp_path):
    module = "transformer.transformer_blocks.0.attn.to_out.0"
    tensors = {f"{module}.lora_A.weight": torch.ones(2, 3072), f"{module}.lora_B.weight": torch.ones(3072, 2)}
    heights = []
    for metadata in ({}, {"lora_adapter_metadata": json.dumps({"transformer.r": 2, "transformer.lora_alpha": 8})}):
        save_file(tensors, tmp_path / "bars.safetensors", metadata)
        told = lora.inspection.editor_overview.overview(tmp_path / "bars.safetensors")["blocks"]
        heights.append({block["block"]: block["energy"] for block in told}["D00"])
    assert heights[1] == pytest.approx(4 * heights[0])


@pytest.mark.parametrize("style", ["diffusers", "comfy"])
def test_what_is_saved_of_such_a_file_at_another_rank_says_what_it_holds(style, with_header, flux, lora, room, source):
    model, path = with_header()
    file = lora.file.lora_files.read_lora(path)
    patcher = small_model("Flux.1")
    saved = room.save([source(file.tensors, metadata=file.metadata)], "smaller", style, 4, {}, patcher).path
    assert "lora_adapter_metadata" not in metadata_of(saved)
    if style == "diffusers":
        again = flux()
        again.load_lora_adapter(load_file(saved), prefix="transformer")
        layer = lambda m: m.transformer_blocks[1].attn.to_out[0].get_delta_weight(next(iter(m.peft_config)))
        exact, kept = layer(model).detach(), layer(again).detach()
        u, s, v = torch.linalg.svd(exact)
        assert torch.allclose(kept, u[:, :4] * s[:4] @ v[:4], atol=1e-3 * float(s[0]))


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"transformer.r": {}}', '{"transformer.lora_alpha": "x"}',
                                  "[" * 5000, '{"transformer.lora_alpha": 1e999}', '{"transformer.alpha_pattern": [1]}',
                                  json.dumps({"transformer.lora_alpha": 10 ** 400})])
def test_a_header_that_says_nothing_of_use_leaves_alpha_at_the_rank(text, lora):
    tensors = {"transformer.x.lora_A.weight": torch.ones(2, 3), "transformer.x.lora_B.weight": torch.ones(3, 2)}
    found = lora.file.peft_format.readable(tensors, {"lora_adapter_metadata": text})
    assert found.tensors.keys() == tensors.keys() and all("header" in note for note in found.notes)


@pytest.mark.parametrize("ending, size, reason", [
    ("ia3_l", (64, 1), "IA3, which neither ComfyUI nor this pack applies"),
    ("oft_R", (16, 6), "PEFT's OFT, which neither"), ("hra_u", (64, 2), "HRA, which neither"),
    ("lora_down.weight", (2, 64), "half an adapter, whose other half is missing"),
    ("lora_A.weight", (2, 64), "half an adapter"), ("magic", (2, 2), 'ComfyUI knows no ending ".magic" of a LoRA'),
])
def test_an_unknown_ending_is_no_unknown_weight_and_is_listed_without_a_model_too(ending, size, reason, apply, lora):
    key = f"diffusion_model.{LINEAR}.{ending}"
    _, result = apply({key: torch.ones(*size)})
    assert f"not applied, {reason}" in lora.applying.apply_report.report("x", result)
    report, file = lora.inspection.inspection_report, lora.file.lora_files.from_memory({key: torch.ones(*size)})
    text = report.describe("x", file, report.inspect(file))
    assert f"- not applied, {reason}" in text and key in text


def test_a_real_oft_of_peft_gets_its_sentence(apply, lora):
    layer = torch.nn.Linear(64, 64, bias=False)
    model = peft.get_peft_model(torch.nn.ModuleDict({"layer": layer}),
                                peft.OFTConfig(r=0, oft_block_size=8, target_modules=["layer"]))
    _, result = apply(saved_by_peft(model, LINEAR))
    assert "not applied, PEFT's OFT" in lora.applying.apply_report.report("x", result)


FACTORS = {".lora_up.weight": torch.ones(64, 2), ".lora_down.weight": torch.ones(2, 64)}


@pytest.mark.parametrize("second, counts", [
    ({".lokr_w1": torch.ones(2, 2), ".lokr_w2": torch.ones(32, 32)}, "2 of 4 keys used"),
    ({".diff": torch.ones(64, 64)}, "1 of 3 keys used"),
    ({".lora_B.weight": torch.ones(64, 2), ".lora_A.weight": torch.ones(2, 64)}, "2 of 4 keys used"),
])
def test_a_weight_that_one_name_changes_twice_is_counted_once(second, counts, apply, lora):
    module = f"diffusion_model.{LINEAR}"
    _, result = apply({module + ending: t for ending, t in (FACTORS | second).items()})
    text = lora.applying.apply_report.report("x", result)
    assert counts in text and "2 keys" in text
    assert "same weight, under the same name" in text or "another spelling" in text


@pytest.mark.parametrize(("blocks", "lost"), [((2, 32, 32), True), ((1, 2, 32, 32), False)])
def test_the_rescale_of_an_oft_is_told_as_unused_and_that_of_a_boft_counts(blocks, lost, apply, lora):
    name = f"diffusion_model.{LINEAR}"
    _, result = apply({f"{name}.oft_blocks": torch.ones(blocks), f"{name}.rescale": torch.full((64, 1), 3.0),
                       f"{name}.alpha": torch.tensor(1.0)})
    text = lora.applying.apply_report.report("x", result)
    told = f"not applied, ComfyUI does not use the rescale of an OFT: 1 key ({name}.rescale)"
    assert (told in text, "2 of 3 keys used" in text, "3 of 3 keys used" in text) == (lost, lost, not lost)


def test_rank_0_changes_nothing_and_says_so(apply, lora):
    module = f"diffusion_model.{LINEAR}"
    _, result = apply({f"{module}.lora_up.weight": torch.ones(64, 0), f"{module}.lora_down.weight": torch.ones(0, 64)})
    text = lora.applying.apply_report.report("x", result)
    assert "0 of 2 keys used" in text and "not applied, rank 0, which changes nothing: 2 keys" in text


@pytest.mark.parametrize("tensors, sentence", [
    ({"x.lora_up.weight": torch.ones(4, 2, dtype=torch.int8)}, "cannot be used: x.lora_up.weight holds torch.int8"),
    ({f"diffusion_model.{LINEAR}.lora_up.weight": torch.ones(64, 2)}, "has only a part of an adapter, without '"),
    ({"img_in.lora_A.weight": torch.ones(2, 4), "single_blocks.0.norm.key_norm.scale": torch.ones(4)},
     "has only a part of an adapter, without 'img_in.lora_B.weight'"),
], ids=["int8", "half", "half of a control LoRA"])
def test_what_cannot_be_applied_has_a_sentence_of_its_own(tensors, sentence, apply):
    with pytest.raises(ValueError, match=f"{sentence}"):
        apply(tensors)


def test_training_from_a_file_says_the_same_of_half_an_adapter(pack):
    tensors = {f"diffusion_model.{LINEAR}.lora_up.weight": torch.ones(64, 2)}
    with pytest.raises(ValueError, match="has only a part of an adapter, without '"):
        pack.nodes.training.adapters.lora_shape.patches_by_weight(tensors, small_model(MODEL).model)


PATHS = ["blocks.0.attn.to_q", "blocks.10.attn.to_k", "blocks.1.mlp.to_q", "to_q", "single.blocks.0.attn.to_q"]


@pytest.mark.parametrize("patterns", [
    ["blocks.0.attn.to_q"], ["to_q"], [r"blocks\.0\..*"], [r"^blocks\.\d+\.attn\.to_q"], [r".*to_q"],
    [r"blocks\.(0|1)\.\w+\.to_q"], ["to_q", "blocks.0.attn.to_q"], [r".*attn\..*", "to_q"], ["to_q", r".*attn\..*"],
    [r"attn\.to_[qk]", "mlp"]])
def test_a_pattern_of_alphas_means_what_it_means_to_peft(patterns, lora):
    from peft.utils.other import get_pattern_key
    values = {pattern: number for number, pattern in enumerate(patterns, 1)}
    read = lora.file.peft_patterns.Patterns(values)
    assert [read.find(path) for path in PATHS] == [values.get(get_pattern_key(patterns, path)) for path in PATHS]
    assert not read.unread


@pytest.mark.parametrize("pattern", [r"(a+)+b", r"(a|b", "a|" * 101, r".*.*.*.*x", r"(\w*)*"])
def test_a_pattern_that_would_take_long_or_is_none_is_left_out_and_told(pattern, lora):
    header = json.dumps({"lora_alpha": 4, "r": 4, "alpha_pattern": {pattern: 8}})
    tensors = {"blocks.0.to_q.lora_A.weight": torch.ones(4, 8), "blocks.0.to_q.lora_B.weight": torch.ones(8, 4)}
    assert "not read of the header's alpha_pattern" in lora.file.peft_format.readable(
        tensors, {lora.file.peft_format.HEADER: header}).notes[0]


def test_patterns_have_a_time_together(lora, monkeypatch):
    module = lora.file.peft_patterns
    monkeypatch.setattr(module, "SECONDS", -1.0)
    read = module.Patterns({r".*to_\w": 8, "to_k": 2})
    assert (read.find("a.to_q"), read.find("a.to_k"), read.unread) == (None, 2, [r".*to_\w"])


def test_an_alpha_that_only_the_header_has_is_no_key_of_the_file(apply, lora):
    module = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
    tensors = {f"{module}.lora_A.weight": torch.ones(4, 32), f"{module}.lora_B.weight": torch.ones(32, 4)}
    header = json.dumps({"text_encoder.lora_alpha": 8, "text_encoder.r": 4})
    read = lora.file.lora_files._readable(tensors, {lora.file.peft_format.HEADER: header})
    text = lora.applying.apply_report.report("x", apply(read)[1])
    assert "0 of 2 keys used" in text and "no CLIP is connected: 2 keys" in text and ".alpha" not in text
