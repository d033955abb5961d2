"""Which layers are trained, with what rank and learning rate: the block language, applied to one model."""
import re
from typing import NamedTuple

import comfy.model_management
import torch

from ...lora.block_weights.block_language import DEFAULT, Statement, parse, write
from ...lora.block_weights.selectors import means_encoders
from ...lora.block_weights.weights import BlockWeights, Rule, resolve
from ...lora.model.blocks import Place, encoder_places, model_places
from ...lora.model.parts import matches
from ...shared.text_syntax import lines, shorten
from ..data.dataset import TrainingSet, outlines
from .frozen import takes_adapter
from .layers import default_layers

LARGEST = 4096
VALUE = re.compile(r"=([^=;\n@]*)(?:@([^=;\n]*))?")


class Target(NamedTuple):
    """rate: the layer's own learning rate, None for the run's."""
    module: torch.nn.Module
    rank: int
    rate: float | None


def split_rates(text: str) -> tuple[str, str]:
    """`L*=16@2e-5; MID=8` as the text of ranks, `L*=16; MID=8`, and that of rates, `L*=2e-5; MID=0` (0: the run's)."""
    text = "\n".join(lines(text, "targets"))
    return VALUE.sub(r"=\1", text), VALUE.sub(lambda m: f"={m[2] or 0}", text)


def check_targets(text: str) -> None:
    """Raises ValueError when the text cannot be read, without knowing the model."""
    ranks, rates = split_rates(text)
    _statements(rates)
    for statement in _statements(ranks):
        _check_rank(statement)


def find_targets(model: torch.nn.Module, text: str, rank: int, convolutions: bool,
                 encoders: torch.nn.Module | None = None) -> dict[str, Target]:
    """{layer: Target}, in the model's order; layers of text encoders are "text_encoders.<path>".

    Without text: the family's default layers at `rank`. A statement that names a block changes its default layers;
    one that names a part of a block (`L*.mod`) or a block without default layers (`BASE.x_embedder`) reaches every
    layer there. `default` is the rank of what no statement names; text encoders are trained where they are
    named. Raises ValueError when nothing is left to train."""
    usual = default_layers(model.diffusion_model, convolutions)
    if not text.strip():
        found = {name: Target(module, rank, None) for name, module in usual.items()}
    else:
        found = _chosen(_Layers(model, usual, encoders), text, rank)
    if not found:
        raise ValueError(f"model: expected repeated blocks with layers to train, {type(model).__name__} has none."
                         if not text.strip() else
                         f'targets: "{shorten(text.strip())}" leaves no layer of {type(model).__name__} to train.')
    return found


class _Layers:
    """Every layer that could be trained, by name: modules and places; usual: those that naming a block means."""

    def __init__(self, model, usual, encoders):
        places = model_places(model.state_dict())
        found = [(name, module, places.get(f"diffusion_model.{name}.weight"))
                 for name, module in model.diffusion_model.named_modules()]
        self.by_default, self.usual = set(usual), set(usual)
        self.has_encoders = encoders is not None
        if encoders is not None:
            in_encoders = encoder_places(encoders.state_dict())
            found += [(f"text_encoders.{name}", module, in_encoders.get(f"{name}.weight"))
                      for name, module in encoders.named_modules()]
        layers = [(name, module, place) for name, module, place in found if place and takes_adapter(module)]
        self.modules = {name: module for name, module, _ in layers}
        self.places: dict[str, Place] = {name: place for name, _, place in layers}
        encoder_layers = {name: place.alias for name, place in self.places.items() if place.alias.startswith("TE.")}
        self.usual |= {name for name, alias in encoder_layers.items() if not alias.endswith(".BASE")}
        self.blocks = {self.places[name].alias for name in self.usual} | set(encoder_layers.values())
        self.all_places = [*places.values(), *(in_encoders.values() if encoders is not None else ())]


def _chosen(layers: _Layers, text, rank):
    check_targets(text)
    if not layers.has_encoders:
        _refuse_encoders(text)
    ranks, rates = (_resolved(part, layers) for part in split_rates(text))
    default = ranks.default if _names_default(text) else rank
    found, used = {}, set()
    for name, module in layers.modules.items():
        place = layers.places[name]
        number = _deciding(ranks, place, name in layers.usual or place.alias not in layers.blocks)
        used.add(number)
        size = round(ranks.rules[number].ratios[place.alias] if number is not None else
                     default * (name in layers.by_default))
        if size:
            own = rates.rules[number].ratios[place.alias] if number is not None else 0
            found[name] = Target(module, size, own or None)
    _check_used(text, ranks, used)
    return found


def _deciding(weights: BlockWeights, place: Place, whole: bool) -> int | None:
    """The number of the last rule that speaks of the layer; whole: whether naming its block is enough."""
    for number in reversed(range(len(weights.rules))):
        rule: Rule = weights.rules[number]
        if place.alias in rule.ratios and (matches(rule.part, place.rest) if rule.part else whole):
            return number
    return None


def _check_used(text, ranks, used):
    said = {ranks.rules[number].text for number in used if number is not None}
    for number, rule in enumerate(ranks.rules):
        unused = number not in used and rule.text not in said and any(rule.ratios.values())
        if unused and not _overruled(rule, ranks.rules[number + 1:]):
            names = ", ".join(rule.ratios)
            part = f"part {rule.part} of " if rule.part else ""
            raise ValueError(f'targets: "{shorten(text.strip())}" asks for {part}{shorten(names)}, where there is no '
                             "layer of its own to train; q, k and v may lie in one layer, which attn names.")


def _overruled(rule, later):
    return any(rule.ratios.keys() <= other.ratios.keys() and other.part in ("", rule.part) for other in later)


def _resolved(text: str, layers: _Layers) -> BlockWeights:
    try:
        return resolve(_statements(text), layers.all_places, clip=layers.has_encoders)
    except ValueError as error:
        raise ValueError(_of_targets(error)) from None


def _statements(text: str) -> list[Statement]:
    try:
        read = list(parse(text))
    except ValueError as error:
        raise ValueError(_of_targets(error)) from None
    for statement in read:
        if not isinstance(statement, Statement):
            raise ValueError(f"targets: expected NAME=RANK, such as L*.attn=16; got {shorten(write((statement,)))} "
                             "without a rank or a name.")
        if any(isinstance(value, str) for value in statement.value):
            raise ValueError(f"targets: expected a number for {_names(statement)}, "
                             f"got {statement.value.start}.")
        if min(statement.value) < 0:
            raise ValueError(f"targets: expected ranks and rates of 0 or more, got {min(statement.value):g} for "
                             f"{_names(statement)}.")
    return read


def _names(statement: Statement) -> str:
    return shorten(", ".join(statement.selectors))


def _check_rank(statement: Statement) -> None:
    names, value = _names(statement), statement.value
    if value.start == value.end and value.start != round(value.start) or max(value) > LARGEST:
        raise ValueError(f"targets: expected whole ranks of at most {LARGEST}, got {max(value):g} for {names}.")


def names_encoders(text: str) -> bool:
    """Whether a statement asks for text encoders to be trained."""
    return any(any(statement.value) and any(map(means_encoders, statement.selectors))
               for statement in _statements(split_rates(text)[0]))


def _refuse_encoders(text: str) -> None:
    if names_encoders(text):
        raise ValueError("targets: TE names the text encoders, which are trained when they are connected to the clip "
                         "input of Train LoRA; nothing is.")


def _of_targets(error: ValueError) -> str:
    return re.sub("^blocks:", "targets:", str(error))


def _names_default(text: str) -> bool:
    return any(DEFAULT in statement.selectors for statement in _statements(split_rates(text)[0]))


def encoders_to_train(clip, targets: str, dataset: TrainingSet, device: torch.device):
    """A loaded clone of the CLIP when the targets name text encoders, else None.

    Raises ValueError when that cannot work: a data set without words, or encoders on another device."""
    if clip is None or not targets.strip() or not names_encoders(targets):
        return None
    if any(sample.is_pair for sample in outlines(dataset.samples)):
        raise ValueError("targets: TE trains text encoders, which pairs of pictures do not reach: what changes between "
                         "two pictures with one caption is the model's to learn. Leave TE out of LoRA Shape's targets.")
    for sample in outlines(dataset.samples):
        if sample.text is None:
            raise ValueError("dataset: expected the words of every caption to train text encoders with, as Training "
                             "Set gives them; got captions that are encoded already.")
    clip = clip.clone()
    if clip.patcher.load_device != device:
        raise ValueError(f"clip: expected text encoders on {device}, where the model is, to train them; they run on "
                         f"{clip.patcher.load_device}.")
    comfy.model_management.load_models_gpu([clip.patcher])
    return clip
