"""Presets: each of the pack's fits the models of its family, and the user's own outlive the pack."""
import json
import re

import pytest
from lora_models import ARCHITECTURES, keys_of

MODELS = {"any model": "SD1.5", "SD 1 and 2": "SD1.5", "SDXL": "SDXL", "Flux": "Flux.1", "Flux.2": "Flux.2-dev",
          "SD3 medium": "SD3-medium", "SD3 large": "SD3.5-large", "Qwen-Image": "Qwen-Image",
          "Wan 14B": "Wan2.1/2.2-14B-T2V", "Wan 1.3B": "Wan2.1-1.3B", "Z-Image": "Z-Image",
          "HunyuanVideo": "HunyuanVideo", "LTX-2": "LTX-2(LTXAV)", "Anima": "Anima"}
NEWER = ("Kandinsky 6", "MiniMax-H3", "Qwen-Image 2.1")  # no host at hand builds them: test_lora_newer_hosts.py


@pytest.fixture
def own(lora, tmp_path, monkeypatch):
    """Writes the user's own file of presets."""
    import folder_paths
    monkeypatch.setattr(folder_paths, "get_user_directory", lambda: str(tmp_path))
    def write(text):
        path = tmp_path / "bottega" / "block_presets.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path
    return write


def ratios(lora, text, name="SDXL"):
    places = list(lora.model.blocks.model_places(keys_of(name)).values())
    weights = lora.block_weights.weights.resolve(lora.block_weights.block_language.parse(text), places, False)
    return {place.alias: weights.whole(place.alias) for place in places}


def listed(lora):
    families = lora.block_weights.presets.by_family()
    return [(family["family"], preset) for family in families for preset in family["presets"]]


def test_every_preset_of_the_pack_says_something_about_the_models_of_its_family(lora):
    names = [preset["name"] for _, preset in listed(lora)]
    assert len(names) == len({name.lower() for name in names}) > 50
    for family, preset in listed(lora):
        if family in NEWER:
            continue
        found = ratios(lora, preset["name"], MODELS[family])
        assert found == ratios(lora, preset["blocks"], MODELS[family])
        plain = set(found.values()) == {1.0}
        assert not plain or re.search("ALL|TE|ATTN|MLP|IMG|TXT", preset["name"]), preset


def test_the_presets_are_plain_data_that_name_the_blocks_of_their_family(lora):
    data = lora.block_weights.presets.by_family()
    assert json.loads(json.dumps(data)) == data
    assert data[0]["family"] == "any model" and data[0]["blocks"] == {}
    assert {"family": "SDXL", "blocks": {"IN": 9, "OUT": 9}}.items() <= data[2].items()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_model_belongs_to_at_most_one_family_and_never_to_one_of_another_size(name, lora):
    aliases = ratios(lora, "", name)
    families = {family: sizes for family, sizes in lora.block_weights.vectors.FAMILIES.items()
                if all(sum(bool(re.fullmatch(rf"{letter}\d*", alias)) for alias in aliases) == size
                       for letter, size in sizes.items())}
    assert len(families) <= 1 and lora.block_weights.vectors.family(aliases) == next(iter(families), "")


@pytest.mark.parametrize("text", ["SDXL-INALL", "sdxl-inall", " SDXL-INALL # note", "SDXL-INALL;", "\nSDXL-INALL\n"])
def test_a_name_alone_selects_a_preset(text, lora):
    assert ratios(lora, text) == ratios(lora, "MID,OUT*=0")


@pytest.mark.parametrize("text", ["SDXL-INALL; OUT01=0.5", "SDXL-INALL\nOUT01=0.5"])
def test_statements_after_a_preset_change_it(text, lora):
    assert ratios(lora, text) == ratios(lora, "MID,OUT*=0; OUT01=0.5")


def test_an_unknown_preset_is_quoted_with_what_there_is_the_nearest_first(lora):
    with pytest.raises(ValueError, match='^blocks: "SDXL-INNALL" is no preset .* presets SDXL-INALL, .*FLUX-DOUBLE'):
        ratios(lora, "SDXL-INNALL")


def test_a_users_preset_is_read_from_the_hosts_user_folder_and_wins(lora, own):
    own("# mine\n[SDXL]\nFace: OUT01=0.3  # note\nSDXL-ALL: default=0.9\n[Owls]\nOWL:1,0,0,0,0,0,1,1,1,0,0,0\n")
    assert ratios(lora, "FACE") == ratios(lora, "OUT01=0.3")
    assert ratios(lora, "SDXL-ALL") == ratios(lora, "default=0.9")
    assert ratios(lora, "owl") == ratios(lora, "1,0,0,0,0,0,1,1,1,0,0,0")
    mine = [(family, preset["name"]) for family, preset in listed(lora) if preset["own"]]
    assert mine == [("SDXL", "SDXL-ALL"), ("SDXL", "Face"), ("Owls", "OWL")]


def test_a_line_that_is_no_preset_is_quoted_with_its_number_and_file(lora, own):
    path = own("GOOD: MID=0\nwithout a colon\n")
    with pytest.raises(ValueError, match=f'"without a colon", line 2 of bottega/{path.name} in ComfyUI\'s user folder'):
        ratios(lora, "GOOD")


def test_a_preset_must_not_name_another(lora, own):
    own("ONE: TWO\nTWO: MID=0\n")
    with pytest.raises(ValueError, match='the preset "ONE" names "TWO", but must consist of weights'):
        ratios(lora, "ONE")


def test_changing_the_users_file_changes_the_version_that_nodes_watch(lora, own):
    version = lora.block_weights.presets.version
    before = version()
    own("A: MID=0")
    node = lora.nodes.LoadLora
    assert before == (0, 0) != version()
    assert node.fingerprint_inputs("")[1] == version() == lora.nodes.ApplyLora.fingerprint_inputs()


def test_models_with_as_many_blocks_as_another_are_not_taken_for_it(lora):
    architectures = lora.file.architecture_detection.architectures()
    families = {name: lora.block_weights.vectors.family(entry.blocks) for name, entry in architectures.items()}
    assert families["Wan2.1/2.2-14B-T2V"] == families["Wan-VACE"] == "Wan 14B"
    assert families["Qwen-Image"] == "Qwen-Image"
    assert families["HunyuanDiT1.2"] == families["Kandinsky5"] == families["Mochi"] == ""
