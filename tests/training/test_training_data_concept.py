"""Sliders between prompts, and prompts that stay as they are: what a LoRA does to the host's own predictions."""
from pathlib import Path

import comfy.model_management
import folder_paths
import pytest
import torch
from real_host import GraphError
from training_graphs import graph
from training_models import caption, latents, tiny_sd3

SUBJECT, MORE, LESS, OTHER = (caption(number) for number in (0, 1, 2, 3))

pytestmark = pytest.mark.usefixtures("own_output_folder")


def predicted(model, prompt):
    """The denoised latents of fixed noisy ones, as sampling computes them."""
    comfy.model_management.load_models_gpu([model])
    with torch.inference_mode():
        (features, options), = prompt
        return model.model.apply_model(latents(2, seed=40), torch.tensor([0.5, 0.8]),
                                       c_crossattn=features.repeat(2, 1, 1),
                                       y=options["pooled_output"].repeat(2, 1)).clone()


def trained(host, feed, model, steps, **concept):
    """LoRA name from the graph: pictures captioned SUBJECT, through Concept from Prompts where asked for."""
    prompt = graph(feed, model, captions=[SUBJECT], steps=steps, rank=4, learning_rate=2e-2)
    if concept:
        links = {name: [f"c_{name}", 0] for name, value in concept.items() if isinstance(value, list)}
        prompt |= {f"c_{name}": feed("CONDITIONING", [concept[name]]) for name in links}
        prompt["concept"] = {"class_type": "BottegaConcept", "inputs": {
            "dataset": ["set", 0], "strength": 3.0, "keep_weight": 1.0, **concept, **links}}
        prompt["train"]["inputs"]["dataset"] = ["concept", 0]
    folder_paths.get_filename_list("loras")
    shown, _ = host.run(prompt)
    return shown["train"]["text"][0]


def with_lora(host, model, strength):
    name = sorted((Path(folder_paths.get_output_directory()) / "loras").glob("*"))[-1].name
    return host.nodes.NODE_CLASS_MAPPINGS["LoraLoader"]().load_lora(model, None, name, strength, 0.0)[0]


def test_a_slider_goes_towards_one_prompt_at_1_and_away_from_it_at_minus_1(host, feed):
    model = tiny_sd3()
    base, more, less = (predicted(model, prompt) for prompt in (SUBJECT, MORE, LESS))
    report = trained(host, feed, model, 60, more=MORE, less=LESS, strength=2.0)
    assert "A slider of strength 2" in report
    goal = 2.0 * (more - less)
    moved = {strength: predicted(with_lora(host, model, strength), SUBJECT) - base for strength in (1.0, -1.0)}
    along = {strength: torch.cosine_similarity(way.flatten(), goal.flatten(), 0) for strength, way in moved.items()}
    assert (moved[1.0] - goal).norm() < 0.75 * goal.norm()  # on noise it has not seen: .67, and .75 and -.70 along
    assert along[1.0] > 0.6 and along[-1.0] < -0.5


def test_a_kept_prompt_changes_less_while_the_pictures_are_learnt(host, feed):
    change = {}
    for kept in (False, True):
        model = tiny_sd3()
        before = {name: predicted(model, prompt) for name, prompt in (("other", OTHER), ("subject", SUBJECT))}
        report = trained(host, feed, model, 40, **({"keep": OTHER, "keep_weight": 3.0} if kept else {}))
        assert ("1 prompt kept as before, on 4 pictures." in report) == kept
        after = with_lora(host, model, 1.0)
        change[kept] = {name: (predicted(after, prompt) - before[name]).norm().item()
                        for name, prompt in (("other", OTHER), ("subject", SUBJECT))}
    assert change[True]["other"] < 0.4 * change[False]["other"]
    assert change[True]["subject"] > 0.5 * change[False]["subject"]


def test_the_loss_of_a_lesson_is_the_distance_to_what_the_teacher_says(pack):
    t, model = pack.nodes.training, tiny_sd3()
    comfy.model_management.load_models_gpu([model])
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(2)}], [SUBJECT])
    taught = t.data.concept.preserving(t.data.concept.slider(dataset, MORE, None, 2.0), OTHER, 0.5)
    assert [len(sample.lesson) for sample in taught.samples] == [3, 3, 1, 1]
    objective = t.step.loss.Objective(model.get_model_object("model_sampling"))
    denoiser = t.step.denoiser.Denoiser(model, 1.0)
    batch = [denoiser.encode(sample) for sample in taught.samples]
    noise, sigma = [torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1))] * 4, torch.full((4,), 0.5)
    with torch.no_grad():
        losses = t.step.gradient.sample_losses(denoiser, objective, batch, noise, sigma, denoiser)
        noisy = objective.add_noise(torch.cat([s.latent for s in batch[:2]]), torch.cat(noise[:2]), sigma[:2])
        more, own = (denoiser(noisy, sigma[:2], [denoiser.encode(
            t.data.dataset.Sample(latents(1), *prompt[0])).conds] * 2) for prompt in (MORE, SUBJECT))
    expected = objective.losses(own, own + 2.0 * (more - own), sigma[:2])
    assert torch.allclose(losses[:2], expected, rtol=1e-4)
    assert torch.allclose(losses[2:], torch.zeros(2), atol=1e-8)  # without adapters the model is its own teacher


def test_a_kept_prompt_is_never_swapped_for_the_empty_one(pack):
    t, model = pack.nodes.training, tiny_sd3()
    comfy.model_management.load_models_gpu([model])
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(1)}], [SUBJECT])._replace(
        empty=tuple(MORE[0]), caption_dropout=0.5)
    session = t.step.session.Session(model, t.data.concept.preserving(dataset, OTHER, 1.0),
                                     t.plan.settings.Settings(1, 1, 1e-3, 2, 0), None)
    session.prepare(False)
    own, kept = session.samples
    assert all(session._dressed(kept).conds is kept.conds for _ in range(400))
    assert any(session._dressed(own).conds is own.empty for _ in range(40))


@pytest.mark.parametrize("concept, sentence", [
    ({"strength": 2.0}, "more, less, keep: expected at least one of them, got none."),
    ({"more": MORE + LESS}, "more: expected one prompt, got 2."),
])
def test_prompts_that_say_nothing_are_refused(host, feed, concept, sentence):
    with pytest.raises(GraphError) as error:
        trained(host, feed, tiny_sd3(), 2, **concept)
    assert sentence in error.value.args[0]["exception_message"]


@pytest.mark.parametrize("node, numbers, sentence", [
    ("BottegaConcept", {"dataset": None, "strength": float("nan"), "keep_weight": 1.0, "more": MORE},
     "strength: expected -20 to 20, got nan."),
    ("BottegaConcept", {"dataset": None, "strength": 3.0, "keep_weight": -1.0, "keep": OTHER},
     "keep_weight: expected 0 to 100, got -1."),
    ("BottegaTrainingSet", {"vae": [None], "clip": [None], "repeats": [0]}, "repeats: expected 1 to 1000, got 0."),
])
def test_numbers_over_a_link_are_held_to_the_ranges_of_the_nodes_that_make_a_set(host, node, numbers, sentence):
    with pytest.raises(ValueError) as error:
        host.nodes.NODE_CLASS_MAPPINGS[node].execute(**numbers)
    assert str(error.value) == sentence


def test_a_slider_on_a_set_that_lies_on_the_disk_reads_no_more_of_it_than_one(pack):
    data, read = pack.nodes.training.data, []
    whole = data.dataset.from_core_nodes([{"samples": latents(4)}], [SUBJECT])
    lazy = data.dataset.LazySamples(4, lambda number: read.append(number) or whole.samples[number],
                                    lambda number: data.dataset.outline(whole.samples[number]))
    data.concept.slider(whole._replace(samples=lazy), MORE, LESS, 1.0)
    assert read == [0]
