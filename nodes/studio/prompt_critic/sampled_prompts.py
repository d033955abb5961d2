"""The pictures of a prompt and a few numbers, drawn as KSampler draws them and judged one by one."""
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ...critique.examination import judge_only
from ...critique.reference.distributions import Reference
from ...critique.rubric.criteria import Rubric
from ..sampling import Sampling
from .revision import PromptCandidate
from .rewriting import JudgedPictures


class PromptSampler(NamedTuple):
    """Samples candidates and judges the pictures. sampling: its prompts and numbers are replaced by the candidate's;
    negative: CONDITIONING in the place of the candidate's negative prompt, or None; done: called with every picture."""
    model: object
    clip: object
    sampling: Sampling
    negative: list | None
    seed: int
    seeds: int
    rubric: Rubric
    reference: Reference
    done: Callable[[Tensor], None]

    def draw(self, candidate: PromptCandidate, fresh: bool = False) -> JudgedPictures:
        """One picture a seed: of the seeds of the search, or of as many that follow them."""
        sampling = self.sampling._replace(
            positive=self.encode(candidate.prompt), steps=int(candidate.values["steps"]), cfg=candidate.values["cfg"],
            negative=self.encode(candidate.negative or "") if self.negative is None else self.negative)
        pictures, critiques = [], []
        for number in range(self.seeds):
            seed = (self.seed + number + fresh * self.seeds) % 2**64
            pictures.append(sampling.draw(self.model, 0, seed).picture)
            critiques.append(judge_only(pictures[-1], self.reference, self.rubric))
            self.done(pictures[-1])
        return JudgedPictures(pictures, critiques)

    def encode(self, words: str) -> list:
        """CONDITIONING, as CLIP Text Encode makes it."""
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(words))
