"""Where LoRAs are written: whole or not at all, never over another file, under names that every system takes."""
import signal

import pytest
import torch
from lora_models import small_model


@pytest.fixture(scope="module")
def output(pack, host):
    return pack.nodes.lora.saving.output_file


def test_no_file_is_ever_overwritten_and_none_is_left_half_written(output):
    tensors, nothing = {"a": torch.ones(2)}, lambda found: None
    paths = [output.write_new("twice", tensors, {}, nothing) for _ in range(3)]
    assert [path.name for path in paths] == ["twice.safetensors", "twice_00001.safetensors", "twice_00002.safetensors"]

    def refuse(found):
        raise RuntimeError("no")

    before = set(output.lora_folder().iterdir())
    with pytest.raises(RuntimeError):
        output.write_new("refused", tensors, {}, refuse)
    assert set(output.lora_folder().iterdir()) == before


def test_a_key_that_the_host_would_not_load_keeps_the_file_from_being_written(pack, room):
    model = small_model("SD3-medium")
    with pytest.raises(RuntimeError, match="does not know 1 of the 1 keys .* the first is lora_unet_nowhere.diff"):
        pack.nodes.lora.saving.roundtrip_check.check_loads({"lora_unet_nowhere.diff": torch.ones(1)}, model.model)


@pytest.mark.parametrize("name", ["", "  ", "..", "///", "___"])
def test_a_name_that_is_no_file_name_is_refused(name, output):
    with pytest.raises(ValueError, match="name: expected a file name"):
        output.file_stem(name)
    assert output.file_stem("../../etc/ink é 1.safetensors") == "_.._etc_ink é 1"


@pytest.mark.parametrize("name, stem", [("CON", "_CON"), ("nul.v2", "_nul.v2"), ("com1 .x", "_com1 .x"),
                                        ("COM¹", "_COM¹"), ("lpt³.a", "_lpt³.a"),
                                        ("console", "console"), ("my.con", "my.con")])
def test_the_names_of_windows_devices_are_no_file_names(name, stem, output):
    assert output.file_stem(name) == stem


@pytest.mark.parametrize("name, stem", [("ink\0", "ink_"), ("ink\ud800", "ink_"), ("ink\n", "ink"),
                                        ("a" * 5000, "a" * 150)])
def test_what_no_file_name_can_hold_is_left_out(name, stem, output):
    assert output.file_stem(name) == stem


def test_a_refused_name_is_quoted_shortly(output):
    with pytest.raises(ValueError, match="name: expected a file name") as error:
        output.file_stem("/" * 5000)
    assert len(str(error.value)) < 250


def test_a_full_disk_is_an_error_of_the_system_as_with_every_other_file(output, tmp_path, monkeypatch):
    monkeypatch.setattr(output, "lora_folder", lambda: tmp_path)
    resource = pytest.importorskip("resource", reason="Windows has no limit on the size of files")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, usual[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            output.write_new("large", {"a": torch.ones(1000)}, {}, lambda found: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["墨" * 150, "é" * 200, "a" * 149 + "墨"])
def test_a_long_name_is_cut_to_what_a_file_may_be_called(name, output):
    path = output.write_new(output.file_stem(name), {"a": torch.ones(2)}, {}, lambda found: None)
    assert name.startswith(path.stem) and 147 <= len(path.stem.encode()) <= 150
