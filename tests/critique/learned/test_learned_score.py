"""Learned Score: the head against its own published code, its files, its place in a rubric."""
import json

import pytest
import torch
from torch import nn


class Improved(nn.Module):
    """LAION's improved aesthetic predictor as its repository defines it; `relu` is its other published form."""

    def __init__(self, width, relu=False):
        super().__init__()
        def between(share):
            return [nn.ReLU(), nn.Dropout(share)] if relu else [nn.Dropout(share)]

        self.layers = nn.Sequential(nn.Linear(width, 1024), *between(0.2), nn.Linear(1024, 128), *between(0.2),
                                    nn.Linear(128, 64), *between(0.1), nn.Linear(64, 16), *[nn.ReLU()] * relu,
                                    nn.Linear(16, 1))

    def forward(self, embedding):
        return self.layers(embedding / embedding.norm(dim=-1, keepdim=True))[:, 0]


class First(nn.Linear):
    def __init__(self, width):
        super().__init__(width, 1)

    def forward(self, embedding):
        return super().forward(embedding / embedding.norm(dim=-1, keepdim=True))[:, 0]


class Simulacra(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 1)

    def forward(self, embedding):
        return self.linear(nn.functional.normalize(embedding, dim=-1) * embedding.shape[-1] ** 0.5)[:, 0]


KINDS = {"linearMSE": Improved, "reluMSE": lambda width: Improved(width, relu=True), "first": First,
         "simulacra": Simulacra}


@pytest.fixture(scope="module")
def learned(critique):
    return critique.learned


def written(folder, kind, width=32, ending=".pth"):
    """A file of a random head of that kind, and its own code."""
    torch.manual_seed(len(kind))
    module, path = KINDS[kind](width).eval(), folder / f"{kind}{ending}"
    if ending == ".pth":
        torch.save(module.state_dict(), path)
    else:
        from safetensors.torch import save_file
        save_file(module.state_dict(), path)
    return module, path


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_head_scores_as_its_own_code_does(learned, tmp_path, kind, ending):
    module, path = written(tmp_path, kind, 768, ending)
    embedding = torch.randn(5, 768, generator=torch.Generator().manual_seed(1)) * 3
    with torch.no_grad():
        expected = module.double()(embedding.double())
    assert torch.allclose(learned.score_head.read(path).score(embedding), expected, rtol=0, atol=1e-6)


def test_an_activation_that_is_asked_for_goes_before_what_the_file_says(learned, tmp_path):
    module, path = written(tmp_path, "linearMSE")
    relu = learned.score_head.read(path, "relu")
    assert relu.relu == (True, True, True, True, False)
    assert learned.score_head.read(written(tmp_path, "reluMSE")[1], "none").relu == (False,) * 5


@pytest.mark.parametrize(("places", "relu"), [
    ((0, 3, 6, 9, 11), [True, True, True, True, False]), ((0, 3, 6, 9, 10), [True, True, True, False, False]),
    ((0, 2, 4, 6, 7), [False] * 5)])
def test_a_head_under_another_name_keeps_what_its_layers_places_say(learned, places, relu):
    widths = [8, 6, 5, 4, 3, 1]
    tensors = {f"layers.{place}.weight": torch.ones(after, before)
               for place, before, after in zip(places, widths, widths[1:], strict=False)}
    assert list(learned.score_head.head("aesthetic.pth", tensors).relu) == relu


@pytest.mark.parametrize("keys", [
    ("fc1", "fc2", "fc10"), ("mlp.0.linear", "mlp.1.linear", "mlp.2.linear"), ("into", "middle", "out")])
def test_layers_without_a_place_are_read_in_order_and_get_the_relu_that_is_asked_for(learned, keys):
    first, second, last = torch.randn(8, 4), torch.randn(6, 8), torch.randn(1, 6)
    tensors = {f"{key}.weight": weight for key, weight in
               sorted(zip(keys, (first, second, last), strict=True), reverse=True)}
    x = torch.nn.functional.normalize(torch.randn(5, 4), dim=1).double()
    expected = ((x @ first.double().T).clamp(min=0) @ second.double().T).clamp(min=0) @ last.double().T
    assert torch.allclose(learned.score_head.head("x.pth", tensors, "relu").score(x), expected[:, 0])
    assert learned.score_head.head("x.pth", tensors).relu == (False,) * 3
    assert learned.score_head.head("x_relu.pth", tensors).relu == (True, True, False)


class Harmful:
    def __reduce__(self):
        return print, ("code ran",)


def test_a_file_that_could_run_code_is_refused_unread(learned, tmp_path, capsys):
    torch.save({"layers.0.weight": Harmful()}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match="bad.pth holds more than tensors"):
        learned.score_head.read(tmp_path / "bad.pth")
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("tensors, words", [
    ({"conv.weight": torch.zeros(4, 3, 3, 3)}, "1 tensors, 0 of them"),
    ({"layers.0.weight": torch.zeros(8, 32), "layers.2.weight": torch.zeros(1, 9)}, "8 and 9 numbers"),
    ({"a.weight": torch.zeros(4, 4), "b.weight": torch.zeros(4, 4), "c.weight": torch.zeros(1, 4)},
     "layers whose order neither their names nor their widths tell .a.weight, b.weight, c.weight."),
    ({"weight": torch.zeros(3, 32)}, "3 numbers out"), ({}, "0 tensors"),
    ([torch.zeros(1, 4)], "other.pth has a list"), ({0: torch.zeros(1, 4)}, "no names for its tensors"),
    ({"weight": torch.full((1, 4), float("nan"))}, "numbers that are not finite"),
    ({"weight": torch.zeros(1, 4), "bias": torch.zeros(7)}, "a layer of 1 numbers with a bias of .7"),
    ({"weight": torch.zeros(1, 4), "bias": torch.tensor([float("inf")])}, "numbers that are not finite"),
    ({"weight": torch.zeros(1, 4), "bias": "none"}, "a bias that is no tensor but a str")])
def test_what_is_no_head_is_refused_in_words(learned, tensors, words):
    with pytest.raises(ValueError, match=words):
        learned.score_head.head("other.pth", tensors)


def test_a_damaged_file_is_refused_in_words(learned, tmp_path):
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(ValueError, match="torn.safetensors cannot be read"):
        learned.score_head.read(tmp_path / "torn.safetensors")


@pytest.fixture(scope="module")
def clip_vision(host):
    from tiny_clip_vision import tiny_clip_vision
    return tiny_clip_vision()


@pytest.fixture
def head_file(host, tmp_path):
    """A head in models/classifiers, as the node lists it."""
    import folder_paths
    module, path = written(tmp_path, "linearMSE")
    folder_paths.add_model_folder_path("classifiers", str(tmp_path), is_default=True)
    yield module, path.name
    folder_paths.folder_names_and_paths["classifiers"][0].remove(str(tmp_path))


def pictures(count):
    return torch.rand(count, 48, 64, 3, generator=torch.Generator().manual_seed(5))


def run(critique, clip_vision, name, **inputs):
    output = critique.nodes.LearnedScore.execute(clip_vision, name, **inputs).result
    return dict(zip(("score", "scores", "reference", "report", "data"), output, strict=True))


pytestmark = pytest.mark.usefixtures("measured_small")


def test_the_node_lists_the_heads_of_the_folder(critique, head_file):
    node = critique.nodes.LearnedScore
    options = next(slot for slot in node.define_schema().inputs if slot.id == "head").options
    assert head_file[1] in options and node.validate_inputs(head=head_file[1]) is True


def test_pictures_are_scored_by_the_head_on_the_host_s_embedding(critique, clip_vision, head_file):
    module, name = head_file
    found = run(critique, clip_vision, name, images=pictures(3))
    with torch.no_grad():
        embeddings = clip_vision.encode_image(pictures(3))["image_embeds"]
        expected = module.double()(embeddings.double())
    assert found["scores"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert found["score"] == pytest.approx(sum(found["scores"]) / 3)


def test_a_model_that_gives_no_numbers_is_said_to_and_scores_nothing(critique, clip_vision, head_file, monkeypatch):
    monkeypatch.setattr(clip_vision, "encode_image",
                        lambda image, crop: {"image_embeds": torch.full((1, 32), float("nan"))})
    with pytest.raises(ValueError, match="clip_vision: expected a model that gives finite numbers, .* score of nan"):
        run(critique, clip_vision, head_file[1], images=pictures(1))


def test_where_the_learned_and_the_measured_score_disagree_is_said(critique, clip_vision, head_file):
    found = run(critique, clip_vision, head_file[1], images=pictures(3), lowest=-1.0, highest=1.0)
    entries = json.loads(found["data"])
    assert [entry["disagree"] for entry in entries] == [abs(entry["points"] - entry["measured"]) > 30
                                                        for entry in entries]
    assert ("disagree by more than" in found["report"]) == any(entry["disagree"] for entry in entries)


def test_a_rubric_can_count_what_was_learned(critique, clip_vision, head_file):
    found = run(critique, clip_vision, head_file[1], images=pictures(3), lowest=-1.0, highest=1.0)
    best, _, scores, report = critique.nodes.RankImages.execute(
        images=[pictures(3)], rubric=["*=0; learned=high"], keep=[1], reference=[found["reference"]]).result
    points = sorted((entry["points"] for entry in json.loads(found["data"])), reverse=True)
    assert scores == pytest.approx(points, abs=1e-6)
    assert "on the scale of its head" in report and "Western paintings" in report


def test_without_a_learned_score_the_rubric_says_what_to_connect(critique):
    with pytest.raises(ValueError, match="learned cannot count"):
        critique.nodes.RankImages.execute(images=[pictures(1)], rubric=["*=0; learned=high"], keep=[1])


def test_beside_the_default_rubric_it_changes_nothing(critique, clip_vision, head_file):
    reference = run(critique, clip_vision, head_file[1])["reference"]
    examination, paintings = critique.examination, critique.reference.distributions.paintings()
    default = critique.rubric.default_rubric.default()
    assert (examination.judge_only(pictures(1), reference, default).score
            == examination.judge_only(pictures(1), paintings, default).score)


def test_without_pictures_it_makes_the_reference_alone(critique, clip_vision, head_file):
    found = run(critique, clip_vision, head_file[1])
    assert found["scores"] == [0.0] and "no pictures" in found["report"] and found["reference"].scorer


def test_a_head_for_other_embeddings_is_refused_with_both_widths(critique, clip_vision, learned, tmp_path):
    scorer = learned.learned_score.Scorer(clip_vision, learned.score_head.read(written(tmp_path, "first", 768)[1]))
    with pytest.raises(ValueError, match="768 numbers.*gives 32"):
        scorer(pictures(1))


def test_ends_that_do_not_rise_and_a_file_that_is_not_there_are_refused(critique, clip_vision, head_file):
    with pytest.raises(ValueError, match="highest: expected more than lowest, 5, got 5"):
        run(critique, clip_vision, head_file[1], lowest=5.0, highest=5.0)
    assert "expected a file of models/classifiers" in critique.nodes.LearnedScore.validate_inputs(head="x" * 500)


def test_ranks_with_ties_correlate_as_spearman_says(learned):
    scipy = pytest.importorskip("scipy.stats")
    one, other = [3.0, 1.0, 2.0, 2.0, 5.0], [1.0, 4.0, 2.0, 2.0, 0.0]
    assert learned.learned_score.rank_correlation(one, other) == pytest.approx(scipy.spearmanr(one, other).statistic)
    assert learned.learned_score.rank_correlation([1.0, 2.0], [2.0, 1.0]) is None
