"""Real models of the host, small or on the meta device, and LoRA files of every format for them."""
import functools
import json
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors import safe_open

SMALL_FILE = "small_sd3.safetensors"
ARCHITECTURES = json.loads((Path(__file__).parent / "architectures.json").read_text(encoding="utf-8"))
SMALL = {
    "SD1.5": dict(model_channels=32, context_dim=32, num_heads=2, num_head_channels=-1),
    "SDXL": dict(model_channels=32, context_dim=32, num_head_channels=16, adm_in_channels=32,
                 transformer_depth=[0, 0, 1, 1, 1, 1], transformer_depth_output=[0, 0, 0, 1, 1, 1, 1, 1, 1],
                 transformer_depth_middle=1),
    "SD3-medium": dict(depth=2, adm_in_channels=32, num_patches=64, pos_embed_max_size=8, context_embedder_config={
        "target": "torch.nn.Linear", "params": {"in_features": 32, "out_features": 128}}),
    "Flux.1": dict(hidden_size=64, num_heads=2, axes_dim=[8, 12, 12], context_in_dim=32, vec_in_dim=32, depth=2,
                   depth_single_blocks=2),
    "Z-Image": dict(dim=64, n_heads=2, n_kv_heads=2, axes_dims=[8, 12, 12], cap_feat_dim=32, n_layers=2),
    "Wan2.1-1.3B": dict(dim=64, num_heads=2, ffn_dim=96, num_layers=2),
}


def build(name: str, device: str, changes: dict | None = None):
    """The host's own model class for an architecture, as its loader would make it."""
    import comfy.ops
    import comfy.supported_models
    entry = ARCHITECTURES[name]
    config = {key: getattr(torch, value) if value == "float32" else value for key, value in entry["config"].items()}
    made = getattr(comfy.supported_models, entry["class"])(config | (changes or {}))
    made.set_inference_dtype(torch.float32, None)
    made.custom_operations = comfy.ops.disable_weight_init
    return made.get_model({}, "diffusion_model.", device=device)


@functools.cache
def keys_of(name: str) -> list[str]:
    """The keys of the state dict of an architecture at its full depth."""
    return list(build(name, "meta").state_dict())


@functools.cache
def small_model(name: str):
    """A ModelPatcher of a small model with random weights. Shared: clone it, and leave its weights as they are."""
    import comfy.model_patcher
    model = build(name, "cpu", SMALL[name])
    fill(model)
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


@functools.cache
def small_clip():
    """A CLIP of one CLIP-L with two layers of width 32. Shared like small_model."""
    import comfy.sd
    import comfy.sd1_clip
    target = SimpleNamespace(params={}, clip=comfy.sd1_clip.SD1ClipModel, tokenizer=lambda **options: None)
    config = dict(hidden_size=32, intermediate_size=64, num_attention_heads=2, num_hidden_layers=2, vocab_size=16,
                  projection_dim=32)
    clip = comfy.sd.CLIP(target, model_options={"clip_l_model_config": config, "dtype": torch.float32})
    fill(clip.cond_stage_model)
    return clip


def fill(module):
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not name.startswith("model_sampling."):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)


def weights(patcher) -> dict[str, torch.Tensor]:
    """The weights a patcher would sample with: the host patches them in, we copy, the host takes them out."""
    patcher = getattr(patcher, "patcher", patcher)
    patcher.patch_model()
    copies = {key: tensor.detach().clone() for key, tensor in patcher.model.state_dict().items()}
    patcher.unpatch_model()
    return copies


def adapter(kind: str, shape: tuple[int, ...], seed: int = 0, rank: int = 2,
            empty: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of one adapter for a weight of this shape, by the suffix of their keys. empty: on the meta device."""
    generator = torch.Generator().manual_seed(seed)
    make = lambda *size: torch.empty(size, device="meta") if empty else torch.randn(size, generator=generator) * 0.3
    rows, columns, *kernel = shape
    flat = columns * (kernel[0] * kernel[1] if kernel else 1)
    ones = [1] * len(kernel)
    alpha = {".alpha": torch.tensor(1.5)}
    lora = {".lora_up.weight": make(rows, rank, *ones), ".lora_down.weight": make(rank, columns, *kernel), **alpha}
    return {
        "lora": lambda: lora,
        "dora": lambda: lora | {".dora_scale": make(rows, 1, *ones).abs() + 0.5},
        "loha": lambda: {".hada_w1_a": make(rows, rank), ".hada_w1_b": make(rank, flat), ".hada_w2_a": make(rows, rank),
                         ".hada_w2_b": make(rank, flat), **alpha},
        "lokr": lambda: {".lokr_w1": make(2, 2), ".lokr_w2": make(rows // 2, columns // 2, *kernel), **alpha},
        "glora": lambda: {".a1.weight": make(columns, rank), ".a2.weight": make(rank, columns),
                          ".b1.weight": make(rows, rank), ".b2.weight": make(rank, flat), **alpha},
        "diff": lambda: {".diff": make(*shape)},
        "set": lambda: {".set_weight": make(*shape)},
        "oft": lambda: {".oft_blocks": make(rows // 4, 4, 4)},
        "boft": lambda: {".oft_blocks": make(2, rows // 4, 4, 4), ".alpha": torch.tensor(100.0)},
    }[kind]()


KINDS = ("lora", "dora", "loha", "lokr", "glora", "diff", "set", "oft", "boft")


def kohya_name(key: str) -> str:
    return "lora_unet_" + key.removeprefix("diffusion_model.").removesuffix(".weight").replace(".", "_")


def lora_for(patcher, kind: str) -> dict[str, torch.Tensor]:
    """A LoRA of one kind for every matrix and kernel of a model whose sides are multiples of 4."""
    tensors = {}
    for seed, (key, weight) in enumerate(patcher.model.state_dict().items()):
        fits = key.startswith("diffusion_model.") and weight.ndim in (2, 4) and weight.shape[0] % 4 == 0
        if fits and weight.shape[1] % 4 == 0 and key.endswith(".weight") and not (kind == "glora" and weight.ndim == 4):
            parts = adapter(kind, tuple(weight.shape), seed)
            tensors |= {kohya_name(key) + suffix: tensor for suffix, tensor in parts.items()}
    return tensors


def lora_for_clip(clip) -> dict[str, torch.Tensor]:
    """A LoRA, with kohya's names, for the layers of the text encoder."""
    tensors = {}
    for seed, (key, weight) in enumerate(clip.cond_stage_model.state_dict().items()):
        path = key.removeprefix("clip_l.transformer.").removesuffix(".weight")
        if ".layers." in path and weight.ndim == 2:
            for suffix, tensor in adapter("lora", tuple(weight.shape), seed).items():
                tensors["lora_te_" + path.replace(".", "_") + suffix] = tensor
    return tensors


def fused_lora(model, prefix):
    """A LoRA with diffusers' names, which the host key_maps to slices of fused weights."""
    import comfy.lora
    names = comfy.lora.model_lora_keys_unet(model.model, {})
    shapes = {key: weight.shape for key, weight in model.model.state_dict().items()}
    tensors = {}
    for seed, (name, target) in enumerate(names.items()):
        if name.startswith(prefix) and isinstance(target, tuple) and target[1] and target[0] in shapes:
            shape = (target[1][2], shapes[target[0]][1])
            for suffix, tensor in adapter("lora", shape, seed).items():
                tensors[name + suffix] = tensor
    return tensors


def stock(host, **loras):
    """The host with a small SD3 among its models (SMALL_FILE) and these LoRAs: name=(tensors, metadata)."""
    import folder_paths
    from safetensors.torch import save_file
    folder, models = host.tmp / "output" / "loras", host.tmp / "diffusion_models"
    folder_paths.add_model_folder_path("diffusion_models", str(models))
    for made in (folder, models):
        made.mkdir(parents=True, exist_ok=True)
    save_file(small_model("SD3-medium").model.diffusion_model.state_dict(), models / SMALL_FILE)
    for name, (tensors, metadata) in loras.items():
        save_file(tensors, folder / f"{name}.safetensors", metadata)
    return host


def enlarging() -> dict[str, torch.Tensor]:
    """A LoRA that makes the first weight of the small Flux.1 wider."""
    return {"diffusion_model.img_in.lora_A.weight": torch.randn(2, 128),
            "diffusion_model.img_in.lora_B.weight": torch.randn(64, 2),
            "diffusion_model.img_in.reshape_weight": torch.tensor([64, 128])}


def off(found, wanted):
    """The weights that differ by more than a rounding."""
    gaps = {key: float((found[key].double() - wanted[key].double()).abs().max()) for key in wanted}
    return {key: gap for key, gap in gaps.items() if gap > 3e-6 * max(1.0, float(wanted[key].abs().max()))}


def assert_same(found: dict, expected: dict, keys=None):
    """Holds that the weights are equal bit for bit, all of them or those named by keys."""
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    different = [key for key in keys or found if not torch.equal(found[key], expected[key])]
    assert not different, different


def changed(before: dict, after: dict) -> set[str]:
    """The names of the weights that differ."""
    return {key for key in before if not torch.equal(before[key], after[key])}


def metadata_of(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()
