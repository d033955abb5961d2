"""What the graphs of this room's tests share: the starter behind the host's loaders, and LoRAs made for it."""
import torch

PROMPT = "a red circle on a white background"


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def loaders(starter):
    """`model`, `clip` and `vae`."""
    return {
        "model": node("UNETLoader", unet_name=starter.MODEL, weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name=starter.TEXT, type="sd3"),
        "vae": node("VAELoader", vae_name=starter.VAE),
    }


def uneven_lora(model, strong, weak):
    """A LoRA for the MLP of each of the starter's blocks, strong in J01 and weak in the others."""
    generator = torch.Generator().manual_seed(3)
    tensors = {}
    for key, weight in model.model.state_dict().items():
        if ".x_block.mlp.fc" in key and key.endswith("weight"):
            name, strength = key.removesuffix(".weight"), strong if ".1." in key else weak
            tensors[f"{name}.lora_up.weight"] = torch.randn(weight.shape[0], 2, generator=generator) * strength
            tensors[f"{name}.lora_down.weight"] = torch.randn(2, weight.shape[1], generator=generator) * 0.1
    return tensors


def write_lora(host, tensors, name):
    """Writes it where the host lists LoRAs; returns the name."""
    import folder_paths
    from safetensors.torch import save_file
    folder = host.tmp / "output" / "loras"
    folder.mkdir(exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / name)
    assert name in folder_paths.get_filename_list("loras")
    return name


def sampler_graph(starter, sampler, steps):
    """The starter and what Sampler Custom Advanced takes: `guider`, `sampler`, `sigmas`, and `size`, `words`."""
    return loaders(starter) | {
        "words": node("CLIPTextEncode", text=PROMPT, clip=["clip", 0]),
        "size": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "guider": node("BasicGuider", model=["model", 0], conditioning=["words", 0]),
        "sampler": node("KSamplerSelect", sampler_name=sampler),
        "sigmas": node("BasicScheduler", model=["model", 0], scheduler="simple", steps=steps, denoise=1.0),
    }
