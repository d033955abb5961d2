"""What newer hosts hand to an adapter or make of a file, by small doubles of their classes; and their models."""
import json

import comfy.lora
import comfy.lora_convert
import pytest
import torch
from comfy.weight_adapter import LoKrAdapter
from lora_models import adapter, small_model, weights
from safetensors.torch import load_file

KEY = "diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"
MODULE = KEY.removesuffix(".weight")


@pytest.fixture
def narrowing(monkeypatch):
    """The host's LoKr as it is newer: for a weight of the name it was given, it takes rows from row_offset on."""
    plain = LoKrAdapter.calculate_weight

    def calculate_weight(self, weight, key, strength, strength_model, offset, function, *args, **kwargs):
        if getattr(self, "row_offset", None) is None:
            return plain(self, weight, key, strength, strength_model, offset, function, *args, **kwargs)
        if key != self.key:
            return weight  # it fits no other weight; the host logs that
        whole = torch.kron(*self.weights[:2])
        return weight + strength * function(whole[self.row_offset:self.row_offset + len(weight)].to(weight.dtype))

    monkeypatch.setattr(LoKrAdapter, "calculate_weight", calculate_weight)
    load = comfy.lora.load_lora

    def load_lora(lora, to_load, log_missing=True):
        patches = load(lora, to_load, log_missing=log_missing)
        for name, target in to_load.items():
            if f"{name}.row_offset" in lora.keys() and target in patches:
                patches[target].row_offset, patches[target].key = int(lora[f"{name}.row_offset"]), target
        return patches

    monkeypatch.setattr(comfy.lora, "load_lora", load_lora)


def fused(rows, columns, offset):
    """A LoKr three times as tall as its weight, and the rows of it that are the weight's."""
    generator = torch.Generator().manual_seed(0)
    w1, w2 = (torch.randn(size, generator=generator) for size in ((3, 2), (rows, columns // 2)))
    return ({f"{MODULE}.lokr_w1": w1, f"{MODULE}.lokr_w2": w2, f"{MODULE}.row_offset": torch.tensor(offset)},
            torch.kron(w1, w2)[offset:offset + rows])


@pytest.fixture
def narrowed(narrowing, lora):
    rows, columns = small_model("SD3-medium").model.state_dict()[KEY].shape
    tensors, change = fused(rows, columns, rows)
    return lora.file.lora_files.from_memory(tensors), change


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_lokr_narrowed_by_the_host_is_applied_whole(strength, narrowed, lora):
    file, change = narrowed
    model = small_model("SD3-medium")
    patched, _, result = lora.applying.patching.apply_lora(model, None, file, strength, 1.0, ())
    assert [c.problem for c in result.components[0].changes] == [""]
    assert torch.allclose(weights(patched)[KEY] - weights(model)[KEY], strength * change, atol=1e-5)


def test_the_energy_of_a_narrowed_lokr_is_that_of_its_rows(narrowed, lora):
    file, change = narrowed
    report = lora.inspection.inspection_report
    norm = report.inspect(file, small_model("SD3-medium")).blocks["J00"].norm
    assert norm == pytest.approx(float(change.norm()), rel=1e-4)
    assert report.inspect(file).blocks["J00"].unknown == 1  # without the weight nobody knows how many rows it has


def test_a_narrowed_lokr_of_too_few_rows_is_named(narrowing, lora):
    rows, columns = small_model("SD3-medium").model.state_dict()[KEY].shape
    tensors, _ = fused(rows, columns, 2 * rows + 1)
    _, _, result = lora.applying.patching.apply_lora(small_model("SD3-medium"), None,
                                                     lora.file.lora_files.from_memory(tensors), 1.0, 1.0, ())
    assert "the host takes rows" in result.components[0].changes[0].problem


def test_a_narrowed_lokr_is_saved_as_the_change_it_makes(narrowed, lora, room, source):
    file, change = narrowed
    saved = room.save([source(file.tensors, 0.5)], "narrowed", "comfy", 0, {}, small_model("SD3-medium")).path
    assert torch.allclose(load_file(saved)[f"{MODULE}.diff"], 0.5 * change, atol=1e-5)


def test_what_was_set_on_an_adapter_stays_when_its_parts_change(lora):
    parts = lora.patches.adapter_parts
    patch = LoKrAdapter(set(), (torch.ones(2, 2), torch.ones(2, 2), *[None] * 7))
    patch.key, patch.row_offset = "a.weight", 3
    made = parts.with_parts(patch, w1=torch.zeros(2, 2))
    assert (made.key, made.row_offset) == ("a.weight", 3) and patch.weights[0].sum() == 4 and made.weights[0].sum() == 0


def test_an_adapter_with_more_parts_than_are_known_gets_one_sentence(lora):
    patch = LoKrAdapter(set(), (None,) * 10)
    with pytest.raises(RuntimeError, match="keeps a lokr in 10 parts, and this pack knows 9"):
        lora.patches.adapter_parts.check_layout(patch)


@pytest.fixture
def with_config(monkeypatch, lora):
    """A host that reads a setting of a weight from a file, and a LoRA with one."""
    load = comfy.lora.load_lora

    def load_lora(tensors, to_load, log_missing=True):
        found = load(tensors, to_load, log_missing=log_missing)
        return found | {target: ("config", (tensors[f"{name}.comfy_config"],)) for name, target in to_load.items()
                        if f"{name}.comfy_config" in tensors.keys()}

    monkeypatch.setattr(comfy.lora, "load_lora", load_lora)
    rows, columns = small_model("SD3-medium").model.state_dict()[KEY].shape
    other = MODULE.replace("qkv", "proj")
    tensors = {MODULE + end: t for end, t in adapter("lora", (rows, columns)).items()}
    setting = torch.tensor(list(json.dumps({"a": 1}).encode()), dtype=torch.uint8)
    return lora.file.lora_files.LoraFile(tensors | {f"{other}.comfy_config": setting}, {}), setting, f"{other}.weight"


def test_a_setting_of_a_weight_is_handed_on_as_it_is(with_config, lora):
    file, setting, key = with_config
    spec = lora.block_weights.block_language.parse("J00=0.5")
    patched, _, result = lora.applying.patching.apply_lora(small_model("SD3-medium"), None, file, 0.7, 1.0, spec)
    handed = patched.patches[key][0]
    assert handed[1][0] == "config" and torch.equal(handed[1][1][0], setting)
    text = lora.applying.apply_report.report("x", result)
    assert "changes 1 weights of the model; 4 of 4 keys used" in text
    look = lambda file: lora.inspection.inspection_report.inspect(file, small_model("SD3-medium")).blocks["J00"]
    assert look(file) == look(file._replace(tensors={k: t for k, t in file.tensors.items() if "config" not in k}))


@pytest.mark.parametrize("connected", [True, False])
def test_a_setting_is_named_when_a_lora_is_saved(connected, with_config, room, lora):
    made = room.Source("a.safetensors", with_config[0], 1.0, 1.0, "")
    saved = room.save([made], "settings", "comfy", 0, {}, small_model("SD3-medium") if connected else None)
    said = "settings that ComfyUI hands to weights" if connected else 'no ending ".comfy_config"'
    assert said in saved.text and len(load_file(saved.path)) == 3


@pytest.mark.parametrize("inside", ["named", "hidden"])
def test_a_host_that_converts_by_itself_counts_and_saves_right(inside, monkeypatch, lora, room, source):
    load, convert = comfy.lora.load_lora, comfy.lora_convert.convert_lora

    def named(tensors, to_load, log_missing=True):
        return load(dict(comfy.lora_convert.convert_lora(tensors)), to_load, log_missing=log_missing)

    def hidden(tensors, to_load, log_missing=True):
        return load(dict(convert(tensors).items()), to_load, log_missing=log_missing)

    monkeypatch.setattr(comfy.lora, "load_lora", {"named": named, "hidden": hidden}[inside])
    model = small_model("SD3-medium")
    tensors = {MODULE + end: t for end, t in adapter("lora", tuple(model.model.state_dict()[KEY].shape)).items()}
    file = lora.file.lora_files.LoraFile(tensors | {"nobody.lora_up.weight": torch.ones(2, 2)}, {})
    result = lora.applying.patching.dry_run(model, None, file, 1.0, 1.0, ())
    assert result.unused == ["nobody.lora_up.weight"]
    assert "3 of 4 keys used" in lora.applying.apply_report.report("x", result)
    assert len(load_file(room.save([source(tensors)], "own", "kohya", 0, {}, model).path)) == 3


QWEN21 = [f"diffusion_model.transformer_blocks.{n}.{rest}" for n in range(32) for rest in
          ("attn.to_q.weight", "attn.to_out.0.weight", "img_mlp.gate_up.weight", "img_mlp.out.weight")] + [
    "diffusion_model.modulation.1.weight", "diffusion_model.txt_in.in_layer.weight"]
KANDINSKY6 = [f"diffusion_model.{part}.{n}.{rest}.weight" for part in
              ("visual_blocks", "video_text_transformer_blocks", "audio_text_transformer_blocks") for n in range(3)
              for rest in ("audioT.self_attention.to_query", "videoT.feed_forward.in_layer", "va_modulation.out")] + [
    "diffusion_model.audio_outLayer.out_layer.weight"]


H3 = [f"diffusion_model.{part}.{n}.{rest}.weight" for part, count in (("blocks", 4), ("token_refiner.blocks", 2))
      for n in range(count) for rest in ("attn.qkv_proj", "mlp.fc1", "mlp.fc2")] + [
    "diffusion_model.audio_patch_proj.weight"]


@pytest.mark.parametrize("keys, family, first, aliases", [
    (QWEN21, "Qwen-Image 2.1", "B00", 32), (KANDINSKY6, "Kandinsky 6", "B00", 3), (H3, "MiniMax-H3", "B00", 4)])
def test_models_of_newer_hosts_have_blocks_and_presets(keys, family, first, aliases, lora):
    places = lora.model.blocks.model_places(keys).values()
    found = list(dict.fromkeys(place.alias for place in places))
    assert first in found and sum(alias.startswith("B") and alias[1:].isdigit() for alias in found) == aliases
    assert lora.block_weights.vectors.family(found) == family
    own = next(entry["presets"] for entry in lora.block_weights.presets.by_family() if entry["family"] == family)
    for preset in own:
        weights = lora.block_weights.weights.resolve(
            lora.block_weights.block_language.parse(preset["name"]), list(places))
        assert {weights.ratio(place) for place in places} == {0.0, 1.0}, preset


def test_a_slice_of_a_fused_gate_and_up_weight_has_the_ratio_of_its_part(lora):
    places = lora.model.blocks.model_places(QWEN21)
    weights = lora.block_weights.weights.resolve(
        lora.block_weights.block_language.parse("B*.mlp=0.5; B07=0.2; B08.attn=0"), list(places.values()))
    at = lambda n, rest, *offset: weights.ratio(places[f"diffusion_model.transformer_blocks.{n}.{rest}"], *offset)
    for offset in ((0, 0, 96), (0, 96, 96)):
        assert at(3, "img_mlp.gate_up.weight", offset, (192, 64)) == 0.5
        assert at(7, "img_mlp.gate_up.weight", offset, (192, 64)) == 0.2
        assert at(8, "img_mlp.gate_up.weight", offset, (192, 64)) == 0.5
    assert at(8, "attn.to_q.weight") == 0 and at(3, "attn.to_q.weight") == 1


def test_a_longer_anima_has_its_own_blocks_and_the_presets_of_anima(lora):
    rests = ("self_attn.q_proj.weight", "mlp.layer1.weight", "cross_attn.q_proj.weight")
    keys = [f"diffusion_model.{part}.{n}.{rest}" for part, count in (("blocks", 52), ("llm_adapter.blocks", 6))
            for n in range(count) for rest in rests] + ["diffusion_model.t_embedding_norm.weight"]
    aliases = list(dict.fromkeys(place.alias for place in lora.model.blocks.model_places(keys).values()))
    assert "B51" in aliases and "LLM05" in aliases and lora.block_weights.vectors.family(aliases) == "Anima"


def test_a_host_that_keeps_patches_in_another_form_gets_one_sentence(monkeypatch, lora):
    from comfy.model_patcher import ModelPatcher
    add = ModelPatcher.add_patches

    def newer(self, patches, *strengths):
        found = add(self, patches, *strengths)
        self.patches = {key: [dict(enumerate(entry)) for entry in row] for key, row in self.patches.items()}
        return found

    monkeypatch.setattr(ModelPatcher, "add_patches", newer)
    model = small_model("SD3-medium")
    tensors = {MODULE + end: t for end, t in adapter("lora", tuple(model.model.state_dict()[KEY].shape)).items()}
    spec = lora.block_weights.block_language.parse("J00=0.5")
    with pytest.raises(RuntimeError, match="keeps the patches of a model in another form"):
        lora.applying.patching.apply_lora(model, None, lora.file.lora_files.LoraFile(tensors, {}), 1.0, 1.0, spec)


def test_a_lokr_that_a_newer_host_gave_its_key_is_a_branch_and_one_that_it_narrows_is_none(lora):
    layer = torch.nn.Linear(4, 4)
    patch = LoKrAdapter(set(), (torch.ones(2, 2), torch.ones(2, 2), *[None] * 7))
    patch.key, patch.row_offset = "a", None
    branch = lora.patches.branch
    assert isinstance(branch.branch_of(patch, 1.0, "a.weight", layer), branch.Branch)
    patch.row_offset = 4
    assert branch.branch_of(patch, 1.0, "a.weight", layer) == "narrowed by the host"


def test_a_lokr_that_the_host_narrows_by_name_alone_fits_and_is_known_as_narrowed(lora, monkeypatch):
    from comfy.weight_adapter import lokr
    rows, columns = small_model("SD3-medium").model.state_dict()[KEY].shape
    asked = []

    def offset_of(height, width, name, wanted=None):
        asked.append((height, width, name, wanted))
        return rows if name == KEY else None

    monkeypatch.setattr(lokr, "fused_qkv_row_offset", offset_of, raising=False)
    tensors, _ = fused(rows, columns, 0)
    del tensors[f"{MODULE}.row_offset"]
    _, _, result = lora.applying.patching.apply_lora(
        small_model("SD3-medium"), None, lora.file.lora_files.from_memory(tensors), 1.0, 1.0, ())
    change = result.components[0].changes[0]
    assert asked == [(3 * rows, columns, KEY, rows)] and not change.problem
    assert lora.patches.adapter_parts.is_narrowed(change.patch) and change.patch.row_offset == rows
