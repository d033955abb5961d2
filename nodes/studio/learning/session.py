"""A training whose goal is not pictures but what a critic says of those that the model makes.

A picture is sampled without a gradient up to its last steps, then with one; the reward of what comes out is climbed by
the LoRA's weights: DRaFT-K through the last K steps (Clark et al. 2023, arXiv:2309.17400), ReFL through one random step
of the later half, whose predicted clean picture is judged (Xu et al. 2023, arXiv:2304.05977). It is held near its start
by the mean squared distance of its predictions, in the model's latent space, from those of the LoRA it started as, at
what the same steps see.
"""
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from ...training.adapters import LoraShape
from ...training.adapters.like import like, mapped
from ...training.data.dataset import Sample, TrainingSet
from ...training.disk.identity import content_identity
from ...training.step.gradient import group_by_shape
from ...training.step.session import Session
from ..gradient.decoder import Decoder
from ..gradient.reward import Reward
from .chain import Chain, schedule

DRAFT, REFL = "DRaFT: the last steps", "ReFL: one random step"


class Goal(NamedTuple):
    """What is climbed and how. last_steps: K of DRaFT; penalty: of a mean squared distance of 1, against 100 points."""
    reward: Reward
    decoder: Decoder
    method: str
    last_steps: int
    penalty: float


class Course(NamedTuple):
    """How pictures are sampled while training, by Euler steps. negative: one entry of a CONDITIONING."""
    negative: list
    steps: int
    cfg: float
    scheduler: str


class RewardSession(Session):
    """Session's prompts are the samples of its data set; its losses are 1 - reward / 100 + penalty * distance."""

    def __init__(self, patcher, prompts: TrainingSet, settings, goal: Goal, course: Course, shape: LoraShape,
                 lora: dict[str, Tensor] | None):
        self.lora, self.goal, self.course = lora, goal, course
        super().__init__(patcher, prompts, settings, shape)
        sampling = patcher.get_model_object("model_sampling")
        sigmas = schedule(sampling, course.scheduler, course.steps, self.denoiser.device)
        negative = None
        if course.cfg != 1:
            negative = self.denoiser.encode(Sample(prompts.samples[0].latent, *course.negative)).conds
        self.chain = Chain(self.denoiser, sampling, sigmas, course.cfg, negative, patcher.model_options)
        self.points, self.distance, self.seen = 0.0, 0.0, None
        if goal.method == DRAFT and goal.last_steps > self.chain.steps:
            self.notes.append(f"last_steps: {goal.last_steps} are more than the {self.chain.steps} of a picture; the "
                              "gradient runs through all of them.")

    def _adapters(self):
        if self.lora is None:
            return super()._adapters()
        return like(self.lora, self.model, self.patcher.load_device, self.generator)

    def begin(self) -> None:
        """Takes the LoRA's values, after the self-check, which wants adapters that change nothing."""
        if self.lora is not None:
            self.adapters.load(self.lora, self.model, given_as="lora")
            self.optimizer.previous.copy_(self.adapters.flat)
            used = {key for patch in mapped(self.lora, self.model).values() for key in patch.loaded_keys}
            if left := len(self.lora.keys() - used):
                self.notes.append(f"{left} of {len(self.lora)} tensors of the LoRA are not the model's (its text "
                                  "encoders', perhaps): they are not continued and not in the new file.")
        self.start = self.adapters.flat.clone()

    def aim(self) -> dict[str, str]:
        goal, course = self.goal, self.course
        rewarded = ", ".join(str(goal.reward).replace("* ", "").splitlines())
        lora = [] if self.lora is None else [part for pair in sorted(self.lora.items()) for part in pair]
        entries = [(sample.caption, sample.options) for sample in self.dataset.samples]
        return {"lora": f"#{content_identity(*lora)}", "positive": f"#{_identity(entries)}",
                "negative": f"#{_identity([course.negative])}",
                "rubric or reference": f"{rewarded}#{content_identity(repr(goal.reward))}", "method": goal.method,
                "last_steps": str(goal.last_steps), "penalty": f"{goal.penalty:g}", "decoder": goal.decoder.name,
                "seed": str(self.settings.seed), "sampling_steps": str(course.steps), "cfg": f"{course.cfg:g}",
                "scheduler": course.scheduler}

    def noise_of(self, number: int, shape) -> Tensor:
        """The noise of picture `number` of the training, as KSampler makes it from the seed plus that number."""
        generator = torch.Generator().manual_seed((self.settings.seed + number) % 2**64)
        return torch.randn(shape, generator=generator)

    @contextmanager
    def as_it_started(self):
        """The start's weights in the place of the present ones. Not while a graph holds them."""
        kept = self.adapters.flat.clone()
        self.adapters.flat.copy_(self.start)
        try:
            yield
        finally:
            self.adapters.flat.copy_(kept)

    def _backward(self, batch, share):
        total, first = torch.zeros((), device=self.denoiser.device), self.step * self.settings.batch_size
        points, distances = [], []
        for group in group_by_shape(batch, self.memory.rows):
            conds = [batch[i].conds for i in group]
            noise = torch.cat([self.noise_of(first + i, batch[i].latent.shape) for i in group])
            earned, distance = self.judge(noise.to(self.denoiser.device), conds)
            loss = (1 - earned / 100 + self.goal.penalty * distance).sum() / len(batch)
            (loss * share).backward()
            total += loss.detach()
            points.append(earned.detach())
            distances.append(distance.detach())
        self.points, self.distance = (float(torch.cat(each).mean()) for each in (points, distances))
        return total

    def judge(self, noise: Tensor, conds: list) -> tuple[Tensor, Tensor]:
        """Points [B] of the pictures that come of noise [B, C, ...], and their distance [B] from the start's."""
        steps = self._steps()
        with torch.no_grad():
            noisy = self.chain.run(self.chain.begin(noise), conds, range(steps.start))
        before = self._from_start(noisy, conds, steps)
        distance = torch.zeros(len(noise), device=noise.device)
        for number, step in enumerate(steps):
            clean = self.chain.clean(noisy, step, conds)
            if before:
                distance = distance + (clean - before[number]).float().square().flatten(1).mean(1) / len(steps)
            noisy = self.chain.advance(noisy, clean, step)
        # Where the steps end early, as in ReFL, what the last one predicts is the picture.
        pictures = self.goal.decoder.decode(clean.float())
        self.seen = pictures.detach()
        return self.goal.reward(pictures).view(len(noise), -1).mean(1), distance

    def _steps(self) -> range:
        """Those that carry a gradient."""
        whole = self.chain.steps
        if self.goal.method == REFL:
            at = int(torch.randint(whole // 2, whole, (), generator=self.generator))
            return range(at, at + 1)
        return range(max(0, whole - self.goal.last_steps), whole)

    @torch.no_grad()
    def _from_start(self, noisy, conds, steps):
        if not self.goal.penalty:
            return []
        seen = self.chain.seen(noisy, conds, steps)
        with self.as_it_started():
            return [self.chain.clean(at, step, conds) for at, step in zip(seen, steps, strict=True)]


def _identity(entries) -> str:
    """Of CONDITIONING: the encoded prompts and what of their options is a tensor or a word."""
    parts = [part for caption, options in entries
             for part in (caption, *(item for pair in sorted(options.items()) for item in pair))]
    return content_identity(*(part for part in parts if isinstance(part, (torch.Tensor, str))))
