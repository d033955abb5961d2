"""Compiles the Triton kernels for cards that are not here and reads what came out: run as a program, prints JSON.

    python tests/kernels/ahead_of_time.py sm_90 merge_bf16 ...     all variants where none is named
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

from kernels.triton import merge  # noqa: E402

ARCHITECTURES = (80, 86, 89, 90, 100, 120)
TOOLS = Path(triton.backends.nvidia.__file__).parent / "bin"
MATRIX = {80: "HMMA", 86: "HMMA", 89: "HMMA", 90: "HGMMA", 100: "UTCHMMA", 120: "HMMA"}


def merging(name, stochastic=False, tile=merge.SMALL, native=False):
    """(kernel, signature of its arguments, constants, elements a program writes, warps, whether it multiplies)."""
    constants = dict(FORMAT=name, STORED=(merge.NATIVE if native else merge.STORED)[name], NATIVE=native,
                     STOCHASTIC=stochastic, ALIGNED=True, ROWS=tile.rows, COLUMNS=tile.columns,
                     RANKS=tile.ranks)
    arguments = dict(table="*i64", owners="*i32", factors="*fp16")
    return merge.merge_grouped, arguments, constants, tile.rows * tile.columns, tile.warps, True


VARIANTS = {
    "merge_bf16": merging("bf16"),
    "merge_bf16_large": merging("bf16", tile=merge.LARGE),
    "merge_fp16": merging("fp16"),
    "merge_e4m3_stochastic": merging("e4m3", True),
    "merge_e5m2_stochastic": merging("e5m2", True),
    "merge_e4m3_native_stochastic": merging("e4m3", True, native=True),
}


def compiled(variant, architecture):
    kernel, arguments, constants, _, warps, _ = VARIANTS[variant]
    signature = {name: arguments.get(name, "constexpr") for name in kernel.arg_names}
    place = kernel.arg_names.index
    aligned = {(place(name),): [["tt.divisibility", 16]] for name, kind in arguments.items() if kind.startswith("*")}
    source = ASTSource(kernel, signature, constexprs={(place(k),): v for k, v in constants.items()}, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options={"num_warps": warps})


def examined(variant, architecture):
    """Registers, bytes spilled, instructions an element, matrix instructions and the widest accesses of a variant."""
    _, _, _, elements, warps, multiplies = VARIANTS[variant]
    kernel = compiled(variant, architecture)
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(kernel.asm["cubin"])
        usage = _tool("cuobjdump", "-res-usage", cubin)
        listing = _tool("cuobjdump", "-sass", cubin)
    registers, stack, local = (int(re.search(rf"{name}:(\d+)", usage).group(1)) for name in ("REG", "STACK", "LOCAL"))
    operations = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)", listing, re.M)
    kinds = Counter(operation.split(".")[0] for operation in operations if not operation.startswith("NOP"))
    per_thread = elements / (32 * warps)
    return {"registers": registers, "spilled": stack + local + kinds["STL"] + kinds["LDL"],
            "instructions_per_element": round(sum(kinds.values()) / per_thread, 1),
            "matrix": kinds[MATRIX[architecture]] if multiplies else None,
            "wide_loads": sum(o.startswith(("LDG", "LDGSTS")) and ".128" in o for o in operations),
            "wide_stores": sum(o.startswith("STG") and ".128" in o for o in operations),
            "flushes": ".ftz" in kernel.asm["ptx"]}


def _tool(name, *arguments):
    return subprocess.run([str(TOOLS / name), *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def main(architectures, variants):
    for architecture in architectures or ARCHITECTURES:
        for variant in variants or VARIANTS:
            if "native" in variant and architecture < 89:
                continue
            print(json.dumps({"variant": variant, "architecture": f"sm_{architecture}",
                              **examined(variant, architecture)}), flush=True)


if __name__ == "__main__":
    named = sys.argv[1:]
    main([int(name[3:]) for name in named if name.startswith("sm_")], [n for n in named if not n.startswith("sm_")])
