"""Train LoRA in graphs of the real executor, and what such a run leaves."""
import comfy.model_management
import torch
from safetensors import safe_open
from training_models import caption, latents

STEPS = 12
CANCEL = comfy.model_management.InterruptProcessingException


def graph(feed, model, pictures=None, captions=None, **inputs):
    """A prompt that trains on 4 pictures with a caption each and shows all outputs."""
    settings = dict(steps=STEPS, batch_size=2, learning_rate=1e-2, rank=4, seed=3, name="hand")
    pictures = [{"samples": latents(4)}] if pictures is None else pictures
    captions = [caption(i) for i in range(4)] if captions is None else captions
    return {
        "model": feed("MODEL", model),
        "latents": feed("LATENT", pictures),
        "captions": feed("CONDITIONING", captions),
        "set": {"class_type": "BottegaCoreTrainingSet",
                "inputs": {"latents": ["latents", 0], "positive": ["captions", 0]}},
        "train": {"class_type": "BottegaTrainLora",
                  "inputs": {"model": ["model", 0], "dataset": ["set", 0], **settings, **inputs}},
    }


def output(patcher):
    """The model's denoised latents for a fixed input, as sampling computes them."""
    comfy.model_management.load_models_gpu([patcher])
    with torch.inference_mode():
        entry = caption(0)[0]
        return patcher.model.apply_model(latents(2), torch.tensor([0.3, 0.8]), c_crossattn=entry[0].repeat(2, 1, 1),
                                         y=entry[1]["pooled_output"].repeat(2, 1)).clone()


def files(folder):
    return sorted(path.name for path in (folder / "loras").glob("*"))


def no_halves(folder):
    """Whether no half-written file is left anywhere in it."""
    return not [path for path in folder.rglob("*") if path.suffix == ".tmp"]


def tensors(path):
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()


def changes(lora):
    """The change of every layer of a LoRA, alpha included, in float64."""
    found = {}
    for key in lora:
        if key.endswith(".lora_up.weight"):
            stem = key.removesuffix(".lora_up.weight")
            up, down = lora[key].double().flatten(1), lora[f"{stem}.lora_down.weight"].double().flatten(1)
            found[stem] = up @ down * float(lora.get(f"{stem}.alpha", torch.tensor(len(down)))) / len(down)
    return found


def plan(pack, **parts):
    """Keyword arguments of a Recipe from {field: {its values}}."""
    kinds = {"optimizer": "OptimizerPlan", "schedule": "SchedulePlan", "validation": "ValidationPlan",
             "checkpoints": "CheckpointPlan", "timesteps": "TimestepPlan", "loss": "LossPlan"}
    return {name: getattr(pack.nodes.training.plan.recipe, kinds[name])(**value) if name in kinds else value
            for name, value in parts.items()}


def shape_of(pack, algorithm="LoRA", settings=None, **parts):
    """The LoraShape of rank 4 of an algorithm with these settings of its own."""
    kind = pack.nodes.training.adapters.lora_shape.ALGORITHMS[algorithm].settings
    return pack.nodes.training.adapters.LoraShape(algorithm, 4, settings=kind(**settings or {}), **parts)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
