"""Pictures are opened by threads while the VAE encodes the ones before: the same bits, within a bound, and no thread is
left behind."""
import threading
from contextlib import contextmanager

import pytest
import torch
from PIL import Image
from training_sets import collected, picture


def left_over():
    return [each.name for each in threading.enumerate() if each.name.startswith("bottega-made-ahead")]


@contextmanager
def one_after_another(at_hand, make, items):
    yield ((item, lambda item=item: make(item)) for item in items)


def same_tensors(one, other):
    return all(first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
               for first, second in ((a.tensors(), b.tensors())
                                     for a, b in zip(one.prepared, other.prepared, strict=True)))


@pytest.mark.parametrize("options", [{}, {"cache": True}, {"leave_out": "duplicate"},
                                     {"leave_out": "duplicate", "cache": True}],
                         ids=["plain", "cache", "leave_out", "leave_out and cache"])
def test_what_is_learnt_is_the_same_bit_for_bit(training, vae, clip, folder, monkeypatch, tmp_path_factory, options):
    import folder_paths
    for number in range(9):
        bands = [Image.effect_noise((90 + 7 * number, 120), spread) for spread in (60, 20, 30)]
        mode, ending = (("RGB", "png"), ("RGB", "jpg"), ("LAB", "tiff"))[number % 3]    # whose colours are brought over
        Image.merge(mode, bands).save(folder / f"noise{number}.{ending}")
    Image.linear_gradient("L").resize((96, 64)).save(folder / "a_mask.png")
    picture(folder / "b_reference.png", (64, 96), (1, 2, 3))
    settings = dict(masks="files", flip=True, default="noise", **options)
    monkeypatch.setattr(training.data.made_ahead, "THREADS", 3)
    results = []
    for ahead in (True, False):
        user = tmp_path_factory.mktemp("user")
        monkeypatch.setattr(folder_paths, "get_user_directory", lambda user=user: str(user))
        if not ahead:
            monkeypatch.setattr(training.data.preparation, "made_ahead", one_after_another)
        made, steps = collected(training, vae, clip, folder, **settings)
        results.append((made, steps, [each.encoded for each in made.prepared], made.dataset.notes))
    (made, *others), (plain, *plain_others) = results
    assert len(made.prepared) == 12 and others == plain_others and same_tensors(made, plain)
    assert not left_over()


def test_the_next_picture_is_opened_while_the_vae_encodes(training, vae, clip, folder, monkeypatch):
    """Without a thread of its own it would be opened afterwards, which the VAE here would wait for in vain."""
    opened, read, encode = [], training.data.sources.read_picture, vae.encode
    second = threading.Event()

    def reading(path):
        opened.append(threading.current_thread())
        if len(opened) == 2:
            second.set()
        return read(path)

    def encoding(pixels):
        assert second.wait(20)
        return encode(pixels)

    monkeypatch.setattr(training.data.sources, "read_picture", reading)
    monkeypatch.setattr(vae, "encode", encoding)
    made, _ = collected(training, vae, clip, folder)
    assert len(made.prepared) == 3 and len(opened) == 3 and threading.main_thread() not in opened


def test_no_more_is_held_than_the_bound(training):
    module, begun, turn = training.data.made_ahead, [], 0
    with module.made_ahead(lambda item: None, begun.append, range(1000)) as made:
        for turn, (item, result) in enumerate(made, 1):
            result()
            assert item == turn - 1 and len(begun) <= turn + module.AHEAD
    assert turn == 1000 and len(begun) == 1000 and not left_over()


def test_an_error_comes_when_it_is_the_picture_s_turn_and_names_it(training, vae, clip, folder, monkeypatch):
    (folder / "b.png").write_bytes(b"not a picture")
    encoded, encode = [], vae.encode
    monkeypatch.setattr(vae, "encode", lambda pixels: encoded.append(1) or encode(pixels))
    with pytest.raises(ValueError, match="^folder: b.png cannot be read as a picture"):
        collected(training, vae, clip, folder)
    assert len(encoded) == 1 and not left_over()
    made, _ = collected(training, vae, clip, folder, unreadable="skip")
    assert [each.source.name for each in made.prepared] == ["a.png", "c.png"]


def test_cancel_opens_no_further_picture(training, vae, clip, folder, monkeypatch):
    for number in range(40):
        picture(folder / f"d{number:02}.png")
    opened, read = [], training.data.sources.read_picture
    monkeypatch.setattr(training.data.sources, "read_picture", lambda path: opened.append(path) or read(path))
    plan = training.data.preparation.Preparation(resolution=64)

    def cancelled(done, of):
        if done == 2:
            raise InterruptedError("cancelled")

    with torch.inference_mode(), pytest.raises(InterruptedError):
        sources, notes = training.data.sources.settled(str(folder), [], [], [], [], "x", "", "none")
        training.data.preparation.prepare(sources, vae, clip, plan, cancelled, notes)
    assert len(opened) <= 2 + training.data.made_ahead.AHEAD and not left_over()


def test_a_second_start_hands_nothing_to_a_thread(training, vae, clip, folder, monkeypatch, tmp_path_factory):
    """What lies in the cache is found sooner than a thread could be asked."""
    import folder_paths
    user = tmp_path_factory.mktemp("user")
    monkeypatch.setattr(folder_paths, "get_user_directory", lambda: str(user))
    threads, begin = [], training.data.picture_maker.Maker.begin

    def noting(self, source):
        threads.append(threading.current_thread())
        return begin(self, source)

    monkeypatch.setattr(training.data.picture_maker.Maker, "begin", noting)
    for _ in range(2):
        made, _ = collected(training, vae, clip, folder, cache=True)
    assert made.reused == len(threads) == 3
