"""Writing and watermarks, as a vision model is asked about them, in the host's real class with tiny random weights."""
import sys
from pathlib import Path

import pytest
import torch
from training_sets import collected

sys.path.append(str(Path(__file__).parents[1] / "critique"))

from vision_models import qwen3vl  # noqa: E402

ANSWERS = [" Watermark.", "nothing", "There is writing on a sign"]


@pytest.fixture
def vision(host, monkeypatch):
    """A model that gives ANSWERS about the pictures it sees; vision.asked: how many there were."""
    with torch.inference_mode():
        model = qwen3vl(monkeypatch)
    model.asked = 0

    def decode(ids):
        model.asked += 1
        return ANSWERS[(model.asked - 1) % len(ANSWERS)]
    monkeypatch.setattr(model, "decode", decode)
    return model


def notes(made):
    return "\n".join(made.dataset.notes)


def test_writing_and_watermarks_are_named_and_left_out_where_asked(training, vae, clip, folder, vision):
    made, _ = collected(training, vae, clip, folder, vision=vision)
    assert vision.asked == 3 and "A watermark, logo or signature: a.png (seen by the vision model)." in notes(made)
    assert "Writing in the picture: c.png" in notes(made) and len(made.prepared) == 3
    left, _ = collected(training, vae, clip, folder, vision=vision, leave_out="text watermark")
    assert [each.source.name for each in left.prepared] == ["b.png"] and vision.asked == 6
    assert "Left out, as leave_out asks: a.png, c.png." in notes(left)
    collected(training, vae, clip, folder, vision=vision, audit=False)
    assert vision.asked == 6


def test_what_was_answered_is_kept_with_the_cache(training, vae, clip, folder, vision, tmp_path_factory, monkeypatch):
    import folder_paths
    monkeypatch.setattr(folder_paths, "get_user_directory", lambda: str(user))
    user = tmp_path_factory.mktemp("user")
    first, second = (collected(training, vae, clip, folder, cache=True, vision=vision)[0] for _ in range(2))
    assert vision.asked == 3 and notes(first) == notes(second)


def test_an_answer_that_says_neither_is_told_and_finds_nothing(training, vae, clip, folder, vision, monkeypatch):
    monkeypatch.setattr(vision, "decode", lambda ids: "a red sheet")
    made, _ = collected(training, vae, clip, folder, vision=vision)
    assert 'its answer about 3 pictures says neither, such as "a red sheet"' in notes(made) and not made.worst


@pytest.mark.parametrize("answer, sign", [
    ("Writing.", "text"), ("There is a logo in the corner", "watermark"), ("nothing", ""), ("There is no writing.", ""),
    ("The picture does not contain any writing or watermark.", ""), ("There isn't any writing", ""),
    ("I don\u2019t see a watermark", ""), ("a red sheet", None), ("", None)])
def test_an_answer_in_a_sentence_is_read_with_its_no(training, answer, sign):
    assert training.data.audit.signs.sign_in(answer) == sign


def test_a_picture_that_cannot_be_read_is_not_an_odd_answer(training, vae, clip, folder, vision):
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "broken.txt").write_text("red", encoding="utf-8")
    made, _ = collected(training, vae, clip, folder, vision=vision, leave_out="watermark", unreadable="skip")
    assert "says neither" not in notes(made) and "Left out: folder: broken.png" in notes(made) and vision.asked == 3


def test_what_only_a_vision_model_sees_asks_for_one(training, vae, clip, folder):
    with pytest.raises(ValueError, match="^leave_out: expected a vision-language model connected to vision"):
        collected(training, vae, clip, folder, leave_out="watermark")
    with pytest.raises(ValueError, match="^vision: expected a text encoder that can see"):
        collected(training, vae, clip, folder, vision=clip)
