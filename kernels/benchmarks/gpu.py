"""Measures the kernels on a GPU against the host's own code, prints what came out, and keeps it as JSON.

    python dev.py bench --gpu                     on the first CUDA device, at most 8 minutes
    python kernels/benchmarks/gpu.py --device cpu --toy --out FOLDER     walks the whole way on small layers

Needs torch, Triton and the host's tree at COMFYUI_PATH; training also needs what the host installs, and says so.
"""
import argparse
import json
import os
import platform
import sys
import time
import traceback
from datetime import date
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from kernels import dispatch  # noqa: E402
from kernels.benchmarks import sections  # noqa: E402
from kernels.benchmarks.clock import Setting, copy_bandwidth, matrix_rate  # noqa: E402
from kernels.benchmarks.host import UNUSED, import_host  # noqa: E402

MINUTES = 8


def main(arguments=None) -> int:
    options = read(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("bench --gpu: expected a CUDA device that this torch can use, got none.", file=sys.stderr)
        return 2
    setting = Setting(torch.device(options.device), 1 if options.toy else 10, 0.02 if options.toy else 1.0, options.toy)
    stubbed = import_host(Path(os.environ.get("COMFYUI_PATH", "")), options.device == "cpu",
                         UNUSED if options.stub else ())
    begun = time.monotonic()
    result = {**machine(setting), "stubbed_libraries": stubbed}
    result["copy_bandwidth"], result["matrix_rate"] = copy_bandwidth(setting), matrix_rate(setting)
    print(f"{result['device']}: copies {result['copy_bandwidth'] / 1e9:.0f} GB/s, "
          f"multiplies {result['matrix_rate'] / 1e12:.1f} TFLOP/s", flush=True)
    result["sections"] = [measured(name, section, begun, options.minutes * 60)
                          for name, section in planned(setting, result, stubbed).items() if options.only in name]
    result["triton_over_torch"] = triton_over_torch(result["sections"])
    result["minutes"] = round((time.monotonic() - begun) / 60, 2)
    keep(result, options.out)
    return 0


def read(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--toy", action="store_true", help="small layers, few rounds: whether it runs, not how fast")
    parser.add_argument("--stub", action="store_true", help="stand in for the libraries a bare machine may lack")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="sections that would begin later are left out")
    parser.add_argument("--only", default="", help="sections whose names hold this: merge, Flux, linear, training ...")
    parser.add_argument("--out", type=Path, default=dispatch.RESULTS)
    return parser.parse_args(arguments)


def planned(setting, result, stubbed):
    """Sections by name, the most wanted first: what is left when the time is over is left out, and named."""
    bandwidth = result["copy_bandwidth"]
    part = setting._replace(share=setting.share if setting.toy else 0.25)
    return {
        "merge SDXL bf16 1": partial(sections.merging, setting, "SDXL", "bf16", 1, bandwidth),
        "merge SDXL bf16 4": partial(sections.merging, setting, "SDXL", "bf16", 4, bandwidth),
        "linear": partial(sections.linear, setting, result["matrix_rate"]),
        "statistics": partial(sections.statistics, setting),
        "merge Flux bf16 1": partial(sections.merging, part, "FLUX", "bf16", 1, bandwidth),
        "merge Flux bf16 4": partial(sections.merging, part, "FLUX", "bf16", 4, bandwidth),
        "merge Flux e4m3 1": partial(eager_rounding, part, "FLUX", 1, bandwidth),
        "optimiser": partial(sections.optimizer, setting),
        "training": partial(sections.training, setting, ROOT / "tests", stubbed),
    }


def eager_rounding(setting, model, count, bandwidth):
    """8-bit weights with the rounding that the host falls back to where its CUDA kernels are off."""
    import comfy_kitchen
    with comfy_kitchen.use_backend("eager"):
        return sections.merging(setting, model, "e4m3", count, bandwidth)


def measured(name, section, begun, limit):
    if time.monotonic() - begun > limit:
        print(f"{name}: left out, the time is over", flush=True)
        return {"name": name, "left_out": "the time was over"}
    try:
        found = section()
    except Exception as error:  # one section that fails must not cost the others their results
        print(f"{name}: failed: {type(error).__name__}: {error}", flush=True)
        return {"name": name, "failed": traceback.format_exc()}
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    show(found)
    return {"name": name, **found}


def show(found):
    print(f"\n{found['title']}")
    for name, row in found["rows"].items():
        others = {key: value for key, value in row.items() if value is not None and key != "seconds"}
        figures = ", ".join(f"{key} {value:.3g}" for key, value in others.items())
        print(f"  {name:<34} {row['seconds'] * 1e3:>10.3f} ms  {figures}")
    for goal in found["targets"]:
        sign = "at most" if goal["at_most"] else "at least"
        print(f"  {'met   ' if goal['met'] else 'MISSED'} {goal['name']}: {goal['found']} ({sign} {goal['asked']})",
              flush=True)


def triton_over_torch(measured_sections):
    """What `dispatch` reads: how much faster Triton's form of each operation was, over all its sections."""
    ratios = {"merge": [], "image_statistics": []}
    for section in measured_sections:
        operation = "merge" if section["name"].startswith("merge") else "image_statistics"
        ratios[operation].append(section.get("triton_over_torch"))
    means = {operation: sections.geometric_mean(found) for operation, found in ratios.items()}
    return {operation: round(mean, 3) for operation, mean in means.items() if mean}


def machine(setting):
    on_cuda = setting.device.type == "cuda"
    name = torch.cuda.get_device_name(setting.device) if on_cuda else platform.processor() or "cpu"
    try:
        import triton
        version = triton.__version__
    except ImportError:
        version = None
    return {"device": name, "architecture": dispatch.architecture(setting.device), "date": date.today().isoformat(),
            "torch": torch.__version__, "cuda": torch.version.cuda, "triton": version, "toy": setting.toy,
            "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}


def keep(result, folder):
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(c if c.isalnum() else "_" for c in result["device"]).strip("_").lower()
    path = folder / f"{'toy' if result['toy'] else 'gpu'}_{name}_{result['date']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    goals = [goal for section in result["sections"] for goal in section.get("targets", ())]
    print(f"\n{sum(goal['met'] for goal in goals)} of {len(goals)} targets met in {result['minutes']} minutes; {path}")


if __name__ == "__main__":
    sys.exit(main())
