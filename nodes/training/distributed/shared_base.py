"""A training on a base in slices: in a step all ranks ask for the same blocks in the same order; between steps rank 0
alone runs the model, to check, validate or draw, and the others give it their slices."""
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ...shared.full_memory import is_memory_full
from ..data.dataset import outlines
from ..step.gradient import backward, group_by_shape
from ..step.session import Session
from .base_slices import BaseSlices
from .team import RankFailed, Team

GO_ON, END, LEFT = -1, -2, -3       # what rank 0 tells instead of a block's number


class SharedBase:
    """Slices of a session's model. error: what made this rank's memory full in the present step; it goes on asking for
    blocks with the others, who cannot step without it, and computes nothing."""

    def __init__(self, session: Session, team: Team):
        self.team, self.in_step, self.error = team, False, None
        self.slices = BaseSlices(session.model.diffusion_model, team.rank, team.size, session.denoiser.device,
                                 team.gather_bytes, self._announce)

    def _announce(self, number):
        if self.team.first and not self.in_step:
            self.team.tell(number)

    def serve(self) -> int:
        """A rank other than 0: gives its slices until rank 0 tells GO_ON or END, which it returns."""
        while (told := self.team.hear()) >= 0:
            self.slices.start(told)
        self.slices.forget()
        if told == LEFT:
            self.team.apart = True
            raise RankFailed(self.team.why())
        return told

    def by_first(self, work: Callable[[], object]):
        """What work() gives on rank 0, on every rank."""
        if not self.team.first:
            self.serve()
            return self.team.from_first()
        found = work()
        self._call(GO_ON)
        return self.team.from_first(found)

    def _call(self, what):
        """Rank 0 has nothing under way any longer, and tells what comes now."""
        self.slices.forget()
        self.team.tell(what)

    def learn(self, session: Session) -> None:
        """The order in which a pass asks for the blocks, from a pass of rank 0."""
        session.memory.can_offload = False              # the weights lie outside of the device already
        sample = session.samples[0]
        self.slices.order.learnt = self.asked_by(session, lambda: backward(
            session.denoiser, session.objective, [session.denoiser.fresh(sample)], [torch.zeros_like(sample.latent)],
            session.objective.levels.sigmas(torch.tensor([0.5]))))

    def asked_by(self, session: Session, work: Callable[[], object]) -> list[int]:
        """The blocks that work() asks for while the session trains, in order; rank 0 finds out for all."""
        return self.by_first(lambda: self._recorded(session, work))

    def _recorded(self, session, work):
        order = self.slices.order
        order.learning, order.learnt = True, []
        with session.training():
            work()
        order.learning = False
        session.adapters.flat.grad.zero_()
        return order.learnt

    def begin_step(self) -> None:
        if self.team.first:
            self._call(GO_ON)
        elif self.serve() == END:
            raise RankFailed("rank 0 ended before this rank's last step")
        self.in_step, self.error, self.slices.order.following_it = True, None, True

    def end_step(self) -> None:
        """After the sum, on all ranks."""
        self.slices.forget()
        self.in_step, self.slices.order.following_it = False, False

    def over_rows(self, session: Session, batch: list, share: float, part: Callable[[slice], torch.Tensor],
                  nothing: Callable[[], object]) -> torch.Tensor:
        """Team.over_rows where every rank runs the blocks equally often. nothing: a pass that adds no gradient."""
        counts = [self._passes(batch, rank, session.memory.rows) for rank in range(self.team.size)]
        asked, numbers = self.slices.order.count, None
        if self.error is None:
            try:
                numbers = self.team.over_rows(session.adapters.flat.grad, len(batch), share, part)
                for _ in range(max(counts) - counts[self.team.rank]):
                    nothing()
            except Exception as error:
                if not is_memory_full(error):
                    raise
                self.error = error.with_traceback(None)         # which holds the step's tensors
                gc.collect()
        if self.error is not None:
            self.slices.ask_on(asked + max(counts) * len(self.slices.order.learnt))
            self.team.take_again()
        return session.adapters.flat.new_zeros(3) if numbers is None else numbers

    def _passes(self, batch, rank, rows):
        return sum(len(group_by_shape(batch[part], rows)) for part in self.team.own(len(batch), rank))

    def farewell(self) -> None:
        """Rank 0 leaves: those who serve are told; in a step they see that its connection closes."""
        if self.team.first and not self.in_step:
            self.team.tell(LEFT)


@contextmanager
def shared(session: Session, team: Team | None) -> Iterator[SharedBase]:
    """The session's base in slices; its model is whole again afterwards on rank 0. Raises ValueError, as a sentence,
    where that is not possible."""
    if team is None or team.alone:
        raise ValueError("share_base: expected at least 2 in devices, between which the base can be shared, got 1.")
    if session.settings.recipe.loss.outside_mask or any(
            each.has_lesson or each.is_pair for each in outlines(session.dataset.samples)):
        raise ValueError("share_base: not with pairs, concepts from prompts or prior_outside_mask, which run the model "
                         "without the LoRA as well; set it off, or train on plain pictures.")
    base = session.base = SharedBase(session, team)
    team.farewell = base.farewell
    try:
        yield base
        if team.apart:                                  # a cancel that keeps what there is: nobody listens any more
            return
        if team.first:
            base._call(END)
        else:
            base.serve()
    finally:
        session.base = None
        base.slices.undo()
