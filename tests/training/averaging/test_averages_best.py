"""Which average is best: each choice is measured as the training measured itself."""
import re

import pytest
import torch
from real_host import GraphError
from training_graphs import changes
from training_models import tiny_sd3


@pytest.fixture(scope="module")
def four_pictures(pack):
    from training_models import caption, latents
    return pack.nodes.training.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])


def test_each_choice_is_measured_as_the_training_measured_itself(pack, feed, trained, averaged, four_pictures):
    """A training that holds pictures out measures its steps; the table's row of a step is the same number."""
    plan = pack.nodes.training.plan.recipe
    run = trained("measured", 12, 4, validation=plan.ValidationPlan(2, 4))
    links = {"model": feed("MODEL", tiny_sd3()), "dataset": feed("BOTTEGA_DATASET", four_pictures)}
    for last, measured in zip((8, 12), run.validated[1:], strict=True):
        lora, report, _ = averaged(loras="measured_step*", last=last, how="best", validation_pictures=2, **links)
        rows = {name: float(loss) for name, loss in re.findall(r"\| ([^|]*) \| (\d[\d.]+) \| [-+]", report)}
        assert rows["last checkpoint"] == pytest.approx(measured.loss, rel=1e-5) and len(rows) == 8
        assert f"Lowest validation loss: {min(rows, key=rows.get)}" in report and "on 2 pictures" in report
    assert len(changes(lora)) == 13


def test_a_base_lora_takes_part_as_in_the_training_and_a_lacking_seed_is_said(pack, feed, trained, averaged,
                                                                             four_pictures):
    plan = pack.nodes.training.plan.recipe
    trained("adapter", 4, 4)
    base = "adapter_step000004.safetensors"
    links = {"model": feed("MODEL", tiny_sd3()), "dataset": feed("BOTTEGA_DATASET", four_pictures)}
    for metadata in ("full", "tags only"):
        kept = dict(validation=plan.ValidationPlan(2, 4), base_lora=base, metadata=metadata)
        name = f"with_{metadata[:4]}"
        run = trained(name, 8, 4, **kept)
        recipe = feed("BOTTEGA_RECIPE", plan.Recipe(**kept))
        _, report, _ = averaged(loras=f"{name}_step*", how="best", validation_pictures=2, recipe=recipe, **links)
        last = float(re.search(r"\| last checkpoint \| (\d[\d.]+)", report)[1])
        assert (last == pytest.approx(run.validated[-1].loss, rel=1e-5)) == (metadata == "full")
        assert ("The files do not tell the seed of their training" in report) == (metadata != "full")


def test_an_expert_is_measured_at_its_own_levels_of_noise(pack, output_of_a_run):
    from training_models import FAMILIES, build, caption
    t, family = pack.nodes.training, FAMILIES["Wan 2.1"]
    plan = t.plan.recipe
    pictures = torch.randn(4, *family.latent, generator=torch.Generator().manual_seed(1))
    dataset = t.data.dataset.from_core_nodes([{"samples": pictures}], [caption(i, pooled=0) for i in range(4)])
    recipe = plan.Recipe(timesteps=plan.TimestepPlan(expert="high noise"), validation=plan.ValidationPlan(2, 2))
    run = t.training_run.train(build(family), dataset, t.plan.settings.Settings(2, 2, 1e-3, 4, 3, recipe), "expert",
                               t.monitoring.progress.Progress(2, "1"))
    with torch.inference_mode():
        judge = t.best_average.Judge(build(family), None, t.best_average.Held(dataset, 2, recipe), 3)
        assert judge.loss(run.tensors) == pytest.approx(run.validated[-1].loss, rel=1e-4)


@pytest.mark.parametrize(("inputs", "said"), [
    ({"how": "best"}, "dataset: expected pictures to measure the validation loss on"),
    ({"dataset": 1}, "model: expected the model that was trained on"),
    ({"dataset": 1, "model": 1, "validation_pictures": 5}, "validation_pictures: expected 0 to 4, .* got 5"),
])
def test_what_cannot_be_measured_gets_a_sentence(host, feed, trained, averaged, four_pictures, inputs, said):
    trained("plain")
    given = {"model": ("MODEL", tiny_sd3), "dataset": ("BOTTEGA_DATASET", lambda: four_pictures)}
    links = {key: feed(given[key][0], given[key][1]()) if key in given else value for key, value in inputs.items()}
    with pytest.raises(GraphError, match=said):
        averaged(loras="plain_step*", **links)
