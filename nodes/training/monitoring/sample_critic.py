"""A critic, given from outside: which step's sample pictures it likes best, and how much each picture should count."""
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import comfy.model_management
import numpy as np
import torch
from PIL import Image

from ..data.dataset import TrainingSet, mapped, outlines
from .sample_pictures import decode, has_preview

LEAST, MOST = 0.25, 4.0     # what one picture may count beside another


class Critic(Protocol):
    """The value of a BOTTEGA_TRAINING_CRITIC link. This room knows nothing else of who judges."""

    title: str

    def score(self, pictures: torch.Tensor) -> list[float]:
        """One number for each picture of an IMAGE [B, H, W, 3]; more is better."""


class JudgedStep(NamedTuple):
    """step: after how many; score: the mean over the sample pictures."""
    step: int
    score: float
    scores: tuple[float, ...]


class PictureWeight(NamedTuple):
    """A picture of the data set, its score, and what it counts: 1 on average."""
    name: str
    score: float
    weight: float


class StepRanking:
    """The weights of the step whose sample pictures a critic liked best, of equal ones the earliest.

    Step 0 is judged for comparison and never kept. judged: all that was seen, in order."""

    def __init__(self, critic: Critic):
        self.critic, self.judged = critic, []
        self.step, self.weights = 0, None

    def offer(self, step: int, pictures: list[Image.Image], flat: torch.Tensor) -> None:
        """The sample pictures after a step, and the weights they were drawn with, which are copied if they lead."""
        scores = [one for picture in pictures for one in self.critic.score(as_image(picture))]
        judged = JudgedStep(step, sum(scores) / len(scores), tuple(scores))
        if step and (self.weights is None or judged.score > self.best.score):
            self.step, self.weights = step, flat.detach().clone()
        self.judged.append(judged)

    @property
    def points(self) -> list[tuple[int, float]]:
        """(step, score) of all that was judged, for a chart."""
        return [(judged.step, judged.score) for judged in self.judged]

    @property
    def best(self) -> JudgedStep:
        """What the kept weights were given. Only while some are kept."""
        return next(judged for judged in self.judged if judged.step == self.step)

    @contextmanager
    def swapped_in(self, flat: torch.Tensor) -> Iterator[None]:
        """The kept weights in the place of the present ones."""
        kept = flat.clone()
        flat.copy_(self.weights)
        try:
            yield
        finally:
            flat.copy_(kept)

    def state(self) -> dict:
        return {"critic": self.critic.title, "judged": [tuple(judged) for judged in self.judged], "step": self.step,
                "weights": self.weights}

    def restore(self, state: dict | None, device) -> str:
        """Takes back what state() gave; a sentence where it was another critic's, whose scores mean something else."""
        if state is None:
            return ""
        if state["critic"] != self.critic.title:
            return (f"The run was criticised by {state['critic']} before and is by {self.critic.title} now: which step "
                    "is best is asked anew.")
        self.judged = [JudgedStep(*judged) for judged in state["judged"]]
        self.step, self.weights = state["step"], state["weights"]
        if self.weights is not None:
            self.weights = self.weights.to(device)
        return ""


def check(critic: Critic | None, prompts: list | None, strength: float, model, vae) -> None:
    """Raises ValueError with one sentence when there is nothing to criticise, or nobody who does."""
    if critic is None:
        if strength:
            raise ValueError(f"critic_weighting: expected a critic, from Training Critic, for a weighting of "
                             f"{strength:g}; none is connected.")
        return
    if not prompts and not strength:
        raise ValueError("critic: expected sample_prompts, whose pictures are judged, or a critic_weighting above 0; "
                         "got neither.")
    if vae is None and not has_preview(model):
        raise ValueError(f"vae: expected one with a critic, because no preview of {type(model).__name__}'s latents is "
                         "known; none is connected.")


@torch.inference_mode()
def weigh(dataset: TrainingSet, critic: Critic, strength: float, model,
          vae=None) -> tuple[TrainingSet, list[PictureWeight]]:
    """The data set with every picture's weight in the loss multiplied by what its score makes of it, and a list of
    all. Pictures that keep the model as it was are left alone. Honours Cancel between pictures."""
    known = list(outlines(dataset.samples))
    own = [i for i, sample in enumerate(known) if not sample.is_regularisation]
    scores = []
    for i in own:
        comfy.model_management.throw_exception_if_processing_interrupted()
        scores += critic.score(as_image(decode(dataset.samples[i].latent, model, vae)))
    factors = dict(zip(own, weights(scores, strength), strict=True))
    count = lambda each, i: each._replace(weight=each.weight * factors.get(i, 1.0))  # noqa: E731
    samples = mapped(dataset.samples, count, count)
    return dataset._replace(samples=samples), [
        PictureWeight(known[i].name or f"picture {i + 1}", score, factors[i])
        for i, score in zip(own, scores, strict=True)]


def weights(scores: Sequence[float], strength: float) -> list[float]:
    """exp(strength * z) of the standardised scores, in LEAST..MOST and with mean 1.

    The common factor that makes the mean 1 after clipping is found by bisection; the mean rises with it."""
    mean = sum(scores) / len(scores)
    spread = math.sqrt(sum((score - mean) ** 2 for score in scores) / len(scores))
    raw = [strength * (score - mean) / spread if spread > 1e-9 else 0.0 for score in scores]
    low, high = (math.log(edge) - (max(raw) if edge < 1 else min(raw)) for edge in (LEAST, MOST))
    for _ in range(100):
        middle = (low + high) / 2
        clipped = [min(MOST, max(LEAST, math.exp(min(50.0, value + middle)))) for value in raw]
        low, high = (middle, high) if sum(clipped) < len(clipped) else (low, middle)
    return clipped


def as_image(picture: Image.Image) -> torch.Tensor:
    """IMAGE [1, H, W, 3]"""
    return torch.from_numpy(np.asarray(picture.convert("RGB")).astype(np.float32) / 255)[None]
