"""The node that shows what each block of a LoRA does."""
from math import inf

import comfy.utils
from comfy_api.v0_0_2 import io

from ...lora.file.lora_files import listed_version
from ...shared.node_display import picture_and_text
from . import interrupted
from .lora_inputs import check_groups, groups_input, lora_file, lora_inputs, strength_input
from .shared_inputs import (
    REFERENCE,
    RUBRIC,
    ReferenceType,
    asked_of,
    check_numbers,
    check_rubric,
    devices_input,
    preview,
    sampling_inputs,
    sampling_of,
)


class BlockEffect(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaBlockEffect",
            display_name="Block Effect",
            category="bottega/studio",
            description="Shows which blocks of a LoRA do what: draws fixed seeds with some groups of blocks and "
                        "without others, and measures what changes in pixels, in the latent and in each criterion. "
                        "Cancel keeps what was drawn.",
            search_aliases=["lora block analysis", "block ablation", "shapley", "attribution", "which block",
                            "lora block weight", "explain lora", "what does each block do"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                io.Model.Input("model", tooltip="The model without the LoRA."),
                *lora_inputs(),
                strength_input(),
                groups_input(),
                io.Combo.Input("mode", options=["solo", "ablate", "shapley"], default="solo",
                               tooltip="solo: each group alone. ablate: the LoRA without it. shapley: its share of the "
                                       "whole, exact up to 8 groups (2^n pictures a sample), else by random orders."),
                io.Int.Input("seeds", default=2, min=1, max=4096,
                             tooltip="How many pictures of each prompt are drawn for every combination of groups."),
                *sampling_inputs(),
                io.String.Input("value", default="score", optional=True,
                                tooltip="What the chart shows and the report ranks by: score, pixels, latent, or the "
                                        "name of a criterion such as Balance. All of them are in data."),
                io.Int.Input("permutations", default=16, min=2, max=100000, optional=True, advanced=True,
                             tooltip="Orders of adding the groups, for shapley with more than 8 groups; each costs as "
                                     "many pictures as there are groups. Four times as many halve the error."),
                io.String.Input("rubric", default="", multiline=True, optional=True,
                                tooltip=RUBRIC + " A rubric of few criteria, such as `*=0; Balance=1`, is judged "
                                                 "much faster."),
                ReferenceType.Input("reference", optional=True, tooltip=REFERENCE),
                devices_input(),
            ],
            outputs=[
                io.String.Output("report", tooltip="Markdown: which group does most, how sure that is, and whether the "
                                                   "groups make up the whole."),
                io.Image.Output("chart", tooltip="Bars: the effect of each group on the chosen value, with errors."),
                io.Image.Output("heat_grid", tooltip="Every group by every quantity, as coloured numbers."),
                io.Image.Output("contact_sheet", tooltip="The first sample with each group, and where it differs."),
                io.String.Output("data", tooltip="JSON with one row a group, for Chart with frame(rows=groups)."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None, groups=None, lora_name=None):
        # Named here, lora_name need not be in the list: with lora connected it does not matter what it says.
        checked = check_rubric(rubric)
        return checked if checked is not True else check_groups(groups)

    @classmethod
    def fingerprint_inputs(cls, lora_name=None, **inputs):
        return listed_version(lora_name), interrupted.cuts(cls.hidden.unique_id)

    @classmethod
    def execute(cls, model, strength_model, groups, mode, seeds, seed, lora=None, lora_name=None, value="score",
                permutations=16, rubric="", reference=None, devices="1", **sampling):
        from ...critique.reference.distributions import paintings
        from ...critique.rubric.rubric_language import parse
        from ..block_effect import effect_report, observations
        from ..block_effect.block_attribution import plan_attribution
        from ..block_groups import group_blocks
        from ..shared_sampling import sharing
        linked = asked_of(cls.hidden, devices, strength_model=strength_model, groups=groups, mode=mode, seeds=seeds,
                          seed=seed, lora=lora, lora_name=lora_name, value=value, permutations=permutations,
                          rubric=rubric, reference=reference, **sampling)
        check_numbers(seeds=(seeds, 1, inf), permutations=(permutations, 2, inf))
        settings = observations.EffectSettings(sampling_of(**sampling), seed, seeds, reference or paintings(),
                                               parse(rubric))
        value = observations.chosen(value, observations.quantities(settings))
        grouped = group_blocks(model, lora_file(lora, lora_name)[0], strength_model, groups)
        plan = plan_attribution(mode, len(grouped.groups), settings.samples, permutations, seed)
        total = len(plan.tasks())
        bar = comfy.utils.ProgressBar(total)
        with sharing(linked, total, lambda: settings.sampling.answer(model)) as group:
            effects = observations.measure_effects(
                grouped, plan, settings, lambda picture, done: bar.update_absolute(done, total, preview(picture)),
                group.map)
        interrupted.note(cls.hidden.unique_id, bool(effects.cut))
        text, grid = effect_report.report(effects, value, settings, [group.sentence()]), effect_report.grid(effects)
        chart, sheet = effect_report.chart(effects, value), effect_report.contact_sheet(effects, value)
        shown = picture_and_text(cls, sheet, text)
        return io.NodeOutput(text, chart, grid, sheet, effect_report.data(effects, value), ui=shown)
