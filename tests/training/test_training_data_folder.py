"""What people bring in a folder of pictures, and what the report says of it."""
import numpy as np
import pytest
import torch
from PIL import Image
from training_sets import collected, picture


def names(made):
    return [prepared.source.name for prepared in made.prepared]


def notes(made):
    return " ".join(made.dataset.notes)


def test_every_kind_of_picture_and_of_caption_file_is_read(training, vae, clip, tmp_path):
    for name in ("a.avif", "b.jfif", "c.PNG"):
        picture(tmp_path / name)
    for name, text in (("a.TXT", "one"), ("b.CAPTION", "two"), ("c.txt", "three")):
        (tmp_path / name).write_text(text)
    made, _ = collected(training, vae, clip, tmp_path)
    assert [p.source.caption for p in made.prepared] == ["one", "two", "three"]
    assert "Left" not in notes(made)


def test_masks_references_and_accents_belong_to_their_picture_however_they_are_written(training, vae, clip, tmp_path):
    for name in ("caf\u00e9.png", "CAFE\u0301_MASK.PNG", "x.png", "x_Reference.jpg"):
        picture(tmp_path / name, (64, 64))
    (tmp_path / "CAFE\u0301_MASK.PNG").rename(tmp_path / "cafe\u0301_MASK.PNG")     # as a Mac writes it
    (tmp_path / "cafe\u0301.txt").write_text("coffee")
    made, _ = collected(training, vae, clip, tmp_path, default="x", masks="files")
    assert names(made) == ["caf\u00e9.png", "x.png"]
    assert made.prepared[0].source.caption == "coffee" and made.prepared[0].encoded.is_masked
    assert "reference_latents" in made.dataset.samples[1].options


def test_what_has_no_part_in_the_training_is_named_with_its_reason(training, vae, clip, tmp_path):
    for name in ("a.png", "a_mask.png", "a-masklabel.png", "._a.png", "0_off/b.png"):
        picture(tmp_path / name)
    for name in ("a.txt", "a.caption", "c.heic", "notes.md", "0_off/b.txt"):
        (tmp_path / name).write_text("words")
    (tmp_path / "again").symlink_to(tmp_path / "0_off")
    made, _ = collected(training, vae, clip, tmp_path, masks="files")
    for sentence in (
            "Left alone, because another file has their part: a.caption, a_mask.png.",
            "Left out, because the installed Pillow opens no .heic files by itself: c.heic.",
            "Left out, because they are no pictures by their endings: notes.md.",
            "Left out, because they lead to a folder that is read already: again.",
            "Hidden, and passed over: ._a.png.",
            "Shown at least once and at most 10000 times an epoch, whatever their folder says: 0_off/b.png."):
        assert sentence in notes(made)


def test_deep_pictures_and_masks_are_scaled_and_what_cannot_be_is_named(training, vae, clip, tmp_path):
    half = np.full((64, 64), 0x8000, np.uint16)
    Image.fromarray(half).save(tmp_path / "deep.png")
    Image.fromarray(half).save(tmp_path / "deep_mask.png")
    Image.fromarray(np.full((64, 64), 0.5, np.float32)).save(tmp_path / "real.tif")
    made, _ = collected(training, vae, clip, tmp_path, default="grey", masks="files")
    for prepared in made.prepared:
        assert prepared.tensors()["thumbnail"].float().mean().item() / 255 == pytest.approx(0.5, abs=0.01)
    assert made.dataset.samples[0].mask.mean().item() == pytest.approx(0.5, abs=0.01)
    assert "Brought to 8 bits from the range of their values: real.tif (0 to 1)." in notes(made)
    Image.fromarray(np.full((64, 64), np.inf, np.float32)).save(tmp_path / "real.tif")
    with pytest.raises(ValueError, match="real.tif cannot be read as a picture .it holds values that are no finite"):
        collected(training, vae, clip, tmp_path, default="grey")


def test_what_is_not_learnt_as_it_lies_there_is_said_with_the_worst_first(training, vae, clip, tmp_path):
    picture(tmp_path / "panorama.png", (900, 64))
    picture(tmp_path / "wide.png", (400, 100))
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    image = Image.new("RGBA", (64, 64), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 64, 16))
    image.save(tmp_path / "cut_out.png")
    made, _ = collected(training, vae, clip, tmp_path, default="x")
    assert "More than 20% cut away at the edges: panorama.png (79%), wide.png (25%)." in notes(made)
    assert "Only the first frame or page is used: moving.gif (of 2)." in notes(made)
    assert "Colours under transparent parts are seen as well: cut_out.png (75%)." in notes(made)
    masked, _ = collected(training, vae, clip, tmp_path, default="x", masks="alpha")
    assert "transparent" not in notes(masked)


def test_an_emptied_transparent_picture_is_said_in_a_batch_too(training, vae, clip):
    with pytest.raises(ValueError, match="images: picture 1: expected values from 0 to 1, got 0 to 255"):
        collected(training, vae, clip, images=[torch.linspace(0, 255, 64 * 64 * 3).reshape(1, 64, 64, 3)], default="x")
    with pytest.raises(ValueError, match="images: picture 1: expected values from 0 to 1, got nan"):
        collected(training, vae, clip, images=[torch.full((1, 64, 64, 3), float("nan"))], default="x")
    with pytest.raises(ValueError, match=r"images: picture 2: expected an IMAGE .*, got \[1, 64, 64, 3\] of uint8"):
        collected(training, vae, clip, images=[torch.rand(1, 64, 64, 3), torch.zeros(1, 64, 64, 3, dtype=torch.uint8)],
                  default="x")
    for given, words in ((torch.zeros(0, 64, 64), "at least 1 x 1 pixels, got an empty batch"),
                         (torch.full((1, 64, 64), float("nan")), "values from 0 to 1, got nan")):
        with pytest.raises(ValueError, match=f"^mask: mask 1: expected .*{words}"):
            collected(training, vae, clip, images=[torch.rand(1, 64, 64, 3)], mask=[given], default="x")
    with pytest.raises(ValueError, match="^images: picture 1: expected .* got an empty batch"):
        collected(training, vae, clip, images=[torch.rand(0, 64, 64, 3)], default="x")


def test_no_absolute_path_of_the_server_stands_in_a_message(training, vae, clip, tmp_path, host):
    import folder_paths
    for typed, spoilt in (("nowhere", None), (str(tmp_path), "empty"), (str(tmp_path), "torn")):
        if spoilt == "torn":
            (tmp_path / "a.png").write_bytes(b"\x89PNG")
        with pytest.raises(ValueError) as error:
            collected(training, vae, clip, typed, default="x")
        said = str(error.value)
        assert str(tmp_path) not in said and folder_paths.get_input_directory() not in said


def test_a_cancelled_listing_stops_the_node_before_anything_is_opened(training, vae, clip, folder, monkeypatch):
    """Training Set on / is such a listing: see tests/shared for how often it looks at Cancel."""
    import comfy.model_management
    opened = []
    monkeypatch.setattr(training.data.sources, "read_picture", lambda path: opened.append(path))
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        collected(training, vae, clip, folder)
    assert not opened
