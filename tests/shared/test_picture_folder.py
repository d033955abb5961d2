"""How a folder of pictures is listed, for every feature alike."""
import os
import re

import pytest
from PIL import Image


@pytest.fixture
def folders(pack, host):
    return pack.nodes.shared.picture_folder


def picture(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path, **({"format": "PNG"} if path.suffix.lower() not in (".avif", ".jfif")
                                                   else {}))


def names(folders, root):
    listing = folders.list_folder(root)
    return [listing.name(path) for path in listing.pictures]


def reasons(folders, root):
    listing = folders.list_folder(root)
    return " ".join(folders.why_left_out(listing, listing.others))


def test_every_ending_that_pillow_opens_is_a_picture_in_capitals_too(folders, tmp_path):
    for name in ("a.avif", "b.jfif", "c.PNG", "d.Jpe", "e.tga", "f.qoi", "g.JP2", "h.apng"):
        picture(tmp_path / name)
    for name in ("x.h5", "x.pdf", "x.mpg", "x.eps", "x.heic", "x.json"):
        (tmp_path / name).write_bytes(b"")
    assert names(folders, tmp_path) == ["a.avif", "b.jfif", "c.PNG", "d.Jpe", "e.tga", "f.qoi", "g.JP2", "h.apng"]


def test_what_is_left_out_has_its_true_reason(folders, tmp_path):
    picture(tmp_path / "a.png")
    for name in ("b.heic", "c.mp4", "notes.md", "README"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    os.mkfifo(tmp_path / "pipe.png")
    said = reasons(folders, tmp_path)
    for sentence in ("the installed Pillow opens no .heic files by itself: b.heic.", "they are videos: c.mp4.",
                     "they are no pictures by their endings: README, notes.md.", "the links lead nowhere: gone.png.",
                     "they are no ordinary files: pipe.png."):
        assert f"Left out, because {sentence}" in said
    assert names(folders, tmp_path) == ["a.png"]


def test_hidden_names_are_passed_over_and_those_of_systems_are_not_told(folders, tmp_path):
    for name in ("a.png", "._a.png", ".thumbnails/b.png", "__MACOSX/c.png", "Thumbs.db", "@eaDir/d.png"):
        picture(tmp_path / name)
    assert names(folders, tmp_path) == ["a.png"]
    assert reasons(folders, tmp_path) == "Hidden, and passed over: ._a.png, .thumbnails."


def test_a_hidden_folder_that_is_named_itself_is_read(folders, tmp_path):
    picture(tmp_path / ".set" / "a.png")
    assert names(folders, tmp_path / ".set") == ["a.png"]


def test_linked_folders_are_read_once_and_never_in_a_circle(folders, tmp_path):
    root, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    picture(root / "own" / "a.png")
    picture(elsewhere / "deep" / "b.png")
    picture(tmp_path / "beside.png")
    for name, target in (("1st", elsewhere), ("2nd", elsewhere), ("inner", root / "own"), ("self", root),
                         ("own/up", tmp_path)):
        (root / name).symlink_to(target, target_is_directory=True)
    (elsewhere / "deep" / "back").symlink_to(elsewhere, target_is_directory=True)
    assert names(folders, root) == ["1st/deep/b.png", "own/a.png"]
    assert reasons(folders, root) == ("Left out, because they lead to a folder that is read already: 1st/deep/back, "
                                      "2nd, inner, own/up, self.")


def test_a_link_below_the_input_folder_is_a_folder_of_its_own(folders, tmp_path):
    import folder_paths
    picture(tmp_path / "a.png")
    link = os.path.join(folder_paths.get_input_directory(), "linked_set")
    os.symlink(tmp_path, link)
    assert names(folders, folders.locate("linked_set")) == ["a.png"]


def test_a_link_to_itself_leads_nowhere(folders, tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to("loop")
    listing = folders.list_folder(tmp_path)
    assert [path.name for path in listing.pictures] == ["a.png"] and folders.fingerprint(tmp_path)
    assert listing.left_out == [("loop", "the links lead nowhere")]


def test_a_linked_picture_is_a_picture(folders, tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("a.png")
    assert names(folders, tmp_path) == ["a.png", "b.png"]


@pytest.mark.parametrize("typed, words", [
    ("no/such", "a folder below ComfyUI's input directory that exists or the whole path of a folder elsewhere.*, "
                "got no/such$"),
    ("../output", "a folder below ComfyUI's input directory or an absolute path, got ../output$"),
    ("a/../../b", "or an absolute path, got a/../../b$"),
    ("/no/such", "an absolute path that exists, got /no/such$"),
    ("a\0b", "got a.b$"), ("x" * 5000, r"got x{117}\.\.\.$"), ("\udcff", "got .$"),
    ("~nobody_of_that_name/x", "got ~nobody_of_that_name/x$"), ("a\nb", "got a b$"),
])
def test_a_folder_that_is_not_there_is_one_sentence_without_the_servers_paths(folders, typed, words):
    import folder_paths
    with pytest.raises(ValueError, match=f"^folder: expected .*{words[:-1]}(; there are .*)?$") as error:
        folders.locate(typed)
    assert folder_paths.get_input_directory() not in str(error.value)
    str(error.value).encode()


def test_a_folder_that_is_not_there_names_those_that_are(folders, monkeypatch, tmp_path):
    import folder_paths
    for name in ("ink", "oil", ".hidden"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(folder_paths, "get_input_directory", lambda: str(tmp_path))
    with pytest.raises(ValueError) as error:
        folders.locate("inks")
    assert str(error.value) == ("folder: expected a folder below ComfyUI's input directory that exists or the whole "
                                "path of a folder elsewhere, got inks; there are ink, oil")


def test_a_folder_without_pictures_says_what_it_holds_instead(folders, tmp_path):
    (tmp_path / "a.heic").write_bytes(b"")
    with pytest.raises(ValueError, match=re.escape(f"got none in {tmp_path.name}. Left out, because the installed "
                                                   "Pillow opens no .heic files by itself: a.heic.")):
        folders.require_pictures(folders.list_folder(tmp_path))


def test_names_that_are_no_text_can_be_shown(folders, tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.png"
    with open(path, "wb") as file:
        file.write(b"")
    assert names(folders, tmp_path) == [r"\udcff.png"]
    assert len(folders.fingerprint(tmp_path)) == 64


def test_a_folder_that_may_not_be_read_is_named(folders, tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    picture(tmp_path / "locked" / "b.png")
    scandir = os.scandir

    def refusing(path):                     # root, as tests often run, may read everything
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert names(folders, tmp_path) == ["a.png"]
    assert "the folders cannot be read (Permission denied): locked." in reasons(folders, tmp_path)


def test_cancel_is_looked_at_while_the_files_of_one_folder_are_taken(folders, tmp_path, monkeypatch):
    """A fingerprint asks the disk about each file, which takes long in a folder of very many."""
    for number in range(450):
        (tmp_path / f"{number}.txt").write_text("")
    order, version = [], folders._version
    monkeypatch.setattr(folders, "_version", lambda path: order.append("file") or version(path))
    monkeypatch.setattr(folders, "end_if_cancelled", lambda: order.append("look"))
    folders.fingerprint(tmp_path)
    stretches = " ".join(order).split("look")
    assert max(stretch.count("file") for stretch in stretches) <= 200 and order.count("file") == 450


@pytest.mark.parametrize("layout", ["wide", "deep"])
def test_cancel_ends_the_listing_between_few_files(folders, tmp_path, layout):
    """The listing looks at Cancel at least every 200 entries and in every folder, so it never goes on for long."""
    import comfy.model_management
    for number in range(450):
        path = tmp_path / (f"{number}.txt" if layout == "wide" else f"{number}/x.txt")
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    looks = []
    folders.list_folder(tmp_path, lambda: looks.append(1))
    assert len(looks) >= (4 if layout == "wide" else 450)
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        folders.list_folder(tmp_path)


def test_the_fingerprint_follows_every_file_and_ends_quietly_when_cancelled(folders, tmp_path):
    import comfy.model_management
    picture(tmp_path / "a.png")
    seen = [folders.fingerprint(tmp_path)]
    for name in ("a.txt", "below/b.png", ".hidden.png"):
        picture(tmp_path / name)
        seen.append(folders.fingerprint(tmp_path))
    assert len(set(seen)) == 3 and seen[2] == seen[3]
    comfy.model_management.interrupt_current_processing()
    try:
        assert folders.fingerprint(tmp_path) == ""
        assert comfy.model_management.processing_interrupted()      # the host still has to see it
    finally:
        comfy.model_management.interrupt_current_processing(False)
