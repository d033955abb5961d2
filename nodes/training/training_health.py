"""Warnings that a training goes wrong in ways that do not stop it: a rate too hot, overfitting, a loss that rises."""
import statistics

from ..shared.full_memory import is_memory_full
from .step.validation import overfits

# ||change of W|| / ||W|| of the middle layer. On the starter, woodcuts at 1, 3, 10 and 30 times the default rate: 120
# steps end at .03, .07, .25 and 2.6, with losses on unseen ones .218, .189, .196 and 1.08 (.694 untrained); 400 steps
# at .06, .16, .40 and 3.5, with .155, .151, .167 and 1.09. Beyond a quarter it loses, and 30 times breaks the model.
HOT = 0.3
SHORTEST = 100          # steps below which looking costs more than it tells


class Health:
    """Looks at a session a tenth into it, half way and at its end, and adds what it finds to the session's notes."""

    def __init__(self, session):
        self.session, steps = session, session.settings.steps
        self.looks = [steps // 10, steps // 2] if steps >= SHORTEST else []
        self.told: set[str] = set()

    def next_look(self, step: int) -> int:
        return next((look for look in self.looks if look > step), self.session.settings.steps)

    def look(self, last: bool) -> None:
        if text := overfits(self.session.validated):
            self._tell("overfits", text)
        if self.session.step in self.looks or last and self.session.settings.steps >= SHORTEST:
            self._look_at_change()
        if last:
            self._look_at_loss()

    def _look_at_change(self):
        try:
            with self.session.whole_base():
                change = statistics.median(self.session.adapters.relative_change().values())
        except Exception as error:      # it is advice, and ends no training
            if not is_memory_full(error):
                raise
            return
        if change > HOT:
            self._tell("hot", f"The rate looks too hot: at step {self.session.step} the LoRA changes the middle layer "
                              f"by {change:.0%} of its weights. Try a third of the learning rate.")

    def _look_at_loss(self):
        losses = self.session.losses
        tenth = len(losses) // 10
        if tenth < 5:
            return
        start, end = statistics.median(losses[:tenth]), statistics.median(losses[-tenth:])
        if end > 1.5 * start:
            self._tell("rises", f"The loss rose from {start:.4f} to {end:.4f}: try a lower learning rate.")

    def _tell(self, kind, text):
        if kind not in self.told:
            self.told.add(kind)
            self.session.notes.append(text)
