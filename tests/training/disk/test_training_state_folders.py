"""Where the states of a run lie, which of them are kept, and what each is called."""
import os

import pytest
from training_graphs import CANCEL, plan
from training_models import tiny_sd3


def test_states_are_kept_every_few_steps_and_old_ones_go(pack, train, output_folder):
    train(tiny_sd3(), 10, **plan(pack, checkpoints={"every": 3, "keep": 2, "loras": True}))
    assert sorted(p.stem for p in (output_folder / "training" / "hand").iterdir()) == ["step_00000009",
                                                                                      "step_00000010"]
    loras = sorted(p.stem for p in (output_folder / "loras").iterdir())
    assert loras == ["hand", "hand_step000003", "hand_step000006", "hand_step000009", "hand_step000010"]


def test_the_newest_state_of_a_run_is_named_by_the_run_and_an_older_one_by_its_step(pack, output_folder):
    checkpoint = pack.nodes.training.disk.checkpoint
    old, new = (checkpoint.state_path("hand", step) for step in (3, 6))
    for path in (old, new):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert [checkpoint.resume_name(path) for path in (old, new)] == ["hand/step_00000003", "hand"]
    assert [checkpoint.find_state(checkpoint.resume_name(path)) for path in (old, new)] == [old, new]


def test_a_name_that_ends_in_a_date_is_no_numbered_run_of_another(pack, output_folder):
    own = pack.nodes.training.disk.checkpoint.is_own_folder
    names = ("d", "d_00001", "d_99999", "d_20260101", "d_260101", "d_00000", "d_1")
    assert [name for name in names if own(output_folder / "training" / name, "d")] == ["d", "d_00001", "d_99999"]


def test_a_state_that_a_person_gave_another_name_is_kept(pack, train, output_folder):
    keep = plan(pack, checkpoints={"every": 2, "keep": 2})
    train(tiny_sd3(), 4, **keep)
    run = output_folder / "training" / "hand"
    (run / "step_00000002.safetensors").rename(run / "step_00000002_good.safetensors")
    train(tiny_sd3(), 8, resume="hand", **keep)
    assert sorted(path.stem for path in run.iterdir()) == ["step_00000002_good", "step_00000006", "step_00000008"]
    assert train(tiny_sd3(), 3, "other", resume="hand/step_00000002_good").state == "other/step_00000003"


def test_what_a_killed_run_left_unfinished_is_cleared_when_another_begins(pack, output_folder):
    old = output_folder / "training" / "old" / f"step_00000002.safetensors.4194999.{'0' * 32}.tmp"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert pack.nodes.training.disk.checkpoint.claim_run_folder("new") == "new"
    assert not old.exists() and old.parent.is_dir()


def test_a_folder_that_is_a_link_to_nothing_is_a_sentence(pack, output_folder):
    link = output_folder / "training"
    try:
        link.symlink_to(output_folder / "not mounted")
    except OSError:
        pytest.skip("this system makes no links")
    with pytest.raises(OSError, match=r"no folder for the states of hand could be made in training \(it is a file"):
        pack.nodes.training.disk.checkpoint.claim_run_folder("hand")


def test_a_new_run_never_touches_the_states_of_an_older_one(train, output_folder):
    train(tiny_sd3(), 3)
    before = (output_folder / "training" / "hand" / "step_00000003.safetensors").read_bytes()
    train(tiny_sd3(), 3, seed=4)
    assert (output_folder / "training" / "hand" / "step_00000003.safetensors").read_bytes() == before
    assert (output_folder / "training" / "hand_00001" / "step_00000003.safetensors").is_file()


def states(folder, run):
    return [int(path.stem.removeprefix("step_")) for path in sorted((folder / "training" / run).glob("step_*"))]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.fixture
def hand(pack, train, output_folder):
    """A run called hand with states at 3, 6, 9 and 12, and what its folder holds."""
    train(tiny_sd3(), 12, **plan(pack, checkpoints={"every": 3, "keep": 4}))
    assert states(output_folder, "hand") == [3, 6, 9, 12]
    return contents(output_folder / "training" / "hand")


@pytest.mark.parametrize("name, own", [("variant", "variant"), ("hand", "hand_00001")])
def test_a_run_that_goes_on_from_an_older_state_gets_a_folder_of_its_own(pack, train, output_folder, hand, name, own):
    keep = plan(pack, checkpoints={"every": 3, "keep": 2})
    trained = train(tiny_sd3(), 16, name, resume="hand/step_00000006", **keep)
    assert states(output_folder, own) == [15, 16] and contents(output_folder / "training" / "hand") == hand
    assert trained.state == f"{own}/step_00000016"
    assert any(f"keeps its states in training/{own}; those it came from are left" in note for note in trained.notes)


def test_a_cancelled_branch_advises_its_own_state_and_before_it_wrote_one_that_it_came_from(pack, train, watched_texts,
                                                                                           output_folder, hand):
    with pytest.raises(CANCEL):
        train(tiny_sd3(), 16, "variant", resume="hand/step_00000006", stop_after=8)
    assert watched_texts[-1].endswith("To go on, set resume to variant/step_00000008.")
    checkpoints = pack.nodes.training.disk.checkpoint_schedule.Checkpoints
    unwritten = checkpoints(None, "other", "other", output_folder / "training" / "hand" / "step_00000006.safetensors")
    assert unwritten.how_to_go_on() == "To go on, set resume to hand/step_00000006."
    assert contents(output_folder / "training" / "hand") == hand


def test_the_newest_state_goes_on_in_its_folder_only_under_the_name_of_its_run(pack, train, output_folder, hand):
    keep = plan(pack, checkpoints={"every": 3, "keep": 2})
    train(tiny_sd3(), 14, "other", resume="hand", **keep)
    assert states(output_folder, "other") == [14] and contents(output_folder / "training" / "hand") == hand
    train(tiny_sd3(), 15, "hand", resume="hand", **keep)
    assert states(output_folder, "hand") == [12, 15] and states(output_folder, "other") == [14]
