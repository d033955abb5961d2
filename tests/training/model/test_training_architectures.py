"""Architectures that are checked once each: blocks that write into their inputs, layers that no picture reaches."""
import pytest
import torch
from safetensors import safe_open
from training_gradients import Setup
from training_models import MORE_FAMILIES, build, samples, tiny_sd3

# What the host's forward passes compute and throw away: the text stream of a last block; sound where there is none.
UNREACHED = {"Lens": 4, "MageFlow": 4, "JoyImage": 3, "LTX-2": 36}


@pytest.mark.parametrize("name", MORE_FAMILIES)
def test_the_self_check_passes_and_the_gradient_is_the_slope_of_the_loss(pack, name):
    setup = Setup(pack, name, 1)
    for adapter in setup.adapters.layers.values():
        adapter.trained["up"].data.zero_()
    check = setup.t.step.selfcheck.self_check(setup.patcher, setup.denoiser, setup.objective, setup.adapters,
                                              samples(pack, MORE_FAMILIES[name], 1)[0], 1, 0)
    assert len(check.unreached) == UNREACHED.get(name, 0) and check.gradient_error < 1e-4
    setup.adapters.flat.normal_(std=0.1, generator=torch.Generator().manual_seed(5))
    _, gradient = setup.gradient(check.checkpoint)
    assert setup.slope(gradient / gradient.norm()) == pytest.approx(gradient.norm().item(), rel=0.02)


@pytest.mark.parametrize("name, left_out", [("Krea 2", "txtfusion"), ("Kandinsky 5", "text_transformer_blocks")])
def test_blocks_that_work_on_captions_alone_are_not_trained_by_default(pack, name, left_out):
    layers = pack.nodes.training.model.layers
    network = build(MORE_FAMILIES[name]).model.diffusion_model
    assert any(block.startswith(left_out) for block, _ in layers.repeated_blocks(network))
    assert layers.default_layers(network) and not [n for n in layers.default_layers(network) if n.startswith(left_out)]


@torch.library.custom_op("bottega_test::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def test_a_fused_operation_without_a_gradient_is_refused_by_name(pack, train):
    model = tiny_sd3()
    block = model.model.diffusion_model.joint_blocks[-1].x_block
    block.post_attention = (lambda own: lambda *a, **k: twice(own(*a, **k)))(block.post_attention)
    with pytest.raises(RuntimeError, match="^model: SD3 uses the fused operation bottega_test.twice, which has no "):
        train(model, 1)


def test_layers_for_sound_are_left_out_where_the_data_set_is_silent(pack, train, output_folder):
    family = MORE_FAMILIES["LTX-2"]
    dataset = pack.nodes.training.data.dataset.TrainingSet(samples(pack, family, 2), [])
    trained = train(build(family), 2, dataset=dataset)
    assert any("36 of 56 layers are for sound, which the data set does not have" in note for note in trained.notes)
    with safe_open(trained.path, "pt") as file:
        assert len(file.keys()) == 3 * 20 and not [key for key in file.keys() if "audio" in key]
    assert len(train(build(family), 3, dataset=dataset, resume="hand").losses) == 3


def test_what_is_left_out_does_not_change_what_the_other_layers_start_from(pack):
    setup = Setup(pack, "LTX-2", 1)
    before = {name: p.detach().clone() for name, p in setup.adapters.parameters.items()}
    setup.adapters.leave_out([name for name in setup.adapters.layers if "audio" in name])
    assert len(setup.adapters.layers) == 20
    assert all(torch.equal(before[name], p) for name, p in setup.adapters.parameters.items())
    assert setup.adapters.flat.numel() == sum(p.numel() for p in setup.adapters.parameters.values())
