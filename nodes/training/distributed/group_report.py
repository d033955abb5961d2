"""What a report says of a group: each device, its rows and memory, and what the group gained against one device."""
import json
import statistics
import sys
import time

import torch

from ...shared.full_memory import is_memory_full
from .team import Team

MEASURED_AT, SHORTEST = 10, 40      # the step after which one device is tried, of a training that is at least so long
WARM = 3                            # steps that are not counted
LAST_WORDS = 30.0                   # seconds to wait for what the others say at the end


class Gain:
    """seconds: of a step of the whole batch on rank 0 by itself, None where that was not measured, and why."""

    def __init__(self, steps: int):
        self.seconds, self.why = None, f"the training has fewer than {SHORTEST} steps" if steps < SHORTEST else ""

    def cannot(self, why: str) -> None:
        self.why = self.why or why

    def due(self, team: Team | None) -> bool:
        """Whether now is the time to try one device; only where it costs little beside the training."""
        return bool(team and not team.alone and self.seconds is None and not self.why
                    and len(team.seconds) == MEASURED_AT)

    def measure(self, session) -> None:
        """Computes the next step's gradient twice without the others, who wait in their sum, and takes that back.
        Within session.training()."""
        team, session.team = session.team, None
        try:
            with session.memory.unwatched():
                self.seconds = min(_timed(session) for _ in range(2))
        except Exception as error:
            if not is_memory_full(error):
                raise
            self.why = "one device has no memory for the whole batch"
        finally:
            session.team = team
            session.forget_step()


def _timed(session):
    began = time.perf_counter()
    losses, _ = session.add_gradient()
    float(losses[-1])                           # waits for the device
    seconds = time.perf_counter() - began
    session.forget_step()
    return seconds


def tell_own(session, team: Team | None) -> None:
    """A rank other than 0 says what it used and what happened to it, once it is done."""
    if team and not team.alone and not team.first:
        team.store.set(f"facts/{team.rank}", json.dumps(_facts(session, team)))


def notes(session, team: Team | None, gain: Gain) -> list[str]:
    """Sentences on the group, on rank 0 at the end of a run; none for one device."""
    if team is None or team.alone:
        return []
    facts = [_facts(session, team), *_others(team)]
    told = [f"Rank {rank}: {note}" for rank, each in enumerate(facts) if rank and each for note in each["notes"]]
    return [f"{team.size} devices: " + "; ".join(_about(rank, each) for rank, each in enumerate(facts)) + ".",
            *_pace(team, gain), *told]


def _others(team):
    names = [f"facts/{rank}" for rank in range(1, team.size)]
    deadline = time.monotonic() + LAST_WORDS
    while not team.store.check(names) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [json.loads(team.store.get(name)) if team.store.check([name]) else None for name in names]


def _facts(session, team):
    mine, device = team.own(session.settings.batch_size), session.denoiser.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {"device": name, "rows": sum(part.stop - part.start for part in mine), "memory": _most(session, device),
            "notes": list(session.memory.notes),
            "base": session.base and session.base.slices.held(session.model.diffusion_model)}


def _most(session, device) -> int | None:
    """_memory; the plan has the card forget its peak whenever it looks, and keeps that of the steps."""
    now, plan = _memory(device), session.memory.plan
    return max(now, plan.reached) if plan and now is not None else now


def _memory(device) -> int | None:
    """Most bytes so far: of the card, or of this process; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:                         # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _about(rank, facts):
    if facts is None:
        return f"rank {rank} did not say what it used"
    memory = "memory not known" if facts["memory"] is None else f"{facts['memory'] / 2**20:,.0f} MB at most"
    held, whole = facts["base"] or (0, 0)
    base = f", {held / 2**20:,.1f} MB of them for the base's {whole / 2**20:,.1f}" if whole else ""
    return f"rank {rank} ({facts['device']}) {facts['rows']} pictures a step, {memory}{base}"


def _pace(team, gain):
    if len(team.seconds) <= WARM:
        return []
    step, summed = (statistics.median(each[WARM:]) for each in (team.seconds, team.summing))
    told = f"A step took {step:.3g} s, {summed:.3g} s of it in the sum and waiting for the others"
    if gain.seconds is None:
        return [f"{told}; what the devices gained was not measured: {gain.why or 'the training ended too early'}."]
    return [f"{told}; rank 0 by itself took {gain.seconds:.3g} s for the whole batch, measured after step "
            f"{MEASURED_AT}: {gain.seconds / step:.2f} times as fast on {team.size} devices."]
