"""A session as a tree of tensors and numbers, and back: what resume continues from, bit for bit."""
import copy
import hashlib
from typing import Any

import torch

from ...shared.text_syntax import shorten
from ..adapters import build
from ..adapters.flat import Adapters
from ..data.dataset import TrainingSet, outlines
from ..step.session import Session
from ..step.validation import Measured
from .state_schema import check_fits, check_state

PROBED, PROBE_BYTES = 16, 4096
DATA = "The data set or the batch size is another one than before: its order starts anew."
HELD_OUT = "Other pictures are held out for validation than before: the order of the rest starts anew."
STRATA = "timestep_strata is another than before: its ranges of noise start anew."
FORMS = {"rank_stabilised": "over sqrt(rank)", "pissa": "start PiSSA", "constraint": "oft_constraint"}


def state_of(session: Session) -> dict[str, Any]:
    """Everything the next step depends on, as it was after the last whole step."""
    return {
        "step": session.step, "seconds": session.seconds,
        "losses": torch.tensor(session.losses, dtype=torch.float64),
        "rates": torch.tensor(session.rates, dtype=torch.float64),
        "validated": [tuple(m) for m in session.validated],
        "weights": session.adapters.flat, "origin": origin(session.adapters), "optimizer": session.optimizer.state(),
        "average": _kept(session.average), "second_average": _kept(session.second_average),
        "cursor": {**session.cursor, "order": _packed(session.cursor["order"])}, "identity": identity(session),
        "batch_size": session.settings.batch_size, "strata": _strata(session), "seed": session.settings.seed,
        "critique": session.step_ranking.state() if session.step_ranking else None,
        "memory": {"rows": session.memory.rows, "checkpoint": session.memory.checkpoint}, "aim": session.aim(),
    }


def identity(session: Session) -> dict[str, str]:
    return {"model": model_identity(session.model), "kind": type(session.model).__name__,
            "adapters": adapters_identity(session.adapters.tensors(torch.float32)),
            "algorithm": f"{session.shape.algorithm} of rank {session.shape.rank}",
            "scale": scale_identity(session), "layout": _hash(session.adapters.layout()),
            "dataset": dataset_identity(session.dataset), "held_out": held_out_identity(session),
            "optimizer": session.settings.recipe.optimizer.name,
            "prediction": session.objective.kind, "base_lora": session.settings.recipe.base_lora}


def optimizer_of(state: Any) -> str:
    """The name of the optimiser of a state that is not checked yet, "" where it says none."""
    kept = state.get("identity") if isinstance(state, dict) else None
    return str(kept.get("optimizer", "")) if isinstance(kept, dict) else ""


def restore(session: Session, state: dict[str, Any], where: str) -> None:
    """Puts a prepared session where the state was taken; notes what could not be continued exactly.

    Raises ValueError when the state belongs to another model, other adapters, another optimiser or another aim."""
    check_state(state, where)
    state = {**state, "cursor": {**state["cursor"], "order": _batches(state["cursor"]["order"])}}
    own, kept = identity(session), state["identity"]
    _same(own, kept, where)
    _same_aim(session.aim(), state.get("aim", {}), where)
    _same_form(own, kept, where)
    if not _same_groups(session, state):
        raise ValueError(f"resume: {where} was trained with other groups of layers at a rate of their own. Set "
                         "lora_plus_ratio and the blocks with a rate after @ in targets as they were.")
    changes = _changes(session, state, own, kept)
    check_fits(state, where, session.adapters.flat.numel(), origin(session.adapters).numel(),
               0 if DATA in changes or HELD_OUT in changes else len(session.samples))
    _restore_optimizer(session, state["optimizer"], where)
    session.adapters.flat.copy_(state["weights"])
    session.optimizer.previous.copy_(session.adapters.flat)
    _restore_origin(session, state)
    _restore_average(session, session.average, state["average"])
    _restore_average(session, session.second_average, state.get("second_average"))
    session.losses, session.rates = state["losses"].tolist(), state["rates"].tolist()
    session.validated, session.seconds = [Measured(*m) for m in state["validated"]], state["seconds"]
    session.notes.append(f"Continued after step {session.step} from {where}.")
    if session.step_ranking:
        note = session.step_ranking.restore(state.get("critique"), session.adapters.flat.device)
        session.notes += [note] if note else []
    _begin_anew(session, dict(state["cursor"]), changes)


def _changes(session, state, own, kept) -> list[str]:
    """What is another than before and makes a part of the cursor begin anew. Where states of earlier versions do not
    say it, they show it by what lies beyond the present number."""
    cursor, found = state["cursor"], []
    if session.settings.batch_size != state["batch_size"] or (
            own["dataset"] != kept["dataset"] and not _is_of_earlier_version(session.dataset, kept)):
        found.append(DATA)
    beyond = "held_out" not in kept and any(i >= len(session.samples) for batch in cursor["order"] for i in batch)
    if own["held_out"] != kept.get("held_out", own["held_out"]) or DATA not in found and beyond:
        found.append(HELD_OUT)
    if state.get("strata", _strata(session)) != _strata(session) or (
            "strata" not in state and any(stratum >= _strata(session) for stratum in cursor["strata"])):
        found.append(STRATA)
    return found


def _begin_anew(session, cursor, changes):
    """Goes on at the cursor but for what another recipe or data set has made void, and says so."""
    session.notes += changes
    if DATA in changes or HELD_OUT in changes:
        cursor["order"] = []
    if STRATA in changes:
        cursor["strata"] = []
    if session.validated and (HELD_OUT in changes or not session.validation):
        session.validated = []
        session.notes.append("The validation losses before are of other pictures and are left out." if
                             session.validation else "Nothing is validated any more: the losses before are left out.")
    session.rewind(cursor)


def _packed(order: list[list[int]]) -> torch.Tensor:
    """int64 [batches, pictures], -1 where a batch has fewer: as numbers in a header a long epoch would be too large."""
    width = max(map(len, order), default=1)
    return torch.tensor([[*batch, *[-1] * (width - len(batch))] for batch in order], dtype=torch.int64).view(-1, width)


def _batches(order: torch.Tensor | list) -> list[list[int]]:
    """What _packed was given; states of format 1 hold that itself."""
    if not isinstance(order, torch.Tensor):
        return order
    return [[picture for picture in batch if picture >= 0] for batch in order.tolist()]


def _strata(session) -> int:
    return max(1, session.settings.recipe.timesteps.strata)


def _restore_optimizer(session, state, where):
    """Loads the state, once a step has shown that the optimiser can work with it; the weights are restored after."""
    name = session.settings.recipe.optimizer.name
    try:
        session.optimizer.load(copy.deepcopy(state))
        session.optimizer.step(session.settings.rate(0), 0.0)
        session.optimizer.load(state)
    except Exception as error:                  # what an optimiser makes of a damaged state is of any kind
        raise ValueError(f"resume: {where} is damaged: its optimizer state does not fit {name} "
                         f"({shorten(str(error).partition(chr(10))[0])}).") from None


def origin(adapters: Adapters) -> torch.Tensor:
    """[numbers] that the trained ones are changes of: those of PiSSA, on the CPU; none where they begin at nothing."""
    return torch.cat([torch.zeros(0), *(part.detach().cpu().float().flatten() for part in adapters.origins())])


def _restore_origin(session: Session, state: dict[str, Any]) -> None:
    """States of earlier versions do not hold it: theirs was drawn from the seed they name."""
    parts, kept = session.adapters.origins(), state.get("origin")
    if kept is None and parts and state["seed"] != session.settings.seed:
        drawn = build(session.shape, session.model, "cpu", torch.Generator().manual_seed(state["seed"]),
                      session.denoiser.encoders)
        drawn.leave_out(drawn.layers.keys() - session.adapters.layers.keys())
        kept = origin(drawn)
    if kept is not None:
        for part, values in zip(parts, kept.split([part.numel() for part in parts]) if parts else (), strict=True):
            part.copy_(values.view(part.shape))


def _kept(average) -> dict[str, Any] | None:
    if average is None:
        return None
    return {"mean": average.mean, "updates": average.updates, "exponent": average.exponent or 0.0}


def _restore_average(session: Session, average, kept: dict[str, Any] | None) -> None:
    """The average goes on; one of another kind, whose files would claim what is not so, begins anew at the weights."""
    if average and kept and kept.get("exponent", 0.0) == (average.exponent or 0.0):
        average.mean.copy_(kept["mean"])
        average.updates = kept["updates"]
    elif average:
        average.mean.copy_(session.adapters.flat)
        session.notes += ["The average is of another length than before and begins anew."] if kept else []


def _same(own, kept, where):
    if own["model"] != kept["model"]:
        other = "other weights" if own["kind"] == kept["kind"] else f"a {shorten(kept['kind'])} model"
        raise ValueError(f"resume: {where} was trained on {other}, the connected model is {own['kind']}. "
                         "Connect the model it was trained on.")
    if own["adapters"] != kept["adapters"]:
        raise ValueError(f"resume: {where} holds {shorten(kept['algorithm'])}, this run trains {own['algorithm']} on "
                         "other layers or in another size. Set rank and adapter as they were.")
    if own["optimizer"] != kept["optimizer"]:
        raise ValueError(f"resume: {where} was trained with {shorten(kept['optimizer'])}, the recipe now says "
                         f"{own['optimizer']}. Choose the optimizer it was trained with.")
    if own["prediction"] != kept.get("prediction", own["prediction"]):
        raise ValueError(f"resume: {where} was trained to predict {shorten(kept['prediction'])}, this run trains "
                         f"{own['prediction']}. Set prediction of Training Recipe as it was.")
    if own["base_lora"] != kept.get("base_lora", own["base_lora"]):
        with_lora = [shorten(each["base_lora"]) or "none" for each in (kept, own)]
        raise ValueError(f"resume: {where} was trained with base_lora {with_lora[0]}, the recipe now says "
                         f"{with_lora[1]}. Set it as it was.")


def _same_aim(own, kept, where):
    if bool(own) != bool(kept):
        raise ValueError(f"resume: {where} was written by another node, or by an older version of this one. Begin a "
                         "new run with its LoRA.")
    other = [name for name in own if own[name] != kept[name]]
    if other:
        raise ValueError(f"resume: {where} was trained with {', '.join(_as_kept(name, own, kept) for name in other)}. "
                         "Set that as it was, or begin a new run with its LoRA.")


def _same_form(own, kept, where):
    if own["scale"].partition("#")[2] != kept.get("scale", own["scale"]).partition("#")[2]:
        raise ValueError(f"resume: {where} was trained with {_as_kept('scale of its change', *_forms(own, kept))}. Set "
                         "alpha, scaling, start and oft_constraint of LoRA Shape as they were.")


def _forms(*identities):
    return [{"scale of its change": each["scale"]} for each in identities]


def _same_groups(session, state) -> bool:
    """Whether the weights and moments of the state lie in the order of the session's; of a state of earlier versions,
    which does not name that order, whether it has as many groups."""
    own = session.adapters
    if "layout" in state["identity"]:
        return state["identity"]["layout"] == _hash(own.layout())
    return [len(part["param_groups"]) for part in state["optimizer"]] == [
        len(part.param_groups) for part in session.optimizer.parts]


def _as_kept(name, own, kept):
    """That an input is another, and which it was and is, where that can be read; what stands after a # cannot."""
    was, now = (shorten(each[name].partition("#")[0]) for each in (kept, own))
    return f"another {name} ({was}; now {now})" if was != now else f"another {name}"


def model_identity(model: torch.nn.Module) -> str:
    """A hash of the names and shapes of all weights and of the values of a few small ones."""
    parts = list(model.diffusion_model.named_parameters())
    small = [p for _, p in parts if p.ndim == 1] or [p for _, p in parts]
    names = "".join(f"{name}{tuple(p.shape)}" for name, p in parts)
    return _hash(type(model).__name__, names, *small[::max(1, len(small) // PROBED)])


def adapters_identity(tensors: dict[str, torch.Tensor]) -> str:
    """A hash of the names and shapes of a LoRA."""
    return _hash(*(f"{name}{tuple(tensor.shape)}" for name, tensor in tensors.items()))


def scale_identity(session: Session) -> str:
    """What the trained numbers are multiplied and limited by, as it is called and as a hash of every layer's."""
    shape = session.shape
    told = [f"alpha {shape.alpha:g}" if shape.alpha else "alpha the rank",
            *(FORMS[name] if value is True else f"{FORMS[name]} {value:g}"
              for name, value in vars(shape.settings).items() if value and name in FORMS)]
    layers = (f"{name} {each.scale!r} {each.origin is not None} {getattr(each.settings, 'constraint', 0.0)!r}"
              for name, each in session.adapters.layers.items())
    return f"{', '.join(told)}#{_hash(*layers)}"


def dataset_identity(dataset: TrainingSet) -> str:
    """A hash of every picture's shape and first values, in order, and of those it is paired with."""
    return _hash(*(sample.identity for sample in outlines(dataset.samples)))


def held_out_identity(session: Session) -> str:
    """A hash of the pictures that are held out for validation."""
    learnt = {*session.learnt}
    return _hash(*(each.identity for number, each in enumerate(outlines(session.dataset.samples))
                   if number not in learnt))


def _is_of_earlier_version(dataset: TrainingSet, kept: dict[str, str]) -> bool:
    """Whether a state of before there were outlines is of the data set: it hashed the latents themselves, all at once.
    Such states name no prediction, so that no large set is read from the disk for others."""
    if "prediction" in kept:
        return False
    latents = (latent for sample in dataset.samples for latent in (sample.latent, sample.before) if latent is not None)
    return kept["dataset"] == _hash(*(part for latent in latents for part in (str(tuple(latent.shape)), latent)))


def content_identity(*parts: torch.Tensor | str) -> str:
    """A hash of words and of all values of tensors."""
    return _hash(*parts, values=None)


def _hash(*parts, values=PROBE_BYTES // 4):
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, torch.Tensor):
            part = part.detach().flatten()[:values].to("cpu", torch.float32).numpy().tobytes()
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()
