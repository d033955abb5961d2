"""What is kept on disk by content: nothing is read or encoded twice, and nothing of it is held in memory."""
import gc
import json
import os
import threading
import weakref

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from training_models import tiny_sd3
from training_sets import collected, picture


@pytest.fixture
def kept(tmp_path_factory, monkeypatch):
    """The folder of the cache, in a user folder of the test's own."""
    import folder_paths
    user = tmp_path_factory.mktemp("user")
    monkeypatch.setattr(folder_paths, "get_user_directory", lambda: str(user))
    return user / "bottega" / "latents"


@pytest.fixture
def work(training, vae, clip, monkeypatch):
    """Counts pictures that are opened and files, latents and captions that are made: work()."""
    done = {"opened": 0, "hashed": 0, "latents": 0, "captions": 0}

    def counting(owner, name, what):
        whole = getattr(owner, name)

        def counted(*args, **options):
            done[what] += 1
            return whole(*args, **options)
        monkeypatch.setattr(owner, name, counted)

    counting(training.data.sources, "read_picture", "opened")
    counting(training.data.disk_cache, "hash_of_file", "hashed")
    counting(vae, "encode", "latents")
    counting(clip, "encode_from_tokens_scheduled", "captions")

    def since():
        counts = dict(done)
        done.update(dict.fromkeys(done, 0))
        return counts
    return since


def same(one, other):
    return all(
        torch.equal(a.latent, b.latent) and torch.equal(a.caption, b.caption) and a.name == b.name
        and a.repeats == b.repeats and len(a.variants) == len(b.variants) and a.options.keys() == b.options.keys()
        and all(torch.equal(x[0], y[0]) for x, y in zip(a.variants, b.variants, strict=True))
        and (a.mask is None) == (b.mask is None) and (a.mask is None or torch.equal(a.mask, b.mask))
        for a, b in zip(one.dataset.samples, other.dataset.samples, strict=True))


def test_a_second_start_reads_no_picture_and_encodes_nothing(training, vae, clip, folder, kept, work):
    Image.linear_gradient("L").resize((96, 64)).save(folder / "a_mask.png")
    picture(folder / "b_reference.png", (64, 96), (1, 2, 3))
    settings = dict(masks="files", flip=True, tag_shuffles=2, leave_out="duplicate", repeats=3)
    plain, _ = collected(training, vae, clip, folder, **settings)
    work()
    first, _ = collected(training, vae, clip, folder, cache=True, **settings)
    assert min(work().values()) > 0 and first.reused == 0
    second, _ = collected(training, vae, clip, folder, cache=True, **settings)
    assert work() == {"opened": 0, "hashed": 0, "latents": 0, "captions": 0}
    assert second.reused == len(second.prepared) > 0
    assert same(plain, first) and same(first, second)
    report, sheet = training.data.training_set_report.report, training.data.training_set_report.contact_sheet
    plan = training.data.preparation.Preparation(cache=True, **settings)
    assert torch.equal(sheet(plain), sheet(second))
    assert set(report(plain, plan).splitlines()) == {
        line for line in report(second, plan).splitlines() if "earlier runs" not in line and "The cache" not in line}


def test_only_what_changed_is_made_again(training, vae, clip, folder, kept, work):
    collected(training, vae, clip, folder, cache=True)
    picture(folder / "b.png", (64, 96), (9, 200, 9))
    (folder / "c.txt").write_text("a new caption")
    work()
    again, _ = collected(training, vae, clip, folder, cache=True)
    assert work() == {"opened": 1, "hashed": 1, "latents": 1, "captions": 1} and again.reused == 2
    (folder / "b.png").rename(folder / "d.png")
    (folder / "b.txt").rename(folder / "d.txt")
    again, _ = collected(training, vae, clip, folder, cache=True)
    assert work()["opened"] == 0 and again.reused == 3            # by content, not by name
    collected(training, vae, clip, folder, cache=True, resolution=96)
    assert work()["latents"] == 3


def test_damaged_entries_are_made_again_and_an_unwritable_cache_is_said(training, vae, clip, folder, kept, monkeypatch):
    first, _ = collected(training, vae, clip, folder, cache=True)
    latents = [sample.latent.clone() for sample in first.dataset.samples]
    for number, entry in enumerate(sorted(kept.iterdir())):
        entry.write_bytes(entry.read_bytes()[:40] if number % 2 else b"")
    second, _ = collected(training, vae, clip, folder, cache=True)
    assert all(torch.equal(a, b.latent) for a, b in zip(latents, second.dataset.samples, strict=True))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    for entry in kept.iterdir():
        entry.unlink()
    monkeypatch.setattr(training.data.disk_cache, "write_tensors", full)
    third, _ = collected(training, vae, clip, folder, cache=True)
    assert all(torch.equal(a, b.latent) for a, b in zip(latents, third.dataset.samples, strict=True))
    assert "The cache could not be written (No space left on device)" in " ".join(third.dataset.notes)


def test_what_is_lost_or_damaged_while_it_is_used_is_made_anew(training, vae, clip, folder, kept, work):
    made, _ = collected(training, vae, clip, folder, cache=True)
    before = [(sample.latent.clone(), sample.caption.clone()) for sample in made.dataset.samples]
    for number, entry in enumerate(sorted(kept.glob("*.safetensors"))):
        content = bytearray(entry.read_bytes())
        content[-9] ^= 4                                           # one bit of a number; the header stays whole
        entry.write_bytes(content) if number % 2 else entry.unlink()
    work()
    for sample, (latent, caption) in zip(made.dataset.samples, before, strict=True):
        assert torch.equal(sample.latent, latent) and torch.equal(sample.caption, caption)
    assert work() == {"opened": 3, "hashed": 3, "latents": 3, "captions": 3}
    assert [torch.equal(sample.latent, latent) for sample, (latent, _) in zip(made.dataset.samples, before, strict=True)
            ] == [True] * 3 and work()["latents"] == 0
    for entry in kept.glob("*.safetensors"):
        entry.unlink()
    picture(folder / "a.png", (64, 96), (9, 200, 9))
    with pytest.raises(ValueError, match="^cache: what was kept of a.png is gone .* run Training Set again.$"):
        _ = made.dataset.samples[0]


def test_a_cache_keeps_to_its_limit_and_what_is_in_use(training, vae, clip, folder, kept):
    old, _ = collected(training, vae, clip, folder, cache=True)
    size = sum(entry.stat().st_size for entry in kept.glob("*.safetensors"))
    for age, entry in enumerate(sorted(kept.glob("*.safetensors")), 1):
        os.utime(entry, (1e9 + age, 1e9 + age))
    assert len(list(kept.glob("*.safetensors"))) == 7 and "holds 7 entries" in old.cached
    other, _ = collected(training, vae, clip, folder, cache=True, resolution=96, cache_limit=1e-9)
    # the captions are this set's too, and stay; the first set's pictures make room
    assert "3 that were not used for longest were removed, which is more than cache_limit" in other.cached
    assert len(list(kept.glob("*.safetensors"))) == 7 and size > 1
    assert "removed" not in collected(training, vae, clip, folder, cache=True, cache_limit=0.0)[0].cached


def trained(training, dataset, name, **more):
    """(LoRA, losses) of six steps on a small model that takes the text encoder's captions."""
    plans = training.plan
    settings = plans.settings.Settings(6, 2, 1e-3, 2, 3, plans.recipe.Recipe(
        validation=plans.recipe.ValidationPlan(1, 3), checkpoints=plans.recipe.CheckpointPlan(2, 1)))
    run = training.training_run.train(tiny_sd3(text=4096, pooled=2048), dataset, settings, name,
                                      training.monitoring.progress.Progress(6, "1"), **more)
    return run.tensors, run.losses


def test_a_training_streams_a_cached_set_and_learns_the_same(training, vae, clip, folder, kept, work, own_output_folder,
                                                             monkeypatch):
    settings = dict(tag_shuffles=1, caption_dropout=0.3, flip=True)
    plain = trained(training, collected(training, vae, clip, folder, **settings)[0].dataset, "plain")
    cached, _ = collected(training, vae, clip, folder, cache=True, **settings)
    work()
    encoded = training.step.denoiser.Denoiser.encode
    at_once, most = weakref.WeakSet(), []

    def counted(*args):
        made = encoded(*args)
        at_once.add(made.latent)
        most.append(len(at_once))
        return made
    monkeypatch.setattr(training.step.denoiser.Denoiser, "encode", counted)
    streamed = trained(training, cached.dataset, "streamed")
    assert all(torch.equal(plain[0][key], streamed[0][key]) for key in plain[0]) and plain[1] == streamed[1]
    assert max(most) <= 5 < len(cached.dataset.samples)         # a batch, the one before, and the one held out
    again, _ = collected(training, vae, clip, folder, cache=True, **settings)
    assert trained(training, again.dataset, "again")[1] == plain[1]
    assert work() == {"opened": 0, "hashed": 0, "latents": 0, "captions": 0}
    for entry in list(kept.glob("*.safetensors"))[::2]:
        entry.write_bytes(entry.read_bytes()[:-1])
    assert trained(training, again.dataset, "damaged")[1] == plain[1] and work()["latents"] > 0
    resumed = trained(training, again.dataset, "again", resume=next(
        f"again/{path.name}".removesuffix(".safetensors") for path in (own_output_folder / "training" / "again").glob(
            "step_*")))
    assert all(torch.equal(plain[0][key], resumed[0][key]) for key in plain[0])


def test_a_set_that_is_streamed_has_the_outlines_of_one_in_memory(training, vae, clip, folder, kept):
    picture(folder / "b_reference.png", (64, 96), (1, 2, 3))
    outlines, concept = training.data.dataset.outlines, training.data.concept
    plain, _ = collected(training, vae, clip, folder, flip=True, repeats=2)
    cached, _ = collected(training, vae, clip, folder, flip=True, repeats=2, cache=True)
    prompt = [[torch.zeros(1, 4, 8), {}]]
    for change in (lambda made: made, lambda made: concept.slider(made, prompt, None, 1.0),
                   lambda made: concept.preserving(made, prompt, 0.5)):
        one, other = change(plain.dataset), change(cached.dataset)
        assert list(outlines(one.samples)) == list(outlines(other.samples)) and len(list(outlines(one.samples))) >= 6
        assert [s.name for s in one.samples] == [s.name for s in other.samples]
        assert isinstance(other.samples, training.data.dataset.LazySamples)


def test_encoders_with_a_lora_are_not_mixed_up_with_those_without(training, vae, clip, folder, kept, work):
    collected(training, vae, clip, folder, cache=True)
    patched = clip.clone()
    name = next(name for name, _ in patched.cond_stage_model.named_parameters() if name.endswith("fc1.weight"))
    patched.patcher.patches[name] = [(1.0, ("diff", (torch.ones(1),)), 1.0, None, None)]
    assert training.data.captions.encoders_identity(patched) is None
    skipped = clip.clone()
    skipped.clip_layer(-2)
    assert training.data.captions.encoders_identity(skipped) != training.data.captions.encoders_identity(clip)


def test_files_are_read_ahead_by_one_thread_that_ends_with_the_training(training, vae, clip, folder, kept,
                                                                        own_output_folder, monkeypatch):
    """Every picture but the first batch's comes from what was read ahead; nothing of it is left over."""
    cached, _ = collected(training, vae, clip, folder, cache=True, flip=True)
    cache, threads, late = training.data.disk_cache.DiskCache, set(), []
    read_ahead, load, read = cache.read_ahead, cache.load, cache._read
    most, caches = [0], set()

    def noting(self, key):
        threads.add(threading.current_thread())
        read_ahead(self, key)
        most[0] = max(most[0], len(self.ahead))

    def reading(self, key):
        if threading.current_thread() is threading.main_thread():
            late.append(key)
        return read(self, key)

    def loading(self, key):
        caches.add(self)
        return load(self, key)
    for name, form in (("read_ahead", noting), ("_read", reading), ("load", loading)):
        monkeypatch.setattr(cache, name, form)
    streamed = trained(training, cached.dataset, "ahead")
    thread, = threads
    assert not thread.is_alive() and thread is not threading.main_thread()
    assert 0 < most[0] <= 64
    # Six steps are three epochs, as one picture of three is held out with its mirror image.
    assert len(late) <= 20 and caches and not any(each.ahead for each in caches)
    plain, _ = collected(training, vae, clip, folder, flip=True)
    assert trained(training, plain.dataset, "plain")[1] == streamed[1]


def test_captions_in_many_orders_are_still_at_hand_when_it_is_their_turn(training, vae, clip, tmp_path, kept,
                                                                         monkeypatch):
    for name in "abcde":
        picture(tmp_path / f"{name}.png", colour=(ord(name), 0, 0))
        (tmp_path / f"{name}.txt").write_text(f"{name}, one, two, three, four, five, six", encoding="utf-8")
    samples = collected(training, vae, clip, tmp_path, cache=True, tag_shuffles=16)[0].dataset.samples
    cache, late = training.data.disk_cache.DiskCache, []
    for number in range(5):
        samples.read_ahead(number)
    read = cache._read
    monkeypatch.setattr(cache, "_read", lambda self, key: late.append(key) or read(self, key))
    assert [len(sample.variants) for sample in samples] == [16] * 5
    assert len(late) < 5        # of 90 entries: an order that was drawn twice is read once


def test_the_rows_of_a_large_set_are_packed_and_come_back_as_they_were(training):
    rows = training.data.packed_rows.PackedRows()
    given = [[f"picture {number}", None, [number / 7, "\udce4"]] for number in range(3 * 64 + 5)]
    for row in given:
        rows.append(row)
    assert len(rows) == len(given) and [rows[i] for i in (0, 130, 63, 64, 196, 1)] == [
        given[i] for i in (0, 130, 63, 64, 196, 1)]
    assert sum(map(len, rows.blocks)) < 192 * 60


def test_what_reads_ahead_stays_within_its_bound_and_skips_what_is_no_longer_asked_for(training):
    go, done = threading.Event(), []

    def read(number):
        go.wait(10)
        done.append(number)
        raise OSError("gone")
    module = training.data.read_ahead
    with module.reading_ahead(read) as ahead:
        ahead([0], [[number] for number in range(1, 100)])
        assert sorted(ahead.pending) == list(range(1, 1 + module.MOST))
        ahead([5], [[70, 71]])                  # turned back: only what is being read is still waited for
        assert sorted(ahead.pending) == [70, 71]
        go.set()
        ahead([70, 71], [])
    assert set(done) <= {1, 70, 71} and ahead.thread._shutdown
    with module.reading_ahead(None) as nothing:
        assert nothing is None


def test_a_cached_set_holds_no_tensors_and_reads_like_a_list(training, vae, clip, folder, kept):
    made, _ = collected(training, vae, clip, folder, cache=True, flip=True)
    gc.collect()
    before = sum(isinstance(each, torch.Tensor) for each in gc.get_objects())
    samples = made.dataset.samples
    names = [sample.name for sample in samples]
    assert len(names) == len(samples) == 6 and samples[-1].name == names[-1] == "c.png (mirrored)"
    assert [sample.name for sample in samples[1:3]] == names[1:3]
    with pytest.raises(IndexError):
        samples[6]
    gc.collect()
    assert sum(isinstance(each, torch.Tensor) for each in gc.get_objects()) == before
    lesson = [[torch.zeros(1, 4, 8), {}]]
    slider = training.data.concept.slider(made.dataset, lesson, None, 1.0)
    assert len(slider.samples) == 6 and slider.samples[5].lesson and not isinstance(slider.samples, list)


def test_another_program_s_file_under_an_entry_s_name_is_no_entry(training, kept):
    cache = training.data.disk_cache.DiskCache()
    for about in (None, {"about": "{"}, {"other": "1"}):
        kept.mkdir(parents=True, exist_ok=True)
        save_file({"latent": torch.zeros(1)}, kept / "key.safetensors", about)
        assert cache.find("key") is None
    (kept / f"files_{training.data.disk_cache.digest('x')}.json").write_text(json.dumps([1, 2]))
    with training.data.disk_cache.FileContents(kept, "x") as contents:
        assert contents.known == {}
