"""Train LoRA with a critic: the best step's LoRA is the result, and pictures count as the critic sees them."""
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from training_graphs import CANCEL, plan, same
from training_models import caption, latents, tiny_sd3


class Redness:
    """Mean red less mean blue."""
    title = "redness"

    def score(self, pictures):
        return (pictures[..., 0] - pictures[..., 2]).mean((1, 2)).tolist()


class Script(Redness):
    """Gives the scores it was told, in order: what matters is who wins, not why."""
    title = "script"

    def __init__(self, *scores):
        self.scores = list(scores)

    def score(self, pictures):
        return [self.scores.pop(0)]


@pytest.fixture
def run(pack, train):
    """run(critic, steps, ...) trains with a sample picture every other step."""
    samples = pack.nodes.training.plan.recipe.SamplePlan(every=2, steps=2, cfg=1.0)

    def run(critic, steps=8, prompts=1, **changes):
        return train(tiny_sd3(), steps, rate=3e-2, prompts=[*caption(7), *caption(8)][:prompts], critic=critic,
                     samples=samples, **changes)
    return run


@pytest.fixture
def report(pack):
    """The report of a run."""
    t = pack.nodes.training

    def write(trained):
        dataset = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(0)])
        return t.training_report.training_report(trained, dataset, trained.settings)
    return write


def lora(folder, name):
    return load_file(folder / "loras" / f"{name}.safetensors")


def test_the_lora_is_that_of_the_step_the_critic_likes_best(run, output_folder, pack, report):
    trained = run(Script(9, 1, 5, 3, 4))
    assert trained.step_ranking.step == 4 and [j.score for j in trained.step_ranking.judged] == [9, 1, 5, 3, 4]
    assert same(lora(output_folder, "hand"), trained.tensors)
    last = run(None, name="plain")
    assert last.losses == trained.losses
    assert same(lora(output_folder, "hand_last"), last.tensors) and not same(last.tensors, trained.tensors)
    path = output_folder / "training" / "hand" / "step_00000008.safetensors"
    state = pack.nodes.training.disk.checkpoint.load_state(path)
    assert torch.equal(state["critique"]["weights"], trained.step_ranking.weights)
    told = report(trained)
    assert "best after step 4 with 5" in told and "| 4 (best) | 5 | 5 |" in told and "| 0 | 9 | 9 |" in told
    assert "hand_last" in told and "quick previews" in told
    assert trained.loss_map["critique"] == [(0, 9), (2, 1), (4, 5), (6, 3), (8, 4)]
    chart = pack.nodes.training.monitoring.training_chart.training_chart
    assert chart(trained.loss_map).shape[1] == chart({**trained.loss_map, "critique": []}).shape[1] + 90 + 34


def test_a_step_s_lora_is_what_a_run_of_so_many_steps_had(run, pack):
    parts = plan(pack, schedule={"shape": "constant", "warmup": 2})
    best = run(Script(0, 1, 5, 3, 4), **parts)
    short = run(None, steps=4, name="short", **parts)
    assert same(best.tensors, short.tensors)
    with safe_open(best.path, framework="pt") as file:
        assert file.metadata()["ss_steps"] == "4"


def test_where_the_last_step_is_the_best_there_is_one_file(run, output_folder):
    run(Script(0, 1, 2, 3, 4))
    assert sorted(p.stem for p in (output_folder / "loras").iterdir()) == ["hand"]


@pytest.mark.parametrize("recipe", [{}, {"ema": 0.9}])
def test_cancel_and_resume_keep_the_best_and_end_as_a_run_that_was_never_cut(run, output_folder, recipe):
    whole = run(Redness(), name="whole", prompts=2, **recipe)
    with pytest.raises(CANCEL):
        run(Redness(), name="cut", stop_after=5, prompts=2, **recipe)
    best = whole.step_ranking
    continued = run(Redness(), name="cut", resume="cut", prompts=2, **recipe)
    assert continued.step_ranking.judged == best.judged and continued.step_ranking.step == best.step
    assert same(continued.tensors, whole.tensors) and continued.losses == whole.losses


def test_a_cancel_keeps_the_best_beside_the_last(run, output_folder):
    with pytest.raises(CANCEL):
        run(Script(0, 5, 3), stop_after=5)
    kept = sorted(p.stem for p in (output_folder / "loras").iterdir())
    assert kept == ["hand_interrupted", "hand_interrupted_best"]


def test_another_critic_starts_anew_and_says_so(run):
    with pytest.raises(CANCEL):
        run(Script(0, 5, 3), stop_after=5)
    trained = run(Redness(), resume="hand")
    assert [j.step for j in trained.step_ranking.judged] == [6, 8]
    assert any("criticised by script before and is by redness now" in note for note in trained.notes)


@pytest.mark.parametrize("scores, strength", [([1, 2, 3, 4], 1.0), ([0, 0, 0, 100], 4.0), ([5, 5], 2.0), ([3], 1.0),
                                              ([-1e9, 0, 1, 2, 1e9], 4.0)])
def test_weights_are_bounded_rise_with_the_score_and_have_mean_one(pack, scores, strength):
    weights = pack.nodes.training.monitoring.sample_critic.weights(scores, strength)
    assert sum(weights) / len(weights) == pytest.approx(1, abs=1e-9)
    assert all(0.25 <= w <= 4 for w in weights) and weights == sorted(weights)


def test_one_standard_deviation_counts_e_to_the_strength(pack):
    low, high = pack.nodes.training.monitoring.sample_critic.weights([10.0, 20.0], 0.5)
    assert high / low == pytest.approx(2.718281828, rel=1e-6)


def test_pictures_that_the_critic_likes_count_more(run, report):
    trained = run(Redness(), weighting=1.0)
    assert sum(w.weight for w in trained.picture_weights) == pytest.approx(4)
    ordered = sorted(trained.picture_weights, key=lambda w: w.score)
    assert [w.weight for w in ordered] == sorted(w.weight for w in ordered) and ordered[0].weight < ordered[-1].weight
    assert trained.losses != run(None, name="plain").losses
    first = trained.picture_weights[0]
    assert f"| picture 1 | {first.score:.4g} | {first.weight:.2f} |" in report(trained)


def test_what_keeps_the_model_is_not_weighed(pack):
    t = pack.nodes.training
    dataset = t.data.concept.preserving(
        t.data.dataset.from_core_nodes([{"samples": latents(2)}], [caption(0)]), caption(1), 0.5)
    picture_weights, told = t.monitoring.sample_critic.weigh(dataset, Redness(), 1.0, tiny_sd3().model)
    assert [s.weight for s in picture_weights.samples[2:]] == [0.5, 0.5] and len(told) == 2


@pytest.mark.parametrize("critic, weighting, prompts, sentence", [
    (None, 1.0, 1, "critic_weighting: expected a critic, from Training Critic"),
    (Redness(), 0.0, 0, "critic: expected sample_prompts, whose pictures are judged, or a critic_weighting above 0"),
])
def test_half_of_what_is_needed_is_refused(run, critic, weighting, prompts, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(critic, weighting=weighting, prompts=prompts)


def test_a_model_without_a_preview_needs_a_vae(pack):
    model = tiny_sd3()
    model.model.latent_format.latent_rgb_factors = None
    with pytest.raises(ValueError, match="vae: expected one with a critic, because no preview of SD3's latents"):
        pack.nodes.training.monitoring.sample_critic.check(Redness(), caption(1), 0.0, model.model, None)
