"""Numbers that a link brings and no widget checked: NaN and infinity are refused by the name of their input."""
import lora_models as small
import pytest
import torch
from lora_models import small_model

ODD = [float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", ["strength_model", "strength_clip", "a", "b"])
def test_a_number_that_is_not_finite_gets_one_sentence_wherever_it_comes_in(name, odd, pack, room, output_folder):
    lora, model = pack.nodes.lora, small_model("SD3-medium")
    file = lora.file.lora_files.LoraFile(small.lora_for(model, "lora"), {})
    strengths = [odd if name == each else 1.0 for each in ("strength_model", "strength_clip")]
    settings = lora.block_weights.block_language.Settings(**({name: odd} if name in "ab" else {}))
    schedule = lora.applying.schedule
    source = room.Source("x", file, *strengths, "", settings)
    for run in (
            lambda: lora.applying.patching.apply_lora(model, None, file, *strengths, (), settings),
            lambda: schedule.check_and_report("x", file, *strengths, (), model, None, settings),
            lambda: schedule.chained_hooks(None, file.tensors, *strengths, (), (), None, settings),
            lambda: room.save([source], "odd", "kohya", 0, {}, model),
            lambda: room.save([source], "odd", "kohya", 0, {})):
        with pytest.raises(ValueError, match=rf"^(x: )?{name}: expected a finite number, got -?(nan|inf)"):
            run()
    assert not list(output_folder.rglob("odd*"))


@pytest.mark.parametrize("odd", ODD)
def test_a_region_and_a_stack_have_finite_strengths(odd, pack, output_folder):
    lora, model = pack.nodes.lora, small_model("SD3-medium")
    file = lora.file.lora_files.LoraFile(small.lora_for(model, "lora"), {})
    with pytest.raises(ValueError, match="^strength: expected a finite number"):
        lora.regional.apply_regional.apply_regional(model, file, torch.ones(8, 8), odd, ())
    lora.file.lora_files.write_lora(output_folder / "loras" / "finite.safetensors", file.tensors, {})
    stack = lora.applying.stack
    with pytest.raises(ValueError, match="^strength_model: expected a finite number"):
        stack.extended_stack(None, None, stack.Layer("finite.safetensors", odd, 1.0))
