"""Lines and patterns that name LoRA files."""
import pytest


def test_names_and_patterns_find_files_once(pack):
    file_names = pack.nodes.lora.file.listed_names.file_names
    listed = ["a/my_lora.safetensors", "my_lora.safetensors", "my_lora_00001.safetensors", "other.safetensors"]
    assert file_names("my_lora*\nmy_lora.safetensors\n\nother", listed) == listed[1:]
    assert file_names("A/*", ["a\\my_lora.safetensors", "b"]) == ["a\\my_lora.safetensors"]
    with pytest.raises(ValueError, match='got "none\\*", which no file fits'):
        file_names("none*", listed)
