"""What is measured of a picture of a gallery is what Art Critique measures, bit for bit."""
import numpy as np
import pytest
import torch
from gallery_runs import QUICK


def test_all_measures_are_those_of_art_critique_bit_for_bit(pack, folder, alone):
    measuring, entries = alone("critique.gallery.measuring"), alone("critique.gallery.entries")
    measurer = measuring.Measurer(measuring.Settings())
    entry = next(each for each in entries.find(folder, lambda: None).entries if each.path == "b/11.png")
    row = measurer.row(entry)
    image, _ = pack.nodes.critique.reference.collection.load(folder / "b" / "11.png")
    request = pack.nodes.critique.examination.default_request()._replace(drawn=False)
    with torch.inference_mode():
        critique = pack.nodes.critique.examination.criticise(image, request).critique.critique
    assert {name: row[name] for name in critique.measures} == critique.measures and len(critique.measures) > 70
    assert row["score"] == critique.score
    assert {verdict.criterion.name: verdict.points for verdict in critique.verdicts if verdict.points is not None} == {
        name.removeprefix("criterion "): row[name] for name in row if name.startswith("criterion ") and not any(
            place.criterion.name == name.removeprefix("criterion ") for place in critique.positions)}
    assert measurer.columns[0] == "score" and row.keys() <= {"path", "size", "mtime_ns", "error", *measurer.columns}


@pytest.mark.parametrize("among", ["paintings", "everything"])
@pytest.mark.parametrize("rubric", ["", "*=0; Colour richness=high", "Contrast=high; Texture=1", "Color entropy=1",
                                    "@Albers", "@Wölfflin"])
def test_criteria_of_colour_and_value_alone_are_those_of_all_measures_bit_for_bit(alone, monkeypatch, rubric, among):
    measuring, distributions = alone("critique.gallery.measuring"), alone("critique.reference.distributions")
    paintings, measures = distributions.paintings(), alone("critique.measures").MEASURES
    own = paintings._replace(quantiles={each: list(map(float, range(101))) for each in measures} | paintings.quantiles)
    reference = None if among == "paintings" else measuring.plain(own)
    monkeypatch.setattr(measuring, "CANONICAL", 96)
    pixels = np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    quick, whole = (measuring.Measurer(measuring.Settings(kind, rubric, reference)).numbers(pixels)
                    for kind in (QUICK, "all"))
    assert quick == {name: whole[name] for name in quick} and "score" not in quick
    named = {name.removeprefix("criterion ") for name in quick if name.startswith("criterion ")}
    if not rubric:
        assert {"Colour richness", "Value", "Contrast"} <= named and not {"Texture", "Balance", "Proportion"} & named
