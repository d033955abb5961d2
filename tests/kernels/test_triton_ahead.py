"""What Triton makes of the kernels for cards that are not here: no spills, matrix units, wide accesses, short code.

`instructions.json` holds the instructions an element that were counted when it was last written:
    python tests/kernels/test_triton_ahead.py     writes it again
"""
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUDGET = HERE / "instructions.json"
ROOM = 1.15  # of another version of Triton or ptxas
ELEMENTWISE = ("colour_pass", "neighbour_pass")


def compile_all():
    """{(variant, architecture): what ahead_of_time.py found}, compiled in a process of its own."""
    done = subprocess.run([sys.executable, str(HERE / "ahead_of_time.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = map(json.loads, done.stdout.splitlines())
    return {(one.pop("variant"), one.pop("architecture")): one for one in found}


@pytest.fixture(scope="module")
def found():
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not on this platform; test_merge.py and test_image_statistics.py prove torch's forms")
    return compile_all()


def test_every_kernel_compiles_for_every_card(found):
    cards = {architecture for _, architecture in found}
    assert cards == {"sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"}
    assert all((variant, card) in found for variant in (*ELEMENTWISE, "merge_bf16", "merge_e4m3_stochastic")
               for card in cards)
    assert len({variant for variant, _ in found}) >= 8


def test_nothing_is_spilled(found):
    assert {name: one["spilled"] for name, one in found.items() if one["spilled"]} == {}


def test_merging_multiplies_on_the_matrix_units(found):
    assert all(one["matrix"] > 0 for (variant, _), one in found.items() if variant not in ELEMENTWISE)


def test_weights_and_pixels_move_in_128_bits_and_neighbours_in_64(found):
    """A wider tile of neighbours, which would move 128 bits, spills registers on sm_90."""
    widths = {name: (one["widest_load"], one["widest_store"]) for name, one in found.items()}
    assert all(width == (128, 128) for (variant, _), width in widths.items() if variant != "neighbour_pass"), widths
    assert all(width[0] >= 64 for width in widths.values()), widths


def test_small_numbers_are_not_flushed_to_zero(found):
    """The codecs carry 8-bit floats in float32's subnormal numbers; a floor of about a half and more may flush."""
    flushes = {flush for one in found.values() for flush in one["flushes"]}
    assert flushes <= {"cvt.rmi.ftz.f32.f32"}
    assert not any(one["flushes"] for (variant, _), one in found.items() if variant not in ELEMENTWISE)


def test_instructions_an_element_stay_within_the_budget(found):
    budget = json.loads(BUDGET.read_text(encoding="utf-8"))["instructions_per_element"]
    over = {f"{variant} on {card}": (one["instructions_per_element"], budget[variant][card])
            for (variant, card), one in found.items()
            if one["instructions_per_element"] > ROOM * budget[variant][card]}
    assert over == {}


def write_budget():
    import importlib.metadata
    table = {}
    for (variant, card), one in compile_all().items():
        table.setdefault(variant, {})[card] = one["instructions_per_element"]
    text = json.dumps({"triton": importlib.metadata.version("triton"), "instructions_per_element": table}, indent=2)
    BUDGET.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_budget()
