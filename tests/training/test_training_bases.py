"""Frozen models in other guises: quantised by the host, quantised by another pack, patched; every algorithm on each."""
from pathlib import Path

import comfy.model_management
import comfy.sd
import folder_paths
import pytest
import torch
from comfy.quant_ops import QUANT_ALGOS, QuantizedTensor
from test_training_run import own_output_folder  # noqa: F401
from training_models import caption, latents, tiny_sd3

ALGORITHMS = ["LoRA", "DoRA", "LoHa", "LoKr", "OFT"]


def quantised_sd3(quant, **config):
    """The tiny model as the host loads a file whose block layers are quantised in its own format."""
    import json
    weights = {f"model.{key}": tensor.detach().clone() for key, tensor in tiny_sd3().model.state_dict().items()
               if key.startswith("diffusion_model.")}
    conf = torch.tensor(list(json.dumps({"format": quant, **config}).encode()), dtype=torch.uint8)
    for key in [key for key in weights if "_block." in key and key.endswith(".weight") and weights[key].ndim == 2]:
        packed = QuantizedTensor.from_float(weights.pop(key), QUANT_ALGOS[quant]["comfy_tensor_layout"])
        weights |= packed.state_dict(key)
        weights[key.replace(".weight", ".comfy_quant")] = conf
    return comfy.sd.load_diffusion_model_state_dict(weights)


class OpaqueLinear(torch.nn.Module):
    """A layer of another pack: the weight is stored as bytes, and only its forward knows how to read it."""

    def __init__(self, linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = linear.weight.abs().max() / 127
        self.weight = torch.nn.Parameter((linear.weight / self.scale).round().to(torch.int8), requires_grad=False)
        self.bias = linear.bias

    def dequantised(self):
        return self.weight.float() * self.scale

    def forward(self, x):
        return torch.nn.functional.linear(x, self.dequantised().to(x.dtype), self.bias.to(x.dtype))


def opaque_sd3():
    model = tiny_sd3()
    for name, module in list(model.model.diffusion_model.named_modules()):
        if "_block." in name and isinstance(module, torch.nn.Linear):
            parent, _, leaf = name.rpartition(".")
            setattr(model.model.diffusion_model.get_submodule(parent), leaf, OpaqueLinear(module))
    return model


def plain_twin(model):
    """An ordinary model with the weights that the given one computes with."""
    twin = tiny_sd3()
    for name, module in model.model.diffusion_model.named_modules():
        if isinstance(module, OpaqueLinear):
            twin.model.diffusion_model.get_submodule(name).weight.data.copy_(module.dequantised())
        elif isinstance(getattr(module, "weight", None), QuantizedTensor):
            twin.model.diffusion_model.get_submodule(name).weight.data.copy_(module.weight.dequantize())
    return twin


# How far a gradient may be from that of the plain weights: the host rounds the activations of int8 layers too, and of
# fp8 layers unless the file forbids it, so their outputs, not their gradients, are others.
BASES = {
    "opaque": (opaque_sd3, 1e-4),
    "fp8": (lambda: quantised_sd3("float8_e4m3fn", full_precision_matrix_mult=True), 1e-4),
    "fp8, activations too": (lambda: quantised_sd3("float8_e4m3fn"), 0.15),
    "int8": (lambda: quantised_sd3("int8_tensorwise"), 0.05),
}


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
        objective = t.step.objective.Objective(model.get_model_object("model_sampling"))
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
    trained = t.run.train(model, dataset, settings, "on quantised", t.seen.progress.Progress(4, "1"))
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
