"""The energies that a run tells: those of DoRA and of other changes that depend on the model's own weights."""
import json

import comfy.lora
import pytest
from lora_models import lora_for, small_model, weights


@pytest.fixture
def run(pack, tmp_path):
    room = pack.nodes.lora
    energy = pack.nodes.lora.inspection.editor_overview

    def load(kind, blocks="", facts=None, energies=energy.run_energies):
        model = small_model("SD3-medium")
        lora = room.file.lora_files.LoraFile(lora_for(model, kind), {}, facts)
        spec = room.block_weights.block_language.parse(blocks)
        patched, _, result = room.applying.patching.apply_lora(model, None, lora, 1.0, 1.0, spec)
        return patched, result, energies(lora, result, model)

    load.module, load.report = energy, room.applying.apply_report
    return load


@pytest.mark.parametrize("kind", ["lora", "dora", "oft", "boft", "glora", "set"])
def test_the_energies_are_the_norms_of_what_the_run_changes(kind, run, pack):
    patched, _, energies = run(kind)
    before, after = weights(small_model("SD3-medium")), weights(patched)
    places = pack.nodes.lora.model.blocks.model_places(before)
    squares = {}
    for key, place in places.items():
        change = float((after[key].double() - before[key].double()).norm())
        squares[place.alias] = squares.get(place.alias, 0.0) + change ** 2
    assert {alias: squares[alias] ** 0.5 for alias in energies} == pytest.approx(energies, rel=1e-3)
    assert {"J00", "J01", "BASE.final_layer"} <= energies.keys()


def test_a_large_file_is_measured_only_where_the_file_does_not_tell(run, monkeypatch):
    monkeypatch.setattr(run.module, "SMALL", 0)
    assert run("lora")[2] == {} and "J00" in run("dora")[2]


def test_a_muted_block_keeps_what_an_earlier_run_told(run):
    facts = {}
    _, _, muted = run("dora", "J00=0", facts)
    assert "J00" not in muted and "J01" in muted
    _, _, whole = run("dora", "", facts)
    _, result, again = run("dora", "J00=0", facts)
    assert again == whole
    told = {entry["block"]: entry for entry in json.loads(run.report.block_list(result, again))}
    assert told["J00"] == {"block": "J00", "in_file": True, "ratio": 0.0, "energy": whole["J00"]}


def test_a_run_does_not_wait_longer_than_its_time(run, monkeypatch):
    monkeypatch.setattr(run.module, "SECONDS", 0)
    monkeypatch.setattr(comfy.lora, "calculate_weight", None)  # nothing may be worked out
    assert run("dora")[2] == {}
