"""vector_mode inspire: the numbers that the Inspire Pack gives every patch of a file.

inspire_golden.json holds what the pack itself (1aef2c5) gave for ten LoRAs on the host's models.
"""
import json
import random
from itertools import groupby
from pathlib import Path

import lora_models as small
import numpy as np
import pytest
from lora_models import small_clip, small_model

GOLDEN = json.loads((Path(__file__).parent / "inspire_golden.json").read_text(encoding="utf-8"))


@pytest.fixture
def read(lora):
    """The ratio of each target, in the order of the targets."""
    def get(text, targets, **inputs):
        item, = lora.block_weights.block_language.parse(text)
        settings = lora.block_weights.block_language.Settings("inspire", **inputs)
        ratios = lora.block_weights.inspire_vectors.inspire_ratios(item, targets, settings)
        return [ratios[target] for target in targets]
    return get


@pytest.mark.parametrize("case", GOLDEN, ids=[case["why"] for case in GOLDEN])
def test_the_numbers_are_those_of_the_inspire_pack(case, read):
    targets = [target if isinstance(target, str) else (target[0], tuple(target[1])) for target in case["targets"]]
    assert read(case["text"], targets, seed=case["seed"], a=case["a"], b=case["b"]) == case["ratios"]


SECTIONS = {"input_blocks": 12, "middle_block": 3, "output_blocks": 12, "double_blocks": 19, "single_blocks": 38}


def by_the_description(values, blocks, seed, a, b):
    """The reference's account: in the order of the sections every run of equal numbers takes a value, its members take
    the numbers in it, the run of the last value goes on to the end, and the rest takes the first value."""
    draws = np.random.RandomState(seed % 2**31)
    letters = {"A": lambda: a, "a": lambda: a / 2, "B": lambda: b, "b": lambda: b / 2,
               "R": lambda: round(draws.uniform(0, 3), 2), "U": lambda: round(draws.uniform(-1.5, 1.5), 2)}
    order = sorted((block for block in blocks if block), key=lambda block: (list(SECTIONS).index(block[0]), block[1]))
    runs = [list(run) for _, run in groupby(order, key=lambda block: block[1])]
    last = len(values) - 2
    runs = runs[:last] + [sum(runs[last:], [])] * (len(runs) > last)
    found = {}
    for value, run in zip(values[1:], runs, strict=False):
        numbers = [letters[text]() if text in letters else float(text) for text in value.split()]
        found |= {block: numbers[min(place, len(numbers) - 1)] for place, block in enumerate(run)}
    base = [letters[text]() if text in letters else float(text) for text in values[0].split()][0]
    return [found.get(block, base) for block in blocks]


def random_values(rng):
    value = lambda: rng.choice(["A", "a", "B", "b", "R", "U", "0", "1", "0.5", "-1.25"])
    return [" ".join(value() for _ in range(rng.choice([1, 1, 1, 3]))) for _ in range(rng.randint(12, 60))]


@pytest.mark.parametrize("seed", range(40))
def test_random_vectors_on_random_files_follow_the_description(seed, read):
    rng = random.Random(seed)
    blocks = [(name, number, i) for name, count in SECTIONS.items() for number in range(count) for i in range(2)]
    blocks = [*rng.sample(blocks, rng.randint(1, len(blocks))), None]
    targets = [f"diffusion_model.{b[0]}.{b[1]}.part{b[2]}.weight" if b else "t5xxl.x.weight" for b in blocks]
    values, draw = random_values(rng), rng.randrange(2**64)
    found = read(",".join(values), targets, seed=draw, a=3.0, b=-0.5)
    assert found == by_the_description(values, blocks, draw, 3.0, -0.5)


def test_the_generator_of_others_is_not_touched(read):
    np.random.seed(3)
    before = np.random.get_state()[1].tolist()
    read(",".join(["R"] * 12), ["diffusion_model.input_blocks.1.x.weight"], seed=5)
    assert np.random.get_state()[1].tolist() == before


def test_the_node_patches_with_these_numbers_and_shows_them(pack):
    model, clip = small_model("Flux.1"), small_clip()
    tensors = small.lora_for(model, "lora") | small.lora_for_clip(clip)
    node = pack.nodes.lora.nodes.ApplyLora
    text = "0.5,0,2," + ",".join(["R"] * 10)
    new_model, new_clip, report = node.execute(model, tensors, 0.5, 0.25, text, clip, vector_mode="inspire",
                                               seed=7).result
    strengths = {key: entries[0][0] for key, entries in new_model.patches.items() if entries}
    single = [round(value, 2) for value in np.random.RandomState(7).uniform(0, 3, 2)]
    assert "diffusion_model.double_blocks.0.img_attn.qkv.weight" not in strengths
    assert strengths["diffusion_model.double_blocks.1.img_attn.qkv.weight"] == 1.0
    assert strengths["diffusion_model.single_blocks.0.linear1.weight"] == 0.5 * single[0]
    assert strengths["diffusion_model.single_blocks.1.linear1.weight"] == 0.5 * single[1]
    assert {entries[0][0] for entries in new_clip.patcher.patches.values() if entries} == {0.125}
    assert f"D00=0; D01=2; S00={single[0]:g}; S01={single[1]:g}" in report


def test_statements_beside_a_vector_are_read_by_name(pack):
    model = small_model("Flux.1")
    spec = pack.nodes.lora.block_weights.block_language.parse("1," * 11 + "1; D01=0.25; default=9")
    lora = pack.nodes.lora.file.lora_files.LoraFile(small.lora_for(model, "lora"), {})
    settings = pack.nodes.lora.block_weights.block_language.Settings("inspire")
    result = pack.nodes.lora.applying.patching.dry_run(model, None, lora, 1.0, 1.0, spec, settings)
    assert {(c.alias, c.ratio) for c in result.components[0].changes if c.alias.startswith("D")} == {
        ("D00", 1.0), ("D01", 0.25)}


@pytest.mark.parametrize("text, message", [
    ("1,2,3", '"1,2,3" has 3 values; vector_mode inspire takes 12 or more'),
    ("%default=1,north=2", '"north=2" in a % text is not of the form'),
    ("%in-3=1", '"in-3=1" in a % text is not'),
    ("%in1=-1", '"in1=-1" in a % text is not'),
    (f"%in1={'9' * 400}", "is not finite"),
])
def test_what_it_cannot_read_is_quoted(text, message, read):
    with pytest.raises(ValueError) as caught:
        read(text, ["diffusion_model.input_blocks.1.x.weight"])
    assert str(caught.value).startswith("blocks: ") and message in str(caught.value)
