"""Averages of a length: the published profiles, and averages of other lengths found from those that were kept."""
import numpy as np
import pytest
import torch

STEPS, EVERY = 400, 5


@pytest.fixture(scope="module")
def ema(pack):
    return pack.nodes.training.averaging.power_function_ema


@pytest.mark.parametrize(("length", "exponent"), [(0.05, 16.97), (0.10, 6.94)])
def test_the_exponents_are_the_published_ones(ema, length, exponent):
    assert ema.exponent_of(length) == pytest.approx(exponent, abs=0.005)


@pytest.mark.parametrize("length", [0.02, 0.1, 0.25])
def test_a_profile_is_as_wide_as_its_length(ema, length):
    times = np.linspace(0, 1, 200_001)
    profile = times ** ema.exponent_of(length)
    profile /= profile.sum()
    middle = (profile * times).sum()
    assert np.sqrt((profile * (times - middle) ** 2).sum()) == pytest.approx(length, rel=1e-3)


@pytest.fixture(scope="module")
def walk(pack):
    """walk(length): what an average of this length holds after every step, [steps, 64], of AdamW on noisy gradients;
    length 0: the weights themselves."""
    average_of = pack.nodes.training.step.optimizers.WeightAverage
    noise = torch.Generator().manual_seed(1)
    weights = torch.randn(64, generator=noise, dtype=torch.float64) * 0.1
    aim, path = torch.randn(64, generator=noise, dtype=torch.float64) * 0.05, []
    optimizer = torch.optim.AdamW([weights], 1e-3, (0.9, 0.99))
    for _ in range(STEPS):
        weights.grad = weights - aim + torch.randn(64, generator=noise, dtype=torch.float64) * 0.1
        optimizer.step()
        path.append(weights.clone())

    def kept(length):
        if not length:
            return torch.stack(path)
        flat, seen = path[0].clone(), []
        average = average_of(flat, 0.0, length)
        for each in path:
            flat.copy_(each)
            average.update()
            seen.append(average.mean.clone())
        return torch.stack(seen)
    return kept


def missed(found, walk, length):
    return float((found - walk(length)[-1]).abs().max())


@pytest.mark.parametrize("length", [0.06, 0.08, 0.1, 0.15, 0.2])
def test_averages_of_other_lengths_are_found_from_two_that_were_kept(ema, walk, length):
    steps = list(range(EVERY, STEPS + 1, EVERY))
    stored = torch.cat([walk(kept)[EVERY - 1::EVERY] for kept in (0.05, 0.1)])
    found = ema.weights_of_averages(steps * 2, [0.05] * len(steps) + [0.1] * len(steps), length)
    assert sum(found.weights) == pytest.approx(1)
    assert missed(torch.tensor(found.weights, dtype=torch.float64) @ stored, walk, length) < 1e-5


@pytest.mark.parametrize(("length", "most"), [(0.1, 1e-12), (0.08, 3e-5), (0.15, 3e-5), (0.05, 2e-4)])
def test_averages_near_the_one_that_was_kept_are_found_from_it_alone(ema, walk, length, most):
    steps = list(range(EVERY, STEPS + 1, EVERY))
    found = ema.weights_of_averages(steps, [0.1] * len(steps), length)
    miss = missed(torch.tensor(found.weights, dtype=torch.float64) @ walk(0.1)[EVERY - 1::EVERY], walk, length)
    assert miss < most


def test_fewer_snapshots_miss_more_of_the_profile_and_say_so(ema):
    errors = [ema.weights_of_averages(list(range(every, 401, every)), [0.1] * (400 // every), 0.05).error
              for every in (5, 20, 80)]
    assert errors == sorted(errors) and errors[0] < 0.05 < errors[-1] / 5


def test_snapshots_that_are_nearly_alike_are_no_trouble(ema):
    found = ema.weights_of_averages([100, 100, 200], [0.1, 0.1 + 1e-9, 0.1], 0.15)
    assert max(map(abs, found.weights)) < 10 and sum(found.weights) == pytest.approx(1)


def test_plain_snapshots_give_the_average_of_what_moves_in_a_straight_line(ema):
    steps, line = [1, 7, 20, 50], torch.arange(1, 51, dtype=torch.float64) * 0.3 - 2
    kept = float(line[0])
    for step in range(2, 51):
        keep = ema.decay(step, ema.exponent_of(0.15))
        kept = keep * kept + (1 - keep) * float(line[step - 1])
    weights = ema.weights_of_plain(steps, 0.15)
    assert sum(weights) == pytest.approx(1)
    assert sum(w * float(line[s - 1]) for w, s in zip(weights, steps, strict=True)) == pytest.approx(kept)


def test_plain_snapshots_only_come_near_the_average_that_was_kept(ema, walk):
    """What the help page says of them: no more than an estimate, and nearer than the last weights."""
    steps = list(range(EVERY, STEPS + 1, EVERY))
    found = torch.tensor(ema.weights_of_plain(steps, 0.1), dtype=torch.float64) @ walk(0)[EVERY - 1::EVERY]
    assert 1e-5 < missed(found, walk, 0.1) < 0.05 * missed(walk(0)[-1], walk, 0.1)
