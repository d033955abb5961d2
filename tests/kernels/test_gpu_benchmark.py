"""The benchmark for GPUs walks its whole way on the CPU, on small layers, so that it runs the first time on a card."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACK = Path(__file__).resolve().parents[2]
PROGRAM = PACK / "kernels" / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """As on a bare machine: the libraries that only the host's imports ask for are stood in for."""
    folder = tmp_path_factory.mktemp("results")
    command = [sys.executable, str(PROGRAM), "--device", "cpu", "--toy", "--stub", "--out", str(folder)]
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    path, = folder.glob("*.json")
    return json.loads(path.read_text(encoding="utf-8")), path.name, done.stdout


def test_every_section_measures_and_only_training_needs_what_a_bare_machine_lacks(result):
    failed = {section["name"]: section["failed"] for section in result[0]["sections"] if "failed" in section}
    assert list(failed) == ["training"] and "the host's nodes need transformers" in failed["training"]
    rows = [row for section in result[0]["sections"] for row in section.get("rows", {}).values()]
    assert len(rows) > 25 and all(row["seconds"] > 0 for row in rows)


def test_every_target_of_the_kernels_is_judged(result):
    names = [goal["name"] for section in result[0]["sections"] for goal in section.get("targets", ())]
    assert {name.split(":")[0] for name in names} == {
        "merge SDXL bf16 N=1", "merge SDXL bf16 N=4", "merge FLUX bf16 N=1", "merge FLUX bf16 N=4",
        "merge FLUX e4m3 N=1", "LoRA linear", "statistics"}
    assert f"of {len(names)} targets met" in result[2] and result[2].count("MISSED") + result[2].count("met   ") >= 12


def test_the_triton_forms_take_part_where_triton_is(result):
    pytest.importorskip("triton")
    assert set(result[0]["triton_over_torch"]) == {"merge", "image_statistics"}
    assert "triton, planned" in next(s for s in result[0]["sections"] if s["name"] == "merge SDXL bf16 4")["rows"]


def test_versions_and_device_are_kept_and_a_toy_is_no_evidence_for_dispatch(result):
    found, name, _ = result
    assert {"device", "architecture", "torch", "triton", "date", "copy_bandwidth", "matrix_rate"} <= set(found)
    assert name.startswith("toy_") and found["toy"]


def test_without_a_cuda_device_it_says_so(monkeypatch):
    import torch
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "bench --gpu: expected a CUDA device that this torch can use, got none.\n"


@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="compares forms on a CUDA device")
def test_on_a_card_both_forms_agree():
    import torch
    sys.path.insert(0, str(PACK))
    from kernels import image_statistics, merge
    weights = [(torch.randn(200, 256, device="cuda") * 0.05).to(torch.float8_e4m3fn)]
    factors = [(torch.randn(200, 16, device="cuda") * 0.03, torch.randn(16, 256, device="cuda") * 0.03)]
    mine, theirs = (merge.merge(weights, factors, seeds=[3], backend=name)[0].float() for name in ("triton", "torch"))
    assert (mine != theirs).float().mean() < 2e-4
    rgb = torch.randint(0, 256, (1, 3, 99, 133), dtype=torch.uint8, device="cuda")
    found = [image_statistics.image_statistics(rgb, name) for name in ("triton", "torch")]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True) if a.dtype == torch.int64)
