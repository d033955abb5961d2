"""Frozen models in other guises: quantised by the host, quantised by another pack, patched; every algorithm on each."""
from pathlib import Path

import comfy.model_management
import comfy.sd
import folder_paths
import pytest
import torch
from training_bases import BASES, plain_twin
from training_models import caption, latents, tiny_sd3

ALGORITHMS = ["LoRA", "DoRA", "LoHa", "LoKr", "OFT"]

pytestmark = pytest.mark.usefixtures("own_output_folder")


def gradient(pack, model, algorithm, checkpoint):
    """The gradient of a batch of two, by layer, with adapters away from their start."""
    t = pack.nodes.training
    comfy.model_management.load_models_gpu([model])
    shape = t.adapters.LoraShape(algorithm, rank=4)
    with torch.inference_mode(False):
        adapters = t.adapters.build(shape, model.model, "cpu", torch.Generator().manual_seed(2))
        adapters.flat.add_(torch.randn(adapters.flat.shape, generator=torch.Generator().manual_seed(3)) * 0.02)
        dataset = t.data.dataset.from_core_nodes([{"samples": latents(2)}], [caption(0), caption(1)])
        denoiser = t.step.denoiser.Denoiser(model, 1.0)
        objective = t.step.loss.Objective(model.get_model_object("model_sampling"))
        batch = [denoiser.encode(sample) for sample in dataset.samples]
        noise = [torch.randn(s.latent.shape, generator=torch.Generator().manual_seed(4)) for s in batch]
        network = model.model.diffusion_model
        blocks = [block for _, block in t.model.layers.repeated_blocks(network)] if checkpoint else []
        with t.model.differentiable.training_mode(model), t.model.differentiable.DifferentiableHost(), \
                t.adapters.attached(network, adapters, torch.device("cpu")), t.adapters.checkpointed(blocks):
            t.step.gradient.backward(denoiser, objective, batch, noise, torch.tensor([0.4, 0.7]))
    return adapters.gradients()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("base", BASES)
def test_the_gradient_is_that_of_the_plain_weights(host, pack, base, algorithm):
    make, tolerance = BASES[base]
    model = make()
    ours, plain = gradient(pack, model, algorithm, True), gradient(pack, plain_twin(model), algorithm, False)
    assert ours.keys() == plain.keys()
    for name, value in plain.items():
        assert value.norm() > 0
        assert (ours[name] - value).norm() <= tolerance * value.norm(), name


@pytest.mark.parametrize("base", BASES)
def test_a_lora_trains_on_the_base_and_loads_into_it(host, pack, base):
    t, model = pack.nodes.training, BASES[base][0]()
    folder_paths.get_filename_list("loras")
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(2)}], [caption(0), caption(1)])
    settings = t.plan.settings.Settings(4, 2, 1e-2, 4, 0)
    trained = t.training_run.train(model, dataset, settings, "on quantised", t.monitoring.progress.Progress(4, "1"))
    assert trained.check.reached == trained.check.adapters == 13
    name = Path(trained.path).name
    loaded, _ = host.nodes.NODE_CLASS_MAPPINGS["LoraLoader"]().load_lora(model, None, name, 1.0, 1.0)
    assert len(loaded.patches) == 13


def test_the_user_s_lora_is_part_of_the_base(host, pack):
    """The gradient on a model with a LoRA is that on a model whose weights hold it."""
    key = "diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight"
    change = torch.randn(512, 128, generator=torch.Generator().manual_seed(6)) * 0.1
    patched, merged = tiny_sd3().clone(), tiny_sd3()
    patched.add_patches({key: ("diff", (change,))}, 0.5)
    merged.model.get_parameter(key).data.add_(change, alpha=0.5)
    for algorithm in ("LoRA", "DoRA"):
        ours, plain = (gradient(pack, model, algorithm, False) for model in (patched, merged))
        assert all(torch.allclose(ours[name], plain[name], rtol=1e-4, atol=1e-7) for name in plain)
