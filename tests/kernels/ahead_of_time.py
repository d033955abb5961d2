"""Compiles the Triton kernels for cards that are not here and reads what came out: run as a program, prints JSON.

    python tests/kernels/ahead_of_time.py                         what the tests compile
    python tests/kernels/ahead_of_time.py sm_90 merge_bf16 ...    these variants for these cards
"""
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import triton  # noqa: E402
import triton.backends.nvidia  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from kernels.triton import image_statistics, merge  # noqa: E402

ARCHITECTURES = (80, 86, 89, 90, 100, 120)
TOOLS = Path(triton.backends.nvidia.__file__).parent / "bin"
ALIGNED = ("pixels", "width")  # numbers that the launcher sees to be multiples of 16 in a picture of 1024 pixels
MATRIX = {80: "HMMA", 86: "HMMA", 89: "HMMA", 90: "HGMMA", 100: "UTCHMMA", 120: "HMMA"}


def merging(name, stochastic=False, tile=merge.SMALL, native=False):
    """(kernel, signature of its arguments, constants, elements a program writes, warps, whether it multiplies)."""
    constants = dict(FORMAT=name, STORED=(merge.NATIVE if native else merge.STORED)[name], NATIVE=native,
                     STOCHASTIC=stochastic, ALIGNED=True, ROWS=tile.rows, COLUMNS=tile.columns,
                     RANKS=tile.ranks)
    arguments = dict(table="*i64", owners="*i32", factors="*fp16")
    return merge.merge_grouped, arguments, constants, tile.rows * tile.columns, tile.warps, True


def colour_pass():
    arguments = dict(rgb="*u8", levels="*fp32", grey_out="*u8", sum_out="*i16", sums_out="*fp32", lightness="*i32",
                     a_bins="*i32", b_bins="*i32", hues="*i32", pixels="i32")
    block = image_statistics.BLOCK
    return image_statistics.colour_pass, arguments, dict(BLOCK=block), block, image_statistics.WARPS, False


def neighbour_pass():
    arguments = dict(grey="*u8", summed="*i16", ordinal="*i32", pairs="*i32", tiles="*i32", orientations="*i32",
                     mirrored="*i64", height="i32", width="i32")
    rows, columns = image_statistics.bins.TILE, image_statistics.COLUMNS
    return (image_statistics.neighbour_pass, arguments, dict(ROWS=rows, COLUMNS=columns), rows * columns,
            image_statistics.WARPS, False)


VARIANTS = {
    "colour_pass": colour_pass(),
    "neighbour_pass": neighbour_pass(),
    "merge_bf16": merging("bf16"),
    "merge_bf16_large": merging("bf16", tile=merge.LARGE),
    "merge_fp16": merging("fp16"),
    "merge_e4m3_stochastic": merging("e4m3", True),
    "merge_e5m2_stochastic": merging("e5m2", True),
    "merge_e4m3_native_stochastic": merging("e4m3", True, native=True),
}


EVERYWHERE = ("colour_pass", "neighbour_pass", "merge_bf16", "merge_e4m3_stochastic")
"""Compiled for every card in the tests; the others, whose code differs little, for sm_90 only."""


def compiled(variant, architecture):
    kernel, arguments, constants, _, warps, multiplies = VARIANTS[variant]
    signature = {name: arguments.get(name, "constexpr") for name in kernel.arg_names}
    place = kernel.arg_names.index
    aligned = {(place(name),): [["tt.divisibility", 16]] for name, kind in arguments.items()
               if kind[0] == "*" or name in ALIGNED}
    options = {"num_warps": warps, "enable_fp_fusion": multiplies}
    source = ASTSource(kernel, signature, constexprs={(place(k),): v for k, v in constants.items()}, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


def examined(variant, architecture):
    """Registers, bytes spilled, instructions an element, matrix instructions and the widest accesses of a variant."""
    _, _, _, elements, warps, multiplies = VARIANTS[variant]
    kernel = compiled(variant, architecture)
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(kernel.asm["cubin"])
        usage = _tool("cuobjdump", "-res-usage", cubin)
        listing = _tool("cuobjdump", "-sass", cubin)
    registers, local = (int(re.search(rf"{name}:(\d+)", usage).group(1)) for name in ("REG", "LOCAL"))
    operations = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)", listing, re.M)
    kinds = Counter(operation.split(".")[0] for operation in operations if not operation.startswith("NOP"))
    per_thread = elements / (32 * warps)
    return {"registers": registers, "spilled": local + kinds["STL"] + kinds["LDL"],
            "instructions_per_element": round(sum(kinds.values()) / per_thread, 1),
            "matrix": kinds[MATRIX[architecture]] if multiplies else None,
            "widest_load": _widest("LDG", operations), "widest_store": _widest("STG", operations),
            "flushes": sorted(set(re.findall(r"\S+\.ftz\S*", kernel.asm["ptx"])))}


def _widest(kind, operations):
    """Bits of the widest access of a kind of instruction; those without a width move 32."""
    moved = [operation for operation in operations if operation.startswith(kind)]
    widths = [int(width) for operation in moved for width in re.findall(r"\.(64|128)\b", operation)]
    return max([*widths, 32])


def _tool(name, *arguments):
    return subprocess.run([str(TOOLS / name), *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def wanted(names):
    """(variant, architecture) of the pairs that the tests compile, or of those that `names` asks for."""
    architectures = [int(name[3:]) for name in names if name.startswith("sm_")] or ARCHITECTURES
    variants = [name for name in names if not name.startswith("sm_")]
    for architecture in architectures:
        for variant in variants or VARIANTS:
            if variants or variant in EVERYWHERE or architecture == 90:
                yield variant, architecture


if __name__ == "__main__":
    for variant, architecture in wanted(sys.argv[1:]):
        print(json.dumps({"variant": variant, "architecture": f"sm_{architecture}",
                          **examined(variant, architecture)}), flush=True)
