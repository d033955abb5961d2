"""Small models in the host's real architectures, and captions to train them with."""
from typing import Any, NamedTuple

import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models
import torch

F32 = torch.float32


class Family(NamedTuple):
    """config: class in comfy.supported_models; latent: shape without batch; text [tokens, width]; pooled width."""
    config: str
    unet: dict[str, Any]
    latent: tuple[int, ...]
    text: tuple[int, int] = (8, 64)
    pooled: int = 0
    options: dict[str, Any] = {}


FLUX = dict(in_channels=16, out_channels=16, patch_size=2, vec_in_dim=32, context_in_dim=64, hidden_size=64,
            mlp_ratio=2.0, num_heads=4, depth=2, depth_single_blocks=2, axes_dim=[4, 6, 6], theta=10000, qkv_bias=True)
UNET = dict(image_size=32, in_channels=4, out_channels=4, model_channels=32, num_res_blocks=[1, 1], channel_mult=(1, 2),
            num_heads=2, num_head_channels=-1, use_spatial_transformer=True, transformer_depth=[1, 1],
            transformer_depth_output=[1, 1, 1, 1], transformer_depth_middle=1, context_dim=16, legacy=False,
            use_linear_in_transformer=False, adm_in_channels=None, use_temporal_attention=False)
PREDICT2 = dict(max_img_h=240, max_img_w=240, max_frames=128, in_channels=16, out_channels=16, patch_spatial=2,
                patch_temporal=1, model_channels=64, num_blocks=2, num_heads=2, crossattn_emb_channels=64,
                pos_emb_cls="rope3d", use_adaln_lora=True, adaln_lora_dim=16)

FAMILIES = {
    "SD1.5": Family("SD15", UNET, (4, 16, 16), text=(8, 16)),
    "SD3": Family("SD3", dict(
        input_size=None, patch_size=2, in_channels=16, depth=2, adm_in_channels=32, pos_embed_max_size=32,
        num_patches=1024, pos_embed_scaling_factor=None, qk_norm="rms", x_block_self_attn_layers=[0],
        context_embedder_config={"target": "torch.nn.Linear", "params": {"in_features": 64, "out_features": 128}}),
        (16, 8, 8), pooled=32),
    "AuraFlow": Family("AuraFlow", dict(cond_seq_dim=64, max_seq=256, n_layers=4, n_double_layers=2, dim=64, n_heads=4),
                       (4, 8, 8)),
    "PixArt": Family("PixArtAlpha", dict(
        input_size=32, patch_size=2, in_channels=4, hidden_size=96, depth=2, num_heads=4, learn_sigma=True,
        caption_channels=64, model_max_length=8, micro_condition=False, pe_interpolation=2), (4, 48, 48)),
    "Flux.1": Family("Flux", dict(FLUX, guidance_embed=True, txt_ids_dims=[]), (16, 8, 8), pooled=32),
    "Flux.2": Family("Flux2", dict(
        FLUX, in_channels=128, out_channels=128, patch_size=1, vec_in_dim=None, qkv_bias=False, txt_ids_dims=[2],
        guidance_embed=True, global_modulation=True, mlp_silu_act=True, ops_bias=False), (128, 4, 4)),
    "Chroma": Family("Chroma", dict(
        FLUX, in_channels=64, out_channels=64, in_dim=64, out_dim=64, hidden_dim=64, n_layers=2, vec_in_dim=None,
        txt_ids_dims=[]), (16, 8, 8)),
    "Qwen-Image": Family("QwenImage", dict(
        num_layers=2, attention_head_dim=16, num_attention_heads=4, joint_attention_dim=64, axes_dims_rope=(4, 6, 6)),
        (16, 1, 8, 8)),
    "Lumina2": Family("Lumina2", dict(
        patch_size=2, in_channels=16, dim=64, n_layers=2, n_heads=4, n_kv_heads=2, multiple_of=16, qk_norm=True,
        cap_feat_dim=64, axes_dims=[4, 6, 6], axes_lens=[64, 64, 64]), (16, 8, 8),
        options={"attention_mask": torch.ones(1, 8, dtype=torch.long)}),
    "Z-Image": Family("ZImage", dict(
        patch_size=2, in_channels=16, dim=256, n_layers=2, n_heads=4, n_kv_heads=4, qk_norm=True, cap_feat_dim=64,
        axes_dims=[16, 24, 24], axes_lens=[64, 64, 64], z_image_modulation=True, time_scale=1000.0,
        pad_tokens_multiple=32, ffn_dim_multiplier=8 / 3, multiple_of=16), (16, 8, 8),
        options={"attention_mask": torch.ones(1, 8, dtype=torch.long)}),
    "Wan 2.1": Family("WAN21_T2V", dict(
        model_type="t2v", dim=96, ffn_dim=128, freq_dim=32, text_dim=64, num_heads=4, num_layers=2), (16, 3, 8, 8)),
    "Cosmos-Predict2": Family("CosmosT2IPredict2", PREDICT2, (16, 1, 8, 8)),
    "Anima": Family("Anima", dict(PREDICT2, crossattn_emb_channels=1024), (16, 1, 8, 8), text=(512, 1024)),
    "HunyuanVideo": Family("HunyuanVideo", dict(
        FLUX, theta=256, patch_size=[1, 2, 2], guidance_embed=True, byt5=False, meanflow=False, meanflow_sum=False,
        use_cond_type_embedding=False, vision_in_dim=None), (16, 2, 8, 8), pooled=32),
    "LTXV": Family("LTXV", dict(
        in_channels=16, cross_attention_dim=64, attention_head_dim=16, num_attention_heads=4, caption_channels=64,
        num_layers=2), (16, 3, 4, 4), options={"attention_mask": torch.ones(1, 8, dtype=torch.long)}),
    "HiDream": Family("HiDream", dict(
        patch_size=2, in_channels=16, out_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=16,
        num_attention_heads=4, caption_channels=[64, 64], text_emb_dim=32, axes_dims_rope=(8, 4, 4),
        max_resolution=(64, 64), llama_layers=[0, 1, 2, 3]), (16, 8, 8), pooled=32,
        options={"conditioning_llama3": torch.randn(1, 4, 8, 64, generator=torch.Generator().manual_seed(3))}),
}

MORE_FAMILIES = {
    "LTX-2": Family("LTXAV", dict(
        in_channels=16, audio_in_channels=128, cross_attention_dim=64, audio_cross_attention_dim=32,
        attention_head_dim=16, audio_attention_head_dim=8, num_attention_heads=4, audio_num_attention_heads=4,
        caption_channels=64, num_layers=2, connector_attention_head_dim=16, connector_num_attention_heads=4,
        connector_num_layers=1, audio_connector_attention_head_dim=8, audio_connector_num_attention_heads=4),
        (16, 3, 4, 4), text=(8, 128)),
    "Krea 2": Family("Krea2", dict(
        features=64, tdim=32, txtdim=32, heads=2, kvheads=1, multiplier=2, layers=2, txtlayers=2, txtheads=2,
        txtkvheads=2), (16, 1, 8, 8), text=(8, 64)),
    "Kandinsky 5": Family("Kandinsky5", dict(
        in_text_dim=64, in_text_dim2=32, time_dim=32, model_dim=64, ff_dim=128, num_text_blocks=2, visual_embed_dim=132,
        num_visual_blocks=2, axes_dims=(8, 4, 4)), (16, 2, 8, 8), pooled=32),
    "Lens": Family("Lens", dict(
        num_layers=2, attention_head_dim=16, num_attention_heads=4, enc_hidden_dim=32, axes_dims_rope=(4, 6, 6),
        selected_layer_index=(0, 1)), (128, 4, 4), text=(8, 64),
        options={"attention_mask": torch.ones(1, 8, dtype=torch.long)}),
    "Ernie": Family("ErnieImage", dict(
        hidden_size=64, num_attention_heads=4, num_layers=2, ffn_hidden_size=128, text_in_dim=64,
        rope_axes_dim=(4, 6, 6)), (128, 4, 4)),
    "Ideogram 4": Family("Ideogram4", dict(
        num_layers=2, num_attention_heads=4, attention_head_dim=16, intermediate_size=128, adaln_dim=32,
        llm_features_dim=64, mrope_section=(2, 3, 3)), (128, 4, 4)),
    "MageFlow": Family("MageFlow", dict(
        num_layers=2, attention_head_dim=16, num_attention_heads=4, joint_attention_dim=64, axes_dims_rope=(4, 6, 6)),
        (128, 4, 4)),
    "OmniGen2": Family("Omnigen2", dict(
        hidden_size=64, num_layers=2, num_refiner_layers=1, num_attention_heads=4, num_kv_heads=2, multiple_of=16,
        axes_dim_rope=(4, 6, 6), axes_lens=(64, 64, 64), text_feat_dim=64), (16, 8, 8),
        options={"attention_mask": torch.ones(1, 8, dtype=torch.long)}),
    "Boogu": Family("Boogu", dict(
        hidden_size=64, num_layers=2, num_double_stream_layers=1, num_refiner_layers=1, instruction_feat_dim=64,
        num_attention_heads=4, num_kv_heads=2, axes_dim_rope=(4, 6, 6), axes_lens=(64, 64, 64)), (16, 8, 8),
        options={"attention_mask": torch.ones(1, 8, dtype=torch.long)}),
    "JoyImage": Family("JoyImage", dict(
        hidden_size=64, num_attention_heads=4, text_dim=64, num_layers=2, rope_dim_list=[4, 6, 6], mlp_width_ratio=2.0),
        (16, 1, 8, 8)),
    "CogVideoX": Family("CogVideoX_T2V", dict(
        num_attention_heads=4, attention_head_dim=16, in_channels=16, time_embed_dim=32, text_embed_dim=64,
        num_layers=2, sample_width=8, sample_height=8, sample_frames=9, max_text_seq_length=8,
        use_rotary_positional_embeddings=True),
        (16, 2, 8, 8)),
    "Hunyuan Image": Family("HunyuanImage21", dict(
        FLUX, theta=256, in_channels=64, out_channels=64, patch_size=[1, 1], axes_dim=[8, 8], vec_in_dim=None,
        guidance_embed=False, byt5=False, meanflow=False, meanflow_sum=False, use_cond_type_embedding=False,
        vision_in_dim=None), (64, 4, 4)),
    "Cosmos": Family("CosmosT2V", dict(
        max_img_h=240, max_img_w=240, max_frames=128, in_channels=16, out_channels=16, patch_spatial=2,
        patch_temporal=1, model_channels=64, block_config="FA-CA-MLP", concat_padding_mask=True, pos_emb_cls="rope3d",
        pos_emb_learnable=False, pos_emb_interpolation="crop", block_x_format="THWBD", affline_emb_norm=True,
        use_adaln_lora=True, adaln_lora_dim=16, num_blocks=2, num_heads=2, extra_per_block_abs_pos_emb=True,
        extra_per_block_abs_pos_emb_type="learnable", rope_h_extrapolation_ratio=1.0, rope_w_extrapolation_ratio=1.0,
        rope_t_extrapolation_ratio=2.0, crossattn_emb_channels=64), (16, 1, 8, 8)),
}
"""Families that are checked once each, beside those of FAMILIES, which go through every test."""


def build(family: Family, seed=0, dtype=F32, cast=None) -> comfy.model_patcher.ModelPatcher:
    """The host's own model of a family, shrunk, on the CPU, seeded weights; cast: what it computes in if not dtype."""
    unet = dict(family.unet, dtype=dtype)
    config = getattr(comfy.supported_models, family.config)(unet)
    config.unet_config, config.manual_cast_dtype = unet, cast
    model = config.get_model({}, device="cpu")
    own = {name: parameter.dtype for name, parameter in model.diffusion_model.named_parameters()}
    randomise(model.diffusion_model.requires_grad_(False).float(), seed)  # the same numbers in every dtype
    for name, parameter in model.diffusion_model.named_parameters():
        parameter.data = parameter.data.to(own[name])
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


def randomise(network, seed=0, std=0.1):
    """Seeded weights that leave no layer at zero, so that gradients reach everything."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(std=std, generator=generator)
        elif name.endswith(("weight", "scale")):
            parameter.data.fill_(1.0)
        else:
            parameter.data.normal_(std=0.02, generator=generator)
    for name, buffer in network.named_buffers():
        if name == "pos_embed":                      # SD3 leaves its memory as it finds it
            buffer.normal_(std=std, generator=generator)
    return network


def tiny_sd3(depth=2, dtype=F32, seed=0, text=64, pooled=32, std=0.05):
    """A ModelPatcher that the host's own loader makes from a state dict: hidden size 64 * depth."""
    from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT
    network = MMDiT(
        input_size=None, patch_size=2, in_channels=16, depth=depth, adm_in_channels=pooled, pos_embed_max_size=32,
        num_patches=1024, pos_embed_scaling_factor=None, qk_norm="rms", dtype=dtype, device="cpu",
        context_embedder_config={"target": "torch.nn.Linear",
                                 "params": {"in_features": text, "out_features": 64 * depth}},
        operations=comfy.ops.disable_weight_init)
    weights = randomise(network, seed, std).state_dict()
    return comfy.sd.load_diffusion_model_state_dict(
        {f"model.diffusion_model.{key}": tensor for key, tensor in weights.items()})


def caption(seed, tokens=8, text=64, pooled=32, **options):
    """A CONDITIONING with one entry of random text features."""
    generator = torch.Generator().manual_seed(seed)
    if pooled:
        options["pooled_output"] = torch.randn(1, pooled, generator=generator)
    return [[torch.randn(1, tokens, text, generator=generator), options]]


def latents(count, channels=16, size=8, seed=7):
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def samples(pack, family: Family, count: int):
    """Training samples of a family, each with its own caption."""
    generator = torch.Generator().manual_seed(11)
    pictures = torch.randn(count, *family.latent, generator=generator)
    captions = [caption(100 + i, *family.text, pooled=family.pooled, **family.options) for i in range(count)]
    return pack.nodes.training.data.dataset.from_core_nodes([{"samples": pictures}], captions).samples


class ModelSink:
    """An output node for a MODEL, which the host has none of that leaves the disk alone."""
    INPUT_TYPES = classmethod(lambda cls: {"required": {"model": ("MODEL",)}})
    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "take", "test", True
    taken = []

    def take(self, model):
        self.taken.append(model)
        return ()
