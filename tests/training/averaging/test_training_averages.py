"""Average Checkpoints: the published profiles, averages kept while training found again, and means of what changes."""
import json
import re

import numpy as np
import pytest
import torch
from real_host import GraphError
from training_graphs import tensors
from training_models import tiny_sd3

STEPS, EVERY = 400, 5


@pytest.fixture(scope="module")
def ema(pack):
    return pack.nodes.training.averaging.power_function_ema


@pytest.fixture(scope="module")
def snapshots(pack):
    return pack.nodes.training.averaging.snapshots


@pytest.fixture(scope="module")
def averages(pack):
    return pack.nodes.training.averaging.average


@pytest.fixture(scope="module")
def walk(pack):
    """walk(length): what an average of this length holds after every step, [steps, 64], of AdamW on noisy gradients;
    length 0: the weights themselves."""
    average_of = pack.nodes.training.step.optimizers.WeightAverage
    noise = torch.Generator().manual_seed(1)
    weights = torch.randn(64, generator=noise, dtype=torch.float64) * 0.1
    aim, path = torch.randn(64, generator=noise, dtype=torch.float64) * 0.05, []
    optimizer = torch.optim.AdamW([weights], 1e-3, (0.9, 0.99))
    for _ in range(STEPS):
        weights.grad = weights - aim + torch.randn(64, generator=noise, dtype=torch.float64) * 0.1
        optimizer.step()
        path.append(weights.clone())

    def kept(length):
        if not length:
            return torch.stack(path)
        flat, seen = path[0].clone(), []
        average = average_of(flat, 0.0, length)
        for each in path:
            flat.copy_(each)
            average.update()
            seen.append(average.mean.clone())
        return torch.stack(seen)
    return kept


def missed(found, walk, length):
    return float((found - walk(length)[-1]).abs().max())


@pytest.mark.parametrize(("length", "exponent"), [(0.05, 16.97), (0.10, 6.94)])
def test_the_exponents_are_the_published_ones(ema, length, exponent):
    assert ema.exponent_of(length) == pytest.approx(exponent, abs=0.005)


@pytest.mark.parametrize("length", [0.02, 0.1, 0.25])
def test_a_profile_is_as_wide_as_its_length(ema, length):
    times = np.linspace(0, 1, 200_001)
    profile = times ** ema.exponent_of(length)
    profile /= profile.sum()
    middle = (profile * times).sum()
    assert np.sqrt((profile * (times - middle) ** 2).sum()) == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize("length", [0.06, 0.08, 0.1, 0.15, 0.2])
def test_averages_of_other_lengths_are_found_from_two_that_were_kept(ema, walk, length):
    steps = list(range(EVERY, STEPS + 1, EVERY))
    stored = torch.cat([walk(kept)[EVERY - 1::EVERY] for kept in (0.05, 0.1)])
    found = ema.weights_of_averages(steps * 2, [0.05] * len(steps) + [0.1] * len(steps), length)
    assert sum(found.weights) == pytest.approx(1)
    assert missed(torch.tensor(found.weights, dtype=torch.float64) @ stored, walk, length) < 1e-5


@pytest.mark.parametrize(("length", "most"), [(0.1, 1e-12), (0.08, 3e-5), (0.15, 3e-5), (0.05, 2e-4)])
def test_averages_near_the_one_that_was_kept_are_found_from_it_alone(ema, walk, length, most):
    steps = list(range(EVERY, STEPS + 1, EVERY))
    found = ema.weights_of_averages(steps, [0.1] * len(steps), length)
    miss = missed(torch.tensor(found.weights, dtype=torch.float64) @ walk(0.1)[EVERY - 1::EVERY], walk, length)
    assert miss < most


def test_fewer_snapshots_miss_more_of_the_profile_and_say_so(ema):
    errors = [ema.weights_of_averages(list(range(every, 401, every)), [0.1] * (400 // every), 0.05).error
              for every in (5, 20, 80)]
    assert errors == sorted(errors) and errors[0] < 0.05 < errors[-1] / 5


def test_snapshots_that_are_nearly_alike_are_no_trouble(ema):
    found = ema.weights_of_averages([100, 100, 200], [0.1, 0.1 + 1e-9, 0.1], 0.15)
    assert max(map(abs, found.weights)) < 10 and sum(found.weights) == pytest.approx(1)


@pytest.mark.parametrize("length", ["", "0.9", "nan", "-0.1", "a"])
def test_a_length_that_is_none_in_the_metadata_counts_as_plain_weights(snapshots, length):
    assert snapshots._kept(length) == 0


def test_files_of_one_step_share_what_it_counts(snapshots, averages):
    """As of a recipe with two lengths, which writes two files a step."""
    found = [snapshots.Snapshot(f"{step} {kept}", "", step, kept) for step in (4, 8) for kept in (0.05, 0.1)]
    single = averages.weighted(found[::2], "ema", 0.1).weights
    assert averages.weighted(found, "ema", 0.1).weights == pytest.approx([each / 2 for each in single for _ in "ab"])


def test_plain_snapshots_give_the_average_of_what_moves_in_a_straight_line(ema):
    steps, line = [1, 7, 20, 50], torch.arange(1, 51, dtype=torch.float64) * 0.3 - 2
    kept = float(line[0])
    for step in range(2, 51):
        keep = ema.decay(step, ema.exponent_of(0.15))
        kept = keep * kept + (1 - keep) * float(line[step - 1])
    weights = ema.weights_of_plain(steps, 0.15)
    assert sum(weights) == pytest.approx(1)
    assert sum(w * float(line[s - 1]) for w, s in zip(weights, steps, strict=True)) == pytest.approx(kept)


def test_plain_snapshots_only_come_near_the_average_that_was_kept(ema, walk):
    """What the help page says of them: no more than an estimate, and nearer than the last weights."""
    steps = list(range(EVERY, STEPS + 1, EVERY))
    found = torch.tensor(ema.weights_of_plain(steps, 0.1), dtype=torch.float64) @ walk(0)[EVERY - 1::EVERY]
    assert 1e-5 < missed(found, walk, 0.1) < 0.05 * missed(walk(0)[-1], walk, 0.1)


@pytest.mark.parametrize(("name", "said", "step"), [
    ("a/my_lora_step000250.safetensors", {}, 250), ("x-step00000500.safetensors", {"ss_steps": "7"}, 7),
    ("style2-000010.safetensors", {"ss_steps": "none"}, 10), ("v2_000003000.safetensors", {}, 3000),
    ("step120_v3.safetensors", {"ss_steps": "9" * 5000}, 120),
])
def test_steps_are_read_from_the_metadata_or_the_name(snapshots, name, said, step):
    assert snapshots.step_of(name, said) == step


def test_a_file_without_a_step_gets_a_sentence(snapshots):
    with pytest.raises(ValueError, match='^loras: expected checkpoints whose metadata .* got "my_lora"'):
        snapshots.step_of("my_lora", {"ss_steps": "0"})


@pytest.fixture
def lora_files(monkeypatch, tmp_path):
    """lora_files({name: metadata}) writes LoRAs of one number into the only loras folder; returns their names."""
    import folder_paths
    from safetensors.torch import save_file
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path)], {".safetensors"}))
    folder_paths.filename_list_cache.clear()

    def write(files):
        for name, said in files.items():
            save_file({"x": torch.ones(1)}, tmp_path / f"{name}.safetensors", {key: str(v) for key, v in said.items()})
        return [f"{name}.safetensors" for name in files]
    yield write
    folder_paths.filename_list_cache.clear()


def run_of(steps, seed, rate, when, number=""):
    return {f"my_lora_step{step:06}{number}": {"ss_steps": step, "ss_seed": seed, "ss_learning_rate": rate,
                                               "ss_training_finished_at": when + step} for step in steps}


@pytest.mark.parametrize(("other", "word"), [((7, 1e-4), "seed 0 .* and seed 7"),
                                             ((0, 1e-2), "learning rate 0.0001 .* and learning rate 0.01")])
def test_steps_of_two_trainings_of_one_name_are_never_averaged(snapshots, lora_files, other, word):
    names = lora_files(run_of((250, 500), 0, 1e-4, 1000) | run_of((250, 500), *other, 9000, "_00001")
                       | run_of((750, 1000), *other, 9000))
    with pytest.raises(ValueError, match=f"^loras: expected checkpoints of one training, got steps of two: {word}"):
        snapshots.found(names, 0, 0)
    later = snapshots.found(names, 501, 0)
    assert [each.step for each in later.snapshots] == [750, 1000] and not later.told


def test_a_training_that_was_resumed_with_another_rate_is_averaged_and_told(snapshots, lora_files):
    found = snapshots.found(lora_files(run_of((250, 500), 0, 1e-4, 1) | run_of((750,), 0, 5e-5, 2)), 0, 0)
    assert [each.step for each in found.snapshots] == [250, 500, 750]
    assert found.told.startswith("The learning rate is not the same in all: 0.0001 (steps 250 to 500), 5e-05 (step "
                                 "750).")


def test_of_two_files_of_a_step_the_newer_one_counts_and_what_is_not_said_is_not_compared(snapshots, lora_files):
    files = run_of((250, 500), 0, 1e-4, 9000) | run_of((250,), 0, 1e-4, 1000, "_00001")
    found = snapshots.found(lora_files(files | {"other_step000750": {}}), 0, 0)
    assert [each.name[:-12] for each in found.snapshots] == ["my_lora_step000250", "my_lora_step000500",
                                                            "other_step000750"]
    assert found.twice == ["my_lora_step000250_00001.safetensors"] and not found.told
    newer = files | {"my_lora_step000250_00001": files["my_lora_step000250"] | {"ss_training_finished_at": 99_999}}
    assert snapshots.found(lora_files(newer), 0, 0).twice == ["my_lora_step000250.safetensors"]


@pytest.mark.parametrize("length", [0.001, 0.5])
def test_a_recipe_takes_no_length_that_is_none(host, length):
    with pytest.raises(ValueError, match=f"^ema_length: expected 0, or 0.005 to 0.28, got {length}"):
        host.nodes.NODE_CLASS_MAPPINGS["BottegaRecipe"].execute(ema_length=length)
    with pytest.raises(ValueError, match="^second_ema_length: expected 0, or 0.005 to 0.28 beside another ema_length"):
        host.nodes.NODE_CLASS_MAPPINGS["BottegaRecipe"].execute(ema_length=0.1, second_ema_length=0.1)


# Checkpoints of real trainings, averaged in the real executor.

@pytest.fixture(scope="module")
def output_of_a_run(host, tmp_path_factory):
    """A folder of LoRAs that the trainings of this file share."""
    import folder_paths
    before, folder = folder_paths.get_output_directory(), tmp_path_factory.mktemp("averages")
    kept = {name: (list(paths), kinds) for name, (paths, kinds) in folder_paths.folder_names_and_paths.items()}
    folder_paths.set_output_directory(str(folder))
    (folder / "loras").mkdir()
    folder_paths.folder_names_and_paths["loras"] = ([str(folder / "loras")], kept["loras"][1])
    folder_paths.filename_list_cache.clear()
    yield folder / "loras"
    folder_paths.set_output_directory(before)
    folder_paths.folder_names_and_paths["loras"] = kept["loras"]
    folder_paths.filename_list_cache.clear()


@pytest.fixture(scope="module")
def trained(pack, output_of_a_run):
    """trained(name, **recipe) trains on four pictures, with a LoRA file every few steps."""
    from training_models import caption, latents
    t, done = pack.nodes.training, {}

    def run(name, steps=12, every=4, shape=None, resume="", **recipe):
        if name not in done or resume:
            dataset = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
            recipe = t.plan.recipe.Recipe(checkpoints=t.plan.recipe.CheckpointPlan(every, 1, True), **recipe)
            settings = t.plan.settings.Settings(steps, 2, 1e-2, 4, 3, recipe)
            done[name] = t.training_run.train(tiny_sd3(), dataset, settings, name, t.monitoring.progress.Progress(
                steps, "1"), shape, resume=resume)
        return done[name]
    return run


class LoraSink:
    """An output node for a LORA_MODEL."""
    INPUT_TYPES = classmethod(lambda cls: {"required": {"lora": ("LORA_MODEL",)}})
    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "take", "test", True
    taken = []

    def take(self, lora):
        self.taken.append(lora)
        return ()


def node(**inputs):
    return {"class_type": "BottegaAverageCheckpoints",
            "inputs": {"how": "mean", "length": 0.1, "first": 0, "last": 0, "rank": 0, **inputs}}


@pytest.fixture(scope="module")
def averaged(host):
    """averaged(**inputs): the LoRA, the report and the rows of data."""
    def run(**inputs):
        more = {key: value for key, value in inputs.items() if isinstance(value, dict)}
        links = {key: [key, 0] for key in more}
        host.nodes.NODE_CLASS_MAPPINGS["AverageTake"] = LoraSink
        try:
            shown, _ = host.run({**more, "average": node(**{**inputs, **links}),
                                 "take": {"class_type": "AverageTake", "inputs": {"lora": ["average", 0]}},
                                 "data": {"class_type": "PreviewAny", "inputs": {"source": ["average", 2]}}})
        finally:
            del host.nodes.NODE_CLASS_MAPPINGS["AverageTake"]
        return LoraSink.taken.pop(), shown["average"]["text"][0], json.loads(shown["data"]["text"][0])
    return run


def changes(lora):
    """The change of every layer, alpha included, in float64."""
    found = {}
    for key in lora:
        if key.endswith(".lora_up.weight"):
            stem = key.removesuffix(".lora_up.weight")
            up, down = lora[key].double().flatten(1), lora[f"{stem}.lora_down.weight"].double().flatten(1)
            found[stem] = up @ down * float(lora.get(f"{stem}.alpha", torch.tensor(len(down)))) / len(down)
    return found


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


def test_only_the_steps_of_the_range_count(trained, averaged):
    trained("plain")
    _, report, rows = averaged(loras="plain_step*", how="ema", length=0.2, first=5)
    assert [row["step"] for row in rows] == [8, 12] and sum(row["weight"] for row in rows) == pytest.approx(1)
    assert "ends at step 12" in report


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
