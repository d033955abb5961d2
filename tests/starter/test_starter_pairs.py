"""Image pairs on the starter, from files through the real graph: the change is learnt, what both share is not."""
import sys
from pathlib import Path

import comfy.utils
import folder_paths
import pytest
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))


@pytest.fixture
def workshop(pack, installed):
    from bench_pairs import Workshop
    return Workshop(pack, installed, 0)


@pytest.fixture
def trained(host, workshop, tmp_path):
    """trained(before, after, steps): (report, LoRA) of six woodcuts, with what they were before or without."""
    from bench_pairs import framed
    from install import MODEL, TEXT, VAE

    def run(before, after, steps):
        folder = tmp_path / ("pairs" if before else "alone")
        folder.mkdir()
        for number, thing in enumerate(workshop.learnt[:6]):
            for draw, ending in ((after, ""), (before, "_before")):
                if draw:
                    pixels = (framed(draw(thing)).movedim(0, -1) * 255).round().byte().numpy()
                    Image.fromarray(pixels).save(folder / f"{number}{ending}.png")
            (folder / f"{number}.txt").write_text(f"a {thing.colour} {thing.shape} on a white background")
        folder_paths.get_filename_list("loras")
        shown, _ = host.run({
            "model": {"class_type": "UNETLoader", "inputs": {"unet_name": MODEL, "weight_dtype": "default"}},
            "clip": {"class_type": "CLIPLoader", "inputs": {"clip_name": TEXT, "type": "sd3"}},
            "vae": {"class_type": "VAELoader", "inputs": {"vae_name": VAE}},
            "set": {"class_type": "BottegaTrainingSet", "inputs": {
                "vae": ["vae", 0], "clip": ["clip", 0], "folder": str(folder), "resolution": 128}},
            "train": {"class_type": "BottegaTrainLora", "inputs": {
                "model": ["model", 0], "dataset": ["set", 0], "steps": steps, "batch_size": 1, "learning_rate": 0.0,
                "rank": 8, "seed": 0, "name": folder.name}},
            "path": {"class_type": "PreviewAny", "inputs": {"source": ["train", 3]}}})
        return shown["train"]["text"][0], comfy.utils.load_torch_file(shown["path"]["text"][0])
    return run


def test_a_change_is_made_at_1_and_undone_at_minus_1_and_a_shared_frame_is_hardly_learnt(workshop, trained):
    from bench_pairs import KINDS
    before, after = KINDS["flat to woodcut"]
    report, pairs = trained(before, after, 24)
    assert "6 pairs: strength 1 goes 1." in report and "of the way from the middle to what comes before" in report
    _, alone = trained(None, after, 24)
    (change, frame, along), (back, frame_back, against) = (
        workshop.judge("flat to woodcut", pairs, strength) for strength in (1.0, -1.0))
    _, frame_alone, along_alone = workshop.judge("flat to woodcut", alone, 1.0)
    assert change > 0.1 and back < -0.1
    assert along > 0.5 and against < -0.5 and along > along_alone
    assert max(abs(frame), abs(frame_back)) < 0.35 * frame_alone
