"""What a run leaves on disk: states to continue from and LoRAs, whatever ends it."""
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ...lora.saving.output_file import lora_folder
from ...shared.full_memory import NothingSmaller, is_memory_full
from ..step.session import Session
from . import trained_file
from .checkpoint import (
    name_of,
    remove_empty_run_folder,
    remove_first_pictures,
    resume_name,
    save_state,
    shown,
    state_folder,
    state_path,
    states_of,
)
from .session_state import state_of

LONGEST_INTERVAL = 600.0    # seconds between two states
DISK_TROUBLE = (OSError, SafetensorError)
KEPT_KINDS = (FloatingPointError, MemoryError, OSError, ValueError)


class Checkpoints:
    """Saves for one run; `run` names its folder of states. Only states that this run wrote are ever rotated."""

    def __init__(self, session: Session, stem: str, run: str, came_from: Path | None = None,
                 warn: Callable[[str], None] = lambda text: None):
        """came_from: the state that was resumed from. warn: shows a sentence while the run goes on, "" no longer."""
        self.session, self.stem, self.run, self.came_from, self.warn = session, stem, run, came_from, warn
        self.begun_at = session.step if session else 0
        self.written = states_of(state_folder(run))     # of a run that goes on; a new one's folder is empty
        self.started = self.last = time.time()
        self.troubled: set[str] = set()
        self.ending = False         # whether no step comes any more

    def overdue(self) -> bool:
        """True when steps are so slow that an interval of them would be long to lose."""
        return bool(self.session.settings.recipe.checkpoints.every) and time.time() - self.last > LONGEST_INTERVAL

    @property
    def newest(self) -> Path | None:
        """The newest state of this run on disk, else the one it came from."""
        left = [path for path in self.written if path.is_file()]
        return left[-1] if left else self.came_from

    def checkpoint(self) -> None:
        """A state, and a LoRA where the recipe asks for it. Trouble with the disk does not end the training."""
        plan, self.last = self.session.settings.recipe.checkpoints, time.time()
        self.try_to("state", self.save_state)
        if plan.loras:
            self.try_to("LoRA", lambda: self.save_lora(f"{self.stem}_step{self.session.step:06}"))
            if self.session.second_average:
                self.try_to("LoRA of the second average", self.save_second)

    def try_to(self, what: str, write: Callable[[], object]) -> bool:
        """Writes; trouble with the disk is told once for each kind of file, and at the end. The next interval tries
        again."""
        try:
            write()
        except DISK_TROUBLE as error:
            text = f"The {what} of step {self.session.step} could not be written ({reason(error)})" + (
                "." if self.ending else "; the training goes on and tries again at the next interval.")
            self.warn(text)
            if self.ending or what not in self.troubled:
                self._note(text)
            self.troubled.add(what)
            return False
        if what in self.troubled:
            self.troubled.remove(what)
            self.warn("")
            self._note(f"The {what} of step {self.session.step} could be written again.")
        return True

    def save_state(self) -> Path:
        path = state_path(self.run, self.session.step)
        save_state(path, state_of(self.session))
        self.written = [old for old in self.written if old != path] + [path]
        kept = max(1, self.session.settings.recipe.checkpoints.keep)
        self.written = [old for old in self.written[:-kept] if not _removed(old)] + self.written[-kept:]
        return path

    def save_second(self) -> str:
        """The second average, beside the LoRA of the step."""
        session, second = self.session, self.session.second_average
        length = session.settings.recipe.second_ema_length if second.updates == session.step else 0.0
        with second.swapped_in():
            tensors = session.adapters.tensors(session.file_dtype)
        return self._save(f"{self.stem}_step{session.step:06}_second", tensors, session.step, length)

    def save_lora(self, stem: str, best: bool = False) -> str:
        """The last weights, or those that the critic likes best; returns the path."""
        session = self.session
        step = session.best_step if best and session.best_step is not None else session.step
        return self._save(stem, session.tensors(best), step, session.kept_length)

    def _save(self, stem, tensors, step, kept_length):
        session = self.session
        about = trained_file.metadata(session.settings, session.shape, session.model, session.objective,
                                      session.dataset, step, self.started, time.time(), stem, kept_length)
        return trained_file.save(stem, tensors, about, session.model, session.shape.file_format,
                                 session.denoiser.encoders)

    def finish(self) -> str:
        """Saves the LoRA and the last state; returns the LoRA's path. Where a critic prefers an earlier step, its
        weights are the LoRA's, and the last ones are kept beside it. Where the state that was resumed from was the end,
        nothing is written that is there already.

        Raises RuntimeError where no step was taken, and OSError, naming what can still be continued from, when the
        LoRA cannot be written."""
        if not self.session.step:
            raise RuntimeError("Stopped before the first step, as asked: there is no LoRA to keep yet.")
        self.ending = True
        try:
            if self.session.step == self.begun_at:
                self._give_back_folder()
                return self._found_lora() or self.save_lora(self.stem, best=True)
            self.checkpoint()
            if self.session.best_step is not None:
                last = shown(self.save_lora(f"{self.stem}_last"))
                self.session.notes.append(f"The last step's LoRA is kept in {last}.")
            return self.save_lora(self.stem, best=True)
        except DISK_TROUBLE as error:
            raise OSError(f"name: the LoRA could not be written to {shown(lora_folder())} ({reason(error)}).") from None

    def _give_back_folder(self) -> None:
        """Takes the run's folder away where nothing came to lie in it; what to resume is then what it came from."""
        remove_empty_run_folder(self.run)
        if self.came_from and not state_folder(self.run).exists():
            self.run = name_of(self.came_from)

    def _found_lora(self) -> str:
        session = self.session
        return trained_file.find_same(self.stem, session.tensors(best=True), session.model, session.shape.file_format,
                                      session.denoiser.encoders)

    @contextmanager
    def rescuing(self, say: Callable[[str], None], note: Callable[[str], None] = lambda resume: None) -> Iterator[None]:
        """What is raised inside goes on, after `say` has told what was kept; an error tells it too. note: takes what
        `resume` goes on from the newest state with, "" where there is none, whatever ended the run."""
        try:
            yield
        except BaseException as error:
            told = self.rescue(error)
            say(told)
            if is_memory_full(error):
                raise MemoryError(f"{self._what_was_full(error)} {told}".strip()) from error
            if told and isinstance(error, Exception):
                kind = next((kind for kind in KEPT_KINDS if isinstance(error, kind)), RuntimeError)
                raise kind(f"{error} {told}") from error
            raise
        finally:
            note(self.newest and resume_name(self.newest) or "")

    def _what_was_full(self, error: BaseException) -> str:
        if isinstance(error, NothingSmaller):
            return str(error)
        return f"Memory was full after {self.session.step} of {self.session.settings.steps} steps."

    def rescue(self, error: BaseException) -> str:
        """Keeps LoRA and state of a run that was cancelled or failed; says where, and never raises itself."""
        self.session.forget_step()
        if not self.session.step:
            remove_first_pictures(self.run)
            remove_empty_run_folder(self.run)
            return ""
        told = self._kept_lora()
        # What led to no number is no state to go on from; the last one before it is.
        if not isinstance(error, FloatingPointError):
            try:
                self.save_state()
            except Exception as trouble:
                told += f"The state of step {self.session.step} could not be kept ({reason(trouble)}). "
        told += self.how_to_go_on()
        logging.warning("Training ended after step %s. %s", self.session.step, told)
        return told

    def _kept_lora(self) -> str:
        """Where the LoRA so far is, and what the critic likes best of it; ends in a blank."""
        try:
            told = f"The LoRA so far is kept in {shown(self.save_lora(f'{self.stem}_interrupted'))}. "
            if self.session.best_step is not None:
                best = self.save_lora(f"{self.stem}_interrupted_best", best=True)
                told += f"What the critic likes best is in {shown(best)}. "
            return told
        except Exception as trouble:
            return f"The LoRA so far could not be kept ({reason(trouble)}). "

    def how_to_go_on(self) -> str:
        newest = self.newest
        return f"To go on, set resume to {name_of(newest)}." if newest else "No state was saved before it."

    def _note(self, text):
        self.session.notes.append(text)
        logging.warning(text)


def reason(error: BaseException) -> str:
    """What the system says is wrong, without paths of the server."""
    return "memory is full" if is_memory_full(error) else getattr(error, "strerror", None) or str(error)


def _removed(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
