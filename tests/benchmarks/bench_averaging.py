"""Averages of a training's checkpoints against its last step: the validation loss on pictures that were never learnt.

The flat starter learns twelve woodcuts, with a constant rate (after which weights still move about) and with the usual
one that falls; a checkpoint every few steps. Average Checkpoints measures each choice on unseen woodcuts. Short
trainings end while the loss still falls, and every average lags behind; long ones where the weights only move about.
"""
import statistics

import timing
from bench_starter_training import UNSEEN, UNSEEN_SEED, Workshop
from on_starter import opened

SEEDS, STEPS, CHECKPOINTS = 5, (60, 400), 20
SCHEDULES = ("constant", "cosine")


def main():
    parser = timing.parser(__doc__, SEEDS)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS, help="of each training")
    parser.add_argument("--unseen", type=int, default=UNSEEN, help="pictures that the loss is measured on")
    parser.add_argument("--schedules", nargs="+", default=SCHEDULES, choices=SCHEDULES, help="of the learning rate")
    options = parser.parse_args()
    with opened(Workshop, 1) as workshop:
        workshop.unseen, workshop.unseen_captions = (
            each[:options.unseen] for each in (workshop.unseen, workshop.unseen_captions))
        rows = [((schedule, steps), seed, *measured(workshop, schedule, seed, steps))
                for steps in options.steps for schedule in options.schedules for seed in range(options.rounds)]
    publish(rows, options)


def measured(workshop, schedule, seed, steps) -> tuple[dict, str]:
    """({choice: loss}, the best) of one training."""
    name, plan = f"averaging_{schedule}_{steps}_{seed}", workshop.part("training.plan.recipe")
    checkpoints = plan.CheckpointPlan(max(5, steps // CHECKPOINTS), 1, True)
    recipe = plan.Recipe(schedule=plan.SchedulePlan(schedule), checkpoints=checkpoints)
    workshop.train(workshop.dataset(workshop.learnt, workshop.captions), steps, 1, 0.0, 0, seed, recipe, name=name)
    compared = compare(workshop, name, recipe)
    print(schedule, steps, seed, *(f"{row.name} {row.loss:.5f}" for row in compared.rows), flush=True)
    return {row.name: row.loss for row in compared.rows}, compared.rows[0].name


def compare(workshop, name, recipe):
    import folder_paths
    import torch
    folder_paths.filename_list_cache.clear()
    names = [each for each in folder_paths.get_filename_list("loras") if each.startswith(f"{name}_step")]
    snapshots = workshop.part("training.averaging.snapshots").found(names, 0, 0).snapshots
    validated = workshop.part("training.best_average")
    held = validated.Held(workshop.dataset(workshop.unseen, workshop.unseen_captions), 0, recipe)
    with torch.inference_mode():
        return validated.compare(held, snapshots, 0.1, 0.0, 0, workshop.starter.model)


def publish(rows, options):
    names = list(rows[0][2])
    lines = [(schedule, str(steps), str(seed), *(f"{losses[name]:.5f}" for name in sorted(names)), best)
             for (schedule, steps), seed, losses, best in rows]
    said = []
    for kind in dict.fromkeys(row[0] for row in rows):
        own = [losses for other, _, losses, _ in rows if other == kind]
        for name in sorted({*names} - {"last checkpoint"}):
            gains = [1 - losses[name] / losses["last checkpoint"] for losses in own]
            said.append((f"{kind[0]}, {kind[1]} steps, {name}", f"{sum(gain > 0 for gain in gains)} of {len(gains)}",
                         f"{statistics.mean(gains):+.2%}"))
    timing.publish(
        "averaging", "Averages of checkpoints against the last step",
        f"Twelve woodcuts on the flat starter at batch 1, {CHECKPOINTS} checkpoints of a long training, one every 5 "
        f"steps of a short one; validation loss on {options.unseen} unseen woodcuts (drawn with seed {UNSEEN_SEED}), "
        "smaller is better.",
        timing.table(["schedule", "steps", "seed", *sorted(names), "lowest"], lines),
        timing.table(["average", "below the last step", "mean gain"], said))


if __name__ == "__main__":
    main()
