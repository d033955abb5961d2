"""Train with the Critic in a graph that goes wrong: Cancel in every phase, LoRAs that do not fit, a name that is taken.

Cancel only raises the host's flag, at a call of what the phase does; who notices it, and when, is what is tested."""
import itertools
from copy import deepcopy

import pytest
import torch
from real_host import GraphError
from safetensors.torch import load_file
from studio_graphs import PROMPT, loaders, node, write_lora
from test_critic_training import graph, same

pytestmark = pytest.mark.usefixtures("measured_small")
SEEDS = itertools.count(1)      # one for each test: the host keeps the last prompt's results, and nodes their folders


@pytest.fixture
def cancel_at(monkeypatch):
    """cancel_at(owner, name, call): a person presses Cancel when owner.name is called for the call-th time."""
    import comfy.model_management

    def arrange(owner, name, call):
        original, calls = getattr(owner, name), []

        def pressed(*args, **kwargs):
            calls.append(1)
            if len(calls) == call:
                comfy.model_management.interrupt_current_processing()
            return original(*args, **kwargs)
        monkeypatch.setattr(owner, name, pressed)
    return arrange


@pytest.fixture
def latent(host, starter, output_folder):
    """latent(): what the host's own sampler makes of the cached model, anew at every call."""
    seed = next(SEEDS)
    saved = f"saved{seed}"
    prompt = loaders(starter) | {
        "words": node("CLIPTextEncode", text=PROMPT, clip=["clip", 0]),
        "size": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "sampled": node("KSampler", model=["model", 0], seed=seed, steps=2, cfg=1.0, sampler_name="euler",
                        scheduler="simple", positive=["words", 0], negative=["words", 0], latent_image=["size", 0],
                        denoise=1.0),
        saved: node("SaveLatent", samples=["sampled", 0], filename_prefix="proof"),
    }

    def draw():
        outputs, ran = host.run(deepcopy(prompt))
        assert "sampled" in ran
        return load_file(output_folder / outputs[saved]["latents"][0]["filename"])["latent_tensor"]
    return draw


def changed(starter, **inputs):
    prompt = deepcopy(graph(starter))
    prompt["train"]["inputs"].update(inputs)
    return prompt


def files(folder):
    return sorted(path.name for path in (folder / "loras").glob("*"))


@pytest.mark.parametrize("module, owner, name, call", [
    ("critic_training.critic_training_run", "", "self_check", 1), ("sampling", "Sampling", "draw", 2),
    ("critic_training.critic_training_session", "RewardSession", "judge", 1)])
def test_a_cancel_before_the_first_step_ends_the_graph_and_leaves_nothing(host, starter, studio, cancel_at, latent,
                                                                          output_folder, module, owner, name, call):
    before = latent()
    cancel_at(getattr(studio(module), owner) if owner else studio(module), name, call)
    with pytest.raises(GraphError) as error:
        host.run(changed(starter, seeds=int(name == "draw")))
    assert error.value.args[0]["node_id"] == "train" and "exception_message" not in error.value.args[0]
    assert files(output_folder) == [] and not list((output_folder / "training").glob("*"))
    assert torch.equal(latent(), before)


@pytest.mark.parametrize("name, call", [("judge", 2), ("take_step", 2)])
def test_a_cancel_in_a_later_step_keeps_the_steps_before_it(host, starter, studio, cancel_at, latent, output_folder,
                                                            name, call):
    before = latent()
    cancel_at(studio("critic_training.critic_training_session").RewardSession, name, call)
    outputs, _ = host.run(changed(starter, seeds=0))
    assert "Cancelled after 1 of 2 steps. To go on, set resume to critic/step_00000001" in outputs["train"]["text"][0]
    assert files(output_folder) == ["critic_interrupted.safetensors"]
    assert torch.equal(latent(), before)


def test_a_cancel_after_the_last_step_keeps_the_whole_lora(host, starter, studio, cancel_at, output_folder):
    cancel_at(studio("critic_training.critic_training_run").RewardProgress, "take", 2)
    outputs, _ = host.run(changed(starter, seeds=0))
    assert files(output_folder) == ["critic.safetensors"] and "Cancelled" not in outputs["train"]["text"][0]


@pytest.mark.parametrize("call, told", [(3, "Not measured after the training, because it was cancelled."),
                                        (4, "Cancelled after 1 of 2 pictures; these were judged once more.")])
def test_a_cancel_while_pictures_are_judged_again_keeps_the_lora_and_those_that_were(
        host, starter, studio, cancel_at, latent, output_folder, call, told):
    before = latent()
    cancel_at(studio("sampling").Sampling, "draw", call)
    outputs, _ = host.run(changed(starter))
    report = outputs["train"]["text"][0]
    assert told in report and ("| trained on | 1 |" in report) == (call == 4) and "| held out |" not in report
    assert files(output_folder) == ["critic.safetensors"] and len(outputs["shown"]["images"]) == 1
    assert torch.equal(latent(), before)


def test_a_training_leaves_the_model_as_it_was_and_no_file_is_overwritten(host, starter, latent, output_folder):
    before = latent()
    host.run(changed(starter, seeds=0))
    first = load_file(output_folder / "loras" / "critic.safetensors")
    outputs, _ = host.run(changed(starter, seeds=0, seed=2, decoder="fitted to the VAE"))
    assert "pictures seen through a linear map fitted to the VAE" in outputs["train"]["text"][0]
    assert files(output_folder) == ["critic.safetensors", "critic_00001.safetensors"]
    assert "critic_00001.safetensors" in outputs["train"]["text"][0]
    assert same(load_file(output_folder / "loras" / "critic.safetensors"), first)
    assert not same(load_file(output_folder / "loras" / "critic_00001.safetensors"), first)
    assert torch.equal(latent(), before)


LAYER = "diffusion_model.joint_blocks.0.x_block.mlp.fc1"


@pytest.mark.parametrize("tensors, sentence", [
    ({f"{LAYER}.lora_up.weight": torch.zeros(6144, 4), f"{LAYER}.lora_down.weight": torch.zeros(4, 1536)},
     "lora: the LoRA does not fit layer joint_blocks.0.x_block.mlp.fc1: expected .*, got "),
    ({"lora_unet_down_blocks_1_attentions_0_proj_in.lora_up.weight": torch.zeros(640, 4),
      "lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight": torch.zeros(4, 640)},
     "lora: expected one for SD3, got one that names none of its layers"),
])
def test_a_file_of_another_model_is_refused_with_a_sentence(host, starter, output_folder, tensors, sentence):
    name = write_lora(host, tensors, f"other_{len(next(iter(tensors)))}.safetensors")
    with pytest.raises(GraphError, match=sentence):
        host.run(changed(starter, lora_name=name))
