"""A frozen base in slices on two processes: the LoRA of the whole base, in the memory of half of it."""
import json
import re

import pytest
import torch
from safetensors.torch import save_file
from training_graphs import tensors

FLUX = dict(in_channels=16, out_channels=16, vec_in_dim=64, context_in_dim=64, hidden_size=256, mlp_ratio=4.0,
            num_heads=2, depth=2, depth_single_blocks=3, axes_dim=[16, 56, 56], theta=10000, patch_size=2,
            qkv_bias=True, guidance_embed=False, txt_ids_dims=[])
MB = 2 ** 20


def flux_state():
    import comfy.ops
    from comfy.ldm.flux.model import Flux
    net = Flux(image_model="flux", **FLUX, device="meta", dtype=torch.float32,
               operations=comfy.ops.disable_weight_init)
    g = torch.Generator().manual_seed(0)
    return {key: torch.randn(value.shape, generator=g) * (0.02 if value.ndim > 1 else 0.0)
            + float(value.ndim == 1 and "norm" in key) for key, value in net.state_dict().items()}


def in_fp8(state):
    """As the host holds an fp8 checkpoint: quantised tensors with a scale."""
    found = {}
    for key, value in state.items():
        found[key] = value
        if value.ndim == 2 and "_blocks." in key and key.endswith(".weight"):
            scale = value.abs().max() / 448
            found[key] = (value / scale).to(torch.float8_e4m3fn)
            found[f"{key}_scale"] = scale.float()
            found[key.replace(".weight", ".comfy_quant")] = torch.tensor(
                list(json.dumps({"format": "float8_e4m3fn"}).encode()), dtype=torch.uint8)
    return found


@pytest.fixture(scope="module")
def flux_models(host, tmp_path_factory):
    import folder_paths
    folder = tmp_path_factory.mktemp("flux")
    state = flux_state()
    save_file(state, folder / "flux_fp32.safetensors")
    save_file(in_fp8(state), folder / "flux_fp8.safetensors")
    folder_paths.add_model_folder_path("diffusion_models", str(folder))


def pictures(pack, width, pooled):
    g = torch.Generator().manual_seed(3)
    data = pack.nodes.training.data.dataset
    return data.TrainingSet([data.Sample(torch.randn(1, 16, 8, 8, generator=g), torch.randn(1, 6, width, generator=g),
                                         {"pooled_output": torch.randn(1, pooled, generator=g)}) for _ in range(5)], [])


@pytest.mark.parametrize("name, width, pooled", [("starter", 4096, 2048), ("flux_fp32", 64, 64),
                                                 ("flux_fp8", 64, 64)])
def test_slices_train_the_lora_of_the_whole_base(host, pack, starter, flux_models, feed, output_folder, name, width,
                                                 pooled):
    file = starter.MODEL if name == "starter" else f"{name}.safetensors"
    g = torch.Generator().manual_seed(4)
    words = [[torch.randn(1, 6, width, generator=g), {"pooled_output": torch.randn(1, pooled, generator=g)}]]
    found = {}
    for devices, share in (("1", False), ("2", True)):
        shown, _ = host.run({
            "model": {"class_type": "UNETLoader", "inputs": {"unet_name": file, "weight_dtype": "default"}},
            "set": feed("BOTTEGA_DATASET", pictures(pack, width, pooled)), "words": feed("CONDITIONING", [words]),
            "recipe": {"class_type": "BottegaRecipe", "inputs": {
                "exact": True, "validation_pictures": 1, "validation_every": 2, "sample_every": 2, "sample_steps": 1,
                "sample_cfg": 1.0, "checkpoint_every": 0}},
            "train": {"class_type": "BottegaTrainLora", "inputs": {
                "model": ["model", 0], "dataset": ["set", 0], "recipe": ["recipe", 0], "sample_prompts": ["words", 0],
                "steps": 4, "batch_size": 2, "learning_rate": 1e-3, "rank": 4, "seed": 3, "name": f"on_{devices}",
                "devices": devices, "share_base": share}}})
        found[devices] = tensors(output_folder / "loras" / f"on_{devices}.safetensors")[0]
    assert all(torch.equal(found["1"][key], found["2"][key]) for key in found["1"])
    report = shown["train"]["text"][0]
    held = re.findall(r"([\d,]+\.\d) MB of them for the base's ([\d,]+\.\d)", report)
    assert len(held) == 2 and "Validation loss:" in report
    slices = pack.nodes.training.distributed.base_slices
    model = folder_model(file)
    blocks = [sum(each.nbytes for each in slices.weights_of(block))
              for _, block in pack.nodes.training.model.layers.repeated_blocks(model)]
    for part, whole in ((float(part), float(whole)) for part, whole in held):
        assert part < whole - sum(blocks) / MB / 2 + 2 * max(blocks) / MB + 0.1
        assert whole > sum(blocks) / MB


def folder_model(file):
    import comfy.sd
    import folder_paths
    return comfy.sd.load_diffusion_model(folder_paths.get_full_path("diffusion_models", file)).model.diffusion_model
