"""What groups bring, on games made up so that the answer is known."""
import itertools

import numpy as np
import pytest


@pytest.fixture(scope="module")
def game(studio):
    return studio("effect.game")


def made_up(players, quantities=2, seed=0):
    """A worth for every coalition of every sample: random, so that groups help and hinder each other."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(4, 1 << players, quantities))
    return lambda task: table[task.sample, task.coalition]


def played(game, mode, players, samples=2, permutations=8):
    made = game.game(mode, players, samples, permutations, 5)
    worths, cancelled = game.play(made, made_up(players), lambda done: None, KeyboardInterrupt)
    assert not cancelled
    return made, worths


@pytest.mark.parametrize("players", [2, 3, 5])
def test_shares_are_the_mean_of_what_each_adds_over_all_orders(game, players):
    worth = made_up(players)
    expected = np.zeros((players, 2))
    orders = list(itertools.permutations(range(players)))
    for sample, order in itertools.product(range(2), orders):
        coalition = 0
        for player in order:
            before, coalition = coalition, coalition | 1 << player
            expected[player] += worth(game.Task(sample, coalition)) - worth(game.Task(sample, before))
    made, worths = played(game, "shapley", players)
    values = game.values(made, worths)
    assert values.by_player == pytest.approx(expected / len(orders) / 2, abs=1e-12)
    assert values.by_player.sum(0) == pytest.approx(values.whole, abs=1e-12)
    assert len(worths) == 2 * 2 ** players


def test_random_orders_come_near_the_exact_shares_and_sum_to_the_whole(game, monkeypatch):
    made, worths = played(game, "shapley", 5)
    exact = game.values(made, worths).by_player
    monkeypatch.setattr(game, "EXACT", 4)
    made, worths = played(game, "shapley", 5, permutations=400)
    values = game.values(made, worths)
    assert values.draws == 400 and values.by_player.sum(0) == pytest.approx(values.whole, abs=1e-9)
    off = np.abs(values.by_player - exact) / values.errors
    assert off.max() < 4 and 0.3 < off.mean() < 1.6  # about 0.8 where the errors are right


def test_alone_and_left_out_are_the_differences_of_two_pictures(game):
    worth, whole = made_up(3), 0b111
    for mode, expected in (("solo", lambda s, p: worth(game.Task(s, 1 << p)) - worth(game.Task(s, 0))),
                           ("ablate", lambda s, p: worth(game.Task(s, whole)) - worth(game.Task(s, whole ^ 1 << p)))):
        made, worths = played(game, mode, 3)
        values = game.values(made, worths)
        mean = np.mean([[expected(sample, player) for player in range(3)] for sample in range(2)], 0)
        assert values.by_player == pytest.approx(mean) and len(worths) == 2 * 5


@pytest.mark.parametrize("mode, players", [("solo", 4), ("ablate", 4), ("shapley", 4), ("shapley", 9)])
def test_every_sample_begins_with_what_it_is_compared_with_and_nothing_is_drawn_twice(game, mode, players):
    made = game.game(mode, players, 3, 6, 0)
    tasks = made.tasks()
    assert len(set(tasks)) == len(tasks)
    for sample in range(3):
        assert next(task for task in tasks if task.sample == sample).coalition == made.base


@pytest.mark.parametrize("mode", ["solo", "ablate", "shapley"])
def test_a_cancel_keeps_whole_samples_or_what_the_first_tells_of_single_groups(game, mode):
    made, worth = game.game(mode, 3, 2, 8, 0), made_up(3)
    tasks = made.tasks()

    def until(count):
        asked = iter(range(count))

        def one(task):
            if next(asked, None) is None:
                raise KeyboardInterrupt
            return worth(task)
        worths, cancelled = game.play(made, one, lambda done: None, KeyboardInterrupt)
        assert cancelled and len(worths) == count
        return game.values(made, worths)

    assert until(2) is None
    few = until(4)
    assert few.mode == ("ablate" if mode == "ablate" else "solo") and few.draws == 1
    assert np.isnan(few.by_player[2]).all() and not np.isnan(few.by_player[:2]).any()
    most = until(len(tasks) - 1)
    assert most.mode == mode and most.draws == 1
