"""What cannot be continued is refused with what does not fit, and the state is left as it is."""
import pytest
import torch
from safetensors.torch import save_file
from training_graphs import plan, shape_of
from training_models import tiny_sd3


@pytest.mark.parametrize("model, changes, sentence", [
    (dict(seed=1), {}, "resume: hand/step_00000003 was trained on other weights"),
    (dict(depth=3), {}, "resume: hand/step_00000003 was trained on other weights"),
    ({}, dict(rank=2), "resume: hand/step_00000003 holds LoRA of rank 4, this run trains LoRA of rank 2"),
])
def test_a_state_of_something_else_is_refused(train, state, model, changes, sentence):
    before = state.read_bytes()
    with pytest.raises(ValueError, match=sentence):
        train(tiny_sd3(**model), 6, resume="hand", **changes)
    assert state.read_bytes() == before


def test_a_state_of_another_optimizer_is_refused(pack, train, state):
    with pytest.raises(ValueError, match="was trained with adamw, the recipe now says muon"):
        train(tiny_sd3(), 6, resume="hand", **plan(pack, optimizer={"name": "muon"}))


OTHER_FORMS = {
    "another alpha": ({"alpha": 4.0}, {"alpha": 1.0}, r"another scale of its change \(alpha 4; now alpha 1\)"),
    "another scaling": ({}, {"settings": {"rank_stabilised": True}}, "now alpha the rank, over sqrt"),
    "another constraint": ({"algorithm": "OFT"}, {"algorithm": "OFT", "settings": {"constraint": 0.1}},
                           "now alpha the rank, oft_constraint 0.1"),
    "a rate elsewhere": ({"targets": "J*=4; J01.attn=4@1e-4"}, {"targets": "J*=4; J01.mlp=4@1e-4"}, "other groups of"),
    "lora_plus_ratio": ({}, {"late_ratio": 16.0}, "other groups of layers at a rate of their own. Set lora_plus_ratio"),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_a_state_whose_numbers_would_mean_another_lora_is_refused(pack, train, output_folder, form):
    before, now, sentence = OTHER_FORMS[form]
    train(tiny_sd3(), 2, shape=shape_of(pack, **before))
    with pytest.raises(ValueError, match=f"resume: hand/step_00000002 was trained with .*{sentence}"):
        train(tiny_sd3(), 4, resume="hand", shape=shape_of(pack, **now))


def test_a_truncated_state_is_refused_and_left_alone(train, state):
    state.write_bytes(whole := state.read_bytes()[:-100])
    with pytest.raises(ValueError, match="resume: training/hand/step_00000003.safetensors is not a whole"):
        train(tiny_sd3(), 6, resume="hand")
    assert state.read_bytes() == whole


def test_another_file_and_a_name_that_does_not_exist_are_refused(train, output_folder, state):
    save_file({"a": torch.ones(1)}, output_folder / "other.safetensors")
    with pytest.raises(ValueError, match="resume: expected a training state, other.safetensors is another"):
        train(tiny_sd3(), 6, resume=str(output_folder / "other.safetensors"))
    with pytest.raises(ValueError, match="resume: expected the name of a run in output/training or the path of a "
                                         "state, got 'nothing'; there are hand."):
        train(tiny_sd3(), 6, resume="nothing")
    with pytest.raises(ValueError, match="got 'n{57}[.]{3}'; there are hand."):
        train(tiny_sd3(), 6, resume="n" * 5000)
