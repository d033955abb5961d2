"""Tune Blocks: searches on functions whose best is known, then a real LoRA on the starter in the real host."""
import json
from copy import deepcopy

import numpy as np
import pytest
import torch
from real_host import GraphError
from studio_graphs import loaders, node, uneven_lora, write_lora

HARMFUL = "J01"


@pytest.fixture(scope="module")
def find(studio):
    module = studio("tuning.search")

    def run(method, function, players, most=200, seed=3):
        start = (1.0,) * players
        name, asking = module.search(method, start, function(start), 0.0, 1.5, seed)
        asked, answer = [], None
        while len(asked) < most:
            try:
                asked.append(asking.send(answer))
            except StopIteration:
                break
            answer = function(asked[-1])
        return max(asked, key=function), asked, name
    return run


def hill(top):
    return lambda weights: -sum((weight - best) ** 2 for weight, best in zip(weights, top, strict=True))


@pytest.mark.parametrize("method, near", [("coordinate", 0.13), ("cma", 0.1)])
def test_a_search_finds_the_top_of_a_hill_within_bounds(find, method, near):
    if method == "cma":
        pytest.importorskip("cma", reason="cma is test-only")
    best, asked, _ = find(method, hill((0.0, 0.7, 1.5)), 3)
    assert np.abs(np.subtract(best, (0.0, 0.7, 1.5))).max() <= near
    assert all(0 <= weight <= 1.5 and round(weight, 2) == weight for weights in asked for weight in weights)


def test_coordinate_search_takes_out_what_harms_at_its_first_step(find):
    best, asked, name = find("coordinate", lambda weights: weights[0] + weights[2] - 3 * weights[1], 3)
    assert asked[:2] == [(0.5,) * 3, (1.5,) * 3] and best == (1.5, 0.0, 1.5) and name == "coordinate search"
    assert (1.5, 0.0, 0.5) in asked[:6]


@pytest.mark.parametrize("method", ["coordinate", "cma"])
def test_weights_apart_are_never_worse_than_the_best_level_for_all(find, method):
    """A ridge: only where all weights are alike is anything gained, which no single step from 1 can find."""
    if method == "cma":
        pytest.importorskip("cma", reason="cma is test-only")
    best, _, _ = find(method, lambda weights: sum(weights) - 50 * (max(weights) - min(weights)), 3)
    assert best == (1.5, 1.5, 1.5)


def test_cma_leaves_numpys_own_generator_alone_and_follows_its_seed(find):
    pytest.importorskip("cma", reason="cma is test-only")
    before = np.random.get_state()[1].copy()
    first, second, other = (find("auto", hill((0.2, 1.0)), 2, 12, seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(before, np.random.get_state()[1])
    assert first == second != other


def test_without_the_package_auto_is_coordinate_search_and_cma_a_sentence(studio, monkeypatch):
    module = studio("tuning.search")
    monkeypatch.setattr(module, "_package", lambda: None)
    assert module.search("auto", (1.0,), 0.0, 0.0, 1.5, 0)[0] == "coordinate search"
    with pytest.raises(ValueError, match="package cma, which is not installed"):
        module.search("cma", (1.0,), 0.0, 0.0, 1.5, 0)


@pytest.fixture(scope="module")
def likeness(studio):
    return studio("tuning.likeness")


def test_likeness_is_all_at_the_style_and_falls_with_distance(likeness, pack):
    paintings = pack.nodes.critique.reference.distributions.paintings()
    near = likeness.style(paintings, paintings)
    middle = {column: paintings.quantiles[column][50] for column in likeness.STYLE}
    width = {column: paintings.quantiles[column][75] - paintings.quantiles[column][25] for column in likeness.STYLE}
    away = [near.of({column: middle[column] + step * width[column] for column in middle}) for step in (0, 1, -1, 3, 50)]
    assert away == pytest.approx([100, 50, 50, 25, 100 / 51])
    with pytest.raises(ValueError, match="none of them in odd"):
        likeness.style(paintings._replace(name="odd", quantiles={}), paintings)


def test_a_target_picture_is_most_like_itself(likeness, pack):
    paintings = pack.nodes.critique.reference.distributions.paintings()
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(2, 8, 8, 3, generator=generator).repeat_interleave(8, 1).repeat_interleave(8, 2)
    near = likeness.target(pictures[:1], paintings)
    own, other = (pack.nodes.critique.examination.measured(picture, near.columns)
                  for picture in pictures.split(1))
    assert near.of(own) == pytest.approx(100) and near.of(other) < 99 and near.name == "the target picture"


@pytest.fixture(scope="module")
def harmful(loaded):
    """A LoRA that does next to nothing, but for one block that tears the picture apart."""
    return uneven_lora(loaded.model, 4.0, 0.01)


@pytest.fixture(scope="module")
def file(harmful, host):
    return write_lora(host, harmful, "harmful.safetensors")


def graph(starter, file, **inputs):    return loaders(starter) | {
        "words": node("CLIPTextEncode", text="a red circle on a white background", clip=["clip", 0]),
        "empty": node("CLIPTextEncode", text="", clip=["clip", 0]),
        "size": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "plain": node("KSampler", model=["model", 0], positive=["words", 0], negative=["empty", 0],
                      latent_image=["size", 0], seed=40, steps=2, cfg=1.0, sampler_name="euler", scheduler="simple",
                      denoise=1.0),
        "target": node("VAEDecode", samples=["plain", 0], vae=["vae", 0]),
        "tune": node("BottegaTuneBlocks", **{
            "model": ["model", 0], "lora_name": file, "strength_model": 1.0, "groups": "J00,J02; J01", "budget": 5,
            "seeds": 1, "held_out": 2, "positive": ["words", 0], "negative": ["empty", 0],
            "latent_image": ["size", 0], "vae": ["vae", 0], "seed": 7, "sampling_steps": 2, "cfg": 1.0,
            "sampler_name": "euler", "scheduler": "simple", "rubric": "*=0; Balance=1", "closeness": 1.0,
            "target": ["target", 0], "method": "coordinate"} | inputs),
        "load": node("BottegaLoadLora", model=["model", 0], lora_name=file, strength_model=1.0, strength_clip=1.0,
                     blocks=["tune", 0]),
        "data": node("PreviewAny", source=["tune", 4]),
        "report": node("PreviewAny", source=["load", 2]),
        "chart": node("PreviewImage", images=["tune", 2]),
    }


def test_a_harmful_block_is_turned_down_and_the_result_loads(host, starter, file):
    outputs, _ = host.run(graph(starter, file, budget=9))
    data = json.loads(outputs["data"]["text"][0])[0]
    assert data["groups"] == ["J00,J02", HARMFUL] and data["kept"][1] < 0.5
    assert "One weight for all blocks: " in outputs["tune"]["text"][0]
    assert data["gain"][0] > 1 and "**Tuned is better by +" in outputs["tune"]["text"][0]
    assert data["blocks"] == f"J00,J02={data['kept'][0]:g}; J01={data['kept'][1]:g}"
    assert f"J01={data['kept'][1]:g}" in outputs["report"]["text"][0] or "muted" in outputs["report"]["text"][0]
    assert len(data["trials"]) == 9 and len(data["held_out"]["tuned"]["goals"]) == 2
    assert outputs["tune"]["images"] and outputs["chart"]["images"]


@pytest.fixture(scope="module")
def run(studio, pack, loaded, harmful):
    """Tunes without the executor: (TuningResult, TuningGoal). `marks` replaces what a picture is worth by a function
    of its mean."""
    import nodes
    tune, critique = studio("tuning.block_tuning"), pack.nodes.critique

    def make(marks=None, show=lambda picture, done: None, held_out=1, budget=6, patience=0):
        with torch.inference_mode():
            size, = nodes.EmptyLatentImage().generate(128, 128, 1)
            words = loaded.encode("a red circle on a white background")
            sampling = studio("sampling").Sampling(words, words, size, loaded.vae, 1, 1.0, "euler", "simple")
            goal = tune.TuningGoal(sampling, 0, 1, held_out, critique.reference.distributions.paintings(),
                             critique.rubric.rubric_language.parse("*=0; Balance=1"), None, 0.5)
            grouped = studio("block_groups").group_blocks(
                loaded.model, pack.nodes.lora.file.lora_files.LoraFile(harmful, {}), 1.0, ""
            )
            tuner = tune.Tuner(grouped, goal, show)
            if marks:
                tuner.trial = lambda weights, samples: tune.Trial(weights, np.array([[marks(weights), 0.0, np.nan]]))
            return tuner.run("coordinate", budget, patience), goal
    return make


def test_a_learned_score_counts_in_the_rubric_and_is_no_style(studio, pack, measured_small):
    critique, nodes = pack.nodes.critique, studio("nodes.tune_blocks")
    paintings, score = critique.reference.distributions.paintings(), critique.learned.learned_score
    scorer = score.with_learned(paintings, lambda image: 5.5, score.scale(1, 10))
    rubric = critique.rubric.rubric_language
    own = scorer._replace(name="mine")
    assert nodes._traditions(None) == (paintings, None) and nodes._traditions(paintings) == (paintings, paintings)
    assert nodes._traditions(scorer) == (scorer, None) and nodes._traditions(own) == (scorer, own)
    goal = studio("tuning.block_tuning").TuningGoal(None, 0, 1, 0, scorer, rubric.parse("*=0; learned=high"), None, 0.5)
    assert goal.evaluate(torch.rand(1, 64, 64, 3))[0] == pytest.approx(50)
    observations = studio("block_effect.observations")
    settings = observations.EffectSettings(None, 0, 1, scorer, rubric.parse("learned=high; Balance=1"))
    assert set(observations.quantities(settings)) >= {"learned", "Balance"}


def test_weights_that_are_not_better_on_held_out_seeds_are_not_returned(run, studio):
    tuned, goal = run(marks=lambda weights: weights[0])      # the search likes 1.5, the held-out pictures are unmoved
    assert tuned.best.weights[0] == 1.5
    ones = tuned.held_out.ones._replace(marks=tuned.held_out.tuned.marks + 1)
    worse = tuned._replace(held_out=tuned.held_out._replace(ones=ones))
    text = studio("tuning.tuning_report").report(worse, goal)
    better = tuned._replace(held_out=tuned.held_out._replace(ones=ones._replace(marks=ones.marks - 2)))
    text_of_better = studio("tuning.tuning_report").report(better, goal)
    assert "one picture, which says nothing of chance: raise held_out" in text_of_better
    assert worse.kept == (1.0, 1.0, 1.0) and "Tuned is not better" in text and "J00=1; J01=1; J02=1" in text


def test_tuned_pictures_that_look_spoiled_are_marked_and_decide_nothing(run, studio):
    tuned, goal = run(marks=lambda weights: weights[0])
    report = studio("tuning.tuning_report")
    assert tuned.held_out.spoiled == [""] and "look spoiled" not in report.report(tuned, goal)
    marked = tuned._replace(held_out=tuned.held_out._replace(spoiled=["too red or magenta"]))
    assert "**1 of 1 tuned pictures look spoiled in light and colour**" in report.report(marked, goal)
    assert "(1: too red or magenta)" in report.report(marked, goal)
    assert marked.kept == tuned.kept and json.loads(report.data(marked, goal))[0]["spoiled"] == ["too red or magenta"]
    assert report.contact_sheet(marked).shape[1] > report.contact_sheet(tuned).shape[1]  # a line more below


def test_one_weight_for_all_blocks_is_returned_where_it_is_as_good_on_held_out_seeds(run, studio):
    tuned, goal = run(marks=lambda weights: weights[0] - weights[1] / 2, budget=9)
    assert tuned.best.weights[0] == 1.5 > tuned.best.weights[1] and tuned.held_out.uniform.weights == (1.5,) * 3
    marks = tuned.held_out.tuned.marks
    unseen = tuned.held_out._replace(ones=tuned.held_out.ones._replace(marks=marks - 2),
                                   uniform=tuned.held_out.uniform._replace(marks=marks))
    level = tuned._replace(held_out=unseen)
    text = studio("tuning.tuning_report").report(level, goal)
    assert level.kept == (1.5,) * 3 and "J00=1.5; J01=1.5; J02=1.5" in text
    assert "**One weight for all blocks, 1.5, does at least as well as weights of their own" in text and "+2.00" in text
    assert "| one weight for all, 1.5 |" in text
    assert json.loads(studio("tuning.tuning_report").data(level, goal))[0]["held_out"]["level"]
    ahead = level._replace(held_out=unseen._replace(uniform=unseen.uniform._replace(marks=marks - 1)))
    assert ahead.kept == tuned.best.weights
    assert "Tuned is better by +2.00 points than the whole LoRA" in studio("tuning.tuning_report").report(ahead, goal)


def test_the_search_stops_early_when_nothing_gets_better(run):
    tuned, _ = run(marks=lambda weights: -abs(weights[0] - 1), budget=50, patience=4, held_out=0)
    assert tuned.ended == "nothing better came in 4 evaluations" and len(tuned.trials) == 6
    assert tuned.held_out is None and tuned.kept == (1.0, 1.0, 1.0)
    spent, _ = run(marks=lambda weights: sum(weights), budget=3, held_out=0)
    assert spent.ended == "the budget of 3 was used"


def test_full_memory_keeps_the_best_so_far_and_a_fault_of_the_program_is_raised(run, studio):
    def end(error, at=4, **settings):
        def show(picture, done):
            if done == at:
                raise error
        return run(show=show, **settings)

    tuned, goal = end(MemoryError("no room"))
    said = studio("tuning.tuning_report").report(tuned, goal)
    assert "**Ended early (memory was full (no room)): the best of 3 weights" in said
    assert "it ended because memory was full (no room)." in said
    late = studio("tuning.tuning_report").report(*end(MemoryError("no room"), 8, held_out=3, budget=4))
    assert "**Ended after 1 of 3 held-out pictures**, which were compared: memory was full (no room)." in late
    for error, at in ((MemoryError(), 1), (AttributeError(), 4)):
        with pytest.raises(type(error)):
            end(error, at)


def test_a_cancel_keeps_the_best_so_far(run, studio):
    import comfy.model_management

    def cancel_at(count):
        def show(picture, done):
            if done == count:
                raise comfy.model_management.InterruptProcessingException()
        return show

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(show=cancel_at(1))
    tuned, goal = run(show=cancel_at(4))
    report = studio("tuning.tuning_report")
    assert tuned.cut == "cancelled" and len(tuned.trials) == 3 and tuned.kept == tuned.best.weights
    assert "Cancelled: the best of 3 weights" in report.report(tuned, goal)
    assert report.chart(tuned).shape == (1, 480, 960, 3) and report.contact_sheet(tuned).shape[0] == 1
    assert json.loads(report.data(tuned, goal))[0]["held_out"] is None


@pytest.mark.parametrize("name, value, words", [
    ("budget", 1, "budget: expected 3 or more, got 1"), ("held_out", -1, "held_out: expected 0 or more, got -1"),
])
def test_a_linked_number_that_is_too_small_gets_a_sentence(host, starter, file, name, value, words):
    with pytest.raises(GraphError, match=words):
        host.run(graph(starter, file, **{name: ["number", 0]}) | {"number": node("PrimitiveInt", value=value)})


@pytest.mark.parametrize("close, words", [
    ({"reference": ["style", 0]}, "50% how close it is to the two squares"),
    ({"target": ["other size", 0]}, "50% how close it is to the 2 target pictures"),
    ({"critic": "@Dow"}, "50% how close it is to what counts after Arthur Wesley Dow"),
])
def test_a_style_a_picture_of_another_size_and_a_critic_can_all_be_stayed_close_to(host, starter, file, measured_small,
                                                                                   close, words):
    prompt = graph(starter, file, budget=3, held_out=0, closeness=0.5) | {
        "other size": node("EmptyImage", width=96, height=40, batch_size=2, color=0x336699),
        "style": node("BottegaCritiqueReference", images=["other size", 0], name="the two squares")}
    prompt["tune"]["inputs"].pop("target")
    prompt["tune"]["inputs"] |= close
    outputs, _ = host.run(prompt)
    data, text = json.loads(outputs["data"]["text"][0])[0], outputs["tune"]["text"][0]
    assert words in text and "**No held-out seeds: the best of 3 weights" in text
    for trial in data["trials"]:
        assert 0 < trial["likeness"] < 100 and trial["goal"] == pytest.approx((trial["score"] + trial["likeness"]) / 2)
    assert len({trial["likeness"] for trial in data["trials"]}) == 3


@pytest.mark.parametrize("inputs, words", [
    ({"critic": "Arnheim"}, "got target and critic"), ({"critic": "@Nobody"}, 'critic: "@Nobody": expected one of'),
    ({"critic": "Wölfflin"}, "critic: expected something that can count"),
    ({"target": ["dot", 0]}, "target: expected at least 16 x 16 pixels, got 8 x 8"),
    ({"groups": "J*"}, "at least two"), ({"budget": 2}, "budget"), ({"rubric": "@Nobody"}, "Nobody"),
    ({"lora_name": "missing.safetensors"}, "missing"),
])
def test_bad_input_gets_a_sentence(host, starter, file, inputs, words):
    dot = node("EmptyImage", width=8, height=8, batch_size=1, color=0)
    with pytest.raises(GraphError, match=words):
        host.run(deepcopy(graph(starter, file, **inputs) | {"dot": dot}))


def test_a_damaged_file_is_named_as_the_list_names_it(host, starter, file):
    (host.tmp / "output" / "loras" / "torn.safetensors").write_bytes(b"torn")
    prompt = graph(starter, file, lora_name="torn.safetensors")
    prompt = {key: prompt[key] for key in prompt if key not in ("load", "report")}
    with pytest.raises(GraphError, match="LoRA file: torn.safetensors is not a whole") as caught:
        host.run(prompt)
    assert str(host.tmp) not in caught.value.args[0]["exception_message"]


@pytest.mark.parametrize("name", ["[None]", None, "gone.safetensors"])
def test_no_lora_at_all_gets_a_sentence_and_no_refusal_by_the_list_of_files(host, starter, file, name):
    prompt = graph(starter, file, lora_name=name)
    prompt = {key: prompt[key] for key in prompt if key not in ("load", "report")}
    words = "there is no gone" if name == "gone.safetensors" else "got neither"
    with pytest.raises(GraphError, match=words):
        host.run(prompt)
