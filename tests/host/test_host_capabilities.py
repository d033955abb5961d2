"""What the pack leans on in the host is there, and where it is not a person reads which nodes do not work."""
import logging
import os
import subprocess
import sys
from pathlib import Path

import comfy.ops
import comfy.samplers
import pytest

PACK = Path(__file__).resolve().parents[2]


@pytest.fixture
def capabilities(pack):
    return pack.nodes.shared.host_capabilities


def test_this_host_has_every_capability(capabilities):
    assert capabilities.lacking() == {}


def test_every_row_names_nodes_that_the_menu_shows(capabilities, host, pack):
    shown = {name for key, name in host.nodes.NODE_DISPLAY_NAME_MAPPINGS.items() if key.startswith("Bottega")}
    for row in capabilities.CAPABILITIES:
        assert any(name in row.nodes for name in shown) or row.nodes.startswith("every node"), row.key
    assert len({row.key for row in capabilities.CAPABILITIES}) == len(capabilities.CAPABILITIES)


def test_a_function_that_is_gone_is_told_with_its_nodes(capabilities, monkeypatch, caplog):
    monkeypatch.delattr(comfy.samplers, "cond_cat")
    with pytest.raises(RuntimeError, match=r"ComfyUI \d.*comfy.samplers:cond_cat.*do not work here: Train LoRA"):
        capabilities.require("conditions")
    with caplog.at_level(logging.WARNING):
        capabilities.log_lacking()
    assert [record.message for record in caplog.records if "Bottega" in record.message] == [
        capabilities.sentence(row, names) for row, names in capabilities.lacking().items()]
    assert "LACKING  conditions" in capabilities.report()
    capabilities.require("guidance")


def test_every_capability_is_asked_for_where_it_is_used(capabilities):
    """By its key, in a file that calls `require`."""
    asking = [text for path in (PACK / "nodes").rglob("*.py") if path.name != "host_capabilities.py"
              and "require(" in (text := path.read_text())]
    assert [row.key for row in capabilities.CAPABILITIES if not any(f'"{row.key}"' in text for text in asking)] == []


def test_a_host_without_the_hooks_of_a_schedule_is_named_by_the_node(capabilities, pack, monkeypatch):
    import comfy.hooks
    monkeypatch.delattr(comfy.hooks, "HookKeyframeGroup")
    with pytest.raises(RuntimeError, match="comfy.hooks:HookKeyframeGroup.*do not work here: Schedule LoRA"):
        pack.nodes.lora.applying.schedule.lora_hooks({}, 1.0, 1.0, (), ())


def test_a_function_that_takes_other_parameters_is_told(capabilities, monkeypatch):
    monkeypatch.setattr(comfy.ops, "cast_bias_weight", lambda module, input=None: None)
    (row, names), = capabilities.lacking().items()
    assert row.key == "frozen weights" and names[0].startswith("comfy.ops:cast_bias_weight(")


def test_of_two_names_one_is_enough(capabilities):
    row = capabilities.Capability("any", "", "", ("comfy.ops:gone | comfy.ops:cast_bias_weight", "gone:at | gone:all"))
    assert capabilities.missing_names(row) == ["gone:at | gone:all"]


def test_the_doctor_says_what_there_is():
    done = subprocess.run([sys.executable, "-m", "devtools.doctor"], cwd=PACK, capture_output=True, text=True,
                          env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert "torch" in done.stdout and "0 of" not in done.stdout and "\nok       guidance" in done.stdout
