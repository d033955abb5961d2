"""What a model asks to change is read from whatever it wrote, and done in steps."""
import json

import pytest


@pytest.fixture(scope="module")
def revision(studio):
    return studio("prompt_critic.revision")


@pytest.fixture(scope="module")
def space(revision):
    return revision.parameters("cfg 1 to 12; steps 8 to 40")


ANSWER = {"prompt": "a red circle on a white background", "negative": "noise", "cfg": 6, "steps": 24, "why": "lighter"}


@pytest.mark.parametrize("text", [
    json.dumps(ANSWER),
    f"Here you are:\n```json\n{json.dumps(ANSWER, indent=1)}\n```\nGood luck!",
    "The picture is dark {as you see}. " + json.dumps(ANSWER),
    str(ANSWER),  # a Python literal, single quotes
    json.dumps(ANSWER).replace("}", ",}").replace('"prompt"', '“prompt”'),
    json.dumps({"revision": ANSWER}),
    json.dumps({"Revised Prompt": ANSWER["prompt"], "negative_prompt": "noise", "CFG scale": "6.0 (up)",
                "sampling_steps": "24", "reason": "lighter"}),
    "**Prompt:** a red circle on a white background\n- Negative prompt: noise\n* cfg = 6\nSteps: 24\nWhy: lighter",
    "Prompt:\n  \"a red circle on a white background\"\nNegative: noise\nCFG: 6\nsteps: 24\nwhy: lighter",
])
def test_an_answer_is_read_in_whatever_form_it_comes(revision, space, text):
    assert revision.read(text, space)[:4] == ("a red circle on a white background", "noise",
                                              {"cfg": 6.0, "steps": 24}, "lighter")


@pytest.mark.parametrize("text", ["", "The picture is dark.", "{", "{" * 5000, '{"prompt": "..."}', "[1, 2]",
                                  "```json\n```", '{"prompt": 7, "cfg": true}', '{"cfg": NaN}', "\x00 prompt",
                                  '{"style": "oil"}',
                                  "a" * 100_000])
def test_what_holds_no_revision_is_none(revision, space, text):
    assert revision.read(text, space) is None


def test_an_answer_that_was_cut_off_gives_what_is_there(revision, space):
    asked = revision.read('```json\n{\n "prompt": "a cat at noon",\n "cfg": 6,\n "why": "it is', space)
    assert asked.prompt == "a cat at noon" and asked.values == {"cfg": 6}


@pytest.mark.parametrize("number", ["1" + "0" * 320, '"1' + "0" * 320 + '"', "1e999"])
def test_a_number_without_end_is_ignored(revision, space, number):
    found = revision.read(f'{{"prompt": "a cat", "steps": {number}}}', space)
    assert (found.prompt, found.values, found.ignored) == ("a cat", {}, ("steps",))


def test_what_cannot_be_done_is_named(revision, space):
    asked = revision.read('{"prompt": "a cat", "sampler": "dpm", "negative": "x", "cfg": 99}', space, negative=False)
    assert asked.ignored == ("sampler", "negative") and asked.negative is None
    assert asked.values == {"cfg": 12}  # held in its range


def test_numbers_go_seven_tenths_of_the_way_and_half_of_that_after_a_rejection(revision, space):
    candidate = revision.PromptCandidate("a cat", "", {"cfg": 4.0, "steps": 20})
    asked = revision.Revision(None, None, {"cfg": 8.0, "steps": 40})
    assert revision.apply_revision(candidate, asked, space).values == {"cfg": pytest.approx(6.8), "steps": 34}
    assert revision.apply_revision(candidate, asked, space, 0.5).values == {"cfg": pytest.approx(5.4), "steps": 27}
    assert revision.apply_revision(candidate, asked, space).prompt == "a cat"


def test_half_a_revision_of_words_is_the_first_half_of_its_edits(revision):
    old, new = "a red circle at night in flat style", "a blue circle at dawn in shaded style"
    assert revision.apply_edits(old, new, 1) == new
    assert revision.apply_edits(old, new, 0.5) == "a blue circle at dawn in flat style"
    assert revision.apply_edits(old, new, 0.1) == "a blue circle at night in flat style"
    assert revision.apply_edits("", "noise", 0.5) == "noise"


@pytest.mark.parametrize("text, names", [("", []), ("cfg 1 to 12", ["cfg"]),
                                         ("steps=8..40\ncfg: 2-9.5", ["steps", "cfg"])])
def test_ranges_are_read(revision, text, names):
    assert list(revision.parameters(text)) == names


@pytest.mark.parametrize("text, words", [("cfg", 'got "cfg"'), ("denoise 0 to 1", 'got "denoise 0 to 1"'),
                                         ("cfg 9 to 2", "rise between 0 and 100"), ("steps 0 to 9", "between 1 and")])
def test_ranges_that_cannot_be_read_get_one_sentence(revision, text, words):
    with pytest.raises(ValueError, match=f"^ranges: expected .*{words}"):
        revision.parameters(text)


@pytest.mark.parametrize("text", ["cfg" + " " * 9000 + "1" * 9000 + "x", "c" * 19000, "cfg 1 to " + "9" * 19000])
def test_ranges_made_to_be_slow_are_refused_at_once_with_a_short_quote(revision, text):
    with pytest.raises(ValueError, match="^ranges: expected ") as error:
        revision.parameters(text)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("text", ["\n" * 16000, "```" + " " * 15000, "{" * 16000, "{" * 8000 + "}" * 8000,
                                  '[{"a":' * 2600, "prompt" + "-" * 15000, ", " * 8000, "cfg: " + "1" * 15000 + "x"])
def test_an_answer_made_to_be_slow_is_no_revision(revision, text):
    assert revision.read(text, revision.parameters("cfg 1 to 12")) in (None, revision.Revision(None, None, {"cfg": 12}))
