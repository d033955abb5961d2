"""What a picture is worth before and after a training: by its reward, by the critique, and by what was not aimed at."""
from typing import NamedTuple

import torch
from torch import Tensor

from ...critique.examination import measured
from ...critique.rubric.default_rubric import default
from ...critique.score.judge import Critique, judge, needed


class JudgedPicture(NamedTuple):
    """held: whether it was kept out of the training. picture: IMAGE of one; points: its reward; score: Art Critique's
    under the rubric; whole: its critique under the default rubric."""
    held: bool
    name: str
    picture: Tensor
    points: float
    score: float
    whole: Critique


@torch.no_grad()
def judge_picture(drawn, session, request, held: bool, name: str) -> JudgedPicture:
    """drawn: a SampledPicture. Its reward is measured as the training measures it, through the goal's decoder."""
    latent = session.model.process_latent_in(drawn.latent.clone()).to(session.denoiser.device).float()
    points = request.goal.reward(request.goal.decoder.decode(latent)).mean().item()
    every = {column for criterion in default().criteria for column in criterion.columns}
    columns = every | needed(request.reference, request.rubric) | needed(request.reference, default())
    measures = measured(drawn.picture, columns, request.reference)
    score = judge(measures, request.reference, request.rubric).score
    return JudgedPicture(held, name, drawn.picture.cpu(), points, score, judge(measures, request.reference, default()))


def diversity(pictures: list[Tensor]) -> float:
    """Mean root mean square difference of all pairs of pictures, 0..1; 0 of fewer than two."""
    flat = torch.stack([picture[..., :3].flatten() for picture in pictures])
    return (torch.pdist(flat) / flat.shape[1] ** 0.5).mean().item() if len(pictures) > 1 else 0.0


def mean_change(before: list[Tensor], after: list[Tensor]) -> float:
    """Mean root mean square difference of each picture before and after, 0..1."""
    pairs = zip(before, after, strict=True)
    return sum((a - b)[..., :3].square().mean().sqrt().item() for a, b in pairs) / len(before)
