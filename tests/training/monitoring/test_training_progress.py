"""What one sees of a training: text, events, charts, sample pictures, validation, warnings, the report."""
import math
import re
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from training_models import caption, latents, tiny_sd3


@pytest.fixture
def watched(host, pack, monkeypatch):
    """What the trainer sent: texts, (event, data), previews."""
    seen = {"texts": [], "events": [], "previews": []}
    monkeypatch.setattr(host.server, "send_progress_text", lambda text, node, *a: seen["texts"].append((node, text)))
    monkeypatch.setattr(host.server, "send_sync", lambda event, data, sid=None: seen["events"].append((event, data)))
    show = pack.nodes.training.monitoring.progress.Progress._preview

    def preview(progress, session):
        made = show(progress, session)
        seen["previews"].append(made)
        return made

    monkeypatch.setattr(pack.nodes.training.monitoring.progress.Progress, "_preview", preview)
    return seen


def test_text_and_events_tell_loss_rate_pace_and_what_is_left(pack, train, watched, monkeypatch):
    monkeypatch.setattr(pack.nodes.training.monitoring.progress, "TEXT_INTERVAL", 0.0)
    trained = train(tiny_sd3(), 6)
    lines = [text for node, text in watched["texts"] if text.startswith("step")]
    assert watched["texts"][-1][1] == "6 of 6 steps done"       # nothing that is over stays on the node
    assert re.fullmatch(r"step 6/6  loss [\d.]+ \(mean of all 6\)  rate [\de.-]+  [\d.]+ s/it  0:00 left", lines[-1])
    *events, end = [data for event, data in watched["events"] if event == "bottega.training"]
    assert end["ended"] == "finished" and end["losses"] == []
    assert [e["step"] for e in events] == [1, 2, 3, 4, 5, 6] and events[0]["node"] == "1"
    assert [loss for e in events for loss in e["losses"]] == [round(loss, 6) for loss in trained.losses]
    assert [e["first"] for e in events] == [1, 2, 3, 4, 5, 6] and events[-1]["eta"] == 0


def test_events_are_throttled_to_two_a_second(pack, train, watched):
    train(tiny_sd3(), 20, batch_size=1)
    events = [data for event, data in watched["events"] if event == "bottega.training"]
    assert len(events) < 20 and events[-1]["step"] == 20
    assert sum(len(e["losses"]) for e in events) == 20


def test_the_chart_fills_while_it_runs(pack, train, watched, monkeypatch):
    monkeypatch.setattr(pack.nodes.training.monitoring.progress, "CHART_INTERVAL", 0.0)
    monkeypatch.setattr(pack.nodes.training.monitoring.progress, "CHART_SHARE", 1e9)
    train(tiny_sd3(), 3)
    assert [kind for kind, _, _ in watched["previews"]] == ["JPEG"] * 3
    assert len({picture.tobytes() for _, picture, _ in watched["previews"]}) == 3


def test_sample_pictures_come_from_fixed_noise_through_the_model_being_trained(pack, train, watched, output_folder):
    t, model = pack.nodes.training, tiny_sd3()
    prompts = caption(7) + caption(8)
    for name in ("first", "again"):
        train(model, 4, name, prompts=prompts, rate=0.1, samples=t.plan.recipe.SamplePlan(every=2, steps=2, cfg=2.0))
    first, again = (sorted((output_folder / "training" / name / "samples").iterdir()) for name in ("first", "again"))
    assert [p.name for p in first] == [f"step_{step:08}_{n}.png" for step in (0, 2, 4) for n in (1, 2)]
    pictures = [p.read_bytes() for p in first]
    assert pictures == [p.read_bytes() for p in again]
    assert len(set(pictures)) == 6
    assert len(watched["previews"]) >= 6


def test_the_picture_before_the_first_step_is_the_model_s_own(pack, host, train, output_folder):
    import comfy.model_management
    import comfy.sample
    t, model = pack.nodes.training, tiny_sd3()
    train(model, 1, prompts=caption(7), rate=0.1, samples=t.plan.recipe.SamplePlan(every=1, steps=3, cfg=1.0))
    samples = t.monitoring.sample_pictures.Samples(
        model,
        caption(7),
        None,
        t.plan.recipe.SamplePlan(steps=3, cfg=1.0),
        3,
        torch.Size([1, 16, 8, 8]),
        output_folder / "plain",
    )
    comfy.model_management.load_models_gpu([model])
    samples.save(samples.draw(), 0)
    trained = output_folder / "training" / "hand" / "samples"
    plain = (output_folder / "plain" / "step_00000000_1.png").read_bytes()
    assert (trained / "step_00000000_1.png").read_bytes() == plain
    assert (trained / "step_00000001_1.png").read_bytes() != plain


def test_a_picture_whose_writing_fails_leaves_the_old_one_and_no_half(pack, host, monkeypatch, tmp_path):
    import comfy.model_management
    t, model = pack.nodes.training, tiny_sd3()
    plan = t.plan.recipe.SamplePlan(steps=1, cfg=1.0)
    samples = t.monitoring.sample_pictures.Samples(
        model, caption(7), None, plan, 3, torch.Size([1, 16, 8, 8]), tmp_path
    )
    comfy.model_management.load_models_gpu([model])
    samples.save(samples.draw(), 0)
    whole = [path.read_bytes() for path in tmp_path.iterdir()]

    def full_disk(picture, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        samples.save(samples.draw(), 0)
    assert len(whole) == 1 and [path.read_bytes() for path in tmp_path.iterdir()] == whole


def test_samples_do_not_change_what_is_learnt(pack, train):
    t = pack.nodes.training
    plain = train(tiny_sd3(), 4, "plain")
    drawn = train(tiny_sd3(), 4, "drawn", prompts=caption(7), samples=t.plan.recipe.SamplePlan(every=1, steps=1),
                  checkpoints=t.plan.recipe.CheckpointPlan(every=1))
    assert plain.losses == drawn.losses
    assert all(torch.equal(plain.tensors[key], drawn.tensors[key]) for key in plain.tensors)


def test_validation_is_fixed_in_noise_and_levels_and_held_out_pictures_are_never_learnt(pack, train, monkeypatch):
    t = pack.nodes.training
    plan = t.plan.recipe.ValidationPlan(pictures=1, every=2)
    trained = train(tiny_sd3(), 6, validation=plan, rate=1e-12)
    assert [m.step for m in trained.validated] == [2, 4, 6]
    losses = [m.loss for m in trained.validated]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5) and len(trained.validated[0].by_level) == 4
    assert trained.loss_map["validation"] == [(m.step, m.loss) for m in trained.validated]
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
    session = t.step.session.Session.__new__(t.step.session.Session)
    session.dataset = dataset
    session.settings = t.plan.settings.Settings(1, 1, 1, 1, 0, t.plan.recipe.Recipe(validation=plan))
    learnt, held = session._split(list(t.data.dataset.outlines(dataset.samples)))
    assert len(held) == 1 and sorted(learnt + held) == [0, 1, 2, 3]


def test_overfitting_a_hot_rate_and_a_rising_loss_are_named(pack, train):
    t = pack.nodes.training
    measured = [t.step.validation.Measured(step, loss, (loss,)) for step, loss in
                ((10, 1.0), (20, 0.8), (30, 0.81), (40, 0.85), (50, 0.9))]
    assert "lowest at step 20 (0.8000) and is 0.9000 at step 50" in t.step.validation.overfits(measured)
    assert not t.step.validation.overfits(measured[:4]) and not t.step.validation.overfits([])
    changes = SimpleNamespace(relative_change=lambda: {"a": 0.5, "b": 0.4, "c": 0.01})
    session = SimpleNamespace(settings=SimpleNamespace(steps=200), step=20, validated=measured, notes=[],
                              adapters=changes, losses=[0.1] * 100 + [0.2] * 100, whole_base=nullcontext)
    health = t.training_health.Health(session)
    assert [health.next_look(step) for step in (0, 20, 100)] == [20, 100, 200]
    health.look(last=False)
    session.step = 200
    health.look(last=True)
    assert [note.split(":")[0] for note in session.notes] == [
        "It overfits", "The rate looks too hot", "The loss rose from 0.1000 to 0.2000"]
    assert "by 40% of its weights" in session.notes[1]


def test_a_calm_training_is_not_warned_about(pack, train):
    assert train(tiny_sd3(depth=1), 100, batch_size=1, rate=1e-4).notes == []


def chart(pack, loss_map):
    return pack.nodes.training.monitoring.training_chart.training_chart(loss_map)


@pytest.mark.parametrize("loss_map, height", [
    ({"loss": [0.5]}, 478), ({"loss": [0.5, 0.5, 0.5]}, 478), ({"loss": [0.3, float("nan"), 0.2]}, 478),
    ({"loss": torch.rand(5000).tolist()}, 478),
    ({"loss": [0.5, 0.4], "learning_rate": [1e-4, 0.0], "validation": []}, 602),
    ({"loss": [0.5, 0.4], "learning_rate": [0.0, 0.0], "validation": [(2, 0.45)]}, 602)])
def test_a_chart_of_anything_that_holds_a_loss(pack, loss_map, height):
    image = chart(pack, loss_map)
    assert image.shape == (1, height, 960, 3) and image.isfinite().all() and 0 <= image.min() < image.max() <= 1


@pytest.mark.parametrize("loss_map", [{}, {"loss": []}, {"loss": [float("nan")]}, None])
def test_a_chart_of_nothing_is_refused(pack, loss_map):
    with pytest.raises(ValueError, match="loss_map: expected at least 1 finite loss"):
        chart(pack, loss_map)


def test_the_trend_has_no_delay_and_ends_among_the_last_losses(pack):
    trend = pack.nodes.training.monitoring.training_chart.trend
    falling = [1 - i / 200 for i in range(200)]
    assert max(abs(a - b) for a, b in zip(trend(falling)[20:-20], falling[20:-20], strict=True)) < 0.02
    assert trend([]) == [] and trend([2.0]) == [2.0]
    assert all(map(math.isfinite, trend([1.0, float("inf"), 1.0])))


def test_the_report_gives_every_default_with_a_reason_and_what_the_recipe_said(pack, train):
    t = pack.nodes.training
    recipe = t.plan.recipe.Recipe(ema=0.9, loss=t.plan.recipe.LossPlan(noise_offset=0.05))
    asked = t.plan.settings.Settings(2, 2, 0.0, 0, 3, recipe)
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
    trained = t.training_run.train(tiny_sd3(), dataset, asked, "hand", t.monitoring.progress.Progress(2, "1"))
    report = t.training_report.training_report(trained, dataset, asked)
    chosen = report[report.index("Chosen for you:"):report.index("As the recipe says:")].splitlines()[1:-1]
    assert all(re.fullmatch(r"- [^:]+: .{10,}", line) for line in chosen) and len(chosen) >= 10
    assert {"- ema: 0.9", "- loss: noise_offset 0.05"} <= set(report.splitlines())


def test_the_report_says_how_often_pictures_were_shown_what_resume_takes_and_what_is_trained(pack, output_folder):
    t = pack.nodes.training
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(1, size=size)} for size in (6, 8, 10)],
                                             [caption(i) for i in range(3)])
    asked = t.plan.settings.Settings(6, 4, 1e-2, 4, 3)       # each batch is one picture: no other has its size
    trained = t.training_run.train(tiny_sd3(), dataset, asked, "hand", t.monitoring.progress.Progress(6, "1"),
                                   t.adapters.LoraShape("OFT", rank=4))
    told = lambda run: t.training_report.training_report(run, dataset, asked)  # noqa: E731
    report = told(trained)
    assert "each shown about 2 times" in report and "alpha" not in report
    resume = re.search("- State, for resume: (.*)", report)[1]
    assert t.disk.checkpoint.find_state(resume) == t.disk.checkpoint.state_path("hand", 6)
    measured = lambda step: t.step.validation.Measured(step, 0.5, (0.5,))  # noqa: E731
    told_when = [told(trained._replace(validated=[measured(step)])) for step in (4, 6)]
    assert "0.5000 at step 4 (0.5" in told_when[0] and "0.5000 at the end (0.5" in told_when[1]
    other = told(trained._replace(state="", layers=105, convolutions=16, shape=t.adapters.LoraShape("LoCon"),
                                  times_shown=(2.0, 20.0), ranks=(4, 16)))
    assert "the 89 attention and feed-forward layers and 16 convolutions of the repeated blocks" in other
    assert "shown about 2 to 20 times" in other and "alpha 4 to 16, the rank" in other and "for resume" not in other


def test_the_recipe_node_and_the_chart_node_work_in_a_graph(host, monkeypatch, output_folder):
    from real_host import GraphError
    give = {}
    for io_type, value in (("MODEL", tiny_sd3()), ("LATENT", [{"samples": latents(3)}]),
                           ("CONDITIONING", [caption(i) for i in range(3)])):
        name = f"SeenTestFeed{io_type}"
        give[io_type] = {"class_type": name, "inputs": {}}
        monkeypatch.setitem(host.nodes.NODE_CLASS_MAPPINGS, name, type(name, (), {
            "INPUT_TYPES": classmethod(lambda cls: {"required": {}}), "RETURN_TYPES": (io_type,), "FUNCTION": "give",
            "CATEGORY": "test", "OUTPUT_IS_LIST": (isinstance(value, list),), "give": lambda self, v=value: (v,)}))
    prompt = {
        "model": give["MODEL"], "latents": give["LATENT"], "captions": give["CONDITIONING"],
        "set": {"class_type": "BottegaCoreTrainingSet",
                "inputs": {"latents": ["latents", 0], "positive": ["captions", 0]}},
        "recipe": {"class_type": "BottegaRecipe",
                   "inputs": {"optimizer": "muon", "schedule": "rex", "loss": "huber", "shift": "fixed",
                              "shift_value": 2.5, "validation_pictures": 1, "validation_every": 2, "ema_decay": 0.9}},
        "train": {"class_type": "BottegaTrainLora",
                  "inputs": {"model": ["model", 0], "dataset": ["set", 0], "recipe": ["recipe", 0], "steps": 4,
                             "batch_size": 2, "learning_rate": 0.0, "rank": 0, "seed": 0, "name": "seen"}},
        "chart": {"class_type": "BottegaTrainingChart", "inputs": {"loss_map": ["train", 1]}},
        "show": {"class_type": "PreviewImage", "inputs": {"images": ["chart", 0]}},
    }
    try:
        shown, _ = host.run(prompt)
    except GraphError as error:
        pytest.fail(str(error))
    report = shown["train"]["text"][0]
    assert "- optimizer: name muon" in report and "shift 2.5" in report and "- Validation loss: " in report
    assert len(shown["show"]["images"]) == 1


def test_the_page_is_told_the_sample_pictures_on_disk_and_what_resume_goes_on_with(pack, train, watched):
    plan = pack.nodes.training.plan.recipe.SamplePlan
    train(tiny_sd3(), 4, "told", prompts=caption(7) + caption(8), rate=0.1, samples=plan(every=2, steps=1))
    *_, end = [data for event, data in watched["events"] if event == "bottega.training"]
    assert end["samples"] == {"subfolder": "training/told/samples", "steps": [0, 2, 4], "endings": ["png", "png"]}
    assert end["resume"] == "told"


def test_the_page_is_told_the_latest_pictures_alone_up_to_the_step_of_the_run(pack, monkeypatch, output_folder):
    part = pack.nodes.training.monitoring.sample_pictures
    monkeypatch.setattr(part, "MOST_LISTED", 2)
    folder = output_folder / "training" / "long" / "samples"
    folder.mkdir(parents=True)
    for name in ("00000000_1.png", "00000010_1.png", "00000020_1.webp", "00000020_2.png", "00000030_1.png",
                 "best_1.png", "00000015_1_1.png", "00000020_1.webp.bak"):
        (folder / f"step_{name}").write_bytes(b"")
    samples = part.Samples(None, [None, None], None, part.SamplePlan(), 0, torch.Size([1, 4, 8, 8]), folder)
    assert samples.on_disk(20) == {"subfolder": "training/long/samples", "steps": [10, 20], "endings": ["webp", "png"]}
