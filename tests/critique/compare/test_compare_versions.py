"""Compare Versions in the real executor: what it finds, what it refuses, what it never claims."""
import json

import numpy as np
import picture_edits
import pytest
import torch
from picture_edits import DAMAGE, NEUTRAL


@pytest.fixture(scope="module")
def compare(critique):
    return critique.compare


@pytest.fixture(scope="module")
def landscape():
    return picture_edits.landscape()


def images(*arrays):
    return [torch.from_numpy(each.copy())[None].float() / 255 for each in arrays]


def found(compare, critique, *arrays, rubric=None):
    return compare.versions.compare(images(*arrays), critique.reference.distributions.paintings(), rubric)


def run(critique, *arrays, **inputs):
    node = critique.nodes.CompareVersions
    output = node.execute(images(*arrays), **{name: [value] for name, value in inputs.items()}).result
    return dict(zip(("report", "chart", "heatmap", "images", "data"), output, strict=True))


@pytest.fixture(scope="module")
def swept(critique, landscape, measured_small):
    """The landscape as version 2 between two that are spoiled, and one that is only mirrored."""
    return run(critique, DAMAGE["oversaturated"](landscape), landscape, DAMAGE["green cast"](landscape),
               NEUTRAL["mirrored"](landscape))


pytestmark = pytest.mark.usefixtures("measured_small")


def test_spoiled_versions_are_named_and_the_others_are_not(swept):
    entries = json.loads(swept["data"])
    assert [entries[place]["finding"] for place in (1, 3)] == ["least spoiled", "no difference"]
    assert {entry["finding"] for entry in (entries[0], entries[2])} <= {"spoiled", "undecided"}
    assert entries[0]["light_and_colour"] < entries[1]["light_and_colour"] - 0.25


def test_the_images_come_least_spoiled_first(swept):
    entries = json.loads(swept["data"])
    assert [entries[place]["rank"] for place in (1, 3)] == [1, 2]  # no difference: as they came
    order = sorted((0, 2), key=lambda place: -entries[place]["light_and_colour"])
    assert [entries[place]["rank"] for place in order] == [3, 4]
    assert len(swept["images"]) == 4 and all(image.shape == (1, 192, 256, 3) for image in swept["images"])


def test_the_eight_parts_sum_to_the_reading_and_are_told_in_words(swept):
    for entry in json.loads(swept["data"]):
        assert len(entry["parts"]) == 8
        assert entry["light_and_colour"] == pytest.approx(sum(entry["parts"].values()))
    assert "too green" in swept["report"] and "Not beauty" not in swept["report"].split("\n")[0]


def test_nothing_is_chosen_where_typicality_speaks_against_it(compare, critique, landscape):
    both = found(compare, critique, landscape, DAMAGE["oversaturated"](landscape))
    better, worse = both.versions
    assert both.finding(worse) in ("spoiled", "undecided")
    for typicality, expected in ((better.typicality + 1, "undecided"), (better.typicality - 1, "spoiled")):
        told = both._replace(versions=[better, worse._replace(typicality=typicality)])
        assert told.finding(told.versions[1]) == expected
        lead = compare.comparison_report.lead(told)
        assert ("disagree" in lead) == (expected == "undecided")
        assert ("looks spoiled" in lead) == (expected == "spoiled")


def test_the_same_picture_twice_shows_no_difference_anywhere(critique, landscape):
    same = run(critique, landscape, landscape)
    assert "no difference" in same["report"] and "0 of" in same["report"]
    assert [entry["finding"] for entry in json.loads(same["data"])] == ["least spoiled", "no difference"]


def test_the_maps_are_bright_where_a_version_was_changed(compare, critique, landscape):
    changed = landscape.copy()
    changed[:48, :64] = 255 - changed[:48, :64]
    both = found(compare, critique, landscape, changed)
    plane = compare.difference_pictures.difference(both.versions[0].picture, both.versions[1].picture)
    height, width = plane.shape
    inside = plane[:height // 4, :width // 4].sum()
    assert inside > 0.9 * plane.sum()
    assert len(compare.difference_pictures.maps(both)) == 1


@pytest.mark.parametrize("other, words", [
    (lambda picture: picture[:, :150], "another format than version 1"),
    (lambda picture: np.where(np.arange(picture.shape[1])[None, :, None] % 16 < 8, picture, 255 - picture),
     "edges of version 2"),
])
def test_pictures_that_are_no_versions_of_one_are_refused_in_words(critique, landscape, other, words):
    refused = run(critique, landscape, other(landscape))
    first, second = json.loads(refused["data"])
    assert words in refused["report"].split("\n")[0] and words in second["refused"]
    assert first["light_and_colour"] is None is second["finding"] and first["measures"]
    assert torch.equal(refused["images"][0], images(landscape)[0])


@pytest.mark.parametrize("ground", [250, 5])
def test_a_drawing_on_a_plain_ground_is_refused_in_words(critique, ground):
    drawing = np.full((128, 160, 3), ground, np.uint8)
    drawing[40:80, 40:80] = (200, 60, 40)
    darker = (drawing * 0.8).astype(np.uint8)
    assert "one colour covers" in run(critique, drawing, darker)["report"].split("\n")[0]


def test_versions_may_have_different_sizes(critique, landscape):
    half = NEUTRAL["50 %"](landscape)
    entries = json.loads(run(critique, landscape, half)["data"])
    assert [entry["size"] for entry in entries] == [[256, 192], [128, 96]] and entries[0]["refused"] is None
    assert len({entry["measures"]["Own longer side"] for entry in entries}) == 1  # all are judged as the smallest


def test_one_picture_is_refused_at_once(compare):
    with pytest.raises(ValueError, match="two or more versions of one picture.*got 1"):
        compare.versions.each_picture([torch.zeros(1, 32, 32, 3)])


def test_a_version_that_cannot_be_measured_is_named(compare, critique, landscape):
    tiny = landscape[:8, :8]
    with pytest.raises(ValueError, match="version 2: images: expected at least 16 x 16"):
        found(compare, critique, landscape, tiny)


def test_a_rubric_of_positions_alone_compares_by_measures(critique, landscape):
    told = run(critique, landscape, DAMAGE["dark"](landscape), rubric="@Wölfflin")
    assert "positions between opposites only" in told["report"]
    assert json.loads(told["data"])[0]["score"] is None and json.loads(told["data"])[0]["typicality"] > 0


def test_the_noise_of_points_is_known_among_the_paintings_and_by_their_measures_alone(compare, critique, landscape):
    parse, brighter = critique.rubric.rubric_language.parse, DAMAGE["oversaturated"](landscape)

    def known(both):
        return {row.name for row in compare.differences.criteria(both) if row.noise is not None}

    plain = found(compare, critique, landscape, brighter)
    usual, report = known(plain), compare.comparison_report.write(plain)
    assert {"Colour richness", "Symmetry"} <= usual and "move it by up to" in report and "95 % of edits" in report
    for rubric, lost in (("Balance=2", set()), ("Color entropy=1", {"Colour richness", "Variety"}),
                         ("RMS contrast=1", {"Value", "Contrast"}), ("Value=high", {"Value"})):
        asked = found(compare, critique, landscape, brighter, rubric=parse(rubric))
        assert known(asked) == usual - lost
    own = critique.reference.distributions.paintings()._replace(name="mine", source="mine")
    other = compare.versions.compare(images(landscape, brighter), own)
    report = compare.comparison_report.write(other)
    assert not known(other) and any(row.is_real for row in compare.differences.columns(other))
    assert "known among the paintings alone" in report and "Noise: not known of points among these" in report
    assert "95 % of edits" not in report


def test_the_node_takes_a_batch_in_the_executor(host, critique):
    outputs, _ = host.run({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0x806040}},
        "2": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0x605040}},
        "3": {"class_type": "ImageBatch", "inputs": {"image1": ["1", 0], "image2": ["2", 0]}},
        "4": {"class_type": "BottegaCompareVersions", "inputs": {"images": ["3", 0], "rubric": ""}},
        "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 3]}}})
    assert "one colour covers 100 %" in outputs["4"]["text"][0] and len(outputs["5"]["images"]) == 2


def test_a_rubric_that_cannot_be_read_is_refused_before_the_run_in_a_sentence(host):
    _, errors = host.validate({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 2, "color": 0x806040}},
        "2": {"class_type": "BottegaCompareVersions", "inputs": {"images": ["1", 0], "rubric": "Charm=2"}}})
    (error,) = errors["nodes"]["2"]["errors"]
    assert error["type"] == "custom_validation_failed" and "Charm" in error["details"]


def test_edits_that_leave_the_picture_as_it_is_stay_below_the_least_difference(critique, landscape):
    light, planes = critique.compare.light_and_colour, critique.picture.planes
    def total(pixels):
        return light.measured(planes.Picture.from_images(images(pixels)[0])).total

    base = total(landscape)
    assert max(abs(total(edit(landscape)) - base) for edit in NEUTRAL.values()) < light.least()


def test_a_candidate_is_vetoed_only_where_its_light_and_colour_are_surely_spoiled(compare, landscape):
    def veto(pixels, base):
        return compare.veto.why_spoiled(*images(pixels, base))

    assert veto(DAMAGE["clipped"](landscape), landscape) == "too light"
    assert veto(landscape, DAMAGE["clipped"](landscape)) == "" == veto(NEUTRAL["mirrored"](landscape), landscape)
    drawing = np.full((128, 160, 3), 250, np.uint8)
    assert veto((drawing * [0.3, 1, 0.3]).astype(np.uint8), drawing) == ""  # a kind of picture it does not know
    striped = np.where(np.arange(256)[None, :, None] % 16 < 8, 255, landscape // 4).astype(np.uint8)
    assert veto(striped, landscape) == ""  # another picture
