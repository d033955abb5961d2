"""Before the first step all ranks meet: have they the same model and data, and where does rank 0 begin?"""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from comfy.model_management import InterruptProcessingException

from ..data.dataset import outlines
from ..disk.session_state import identity, restore, state_of
from ..step.selfcheck import answer as model_answer
from ..step.selfcheck import relative_error
from ..step.session import Session
from .team import Cancelled, RankFailed, Team

TOLERANCE = 1e-3        # of a model's answer on two devices of one kind, which are hardly ever apart at all
# Of two kinds, which sum in another order. Emulated on the CPU (every product summed in two halves, random weights, the
# host's Flux with 19 and 38 blocks) that made 1.4e-2 in bfloat16 and 1.8e-3 in float16; no two cards were at hand.
TOLERANCE_OF_KINDS = 5e-2
NAMES = {"identity": "model or data set", "settings": "settings", "pictures": "number of pictures"}


class Answer(NamedTuple):
    """What a rank's model makes of noise, float32 on the CPU, and the kind of device it was made on."""
    value: torch.Tensor
    device: str

    @classmethod
    def of(cls, value: torch.Tensor) -> "Answer":
        device = value.device
        return cls(value.float().cpu(), torch.cuda.get_device_name(device) if device.type == "cuda" else device.type)


def meet(session: Session, team: Team | None) -> None:
    """Every rank goes on from what rank 0 has: start values, a state that was resumed, weights of pictures.

    Raises on every rank: RankFailed with what ended another, ValueError where ranks differ."""
    if team is None or team.alone:
        return
    told = team.gather(_about(session))
    if trouble := _trouble(told):
        team.apart = True                       # everybody sees the same list and ends here
        raise trouble
    weights = [each.weight for each in outlines(session.dataset.samples)]
    kept = team.from_first({"state": state_of(session), "weights": weights} if team.first else None)
    if not team.first:
        restore(session, kept["state"], "rank 0")
        session.weigh(kept["weights"])
    team.begun = True


def _about(session):
    about = {"identity": identity(session), "settings": str(session.settings), "pictures": len(session.samples)}
    if session.base:
        return {**about, "blocks": session.base.slices.sums}
    return {**about, "answer": _answer(session)}


def _answer(session):
    """What the model makes of a picture: a model that another custom node has changed has the same weights."""
    session.objective.levels.left = []          # a resumed rank 0 would be asked at another noise level
    found = model_answer(session.patcher, session.denoiser, session.objective, session.adapters,
                         session.dataset.samples[0], session.settings.seed, session.beside)
    session.rewind(session.cursor)              # the question took noise levels, which are part of the state
    return Answer.of(found)


def _trouble(told: list) -> Exception | None:
    """told: by rank, what it is about to train, or why it cannot."""
    if failed := failures(told):
        return failed
    first = told[0]
    for rank, other in enumerate(told[1:], 1):
        for key, name in NAMES.items():
            if other[key] != first[key]:
                return ValueError(f"devices: rank {rank} has another {name} than rank 0 "
                                  f"({_difference(first[key], other[key])}).")
        if "blocks" in first:
            if other["blocks"] != first["blocks"]:
                return ValueError(f"model: on rank {rank} its weights are others than on rank 0. Something before it "
                                  "gives another model each time, or another custom node has changed it.")
            continue
        if apart := other_answer(rank, other["answer"], first["answer"]):
            return apart
    return None


def failures(told: list) -> RankFailed | None:
    """Of those who met, the ones who say why they cannot."""
    failed = [f"rank {rank}: {what}" for rank, what in enumerate(told) if isinstance(what, str)]
    return RankFailed("; ".join(failed)) if failed else None


def other_answer(rank: int, answer: Answer, first: Answer) -> ValueError | None:
    """Whether a rank's model answers otherwise than that of rank 0."""
    away, unlike = relative_error(answer.value, first.value).item(), answer.device != first.device
    if away <= (TOLERANCE_OF_KINDS if unlike else TOLERANCE):
        return None
    kinds = f" ({answer.device} and {first.device} differ by up to {TOLERANCE_OF_KINDS:g})" if unlike else ""
    return ValueError(f"model: on rank {rank} it answers otherwise than on rank 0, by {away:.1e} of its answer{kinds}. "
                      "Something before it gives another model each time, or another custom node has changed it.")


def _difference(first, other) -> str:
    if isinstance(first, dict):
        first, other = ({key: value for key, value in one.items() if first[key] != other[key]}
                        for one in (first, other))
    return f"{str(other)[:200]}; rank 0 {str(first)[:200]}"


@contextmanager
def taking_part(team: Team | None, asked_to_stop: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether all ranks are to stop and keep what there is. Whatever leaves the block early
    is told to the others."""
    if team is None or team.alone:
        yield asked_to_stop
        return
    team.stop = asked_to_stop if team.first else lambda: False
    try:
        yield lambda: team.stopping
        team.done, team.apart = not team.apart, True
    except Cancelled:
        raise InterruptProcessingException() from None
    except InterruptProcessingException:
        team.leave("cancelled", cancelled=True)
        raise
    except BaseException as error:
        team.leave(f"{type(error).__name__}: {error}"[:300])
        raise
