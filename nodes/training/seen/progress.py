"""What a running training shows: a bar, a line of text, a chart that fills, sample pictures; events for the page."""
import time

import comfy.model_management
import comfy.utils
from PIL import Image

from .chart import picture_of, progress_chart

TEXT_INTERVAL, CHART_INTERVAL = 0.5, 4.0        # seconds
CHART_SHARE = 0.02                              # of the time, at most, goes into drawing
EVENT = "bottega.training"
MOST_NEW_LOSSES = 500
PREVIEW_SIZE = 960


class Progress:
    """A progress bar that honours Cancel at every step; text and events at most every TEXT_INTERVAL seconds, the chart
    every CHART_INTERVAL, later where drawing is slow.

    An event carries node, step, steps, losses (those since the last event), first (the step of the first of them),
    rate, seconds_a_step and eta in seconds."""

    def __init__(self, steps: int, node_id: str):
        self.steps, self.node_id = steps, str(node_id)
        self.bar = comfy.utils.ProgressBar(steps, node_id)
        self.last_text, self.next_chart, self.sent = 0.0, time.monotonic() + CHART_INTERVAL, 0
        self.pictures: list[Image.Image] = []

    def update(self, session) -> None:
        """After a step of a Session. Raises InterruptProcessingException on Cancel."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        now, last = time.monotonic(), session.step == self.steps
        self.bar.update_absolute(session.step, preview=self._preview(session) if now >= self.next_chart else None)
        if now - self.last_text >= TEXT_INTERVAL or last:
            self.last_text = now
            _send_text(self.text(session.losses, session.seconds, session.rates[-1]), self.node_id)
            _send(EVENT, self._event(session))

    def show(self, session, pictures: list[Image.Image]) -> None:
        """New sample pictures, below the chart."""
        self.pictures = pictures
        self.bar.update_absolute(session.step, preview=self._preview(session))

    def say(self, text: str) -> None:
        if text:
            _send_text(text, self.node_id)

    def text(self, losses: list[float], seconds: float, rate: float) -> str:
        done, recent = len(losses), losses[-20:]
        pace = seconds / done
        left = round(pace * (self.steps - done))
        return (f"step {done}/{self.steps}  loss {sum(recent) / len(recent):.4f}  rate {rate:.2g}  {pace:.2f} s/it  "
                f"{left // 60}:{left % 60:02} left")

    def _event(self, session):
        first = max(self.sent, session.step - MOST_NEW_LOSSES)
        self.sent = session.step
        pace = session.seconds / session.step
        return {"node": self.node_id, "step": session.step, "steps": self.steps, "first": first + 1,
                "losses": [round(loss, 6) for loss in session.losses[first:]], "rate": session.rates[-1],
                "seconds_a_step": pace, "eta": pace * (self.steps - session.step)}

    def _preview(self, session):
        began = time.monotonic()
        chart = progress_chart(session.losses, session.rates, [(m.step, m.loss) for m in session.validated],
                               self.pictures, session.favourite.points if session.favourite else ())
        ended = time.monotonic()
        self.next_chart = ended + max(CHART_INTERVAL, (ended - began) / CHART_SHARE)
        return ("JPEG", picture_of(chart), PREVIEW_SIZE)


def _server():
    from server import PromptServer
    return getattr(PromptServer, "instance", None)


def _send_text(text, node_id):
    if (server := _server()) is not None:
        server.send_progress_text(text, node_id)


def _send(event, data):
    if (server := _server()) is not None:
        server.send_sync(event, data, server.client_id)
