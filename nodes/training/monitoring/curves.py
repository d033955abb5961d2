"""The curves of trainings that run or have run, kept for every page that looks at them."""
from array import array
from collections import OrderedDict
from math import isfinite
from typing import NamedTuple

from ...shared.last_outputs import id_in

KEPT = 16               # trainings; the oldest goes first
MOST_LOSSES = 20_000    # that one answer carries
MOST_NEWS = 500         # losses that one event carries


class Place(NamedTuple):
    """Where a training runs: the prompt, the node in it, the node of the page that stands for it, the workflow's id."""
    prompt: str
    node: str
    display: str
    workflow: str


def place_of(node_id: str, hidden=None) -> Place:
    """The place of the node that executes now. hidden: what the host gives a node beside its inputs, its dynprompt and
    extra_pnginfo are read. Outside of a prompt, and without a workflow, those two are ""."""
    from comfy_execution.utils import get_executing_context
    context, node, display = get_executing_context(), str(node_id), node_id
    if hidden is not None and hidden.dynprompt is not None:
        display = hidden.dynprompt.get_display_node_id(node_id)
    workflow = id_in(hidden.extra_pnginfo if hidden is not None else None)
    return Place(context.prompt_id if context else "", node, str(display), workflow)


class Curve:
    """What the page draws of one training. ended: "" while it runs, then stopped, finished, cancelled or failed.

    samples: what sample_pictures.Samples.on_disk says, resume: what the input of that name goes on from here with; both
    empty where there is nothing."""

    def __init__(self, place: Place, steps: int):
        self.samples, self.resume = {}, ""
        self.place, self.steps, self.ended = place, steps, ""
        self.step, self.told, self.losses = 0, 0, array("d")
        self.rate, self.seconds_a_step = 0.0, 0.0

    def add(self, session) -> None:
        """After a step of a Session, whose losses hold one number a step, those before a resume included."""
        self.step, self.rate = session.step, session.rates[-1]
        self.seconds_a_step = session.seconds / session.step
        del self.losses[session.step - 1:]      # a step that was tried again
        self.losses.extend(session.losses[len(self.losses):])

    def end(self, how: str) -> None:
        """how: stopped, finished, cancelled or failed; a run that ends by itself before its last step was cancelled."""
        done = self.step >= self.steps
        self.ended = {"stopped": "finished" if done else how, "finished": how if done else "cancelled"}.get(how, how)

    def news(self) -> dict:
        """`since` the last news, of which there are MOST_NEWS losses at most."""
        told, self.told = self.told, self.step
        return self.since(max(told, self.step - MOST_NEWS) + 1)

    def since(self, first: int) -> dict:
        """What the page is told, with the losses from the step `first` on, counted from 1, the latest at most."""
        first = max(first, len(self.losses) - MOST_LOSSES + 1)
        return {
            "prompt_id": self.place.prompt, "node": self.place.node, "display_node": self.place.display,
            "workflow_id": self.place.workflow, "step": self.step, "steps": self.steps, "first": first,
            "losses": [round(loss, 6) if isfinite(loss) else None for loss in self.losses[first - 1:]],
            "rate": self.rate,
            "seconds_a_step": self.seconds_a_step, "eta": self.seconds_a_step * (self.steps - self.step),
            "ended": self.ended, "samples": self.samples, "resume": self.resume,
        }


_curves: OrderedDict[tuple[str, str], Curve] = OrderedDict()


def begin(place: Place, steps: int) -> Curve:
    """A new curve, which takes the place of an earlier one of the same node in the same prompt."""
    _curves.pop((place.prompt, place.node), None)
    curve = _curves[place.prompt, place.node] = Curve(place, steps)
    while len(_curves) > KEPT:
        _curves.popitem(last=False)
    return curve


def end(prompt: str, node: str, how: str) -> Curve | None:
    """Notes how a training ended; None where none has taken a step."""
    curve = _curves.get((prompt, node))
    if curve is None or not curve.step:
        return None
    curve.end(how)
    return curve


def known() -> list[dict]:
    """All that is kept, the oldest first."""
    return [curve.since(1) for curve in list(_curves.values()) if curve.step]
