"""Damaged LoRAs, states and presets: each is refused with a sentence or read right, in under a second."""
import copy
import json
import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from outcome import SPOKEN, Outcome, not_a_sentence
from workbench import Workbench

SECOND = 1.0    # of processor time, because the machine may be doing something else
THROUGH_THE_GRAPH = 40  # every so many damaged states goes into a training
ODD = (None, True, -1, 1e308, float("nan"), 10 ** 400, "", "\ud800", "x" * 10_000, [], {}, [[]], {"dict": [["a"]]},
       {"tensor": "nowhere"}, {"tuple": 3}, {"unknown": 1})


def damaged_files(bench: Workbench, folder: Path, rng: random.Random) -> Iterator[Outcome]:
    folder.mkdir(parents=True, exist_ok=True)
    said = bench.train(folder, "ink")
    if said:
        raise RuntimeError(said)
    lora = (folder / "loras" / "ink.safetensors").read_bytes()
    state = sorted((folder / "training" / "ink").glob("step_*"))[-1].read_bytes()
    number = 0
    while True:
        number += 1
        yield _lora(bench, folder, damaged(lora, rng))
        broken = damaged(state, rng)
        yield _state(bench, folder, broken)
        if number % THROUGH_THE_GRAPH == 0:
            yield _resumed(bench, folder, broken)
        yield _presets(bench, folder, rng)


def damaged(whole: bytes, rng: random.Random) -> bytes:
    return rng.choice([_bytes_changed, _cut, _header_changed, _header_changed, _tree_changed])(whole, rng)


def _bytes_changed(whole, rng):
    content = bytearray(whole)
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(rng.choice([len(content), 200]))] = rng.randrange(256)
    return bytes(content)


def _cut(whole, rng):
    at = rng.choice([0, 1, 7, 8, rng.randrange(len(whole)), len(whole) - 1])
    return whole[:at] + rng.choice([b"", b"\0" * rng.randint(1, 99)])


def _header_changed(whole, rng):
    header, rest = _split(whole)
    _change(header, rng)
    return _joined(header, rest)


def _tree_changed(whole, rng):
    """Changes inside the JSON texts of the metadata, of which a state is one."""
    header, rest = _split(whole)
    about = header.get("__metadata__", {})
    for key, text in about.items():
        if text.startswith("{"):
            inside = json.loads(text)
            for _ in range(rng.randint(1, 3)):
                _change(inside, rng)
            about[key] = json.dumps(inside)
    return _joined(header, rest)


def _split(whole):
    size, = struct.unpack("<Q", whole[:8])
    return json.loads(whole[8:8 + size]), whole[8 + size:]


def _joined(header, rest):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def _change(tree, rng):
    """Puts something odd at a random place of nested lists and dicts, or takes something out."""
    while isinstance(tree, (dict, list)) and tree:
        keys = list(tree) if isinstance(tree, dict) else range(len(tree))
        key = rng.choice(keys)
        if not isinstance(tree[key], (dict, list)) or not tree[key] or rng.random() < 0.15:
            if rng.random() < 0.2:
                del tree[key]
            else:
                tree[key] = copy.deepcopy(rng.choice(ODD))
            return
        tree = tree[key]


def _lora(bench, folder, content) -> Outcome:
    path = folder / "loras" / "damaged.safetensors"
    path.write_bytes(content)
    room = bench.pack.nodes.lora
    report = room.inspection.inspection_report

    def read():
        lora = room.file.lora_files.read_lora(path, path.name)
        assert all(tensor.numel() and tensor.float().isfinite().all() for tensor in lora.tensors.values()), "not finite"
        report.describe(path.name, lora, report.inspect(lora))
        room.file.file_metadata.metadata_text(lora.metadata)
        room.inspection.editor_overview.overview(path)

    return _tried("a damaged LoRA", read)


def _state(bench, folder, content) -> Outcome:
    path = folder / "training" / "ink" / "damaged.safetensors"
    path.write_bytes(content)
    return _tried("a damaged state", lambda: bench.pack.nodes.training.disk.checkpoint.load_state(path))


def _resumed(bench, folder, content) -> Outcome:
    """The state that a run is told to go on from, in the real graph."""
    broken = folder / "training" / "broken" / "step_00000002.safetensors"
    broken.parent.mkdir(exist_ok=True)
    broken.write_bytes(content)
    said = bench.train(folder, "resumed", resume="broken")
    wrong = not_a_sentence(ValueError(_message(said))) if said else ""
    return Outcome("a damaged state in a training", wrong and f"{wrong} {said[:400]}")


def _message(said: str) -> str:
    """The exception's own words out of what the executor reports of it."""
    import ast
    try:
        found = ast.literal_eval(said[:said.index("'traceback'")].rstrip(", ") + "}")
        own = found["exception_type"] in {kind.__name__ for kind in SPOKEN}
        return found["exception_message"].strip() if own else f"{found['exception_type']} Traceback"
    except (ValueError, SyntaxError, KeyError):
        return said


def _presets(bench, folder, rng) -> Outcome:
    presets = bench.pack.nodes.lora.block_weights.presets
    path, real = folder / "block_presets.txt", presets.user_file
    line = "".join(rng.choice(["A", ":", "=", "0.5", ";", "#", "[", "]", "\n", " ", "\x00", "é", "IN*=1", "\udcff"])
                   for _ in range(rng.randint(1, 60)))
    tail = bytes(rng.randrange(256) for _ in range(rng.randint(0, 9)))
    path.write_bytes(line.encode("utf-8", "surrogateescape") + tail)
    presets.user_file = lambda: path
    try:
        return _tried("a damaged file of presets", presets.by_family)
    finally:
        presets.user_file = real


def _tried(fault: str, read) -> Outcome:
    began, wrong = time.process_time(), ""
    try:
        read()
    except Exception as error:
        wrong = not_a_sentence(error)
    seconds = time.process_time() - began
    return Outcome(fault, wrong or (f"took {seconds:.1f} s" if seconds > SECOND else ""))
