"""What cannot be trained is refused in a sentence that names the input, before anything is trained."""
import sys
from operator import attrgetter

import pytest
import torch
from real_host import GraphError
from training_models import caption, latents


@pytest.mark.parametrize("node, name, value, expected", [
    ("train.TrainLora", "batch_size", 0, "1 to 1024"), ("train.TrainLora", "rank", -4, "0 to 1024"),
    ("train.TrainLora", "learning_rate", -1.0, "0 to 10"), ("train.TrainLora", "steps", 0, "1 to 1000000"),
    ("train.TrainLora", "learning_rate", float("nan"), "0 to 10"),
    ("recipe.TrainingRecipe", "accumulation", 0, "1 to 1024"), ("adapter.Adapter", "rank", 0, "1 to 4096")])
def test_numbers_of_a_link_are_held_to_their_range(pack, node, name, value, expected):
    usual = dict(model=None, dataset=None, steps=1, batch_size=1, learning_rate=0.0, rank=0, seed=0, name="hand")
    usual = {"train": usual, "adapter": dict(algorithm="LoRA", alpha=0.0, targets="")}.get(node.split(".")[0], {})
    with pytest.raises(ValueError, match=f"^{name}: expected {expected}, got {value:g}"):
        attrgetter(node)(pack.nodes.training.nodes).execute(**{**usual, name: value})


def test_a_recipe_that_leaves_no_noise_is_refused_on_the_node(host):
    with pytest.raises(GraphError) as error:
        host.run({"recipe": {"class_type": "BottegaRecipe", "inputs": {"min_timestep": 0.5, "max_timestep": 0.5}},
                  "show": {"class_type": "PreviewAny", "inputs": {"source": ["recipe", 0]}}})
    assert "expected min_timestep below max_timestep, got 0.5 and 0.5" in str(error.value)


def test_a_missing_library_is_named_before_anything_is_trained(pack, train, model, output_folder, monkeypatch):
    for name in ("bitsandbytes", "bitsandbytes.optim"):     # another test may have imported the second
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="optimizer: AdamW8bit comes from the package bitsandbytes, which is not"):
        train(model, optimizer=pack.nodes.training.plan.recipe.OptimizerPlan("adamw_8bit"))
    assert not (output_folder / "loras").exists()


def test_more_validation_pictures_than_there_are_is_refused(pack, train, model):
    with pytest.raises(ValueError, match="validation_pictures: expected fewer than the 4 pictures of the data set, "
                                         "got 4."):
        train(model, validation=pack.nodes.training.plan.recipe.ValidationPlan(4))


def test_pictures_larger_than_the_model_s_table_of_positions_are_refused_before_anything_runs(pack, train, model,
                                                                                              output_folder):
    dataset = pack.nodes.training.data.dataset.from_core_nodes(
        [{"samples": torch.zeros(1, 16, 8, 8)}, {"samples": torch.zeros(1, 16, 8, 66)}], [caption(0)])
    with pytest.raises(ValueError, match="dataset: SD3 takes pictures of at most 512 x 512; picture 2 is 528 x 64. Set "
                                         "resolution in Training Set lower."):
        train(model, 3, dataset=dataset)
    assert not list(output_folder.iterdir())


UNFIT = {   # channels of the latent, more of its sizes, widths of caption, of pooled output and of a prompt
    "4 channels": (4, (), 64, 32, 0, "dataset: expected latents of 16 channels, as SD3 takes, got 4: connect"),
    "caption": (16, (), 32, 32, 0, "dataset: expected captions of the text encoder of SD3, got .1, 8, 32. on"),
    "pooled": (16, (), 64, 16, 0, "dataset: expected captions of the text encoder of SD3"),
    "a video's": (16, (1,), 64, 32, 0, "dataset: expected latents of single pictures, as SD3 takes, got .1, 16, 1, 8,"),
    "prompt": (16, (), 64, 32, 32, "sample_prompts: expected captions of the text encoder of SD3, got .1, 8, 32."),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_another_model_s_vae_or_text_encoder_made_is_refused_by_the_input_s_name(pack, train, model, case):
    channels, frames, text, pooled, prompt, words = UNFIT[case]
    pictures = latents(2, channels).unflatten(1, (channels, *frames)) if frames else latents(2, channels)
    dataset = pack.nodes.training.data.dataset.from_core_nodes(
        [{"samples": pictures}], [caption(i, text=text, pooled=pooled) for i in range(2)])
    with pytest.raises(ValueError, match=f"^{words}"):
        train(model, 2, dataset=dataset, prompts=caption(0, text=prompt) if prompt else None)
