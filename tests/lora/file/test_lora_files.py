"""Files that are whole are read as they are; files that are not say so in one sentence, and nothing is loaded."""
import os
import pickle
import re
import struct

import pytest
import torch
from safetensors.torch import save, save_file


@pytest.fixture
def files(pack):
    return pack.nodes.lora.file.lora_files


def sample():
    return {"a.lora_up.weight": torch.arange(12.0).view(4, 3), "a.lora_down.weight": torch.ones(3, 5).half(),
            "a.alpha": torch.tensor(2.0)}


def test_what_is_written_is_read_back(tmp_path, files):
    path = tmp_path / "new folder" / "hand.safetensors"
    files.write_lora(path, sample() | {"t": torch.ones(3, 4).T}, {"ss_network_dim": "3"})
    tensors, metadata, *_ = files.read_lora(path)
    assert metadata == {"ss_network_dim": "3"} and tensors.keys() == sample().keys() | {"t"}
    assert all(torch.equal(tensors[key], value) and tensors[key].dtype == value.dtype
               for key, value in sample().items())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_lora_is_as_open_as_any_new_file_and_stays_as_open_as_it_was(tmp_path, files):
    (tmp_path / "any").touch()
    path = tmp_path / "hand.safetensors"
    files.write_lora(path, sample(), {})
    assert path.stat().st_mode == (tmp_path / "any").stat().st_mode
    path.chmod(0o664)
    files.write_lora(path, sample(), {})
    assert path.stat().st_mode & 0o777 == 0o664


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, files):
    path = tmp_path / "hand.safetensors"
    files.write_lora(path, sample(), {})
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        files.write_lora(path, sample(), {"steps": 3})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_file_without_metadata_has_none(tmp_path, files):
    save_file(sample(), tmp_path / "x.safetensors")
    assert files.read_lora(tmp_path / "x.safetensors").metadata == {}


def test_the_last_file_is_kept_until_it_changes_on_disk_or_another_is_read(tmp_path, files):
    paths = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for path in paths:
        files.write_lora(path, sample(), {})
    first = files.read_lora_cached(paths[0])
    assert files.read_lora_cached(paths[0]) is first
    files.write_lora(paths[0], sample() | {"b": torch.ones(1)}, {})
    assert "b" in files.read_lora_cached(paths[0]).tensors
    files.read_lora_cached(paths[1])
    assert len(files._last_read) == 1 and files.read_lora_cached(paths[0]) is not first


def refuse(files, path, reason=""):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        files.read_lora(path)
    message = str(caught.value)
    assert message.startswith(f"LoRA file: {path} ") and message.endswith(".") and "\n" not in message
    assert re.search(reason, message)


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pt"])
def test_a_bad_file_goes_by_the_name_that_the_host_lists(name, tmp_path, files, monkeypatch):
    path = tmp_path / "loras" / name
    path.parent.mkdir()
    path.write_bytes(pickle.dumps({"a": [1]})[:-3])
    monkeypatch.setattr(files.folder_paths, "get_full_path", lambda kind, listed: str(path))
    with pytest.raises(ValueError, match=f"LoRA file: {name} is not a whole") as caught:
        files.listed_lora(name)
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_file_is_named(tmp_path, files):
    refuse(files, tmp_path / "gone.safetensors", "does not exist")


@pytest.mark.parametrize("content", [
    b"", b"x", b"\0" * 100, pickle.dumps({"a": [1]}), struct.pack("<Q", 8 << 30) + b"{}",
    struct.pack("<Q", 2**64 - 1) + b"{}", struct.pack("<Q", 100) + b"{}", struct.pack("<Q", 2) + b"[]",
], ids=["empty", "one byte", "zeros", "pickle", "8 GB header", "16 EB header", "header past the end", "a list"])
def test_what_is_no_safetensors_file_is_refused(content, tmp_path, files):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    refuse(files, path, "is not a whole safetensors file")


def test_a_file_cut_anywhere_is_refused(tmp_path, files):
    whole = save(sample())
    path = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refuse(files, path, "is not a whole safetensors file")


@pytest.mark.parametrize("key, tensor, reason", [
    ("a.lora_up.weight", torch.full((4, 3), torch.nan), "holds NaN or infinity"),
    ("a.lora_up.weight", torch.tensor([[1.0, -torch.inf]]).half(), "holds NaN or infinity"),
    ("a.lora_up.weight", torch.ones(4, 3, dtype=torch.complex64), "must hold real numbers"),
    ("a.diff_b", torch.ones(0), r"is empty \(shape \(0,\)\)"),
    ("a.alpha", torch.ones(2), "must be one number and holds 2"),
])
def test_tensors_that_cannot_be_a_loras_are_named(key, tensor, reason, tmp_path, files):
    path = tmp_path / "bad.safetensors"
    save_file(sample() | {key: tensor}, path)
    refuse(files, path, f"is damaged: {key} {reason}")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_every_floating_type_is_read(dtype, tmp_path, files):
    path = tmp_path / "typed.safetensors"
    save_file(sample() | {"b.reshape_weight": torch.tensor([4, 5]), "x": torch.ones(2, 2).to(dtype)}, path)
    assert files.read_lora(path).tensors["x"].dtype == dtype


@pytest.mark.parametrize("system, words", [("nt", "There is not enough space on the disk."), ("posix", "Host is down")])
def test_a_number_of_windows_is_not_read_as_one_of_another_system(system, words, files, monkeypatch):
    def fails(*arguments):
        raise files.SafetensorError("Error while serializing: I/O error: There is not enough space on the disk. "
                                    "(os error 112)")

    monkeypatch.setattr(files, "save_file", fails)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "name", system)
        with pytest.raises(OSError) as caught:
            files.write_tensors("x", sample(), {})
    assert caught.value.strerror == words


def test_metadata_may_name_a_file_whose_name_is_no_text(tmp_path, files):
    files.write_tensors(tmp_path / "x.safetensors", sample(), {"from": b"sty\xe9".decode("utf-8", "surrogateescape")})
    assert files.header(tmp_path / "x.safetensors") == {"from": r"sty\udce9"}


@pytest.mark.parametrize("key", ["text_model.embeddings.position_ids", "logit_table.weight"])
def test_integers_that_are_no_factors_do_not_keep_a_lora_from_being_read(key, tmp_path, files):
    factors = {"a.lora_up.weight": torch.ones(4, 2), "a.lora_down.weight": torch.ones(2, 4)}
    save_file(factors | {key: torch.arange(77)[None]}, tmp_path / "ids.safetensors")
    assert key in files.read_lora(tmp_path / "ids.safetensors").tensors


@pytest.mark.parametrize("ending", ["lora_up.weight", "lora_A.style.weight", "hada_w1_a", "lokr_w2", "diff", "vera_A"])
def test_integers_that_are_factors_are_refused(ending, tmp_path, files):
    save_file({f"a.{ending}": torch.ones(4, 2, dtype=torch.int8)}, tmp_path / "packed.safetensors")
    with pytest.raises(ValueError, match=f"cannot be used: a.{ending} holds torch.int8"):
        files.read_lora(tmp_path / "packed.safetensors")
