"""Which checkpoints may be averaged: their steps, files of one step, and steps of one training alone."""
import pytest
import torch


@pytest.fixture(scope="module")
def snapshots(pack):
    return pack.nodes.training.averaging.snapshots


@pytest.fixture(scope="module")
def averages(pack):
    return pack.nodes.training.averaging.average


@pytest.mark.parametrize(("name", "said", "step"), [
    ("a/my_lora_step000250.safetensors", {}, 250), ("x-step00000500.safetensors", {"ss_steps": "7"}, 7),
    ("style2-000010.safetensors", {"ss_steps": "none"}, 10), ("v2_000003000.safetensors", {}, 3000),
    ("step120_v3.safetensors", {"ss_steps": "9" * 5000}, 120),
])
def test_steps_are_read_from_the_metadata_or_the_name(snapshots, name, said, step):
    assert snapshots.step_of(name, said) == step


def test_a_file_without_a_step_gets_a_sentence(snapshots):
    with pytest.raises(ValueError, match='^loras: expected checkpoints whose metadata .* got "my_lora"'):
        snapshots.step_of("my_lora", {"ss_steps": "0"})


@pytest.mark.parametrize("length", ["", "0.9", "nan", "-0.1", "a"])
def test_a_length_that_is_none_in_the_metadata_counts_as_plain_weights(snapshots, length):
    assert snapshots._kept(length) == 0


def test_files_of_one_step_share_what_it_counts(snapshots, averages):
    """As of a recipe with two lengths, which writes two files a step."""
    found = [snapshots.Snapshot(f"{step} {kept}", "", step, kept) for step in (4, 8) for kept in (0.05, 0.1)]
    single = averages.weighted(found[::2], "ema", 0.1).weights
    assert averages.weighted(found, "ema", 0.1).weights == pytest.approx([each / 2 for each in single for _ in "ab"])


@pytest.fixture
def lora_files(monkeypatch, tmp_path):
    """lora_files({name: metadata}) writes LoRAs of one number into the only loras folder; returns their names."""
    import folder_paths
    from safetensors.torch import save_file
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path)], {".safetensors"}))
    folder_paths.filename_list_cache.clear()

    def write(files):
        for name, said in files.items():
            save_file({"x": torch.ones(1)}, tmp_path / f"{name}.safetensors", {key: str(v) for key, v in said.items()})
        return [f"{name}.safetensors" for name in files]
    yield write
    folder_paths.filename_list_cache.clear()


def run_of(steps, seed, rate, when, number=""):
    return {f"my_lora_step{step:06}{number}": {"ss_steps": step, "ss_seed": seed, "ss_learning_rate": rate,
                                               "ss_training_finished_at": when + step} for step in steps}


def test_of_two_files_of_a_step_the_newer_one_counts_and_what_is_not_said_is_not_compared(snapshots, lora_files):
    files = run_of((250, 500), 0, 1e-4, 9000) | run_of((250,), 0, 1e-4, 1000, "_00001")
    found = snapshots.found(lora_files(files | {"other_step000750": {}}), 0, 0)
    assert [each.name[:-12] for each in found.snapshots] == ["my_lora_step000250", "my_lora_step000500",
                                                            "other_step000750"]
    assert found.twice == ["my_lora_step000250_00001.safetensors"] and not found.told
    newer = files | {"my_lora_step000250_00001": files["my_lora_step000250"] | {"ss_training_finished_at": 99_999}}
    assert snapshots.found(lora_files(newer), 0, 0).twice == ["my_lora_step000250.safetensors"]


def test_a_training_that_was_resumed_with_another_rate_is_averaged_and_told(snapshots, lora_files):
    found = snapshots.found(lora_files(run_of((250, 500), 0, 1e-4, 1) | run_of((750,), 0, 5e-5, 2)), 0, 0)
    assert [each.step for each in found.snapshots] == [250, 500, 750]
    assert found.told.startswith("The learning rate is not the same in all: 0.0001 (steps 250 to 500), 5e-05 (step "
                                 "750).")


@pytest.mark.parametrize(("other", "word"), [((7, 1e-4), "seed 0 .* and seed 7"),
                                             ((0, 1e-2), "learning rate 0.0001 .* and learning rate 0.01")])
def test_steps_of_two_trainings_of_one_name_are_never_averaged(snapshots, lora_files, other, word):
    names = lora_files(run_of((250, 500), 0, 1e-4, 1000) | run_of((250, 500), *other, 9000, "_00001")
                       | run_of((750, 1000), *other, 9000))
    with pytest.raises(ValueError, match=f"^loras: expected checkpoints of one training, got steps of two: {word}"):
        snapshots.found(names, 0, 0)
    later = snapshots.found(names, 501, 0)
    assert [each.step for each in later.snapshots] == [750, 1000] and not later.told
