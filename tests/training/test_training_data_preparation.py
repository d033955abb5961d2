"""A folder of pictures, or pictures from the graph, become a training set."""
import json
from copy import deepcopy

import pytest
import torch
from PIL import Image
from training_sets import collected, picture


def test_every_picture_gets_its_latent_its_caption_and_a_size_of_its_shape(training, vae, clip, folder):
    made, steps = collected(training, vae, clip, folder)
    a, b, c = made.dataset.samples
    assert [p.source.caption for p in made.prepared] == ["red, a, sheet, plain", "red, b, sheet, plain",
                                                         "red, c, sheet, plain"]
    assert [tuple(p.encoded.cropped) for p in made.prepared] == [(80, 48), (48, 80), (80, 48)]
    assert [tuple(s.latent.shape) for s in (a, b, c)] == [(1, 16, 6, 10), (1, 16, 10, 6), (1, 16, 6, 10)]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert torch.equal(a.latent, vae.encode(made_pixels(80, 48)).float())


def made_pixels(width, height, colour=(200, 30, 60)):
    return (torch.tensor(colour).expand(1, height, width, 3) / 255).contiguous()


def test_without_buckets_every_picture_is_cut_to_a_square(training, vae, clip, folder):
    made, _ = collected(training, vae, clip, folder, buckets=False)
    assert {tuple(p.encoded.cropped) for p in made.prepared} == {(64, 64)}


@pytest.mark.parametrize("resolution, step", [(64, 16), (512, 16), (1024, 16), (1000, 32)])
def test_no_bucket_has_more_pixels_than_asked_for_and_all_fit_the_patches(training, resolution, step):
    sizes = training.data.buckets.bucket_sizes(resolution, step)
    assert all(w % step == 0 and h % step == 0 and w * h <= resolution**2 for w, h in sizes)
    assert all(max(size) <= 3 * min(size) for size in sizes)
    assert sizes[0] == (resolution // step * step,) * 2
    assert len(sizes) == len(set(sizes)) and {(h, w) for w, h in sizes} == set(sizes)


def test_a_picture_takes_the_bucket_nearest_in_shape(training):
    sizes = training.data.buckets.bucket_sizes(512, 16)
    width, height = training.data.buckets.nearest(sizes, 1500, 1000)
    assert abs(width / height - 1.5) < 0.06 and width * height > 0.9 * 512**2


def test_a_subfolder_says_how_often_its_pictures_are_shown(training, vae, clip, folder):
    (folder / "10_lantern").mkdir()
    picture(folder / "10_lantern" / "x.png")
    (folder / "10_lantern" / "x.txt").write_text("lantern", encoding="utf-8")
    made, _ = collected(training, vae, clip, folder, repeats=2)
    assert {s.name: s.repeats for s in made.dataset.samples} == {
        "10_lantern/x.png": 20, "a.png": 2, "b.png": 2, "c.png": 2}


def test_mirrored_copies_keep_caption_and_mask_in_step(training, vae, clip, tmp_path):
    image = Image.new("RGB", (64, 64), (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 32, 64))
    image.save(tmp_path / "half.png")
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    mask.save(tmp_path / "half_mask.png")
    made, _ = collected(training, vae, clip, tmp_path, default="half", flip=True, masks="files")
    plain, mirrored = made.dataset.samples
    assert torch.allclose(mirrored.mask, plain.mask.flip(3)) and plain.mask[..., :32].mean() == 1
    assert torch.allclose(mirrored.latent, vae.encode(mirror_of_half()).float(), atol=1e-5)
    assert plain.caption is mirrored.caption


def test_what_is_held_out_is_not_learnt_mirrored(training, vae, clip, folder):
    picture(folder / "d.png")
    made, _ = collected(training, vae, clip, folder, default="x", flip=True)
    known = list(training.data.dataset.outlines(made.dataset.samples))
    session = training.step.session.Session.__new__(training.step.session.Session)
    recipe = training.plan.recipe.Recipe(validation=training.plan.recipe.ValidationPlan(2))
    session.settings = training.plan.settings.Settings(1, 1, 1, 1, 0, recipe)
    learnt, held = session._split(known)
    assert [known[i].name for i in held] == ["b.png", "d.png"]
    assert [known[i].name for i in learnt] == ["a.png", "a.png (mirrored)", "c.png", "c.png (mirrored)"]


def mirror_of_half():
    pixels = torch.zeros(1, 64, 64, 3)
    pixels[:, :, :32] = 1
    return pixels


def test_transparent_parts_can_be_left_out_of_the_loss(training, vae, clip, tmp_path):
    image = Image.new("RGBA", (64, 64), (200, 30, 60, 0))
    image.paste((200, 30, 60, 255), (16, 16, 48, 48))
    image.save(tmp_path / "cut.png")
    made, _ = collected(training, vae, clip, tmp_path, default="x", masks="alpha")
    sample, = made.dataset.samples
    assert sample.mask[0, 0, 32, 32] == 1 and sample.mask[0, 0, 2, 2] == 0


def test_tags_are_shuffled_behind_those_that_are_kept(training, vae, clip, folder):
    (made, _), (again, _) = (collected(training, vae, clip, folder, tag_shuffles=1, keep_first=1) for _ in range(2))
    assert [len(s.variants) for s in made.dataset.samples] == [1, 1, 1]
    report, plan = training.data.training_set_report.report, training.data.preparation.Preparation(tag_shuffles=1)
    assert "Each caption has 1 further order of tags; the first 1 stay in place." in report(made, plan)
    assert "No caption has two tags or more behind the first 3, so" in report(made, plan._replace(keep_first=3))
    orders = training.data.captions.variants("red, a, sheet, plain", 5, 2, seed=4)
    assert all(order.startswith("red, a, ") and sorted(order.split(", ")) == sorted(["red", "a", "sheet", "plain"])
               for order in orders)
    weighed = training.data.captions.variants(r"x, (red, (a:2), b:1.4), \(c, d\), e), f", 9, 1, 4, "weights")
    parts = ["(red, (a:2), b:1.4)", r"\(c", r"d\)", "e)", "f"]
    assert all(sorted(p for p in parts if p in order) == sorted(parts) for order in weighed)
    assert not training.data.captions.can_shuffle("x, (red, a:1.4)", 1, "weights")
    assert torch.equal(made.dataset.samples[0].variants[0][0], again.dataset.samples[0].variants[0][0])


def test_the_empty_caption_is_there_for_dropout(training, vae, clip, folder):
    made, _ = collected(training, vae, clip, folder, caption_dropout=0.25)
    assert made.dataset.caption_dropout == 0.25
    assert made.dataset.empty[0].shape == made.dataset.samples[0].caption.shape


def test_a_picture_beside_another_is_what_editing_starts_from(training, vae, clip, folder):
    picture(folder / "a_reference.png", (96, 64), (10, 200, 30))
    made, _ = collected(training, vae, clip, folder)
    a, b = made.dataset.samples[:2]
    assert torch.equal(a.options["reference_latents"][0], vae.encode(made_pixels(80, 48, (10, 200, 30))).float())
    assert "reference_latents" not in b.options


def test_regularisation_pictures_have_their_own_weight(training, vae, clip, folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("class")
    picture(other / "r.png")
    made, _ = collected(training, vae, clip, folder, default="a thing", regular=other, regularisation_weight=0.5)
    with pytest.raises(ValueError, match="^regularisation_folder: expected a text file beside every picture; 1 of 1"):
        collected(training, vae, clip, folder, regular=other)
    assert [(s.is_regularisation, s.weight) for s in made.dataset.samples] == [(False, 1.0)] * 3 + [(True, 0.5)]


def test_pictures_from_the_graph_take_captions_and_masks(training, vae, clip):
    images = [torch.rand(1, 64, 64, 3), torch.rand(1, 48, 80, 3)]
    masks = [torch.ones(1, 64, 64), torch.zeros(1, 48, 80)]
    made, _ = collected(training, vae, clip, images=images, captions=["one", "two"], mask=masks)
    assert [p.source.caption for p in made.prepared] == ["one", "two"]
    assert [s.mask.mean().item() for s in made.dataset.samples] == [1, 0]


def test_small_pictures_are_named_as_enlarged(training, vae, clip, tmp_path):
    picture(tmp_path / "dot.png", (1, 1))
    made, _ = collected(training, vae, clip, tmp_path, default="x")
    assert "dot.png most (64.0 times)" in made.dataset.notes[0]


def broken(folder):
    (folder / "b.png").write_bytes(b"not a picture")


def test_an_unreadable_picture_is_named_or_left_out_when_asked(training, vae, clip, folder):
    broken(folder)
    with pytest.raises(ValueError, match="folder: b.png cannot be read as a picture"):
        collected(training, vae, clip, folder)
    made, _ = collected(training, vae, clip, folder, unreadable="skip")
    assert len(made.dataset.samples) == 2 and "Left out: folder: b.png" in made.dataset.notes[0]


def test_what_lies_in_the_folder_and_has_no_part_is_named(training, vae, clip, folder):
    Image.new("L", (96, 64)).save(folder / "a_mask.png")
    for name in ("z_mask", "gone_reference", "venetian_mask"):
        picture(folder / f"{name}.png")
    (folder / "gone.txt").write_text("nobody's", encoding="utf-8")
    without, _ = collected(training, vae, clip, folder)
    strays = ("Left alone, because no picture has that name: gone.txt, gone_reference.png, venetian_mask.png, "
              "z_mask.png.")
    assert without.dataset.notes[:2] == [strays, "Masks lie beside a.png and are not used: masks is not set to files."]
    used, _ = collected(training, vae, clip, folder, masks="files")
    assert used.dataset.notes[:1] == [strays] and "not used" not in " ".join(used.dataset.notes)
    plan = training.data.preparation.Preparation()
    assert f"- {strays}" in training.data.training_set_report.report(used, plan)


@pytest.mark.parametrize("spoil, options, words", [
    (lambda f: [p.unlink() for p in list(f.iterdir())], {}, "expected at least one picture"),
    (lambda f: (f / "a.txt").unlink(), {}, r"1 of 3 have none \(a.png\)"),
    (lambda f: (f / "a.txt").write_bytes(b"\xff\xfe\xfa"), {}, "expected UTF-8 text, a.txt"),
    (lambda f: Image.new("L", (9, 9)).save(f / "a_mask.png"), {"masks": "files"}, "96 x 64 pixels for a.png, got 9 x"),
    (lambda f: None, {"resolution": 24}, "resolution: expected at least 32 pixels"),
    (lambda f: None, {"captions": ["x", "y"]}, "expected 1 caption or 3"),
    (lambda f: None, {"images": [torch.rand(1, 32, 32, 3)]}, "either a folder or images.*both"),
    (lambda f: None, {"mask": [torch.rand(1, 32, 32)]}, "mask: expected only with images"),
    (lambda f: None, {"regular": "/nowhere/at/all"}, "regularisation_folder: expected an absolute path"),
])
def test_what_cannot_be_learnt_from_is_refused_with_a_sentence(training, vae, clip, folder, spoil, options, words):
    spoil(folder)
    with pytest.raises(ValueError, match=words):
        collected(training, vae, clip, folder, **options)


def test_nothing_at_all_is_refused(training, vae, clip):
    with pytest.raises(ValueError, match="either a folder or images from the graph, got neither"):
        collected(training, vae, clip)
    with pytest.raises(ValueError, match="that exists or the whole path .*, got no/such/folder"):
        collected(training, vae, clip, "no/such/folder")


def test_the_contact_sheet_shows_every_picture_and_the_report_counts_them(training, vae, clip, folder):
    made, _ = collected(training, vae, clip, folder, caption_dropout=0.1)
    sheet = training.data.training_set_report.contact_sheet(made)
    text = training.data.training_set_report.report(made, training.data.preparation.Preparation(caption_dropout=0.1))
    assert sheet.shape[0] == 1 and sheet.shape[2] > 3 * 160
    assert "3 pictures" in text and "| 80 x 48 | 2 |" in text and "10%" in text


@pytest.mark.parametrize("linked", [False, True])
def test_in_a_real_graph_it_gives_its_sheet_and_follows_its_folder(host, folder, starter, feed, linked):
    import shutil
    from pathlib import Path

    import folder_paths
    sheets = Path(folder_paths.get_input_directory()) / f"sheets {linked}"
    shutil.copytree(folder, sheets)
    graph = {
        "1": {"class_type": "VAELoader", "inputs": {"vae_name": starter.VAE}},
        "2": {"class_type": "CLIPLoader", "inputs": {"clip_name": starter.TEXT, "type": "sd3"}},
        "3": {"class_type": "BottegaTrainingSet", "inputs": {
            "vae": ["1", 0], "clip": ["2", 0], "folder": ["5", 0] if linked else sheets.name,
            "resolution": 64, "buckets": True, "repeats": 1}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 2]}},
        "5": feed("STRING", sheets.name), "6": feed("STRING", ""),
    }
    if linked:
        graph["3"]["inputs"] |= dict.fromkeys(("table", "where", "regularisation_folder"), ["6", 0])
    outputs, _ = host.run(deepcopy(graph))
    assert "3 pictures" in outputs["3"]["text"][0] and len(outputs["4"]["images"]) == 1
    assert "3" not in host.run(deepcopy(graph))[1]
    (sheets / "a.txt").write_text("changed", encoding="utf-8")
    assert "3" in host.run(deepcopy(graph))[1]
    assert "3" not in host.run(deepcopy(graph))[1]


def test_without_a_folder_it_follows_the_pictures_of_its_table(host, training, folder):
    gallery = host.tmp / "output" / "galleries" / "followed"
    gallery.mkdir(parents=True)
    (gallery / "gallery.json").write_text(json.dumps({"columns": [], "root": str(folder)}))
    asked = [training.nodes.TrainingSet.fingerprint_inputs(table=["followed"]) for _ in range(2)]
    (folder / "a.txt").write_text("changed")
    assert asked[0] == asked[1] != training.nodes.TrainingSet.fingerprint_inputs(table=["followed"])
