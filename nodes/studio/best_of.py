"""Many pictures, of which the critique keeps the best, and what choosing among so many is worth."""
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import comfy.model_management
import comfy.sample
import comfy.samplers
import torch
from torch import Tensor

from ..charts.chart_types.contact_sheet import Cell, sheet, thumbnail
from ..charts.drawing.draw import render
from ..charts.drawing.theme import LIGHT
from ..critique.examination import measured
from ..critique.reference.distributions import Reference
from ..critique.report import ranking
from ..critique.rubric.criteria import Rubric
from ..critique.score.judge import Critique, judge, needed
from . import cut_short
from .sampling import check_cancel, decode_picture, first_latent
from .shared_sampling import Share

Measure = Callable[[Tensor], dict[str, float] | None]
SHEET_CELLS = 60
# Entries of a LATENT that no longer hold once it is sampled.
EMPTY_LATENT_KEYS = ("downscale_ratio_spacial", "downscale_ratio_temporal", "batch_index")


class Candidate(NamedTuple):
    """picture: IMAGE [1, H, W, C]; name: its seed or its number; latent: the host's dict, None for a given picture;
    measures: what its critique needs, None where nobody has measured yet."""
    picture: Tensor
    name: str
    latent: dict | None = None
    measures: dict[str, float] | None = None


    @property
    def as_thumbnail(self) -> "Candidate":
        """What is left of one that is not kept: of large pictures by the hundred only these fit into memory."""
        return self._replace(picture=thumbnail(self.picture.cpu()[..., :3])[None], latent=None)


class Selection(NamedTuple):
    """Candidates and their critiques in the order they came; `places` sorts them, the best first. The pictures of those
    that were not to be kept are thumbnails, without a latent. ended: why there are no more, "" where all are."""
    candidates: list[Candidate]
    critiques: list[Critique]
    places: list[int]
    ended: str


class SamplerInputs(NamedTuple):
    """What the core nodes connect to a sampler, and the VAE that shows the result."""
    guider: object
    sampler: object
    sigmas: Tensor
    latent: dict
    vae: object

    def sample(self, seed: int) -> Candidate:
        """One picture from one seed, as the core's Sampler Custom Advanced makes it of the latent's first; honours
        Cancel at every step."""
        samples = self._sample(seed)
        rest = {name: value for name, value in self.latent.items() if name not in EMPTY_LATENT_KEYS}
        return Candidate(decode_picture(self.vae, samples), f"seed {seed}", {**rest, "samples": samples})

    def answer(self) -> Tensor:
        """What the model makes of noise in one step: tells models apart that call themselves alike."""
        once = self._replace(sampler=comfy.samplers.sampler_object("euler"),
                             sigmas=torch.cat([self.sigmas[:1], self.sigmas.new_zeros(1)]))
        return once._sample(seed=0)

    def _sample(self, seed):
        image = first_latent(self.latent, self.guider.model_patcher)
        noise = comfy.sample.prepare_noise_inner(image, torch.Generator().manual_seed(seed))
        return self.guider.sample(
            noise, image, self.sampler, self.sigmas, denoise_mask=self.latent.get("noise_mask"),
            callback=check_cancel, disable_pbar=True, seed=seed).to(comfy.model_management.intermediate_device())


def from_seeds(graph: SamplerInputs, seed: int, count: int, share: Share = map,
               measure: Measure = lambda picture: None) -> Iterator[Candidate]:
    """One candidate a seed, from `seed` on, each measured by the device of `share` that draws it."""
    def candidate(one: int) -> Candidate:
        drawn = graph.sample(one)
        return drawn._replace(measures=measure(drawn.picture))
    return share(candidate, [(seed + number) % 2**64 for number in range(count)])


def from_batch(images: Tensor) -> Iterator[Candidate]:
    """Grey ones as RGB: what shows and saves pictures takes no others."""
    if images.shape[-1] == 1:
        images = images.expand(-1, -1, -1, 3)
    return (Candidate(image, f"picture {number}") for number, image in enumerate(images.split(1), 1))


def measure_for(rubric: Rubric, reference: Reference) -> Measure:
    """Measures of a picture what its critique needs."""
    columns = needed(reference, rubric)
    return lambda picture: measured(picture, columns, reference)


def choose(candidates: Iterator[Candidate], rubric: Rubric, reference: Reference,
           show: Callable[[Tensor, int], None], keep: int = sys.maxsize) -> Selection:
    """Judges every candidate and holds the `keep` best; `show` is told (the best so far, how many are done) after each
    and may raise to cancel.

    A cancel, full memory or a device that is gone ends the search after the first picture and keeps what there is;
    before it they are raised."""
    kept: list[Candidate] = []
    critiques: list[Critique] = []
    best: list[int] = []
    measure, ended = measure_for(rubric, reference), ""
    try:
        for candidate in candidates:
            critiques.append(judge(candidate.measures or measure(candidate.picture), reference, rubric))
            kept.append(candidate)
            best = sorted([*best, len(kept) - 1], key=lambda place: -critiques[place].score)
            for out in best[keep:]:     # what falls out never comes back, as order is that of the scores
                kept[out] = kept[out].as_thumbnail
            best = best[:keep]
            show(kept[best[0]].picture, len(kept))
    except cut_short.CUTS as error:
        ended = cut_short.why_it_ends(error)
        if not (kept and ended):
            raise
    critiques = critiques[:len(kept)]
    return Selection(kept, critiques, ranking.order([critique.score for critique in critiques]), ended)


def expected_best(scores: Sequence[float], of: int) -> float:
    """The mean, over all choices of `of` among the scores, of the best: what best-of-`of` gives on these pictures.

    The i-th smallest of N is the best of C(i - 1, of - 1) of the C(N, of) choices."""
    ordered = sorted(scores)
    whole = math.comb(len(ordered), of)
    return sum(score * math.comb(place, of - 1) / whole for place, score in enumerate(ordered))


def contact_sheet(chosen: Selection, keep: int) -> Tensor:
    """IMAGE of every candidate with its score, the best first, those kept in a frame; at most SHEET_CELLS."""
    cells = [Cell(thumbnail(chosen.candidates[place].picture.cpu()[..., :3]),
                  (chosen.candidates[place].name, f"{chosen.critiques[place].score:.1f}"),
                  LIGHT.gain if number < keep else None) for number, place in enumerate(chosen.places[:SHEET_CELLS])]
    rest = len(chosen.places) - len(cells)
    return render(sheet(cells, LIGHT, f"and {rest} more" if rest else ""), LIGHT.paper)


def report(chosen: Selection, keep: int, asked: int, reference: Reference, notes: Sequence[str] = ()) -> str:
    """Markdown: the ranking, and what choosing among few and many is worth on these pictures, then notes."""
    scores = [critique.score for critique in chosen.critiques]
    names = [candidate.name for candidate in chosen.candidates]
    lines = [ranking.write(chosen.critiques, chosen.places, keep, reference, names)]
    if chosen.ended:
        lines.append(cut_short.told(chosen.ended, len(scores), asked, "pictures", "judged"))
    steps = [k for k in (1, 2, 4, 8, 16, 32, 64) if k <= len(scores)]
    lines.append("| best of | expected score |\n|---:|---:|\n"
                 + "\n".join(f"| {k} | {expected_best(scores, k):.1f} |" for k in steps))
    return "\n\n".join([*lines, *filter(None, notes)])


def latents(chosen: Selection, keep: int) -> dict | None:
    """The latents of those kept as one batch; None for pictures that were given."""
    kept = [chosen.candidates[place].latent for place in chosen.places[:keep]]
    if any(latent is None for latent in kept):
        return None
    return {**kept[0], "samples": torch.cat([latent["samples"] for latent in kept])}
