"""No text of block weights keeps the server or a queue busy: what is long or made to be slow is answered at once."""
import re

import pytest

SLOW = {
    "a thousand parts": "J00" + ".attn" * 3900 + "=1",
    "parts in letters": "J00" + ".q" * 9900 + "=1",
    "stars": "*o" * 9000 + "*x=1",
    "a path of stars": "j" + ".*" * 9000 + "=1",
    "a part of stars": "J00." + "*a" * 9000 + "=1",
    "statements": "J00=1;" * 3300,
    "parts of all": "*.attn.q=1;" * 1800,
    "others": ";".join(f"J{n % 4:02}.x_block.attn{n}*=1" for n in range(700)),
    "lines": "a\n" * 9900,
    "a range": "J00-J" + "0" * 19000 + "=1",
    "a vector": "1," * 9900,
    "signs": "=" * 19000,
    "a ramp": "J00=linear(" * 1700,
    "presets": "NOLA-" * 3000,
}


@pytest.fixture(scope="module")
def places(pack):
    place = pack.nodes.lora.model.blocks.Place
    return [place(f"J{n:02}", f"joint_blocks.{n}", f"{side}_block.{rest}.weight") for n in range(38)
            for side in ("x", "context") for rest in ("attn.qkv", "attn.proj", "mlp.fc1", "adaLN_modulation.1")]


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_a_text_made_to_be_slow_is_applied_or_refused_with_a_short_quote(pack, places, text):
    room = pack.nodes.lora.block_weights
    assert len(text) <= 20_000
    try:
        weights = room.weights.resolve(room.block_language.parse(text), places)
        assert all(isinstance(weights.ratio(place), float) for place in places)
    except ValueError as error:
        assert str(error).startswith("blocks: ") and not re.search(r"(.{1,5})\1{125}", str(error))


def test_one_megabyte_is_refused_with_its_length_by_every_reader(pack):
    for field, read in {"blocks": pack.nodes.lora.block_weights.block_language.parse,
                        "groups": pack.nodes.studio.block_groups.check,
                        "targets": pack.nodes.training.model.targets.check_targets,
                        "keyframes": pack.nodes.lora.applying.schedule.parse_keyframes,
                        "spec": pack.nodes.charts.chart_language.parse}.items():
        with pytest.raises(ValueError, match=f"^{field}: expected at most 20000 characters, got 1000000$"):
            read("\n" * 1_000_000)


def test_a_file_of_presets_may_not_be_of_any_size(pack, tmp_path, monkeypatch):
    room = pack.nodes.lora.block_weights
    with (tmp_path / "block_presets.txt").open("wb") as file:
        file.truncate(2_000_000_000)
    monkeypatch.setattr(room.presets, "user_file", lambda: tmp_path / "block_presets.txt")
    with pytest.raises(ValueError, match="^block presets: expected at most 1000000 bytes in .*, got 2000000000$"):
        room.presets.by_family()


def test_presets_may_not_be_longer_together_than_a_text(pack, host, tmp_path, monkeypatch):
    room = pack.nodes.lora.block_weights
    (tmp_path / "block_presets.txt").write_text("LONG: " + "J00=1;" * 3000 + "\n", encoding="utf-8")
    monkeypatch.setattr(room.presets, "user_file", lambda: tmp_path / "block_presets.txt")
    assert len(room.presets.expand(room.block_language.parse("LONG"))) == 3000
    with pytest.raises(ValueError, match="^blocks: with its presets written out: expected at most 20000 characters"):
        room.presets.expand(room.block_language.parse("LONG; LONG"))
