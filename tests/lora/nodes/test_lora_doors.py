"""Whatever comes in at a door of the LoRA nodes: a sentence or a right answer, never a raw error or a server's path."""
import json
import os

import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(), max_size=60)  # lone surrogates and NUL among them
SYNTAX = st.text("IN04DSTEB.*=,;:-0159eErRuUaA#%() \n\ufeff\uff0c\u2013linear", max_size=60)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.just(10 ** 400),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8)
ANY = JSON | st.binary(max_size=5) | st.builds(object)


def answer(door, *arguments):
    """What a door gives; None where it refuses in a sentence that can be shown and is not endless."""
    try:
        return door(*arguments)
    except (ValueError, FileNotFoundError) as error:
        said = str(error)
        assert said.encode() and 10 < len(said) < 2000 and ": " in said, said
        return None


@MANY
@given(TEXT | SYNTAX)
def test_block_weights(lora, text):
    items = answer(lora.block_weights.block_language.parse, text)
    places = [lora.model.blocks.Place("IN04", "input_blocks.4", "0.weight")]
    if items is not None:
        weights = answer(lora.block_weights.weights.resolve, items, places)
        assert weights is None or isinstance(weights.ratio(places[0]), float)


@MANY
@given(TEXT | SYNTAX)
def test_keyframes(lora, text):
    frames = answer(lora.applying.schedule.parse_keyframes, text)
    assert frames is None or all(0 <= start <= 1 for start, _ in frames)


@MANY
@given(st.lists(TEXT | SYNTAX | st.sampled_from(["<lora:", ">", ":", "lbw=", "te=", "A=", "INS"])).map("".join))
def test_tags_of_a_prompt(lora, text):
    found = answer(lora.applying.prompt_tags.read_prompt, text)
    assert found is None or len(found[0]) <= len(text) and (found[1] or found[0] == text)


@MANY
@given(TEXT | JSON.map(json.dumps) | st.integers(1, 3000).map("[".__mul__) | st.just('{"a": ' * 3000 + "}" * 3000))
def test_metadata_of_a_file(lora, text):
    found = answer(lora.saving.saved_metadata.read_metadata, text)
    assert found is None or all(isinstance(value, str) and value.encode() is not None for value in found.values())


@MANY
@given(TEXT)
def test_names_of_files(lora, text):
    stem = answer(lora.saving.output_file.file_stem, text)
    assert stem is None or stem.encode() and not set(stem) & set('/\\:*?"<>|\0')


@pytest.mark.parametrize("name", ["COM¹", "lpt³.x", "con", "NUL .safetensors"])
def test_names_of_devices_get_another_name(name, lora):
    assert lora.saving.output_file.file_stem(name).startswith("_")


@MANY
@given(st.dictionaries(st.sampled_from(["ss_tag_frequency", "lora_adapter_metadata", "modelspec.title",
                                         "modelspec.trigger_phrase", "ss_steps"]),
                       JSON.map(json.dumps) | TEXT | st.just("[" * 5000)
                       | st.sampled_from(['{"a": {"b": 1e999}}', f'{{"a": {{"b": 1{"0" * 400}}}}}',
                                          '{"a": {"\\ud800": 3}}'])))
def test_the_header_of_a_file(lora, metadata):
    tensors = {"transformer.x.lora_A.weight": torch.ones(2, 3), "transformer.x.lora_B.weight": torch.ones(3, 2)}
    found = lora.file.peft_format.readable(tensors, metadata)
    file = lora.file.lora_files.LoraFile(found.tensors, metadata, notes=found.notes)
    report = lora.inspection.inspection_report
    about = lora.file.file_metadata
    assert report.describe("x", file, report.inspect(file)) and json.loads(about.metadata_text(metadata)) == metadata
    assert about.trigger_words(metadata).encode() is not None


@MANY
@given(ANY | st.dictionaries(TEXT | st.integers(), ANY, max_size=3))
def test_a_lora_from_memory(lora, value):
    file = answer(lora.file.lora_files.from_memory, value)
    assert file is None or not file.tensors


@MANY
@given(ANY | st.lists(st.tuples(TEXT, st.floats() | TEXT | st.just(10 ** 400), st.floats()), max_size=3))
def test_a_stack_of_other_packs(lora, value):
    rows = answer(lora.applying.stack._from_tuples, value)
    assert rows is None or all(abs(layer.strength_model) < float("inf") for layer in rows)


@pytest.fixture
def reading(lora, tmp_path, monkeypatch):
    """Reads a file of the loras folder; meanwhile() happens between the check of its header and the host's reading."""
    path = tmp_path / "hand.safetensors"
    save_file({"a.lora_up.weight": torch.ones(3, 2)}, path)

    def read(meanwhile):
        def load_torch_file(*arguments, **options):
            meanwhile(path)
            raise KeyError(f"invalid header in {path}")
        monkeypatch.setattr(lora.file.lora_files.comfy.utils, "load_torch_file", load_torch_file)
        with pytest.raises(ValueError) as error:
            lora.file.lora_files.read_lora(path, "hand.safetensors")
        assert str(tmp_path) not in str(error.value) and "hand.safetensors" in str(error.value)
        return str(error.value)
    return read


def refused(path):
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("meanwhile, said", [
    (lambda path: path.write_bytes(b"x" * 99), "was replaced while it was read; run once more"),
    (os.remove, "was replaced while it was read"), (refused, "cannot be read (Permission denied)"),
    (lambda path: None, "is not a whole safetensors file ('invalid header in hand.safetensors')")])
def test_a_file_that_changes_or_fails_while_it_is_read(meanwhile, said, reading):
    assert said in reading(meanwhile)


def test_a_file_that_is_gone_before_it_is_read(lora, tmp_path):
    with pytest.raises(FileNotFoundError, match="LoRA file: hand was removed while it was read"):
        lora.file.lora_files.read_lora_cached(tmp_path / "gone.safetensors", "hand")


def test_the_editor_looks_into_no_file_of_more_keys_than_a_lora_has(lora, tmp_path, monkeypatch):
    overview = lora.inspection.editor_overview
    save_file({f"a{n}.diff": torch.ones(1) for n in range(12)}, tmp_path / "many.safetensors")
    monkeypatch.setattr(overview, "MOST_KEYS", 11)
    monkeypatch.setattr(overview, "read_lora", None)  # the header is enough to know
    with pytest.raises(ValueError, match="holds 12 keys, and the editor looks into files of at most 11"):
        overview.overview(tmp_path / "many.safetensors")


def test_the_users_presets_are_named_without_the_folders_of_the_machine(lora, tmp_path, monkeypatch):
    monkeypatch.setattr(lora.block_weights.presets.folder_paths, "get_user_directory", lambda: str(tmp_path))
    (tmp_path / "bottega").mkdir()
    (tmp_path / "bottega" / "block_presets.txt").write_text("no colon here")
    with pytest.raises(ValueError, match="line 1 of bottega/block_presets.txt in ComfyUI's user folder") as error:
        lora.block_weights.presets.lookup("ALL")
    assert str(tmp_path) not in str(error.value)
