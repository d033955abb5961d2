"""A LoRA that is on while training alone: the same losses and gradients as on a model that has it in its weights."""
import comfy.lora
import comfy.model_management
import comfy.sd
import pytest
import torch
from safetensors.torch import save_file
from training_graphs import tensors
from training_models import FAMILIES, build, caption, latents, samples, tiny_sd3

UNDO = "undo.safetensors"


def lora_of(layers, rank=2, seed=9, std=3.0):
    """{names of a file} of a LoRA on (name, in, out)."""
    generator = torch.Generator().manual_seed(seed)
    return {f"{name}.lora_{end}.weight": std * torch.randn(*shape, generator=generator) / shape[-1] ** 0.5
            for name, into, out in layers for end, shape in (("up", (out, rank)), ("down", (rank, into)))}


SD3_LAYERS = [(f"diffusion_model.joint_blocks.{i}.x_block.{part}", *size) for i in (0, 1) for part, size in
              (("mlp.fc1", (128, 512)), ("mlp.fc2", (512, 128)), ("attn.proj", (128, 128)))]
# q and v of a fused weight, as diffusers' names give them
FLUX_PARTS = [(f"transformer.transformer_blocks.0.attn.to_{part}", 64, 64) for part in "qv"]


@pytest.fixture
def undo(output_folder):
    """undo(tensors) writes a LoRA that the host lists."""
    def write(made=None):
        folder = output_folder / "loras"
        folder.mkdir(exist_ok=True)
        save_file(made or lora_of(SD3_LAYERS), folder / UNDO)
        return made or lora_of(SD3_LAYERS)
    return write


def output(patcher, lora=None):
    patched = comfy.sd.load_lora_for_models(patcher, None, lora, 1.0, 0.0)[0] if lora else patcher
    comfy.model_management.load_models_gpu([patched])
    (text, options), = caption(0)
    with torch.inference_mode():
        return patched.model.apply_model(latents(2), torch.tensor([0.3, 0.8]), c_crossattn=text.repeat(2, 1, 1),
                                         y=options["pooled_output"].repeat(2, 1)).clone()


def test_it_trains_as_on_the_patched_model_and_is_not_in_the_file(train, undo, output_folder):
    made, model = undo(), tiny_sd3()
    before = output(model)
    patched = comfy.sd.load_lora_for_models(tiny_sd3(), None, made, 1.0, 0.0)[0]
    expected, got = train(patched, 6, name="patched"), train(model, 6, name="beside", base_lora=UNDO)
    plain = train(model, 6, name="plain")
    assert got.losses == pytest.approx(expected.losses, rel=1e-4)
    assert min(abs(a / b - 1) for a, b in zip(got.losses, plain.losses, strict=True)) > 1e-3
    for key, value in expected.tensors.items():
        assert torch.allclose(got.tensors[key], value, atol=2e-3 * float(value.abs().max()) + 1e-6), key
    assert got.tensors.keys() == plain.tensors.keys()
    assert torch.equal(output(model), before) and not any("forward" in vars(m) for m in model.model.modules())
    assert any(f"{UNDO} is on while training, on 6 layers" in note for note in got.notes)
    assert '"base_lora": "undo.safetensors"' in tensors(got.path)[1]["bottega.config"]


def test_it_is_off_in_samples_and_on_in_validation(pack, undo, output_folder):
    t = pack.nodes.training
    undo()
    dataset, plan = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)]), {}
    for name in (UNDO, ""):
        recipe = t.plan.recipe.Recipe(base_lora=name, validation=t.plan.recipe.ValidationPlan(1))
        model = tiny_sd3()
        comfy.model_management.load_models_gpu([model])
        session = t.step.session.Session(model, dataset, t.plan.settings.Settings(1, 1, 1e-3, 2, 0, recipe), None)
        session.prepare(False)
        with session.showing():
            plan[name] = [output(model)]
            with session.beside():
                plan[name] += [output(model), session.validation.measure(0).loss]
    assert torch.equal(plan[UNDO][0], plan[""][0])
    assert torch.allclose(plan[UNDO][1], output(tiny_sd3(), lora_of(SD3_LAYERS)), atol=1e-4)
    assert plan[UNDO][2] != pytest.approx(plan[""][2], rel=1e-3)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_parts_of_a_fused_weight_get_their_part(pack, undo, checkpoint):
    """In place, with blocks computed again, which the training rewrites."""
    t, family, made = pack.nodes.training, FAMILIES["Flux.1"], lora_of(FLUX_PARTS)
    undo(made)
    gradients = []
    for name in (UNDO, "", "patched"):
        model = build(family)
        if name == "patched":
            model = comfy.sd.load_lora_for_models(model, None, made, 1.0, 0.0)[0]
        comfy.model_management.load_models_gpu([model])
        dataset = t.data.dataset.TrainingSet(samples(pack, family, 1), [])
        recipe = t.plan.recipe.Recipe(base_lora=name if name == UNDO else "")
        session = t.step.session.Session(model, dataset, t.plan.settings.Settings(1, 1, 1e-3, 2, 0, recipe), None)
        session.prepare(checkpoint)
        with session.training():
            session._backward([session.samples[0]], 1.0)
        gradients.append(session.adapters.flat.grad.clone())
    beside, plain, patched = gradients
    assert (beside - patched).norm() < 1e-3 * patched.norm() < 0.1 * (plain - patched).norm()


def test_wrong_files_and_another_file_at_resume_are_one_sentence(train, undo, output_folder):
    undo(lora_of([("diffusion_model.double_blocks.0.img_attn.proj", 64, 64)]))
    with pytest.raises(ValueError, match="base_lora: expected a LoRA for SD3, got undo.safetensors, of which nothing"):
        train(tiny_sd3(), 2, base_lora=UNDO)
    with pytest.raises(FileNotFoundError, match="base_lora"):
        train(tiny_sd3(), 2, base_lora="gone.safetensors")
    undo()
    train(tiny_sd3(), 2, name="first", base_lora=UNDO)
    with pytest.raises(ValueError, match="resume: .* with base_lora undo.safetensors, the recipe now says none"):
        train(tiny_sd3(), 4, name="first", resume="first")
