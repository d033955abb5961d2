"""Names, descriptions and tooltips of the nodes in other languages: locales/<language>/nodeDefs.json.

    python -m devtools.locales ADDRESS_OR_OBJECT_INFO_JSON            write locales/
    python -m devtools.locales ADDRESS_OR_OBJECT_INFO_JSON --missing  print, for each language, what has no translation

A table for each language, devtools/translations/<language>.json, holds {English: translation}; a text that several
nodes share is translated once.
"""
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLES, LOCALES = ROOT / "devtools" / "translations", ROOT / "locales"
LANGUAGES = ("zh", "ja", "ko", "de", "fr", "es", "pt-BR", "ru")
CODE = re.compile(r"`[^`]+`|@[A-Z]\w+|\{\w+\}|\b[A-Z]+\d+(?:-[A-Z]+\d+)?(?:\.\w+)?(?:=[\d.]+)?|"
                  r"\w+\.safetensors|[A-Z]\*[.=]\S*")
"""What stays as it is in every language: block names, rubrics, files, placeholders."""


def english(object_info: dict) -> dict:
    """What the page asks translations of, for every node of the pack, in the form of a nodeDefs.json."""
    return {name: _node(info) for name, info in sorted(object_info.items()) if name.startswith("Bottega")}


def _node(info: dict) -> dict:
    inputs = {name: spec[1] if len(spec) > 1 else {} for group in ("required", "optional")
              for name, spec in info["input"].get(group, {}).items()}
    tooltips = info.get("output_tooltips") or []
    return {"display_name": info["display_name"], "description": info["description"],
            "inputs": {name: {"tooltip": options["tooltip"]} for name, options in inputs.items()
                       if "tooltip" in options},
            "outputs": {str(number): {"tooltip": text} for number, text in enumerate(tooltips) if text}}


def texts(tree) -> Iterator[str]:
    """Every text of a tree of dicts."""
    if isinstance(tree, str):
        yield tree
    else:
        for branch in tree.values():
            yield from texts(branch)


def translated(tree, table: dict[str, str]):
    """The tree with every text that the table has; what it has not is left out, so that the page shows English."""
    if isinstance(tree, str):
        return table.get(tree)
    found = {name: translated(branch, table) for name, branch in tree.items()}
    return {name: branch for name, branch in found.items() if branch not in (None, {})}


def table_of(language: str) -> dict[str, str]:
    path = TABLES / f"{language}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def missing(source: dict, language: str) -> list[str]:
    table = table_of(language)
    return [text for text in dict.fromkeys(texts(source)) if text not in table]


def stale(source: dict, language: str) -> list[str]:
    known = set(texts(source))
    return [text for text in table_of(language) if text not in known]


def lost_code(language: str) -> list[str]:
    """Translations in which a block name, a rubric or a file is not what it is in English."""
    return [text for text, said in table_of(language).items()
            if sorted(set(CODE.findall(text))) != sorted({word for word in CODE.findall(text) if word in said})]


def write(source: dict) -> None:
    for language in LANGUAGES:
        path = LOCALES / language / "nodeDefs.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(source, language), encoding="utf-8")


def text_of(source: dict, language: str) -> str:
    return json.dumps(translated(source, table_of(language)), ensure_ascii=False, indent=1) + "\n"


def main(source: str, *options: str) -> None:
    import requests
    saved = Path(source)
    info = json.loads(saved.read_text(encoding="utf-8")) if saved.exists() else requests.get(
        f"{source}/object_info", timeout=60).json()
    tree = english(info)
    if "--missing" in options:
        print(json.dumps({language: missing(tree, language) for language in LANGUAGES}, ensure_ascii=False, indent=1))
    else:
        write(tree)


if __name__ == "__main__":
    main(*sys.argv[1:])
