"""Rank Images in the real executor: stable, whole, and never more than there are."""
import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def pictures(host):
    """Three pieces of photographs as PNG files where the core LoadImage looks for them."""
    data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image")
    for number, (name, y, x) in enumerate((("chelsea", 60, 100), ("coffee", 100, 150), ("astronaut", 0, 0))):
        Image.fromarray(getattr(data, name)()[y:y + 96, x:x + 128]).save(host.tmp / "input" / f"rank_{number}.png")
    return [{"class_type": "LoadImage", "inputs": {"image": f"rank_{number}.png"}} for number in range(3)]


def ranked(source, **inputs):
    return {"class_type": "BottegaRankImages", "inputs": {"images": [source, 0], "keep": 1, **inputs}}


def previewed(source, output):
    return {"class_type": "PreviewImage", "inputs": {"images": [source, output]}}


def shown(source, output):
    return {"class_type": "PreviewAny", "inputs": {"source": [source, output]}}


def pixels(host, entries):
    files = [host.tmp / entry["type"] / entry["subfolder"] / entry["filename"] for entry in entries]
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


pytestmark = pytest.mark.usefixtures("measured_small")


@pytest.fixture(scope="module")
def run(host, pictures, measured_small):
    batch = {"1": pictures[0], "2": pictures[1], "3": pictures[2],
             "4": {"class_type": "ImageBatch", "inputs": {"image1": ["1", 0], "image2": ["2", 0]}},
             "5": {"class_type": "ImageBatch", "inputs": {"image1": ["4", 0], "image2": ["3", 0]}}}
    outputs, _ = host.run({**batch, "6": ranked("5", keep=2), "7": previewed("6", 0), "8": previewed("6", 1),
                           "9": shown("6", 2), "10": previewed("5", 0), "11": ranked("5", keep=9, rubric="*=0; E3=low"),
                           "12": previewed("11", 0), "13": shown("11", 2), "14": ranked("1"), "15": previewed("14", 0),
                           "16": shown("14", 2)})
    return outputs


def test_the_scores_fall_and_the_pictures_follow_them(host, run):
    scores = [float(text) for text in run["9"]["text"]]
    assert scores == sorted(scores, reverse=True) and len(scores) == 3
    came, best, whole = (pixels(host, run[node]["images"]) for node in ("10", "7", "8"))
    assert len(best) == 2 and len(whole) == 3
    assert all((a == b).all() for a, b in zip(best, whole, strict=False))
    assert all(any((a == b).all() for b in came) for a in whole)


def test_the_report_names_the_best_by_its_place_in_the_batch(host, run):
    report = run["6"]["text"][0]
    came, best = pixels(host, run["10"]["images"]), pixels(host, run["7"]["images"])
    place = next(number for number, picture in enumerate(came, 1) if (picture == best[0]).all())
    assert report.startswith(f"**Best of 3: picture {place}** with ") and "The first 2 are kept" in report
    assert "not beauty" in report and "| rank | picture | score | strongest reason |" in report


def test_more_than_there_are_keeps_all_and_another_rubric_may_choose_otherwise(host, run):
    assert len(run["12"]["images"]) == 3
    scores = [float(text) for text in run["13"]["text"]]
    assert scores == sorted(scores, reverse=True) and scores != [float(text) for text in run["9"]["text"]]


def test_a_batch_of_one_is_its_own_best(host, run):
    assert len(run["15"]["images"]) == len(run["16"]["text"]) == 1


def test_constant_pictures_tie_and_keep_their_order(host):
    flat = {"1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 2, "color": 8421504}}}
    outputs, _ = host.run({**flat, "2": ranked("1", keep=9), "3": shown("2", 2), "4": previewed("2", 0)})
    scores = [float(text) for text in outputs["3"]["text"]]
    assert len(set(scores)) == 1 and len(scores) == 2 and len(outputs["4"]["images"]) == 2


def test_equal_scores_stay_in_the_order_of_the_batch(pack):
    assert pack.nodes.critique.report.ranking.order([1.0, 3.0, 1.0, 3.0, 2.0]) == [1, 3, 4, 0, 2]


def test_positions_between_poles_cannot_be_ranked(host, pictures):
    _, errors = host.validate({"1": pictures[0], "2": ranked("1", rubric="@Wölfflin"), "3": previewed("2", 0)})
    assert "expected something that can count, got only positions between two poles" in str(errors["nodes"]["2"])


def test_a_file_has_its_whole_name_in_the_table_whatever_letters_that_has(pack):
    critique = pack.nodes.critique
    paintings = critique.reference.distributions.paintings()
    measures = {column: levels[40] for column, levels in paintings.quantiles.items()}
    judged = critique.score.judge.judge(measures, paintings)
    names = ["picture 1.png", "a|b.png", "picture 2"]
    rows = critique.report.ranking.write([judged] * 3, [0, 1, 2], 3, paintings, names).splitlines()[-3:]
    assert [row.split(" | ")[1] for row in rows] == ["picture 1.png", r"a\|b.png", "2"]


def test_a_faulty_rubric_is_refused_before_anything_runs(host, pictures):
    _, errors = host.validate({"1": pictures[0], "2": ranked("1", rubric="Valeu=2"), "3": previewed("2", 0)})
    assert "did you mean" in str(errors["nodes"]["2"])


def test_of_many_pictures_the_first_are_told_and_the_rest_counted(host):
    batch = {"1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 103, "color": 0}}}
    outputs, _ = host.run({**batch, "2": ranked("1", keep=2, rubric="*=0; Value=high"), "3": shown("2", 2)})
    report = outputs["2"]["text"][0]
    assert "| 100 | 100 | " in report and "| 101 | " not in report and "And 3 more; scores has all of them." in report
    assert "picture 14 and 89 more. Another sample" in report and len(outputs["3"]["text"]) == 103


@pytest.fixture(scope="module")
def in_folder(host, pictures, measured_small):
    """A folder of two pictures, and one broken file."""
    works = host.tmp / "input" / "rank_works"
    works.mkdir()
    for number in range(2):
        Image.open(host.tmp / "input" / f"rank_{number}.png").save(works / f"{number}.png")
    (works / "torn.png").write_bytes(b"no picture")
    outputs, _ = host.run({"5": {"class_type": "BottegaRankImages", "inputs": {"folder": "rank_works", "keep": 1}},
                           "6": previewed("5", 1), "7": shown("5", 2)})
    return outputs


def test_a_folder_is_ranked_by_the_names_of_its_files(host, in_folder):
    report = in_folder["5"]["text"][0]
    assert report.startswith("**Best of 2: ") and "0.png" in report and "1.png" in report
    assert "* torn.png: no picture that can be read" in report
    assert len(in_folder["6"]["images"]) == len(in_folder["7"]["text"]) == 2


def test_a_list_of_pictures_of_different_sizes_is_one_ranking(pack, measured_small):
    import torch
    run = pack.nodes.critique.nodes.rank_images_run
    pictures = [torch.rand(1, 40 + 8 * n, 56, 3, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    best, ordered, scores, report = run.rank([pictures[0], torch.cat([pictures[1]] * 2), pictures[2]], "", 2, None,
                                             "").result
    assert len(scores) == 4 and scores == sorted(scores, reverse=True) and report.startswith("**Best of 4: picture ")
    assert [tuple(each.shape) for each in ordered] == [tuple(each.shape) for each in run.together(ordered)]
    assert sum(len(each) for each in best) == 2 and sum(len(each) for each in ordered) == 4
    (batch,) = run.together([pictures[0], pictures[0]])
    assert batch.shape[0] == 2


def test_grey_pictures_leave_with_three_channels(pack, measured_small):
    import torch
    run, grey = pack.nodes.critique.nodes.rank_images_run, torch.rand(1, 40, 56, 1)
    coloured = grey.repeat(1, 1, 1, 3)
    (best,), _, (score,), _ = run.rank([grey], "", 1, None, "").result
    assert torch.equal(best, coloured) and score == run.rank([coloured], "", 1, None, "").result[2][0]


def test_neither_pictures_nor_a_folder_is_a_sentence(pack):
    with pytest.raises(ValueError, match="^images: expected pictures, a folder of them or a table, got none of these"):
        pack.nodes.critique.nodes.rank_images_run.rank([], "", 1, None, " ")
