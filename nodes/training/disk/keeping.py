"""What a run leaves on disk: states to continue from and LoRAs, whatever ends it."""
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...lora.saving.output import lora_folder
from ..step.session import Session
from . import output
from .checkpoint import leave_run, rotate, save_state, state_folder, state_path, states_of
from .state import state_of

LONGEST_INTERVAL = 600.0    # seconds between two states


class Keeper:
    """Saves for one run; `run` names its folder of states."""

    def __init__(self, session: Session, stem: str, run: str):
        self.session, self.stem, self.run = session, stem, run
        self.started = self.last = time.time()

    def overdue(self) -> bool:
        """True when steps are so slow that an interval of them would be long to lose."""
        return bool(self.session.settings.recipe.checkpoints.every) and time.time() - self.last > LONGEST_INTERVAL

    @property
    def newest(self) -> Path | None:
        """The newest state on disk."""
        found = states_of(state_folder(self.run))
        return found[-1] if found else None

    def checkpoint(self) -> None:
        """A state, and a LoRA where the recipe asks for it. A full disk is noted and does not end the training."""
        plan, self.last = self.session.settings.recipe.checkpoints, time.time()
        try:
            self.save_state()
            if plan.loras:
                self.save_lora(f"{self.stem}_step{self.session.step:06}")
        except OSError as error:
            self._note(f"The state of step {self.session.step} could not be written ({error}); the training went on.")

    def save_state(self) -> Path:
        path = state_path(self.run, self.session.step)
        save_state(path, state_of(self.session))
        rotate(self.run, max(1, self.session.settings.recipe.checkpoints.keep))
        return path

    def save_lora(self, stem: str, best: bool = False) -> str:
        """The last weights, or those that the critic likes best; returns the path."""
        session = self.session
        step = session.best_step if best and session.best_step is not None else session.step
        about = output.metadata(session.settings, session.shape, session.model, session.objective.kind,
                                session.dataset, step, self.started, time.time(), stem)
        return output.save(stem, session.tensors(best), about, session.model, session.shape.file_format,
                           session.denoiser.encoders)

    def finish(self) -> str:
        """Saves the LoRA and the last state; returns the LoRA's path. Where a critic prefers an earlier step, its
        weights are the LoRA's, and the last ones are kept beside it.

        Raises OSError, naming what can still be continued from, when the LoRA cannot be written."""
        self.checkpoint()
        try:
            if self.session.best_step is not None:
                self.session.notes.append(f"The last step's LoRA is kept in {self.save_lora(f'{self.stem}_last')}.")
            return self.save_lora(self.stem, best=True)
        except OSError as error:
            raise OSError(f"name: the LoRA could not be written to {lora_folder()} ({error}). "
                          f"{self.how_to_go_on()}") from error

    @contextmanager
    def rescuing(self, say: Callable[[str], None]) -> Iterator[None]:
        """What is raised inside goes on, after `say` has told what was kept; the errors of numbers and of memory tell
        it too."""
        try:
            yield
        except BaseException as error:
            told = self.rescue(error)
            say(told)
            if told and isinstance(error, (FloatingPointError, MemoryError)):
                raise type(error)(f"{error} {told}") from None
            raise

    def rescue(self, error: BaseException) -> str:
        """Keeps LoRA and state of a run that was cancelled or failed; says where, and never raises itself."""
        self.session.forget_step()
        if not self.session.step:
            leave_run(self.run)
            return ""
        try:
            path = self.save_lora(f"{self.stem}_interrupted")
            # What led to no number is no state to go on from; the last one before it is.
            if not isinstance(error, FloatingPointError):
                self.save_state()
            told = f"The LoRA so far is kept in {path}. {self._best_so_far()}{self.how_to_go_on()}"
        except Exception as trouble:
            told = f"The LoRA so far could not be kept ({trouble}). {self.how_to_go_on()}"
        logging.warning("Training ended after step %s. %s", self.session.step, told)
        return told

    def _best_so_far(self):
        if self.session.best_step is None:
            return ""
        return f"What the critic likes best is in {self.save_lora(f'{self.stem}_interrupted_best', best=True)}. "

    def how_to_go_on(self) -> str:
        newest = self.newest
        return f"To go on, set resume to {self.run}/{newest.stem}." if newest else "No state was saved before it."

    def _note(self, text):
        self.session.notes.append(text)
        logging.warning(text)
