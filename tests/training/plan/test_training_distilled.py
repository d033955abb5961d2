"""Distilled models: which one it is, how its sample pictures are drawn, and what the report says."""
from types import SimpleNamespace

import pytest
from training_models import FAMILIES, build, caption, tiny_sd3


def model(name, file):
    """A model of a family as a loader of the host gives it: with the path of its file."""
    patcher = build(FAMILIES[name]) if name != "SDXL" else sdxl()
    patcher.cached_patcher_init = (None, (f"/models/{file}",))
    return patcher


def sdxl():
    """As far as a plan looks at it; the network is large."""
    import comfy.supported_models
    return SimpleNamespace(model=SimpleNamespace(model_config=comfy.supported_models.SDXL({})))


def settled(pack, patcher, distilled="automatic", base_lora="", **samples):
    t = pack.nodes.training
    recipe = t.plan.recipe.Recipe(distilled=distilled, base_lora=base_lora, samples=t.plan.recipe.SamplePlan(**samples))
    return t.plan.distilled.for_distilled(t.plan.settings.Settings(1, 1, 0.0, 0, 0, recipe), patcher)


@pytest.mark.parametrize("family, file, steps, cfg, sampler, scheduler", [
    ("Flux.1", "flux1-schnell-fp8.safetensors", 4, 1, "euler", "simple"),
    ("Flux.1", "flux1-dev.safetensors", 20, 1, "euler", "simple"),
    ("Flux.1", "flux1-dev-turbo-fp8.safetensors", 8, 1, "euler", "simple"),
    ("Flux.1", "Hyper-flux1-dev-16steps.safetensors", 16, 1, "euler", "simple"),
    ("Flux.1", "flux1-dev-hyperrealism.safetensors", 20, 1, "euler", "simple"),
    ("Flux.2", "flux-2-klein-9b-fp8.safetensors", 4, 1, "euler", "simple"),
    ("Z-Image", "z_image_turbo_bf16.safetensors", 8, 1, "res_multistep", "simple"),
    ("SDXL", "sdxl_lightning_8step_unet.safetensors", 8, 1, "euler", "sgm_uniform"),
    ("SDXL", "sd_xl_turbo_1.0_fp16.safetensors", 1, 1, "euler_ancestral", "simple")])
def test_samples_are_drawn_as_the_model_of_that_file_is_used(pack, family, file, steps, cfg, sampler, scheduler):
    settings, chosen, _ = settled(pack, model(family, file))
    plan = settings.recipe.samples
    assert (plan.steps, plan.cfg, plan.sampler, plan.scheduler) == (steps, cfg, sampler, scheduler)
    assert chosen and "is used" in chosen[0][1]


@pytest.mark.parametrize("family, file", [("Flux.2", "flux-2-klein-base-9b.safetensors"), ("Z-Image", "z_image.sft"),
                                          ("SD1.5", "flux-schnell.safetensors"),
                                          ("SDXL", "hyperrealism_xl_v3.safetensors")])
def test_a_model_that_is_not_called_so_is_none(pack, family, file):
    settings, _, notes = settled(pack, model(family, file))
    assert settings.recipe.samples == pack.nodes.training.plan.recipe.SamplePlan() and not notes


def test_what_was_set_stays_and_the_samplers_are_the_host_s(pack):
    import comfy.samplers
    kinds = pack.nodes.training.plan.distilled.DISTILLED
    plan = settled(pack, model("Z-Image", "z.safetensors"), "Z-Image-Turbo", steps=6, cfg=1.5)[0].recipe.samples
    assert (plan.steps, plan.cfg, plan.sampler) == (6, 1.5, "res_multistep")
    assert {kind.sampler for kind in kinds.values()} <= set(comfy.samplers.KSampler.SAMPLERS)
    assert {kind.scheduler for kind in kinds.values()} <= set(comfy.samplers.KSampler.SCHEDULERS)
    assert all(hasattr(comfy.supported_models, name) for kind in kinds.values() for name in kind.kinds)


def test_the_report_warns_of_plain_training_and_hints_at_a_file_s_name(pack):
    assert "Better train on Flux.1 dev" in settled(pack, model("Flux.1", "flux1-dev-turbo.safetensors"))[2][0]
    turbo = model("Z-Image", "z_image_turbo_bf16.safetensors")
    assert "training it as it is undoes that" in settled(pack, turbo)[2][0]
    assert "is called like Z-Image-Turbo" in settled(pack, turbo, "no")[2][0]
    assert not settled(pack, turbo, base_lora="adapter.safetensors")[2]
    with pytest.raises(ValueError, match="distilled: expected Flux for Flux.1 schnell, got Lumina2"):
        settled(pack, turbo, "Flux.1 schnell")


def test_a_training_draws_its_samples_so(pack, train, output_folder):
    patcher = tiny_sd3()
    patcher.cached_patcher_init = (None, ("/models/sd3.5_large_turbo.safetensors",))
    run = train(patcher, 1, distilled="automatic", prompts=caption(0), name="turbo")
    assert run.settings.recipe.samples.steps == 4
    assert any(what == "samples of 4 steps at cfg 1, euler, simple" for what, _ in run.chosen)
    assert len(list((output_folder / "training" / "turbo" / "samples").glob("*.png"))) == 2
