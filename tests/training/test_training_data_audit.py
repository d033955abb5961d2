"""The audit of a training set: faults planted into scikit-image's pictures are found, sound ones are left alone."""
import io
import tracemalloc
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps
from training_sets import collected, picture

skimage = pytest.importorskip("skimage")

# Photographs and scans that the package carries. Not among them: cell.png, a micrograph that is soft at every size, and
# color.png, a smooth wheel of colours; the audit calls both soft.
PICTURES = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png",
            "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png",
            "retina.jpg", "rocket.jpg", "text.png")
EACH = 7


@pytest.fixture(scope="module")
def sound():
    """Parts of each picture at about half their size: what is sharp at its size."""
    rng, made = np.random.default_rng(21), []
    for name in PICTURES:
        whole = Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")
        for _ in range(EACH):
            share, scale = rng.uniform(0.75, 1), rng.uniform(0.4, 0.55)
            wide, high = int(whole.width * share), int(whole.height * share)
            x, y = rng.integers(0, whole.width - wide + 1), rng.integers(0, whole.height - high + 1)
            made.append(whole.crop((x, y, x + wide, y + high)).resize((int(wide * scale), int(high * scale)),
                                                                      Image.Resampling.LANCZOS))
    return made


def as_jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def enlarged(image, times, by):
    small = image.resize((int(image.width / times), int(image.height / times)), Image.Resampling.LANCZOS)
    return small.resize(image.size, by)


SOFT = {
    "blurred": lambda image, rng: image.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 4))),
    "out of focus": lambda image, rng: image.filter(ImageFilter.BoxBlur(int(rng.integers(2, 5)))),
    "enlarged": lambda image, rng: enlarged(image, rng.uniform(2, 4), Image.Resampling(int(rng.integers(1, 4)))),
    "repeated": lambda image, rng: enlarged(image, rng.uniform(2, 4), Image.Resampling.NEAREST)}


def faults_of(training, image):
    audit = training.data.audit.findings
    seen = audit.look(image, training.data.buckets.Size(*image.size), 1.0)
    return {fault for fault, *_ in audit._of_one("a caption", seen)}


def test_sound_pictures_are_left_alone(training, sound):
    found = [faults_of(training, image) for image in sound]
    assert sum(map(bool, found)) <= 0.01 * len(sound)
    assert sum(bool(faults_of(training, as_jpeg(image, 85))) for image in sound) <= 0.01 * len(sound)


@pytest.mark.parametrize("kind", SOFT)
def test_blurred_and_enlarged_pictures_are_found(training, sound, kind):
    rng = np.random.default_rng(3)
    found = ["soft" in faults_of(training, SOFT[kind](image, rng)) for image in sound]
    assert np.mean(found) >= 0.95


def test_damage_by_jpeg_is_found_where_the_file_is_one_no_longer(training, sound):
    """Its quality is that which Pillow wrote, told from the pixels alone."""
    quality = training.data.audit.picture_faults.jpeg_quality
    told = np.array([quality(np.asarray(as_jpeg(image, 20).convert("L"), np.float32)) for image in sound])
    assert np.mean(np.abs(told - 20) < 2) >= 0.95
    shifted = [as_jpeg(image, 20).crop((3, 5, *image.size)) for image in sound]
    assert np.mean(["jpeg" in faults_of(training, image) for image in shifted]) >= 0.95


LIKE = {
    "smaller": lambda i: i.resize((i.width // 2, i.height // 2)), "mirrored": ImageOps.mirror,
    "brighter": lambda i: ImageEnhance.Brightness(i).enhance(1.25), "grey": lambda i: i.convert("L").convert("RGB"),
    "paler": lambda i: ImageEnhance.Contrast(i).enhance(0.6), "compressed": lambda i: as_jpeg(i, 20),
    "cropped": lambda i: i.crop((int(0.04 * i.width), int(0.03 * i.height), int(0.97 * i.width), int(0.96 * i.height))),
    "signed": lambda i: _signed(i)}


def _signed(image):
    image = image.copy()
    ImageDraw.Draw(image).text((5, image.height - 16), "made by nobody", fill=(255, 255, 255))
    return image


def test_near_duplicates_are_found_and_no_others(training, sound):
    near = training.data.audit.near_duplicates
    originals = [near.fingerprint(image) for image in sound[::EACH]]
    found = []
    for change in LIKE.values():
        changed = [near.fingerprint(change(image)) for image in sound[::EACH]]
        pairs = {pair for group in near.near_duplicates([*originals, *changed]) for pair in combinations(group, 2)}
        wanted = {(i, i + len(originals)) for i in range(len(originals))}
        found.append(len(pairs & wanted) / len(wanted))
        assert len(pairs - wanted) <= 0.01 * len(originals) ** 2 / 2
    assert np.mean(found) >= 0.95
    assert near.near_duplicates([]) == [] and near.near_duplicates(originals[:1]) == []


def test_many_equal_pictures_take_memory_by_their_number_alone(training):
    near = training.data.audit.near_duplicates
    one = near.Fingerprint(0x091a2b3c4d5e6f78, 0x07f6e5d4c3b2a190, bytes(range(0, 128, 2)))
    tracemalloc.start()
    try:
        assert near.near_duplicates([one] * 2000) == [list(range(2000))]
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()


def test_bits_are_counted_alike_by_old_numpy(training):
    near = training.data.audit.near_duplicates
    numbers = np.random.default_rng(1).integers(0, 2**63, (3, 50), dtype=np.uint64)
    assert np.array_equal(near.BITS_OF[numbers.view(np.uint16).reshape(3, 50, 4)].sum(-1),
                          [[bin(number).count("1") for number in row] for row in numbers.tolist()])


@pytest.mark.parametrize("caption, again", [
    ("red, blue, red", "red"), ("long_hair, smile, long hair", "long hair"), ("a red sheet, blue", ""),
    ("a dog on a sofa and a dog on a sofa and a dog on a sofa", "a dog on"), ("", ""), ("the cat and the dog", ""),
])
def test_captions_that_repeat_themselves(training, caption, again):
    assert training.data.audit.caption_faults.repeats_itself(caption) == again


@pytest.mark.parametrize("caption, chroma, both", [
    ("1girl, no humans", 0.5, "no humans and 1girl"), ("Indoors, outdoors", 0.5, "indoors and outdoors"),
    ("monochrome, hat", 0.5, "monochrome, but it has colour"), ("monochrome, hat", 0.0, ""), ("day, sky", 0.5, ""),
])
def test_captions_that_contradict_themselves_or_their_picture(training, caption, chroma, both):
    assert training.data.audit.caption_faults.contradicts(caption, chroma) == both


def test_what_every_caption_names_is_told(training):
    everywhere = training.data.audit.caption_faults.in_every_caption
    assert everywhere([f"sks, paper, a {animal} on the table" for animal in ("dog", "cat", "cow", "hen", "pig")]) == [
        "paper", "sks", "table"]
    assert everywhere(["sks, a", "sks, b"]) == [] and everywhere(["sks"] * 9) == []


@pytest.fixture(scope="module")
def faulty(tmp_path_factory, sound):
    """Six pictures: one that is sound, its brighter copy, a blurred one, a tiny one, one damaged by JPEG, one whose
    caption says monochrome of a red sheet; shown unequally often."""
    root = tmp_path_factory.mktemp("faulty")
    (root / "25_often").mkdir()
    made = {"a.png": sound[0], "b.png": ImageEnhance.Brightness(sound[0]).enhance(1.2),
            "c.png": sound[3 * EACH].filter(ImageFilter.GaussianBlur(3)), "d.png": sound[4 * EACH].resize((40, 40)),
            "25_often/e.png": as_jpeg(sound[5 * EACH], 10), "f.png": Image.new("RGB", (160, 120), "red")}
    for name, image in made.items():
        image.save(root / name)
        (root / name).with_suffix(".txt").write_text(f"sks, paper, {name[-5]}" + ", monochrome" * (name == "f.png"))
    return root


def test_the_report_and_the_sheet_show_what_was_found(training, vae, clip, faulty):
    made, _ = collected(training, vae, clip, faulty, resolution=96)
    notes = " ".join(made.dataset.notes)
    for sentence in ("Nearly the same as another picture: b.png (like a.png).",
                     "Blurred, or enlarged from a smaller picture: c.png (spectrum falls by",
                     "Damaged by JPEG: 25_often/e.png (quality about 10).",
                     "Much smaller than their size in training: d.png (enlarged 2.4 times).",
                     "Captions that cannot be meant so: f.png (says monochrome, but it has colour).",
                     "Named in every caption, so that it means whatever all pictures have: paper, sks.",
                     "Folders are shown unequally often in an epoch: 25_often 25, the folder itself 5."):
        assert sentence in notes
    assert len(made.dataset.samples) == 6 and len(made.worst) == 5
    assert training.data.training_set_report.worst_sheet(made).shape[0] == 1
    silent, _ = collected(training, vae, clip, faulty, resolution=96, audit=False)
    assert "Nearly" not in " ".join(silent.dataset.notes) and not silent.worst
    assert training.data.training_set_report.worst_sheet(silent).shape[0] == 1


def test_a_sound_picture_stays_where_a_faulty_one_of_its_name_is_left_out(training, vae, clip, tmp_path, sound):
    for number, (folder, caption) in enumerate((("own", "sks 1, on a table"), ("class", "lantern, lantern"))):
        (tmp_path / folder).mkdir()
        sound[number * EACH].save(tmp_path / folder / "01.png")
        (tmp_path / folder / "01.txt").write_text(caption)
    sound[2 * EACH].save(tmp_path / "class" / "02.png")
    (tmp_path / "class" / "02.txt").write_text("a lantern")
    made, _ = collected(training, vae, clip, tmp_path / "own", regular=tmp_path / "class", leave_out="caption")
    assert [p.source.caption for p in made.prepared] == ["sks 1, on a table", "a lantern"]
    assert "Left out, as leave_out asks: 01.png (regularisation)." in made.dataset.notes
    folders = training.data.audit.findings.notes(["01.png"] * 2, ["a", "b"], [30, 1], [], [False, True])
    assert not any("unequally" in note for note in folders)


def test_what_was_found_can_be_left_out(training, vae, clip, faulty):
    made, steps = collected(training, vae, clip, faulty, resolution=96, leave_out="duplicate, soft jpeg")
    assert [p.source.name for p in made.prepared] == ["a.png", "d.png", "f.png"]
    assert "Left out, as leave_out asks: 25_often/e.png, b.png, c.png." in " ".join(made.dataset.notes)
    assert steps == sorted(steps, key=lambda step: step[0] / step[1])
    with pytest.raises(ValueError, match="^leave_out: expected any of duplicate, soft, .*, watermark, got blurry"):
        collected(training, vae, clip, faulty, leave_out="blurry")


def test_nothing_to_learn_is_said_when_all_is_left_out(training, vae, clip, tmp_path):
    picture(tmp_path / "a.png", (8, 8))
    with pytest.raises(ValueError, match="expected at least one picture .* Left out, as leave_out asks: a.png"):
        collected(training, vae, clip, tmp_path, default="x", leave_out="small")
