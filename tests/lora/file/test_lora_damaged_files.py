"""Ten thousand damaged LoRAs: each is refused with a sentence, or every part of it that is applied is sound."""
import json
import logging
import math
import random
import struct
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import lora_models as small
import pytest
import torch
from lora_models import KINDS
from safetensors.torch import save

BYTES, LIES, OLD, TENSORS = 4000, 1500, 300, 2200
WEIGHTS = (12, 8), (12, 8, 3, 3)
NAME, TARGET = "lora_unet_x", "diffusion_model.x.weight"


@pytest.fixture
def path(tmp_path):
    """A file to write again and again, in memory where the system has a folder for that."""
    memory = Path("/dev/shm")
    path = memory / f"bottega_{tmp_path.parent.name}_{tmp_path.name}.safetensors" if memory.is_dir() else (
        tmp_path / "x.safetensors")
    yield path
    path.unlink(missing_ok=True)


def sample():
    return {"a.lora_up.weight": torch.arange(12.0).view(4, 3), "a.lora_down.weight": torch.ones(3, 5).half(),
            "a.alpha": torch.tensor(2.0)}


def read_or_refuse(lora, path, content) -> bool:
    """Whether the file was read; then it holds finite numbers. Anything but a sentence about the file fails."""
    path.write_bytes(content)
    try:
        tensors = lora.file.lora_files.read_lora(path).tensors
    except ValueError as error:
        assert str(error).startswith(f"LoRA file: {path} ") and str(error).endswith(".") and "\n" not in str(error)
        return False
    assert all(tensor.numel() and tensor.float().isfinite().all() for tensor in tensors.values())
    return True


def test_files_with_bytes_changed_cut_off_or_added(lora, path):
    rng, whole = random.Random(0), save(sample())
    read = 0
    for _ in range(BYTES):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(content)) if rng.random() < 0.5 else rng.randrange(8 + 240)
            content[place] = rng.randrange(256)
        if rng.random() < 0.3:
            content = content[:rng.randrange(len(content))] if rng.random() < 0.7 else content + b"\0" * 7
        read += read_or_refuse(lora, path, content)
    assert 0 < read < BYTES / 2


def test_headers_that_lie_about_length_type_shape_or_place(lora, path):
    rng, whole = random.Random(1), save(sample())
    size = struct.unpack("<Q", whole[:8])[0]
    header, data = json.loads(whole[8:8 + size]), whole[8 + size:]
    numbers = [0, 1, 7, -1, 2**31, 2**63, 2**64 - 1, 1e9, None, "4", [4]]
    for _ in range(LIES):
        lie = json.loads(json.dumps(header))
        entry = lie[rng.choice(list(lie))]
        what = rng.choice(["offset", "shape", "dtype", "length", "name"])
        match what:
            case "offset":
                entry["data_offsets"][rng.randrange(2)] = rng.choice(numbers)
            case "shape":
                entry["shape"] = rng.choices(numbers, k=rng.randint(0, 4))
            case "dtype":
                entry["dtype"] = rng.choice(["F64", "I64", "BOOL", "F8_E4M3", "Q4", "", None])
            case "name":
                lie["__metadata__"] = rng.choice([{"a": 1}, [], "x", {"a": {"b": "c"}}])
        text = json.dumps(lie).encode()
        length = rng.choice([0, 1, len(text) - 1, len(text) + 1, 8 << 30, 2**63, 2**64 - 1])
        length = length if lie == header else len(text)
        read = read_or_refuse(lora, path, struct.pack("<Q", length) + text + data)
        assert not (read and what == "offset" and lie != header)


def old_file(content) -> bytes:
    out = BytesIO()
    torch.save(content, out)
    return out.getvalue()


def test_old_files_of_plain_tensors_are_read_and_damaged_or_unsafe_ones_refused(lora, path):
    path = path.with_suffix(".pt")
    rng, whole = random.Random(2), old_file(sample())
    try:
        assert read_or_refuse(lora, path, whole) and read_or_refuse(lora, path, old_file({"state_dict": sample()}))
        assert lora.file.lora_files.read_lora(path).tensors.keys() == sample().keys()
        for unsafe in ({"a": print}, {"a": Path("x")}, [torch.ones(2)], {"a.alpha": 1.0}, {1: torch.ones(2)}, None):
            assert not read_or_refuse(lora, path, old_file(unsafe))
        for _ in range(OLD):
            content = bytearray(whole)
            for _ in range(rng.randint(1, 6)):
                content[rng.randrange(len(content))] = rng.randrange(256)
            content = content[:rng.randrange(len(content))] if rng.random() < 0.3 else content
            read_or_refuse(lora, path, content)
    finally:
        path.unlink(missing_ok=True)


def test_a_pickle_or_zip_named_safetensors_is_refused(lora, path):
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", b"cos\nsystem\n(S'true'\ntR.")
    for content in (old_file(sample()), archive.getvalue(), b"cos\nsystem\n(S'true'\ntR."):
        assert not read_or_refuse(lora, path, content)


def damage(rng, tensors, weight):
    """One to three things that go wrong when files are cut together by hand or written by a buggy tool."""
    for _ in range(rng.randint(1, 3)):
        key = rng.choice(list(tensors) or [f"{NAME}.diff"])
        tensor = tensors.get(key, torch.ones(weight))
        match rng.randrange(12):
            case 0:
                tensors.pop(key, None)
            case 1:
                tensors[key] = tensor.T.contiguous() if tensor.ndim == 2 else tensor
            case 2:
                tensors[key] = torch.zeros([0 if i == 0 else n for i, n in enumerate(tensor.shape)] or [0])
            case 3:
                tensors[key] = torch.full_like(tensor.float(), rng.choice([torch.nan, torch.inf, -torch.inf]))
            case 4:
                tensors[key] = tensor.to(rng.choice([torch.int32, torch.int64, torch.uint8, torch.bool]))
            case 5:
                tensors[key] = tensor.to(rng.choice([torch.float64, torch.float16, torch.bfloat16]))
            case 6:
                shape = [max(1, n + rng.randint(-2, 2)) for n in tensor.shape]
                tensors[key] = torch.randn(shape) if shape else torch.randn(rng.choice([1, 2]))
            case 7:
                tensors[key] = tensor.flatten() if rng.random() < 0.5 else tensor[None]
            case 8:
                tensors.pop(f"{NAME}.alpha", None)
            case 9:
                tensors[f"{NAME}.alpha"] = torch.tensor(rng.choice([0.0, -1.0, 1e6, 7]))
            case 10:
                tensors |= prefixed(small.adapter(rng.choice(KINDS), weight, rng.randrange(99)))
            case 11:
                tensors[f"{NAME}.{rng.choice(['dora_scale', 'lora_mid.weight', 'rescale', 'junk', 'hada_t1'])}"] = (
                    torch.rand(rng.choice([(12, 1), (1, 8), (3,), (2, 2)])))


def prefixed(parts):
    return {NAME + suffix: tensor for suffix, tensor in parts.items()}


def outcome_of(lora, tensors, weight):
    """What the node makes of tensors for one weight of the host: "", or why nothing is applied."""
    try:
        lora.file.lora_files.check(tensors, "lora")
        patches = lora.file.loading._patches(lora.file.loading.TrackedTensors(tensors), {NAME: TARGET})
    except ValueError as error:
        return str(error), None
    if TARGET not in patches:
        return "no key of the file belongs to this model", None
    return lora.patches.shape_check.problem(patches[TARGET], weight), patches[TARGET]


def merged(lora, patch, shape, caplog):
    """The weight with the patch, merged by the host, and what the host complained about."""
    import comfy.lora
    caplog.clear()
    base = torch.linspace(-1, 1, math.prod(shape)).view(shape)
    try:
        change, strength, weight = lora.patches.linear_strength.as_linear(patch, 0.5)
        found = comfy.lora.calculate_weight([(strength, change, weight, None, None)], base.clone(), TARGET)
    except Exception as error:
        return base, repr(error)
    return found, " ".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_adapters_with_parts_missing_wrong_or_mixed(weight, lora, caplog):
    caplog.set_level(logging.WARNING)
    rng, seen = random.Random(3), Counter()
    for number in range(TENSORS):
        torch.manual_seed(number)
        kind = rng.choice(KINDS)
        tensors = prefixed(small.adapter(kind, weight, number))
        damage(rng, tensors, weight)
        problem, patch = outcome_of(lora, tensors, weight)
        seen["refused" if problem else "applied"] += 1
        if not problem:
            shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
            found, complaint = merged(lora, patch, weight, caplog)
            assert not complaint and found.shape == weight, (kind, shapes, complaint)
        else:
            assert "\n" not in problem
    assert min(seen.values()) > TENSORS / 5


def test_there_are_ten_thousand_cases():
    assert BYTES + LIES + OLD + TENSORS * len(WEIGHTS) >= 10_000
