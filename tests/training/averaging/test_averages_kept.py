"""Averages that a training keeps: two lengths at once, over a resume, and others found from their files."""
import pytest
import torch
from training_graphs import tensors


@pytest.mark.parametrize("length", [0.001, 0.5])
def test_a_recipe_takes_no_length_that_is_none(host, length):
    with pytest.raises(ValueError, match=f"^ema_length: expected 0, or 0.005 to 0.28, got {length}"):
        host.nodes.NODE_CLASS_MAPPINGS["BottegaRecipe"].execute(ema_length=length)
    with pytest.raises(ValueError, match="^second_ema_length: expected 0, or 0.005 to 0.28 beside another ema_length"):
        host.nodes.NODE_CLASS_MAPPINGS["BottegaRecipe"].execute(ema_length=0.1, second_ema_length=0.1)


def test_an_average_kept_while_training_is_found_from_those_of_another_length(trained, averaged, output_of_a_run):
    """Both trainings take the same steps; they differ in the average alone."""
    aim, _ = tensors(trained("wanted", 60, 60, ema_length=0.14).path)
    trained("stored", 60, 2, ema_length=0.1)
    assert tensors(output_of_a_run / "stored_step000010.safetensors")[1]["bottega.ema_length"] == "0.1"
    lora, report, rows = averaged(loras="stored_step*", how="post_hoc_ema", length=0.14)
    worst = max(float((lora[key] - aim[key]).abs().max()) for key in aim)
    assert lora.keys() == aim.keys() and worst < 5e-4
    assert "out of averages of length 0.1" in report and len(rows) == 30


def test_two_lengths_kept_in_one_training_give_others_to_the_fifth_digit(trained, averaged, output_of_a_run):
    aim, _ = tensors(trained("shorter", 60, 60, ema_length=0.08).path)
    trained("both", 60, 2, ema_length=0.1, second_ema_length=0.06)
    said = tensors(output_of_a_run / "both_step000010_second.safetensors")[1]
    assert (said["bottega.ema_length"], said["ss_steps"]) == ("0.06", "10")
    lora, report, rows = averaged(loras="both_step*", how="post_hoc_ema", length=0.08)
    worst = max(float((lora[key] - aim[key]).abs().max()) for key in aim)
    print(f"worst {worst:.3g}")
    assert lora.keys() == aim.keys() and worst < 1e-5
    assert "out of averages of length 0.06, 0.1" in report and len(rows) == 60


def test_a_second_average_goes_on_where_a_state_was_taken(pack, trained, output_of_a_run):
    lengths = dict(ema_length=0.1, second_ema_length=0.06,
                   schedule=pack.nodes.training.plan.recipe.SchedulePlan("constant", 0))
    trained("whole", 8, 4, **lengths)
    trained("half", 4, 4, **lengths)
    trained("half", 8, 4, resume="half", **lengths)
    whole, half = (tensors(output_of_a_run / f"{name}_step000008_second.safetensors")[0] for name in ("whole", "half"))
    assert whole.keys() == half.keys() and all(torch.equal(whole[key], half[key]) for key in whole)
