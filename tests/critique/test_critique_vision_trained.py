"""The small vision model that the benchmark trains: the host's own path, its cut vocabulary, and how it is marked."""
import importlib
import random
import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="module")
def bench(host):
    """The modules of the benchmark by name."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
    names = ("trained_vision", "vision_training", "vision_lessons", "vision_examination")
    yield {name: importlib.import_module(name) for name in names}
    sys.path.pop()


@pytest.fixture(scope="module")
def student(bench):
    """A model that learnt for a few steps, the examples of its only lesson, and the loss before and after."""
    tv, vl = bench["trained_vision"], bench["vision_lessons"]
    rng = random.Random(0)
    examples = [each for drawn in tv.pool(4, rng) for each in vl.asked(rng, *drawn)]
    around = "<|im_start|>user\n<|vision_start|><|vision_end|>\n<|im_start|>assistant\n<think>\n\n</think>"
    words = tv.words_of([text for each in examples for text in (each.question, each.answer)] + [around])
    clip = tv.build(words, 0)
    with torch.inference_mode(False), torch.enable_grad():
        learning = bench["vision_training"].Student(clip, 0)
        before = sum(learning.loss(examples)).item()
        for _ in range(4):
            learning.learn(examples, 0.0)
        after = sum(learning.loss(examples)).item()
        learning.net.requires_grad_(False)
    return clip, examples, before, after


def test_a_few_steps_lower_the_loss(student):
    _, _, before, after = student
    assert after < before - 0.5


def test_the_tower_in_training_sees_what_the_host_s_sees(student, bench):
    clip, examples, *_ = student
    from comfy.text_encoders.qwen_vl import process_qwen2vl_images
    tv, vt = bench["trained_vision"], bench["vision_training"]
    visual, drawn = tv.transformer(clip).visual, torch.stack([each.picture for each in examples[::2]])
    merged, [tapped] = vt.look(visual, vt.patches_of(drawn))
    for number, picture in enumerate(drawn):
        expected, [deeper] = visual(*process_qwen2vl_images(tv.seen(picture), patch_size=16, image_mean=[0.5] * 3,
                                                            image_std=[0.5] * 3))
        torch.testing.assert_close(merged[number], expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(tapped[number], deeper, atol=1e-5, rtol=1e-5)


def test_what_is_asked_of_one_picture_does_not_change_the_loss_of_another(student, bench):
    clip, examples, *_ = student
    learning = bench["vision_training"].Student(clip, 0)
    learning.net.requires_grad_(False)
    together, alone = learning.loss(examples)[0], [learning.loss([each])[0] for each in examples]
    torch.testing.assert_close(together, torch.stack(alone).mean(), atol=1e-5, rtol=1e-5)


def test_a_broken_training_goes_on_where_it_was(student, bench, tmp_path, capsys):
    _, examples, *_ = student
    vt, tv = bench["vision_training"], bench["trained_vision"]
    kept = student[0].tokenizer.qwen3vl_4b.tokenizer.kept
    steps, *_ = vt.train(tv.build(kept, 0), lambda rng: examples, 2, 9, 0, tmp_path / "held.pt", every=1)
    further, *_ = vt.train(again := tv.build(kept, 1), lambda rng: examples, 3, 9, 0, tmp_path / "held.pt", every=1)
    said = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert (steps, further, said) == (2, 3, ["1", "2", "3"])
    held = torch.load(tmp_path / "held.pt")
    torch.testing.assert_close(tv.transformer(again).state_dict(), held["average"])


def test_the_node_reads_the_model_through_the_host_s_own_generation(student, bench, pack):
    clip, examples, *_ = student
    tv = bench["trained_vision"]
    with torch.inference_mode():
        eye = pack.nodes.shared.vision_model.Eye(clip)
        tokens = eye.tokens(tv.seen(examples[0].picture), examples[0].question)
        logits = eye.next_logits(tokens)
        greedy = clip.generate(tokens, do_sample=False, max_length=1)
    assert logits.shape == (len(clip.tokenizer.qwen3vl_4b.tokenizer),) and logits.argmax().item() == greedy[0]


def test_what_the_cut_vocabulary_knows_comes_back_as_it_went_in(student, bench):
    clip, examples, *_ = student
    cut, unknown = clip.tokenizer.qwen3vl_4b.tokenizer, bench["trained_vision"].UNKNOWN
    assert cut.decode(cut(examples[0].answer)["input_ids"]) == examples[0].answer
    assert set(cut("zebra")["input_ids"]) == {unknown}


def test_the_host_keeps_its_own_configurations(student):
    from comfy.text_encoders import llama, qwen3vl
    assert qwen3vl.QWEN3VL_CONFIGS["qwen3vl_4b"] is llama.Qwen3VL_4BConfig
    assert qwen3vl.QWEN3VL_VISION["qwen3vl_4b"]["hidden_size"] == 1024


def test_a_description_is_marked_part_by_part(bench):
    facts = bench["vision_examination"].facts
    right = facts("two things: a red circle left of a blue star at night, flat style")
    assert right == {"count": "two things", "colour": ["red", "blue"], "shape": ["circle", "star"], "place": "left of",
                     "style": "flat", "ground": "at night"}
    wrong = facts("two things: a red circle above a blue heart at night, flat style")
    assert {part for part in right if right[part] != wrong[part]} == {"shape", "place"}


def test_a_description_names_the_left_or_upper_thing_first_and_either_order_is_right(bench):
    tv, vl, facts = bench["trained_vision"], bench["vision_lessons"], bench["vision_examination"].facts
    scenes = [scene for scene, _ in tv.pool(60, random.Random(4)) if len(scene.things) == 2]
    told = [vl.description(scene) for scene in scenes]
    assert {scene.prompt in text for scene, text in zip(scenes, told, strict=True)} == {True, False}
    assert not any("right of" in text or "below" in text for text in told)
    for scene, text in zip(scenes, told, strict=True):
        assert facts(text) == facts(f"two things: {scene.prompt}")
        one = next(each for each in scene.things if f"a {vl.name(each)} left of" in text or
                   f"a {vl.name(each)} above" in text)
        assert one.x + one.y == min(each.x + each.y for each in scene.things)


def test_a_mirrored_scene_has_its_words_mirrored(bench):
    tv, vl = bench["trained_vision"], bench["vision_lessons"]
    scene, picture = next(each for each in tv.pool(40, random.Random(3)) if "on the left" in each[0].prompt)
    turned, flipped = tv.mirrored(scene, picture)
    assert turned.prompt == scene.prompt.replace("left", "right") and torch.equal(flipped.flip(-1), picture)
    assert "on the right" in vl.description(turned)


def test_the_calibration_error_is_what_it_says(bench):
    error = bench["vision_examination"].calibration_error
    assert error([(0.75, True), (0.75, True), (0.75, True), (0.75, False)]) == pytest.approx(0)
    assert error([(0.95, False)] * 3) == pytest.approx(0.95) and error([(1.0, True)]) == 0


def test_position_bias_is_none_where_the_order_makes_no_difference(bench):
    exam = bench["vision_examination"]
    fair = [[exam.Answered(0.9, 0.8, True), exam.Answered(0.9, 0.8, False)]]
    first = [[exam.Answered(1.0, 1.0, True), exam.Answered(1.0, 0.0, False)]]
    assert exam.position_bias(fair) == pytest.approx(0) and exam.position_bias(first) == pytest.approx(1)
