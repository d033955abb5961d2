"""What a running training shows: a bar, a line of text, a chart that fills, sample pictures; events for the page."""
import time

import comfy.model_management
import comfy.utils
from PIL import Image

from ...shared.full_memory import is_memory_full
from . import curves
from .training_chart import picture_of, progress_chart

TEXT_INTERVAL, CHART_INTERVAL = 0.5, 4.0        # seconds
CHART_SHARE = 0.02                              # of the time, at most, goes into drawing
EVENT = "bottega.training"
PREVIEW_SIZE = 960
RECENT = 20     # steps whose mean loss is told while they go by; the panel on the page tells the same


class Progress:
    """A progress bar that honours Cancel at every step; text and events at most every TEXT_INTERVAL seconds, the chart
    every CHART_INTERVAL, later where drawing is slow.

    hidden: what the host gives the node beside its inputs, so that the page knows it in a loop and in a workflow. An
    event goes to every page; it is what curves.Curve.news says."""

    def __init__(self, steps: int, node_id: str, hidden=None):
        self.steps, self.node_id = steps, str(node_id)
        self.curve = curves.begin(curves.place_of(node_id, hidden), steps)
        self.bar = comfy.utils.ProgressBar(steps, node_id)
        self.last_text, self.next_chart = 0.0, time.monotonic() + CHART_INTERVAL
        self.pictures: list[Image.Image] = []
        self.warning = ""

    def update(self, session) -> None:
        """After a step of a Session. Raises InterruptProcessingException on Cancel."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.curve.add(session)
        now, last = time.monotonic(), session.step == self.steps
        self.bar.update_absolute(session.step, preview=self._preview(session) if now >= self.next_chart else None)
        if now - self.last_text >= TEXT_INTERVAL or last:
            self.last_text = now
            line = self.text(session.losses, session.seconds, session.rates[-1])
            _send_text("\n".join(filter(None, (line, self.warning))), self.node_id)
            tell(self.curve)

    def show(self, session, pictures: list[Image.Image], on_disk: dict | None = None) -> None:
        """New sample pictures, below the chart. on_disk: what the page can ask for of them and of earlier ones."""
        self.pictures = pictures
        self.curve.samples = on_disk or {}
        self.bar.update_absolute(session.step, preview=self._preview(session))

    def note_state(self, resume: str) -> None:
        """What `resume` goes on from here with; the page is told when the training ends."""
        self.curve.resume = resume

    def say(self, text: str) -> None:
        if text:
            _send_text(text, self.node_id)

    def warn(self, text: str) -> None:
        """Shows a sentence below the pace from now on; "" takes it away."""
        self.warning = text
        self.say(text)

    def text(self, losses: list[float], seconds: float, rate: float) -> str:
        done, recent = len(losses), losses[-RECENT:]
        counted = f"the last {RECENT}" if done > RECENT else f"all {done}" if done > 1 else "1 step"
        pace = seconds / done
        left = round(pace * (self.steps - done))
        return (f"step {done}/{self.steps}  loss {sum(recent) / len(recent):.4f} (mean of {counted})  rate {rate:.2g}  "
                f"{pace:.2f} s/it  {left // 60}:{left % 60:02} left")

    def _preview(self, session):
        """The picture for the bar; None where memory has no room for it, which must not end a training."""
        began, picture = time.monotonic(), None
        try:
            picture = picture_of(progress_chart(
                session.losses, session.rates, [(m.step, m.loss) for m in session.validated],
                self.pictures, session.step_ranking.points if session.step_ranking else ()))
        except Exception as error:
            if not is_memory_full(error):
                raise
        ended = time.monotonic()
        self.next_chart = ended + max(CHART_INTERVAL, (ended - began) / CHART_SHARE)
        return picture and ("JPEG", picture, PREVIEW_SIZE)


def _server():
    from server import PromptServer
    return getattr(PromptServer, "instance", None)


def _send_text(text, node_id):
    if (server := _server()) is not None:
        server.send_progress_text(text, node_id)


def tell(curve: curves.Curve) -> None:
    """Sends every page what is new of a training."""
    if (server := _server()) is not None:
        server.send_sync(EVENT, curve.news())
