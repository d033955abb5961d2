"""The vision path in the host's real classes, with tiny random weights."""
import json

import pytest
import torch
from vision_models import FAMILIES, gemma3, qwen3vl


@pytest.fixture(scope="module")
def vision(pack):
    return pack.nodes.critique.vision


@pytest.fixture(scope="module")
def seeing(pack):
    return pack.nodes.shared.vision_model


@pytest.fixture(params=FAMILIES.values(), ids=list(FAMILIES))
def clip(request, host, monkeypatch):
    with torch.inference_mode():
        yield request.param(monkeypatch)


def pictures(count, size=96):
    return torch.rand(count, size, size + 32, 3, generator=torch.Generator().manual_seed(1))


def test_the_picture_is_in_the_prompt(seeing, vision, clip):
    eye = seeing
    assert eye.pictures_in(eye.Eye(clip).tokens(pictures(1), "what is it")) == 1


def test_the_read_out_is_what_the_first_greedy_word_is_chosen_from(seeing, vision, clip):
    eye = seeing.Eye(clip)
    logits = eye.next_logits(eye.tokens(pictures(1), "answer with one digit"))
    greedy = clip.generate(eye.tokens(pictures(1), "answer with one digit"), do_sample=False, max_length=1)
    assert logits.ndim == 1 and logits.argmax().item() == greedy[0]


def test_another_picture_gives_another_reading_and_the_same_the_same(seeing, vision, clip):
    eye, readout = seeing.Eye(clip), vision.readout
    ids = readout.digit_ids(eye)
    first, again, other = (readout.read(eye.next_logits(eye.tokens(image, "answer")), ids)
                           for image in (pictures(1), pictures(1), 1 - pictures(1).square()))
    assert first == again and first.mean != other.mean


def test_reading_changes_nothing_in_the_host(seeing, vision, clip):
    eye = seeing.Eye(clip)
    before = clip.generate(eye.tokens(pictures(1), "look"), do_sample=False, max_length=4)
    names = set(vars(clip.cond_stage_model)), type(clip.cond_stage_model).generate
    eye.next_logits(eye.tokens(pictures(1), "answer"))
    assert names == (set(vars(clip.cond_stage_model)), type(clip.cond_stage_model).generate)
    assert clip.generate(eye.tokens(pictures(1), "look"), do_sample=False, max_length=4) == before


def test_a_batch_gives_one_text_for_each_picture(vision, critique, clip):
    node = critique.nodes.DescribeImage
    texts = node.execute(clip, pictures(3, 64), "look at this picture", 3).result[0]
    assert len(texts) == 3 and all(isinstance(text, str) for text in texts)


def test_the_critic_asks_every_concept_and_says_where_it_disagrees(vision, critique, clip):
    data = json.dumps([{"measures": {"DCM distance": 60.0, "Balance": 90.0, "RMS contrast": 40.0}}] * 2)
    score, axes, report = critique.nodes.VisionCritic.execute(clip, pictures(2, 64), "Rudolf Arnheim", data).result
    first, second = json.loads(axes)
    assert len(first["axes"]) == len(second["axes"]) >= 4
    said = [axis["said"] for axis in first["axes"] if axis["kind"] == "unipolar"]
    assert first["score"] == pytest.approx(sum(said) / len(said), abs=1e-3)
    assert score == pytest.approx((first["score"] + second["score"]) / 2, abs=1e-3)
    balance = next(axis for axis in first["axes"] if axis["name"] == "Balance")
    assert balance["measured"] is not None and "not measured" in report and "# Rudolf Arnheim through" in report


def test_positions_between_poles_never_make_a_total(vision, critique, host, monkeypatch):
    with torch.inference_mode():
        score, axes, report = critique.nodes.VisionCritic.execute(
            qwen3vl(monkeypatch), pictures(1, 64), "Heinrich Wölfflin").result
    entry, = json.loads(axes)
    assert score == 0 and entry["score"] is None and "positions only" in report
    assert all(-1 <= axis["said"] <= 1 for axis in entry["axes"])


def test_an_encoder_without_eyes_is_refused_by_name(vision, critique, host, monkeypatch):
    with torch.inference_mode():
        blind = gemma3(monkeypatch, vision=False)
        with pytest.raises(ValueError, match="got gemma3_4b, which writes but has no eyes"):
            critique.nodes.DescribeImage.execute(blind, pictures(1), "look", 2)


def test_an_encoder_that_cannot_write_is_refused_by_name(seeing, vision, host):
    from comfy.sd1_clip import SD1ClipModel, SD1Tokenizer
    from vision_models import clip_of
    with pytest.raises(ValueError, match="got l, which only encodes text"):
        seeing.Eye(clip_of(SD1ClipModel, SD1Tokenizer))


def test_the_expectation_of_digits_is_what_it_says(vision):
    readout = vision.readout
    logits = torch.full((50,), -40.0)
    logits[10:20] = torch.tensor([0.0] * 10)
    reading = readout.read(logits, list(range(10, 20)))
    assert reading.mean == pytest.approx(4.5) and reading.points == pytest.approx(50)
    assert reading.place == pytest.approx(0) and reading.spread == pytest.approx(8.25 ** 0.5)
    logits[3] = 3.0  # a word that is no digit
    assert readout.read(logits, list(range(10, 20))).mass == pytest.approx(10 / (10 + 20.0855), rel=1e-4)
    assert not readout.read(logits, list(range(10, 20))).is_answer


@pytest.mark.parametrize("data, words", [("nonsense", "expected the data of Art Critique"), ("{}", "1 pictures|list"),
                                         ('[{"measures": {}}, {"measures": {}}]', "measures of 1 pictures.*got 2")])
def test_data_that_do_not_fit_are_refused(vision, pack, data, words):
    reference = pack.nodes.critique.reference.distributions.paintings()
    with pytest.raises(ValueError, match=words):
        vision.vision_critic.measured_percentiles(data, 1, reference)


@pytest.mark.parametrize("own", [False, True])
def test_beside_the_model_stands_what_art_critique_measured(vision, critique, pack, own):
    """Of a small picture, and among the pictures that it was compared with."""
    distributions = pack.nodes.critique.reference.distributions
    small, paintings = torch.rand(1, 96, 128, 3, generator=torch.Generator().manual_seed(1)), distributions.paintings()
    request = critique.examination.default_request()._replace(drawn=False)
    if own:
        columns = list(paintings.quantiles)
        rows = torch.tensor([paintings.quantiles[name] for name in columns], dtype=torch.float64).T ** 1.1
        rows = torch.cat((rows, torch.full((101, 1), 1024.0)), 1)
        mine = distributions.fit("mine", "101 of mine", [*columns, distributions.OWN_SIDE], rows)
        request = request._replace(reference=mine)
    card = critique.rubric.critic_cards.card("Adolf Hildebrand")
    found = critique.examination.criticise(small, request._replace(rubric=card.rubric)).critique
    data = json.dumps([critique.report.critique_report.data(found, request.reference)])
    known, = vision.vision_critic.measured_percentiles(data, 1, paintings)
    told = {verdict.criterion.name: verdict.points for verdict in found.critique.counted}
    assert "Distant picture" in told and "Slope Redies" not in known
    assert {concept.name: critique.score.judge.points(concept, known) for concept in card.concepts
            if concept.name in told} == pytest.approx(told)


def test_thoughts_that_max_length_cut_off_are_no_caption(vision, critique, clip, monkeypatch):
    monkeypatch.setattr(clip, "decode", lambda ids: "<think>\nA harbour, or is it")
    output = critique.nodes.DescribeImage.execute(clip, pictures(2, 64), "look", 2)
    assert output.result[0] == ["", ""]
    assert "Picture 2: no text, the model was still thinking when max_length, 2 tokens" in output.ui.value


def test_thoughts_are_left_out(seeing, vision):
    thought = seeing.without_thoughts("<think>\nhm\n</think>\n\nA quiet harbour.", 99)
    assert thought.text == "A quiet harbour." and thought.missing == ""
    assert seeing.without_thoughts(" ", 99).missing == "the model wrote nothing"


def test_a_host_that_generates_words_otherwise_is_told_by_its_version(seeing, vision, host, monkeypatch):
    with torch.inference_mode():
        clip = qwen3vl(monkeypatch)
        model = type(clip.cond_stage_model.qwen3vl_4b)
        monkeypatch.setattr(model, "generate", lambda self, tokens, other_way: [0])  # as a newer host might
        eye = seeing.Eye(clip)
        with pytest.raises(RuntimeError, match=r"ComfyUI 0\.\d+.*answers cannot be read from their probabilities"):
            eye.next_logits(eye.tokens(pictures(1), "answer"))
