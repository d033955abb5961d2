"""A disk that is full for a while or at the end: the run goes on, files are whole, a sentence says how to go on."""
import errno

import pytest
from training_graphs import no_halves
from training_models import caption


def full_disk(monkeypatch, pack, allowed):
    """Lets `allowed` files be written, then the disk is full: a half-written file stays beside, as it would."""
    import safetensors.torch
    written, save = [], safetensors.torch.save_file

    def limited(tensors, path, metadata=None):
        written.append(path)
        if len(written) > allowed:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(tensors, path, metadata)

    monkeypatch.setattr(pack.nodes.lora.file.lora_files, "save_file", limited)


def test_a_disk_that_fills_up_while_training_is_noted_and_the_lora_is_saved_later(pack, train, model, monkeypatch,
                                                                                  output_folder):
    import safetensors.torch
    t, files = pack.nodes.training, pack.nodes.lora.file.lora_files
    full_disk(monkeypatch, pack, allowed=1)
    update = t.monitoring.progress.Progress.update

    def freed(progress, session):
        if session.step == 7:
            monkeypatch.setattr(files, "save_file", safetensors.torch.save_file)
        update(progress, session)

    monkeypatch.setattr(t.monitoring.progress.Progress, "update", freed)
    trained = train(model, 8, checkpoints=t.plan.recipe.CheckpointPlan(every=2))
    assert [note.partition(" (")[0] for note in trained.notes if "could" in note] == [
        "The state of step 4 could not be written", "The state of step 8 could be written again."]
    assert sorted(p.stem for p in (output_folder / "training" / "hand").iterdir()) == ["step_00000002",
                                                                                      "step_00000008"]
    assert no_halves(output_folder)


def test_a_disk_that_is_full_at_the_end_says_what_can_be_gone_on_from(pack, train, model, monkeypatch, output_folder):
    full_disk(monkeypatch, pack, allowed=1)
    with pytest.raises(OSError, match="name: the LoRA could not be written to .*No space left on device.*"
                                      "To go on, set resume to hand/step_00000002"):
        train(model, 4, checkpoints=pack.nodes.training.plan.recipe.CheckpointPlan(every=2))
    assert no_halves(output_folder)
    monkeypatch.undo()
    assert len(train(model, 4, resume="hand").losses) == 4


def test_a_last_state_that_cannot_be_written_is_not_said_to_be_tried_again(pack, train, model, monkeypatch):
    def full(path, state):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pack.nodes.training.disk.checkpoint_schedule, "save_state", full)
    trained = train(model, 2)
    assert trained.state == "" and [note for note in trained.notes if "could" in note] == [
        "The state of step 2 could not be written (No space left on device)."]


@pytest.fixture
def no_room():
    """no_room(True) lets no file of this process grow beyond a few bytes, as a full disk does; (False) ends that."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = lambda full: resource.setrlimit(resource.RLIMIT_FSIZE, (100 if full else before[0], before[1]))
    yield limit
    limit(False)


def progress_that(pack, steps, do):
    """A Progress that calls do(step) after each step, and shows every line."""
    class Acting(pack.nodes.training.monitoring.progress.Progress):
        def update(self, session):
            self.last_text = 0.0
            super().update(session)
            do(session.step)
    return Acting(steps, "1")


def test_a_disk_that_is_full_for_a_while_does_not_end_the_run_and_is_told_once(pack, train, model, output_folder,
                                                                               watched_texts, no_room):
    t = pack.nodes.training
    progress = progress_that(pack, 10, lambda step: no_room(2 < step < 7))
    trained = train(model, 10, progress=progress, prompts=caption(7),
                    checkpoints=t.plan.recipe.CheckpointPlan(2, 9, loras=True), samples=t.plan.recipe.SamplePlan(2, 2))
    told = [note for note in trained.notes if "could" in note]
    assert [note.split(" could")[0] for note in told] == [
        f"The {what} of step {step}" for step in (4, 8) for what in ("sample pictures", "state", "LoRA")]
    assert all("File too large" in note and "tries again at the next interval" in note for note in told[:3])
    assert any("left\nThe " in text for text in watched_texts) and "\n" not in watched_texts[-1]
    kept = sorted(int(p.stem.removeprefix("step_")) for p in (output_folder / "training" / "hand").glob("step_*"))
    assert kept == [2, 8, 10] and no_halves(output_folder)


def test_where_nothing_can_be_written_at_the_end_one_sentence_says_how_to_go_on(pack, train, model, output_folder,
                                                                                no_room):
    progress = progress_that(pack, 6, lambda step: no_room(step > 4))
    with pytest.raises(OSError) as error:
        train(model, 6, progress=progress, checkpoints=pack.nodes.training.plan.recipe.CheckpointPlan(2))
    no_room(False)      # before pytest writes of this test, maybe into a file
    sentence = str(error.value)
    assert sentence.startswith("name: the LoRA could not be written to loras (")
    assert sentence.endswith("To go on, set resume to hand/step_00000004.") and str(output_folder) not in sentence
    assert no_halves(output_folder)
