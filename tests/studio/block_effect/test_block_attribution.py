"""What groups bring, on measurements made up so that the answer is known."""
import itertools

import numpy as np
import pytest


@pytest.fixture(scope="module")
def attribution(studio):
    return studio("block_effect.block_attribution")


def made_up(groups, quantities=2, seed=0):
    """A measurement for every coalition of every sample: random, so that groups help and hinder each other."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(4, 1 << groups, quantities))
    return lambda task: table[task.sample, task.coalition]


def plan(attribution, mode, groups, samples=2, permutations=8):
    made = attribution.plan_attribution(mode, groups, samples, permutations, 5)
    measurements, cancelled = attribution.measure_all(made, map(made_up(groups), made.tasks()), lambda done: None,
                                                      KeyboardInterrupt)
    assert not cancelled
    return made, measurements


@pytest.mark.parametrize("groups", [2, 3, 5])
def test_shares_are_the_mean_of_what_each_adds_over_all_orders(attribution, groups):
    measure = made_up(groups)
    expected = np.zeros((groups, 2))
    orders = list(itertools.permutations(range(groups)))
    for sample, order in itertools.product(range(2), orders):
        coalition = 0
        for group in order:
            before, coalition = coalition, coalition | 1 << group
            expected[group] += measure(attribution.Task(sample, coalition)) - measure(attribution.Task(sample, before))
    made, measurements = plan(attribution, "shapley", groups)
    values = attribution.attribute(made, measurements)
    assert values.by_group == pytest.approx(expected / len(orders) / 2, abs=1e-12)
    assert values.by_group.sum(0) == pytest.approx(values.whole, abs=1e-12)
    assert len(measurements) == 2 * 2 ** groups


def test_random_orders_come_near_the_exact_shares_and_sum_to_the_whole(attribution, monkeypatch):
    made, measurements = plan(attribution, "shapley", 5)
    exact = attribution.attribute(made, measurements).by_group
    monkeypatch.setattr(attribution, "EXACT", 4)
    made, measurements = plan(attribution, "shapley", 5, permutations=400)
    values = attribution.attribute(made, measurements)
    assert values.draws == 400 and values.by_group.sum(0) == pytest.approx(values.whole, abs=1e-9)
    off = np.abs(values.by_group - exact) / values.errors
    assert off.max() < 4 and 0.3 < off.mean() < 1.6  # about 0.8 where the errors are right


def test_alone_and_left_out_are_the_differences_of_two_pictures(attribution):
    measure, whole = made_up(3), 0b111
    of = lambda sample, coalition: measure(attribution.Task(sample, coalition))
    for mode, expected in (("solo", lambda s, p: of(s, 1 << p) - of(s, 0)),
                           ("ablate", lambda s, p: of(s, whole) - of(s, whole ^ 1 << p))):
        made, measurements = plan(attribution, mode, 3)
        values = attribution.attribute(made, measurements)
        mean = np.mean([[expected(sample, group) for group in range(3)] for sample in range(2)], 0)
        assert values.by_group == pytest.approx(mean) and len(measurements) == 2 * 5


@pytest.mark.parametrize("mode, groups", [("solo", 4), ("ablate", 4), ("shapley", 4), ("shapley", 9)])
def test_every_sample_begins_with_what_it_is_compared_with_and_nothing_is_drawn_twice(attribution, mode, groups):
    made = attribution.plan_attribution(mode, groups, 3, 6, 0)
    tasks = made.tasks()
    assert len(set(tasks)) == len(tasks)
    for sample in range(3):
        assert next(task for task in tasks if task.sample == sample).coalition == made.base


@pytest.mark.parametrize("mode", ["solo", "ablate", "shapley"])
def test_a_cancel_keeps_whole_samples_or_what_the_first_tells_of_single_groups(attribution, mode):
    made, measure = attribution.plan_attribution(mode, 3, 2, 8, 0), made_up(3)
    tasks = made.tasks()

    def until(count):
        asked = iter(range(count))

        def one(task):
            if next(asked, None) is None:
                raise KeyboardInterrupt
            return measure(task)
        measurements, cancelled = attribution.measure_all(made, map(one, tasks), lambda done: None, KeyboardInterrupt)
        assert cancelled and len(measurements) == count
        return attribution.attribute(made, measurements)

    assert until(2) is None
    few = until(4)
    assert few.mode == ("ablate" if mode == "ablate" else "solo") and few.draws == 1
    assert np.isnan(few.by_group[2]).all() and not np.isnan(few.by_group[:2]).any()
    most = until(len(tasks) - 1)
    assert most.mode == mode and most.draws == 1
