"""Prompt Critic: what helps is kept, what harms is not, and a model that writes nonsense changes nothing."""
import json
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from real_host import GraphError
from studio_graphs import loaders, node

DARK, LIGHT = "a red circle at night, flat style", "a red circle on a white background, flat style"
HARM = "a red star on a navy background, outlined style"
RUBRIC = "*=0; mean L channel=high"


@pytest.fixture(scope="module")
def bench(loaded, studio, parse, paintings, measured_small):
    """Runs the loop on the starter with answers that are written beforehand."""
    import nodes
    words, loop, revision = (studio(f"prompt_critic.{name}")
                             for name in ("prompt_critic_report", "rewriting", "revision"))
    space = revision.parameters("cfg 1 to 12")
    latent, = nodes.EmptyLatentImage().generate(128, 128, 1)
    shots = {}

    def run(answers, prompt=DARK, rounds=9, done=lambda picture: None, rubric=RUBRIC):
        asked, questions, script = parse(rubric), [], iter(answers)
        sampler = studio("prompt_critic.sampled_prompts").PromptSampler(
            loaded.model, loaded.clip, studio("sampling").Sampling([], [], latent, loaded.vae, 4, 3.0, "euler",
                                                                   "simple"),
            None, 7, 2, asked, paintings, done)

        def draw(candidate, fresh):
            key = candidate.prompt, candidate.negative, *candidate.values.values(), fresh, rubric
            if key not in shots or done.__name__ != "<lambda>":
                shots[key] = sampler.draw(candidate, fresh)
            return shots[key]

        def write(picture, instruction):
            assert picture.shape == (1, 128, 128, 3)
            questions.append(instruction)
            return next(script)

        tools = loop.PromptTools(draw, write, lambda search: words.instruction(search, space, asked))
        start = revision.PromptCandidate(prompt, "", {"cfg": 3.0, "steps": 4})
        with torch.inference_mode():
            search = loop.rewrite(start, tools, loop.SearchRules(rounds, 1.0, space))
        return SimpleNamespace(search=search, questions=questions,
                               report=words.report(search, asked, paintings),
                               sheet=words.contact_sheet(search), parameters=words.parameters(search.best[0]))
    return run


def answer(**fields):
    return f"Sure.\n```json\n{json.dumps(fields)}\n```"


def test_a_revision_that_helps_is_accepted_and_holds_on_other_seeds(bench):
    done = bench([answer(prompt=LIGHT, why="a lighter ground")], rounds=1)
    candidate, judged = done.search.best
    assert candidate.prompt == LIGHT and judged.score > done.search.start[1].score + 20
    whole, small = (1, 128, 128, 3), (1, 160, 160, 3)   # of what is not the best a thumbnail alone is held
    assert [picture.shape for picture in judged.pictures] == [whole] * 2
    held = [done.search.start[1], *done.search.fresh, *(trial.judged for trial in done.search.rounds[0].trials)]
    assert [[picture.shape for picture in each.pictures] for each in held] == [[small]] * 4
    before, after = done.search.fresh
    assert after.score > before.score + 20
    assert "| accepted |" in done.report and "had no part in the search" in done.report
    assert done.report.startswith("**Score ") and "a lighter ground" in done.report


def test_a_revision_that_harms_is_tried_halved_and_then_left(bench):
    done = bench([answer(prompt=HARM), "nothing to say"], prompt=LIGHT)
    assert done.search.best == done.search.start and done.search.fresh is None
    assert [(trial.candidate.prompt, trial.share, trial.accepted) for trial in done.search.rounds[0].trials] == [
        (HARM, 1.0, False), ("a red star on a navy background, flat style", 0.5, False)]
    assert done.search.ended == "nothing was accepted in 2 rounds in a row"
    assert done.report.startswith("**Nothing accepted in 2 rounds**") and "Rejected: back to the best." in done.report
    assert "Unreadable" in done.report and "> nothing to say" in done.report


def test_the_model_is_told_what_was_measured_and_what_failed(bench):
    done = bench([answer(prompt=HARM), "?"], prompt=LIGHT)
    first, second = done.questions
    assert f"Prompt: {LIGHT}" in first and "Measured in its pixels" in first and "mean L channel" in first
    assert "cfg: 3 (may lie between 1 and 12" in first and "Tried before" not in first
    assert f"Tried before, and not better:\n- {HARM} [cfg 3, steps 4]: -" in second


def test_a_prompt_of_several_lines_is_one_row_of_the_table_and_quoted_whole(bench):
    done = bench([answer(prompt=LIGHT.replace(", ", "\nBREAK\n"))], rounds=1)
    row, = (line for line in done.report.splitlines() if line.startswith("| in full "))
    assert "white background BREAK flat style" in row and row.count("|") == 6
    best = done.search.best[0].prompt.splitlines()
    assert all(f"> {line}\n" in done.report.partition("### Round 1")[0] for line in best)


def test_a_critic_is_introduced_with_the_thesis_of_the_book(bench):
    done = bench(["?", "?"], rubric="@Dow")
    assert "You judge as Arthur Wesley Dow does in Composition: " in done.questions[0]
    assert "Your last answer could not be read" in done.questions[1]


def test_what_was_tried_is_not_drawn_again(bench):
    done = bench([answer(prompt=HARM)] * 2, prompt=LIGHT)
    assert [len(each.trials) for each in done.search.rounds] == [2, 0]
    assert "asks for nothing that was not there or tried before" in done.report


def test_the_best_goes_on_from_what_was_accepted(bench):
    done = bench([answer(prompt=LIGHT), answer(cfg=7), "?"], rounds=3)
    tried = done.search.rounds[1].trials[0]
    assert tried.candidate.prompt == LIGHT and tried.candidate.values["cfg"] == pytest.approx(3 + 0.7 * 4)
    assert json.loads(done.parameters)["negative"] == "" and done.search.ended == "all 3 rounds are done"
    assert done.sheet.shape[2] > 3 * 160


def test_a_cancel_keeps_the_best_so_far(bench):
    import comfy.model_management
    seen = []

    def cancelled(picture):
        seen.append(picture)
        if len(seen) == 5:
            raise comfy.model_management.InterruptProcessingException()

    done = bench([answer(prompt=LIGHT), answer(cfg=7)], done=cancelled)
    assert done.search.best[0].prompt == LIGHT and done.search.ended.startswith("cancelled")
    assert "Ended: cancelled" in done.report


def test_full_memory_keeps_the_best_so_far(bench):
    seen = []

    def full(picture):
        seen.append(picture)
        if len(seen) == 5:
            raise MemoryError("no room")

    done = bench([answer(prompt=LIGHT), answer(cfg=7)], done=full)
    assert done.search.best[0].prompt == LIGHT and done.search.cut
    assert "Ended: memory was full (no room); the best so far stands." in done.report


def test_a_cancel_before_the_start_is_drawn_is_a_cancel(bench):
    import comfy.model_management

    def cancelled(picture):
        raise comfy.model_management.InterruptProcessingException()

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        bench([], done=cancelled)


@pytest.mark.parametrize("before, after, convinces", [
    ([10, 20, 30], [15, 25, 36], True),       # the same rise on every seed
    ([10, 20, 30], [40, 10, 20], False),      # one seed alone rose
    ([10, 20, 30], [10.5, 20.5, 30.5], False),  # surely more, and less than the margin
    ([10], [12], True), ([10], [10.5], False),
])
def test_a_rise_must_pass_the_margin_and_the_noise(studio, before, after, convinces):
    loop = studio("prompt_critic.rewriting")

    def judged(scores):
        return loop.JudgedPictures([], [SimpleNamespace(score=score) for score in scores])

    assert loop.score_gain(judged(before), judged(after)).convinces(1.0) is convinces


@pytest.fixture
def prompt(host, starter, monkeypatch):
    """The node in a graph: the starter draws, a tiny Qwen3-VL of random weights looks and writes."""
    from vision_models import qwen3vl

    with torch.inference_mode():
        tiny = qwen3vl(monkeypatch)

    class Tiny:
        RETURN_TYPES, FUNCTION, CATEGORY = ("CLIP",), "give", "tests"

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {}}

        def give(self):
            return (tiny,)

    monkeypatch.setitem(host.nodes.NODE_CLASS_MAPPINGS, "TinyVision", Tiny)

    return loaders(starter) | {
        "vision": node("TinyVision"),
        "empty": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "critic": node("BottegaRewrite", model=["model", 0], clip=["clip", 0], vision=["vision", 0], prompt=DARK,
                       negative_prompt="", latent_image=["empty", 0], vae=["vae", 0], seed=5, sampling_steps=2, cfg=3.0,
                       sampler_name="euler", scheduler="simple", seeds=2, rounds=3, rubric=RUBRIC, max_length=24),
        "words": node("PreviewAny", source=["critic", 0]), "score": node("PreviewAny", source=["critic", 2]),
        "numbers": node("PreviewAny", source=["critic", 4]), "best": node("PreviewImage", images=["critic", 1]),
    }


def test_a_cancel_while_the_model_writes_gives_the_start_and_the_next_run_is_whole(host, prompt, measured_small,
                                                                                   cancelling):
    prompt["critic"]["inputs"]["seed"] = 11     # a graph that no other test has run
    with cancelling("critic", 1, most=24):
        outputs, _ = host.run(deepcopy(prompt))
    assert "Ended: cancelled; the best so far stands." in outputs["critic"]["text"][0]
    assert outputs["words"]["text"] == [DARK] and len(outputs["best"]["images"]) == 2
    outputs, ran = host.run(deepcopy(prompt))
    assert "critic" in ran and "cancelled" not in outputs["critic"]["text"][0]


def test_a_model_that_writes_nonsense_changes_nothing(host, prompt, measured_small):
    outputs, _ = host.run(deepcopy(prompt))
    report = outputs["critic"]["text"][0]
    assert report.startswith("**Nothing accepted in 2 rounds**") and report.count("Unreadable") == 2
    assert outputs["words"]["text"] == [DARK] and len(outputs["best"]["images"]) == 2
    assert json.loads(outputs["numbers"]["text"][0]) == {"cfg": 3.0, "steps": 2, "negative": ""}
    assert f"{float(outputs['score']['text'][0]):.1f}" in report


@pytest.mark.parametrize("change, words", [
    ({"prompt": " "}, "prompt: expected some words to begin with"),
    ({"vision": ["clip", 0]}, "expected a text encoder that can see and write"),
    ({"rubric": "@Wölfflin"}, "expected something that can count"),
    ({"ranges": "denoise 0 to 1"}, "ranges: expected cfg and steps with two ends"),
])
def test_what_cannot_be_done_gets_one_sentence(host, prompt, change, words):
    prompt["critic"]["inputs"].update(change)
    with pytest.raises(GraphError, match=words):
        host.run(prompt)
