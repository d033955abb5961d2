"""The node that finds the block weights of a LoRA."""
from math import inf

import comfy.utils
from comfy_api.v0_0_2 import io

from ...lora.file.lora_files import listed_version
from ...shared.node_display import picture_and_text
from . import interrupted
from .lora_inputs import check_groups, groups_input, lora_file, lora_inputs, strength_input
from .shared_inputs import (
    RUBRIC,
    ReferenceType,
    asked_of,
    check_numbers,
    check_rubric,
    devices_input,
    measurable_rubric,
    preview,
    sampling_inputs,
    sampling_of,
)


class TuneBlocks(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaTuneBlocks",
            display_name="Tune Blocks",
            category="bottega/studio",
            description="Finds the weight of each group of a LoRA's blocks with which the pictures best meet a rubric "
                        "and stay close to a style, a target picture or a critic. Checked on seeds the search has not "
                        "seen. Cancel keeps the best so far.",
            search_aliases=["lora block weight", "lbw", "optimize blocks", "cma-es", "find block weights", "auto lbw",
                            "tune lora", "match style"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                io.Model.Input("model", tooltip="The model without the LoRA."),
                *lora_inputs(),
                strength_input(),
                groups_input(),
                io.Int.Input("budget", default=40, min=3, max=100000,
                             tooltip="Most sets of weights to try, the whole LoRA and none of it among them."),
                io.Int.Input("seeds", default=2, min=1, max=4096,
                             tooltip="Pictures of each prompt that every set of weights is judged by."),
                io.Int.Input("held_out", default=4, min=0, max=4096,
                             tooltip="Further seeds of each prompt, which the search does not see. On them the result "
                                     "is compared with the whole LoRA and with none of it."),
                *sampling_inputs(),
                io.String.Input("rubric", default="", multiline=True, optional=True,
                                tooltip=RUBRIC + " A rubric of few criteria is judged much faster."),
                io.Float.Input("closeness", default=0.5, min=0.0, max=1.0, step=0.05, optional=True,
                               tooltip="Share of the goal that is staying close to reference, target or critic; the "
                                       "rest is the score. 1: the rubric does not count. Not used without them."),
                ReferenceType.Input("reference", optional=True,
                                    tooltip="A style to stay close to, such as the training pictures, from Critique "
                                            "Reference."),
                io.Image.Input("target", optional=True, tooltip="Or a picture, or several, whose style to come close "
                                                                "to."),
                io.String.Input("critic", default="", optional=True,
                                tooltip="Or a critic to agree with, such as @Arnheim."),
                io.Combo.Input("method", options=["auto", "cma", "coordinate"], default="auto", optional=True,
                               advanced=True, tooltip="How to search. auto: CMA-ES where the Python package cma is "
                                                      "installed, else one group after another."),
                io.Int.Input("patience", default=20, min=0, max=100000, optional=True, advanced=True,
                             tooltip="Ends the search after so many evaluations without a gain; 0: never."),
                devices_input(),
            ],
            outputs=[
                io.String.Output("blocks", tooltip="The weights, for the blocks input of Load LoRA (Block Weights). "
                                                   "All alike where that is as good on the held-out seeds."),
                io.String.Output("report", tooltip="Markdown: whether the tuned weights are better on held-out seeds, "
                                                   "and what the search did."),
                io.Image.Output("chart", tooltip="The goal of every evaluation and the best so far."),
                io.Image.Output("contact_sheet", tooltip="Held-out pictures without the LoRA, with all of it, and "
                                                         "tuned, each with its goal."),
                io.String.Output("data", tooltip="JSON: weights, held-out figures, and a row for each evaluation."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None, groups=None, critic=None, lora_name=None):
        # Named here, lora_name need not be in the list: with lora connected it does not matter what it says.
        checks = (check_rubric(rubric), check_groups(groups), _check_critic(critic))
        return next((check for check in checks if check is not True), True)

    @classmethod
    def fingerprint_inputs(cls, lora_name=None, **inputs):
        return listed_version(lora_name), interrupted.cuts(cls.hidden.unique_id)

    @classmethod
    def execute(cls, model, strength_model, groups, budget, seeds, held_out, seed, lora=None, lora_name=None,
                rubric="", closeness=0.5, reference=None, target=None, critic="", method="auto", patience=20,
                devices="1", **sampling):
        from ..block_groups import group_blocks
        from ..shared_sampling import sharing
        from ..tuning import block_tuning, tuning_report
        linked = asked_of(cls.hidden, devices, strength_model=strength_model, groups=groups, budget=budget,
                          seeds=seeds, held_out=held_out, seed=seed, lora=lora, lora_name=lora_name, rubric=rubric,
                          closeness=closeness, reference=reference, target=target, critic=critic, method=method,
                          patience=patience, **sampling)
        check_numbers(budget=(budget, 3, inf), seeds=(seeds, 1, inf), held_out=(held_out, 0, inf),
                      closeness=(closeness, 0, 1))
        tradition, style = _traditions(reference)
        likeness = _likeness(style, target, critic, tradition)
        goal = block_tuning.TuningGoal(sampling_of(**sampling), seed, seeds, held_out, tradition,
                                       measurable_rubric(rubric, tradition), likeness, closeness)
        grouped = group_blocks(model, lora_file(lora, lora_name)[0], strength_model, groups)
        total = budget * len(goal.search_samples) + 4 * len(goal.held_out_samples)
        bar = comfy.utils.ProgressBar(total)
        most = max(len(goal.search_samples), len(goal.held_out_samples))
        with sharing(linked, most, lambda: goal.sampling.answer(model)) as group:
            tuned = block_tuning.Tuner(
                grouped, goal, lambda picture, done: bar.update_absolute(done, total, preview(picture)), group.map,
            ).run(method, budget, patience)
        interrupted.note(cls.hidden.unique_id, bool(tuned.cut))
        text = tuning_report.report(tuned, goal, [group.sentence()])
        sheet = tuning_report.contact_sheet(tuned)
        shown = picture_and_text(cls, sheet, text)
        return io.NodeOutput(grouped.spec(tuned.kept), text, tuning_report.chart(tuned), sheet,
                             tuning_report.data(tuned, goal), ui=shown)


def _at(critic: str | None) -> str:
    """A critic as a rubric names it, with or without the @ in front."""
    name = (critic or "").strip()
    return f"@{name.removeprefix('@')}" if name else ""


def _check_critic(critic: str | None) -> bool | str:
    checked = check_rubric(_at(critic))
    return checked if checked is True else f"critic: {checked.split(': ', 1)[1].replace(': critic:', ':', 1)}"


def _traditions(reference):
    """(what the rubric judges among: the paintings, with the learned score of the reference where it has one; the style
    to stay close to: the reference, unless it is these)."""
    from ...critique.learned.learned_score import lent
    from ...critique.reference.distributions import paintings
    tradition = lent(paintings(), reference)
    return tradition, None if tradition.scorer and reference == tradition else reference


def _likeness(reference, target, critic, tradition):
    """What to stay close to. Raises ValueError where that is more than one thing."""
    from ...critique.rubric.rubric_language import parse
    from ..tuning import likeness
    given = [name for name, value in (("reference", reference), ("target", target), ("critic", _at(critic) or None))
             if value is not None]
    if len(given) > 1:
        raise ValueError(f"{given[0]}: expected one of reference, target and critic to stay close to, "
                         f"got {' and '.join(given)}")
    if reference is not None:
        return likeness.style(reference, tradition)
    if target is not None:
        return likeness.target(target, tradition)
    return likeness.critic(parse(_at(critic)), tradition) if given else None
