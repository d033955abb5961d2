"""The node that samples many pictures and keeps the best."""
from math import inf

import comfy.utils
from comfy_api.v0_0_2 import io

from ...shared.node_display import picture_and_text
from . import interrupted
from .shared_inputs import (
    REFERENCE,
    RUBRIC,
    ReferenceType,
    asked_of,
    check_numbers,
    check_rubric,
    devices_input,
    measurable_rubric,
    preview,
)


class BestOf(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaBestOf",
            display_name="Best of N",
            category="bottega/studio",
            description="Samples many seeds, or takes a batch, criticises every picture and keeps the best. Cancel "
                        "keeps the best so far.",
            search_aliases=["best of n", "seed search", "pick best", "aesthetic filter", "rejection sampling",
                            "many seeds", "pick the best picture"],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            has_intermediate_output=True,
            inputs=[
                io.Int.Input("count", default=8, min=1, max=4096, tooltip="How many seeds to sample. Not used for a "
                                                                          "batch, all of which is judged."),
                io.Int.Input("keep", default=1, min=1, max=4096, tooltip="How many to keep; all if there are fewer."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF,
                             control_after_generate=io.ControlAfterGenerate.fixed,
                             tooltip="The first seed; the others follow it."),
                io.String.Input("rubric", default="", multiline=True, optional=True, tooltip=RUBRIC),
                io.Image.Input("images", optional=True, tooltip="A batch to choose from, instead of sampling."),
                io.Guider.Input("guider", optional=True, tooltip="What to sample, from CFG Guider or Basic Guider."),
                io.Sampler.Input("sampler", optional=True, tooltip="From KSampler Select."),
                io.Sigmas.Input("sigmas", optional=True, tooltip="From Basic Scheduler."),
                io.Latent.Input("latent_image", optional=True, tooltip="Size of the pictures; the first of a batch is "
                                                                       "used."),
                io.Vae.Input("vae", optional=True, tooltip="Decodes what was sampled."),
                ReferenceType.Input("reference", optional=True,
                                    tooltip=REFERENCE),
                devices_input(),
            ],
            outputs=[
                io.Image.Output("best", tooltip="The pictures with the highest scores, the highest first."),
                io.Latent.Output("latent", tooltip="Their latents; nothing for pictures that were given."),
                io.Float.Output("scores", is_output_list=True, tooltip="All scores from the highest, as a list."),
                io.String.Output("report", tooltip="Markdown: the ranking, and what choosing among so many is worth."),
                io.Image.Output("contact_sheet", tooltip="Every picture with its score, those kept in a frame."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None):
        return check_rubric(rubric)

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return interrupted.cuts(cls.hidden.unique_id)

    @classmethod
    def execute(cls, count, keep, seed, rubric="", images=None, guider=None, sampler=None, sigmas=None,
                latent_image=None, vae=None, reference=None, devices="1"):
        import torch

        from ...critique.picture.planes import check
        from ...critique.reference.distributions import paintings
        from .. import best_of
        from ..shared_sampling import sharing
        parts = {"guider": guider, "sampler": sampler, "sigmas": sigmas, "latent_image": latent_image, "vae": vae}
        missing = [name for name, part in parts.items() if part is None]
        if (images is None) == bool(missing):
            raise ValueError(_what_is_missing(missing))
        asked = count if images is None else len(images)
        check_numbers(**{"count" if images is None else "images": (asked, 1, inf)}, keep=(keep, 1, inf))
        if images is not None:
            check(images)
        elif len(sigmas) < 2:
            raise ValueError("sigmas: expected at least one step, got none; a scheduler whose denoise is 0 gives none")
        linked = asked_of(cls.hidden, devices, count=count, keep=keep, seed=seed, rubric=rubric, images=images,
                          sigmas=sigmas, latent_image=latent_image, reference=reference)
        graph, bar = best_of.SamplerInputs(guider, sampler, sigmas, latent_image, vae), comfy.utils.ProgressBar(asked)
        reference = reference or paintings()
        rubric = measurable_rubric(rubric, reference)
        with sharing(linked, count if images is None else 1, graph.answer) as group:
            candidates = best_of.from_batch(images) if images is not None else best_of.from_seeds(
                graph, seed, count, group.map, best_of.measure_for(rubric, reference))
            chosen = best_of.choose(candidates, rubric, reference,
                                    lambda best, done: bar.update_absolute(done, asked, preview(best)), keep)
        interrupted.note(cls.hidden.unique_id, bool(chosen.ended))
        kept = [chosen.candidates[place].picture for place in chosen.places[:keep]]
        text = best_of.report(chosen, keep, asked, reference, [group.sentence()])
        sheet = best_of.contact_sheet(chosen, keep)
        shown = picture_and_text(cls, sheet, text)
        return io.NodeOutput(torch.cat(kept), best_of.latents(chosen, keep),
                             [chosen.critiques[place].score for place in chosen.places], text, sheet, ui=shown)


def _what_is_missing(missing: list[str]) -> str:
    if not missing:
        return "images: expected either a batch or a sampler graph, got both."
    return ("images: expected a batch, or all of guider, sampler, sigmas, latent_image and vae; "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not connected.")
