"""Writes nodes/lora/file/architectures.json: the blocks of every architecture, and the names that LoRA files have for
them.

    COMFYUI_PATH=... python tests/lora/make_architectures.py
"""
import importlib
import json
import re
import sys
from itertools import accumulate
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TABLE = TESTS.parent / "nodes" / "lora" / "file" / "architectures.json"
sys.path[:0] = [str(TESTS), str(TESTS / "lora")]


def describe(model, pack) -> dict:
    """`blocks`: every alias, in order. `paths`: module paths of numbered blocks, by their letters. `names`: the
    shortest start of a flat LoRA name that means one block, with # for a number that name and alias share. `widths`:
    templates of whole names and the input widths that their weights have."""
    import comfy.lora
    blocks, names = (importlib.import_module(f"{pack.__name__}.nodes.lora.{module}")
                     for module in ("model.blocks", "file.architecture_detection"))
    weights = model.state_dict()
    places = blocks.model_places(weights)
    aliases, widths = {}, {}
    for name, target in comfy.lora.model_lora_keys_unet(model, {}).items():
        key = target if isinstance(target, str) else target[0]
        if key in places:
            flat = names.flat(name.removesuffix(".bias"))
            aliases[flat] = places[key].alias
            if weights[key].ndim > 1:
                widths.setdefault(names.template(flat), set()).add(weights[key].shape[1])
    listed = dict.fromkeys((place.alias for place in places.values()), "")
    return {"blocks": " ".join(run for run, _ in blocks.runs(listed)), "paths": paths(places.values()),
            "names": starts(aliases), "widths": {name: sorted(found) for name, found in sorted(widths.items())}}


def paths(places) -> dict[str, str]:
    numbered = [(re.search(r"\d+$", place.alias), place) for place in places if not place.alias.startswith("BASE.")]
    return {match.string[:match.start()]: re.sub(r"\d+$", "#", place.path) for match, place in numbered if match}


def starts(aliases: dict[str, str]) -> dict[str, str]:
    meanings = {}
    for name, alias in aliases.items():
        for start in accumulate(name.split("_"), "{}_{}".format):
            meanings.setdefault(start, set()).add(alias)
    found = {}
    for name, alias in aliases.items():
        start = next((s for s in accumulate(name.split("_"), "{}_{}".format) if len(meanings[s]) == 1), name)
        number = re.search(r"\d+$", start)
        if number and alias.endswith(f"{int(number[0]):02d}"):
            start, alias = start[:number.start()] + "#", alias[:-max(2, len(number[0]))] + "#"
        if found.setdefault(start, alias) != alias:
            raise ValueError(f"{name}: {start} means {found[start]} and {alias}")
    return found


def table(pack) -> str:
    from lora_models import ARCHITECTURES, build
    lines = (f"{json.dumps(name)}: {json.dumps(describe(build(name, 'meta'), pack))}" for name in ARCHITECTURES)
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    from real_host import find_host, load_pack
    find_host()
    TABLE.write_text(table(load_pack()), encoding="utf-8")
