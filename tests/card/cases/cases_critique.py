"""Criticising on the card: pictures that lie on it, and vision-language models."""
import folder_paths
import pytest
import torch
from safetensors.torch import save_file
from studio_graphs import node
from tiny_clip_vision import WIDTH

PICTURES = {
    "red": node("EmptyImage", width=64, height=64, batch_size=1, color=0xCC3322),
    "ramp": node("EmptyImage", width=64, height=64, batch_size=1, color=0x404040),
    "pair": node("ImageBatch", image1=["red", 0], image2=["ramp", 0]),
    "carded": node("OntoCard", images=["pair", 0]),
}


def test_pictures_that_lie_on_the_card_are_criticised_ranked_and_made_a_reference(run):
    shown = {"images": ["carded", 0]}
    outputs = run(PICTURES | {
        "critique": node("BottegaCritique", rubric="", counterfactuals=True, heat="Balance", **shown),
        "chart": node("PreviewImage", images=["critique", 4]),
        "heat": node("PreviewImage", images=["critique", 5]),
        "same": node("PreviewImage", images=["critique", 6]),
        "rank": node("BottegaRankImages", keep=1, **shown),
        "best": node("PreviewImage", images=["rank", 0]),
        "reference": node("BottegaCritiqueReference", **shown),
        "told": node("PreviewAny", source=["reference", 1]),
        "choice": node("BottegaBestOf", count=1, keep=1, seed=0, **shown),
        "chosen": node("PreviewImage", images=["choice", 0]),
        "versions": node("BottegaCompareVersions", **shown),
        "differences": node("PreviewImage", images=["versions", 1]),
    })
    assert all(outputs[name]["images"] for name in ("chart", "heat", "same", "best", "chosen", "differences"))


def test_a_learned_head_scores_pictures_that_lie_on_the_card(run, tmp_path, monkeypatch):
    weight = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(1))
    save_file({"weight": weight, "bias": torch.zeros(1)}, tmp_path / "card_head.safetensors")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "classifiers", ([str(tmp_path)], {".safetensors"}))
    outputs = run(PICTURES | {
        "seeing": node("TinyClipVision"),
        "learned": node("BottegaLearnedScore", clip_vision=["seeing", 0], head="card_head.safetensors",
                        images=["carded", 0]),
        "best": node("BottegaRankImages", images=["carded", 0], keep=1, reference=["learned", 2],
                     rubric="*=0; learned=1"),
        "seen": node("PreviewImage", images=["best", 0]),
    })
    assert outputs["learned"]["text"] and outputs["seen"]["images"]


def test_a_folder_is_captioned_by_a_vision_model_on_the_card(run, tmp_path):
    from PIL import Image
    Image.new("RGB", (48, 48), "red").save(tmp_path / "01.png")
    outputs = run({
        "vision": node("TinyVision", family="Qwen3-VL"),
        "captions": node("BottegaCaptionFolder", clip=["vision", 0], folder=str(tmp_path), instruction="look at this",
                         max_length=3)})
    assert "# Captions: 1 written" in outputs["captions"]["text"][0] and (tmp_path / "01.txt").exists()


@pytest.mark.parametrize("family", ["Qwen3-VL", "Qwen3.5", "Gemma 3", "Gemma 4"])
def test_a_vision_model_on_the_card_describes_and_judges(run, family):
    outputs = run(PICTURES | {
        "vision": node("TinyVision", family=family),
        "describe": node("BottegaDescribeImage", clip=["vision", 0], images=["carded", 0], instruction="look at this",
                         max_length=3),
        "text": node("PreviewAny", source=["describe", 0]),
        "critic": node("BottegaVisionCritic", clip=["vision", 0], images=["pair", 0], critic="Rudolf Arnheim"),
        "score": node("PreviewAny", source=["critic", 0]),
    })
    assert "text" in outputs and outputs["score"]["text"]
