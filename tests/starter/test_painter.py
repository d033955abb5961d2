"""The painter: pictures from seeds, the judge that reads them, and its two nets in the host's own classes."""
import types

import numpy as np
import pytest
import torch
from painter import judge, latents, media, pictures, pool, scenes, spread, train_vae, vae


def scene(kind="still life", **words):
    rng = np.random.default_rng(3)
    while (found := scenes.random_scene(rng)).kind != kind:
        pass
    return found._replace(**words)


@pytest.mark.parametrize("kind", scenes.SUBJECTS)
def test_a_seed_gives_one_picture_and_another_seed_another(kind):
    found = scene(kind)
    first, again, other = pictures.paint(found, 5), pictures.paint(found, 5), pictures.paint(found, 6)
    assert first.shape == (256, 256, 3) and first.dtype == np.uint8
    assert (first == again).all() and (first != other).mean() > 0.5


@pytest.mark.parametrize("medium", scenes.MEDIA + scenes.HELD_OUT_MEDIA)
def test_every_medium_leaves_marks_of_its_own(medium):
    found = scene("landscape", medium=medium, subject="hills", light="day")
    picture = pictures.paint(found, 11).astype(float)
    others = [pictures.paint(found._replace(medium=m), 11) for m in scenes.MEDIA if m != medium]
    assert picture.std() > 15 and min(np.abs(picture - other).mean() for other in others) > 4


def test_a_pane_of_glass_holds_what_is_nearest_to_its_middle_within_one_region():
    region = np.arange(256)[None].repeat(256, 0) // 100
    found = media.panes(region, np.random.default_rng(3))
    x, y = media.spots(np.random.default_rng(3), 24.0)
    line = np.arange(256)
    nearest = np.argmin([np.add.outer((line - b) ** 2, (line - a) ** 2) for a, b in zip(x, y, strict=True)], 0)
    pairs = {(pane, whole) for pane, whole in zip(found.ravel(), (nearest * 3 + region).ravel(), strict=True)}
    assert len(pairs) == found.max() + 1 == len({whole for _, whole in pairs})


def test_every_subject_and_thing_is_painted():
    seen = set()
    for kind, subjects in scenes.SUBJECTS.items():
        for subject in subjects:
            seen.add(pictures.paint(scene(kind, subject=subject, thing="", place=""), 2).tobytes())
    for thing in (*scenes.THINGS, scenes.BOAT):
        seen.add(pictures.paint(scene("landscape", subject="the sea", thing=thing, place="left"), 2).tobytes())
    assert len(seen) == sum(map(len, scenes.SUBJECTS.values())) + len(scenes.THINGS)  # the empty sea was among them


def test_a_caption_names_everything_and_a_mirror_image_the_other_side():
    found = scene("landscape", subject="a lake", thing="a tree", place="left", side="right")
    assert all(word in found.caption for word in found if word)
    other = scenes.mirrored(found)
    assert (other.place, other.side) == ("right", "left") and scenes.mirrored(other) == found


def test_held_out_combinations_and_media_never_reach_the_training_set():
    rng = np.random.default_rng(0)
    drawn = [scenes.random_scene(rng) for _ in range(400)]
    assert not any(scenes.held_out(each) or each.medium in scenes.HELD_OUT_MEDIA for each in drawn)
    assert all(scenes.held_out(scenes.random_scene(rng, test=True)) for _ in range(50))


def test_light_falls_from_the_side_that_is_named():
    for side in scenes.SIDES:
        found = scene(subject="a jug and fruit", light="dark wall", plan="centred", side=side)
        grey = np.mean([pictures.under_painting(found, np.random.default_rng(k)).rgb.mean(2) for k in range(4)], 0)
        jug = grey[110:170, 98:158]
        left, right = jug[:, :30].mean(), jug[:, 30:].mean()
        assert (left > right) == (side == "left"), (side, left, right)


def test_the_judge_accepts_what_is_painted_and_refuses_a_wrong_word():
    """On pictures that it was not fitted on."""
    examiner, rng, accepted, refused = judge.Judge(), np.random.default_rng(1), [], []
    for seed in range(40):
        picture, true = pictures.picture(7_000_000 + seed, media=scenes.MEDIA + scenes.HELD_OUT_MEDIA)
        accepted.append(not examiner.wrong(picture, true))
        name, false = judge.changed(true, rng)
        refused.append(name in examiner.wrong(picture, false))
    assert np.mean(accepted) >= 0.85 and np.mean(refused) >= 0.8, (np.mean(accepted), np.mean(refused))


def test_the_measures_are_those_of_the_pack_and_lie_among_the_paintings():
    found = np.array([spread.measure_seed(seed) for seed in range(3)])
    for column, values in zip(spread.scored(), found.T, strict=True):
        low, high = np.quantile(spread.paintings()[column], (0, 1))
        assert low - (high - low) <= values.min() and values.max() <= high + (high - low), column


def test_a_later_call_measures_only_what_the_file_lacks(tmp_path):
    kept = np.full((2, len(spread.scored())), 7.0)
    np.save(tmp_path / "rows.npy", kept)
    found = spread.measure_many(range(3), path=tmp_path / "rows.npy")
    assert (found[:2] == kept).all() and found[2] == pytest.approx(spread.measure_seed(2))
    assert (np.load(tmp_path / "rows.npy") == found).all()


def test_the_distance_between_distributions_is_the_largest_gap():
    line = np.arange(100.0)
    assert spread.distance(line, line) == 0
    assert spread.distance(line, line + 25) == pytest.approx(0.25)
    assert spread.distance(line, line + 1000) == 1


@torch.inference_mode()
def test_the_host_encodes_and_decodes_as_the_narrow_vae_does():
    import comfy.sd
    generator = torch.Generator().manual_seed(0)
    net = vae.fresh(0, torch.rand(256, 192, generator=generator))
    host = comfy.sd.VAE(sd=vae.for_the_host(net.state_dict()))
    images = torch.rand(1, 3, 64, 96, generator=generator)
    latent, expected = host.encode(images.movedim(1, -1)), net.encode(images)
    torch.testing.assert_close((latent - vae.SHIFT) * vae.SCALE, expected, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(host.decode(latent).movedim(-1, 1), net.decode(expected).clamp(0, 1), atol=2e-3, rtol=0)


def test_a_resumed_training_of_the_vae_goes_on_as_if_it_had_never_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(train_vae, "CROPS", 1)
    monkeypatch.setattr(train_vae.pictures, "picture", lambda seed, **_: (np.random.default_rng(seed).integers(
        0, 255, (256, 256, 3), dtype=np.uint8), None))
    patches, steps = torch.rand(256, 192, generator=torch.Generator().manual_seed(1)), 3
    whole, first, second = (train_vae.Run(0, patches) for _ in range(3))
    learn = lambda run, many: [run.learn(train_vae.Easel(0).crops(run.step), 1e-3) for _ in range(many)]
    learn(whole, steps)
    learn(first, 1)
    first.save(tmp_path / "run.pt")
    second.load(tmp_path / "run.pt")
    learn(second, steps - 1)
    for name, value in whole.average.items():
        torch.testing.assert_close(second.average[name], value, atol=1e-6, rtol=1e-5)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """A folder with six pictures and their latents."""
    folder = tmp_path_factory.mktemp("pool")
    pool.fill(folder, 6, 1, scenes.MEDIA, False)
    from safetensors.torch import save_file
    save_file(vae.fresh(0, torch.rand(256, 192)).half().state_dict(), folder / "vae.safetensors")
    latents.fill(folder, folder / "vae.safetensors")
    return folder


def test_a_pool_goes_on_where_it_stopped_and_its_mirror_images_are_encoded(painted):
    kept, found = pool.opened(painted)
    expected, scene_of_it = pictures.picture(1 + 4, media=scenes.MEDIA)
    assert (kept[4] == expected).all() and found[4] == scene_of_it and len(found) == 6
    before = (painted / "scenes.jsonl").read_bytes()
    pool.fill(painted, 6, 1, scenes.MEDIA, False)
    assert (painted / "scenes.jsonl").read_bytes() == before
    board = latents.opened(painted, 32)
    assert board.shape == (12, 16, 32, 32) and (painted / "encoded.txt").read_text() == "6"
    own = latents.encode(latents.load_vae(painted / "vae.safetensors"), kept[4:5][:, :, ::-1], 32)[0]
    np.testing.assert_allclose(own, board[9], atol=0.02)


def test_a_finished_decoder_has_other_marks_and_the_same_latents(painted, tmp_path, monkeypatch):
    from painter import finish_vae
    from safetensors.torch import load_file
    monkeypatch.setattr(train_vae, "CROPS", 1)
    monkeypatch.setattr(train_vae, "decibels", lambda state, seeds: 0.0)
    finish_vae.finish(types.SimpleNamespace(vae=painted / "vae.safetensors", out=tmp_path / "vae.safetensors", steps=2,
                                            rate=1e-3, weight=1.0, seed=1))
    before, after = load_file(painted / "vae.safetensors"), load_file(tmp_path / "vae.safetensors")
    same = {name for name, value in after.items() if torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in same} == {"cell", "encoder", "latent"}
    assert not any(name.startswith("decoder") for name in same)


def test_marks_are_lost_where_a_picture_is_smoothed():
    from painter import finish_vae
    picture = torch.from_numpy(pictures.paint(scene(medium="oil"), 5)).movedim(-1, 0)[None].float() / 255
    smooth = torch.nn.functional.avg_pool2d(picture, 3, 1, 1)
    assert finish_vae.marks_lost(picture, picture) == 0 and finish_vae.marks_lost(smooth, picture) > 0.01


def test_the_transformer_learns_resumes_and_is_the_hosts_sd3(painted, tmp_path):
    import comfy.sd
    from painter import install, train
    from safetensors.torch import load_file
    settings = {"pool": painted, "seed": 0, "minutes": 9, "rate": 1e-3, "small": 0.5, "every": 9, "steps": 4,
                "until": None, "weights": None, "fine": 0.5}
    arguments = lambda **more: types.SimpleNamespace(**{**settings, **more})
    train.BATCH.update({16: 2, 32: 1})
    train.train(arguments(out=tmp_path / "a.safetensors", resume=tmp_path / "a.pt"))
    train.train(arguments(out=tmp_path / "b.safetensors", resume=tmp_path / "b.pt", until=3))
    train.train(arguments(out=tmp_path / "b.safetensors", resume=tmp_path / "b.pt"))
    one, two = load_file(tmp_path / "a.safetensors"), load_file(tmp_path / "b.safetensors")
    assert all(torch.equal(one[name], two[name]) for name in one)
    model = comfy.sd.load_diffusion_model_state_dict(install.whole_model(one))
    net = model.model.diffusion_model
    assert type(net).__name__ == "OpenAISignatureMMDITWrapper" and len(net.joint_blocks) == train.DEPTH
    assert model.model.latent_format.latent_channels == vae.LATENT_CHANNELS
