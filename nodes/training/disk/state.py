"""A session as a tree of tensors and numbers, and back: what resume continues from, bit for bit."""
from typing import Any

import torch

from ...lora.block_weights.language import shorten
from ..step.session import Session
from ..step.validation import Measured
from .identity import adapters_identity, dataset_identity, model_identity


def state_of(session: Session) -> dict[str, Any]:
    """Everything the next step depends on, as it was after the last whole step."""
    average = session.average
    return {
        "step": session.step, "seconds": session.seconds,
        "losses": torch.tensor(session.losses, dtype=torch.float64),
        "rates": torch.tensor(session.rates, dtype=torch.float64),
        "validated": [tuple(m) for m in session.validated],
        "weights": session.adapters.flat, "optimizer": session.optimizer.state(),
        "average": {"mean": average.mean, "updates": average.updates} if average else None,
        "cursor": session.cursor, "identity": identity(session),
        "batch_size": session.settings.batch_size, "seed": session.settings.seed,
        "critique": session.favourite.state() if session.favourite else None,
        "memory": {"rows": session.memory.rows, "checkpoint": session.memory.checkpoint}, "aim": session.aim(),
    }


def identity(session: Session) -> dict[str, str]:
    return {"model": model_identity(session.model), "kind": type(session.model).__name__,
            "adapters": adapters_identity(session.adapters.tensors(torch.float32)),
            "algorithm": f"{session.shape.algorithm} of rank {session.shape.rank}",
            "dataset": dataset_identity(session.dataset), "optimizer": session.settings.recipe.optimizer.name}


def restore(session: Session, state: dict[str, Any], where: str) -> None:
    """Puts a prepared session where the state was taken; notes what could not be continued exactly.

    Raises ValueError when the state belongs to another model, other adapters, another optimiser or another aim."""
    own, kept = identity(session), state["identity"]
    _same(own, kept, where)
    _same_aim(session.aim(), state.get("aim", {}), where)
    session.adapters.flat.copy_(state["weights"])
    session.optimizer.load(state["optimizer"])
    if session.average and state["average"]:
        session.average.mean.copy_(state["average"]["mean"])
        session.average.updates = state["average"]["updates"]
    elif session.average:
        session.average.mean.copy_(session.adapters.flat)
    session.losses, session.rates = state["losses"].tolist(), state["rates"].tolist()
    session.validated, session.seconds = [Measured(*m) for m in state["validated"]], state["seconds"]
    session.notes.append(f"Continued after step {session.step} from {where}.")
    if session.favourite and (note := session.favourite.restore(state.get("critique"), session.adapters.flat.device)):
        session.notes.append(note)
    cursor = dict(state["cursor"])
    if own["dataset"] != kept["dataset"] or session.settings.batch_size != state["batch_size"]:
        cursor["order"] = []
        session.notes.append("The data set or the batch size is another one than before: its order starts anew.")
    session.rewind(cursor)


def _same(own, kept, where):
    if own["model"] != kept["model"]:
        other = "other weights" if own["kind"] == kept["kind"] else f"a {kept['kind']} model"
        raise ValueError(f"resume: {where} was trained on {other}, the connected model is {own['kind']}. "
                         "Connect the model it was trained on.")
    if own["adapters"] != kept["adapters"]:
        raise ValueError(f"resume: {where} holds {kept['algorithm']}, this run trains {own['algorithm']} on other "
                         "layers or in another size. Set rank and adapter as they were.")
    if own["optimizer"] != kept["optimizer"]:
        raise ValueError(f"resume: {where} was trained with {kept['optimizer']}, the recipe now says "
                         f"{own['optimizer']}. Choose the optimizer it was trained with.")


def _same_aim(own, kept, where):
    if bool(own) != bool(kept):
        raise ValueError(f"resume: {where} was written by another node, or by an older version of this one. Begin a "
                         "new run with its LoRA.")
    other = [name for name in own if own[name] != kept[name]]
    if other:
        raise ValueError(f"resume: {where} was trained with {', '.join(_as_kept(name, own, kept) for name in other)}. "
                         "Set that as it was, or begin a new run with its LoRA.")


def _as_kept(name, own, kept):
    """That an input is another, and which it was and is, where that can be read; what stands after a # cannot."""
    was, now = (shorten(each[name].partition("#")[0]) for each in (kept, own))
    return f"another {name} ({was}; now {now})" if was != now else f"another {name}"
