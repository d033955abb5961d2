"""What a running training shows on its node."""
import time

import comfy.model_management
import comfy.utils

TEXT_INTERVAL = 0.5


class Progress:
    """A progress bar that honours Cancel at every step, and a line of text at most every TEXT_INTERVAL seconds."""

    def __init__(self, steps: int, node_id: str):
        self.steps, self.node_id, self.last_text = steps, node_id, 0.0
        self.bar = comfy.utils.ProgressBar(steps, node_id)

    def update(self, losses: list[float], seconds: float) -> None:
        """losses: one a step so far; seconds: what these steps took. Raises InterruptProcessingException on Cancel."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.bar.update_absolute(len(losses))
        now = time.monotonic()
        if now - self.last_text >= TEXT_INTERVAL or len(losses) == self.steps:
            self.last_text = now
            _send_text(self.text(losses, seconds), self.node_id)

    def text(self, losses: list[float], seconds: float) -> str:
        done, recent = len(losses), losses[-20:]
        pace = seconds / done
        left = round(pace * (self.steps - done))
        return (f"step {done}/{self.steps}  loss {sum(recent) / len(recent):.4f}  {pace:.2f} s/it  "
                f"{left // 60}:{left % 60:02} left")


def _send_text(text, node_id):
    from server import PromptServer
    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.send_progress_text(text, node_id)
