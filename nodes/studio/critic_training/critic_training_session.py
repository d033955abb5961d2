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
from ...training.adapters.lora_shape import build_like_saved, patches_by_weight
from ...training.data.dataset import Sample, TrainingSet
from ...training.disk.session_state import content_identity
from ...training.step.denoiser import fit_together
from ...training.step.gradient import group_by_shape
from ...training.step.session import Session
from ..gradient.latent_decoder import Decoder
from ..gradient.reward import Reward
from .sampling_chain import EulerChain, schedule

DRAFT, REFL = "DRaFT: the last steps", "ReFL: one random step"


class RewardGoal(NamedTuple):
    """What is climbed and how. last_steps: K of DRaFT; penalty: of a mean squared distance of 1, against 100 points."""
    reward: Reward
    decoder: Decoder
    method: str
    last_steps: int
    penalty: float


class TrainingSampler(NamedTuple):
    """How pictures are sampled while training, by Euler steps. negative: one entry of a CONDITIONING."""
    negative: list
    steps: int
    cfg: float
    scheduler: str


class RewardSession(Session):
    """Session's prompts are the samples of its data set; its losses are 1 - reward / 100 + penalty * distance."""

    def __init__(self, patcher, prompts: TrainingSet, settings, goal: RewardGoal, sampler: TrainingSampler,
                 shape: LoraShape, lora: dict[str, Tensor] | None):
        self.lora, self.goal, self.sampler = lora, goal, sampler
        super().__init__(patcher, prompts, settings, shape)
        sampling = patcher.get_model_object("model_sampling")
        sigmas = schedule(sampling, sampler.scheduler, sampler.steps, self.denoiser.device)
        negative = None
        if sampler.cfg != 1:
            negative = self.denoiser.encode(Sample(prompts.samples[0].latent, *sampler.negative)).conds
        self.chain = EulerChain(self.denoiser, sampling, sigmas, sampler.cfg, negative, patcher.model_options)
        self.points, self.distance, self.seen = 0.0, 0.0, None
        if goal.method == DRAFT and goal.last_steps > self.chain.steps:
            self.notes.append(f"last_steps: {goal.last_steps} are more than the {self.chain.steps} of a picture; the "
                              "gradient runs through all of them.")

    def _adapters(self):
        if self.lora is None:
            return super()._adapters()
        return build_like_saved(self.lora, self.model, self.patcher.load_device, self.generator)

    def begin(self) -> None:
        """Takes the LoRA's values, after the self-check, which wants adapters that change nothing."""
        if self.lora is not None:
            self.adapters.load(self.lora, self.model, given_as="lora")
            self.optimizer.previous.copy_(self.adapters.flat)
            used = {key for patch in patches_by_weight(self.lora, self.model).values() for key in patch.loaded_keys}
            if left := len(self.lora.keys() - used):
                self.notes.append(f"{left} of {len(self.lora)} tensors of the LoRA are not the model's (its text "
                                  "encoders', perhaps): they are not continued and not in the new file.")
        self.start = self.adapters.flat.clone()

    def learn_passes(self) -> None:
        """Where ranks share the base: which blocks a picture asks for, of one step without a gradient and of those that
        carry one, so that all ranks ask alike."""
        self.memory.can_offload = False         # the weights lie outside of the device already
        sample, negative = self.samples[0], self.chain.negative
        if negative is not None:                # ranks with other prompts would not run the model equally often
            fit = all(fit_together(each.conds, negative) for each in self.samples)
            self.chain = self.chain._replace(apart=not fit)

        @torch.no_grad()
        def one_step():
            noise = torch.zeros_like(sample.latent, device=self.denoiser.device)
            self.chain.predict_clean(noise, 0, [sample.conds])

        carrying = range(1 if self.goal.method == REFL else min(self.goal.last_steps, self.chain.steps))
        self.of_a_step = self.base.asked_by(self, one_step)
        self.of_gradient = self.base.asked_by(self, lambda: self._earned([sample], [0], carrying, 0.0, 1))
        self.seen = None

    def aim(self) -> dict[str, str]:
        goal, sampler = self.goal, self.sampler
        rewarded = ", ".join(str(goal.reward).replace("* ", "").splitlines())
        lora = [] if self.lora is None else [part for pair in sorted(self.lora.items()) for part in pair]
        entries = [(sample.caption, sample.options) for sample in self.dataset.samples]
        return {"lora": f"#{content_identity(*lora)}", "positive": f"#{_identity(entries)}",
                "negative": f"#{_identity([sampler.negative])}",
                "rubric or reference": f"{rewarded}#{content_identity(repr(goal.reward))}", "method": goal.method,
                "last_steps": str(goal.last_steps), "penalty": f"{goal.penalty:g}", "decoder": goal.decoder.name,
                "seed": str(self.settings.seed), "sampling_steps": str(sampler.steps), "cfg": f"{sampler.cfg:g}",
                "scheduler": sampler.scheduler}

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
        steps = self._steps()           # once a batch, so that it does not matter how its rows are grouped or shared

        def part(rows):
            mine, numbers = batch[rows], torch.zeros(3, device=self.denoiser.device)
            for group in group_by_shape(mine, self.memory.rows):
                numbers += self._earned([mine[i] for i in group], [rows.start + i for i in group], steps, share,
                                        len(batch))
            return numbers

        if self.base:
            self.base.slices.order.learnt = self.of_a_step * steps.start + self.of_gradient
            found = self.base.over_rows(self, batch, share, part, lambda: self._earned(
                batch[:1], [0], steps, 0.0, len(batch)))
        else:
            found = self._over_rows(len(batch), share, part)
        self.points, self.distance = found[1:].tolist()
        return found[0]

    def _summed(self, losses):
        found = super()._summed(losses)
        if self.team:
            _, self.points, self.distance = self.team.numbers
        return found

    def _earned(self, group, numbers, steps, share, of):
        """Adds the gradient of a group's part of the batch's mean loss; [loss, points, distance], a part of its mean
        each. numbers: of the group's pictures in a batch of `of`."""
        first = self.step * self.settings.batch_size
        noise = torch.cat([self.noise_of(first + number, sample.latent.shape)
                           for number, sample in zip(numbers, group, strict=True)])
        earned, distance = self.judge(noise.to(self.denoiser.device), [sample.conds for sample in group], steps)
        loss = (1 - earned / 100 + self.goal.penalty * distance).sum() / of
        (loss * share).backward()
        return torch.stack([loss, earned.sum() / of, distance.sum() / of]).detach()

    def judge(self, noise: Tensor, conds: list, steps: range | None = None) -> tuple[Tensor, Tensor]:
        """Points [B] of the pictures that come of noise [B, C, ...], and their distance [B] from the start's. steps:
        those that carry a gradient, None for the goal's own."""
        steps = steps or self._steps()
        with torch.no_grad():
            noisy = self.chain.run(self.chain.begin(noise), conds, range(steps.start))
        before = self._from_start(noisy, conds, steps)
        distance = torch.zeros(len(noise), device=noise.device)
        for number, step in enumerate(steps):
            clean = self.chain.predict_clean(noisy, step, conds)
            if before:
                distance = distance + (clean - before[number]).float().square().flatten(1).mean(1) / len(steps)
            noisy = self.chain.euler_step(noisy, clean, step)
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
        seen = self.chain.step_inputs(noisy, conds, steps)
        with self.as_it_started():
            return [self.chain.predict_clean(at, step, conds) for at, step in zip(seen, steps, strict=True)]


def _identity(entries) -> str:
    """Of CONDITIONING: the encoded prompts and what of their options is a tensor or a word."""
    parts = [part for caption, options in entries
             for part in (caption, *(item for pair in sorted(options.items()) for item in pair))]
    return content_identity(*(part for part in parts if isinstance(part, (torch.Tensor, str))))
