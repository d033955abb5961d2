"""API-format prompts on the starters, as small as they can be."""

MODELS = {
    "model": {"class_type": "UNETLoader",
              "inputs": {"unet_name": "bottega_starter.safetensors", "weight_dtype": "default"}},
    "clip": {"class_type": "CLIPLoader", "inputs": {"clip_name": "bottega_starter_text.safetensors", "type": "sd3"}},
    "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "bottega_starter_vae.safetensors"}},
}
PAINTER = MODELS | {
    "model": {"class_type": "UNETLoader",
              "inputs": {"unet_name": "bottega_painter.safetensors", "weight_dtype": "default"}},
    "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "bottega_painter_vae.safetensors"}},
}


def node(class_type: str, **inputs) -> dict:
    """A node of a prompt; a tuple (node, output) is a link."""
    links = {name: list(value) for name, value in inputs.items() if isinstance(value, tuple)}
    return {"class_type": class_type, "inputs": inputs | links}


def training(folder: str, steps: int) -> dict:
    """Pictures of a folder to a trained LoRA, node `train`."""
    return MODELS | {
        "pictures": node("LoadImageTextDataSetFromFolder", folder=folder),
        "encoded": node("MakeTrainingDataset", images=("pictures", 0), texts=("pictures", 1), vae=("vae", 0),
                        clip=("clip", 0)),
        "set": node("BottegaCoreTrainingSet", latents=("encoded", 0), positive=("encoded", 1)),
        "train": node("BottegaTrainLora", model=("model", 0), dataset=("set", 0), steps=steps, batch_size=1,
                      learning_rate=1e-3, rank=4, seed=0, name="server_test"),
    }


def picture(model: tuple, name: str) -> dict:
    """One small picture sampled in two steps and saved as `name`; `model` is a link to the model to use."""
    return {
        "words": node("CLIPTextEncode", text="a red circle on a white background", clip=("clip", 0)),
        "empty": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "sample": node("KSampler", model=model, positive=("words", 0), negative=("words", 0),
                       latent_image=("empty", 0), seed=3, steps=2, cfg=1.0, sampler_name="euler", scheduler="simple",
                       denoise=1.0),
        "decode": node("VAEDecode", samples=("sample", 0), vae=("vae", 0)),
        "save": node("SaveImage", images=("decode", 0), filename_prefix=name),
    }
