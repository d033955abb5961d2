"""The files that people have, as one subgraph *Models* for each family, with where the page can offer to fetch them."""
from dataclasses import dataclass

from .workflow import Node, Subgraph

HUB = "https://huggingface.co/"
Z_IMAGE = HUB + "Comfy-Org/z_image_turbo/resolve/main/split_files/"
Z_IMAGE_BASE = HUB + "Comfy-Org/z_image/resolve/main/split_files/"
QWEN = HUB + "Comfy-Org/Qwen-Image_ComfyUI/resolve/main/split_files/"
WAN21 = HUB + "Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files/"
WAN22 = HUB + "Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/"
KLEIN = HUB + "Comfy-Org/flux2-klein/resolve/main/split_files/"

MODEL, VAE, CLIP, NEGATIVE, LATENT = OUTPUTS = ("model", "vae", "clip", "negative", "latent")   # of the subgraph


@dataclass(frozen=True)
class Family:
    """How one family of models is loaded and sampled, and what of it a LoRA's block weights name."""
    key: str
    title: str
    diffusion: tuple[str, str]          # file and address; a checkpoint where `text` is empty
    text: tuple[tuple[str, str], ...] = ()
    text_type: str = ""
    vae: tuple[str, str] = ()
    latent: str = "EmptySD3LatentImage"
    size: tuple[int, int] = (1024, 1024)
    shift: float = 0.0                  # of ModelSamplingAuraFlow; 0: the model's own
    steps: int = 20
    cfg: float = 1.0
    sampler: str = "euler"
    scheduler: str = "simple"
    half: str = ""                      # a text of block weights that mutes about half of the blocks
    muted: str = ""
    rate: float = 0.0                   # learning rate; 0: the family's own
    trained_steps: int = 1500
    resolution: int = 1024
    folder: str = "my_pictures"
    lora: str = "my_lora.safetensors"
    second_lora: str = "another_lora.safetensors"
    prompt: str = "a portrait of an old fisherman by a window, soft light"
    more: str = "a portrait of an old fisherman, many wrinkles"
    less: str = "a portrait of a young fisherman, smooth skin"
    plain: str = ""                     # what the end of `prompt` says of its style, and
    style: str = ", woodcut style"      # what stands there instead for a LoRA that was trained on woodcuts

    @property
    def styled(self) -> str:
        """The prompt in the style that a LoRA is trained on."""
        return self.prompt.removesuffix(self.plain) + self.style


STARTER = Family(
    "", "the starter", ("bottega_painter.safetensors", ""), (("bottega_starter_text.safetensors", ""),), "sd3",
    ("bottega_painter_vae.safetensors", ""), size=(256, 256), steps=20, cfg=2.0, scheduler="beta",
    half="J00=0; J01=1; J02-J03=1", muted="*.attn=0.3", rate=0.001, trained_steps=120, resolution=256,
    folder="bottega_painter_woodcut", lora="bottega_painter_woodcut.safetensors",
    second_lora="bottega_painter_stained_glass.safetensors",
    prompt="a landscape of the sea with a sailing boat on the left, blue and orange, dusk, light from the right, "
           "low horizon, oil",
    more="a landscape of hills with a tree on the right, rose and grey, night, light from the left, low horizon, oil",
    less="a landscape of hills with a tree on the right, rose and grey, day, light from the left, low horizon, oil",
    plain=", oil", style=", woodcut")

FAMILIES = (
    Family("SDXL", "SDXL", ("sd_xl_base_1.0.safetensors",
           HUB + "stabilityai/stable-diffusion-xl-base-1.0/resolve/main/sd_xl_base_1.0.safetensors"),
           latent="EmptyLatentImage", steps=25, cfg=6.0, sampler="dpmpp_2m", scheduler="karras",
           half="IN*=0; MID=0.5; OUT*=1", muted="*.attn2=0.5"),
    Family("Flux.1-dev", "Flux.1 dev", ("flux1-dev.safetensors",
           HUB + "Comfy-Org/flux1-dev/resolve/main/flux1-dev.safetensors"),
           (("clip_l.safetensors", HUB + "comfyanonymous/flux_text_encoders/resolve/main/clip_l.safetensors"),
            ("t5xxl_fp16.safetensors", HUB + "comfyanonymous/flux_text_encoders/resolve/main/t5xxl_fp16.safetensors")),
           "flux", ("ae.safetensors",
           HUB + "Comfy-Org/Lumina_Image_2.0_Repackaged/resolve/main/split_files/vae/ae.safetensors"),
           half="D*=1; S*=0", muted="D00-D09=1; S*=0.5"),
    Family("Flux.2-klein", "Flux.2 klein 4B", ("flux-2-klein-base-4b.safetensors",
           KLEIN + "diffusion_models/flux-2-klein-base-4b.safetensors"),
           (("qwen_3_4b.safetensors", KLEIN + "text_encoders/qwen_3_4b.safetensors"),), "flux2",
           ("flux2-vae.safetensors", HUB + "Comfy-Org/flux2-dev/resolve/main/split_files/vae/flux2-vae.safetensors"),
           latent="EmptyFlux2LatentImage", cfg=5.0, half="D*=1; S*=0", muted="S*=0.5"),
    Family("Z-Image", "Z-Image", ("z_image_bf16.safetensors",
           Z_IMAGE_BASE + "diffusion_models/z_image_bf16.safetensors"),
           (("qwen_3_4b.safetensors", Z_IMAGE + "text_encoders/qwen_3_4b.safetensors"),), "lumina2",
           ("ae.safetensors", Z_IMAGE + "vae/ae.safetensors"), shift=3.0, steps=25, cfg=4.0, sampler="res_multistep",
           half="L00-L14=0; L15-L29=1", muted="*.attn=0.5"),
    Family("Qwen-Image", "Qwen-Image", ("qwen_image_2512_fp8_e4m3fn.safetensors",
           QWEN + "diffusion_models/qwen_image_2512_fp8_e4m3fn.safetensors"),
           (("qwen_2.5_vl_7b_fp8_scaled.safetensors", QWEN + "text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors"),),
           "qwen_image", ("qwen_image_vae.safetensors", QWEN + "vae/qwen_image_vae.safetensors"), shift=3.1, steps=30,
           cfg=4.0, size=(1328, 1328), half="B00-B29=0; B30-B59=1", muted="*.attn=0.5"),
    Family("Wan-2.2", "Wan 2.2 5B (single frames)", ("wan2.2_ti2v_5B_fp16.safetensors",
           WAN22 + "diffusion_models/wan2.2_ti2v_5B_fp16.safetensors"),
           (("umt5_xxl_fp8_e4m3fn_scaled.safetensors",
             WAN21 + "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors"),),
           "wan", ("wan2.2_vae.safetensors", WAN22 + "vae/wan2.2_vae.safetensors"), latent="Wan22ImageToVideoLatent",
           size=(1024, 1024), steps=20, cfg=5.0, sampler="uni_pc", half="B00-B14=0; B15-B29=1", muted="*.attn=0.5"),
)


def models(family: Family, *order: str) -> Subgraph:
    """The subgraph *Models*: model, clip, an empty negative prompt, an empty latent of the family's size, vae.

    order: of its outputs; else the one of what draws a picture, so that few wires cross."""
    loaders, model, clip, vae, asked = _checkpoint(family) if not family.text else _files(family)
    nodes = list(loaders)
    if family.shift:
        nodes.append(Node("ModelSamplingAuraFlow", {"model": model, "shift": family.shift}, size=(300, 80)))
        model = nodes[-1][0]
    nodes.append(Node("CLIPTextEncode", {"clip": clip, "text": ""}, "Negative prompt", size=(300, 120)))
    negative = nodes[-1][0]
    nodes.append(_latent(family, vae))
    for row, node in enumerate(nodes):
        node.pos = (0 if row < len(loaders) else 380, 180 * (row if row < len(loaders) else row - len(loaders)))
    outputs = {"model": (model, "MODEL"), "clip": (clip, "CLIP"), "negative": (negative, "CONDITIONING"),
               "latent": (nodes[-1][0], "LATENT"), "vae": (vae, "VAE")}
    asked += [(nodes[-1], "width"), (nodes[-1], "height")]
    return Subgraph("Models", nodes, {name: outputs[name] for name in order or OUTPUTS},
                    {name: [(node, name)] for node, name in asked})


def _checkpoint(family: Family):
    name, address = family.diffusion
    loader = Node("CheckpointLoaderSimple", {"ckpt_name": name}, models=((name, address, "checkpoints"),),
                  size=(320, 110))
    return [loader], loader[0], loader[1], loader[2], [(loader, "ckpt_name")]


def _files(family: Family):
    listed = lambda file, folder: ((*file, folder),) if file[1] else ()
    model = Node("UNETLoader", {"unet_name": family.diffusion[0], "weight_dtype": "default"},
                 models=listed(family.diffusion, "diffusion_models"), size=(320, 110))
    names = dict(zip(("clip_name1", "clip_name2") if len(family.text) == 2 else ("clip_name",),
                     (name for name, _ in family.text), strict=True))
    clip = Node("DualCLIPLoader" if len(family.text) == 2 else "CLIPLoader", {**names, "type": family.text_type},
                models=sum((listed(file, "text_encoders") for file in family.text), ()), size=(320, 140))
    vae = Node("VAELoader", {"vae_name": family.vae[0]}, models=listed(family.vae, "vae"), size=(320, 80))
    asked = [(model, "unet_name"), *((clip, name) for name in names), (vae, "vae_name")]
    return [model, clip, vae], model[0], clip[0], vae[0], asked


def _latent(family: Family, vae) -> Node:
    width, height = family.size
    values = {"width": width, "height": height, "batch_size": 1}
    if family.latent == "Wan22ImageToVideoLatent":
        values |= {"vae": vae, "length": 1}
    return Node(family.latent, values, "Empty picture", size=(300, 180))
