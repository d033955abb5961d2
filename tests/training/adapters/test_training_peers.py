"""The same weights in the packages that defined the algorithms: LyCORIS and peft (test-only)."""
import pytest
import torch
from test_training_adapters import Setup

LYCORIS = {"LoRA": "LoConModule", "DoRA": "LoConModule", "LoHa": "LohaModule", "LoKr": "LokrModule",
           "OFT": "DiagOFTModule"}
KINDS = ["linear", "3 x 3, stride 2"]


@pytest.fixture
def lycoris():
    return pytest.importorskip("lycoris.modules", reason="lycoris-lora is not installed")


def peer(lycoris, setup, name):
    """LyCORIS' module for our file."""
    import importlib
    file = {"ours": None} | {f"ours.{end}": value.detach().clone() for end, value in setup.adapter.file().items()}
    module = {"LoConModule": "locon", "LohaModule": "loha", "LokrModule": "lokr", "DiagOFTModule": "diag_oft"}
    kind = getattr(importlib.import_module(f"lycoris.modules.{module[LYCORIS[name]]}"), LYCORIS[name])
    with torch.no_grad():
        if name == "DoRA":  # its own reader takes every dora_scale for one of outputs
            made = kind("ours", setup.layer, 1, setup.adapter.rank, setup.adapter.alpha, weight_decompose=True,
                        wd_on_out=False)
            made.load_state_dict({end.removeprefix("ours."): value for end, value in file.items() if end != "ours"})
        else:
            made = kind.make_module_from_state_dict("ours", setup.layer, *kind.extract_state_dict(file, "ours"))
    made.apply_to()
    return made.requires_grad_(True).eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LYCORIS)
def test_lycoris_reads_the_file_as_the_same_layer(pack, lycoris, name, kind):
    setup = Setup(pack, name, kind, torch.float32, rank=2)
    expected = setup.output().detach()
    peer(lycoris, setup, name)
    assert torch.allclose(setup.layer(setup.x), expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["LoRA", "LoHa", "LoKr", "OFT"])
def test_lycoris_finds_the_same_gradient(pack, lycoris, name, kind):
    setup = Setup(pack, name, kind, torch.float32, rank=2)
    y = setup.output()
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(8))
    ours = dict(zip(setup.adapter.trained, torch.autograd.grad(y, setup.adapter.trained.values(), g), strict=True))
    module = peer(lycoris, setup, name)
    theirs = {"up": "lora_up.weight", "down": "lora_down.weight"}
    parameters = dict(module.named_parameters())
    wanted = [parameters[theirs.get(key, key)] for key in ours]
    exact = torch.autograd.grad(setup.layer(setup.x), wanted, g)
    for (key, gradient), other in zip(ours.items(), exact, strict=True):
        assert torch.allclose(gradient.flatten(), other.flatten(), rtol=1e-3, atol=1e-4), key


@pytest.mark.parametrize("algorithm, options", [("LoRA", {}), ("LoRA, rank-stabilised", {"use_rslora": True})])
def test_peft_computes_the_same_lora(pack, algorithm, options):
    peft = pytest.importorskip("peft", reason="peft is not installed")
    setup = Setup(pack, algorithm, "linear", torch.float32)
    y = setup.output()
    ours = torch.autograd.grad(y.sin().sum(), setup.adapter.trained.values())
    linear = torch.nn.Linear(12, 16)
    linear.load_state_dict(setup.layer.state_dict())
    model = peft.get_peft_model(torch.nn.Sequential(linear), peft.LoraConfig(
        r=setup.adapter.rank, lora_alpha=setup.adapter.alpha, target_modules=["0"], **options))
    a, b = (getattr(model.base_model.model[0], f"lora_{side}")["default"].weight for side in "AB")
    a.data.copy_(setup.adapter.trained["down"]), b.data.copy_(setup.adapter.trained["up"])
    expected = model(setup.x)
    assert torch.allclose(y, expected, atol=1e-5)
    for gradient, other in zip(ours, torch.autograd.grad(expected.sin().sum(), (a, b)), strict=True):
        assert torch.allclose(gradient, other, atol=1e-4)


def test_a_pissa_start_is_peft_s(pack):
    peft = pytest.importorskip("peft", reason="peft is not installed")
    setup = Setup(pack, "LoRA, PiSSA", "linear", torch.float32, moved=False)
    linear = torch.nn.Linear(12, 16)
    linear.load_state_dict(setup.layer.state_dict())
    layer = peft.get_peft_model(torch.nn.Sequential(linear), peft.LoraConfig(
        r=setup.adapter.rank, lora_alpha=setup.adapter.alpha, target_modules=["0"], init_lora_weights="pissa")
    ).base_model.model[0]
    theirs = layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    ours = setup.adapter.scale * setup.adapter.origin["up"] @ setup.adapter.origin["down"]
    assert torch.allclose(ours, theirs, atol=1e-4)
