"""A LoRA made smaller: as near as its rank allows, the same every time, and what it says it kept."""

import lora_models as small
import pytest
import torch
from lora_models import small_model, weights
from safetensors.torch import load_file


@pytest.fixture(scope="module")
def resize(pack):
    return pack.nodes.lora.patches.resize


@pytest.mark.parametrize("kind", ["lora", "dora", "lokr", "set", "oft"])
def test_a_smaller_rank_keeps_what_it_says(kind, room, source, expected, core):
    model = small_model("SD3-medium")
    sources = [source(small.lora_for(model, kind)), source(small.lora_for(model, "lora"), 0.5)]
    saved = room.save(sources, "small", "comfy", 3, {}, model)
    base, full, found = weights(model), expected(model, sources)[0], core(saved.path, model)[0]
    total = sum(float((full[k].double() - base[k].double()).square().sum()) for k in base)
    lost = sum(float((full[k].double() - found[k].double()).square().sum()) for k in base)
    said = float(saved.text.split("rank at most 3: ")[1].split("%")[0]) / 100
    assert said == pytest.approx(1 - lost / total, abs=2e-4)
    ranks = {t.shape[0] for key, t in load_file(saved.path).items() if "lora_down" in key}
    assert max(ranks) <= 3 and total > 0


def test_the_approximation_is_the_best_of_its_rank(resize):
    matrix = torch.randn(1200, 1100, generator=torch.Generator().manual_seed(0)) * 0.97 ** torch.arange(1100)
    s = torch.linalg.svdvals(matrix.double())
    best = float((s[:32] ** 2).sum() / (s ** 2).sum())
    done = resize.resized(("diff", (matrix,)), 32, None, torch.float32)
    assert done.kept / done.total == pytest.approx(best, rel=1e-4)
    up, down, alpha, *_ = done.patch.weights
    assert float((matrix - up @ down).square().sum()) / done.total == pytest.approx(1 - best, rel=1e-3) and alpha == 32


def test_a_large_change_made_smaller_is_the_same_every_time_and_disturbs_no_generator(resize):
    matrix, rolled = torch.randn(1200, 1100), torch.random.get_rng_state()
    made = [resize.resized(("diff", (matrix,)), 4, None, torch.float32).patch.weights for _ in range(2)]
    assert all(torch.equal(*factors) for factors in zip(made[0][:2], made[1][:2], strict=True))
    assert torch.equal(torch.random.get_rng_state(), rolled)


def test_a_lora_of_this_rank_or_less_is_left_alone(room, source):
    model = small_model("SD3-medium")
    tensors = small.lora_for(model, "lora")
    saved = room.save([source(tensors)], "same", "kohya", 2, {}, model)
    assert all(torch.equal(t, tensors[key]) for key, t in load_file(saved.path).items())
    assert "rank at most 2: 100.00%" in saved.text
