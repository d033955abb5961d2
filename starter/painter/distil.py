"""Makes of the painter one that draws in 4 steps without guidance, as turbo models do.

    COMFYUI_PATH=... python starter/painter/distil.py FOLDER --out distilled.safetensors [--paths 180] [--updates 240]

Teacher: the painter, 12 Euler steps at guidance 2.5. The student learns from each of 4 levels the mean velocity of the
teacher's own path to the next, so that one step of it lands where three guided ones do (progressive distillation,
Salimans & Ho 2022, arXiv:2202.00512; of guidance too, Meng et al. 2023, arXiv:2210.03142). It needs no pictures.
FOLDER keeps the paths and the state of the run, and a stopped one goes on. `install.py MODELS_DIR --model` puts the
student where the host looks.
"""
import argparse
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

if __package__ in (None, ""):
    import sys
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from painter import train, vae  # noqa: E402
from painter.scenes import random_scene  # noqa: E402

STUDENT_STEPS, TEACHER_STEPS, GUIDANCE, SHIFT = 4, 12, 2.5, 3.0
AT_ONCE, SIDE, RATE, WARM_UP, SEED = 12, 32, 1e-3, 20, 20
PATHS, UPDATES = 180, 240
WEIGHTS = Path(__file__).parent / "painter.safetensors"


def levels(steps: int) -> torch.Tensor:
    """[steps + 1] noise levels of the host's `simple` schedule for its SD3 class."""
    from comfy.model_sampling import ModelSamplingDiscreteFlow
    from comfy.samplers import simple_scheduler
    sampling = ModelSamplingDiscreteFlow()
    sampling.set_parameters(shift=SHIFT)
    return simple_scheduler(sampling, steps)


class Paths:
    """The teacher's paths from noise to picture for captions of training, AT_ONCE a file, each file of its own seed."""

    def __init__(self, folder: Path, count: int):
        self.folder, self.count, self.prompts, self.teacher = folder, count // AT_ONCE, train.Prompts(), None
        folder.mkdir(parents=True, exist_ok=True)

    def batch(self, number: int):
        """(points [5, B, 16, 32, 32] at the student's levels, context, weight, pooled)."""
        rng = np.random.default_rng([SEED, number])
        captions = [random_scene(rng).caption for _ in range(AT_ONCE)]
        file = self.folder / f"{number:04}.safetensors"
        if not file.exists():
            part = file.with_suffix(".part")
            save_file({"points": self.walk(number, captions).half()}, part)
            part.replace(file)
        return load_file(file)["points"].float(), *self.prompts(captions)

    @torch.no_grad()
    def walk(self, number: int, captions: list[str]) -> torch.Tensor:
        if self.teacher is None:
            self.teacher = train.Run(0)
            self.teacher.begin_with(WEIGHTS)
        x = torch.randn(AT_ONCE, vae.LATENT_CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(number))
        told, points, sigmas = self.prompts([*captions, *[""] * AT_ONCE]), [x], levels(TEACHER_STEPS).tolist()
        for step, (now, then) in enumerate(zip(sigmas, sigmas[1:], strict=False), 1):
            asked, plain = train.velocity(self.teacher.quick, torch.cat([x, x]), torch.full((2 * AT_ONCE,), now),
                                          *told).chunk(2)
            x = x + (then - now) * (plain + GUIDANCE * (asked - plain))
            points += [x] if step % (TEACHER_STEPS // STUDENT_STEPS) == 0 else []
        return torch.stack(points)


class Student(train.Run):
    """The painter in training to go from level to level in one step."""

    def follow_path(self, points, *told, updates: int) -> float:
        """One update on a batch of paths, each at a level of its own; returns its loss."""
        level = torch.randint(STUDENT_STEPS, (AT_ONCE,), generator=self.generator)
        sigmas, row = levels(STUDENT_STEPS), torch.arange(AT_ONCE)
        now, then = sigmas[level], sigmas[level + 1]
        goal = (points[level + 1, row] - points[level, row]) / (then - now).view(-1, 1, 1, 1)
        guess = train.velocity(self.quick, points[level, row], now, *told)
        rate = RATE * min(1, (self.step + 1) / WARM_UP) * (1 - self.step / updates)
        return self.descend((guess - goal).square().mean(), rate)


def distil(folder: Path, out: Path, count: int = PATHS, updates: int = UPDATES):
    """Writes the student's averaged weights in half precision; folder: where paths and run are kept."""
    paths, state, began = Paths(folder / "paths", count), folder / "student.pt", time.time()
    for number in range(paths.count):
        paths.batch(number)
    print(f"{paths.count * AT_ONCE} paths, {time.time() - began:.0f} s", flush=True)
    student, losses = Student(SEED), []
    student.load(state) if state.exists() else student.begin_with(WEIGHTS)
    while student.step < updates:
        losses.append(student.follow_path(*paths.batch(student.step % paths.count), updates=updates))
        if student.step % 40 == 0 or student.step == updates:
            print(f"{student.step} loss {np.mean(losses[-40:]):.4f}, {time.time() - began:.0f} s", flush=True)
            student.save(state)
    save_file({name: value.half().contiguous() for name, value in student.average.items()}, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where paths and run are kept")
    parser.add_argument("--out", required=True, type=Path, help="averaged weights in half precision, for install.py")
    parser.add_argument("--paths", type=int, default=PATHS)
    parser.add_argument("--updates", type=int, default=UPDATES)
    options = parser.parse_args()
    distil(options.folder, options.out, options.paths, options.updates)
