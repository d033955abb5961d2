"""Videos on their way to a training set: files, animations and folders of frames, cut to clips of one rate."""
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from training_sets import collected, picture
from training_videos import moving_square, place_of, write_animation, write_frames, write_video

SIZE = (48, 48)


@pytest.fixture
def videos(tmp_path):
    """24 frames at 16 a second as a file, at 10 as an animation, 10 frames in a folder, and a picture."""
    folder = tmp_path / "set"
    folder.mkdir()
    write_video(folder / "a.mkv", moving_square(24, SIZE, step=1), codec="ffv1")
    write_animation(folder / "b.webp", moving_square(24, SIZE, step=1), lossless=True)
    write_frames(folder / "c_frames", moving_square(11, SIZE, step=1))
    picture(folder / "d.png", SIZE)
    for name in "abcd":
        (folder / f"{name}.txt").write_text(f"a square, {name}", encoding="utf-8")
    return folder


def pixels(frames):
    return torch.stack([torch.from_numpy(np.asarray(frame, np.float32) / 255) for frame in frames])


def test_every_kind_of_video_becomes_the_latent_of_its_frames(training, video_vae, clip, videos):
    made, _ = collected(training, video_vae, clip, videos, resolution=48, frames="5, 9", flip=True)
    assert [(s.name, tuple(s.latent.shape)) for s in made.dataset.samples[::2]] == [
        ("a.mkv", (1, 16, 3, 6, 6)), ("b.webp", (1, 16, 3, 6, 6)), ("c_frames", (1, 16, 3, 6, 6)),
        ("d.png", (1, 16, 1, 6, 6))]
    assert [s.options["bottega_text"] for s in made.dataset.samples[::2]] == [f"a square, {name}" for name in "abcd"]
    square = moving_square(11, SIZE, step=1)
    with torch.inference_mode():
        expected = video_vae.encode(pixels(square[:9])).float()
        mirrored = video_vae.encode(pixels(square[:9]).flip(2)).float()
        slower = video_vae.encode(pixels([square[i] for i in (0, 0, 1, 1, 2, 3, 3, 4, 5)])).float()
    of = {s.name: s.latent for s in made.dataset.samples}
    assert torch.equal(of["c_frames"], expected) and torch.equal(of["c_frames (mirrored)"], mirrored)
    assert torch.allclose(of["a.mkv"], expected, atol=0.2) and not torch.allclose(of["a.mkv"], mirrored, atol=0.5)
    assert torch.equal(of["b.webp"], slower)                   # 10 frames a second, shown at 16
    report = training.data.training_set_report
    text = report.report(made, training.data.preparation.Preparation(frames="5, 9"))
    assert "| 48 x 48 x 9 frames | 3 |" in text and "Clips of videos: 3 of 4, at 16 frames a second" in text
    assert report.contact_sheet(made).shape[0] == 1 and made.dataset.fps == 16


def test_a_clip_begins_from_its_first_frame_as_the_host_s_node_gives_it(pack, training, video_vae, clip, videos, train):
    from comfy_extras.nodes_wan import WanImageToVideo
    from training_models import FAMILIES, build
    family = FAMILIES["Wan 2.1"]
    begins = build(family._replace(config="WAN21_I2V", unet=dict(family.unet, model_type="i2v", in_dim=36)))
    made, _ = collected(training, video_vae, clip, videos, resolution=48, frames="9", start_picture=True, flip=True)
    by_name = {sample.name: sample for sample in made.dataset.samples}
    assert "concat_latent_image" not in by_name["d.png"].options
    words, first = torch.zeros(1, 8, 64), pixels(moving_square(1, SIZE, step=1))
    for name, frame in (("c_frames", first), ("c_frames (mirrored)", first.flip(2))):
        sample = by_name[name]._replace(caption=words)
        with torch.inference_mode():
            positive = WanImageToVideo.execute([[words, {}]], [[words, {}]], video_vae, 48, 48, 9, 1, frame).args[0]
        denoiser = training.step.denoiser.Denoiser(begins, 1.0)
        own, wanted = (denoiser.encode(sample._replace(options=options)).conds["c_concat"].cond
                       for options in (sample.options, positive[0][1]))
        assert own.shape == (1, 20, 3, 6, 6) and torch.equal(own, wanted)
    clips = [each._replace(caption=words, variants=()) for each in made.dataset.samples if ".png" not in each.name]
    dataset = training.data.dataset.TrainingSet(clips, [])
    bare = dataset._replace(samples=[each._replace(options={}) for each in clips])
    with_it, without = train(begins, 2, dataset=dataset), train(begins, 2, name="bare", dataset=bare)
    assert with_it.losses != without.losses and not any("start picture" in note for note in with_it.notes)
    assert any("start_picture in Training Set gives" in note for note in without.notes)
    other = train(build(family), 1, name="words", dataset=dataset)
    assert any("takes no notice of" in note for note in other.notes)


@pytest.mark.parametrize("name, codec", [("a.mp4", "mpeg4"), ("b.mkv", "ffv1"), ("c.gif", None), ("d_frames", None)])
def test_frames_are_those_that_are_shown_at_their_time(pack, training, tmp_path, name, codec):
    clips, files = training.data.clips, sys.modules[f"{pack.__name__}.nodes.shared.video_file"]
    square, path = moving_square(40, step=1), tmp_path / name
    if codec:
        video = files.VideoFile(write_video(path, square, codec=codec))
    elif name.endswith(".gif"):
        video = files.Animation(write_animation(path, square))
    else:
        video = files.FrameFolder(name, write_frames(path, square).iterdir(), 16)
    rate = 10 if name.endswith(".gif") else 16
    assert len(video.timeline().times) == 40 and video.timeline().end == pytest.approx(40 / rate, abs=0.01)
    plan = clips.ClipPlan((9, 17), rate / 2, 3)
    found = [clips.clip_of(video, plan, number) for number in range(3)]
    assert all(each.overlaps for each in found)                 # three clips of 17 frames in a video of 20
    places = [[place_of(frame) for frame in each.frames] for each in found]
    own_rate = video.timeline().sampled(0)
    if name.endswith("_frames"):                                # its frames are what is asked for, at whatever rate
        plan = clips.ClipPlan((9, 17), 16, 3)
        places = [[place_of(frame) for frame in clips.clip_of(video, plan, number).frames] for number in range(3)]
        assert places == [[first + i for i in range(17)] for first in (0, 12, 23)]
    else:
        assert places == [[2 * (first + i) for i in range(17)] for first in (0, 2, 3)]
    assert len(own_rate) == 40


def test_a_second_start_decodes_no_video(pack, training, video_vae, clip, videos, monkeypatch, tmp_path):
    import folder_paths
    monkeypatch.setattr(folder_paths, "get_user_directory", lambda: str(tmp_path / "user"))
    files, decoded = sys.modules[f"{pack.__name__}.nodes.shared.video_file"], []
    for kind in (files.VideoFile, files.Animation, files.FrameFolder):
        whole = kind.timeline
        monkeypatch.setattr(kind, "timeline", lambda self, whole=whole: decoded.append(self.name) or whole(self))
    settings = dict(resolution=48, frames="5", clips=2, cache=True)
    first, _ = collected(training, video_vae, clip, videos, **settings)
    assert len(decoded) == 6 and first.reused == 0
    monkeypatch.setattr(video_vae, "encode", None)
    second, _ = collected(training, video_vae, clip, videos, **settings)
    assert len(decoded) == 6 and second.reused == 7
    assert [s.name for s in second.dataset.samples] == [
        "a.mkv (clip 1)", "a.mkv (clip 2)", "b.webp (clip 1)", "b.webp (clip 2)", "c_frames (clip 1)",
        "c_frames (clip 2)", "d.png"]
    known = list(training.data.dataset.outlines(second.dataset.samples))
    assert training.step.validation.by_source(known) == [[0, 1], [2, 3], [4, 5], [6]]   # held out together
    assert all(torch.equal(one.latent, other.latent)
               for one, other in zip(first.dataset.samples, second.dataset.samples, strict=True))
    (videos / "c_frames" / "0.png").write_bytes((videos / "c_frames" / "5.png").read_bytes())
    with pytest.raises(TypeError):                              # another frame is another video
        collected(training, video_vae, clip, videos, **settings)


def test_without_frames_a_folder_is_learnt_as_before(training, video_vae, clip, videos):
    for number in range(11):
        (videos / "c_frames" / f"{number}.txt").write_text("a frame", encoding="utf-8")
    made, _ = collected(training, video_vae, clip, videos, resolution=48)
    assert len(made.dataset.samples) == 13 and {s.latent.shape[2] for s in made.dataset.samples} == {1}
    notes = " ".join(made.dataset.notes)
    assert "because they are videos: a.mkv." in notes and "Videos are learnt where frames says" in notes
    assert "Only the first frame or page is used: b.webp (of 24)" in notes and made.dataset.fps == 0


def alone(folder, *names):
    for path in list(folder.iterdir()):
        if not any(path.name.startswith(name) for name in names):
            (path.unlink if path.is_file() else lambda path=path: [each.unlink() for each in path.iterdir()])()


REFUSED = {
    "too few": (None, {"frames": "33"}, r"folder: a.mkv cannot be learnt as a video \(it has 24 frames at 16 a second, "
                                        r"and frames asks for at least 33\)"),
    "damaged": (lambda f: (f / "a.mkv").write_bytes((f / "a.mkv").read_bytes()[:200]), {"frames": "5"},
                r"folder: a.mkv cannot be learnt as a video \("),
    "no video": (lambda f: (f / "a.mkv").write_text("words"), {"frames": "5"},
                 r"a.mkv cannot be learnt as a video \(Invalid data found"),
    "another size": (lambda f: Image.new("RGB", (40, 48)).save(f / "c_frames" / "3.png"), {"frames": "5"},
                     r"c_frames cannot be learnt as a video \(its frames have 48 x 48 pixels and 40 x 48\)"),
    "words": (None, {"frames": "many"}, "frames: expected numbers of frames from 1 to 10000, such as 17, 33; got many"),
    "does not fit": (None, {"frames": "16"}, r"frames: this VAE takes .*13, 17.* got 16"),
    "a pair": (lambda f: Image.new("RGB", SIZE).save(f / "a_before.png"), {"frames": "5"},
               "folder: expected pairs of pictures, a.mkv is a video and has a_before.png beside it"),
    "videos alone": (lambda f: alone(f, "a."), {},
                     "folder: expected at least one picture, got 1 videos in set. To learn videos, write how many "
                     "frames of them into frames, such as 33."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_learnt_as_a_video_is_refused_with_a_sentence(training, video_vae, clip, videos, case):
    spoil, options, words = REFUSED[case]
    if spoil:
        spoil(videos)
    with pytest.raises(ValueError, match=words):
        collected(training, video_vae, clip, videos, **{"resolution": 48, **options})
    if case == "damaged":
        kept, _ = collected(training, video_vae, clip, videos, resolution=48, unreadable="skip", **options)
        assert "Left out: folder: a.mkv cannot be learnt as a video" in " ".join(kept.dataset.notes)


def test_a_vae_of_pictures_and_a_lacking_package_are_said(training, clip, videos, vae, video_vae, monkeypatch):
    with pytest.raises(ValueError, match="vae: expected that of a video model to learn videos"):
        collected(training, vae, clip, videos, resolution=48, frames="5")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"a.mkv cannot be learnt as a video \(videos are read by the package av"):
        collected(training, video_vae, clip, videos, resolution=48, frames="5")
