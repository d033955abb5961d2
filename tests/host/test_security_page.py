"""What SECURITY.md says of the disk, held against the inputs that nodes have."""
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "SECURITY.md"


@pytest.fixture(scope="module")
def schemas(host, pack):
    """Of every node of the pack."""
    return {name: node.GET_SCHEMA() for name, node in host.nodes.NODE_CLASS_MAPPINGS.items()
            if name.startswith("Bottega")}


@pytest.fixture(scope="module")
def section():
    """section(heading): its text on one line."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return lambda heading: " ".join(parts[parts.index(heading) + 1].split())


def test_every_input_that_takes_a_path_stands_in_what_the_pack_reads(schemas, section):
    paths = {(schema.display_name, slot.id) for schema in schemas.values() for slot in schema.inputs
             if re.fullmatch(r"(\w+_)?folder|table", slot.id)}
    read = section("What it reads")
    missing = [pair for pair in paths if pair[0] not in read or f"`{pair[1]}`" not in read]
    assert len(paths) >= 9 and missing == []


def test_every_node_that_may_write_over_a_file_of_the_user_is_named(schemas, section):
    may = [schema.display_name for schema in schemas.values()
           if any("replace" in (getattr(slot, "options", None) or []) for slot in schema.inputs)]
    assert may == ["Caption Folder"]
    for heading in ("What it promises", "Where it writes", "What it reads"):
        assert may[0] in section(heading), heading
