"""Captions for a folder, by the host's real vision classes with tiny random weights."""
import pytest
import torch
from PIL import Image
from vision_models import gemma3, qwen3vl


@pytest.fixture(scope="module")
def model(host):
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patched:
        yield qwen3vl(patched)


@pytest.fixture
def clip(model, monkeypatch):
    """A model that writes `a star, n` about the n-th picture it sees."""
    count = iter(range(1, 99))
    monkeypatch.setattr(model, "decode", lambda ids: f" a star,\n{next(count)} ")
    with torch.inference_mode():
        yield model


@pytest.fixture
def folder(tmp_path):
    for name in ("01.png", "02.jpg", "below/03.png", "01_mask.png", "04.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (48, 40), "red").save(tmp_path / name)
    (tmp_path / "02.txt").write_text("mine | own\n", encoding="utf-8")
    (tmp_path / "04.png").write_bytes(b"no picture")
    (tmp_path / "notes.md").write_text("x")
    return tmp_path


@pytest.fixture
def run(critique, clip):
    def run(folder, **more):
        node = critique.nodes.CaptionFolder
        return node.execute(clip, str(folder), "look at this", max_length=2, **more)
    return run


def texts(folder):
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.txt")}


def test_each_picture_without_a_caption_gets_one_beside_it(run, folder):
    given, report, sheet = run(folder, trigger_words=" red star, ").result
    assert texts(folder) == {"01.txt": "red star, a star, 1\n", "02.txt": "mine | own\n",
                             "below/03.txt": "red star, a star, 2\n"}
    assert given == str(folder) and sheet.shape[0] == 1 and sheet.shape[-1] == 3
    assert report.startswith("# Captions: 2 written, 1 kept as they were, 1 without\n")
    assert "| below/03.png | red star, a star, 2 |" in report and "had a caption: 02.jpg." in report
    assert "- No caption for 04.png: no picture that can be read." in report and "notes.md" in report


def test_a_long_name_gets_its_caption_and_one_too_long_for_it_is_named(run, tmp_path):
    for name in ("a" * 251 + ".png", "b" * 252 + ".im", "c.png"):
        Image.new("RGB", (48, 40), "red").save(tmp_path / name, "IM" if name.endswith(".im") else None)
    report = run(tmp_path).result[1]
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["a" * 251 + ".txt", "c.txt"]
    assert "2 written, 1 without" in report and "bb... cannot be written (File name too long)" in report


def test_nothing_is_asked_twice_and_only_replace_writes_over_a_caption(run, folder, critique):
    node = critique.nodes.CaptionFolder
    first = node.fingerprint_inputs(str(folder))
    run(folder)
    after = node.fingerprint_inputs(str(folder))
    assert "0 written, 3 kept" in run(folder).result[1] and first == after == node.fingerprint_inputs(str(folder))
    (folder / "01.txt").unlink()
    assert node.fingerprint_inputs(str(folder)) != after
    run(folder)
    assert node.fingerprint_inputs(str(folder)) != after
    run(folder, existing="replace", trigger_words="A STAR")
    assert texts(folder) == {"01.txt": "a star, 4\n", "02.txt": "a star, 5\n", "below/03.txt": "a star, 6\n"}


def test_cancel_keeps_the_captions_that_are_there(run, folder, clip, monkeypatch):
    import comfy.model_management as management

    def cancelled(ids):     # as a click on Cancel while the first words are written
        management.interrupt_current_processing()
        return "a star"
    monkeypatch.setattr(clip, "decode", cancelled)
    with pytest.raises(management.InterruptProcessingException):
        run(folder)
    assert texts(folder) == {"01.txt": "a star\n", "02.txt": "mine | own\n"}


@pytest.mark.parametrize("existing", ["keep", "replace"])
def test_a_caption_that_comes_while_the_model_writes_stays(run, folder, clip, monkeypatch, existing):
    def meanwhile(ids):
        (folder / "01.txt").write_text("by hand")
        return "a star"
    monkeypatch.setattr(clip, "decode", meanwhile)
    report = run(folder, existing=existing).result[1]
    assert texts(folder)["01.txt"] == "by hand" and texts(folder)["below/03.txt"] == "a star\n"
    assert "No caption for 01.png: 01.txt is there since the folder was listed, and stays." in report


def test_two_pictures_of_one_name_have_one_caption(run, folder):
    Image.new("RGB", (48, 40)).save(folder / "01.webp")
    report = run(folder).result[1]
    assert "No caption for 01.webp: 01.png has the same name and the caption." in report


def test_a_model_that_writes_nothing_leaves_no_file(run, folder, clip, monkeypatch):
    monkeypatch.setattr(clip, "decode", lambda ids: "<think> it is")
    assert "1 kept as they were, 3 without" in run(folder).result[1] and set(texts(folder)) == {"02.txt"}
    (folder / "02.txt").unlink()
    with pytest.raises(ValueError, match=r"^folder: no picture got a caption; 01.png: the model was still thinking"):
        run(folder)


@pytest.mark.parametrize("typed, said", [(" ", "got nothing"), ("nowhere", ", got nowhere"),
                                         ("../x", "got ../x")])
def test_a_folder_that_is_none_is_one_sentence(run, typed, said):
    with pytest.raises(ValueError, match="^folder: expected ") as error:
        run(typed)
    assert said in str(error.value)


def test_a_folder_without_pictures_and_one_that_takes_no_file_are_sentences(run, folder, tmp_path, monkeypatch, pack):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="folder: expected at least one picture, got none in empty"):
        run(tmp_path / "empty")

    def full(path, write):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(pack.nodes.critique.vision.folder_captions, "write_unless_there", full)
    with pytest.raises(ValueError, match=r"^folder: the caption of 01.png cannot be written \(No space left"):
        run(folder)


def test_a_model_without_eyes_is_refused_before_the_folder_is_read(critique, host, monkeypatch, folder):
    with torch.inference_mode(), pytest.raises(ValueError, match="writes but has no eyes"):
        critique.nodes.CaptionFolder.execute(gemma3(monkeypatch, vision=False), str(folder), "look")
    assert set(texts(folder)) == {"02.txt"}
