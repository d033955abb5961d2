"""LoRAs made by the packages that people train with, against those packages' own merges in double precision."""
import lora_models as small
import pytest
import torch
from lora_models import small_model, weights

MODEL = "SD1.5"
LINEAR = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q"
CONV = "diffusion_model.input_blocks.1.0.in_layers.2"
KINDS = {
    "lora": ("lora", 2, {}), "locon with a Tucker core": ("lora", 2, {"use_tucker": True}),
    "rank-stabilised": ("lora", 2, {"rs_lora": True}),
    "loha": ("loha", 4, {}), "loha with a Tucker core": ("loha", 4, {"use_tucker": True}),
    "lokr": ("lokr", 2, {"factor": 4}), "lokr of small matrices": ("lokr", 2, {"factor": 4, "decompose_both": True}),
    "lokr with a Tucker core": ("lokr", 2, {"factor": 4, "use_tucker": True}),
    "lokr whole": ("lokr", 2, {"factor": 4, "full_matrix": True}), "glora": ("glora", 2, {}),
    "full": ("full", 2, {}), "oft": ("diag-oft", 2, {}), "boft": ("boft", 2, {"constraint": 100.0}),
    "dora of columns": ("lora", 2, {"weight_decompose": True, "wd_on_out": False}),
    "loha as dora": ("loha", 4, {"weight_decompose": True, "wd_on_out": False}),
    "lokr as dora": ("lokr", 2, {"factor": 4, "weight_decompose": True, "wd_on_out": False}),
}
RANK = 4


def layer_of(key):
    """A layer of its own with a weight of the small model, in double precision."""
    weight = small_model(MODEL).model.get_submodule(key).weight.detach().double()
    rows, columns, *kernel = weight.shape
    layer = torch.nn.Conv2d(columns, rows, kernel, padding=1, bias=False) if kernel else (
        torch.nn.Linear(columns, rows, bias=False))
    layer.weight.data = weight.clone()
    return layer


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def shaken(module):
    """Random parameters that single precision holds, so that a file loses nothing."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.1
            parameter.data = (parameter.data + noise).float().to(parameter.dtype)
    return module


def lycoris(algorithm, alpha, options, key):
    """The tensors of a random LyCORIS module as it saves them, and the weight that it merges, in double precision."""
    peer = pytest.importorskip("lycoris.wrapper").network_module_dict[algorithm]
    name = small.kohya_name(f"{key}.weight")
    layer = layer_of(key)
    if "oft" in algorithm:  # these invert in single precision and cannot mix it with double
        torch.set_default_dtype(torch.float32)
        layer.float()
    module = peer(name, layer, 1.0, RANK, alpha, **options)
    if algorithm == "full":
        module.apply_to()
    merged = shaken(module).get_merged_weight(1.0, layer_of(key).weight.shape)[0].detach().double()
    saved = module.custom_state_dict() or module.state_dict()
    tensors = {f"{name}.{part}": tensor.detach().float() for part, tensor in saved.items()}
    return tensors, merged


@pytest.mark.parametrize("key", [LINEAR, CONV], ids=["linear", "convolution"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_the_weight_that_lycoris_merges(kind, key, pack, double):
    tensors, expected = lycoris(*KINDS[kind], key)
    torch.set_default_dtype(torch.float32)
    found, result = apply(pack, tensors)
    assert not result.unused and [change.problem for change in result.components[0].changes] == [""]
    assert_near(found[f"{key}.weight"], expected)


def apply(pack, tensors, model=MODEL):
    lora = pack.nodes.lora.file.lora_files.LoraFile(tensors, {})
    new, _, result = pack.nodes.lora.applying.patching.apply_lora(small_model(model), None, lora, 1.0, 1.0, ())
    return weights(new), result


def assert_near(found, expected):
    change = torch.linalg.norm(expected)
    assert torch.linalg.norm(found.double() - expected) < 2e-6 * change


SLICES = {"to_q": slice(0, 64), "to_k": slice(64, 128), "to_v": slice(128, 192)}


def test_a_file_of_diffusers_with_peft_gives_the_change_that_peft_merges(pack, tmp_path):
    """A small Flux of diffusers; its q, k and v are slices of one weight of the host."""
    diffusers, peft = pytest.importorskip("diffusers"), pytest.importorskip("peft")
    flux = diffusers.FluxTransformer2DModel(
        in_channels=64, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(8, 12, 12), guidance_embeds=True)
    flux.add_adapter(peft.LoraConfig(r=4, lora_alpha=4, init_lora_weights=False,
                                     target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    diffusers.FluxPipeline.save_lora_weights(
        tmp_path, transformer_lora_layers=peft.get_peft_model_state_dict(flux))
    tensors = pack.nodes.lora.file.lora_files.read_lora(next(tmp_path.glob("*.safetensors"))).tensors
    found, result = apply(pack, tensors, "Flux.1")
    base = weights(small_model("Flux.1"))
    assert not result.unused and not any(change.problem for change in result.components[0].changes)
    for block in range(2):
        attention, single = flux.transformer_blocks[block].attn, flux.single_transformer_blocks[block].attn
        qkv = f"diffusion_model.double_blocks.{block}.img_attn.qkv.weight"
        linear1 = f"diffusion_model.single_blocks.{block}.linear1.weight"
        for name, rows in SLICES.items():
            assert_change(found[qkv][rows], base[qkv][rows], getattr(attention, name))
            assert_change(found[linear1][rows], base[linear1][rows], getattr(single, name))
        out = f"diffusion_model.double_blocks.{block}.img_attn.proj.weight"
        assert_change(found[out], base[out], attention.to_out[0])


def assert_change(found, base, layer):
    expected = layer.double().get_delta_weight("default")
    assert_near(found.double() - base.double() + 1, expected + 1)


def test_a_model_of_peft_gives_the_weight_that_it_merges(pack):
    peft = pytest.importorskip("peft")
    net = torch.nn.ModuleDict({"to_q": layer_of(LINEAR)})
    config = peft.LoraConfig(r=4, lora_alpha=8, use_rslora=True, init_lora_weights=False, target_modules=["to_q"])
    model = shaken(peft.get_peft_model(net, config).double())
    parent = LINEAR.removesuffix(".to_q")
    tensors = {key.replace("base_model.model", parent): tensor.detach().float()
               for key, tensor in peft.get_peft_model_state_dict(model).items()}
    tensors[f"{LINEAR}.alpha"] = torch.tensor(8 / 4**0.5 * 4)  # peft keeps alpha beside the file; the host wants it in
    found, result = apply(pack, tensors)
    assert not result.unused
    assert_near(found[f"{LINEAR}.weight"], model.merge_and_unload()["to_q"].weight.detach())
