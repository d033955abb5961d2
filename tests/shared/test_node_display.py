"""What nodes show: a picture and words; without the picture where no file can be written."""
import json
from types import SimpleNamespace

import folder_paths
import pytest
import torch

NODE = SimpleNamespace(hidden=None)


@pytest.fixture
def shown(pack):
    return pack.nodes.shared.node_display.picture_and_text


def test_a_picture_and_words_are_shown(host, shown):
    found = shown(NODE, torch.zeros(1, 8, 8, 3), "All is well.")
    assert len(found["images"]) == 1 and found["text"] == ("All is well.",)


def test_a_disk_that_takes_no_picture_costs_the_picture_alone(host, shown, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way of the folder")
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path / "file"))
    found = shown(NODE, torch.zeros(1, 8, 8, 3), "All is well.")
    assert "images" not in found
    assert found["text"][0].startswith("All is well.\n\nThe picture for the page could not be written (")


def test_a_critique_and_a_chart_of_a_full_disk_lack_their_pictures_alone(host, pack, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way of the folder")
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path / "file"))
    picture = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    critique = pack.nodes.critique.nodes.ArtCritique.execute(picture, "", counterfactuals=False, in_metadata=False)
    assert "could not be written" in critique.ui["text"][0] and critique.ui["images"] == []
    [entry] = json.loads(critique.ui["bottega_critique"][0])
    assert entry["score"] is not None and all(each["tile"] is None for each in entry["criteria"])
    chart = pack.nodes.charts.nodes.Chart.execute('[{"name": "one", "value": 1}]', "bars()")
    assert "could not be written" in chart.ui["text"][0] and chart.args[0].shape[-1] == 3
