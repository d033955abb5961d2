"""Average Checkpoints in the real executor: the mean of what changes, at its rank, of every kind of LoRA."""
import pytest
import torch
from real_host import GraphError
from training_graphs import changes, tensors
from training_models import tiny_sd3


def test_the_mean_is_that_of_the_changes_and_a_file_of_a_step_counts_once(trained, averaged, output_of_a_run):
    trained("plain")
    files = [tensors(output_of_a_run / f"plain_step{step:06}.safetensors")[0] for step in (4, 8, 12)]
    lora, report, rows = averaged(loras="plain*")
    assert [(row["step"], row["weight"]) for row in rows] == [(step, pytest.approx(1 / 3)) for step in (4, 8, 12)]
    assert "3 checkpoints of steps 4 to 12" in report and "Left out, of a step that a newer file has: plain" in report
    every = [changes(file) for file in files]
    for stem, change in changes(lora).items():
        assert torch.allclose(change, sum(each[stem] for each in every) / 3, atol=1e-7)
        assert lora[f"{stem}.lora_down.weight"].shape[0] == 12
    assert len(changes(lora)) == 13


def test_only_the_steps_of_the_range_count(trained, averaged):
    trained("plain")
    _, report, rows = averaged(loras="plain_step*", how="ema", length=0.2, first=5)
    assert [row["step"] for row in rows] == [8, 12] and sum(row["weight"] for row in rows) == pytest.approx(1)
    assert "ends at step 12" in report


def test_a_rank_gives_the_nearest_lora_of_it_and_the_share_that_is_kept(trained, averaged):
    trained("plain")
    whole, small = averaged(loras="plain_step*")[0], averaged(loras="plain_step*", rank=4)
    total = kept = 0.0
    for stem, change in changes(whole).items():
        values = torch.linalg.svdvals(change)
        near = changes(small[0])[stem]
        assert float((change - near).norm()) == pytest.approx(float(values[4:].norm()), abs=1e-5)
        total, kept = total + float(values.square().sum()), kept + float(values[:4].square().sum())
    assert f"rank at most 4: {kept / total:.2%} of the change is kept" in small[1]


def test_other_kinds_need_the_model_and_then_the_changes_are_averaged(pack, host, feed, trained, averaged,
                                                                     output_of_a_run):
    model = tiny_sd3()
    trained("loha", shape=pack.nodes.training.adapters.LoraShape(algorithm="LoHa", rank=4))
    with pytest.raises(GraphError, match="model: connect the model"):
        averaged(loras="loha_step*")
    lora, _, _ = averaged(loras="loha_step*", model=feed("MODEL", model))
    load = pack.nodes.lora.file.loading.model_patches
    change = pack.nodes.lora.patches.energy.change
    every = [load(tensors(output_of_a_run / f"loha_step{step:06}.safetensors")[0], model.model) for step in (4, 8, 12)]
    made = load(lora, model.model)
    for target, patch in made.items():
        weight = pack.nodes.lora.patches.energy.own_weight(model, target)
        wanted = sum(change(patches[target], weight) for patches in every) / 3
        assert torch.allclose(change(patch, weight), wanted, atol=1e-6)
    assert len(made) == 13


@pytest.mark.parametrize(("inputs", "said"), [
    ({"loras": "nowhere*"}, "which no file fits"),
    ({"loras": ""}, "at least two checkpoints of different steps, got 0 out of 0 files"),
    ({"loras": "plain_step*", "first": 5, "last": 9}, "from step 5 to 9, got 1 out of 3 files of steps 4 to 12"),
    ({"loras": "plain_step*", "first": 9, "last": 5}, "expected first up to last, got 9 and 5"),
    ({"loras": "plain_step*", "how": "post_hoc_ema"}, "kept_length: expected the length of the averages"),
    ({"loras": "plain_step000004\nloha_step000008"}, "expected checkpoints of one training"),
])
def test_what_cannot_be_averaged_gets_a_sentence(pack, trained, averaged, inputs, said):
    trained("plain")
    trained("loha", shape=pack.nodes.training.adapters.LoraShape(algorithm="LoHa", rank=4))
    with pytest.raises(GraphError, match=said):
        averaged(**inputs)
