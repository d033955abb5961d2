"""A tiny model whose weights are stored in other ways, and an ordinary one that computes the same."""
import comfy.sd
import torch
from comfy.quant_ops import QUANT_ALGOS, QuantizedTensor
from training_models import tiny_sd3


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
