"""The measures that need the user's own filter file: read without unpickling, equal to the toolbox, absent without."""
import json
from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "bvlc_alexnet_conv1.npy"
GOLDEN = json.loads(Path(__file__).with_name("critique_golden.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measures(pack):
    return pack.nodes.critique.measures


@pytest.fixture(scope="module")
def bank(measures):
    if not SHARED.is_file():
        pytest.skip(f"the filter file is not on this machine ({SHARED}); it is not part of the pack")
    return measures.filter_bank.read(SHARED)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_the_six_columns_equal_the_toolbox(pack, measures, bank, name, dtype):
    data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image")
    image = torch.from_numpy(getattr(data, name)()).float()[None] / 255
    picture = pack.nodes.critique.picture.planes.Picture.from_images(image, dtype)
    # SciPy's reference convolves by a transform of the filters in float32: that is what its last digits hold.
    near = {"rel": 0, "abs": 1e-8} if dtype == torch.float64 else {"rel": 1e-3}
    for column, function in measures.filters.measures_of(bank).items():
        assert function(picture).item() == pytest.approx(GOLDEN[name][column], **near), column


def test_the_file_is_found_where_the_host_keeps_models(measures, bank, tmp_path):
    assert measures.filter_bank.find([str(tmp_path)]) is None
    (tmp_path / SHARED.name).write_bytes(SHARED.read_bytes())
    assert torch.equal(measures.filter_bank.find([str(tmp_path)]).weight, bank.weight)
    assert any(folder.endswith("bottega") for folder in measures.filter_bank.folders())


def test_any_other_file_of_that_name_is_refused_and_not_run(measures, tmp_path):
    bad = tmp_path / "bvlc_alexnet_conv1.npy"
    bad.write_bytes(b"\x93NUMPY\x01\x00cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(ValueError, match="^bvlc_alexnet_conv1.npy: expected AT/bvlc_alexnet_conv1.npy of the Aest"):
        measures.filter_bank.find([str(tmp_path)])


def test_safetensors_of_the_right_shapes_are_taken(measures, tmp_path):
    from safetensors.torch import save_file
    held = {"weight": torch.rand(96, 3, 11, 11), "bias": torch.rand(96)}
    save_file(held, tmp_path / "bvlc_alexnet_conv1.safetensors")
    assert torch.equal(measures.filter_bank.find([str(tmp_path)]).weight, held["weight"])
    save_file({"weight": held["weight"]}, tmp_path / "bvlc_alexnet_conv1.safetensors")
    with pytest.raises(ValueError, match="expected the tensors weight"):
        measures.filter_bank.find([str(tmp_path)])
