"""What a picture is worth before and after a training: by its reward, by the critique, and by what was not aimed at."""
from typing import NamedTuple

import torch
from torch import Tensor

from ...critique.critic import measured
from ...critique.rubric import default
from ...critique.score import Critique, judge, needed


class Measured(NamedTuple):
    """held: whether it was kept out of the training. picture: IMAGE of one; points: its reward; score: Art Critique's
    under the rubric; whole: its critique under the default rubric."""
    held: bool
    name: str
    picture: Tensor
    points: float
    score: float
    whole: Critique


@torch.no_grad()
def measure(drawn, session, asked, held: bool, name: str) -> Measured:
    """drawn: sampling.Drawn. The reward is that of the picture as the training sees it, through its decoder."""
    latent = session.model.process_latent_in(drawn.latent.clone()).to(session.denoiser.device).float()
    points = asked.goal.reward(asked.goal.decoder.decode(latent)).mean().item()
    every = {column for criterion in default().criteria for column in criterion.columns}
    columns = every | needed(asked.reference, asked.rubric) | needed(asked.reference, default())
    measures = measured(drawn.picture, columns)
    return Measured(held, name, drawn.picture.cpu(), points, judge(measures, asked.reference, asked.rubric).score,
                    judge(measures, asked.reference, default()))


def variety(pictures: list[Tensor]) -> float:
    """Mean root mean square difference of all pairs of pictures, 0..1; 0 of fewer than two."""
    flat = torch.stack([picture[..., :3].flatten() for picture in pictures])
    return (torch.pdist(flat) / flat.shape[1] ** 0.5).mean().item() if len(pictures) > 1 else 0.0


def apart(before: list[Tensor], after: list[Tensor]) -> float:
    """Mean root mean square difference of each picture before and after, 0..1."""
    pairs = zip(before, after, strict=True)
    return sum((a - b)[..., :3].square().mean().sqrt().item() for a, b in pairs) / len(before)
