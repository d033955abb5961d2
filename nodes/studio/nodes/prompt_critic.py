"""The node that lets a model with eyes revise a prompt, and keeps what measures better."""
from math import inf

import comfy.utils
from comfy_api.v0_0_2 import io

from ...shared.node_display import picture_and_text
from . import interrupted
from .shared_inputs import (
    REFERENCE,
    RUBRIC,
    ReferenceType,
    check_numbers,
    check_rubric,
    measurable_rubric,
    preview,
    sampling_inputs,
)

RANGES = "cfg 1 to 12; steps 8 to 40"
VISION = ("A vision-language text encoder, from Load CLIP: Qwen3-VL, Qwen3.5, Gemma 3 or Gemma 4 with their vision "
          "weights. It is shown the picture and what was measured.")


class Rewrite(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        sampling = [each for each in sampling_inputs() if each.id not in ("positive", "negative")]
        return io.Schema(
            node_id="BottegaRewrite",
            display_name="Prompt Critic",
            category="bottega/studio",
            description="Shows a vision-language model the picture of a prompt and its measurements, lets it revise "
                        "the prompt, guidance and steps, and keeps a revision only where the measured score rises on "
                        "the same seeds.",
            search_aliases=["rewrite prompt", "improve prompt", "prompt optimizer", "vlm feedback", "self refine",
                            "better prompt", "prompt helper"],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
            inputs=[
                io.Model.Input("model", tooltip="The model that draws."),
                io.Clip.Input("clip", tooltip="The text encoder of that model; it encodes every revised prompt."),
                io.Clip.Input("vision", tooltip=VISION),
                io.String.Input("prompt", multiline=True, tooltip="The prompt to begin with."),
                io.String.Input("negative_prompt", default="", multiline=True,
                                tooltip="The negative prompt to begin with; it is revised too."),
                *sampling,
                io.Int.Input("seeds", default=4, min=1, max=64, tooltip="How many seeds each prompt is drawn with. "
                             "With one, chance cannot be told from a gain."),
                io.Int.Input("rounds", default=4, min=1, max=64, tooltip="How often the model is asked at most; each "
                             "revision is tried in full and, if that is rejected, halved."),
                io.String.Input("rubric", default="", multiline=True, optional=True, tooltip=RUBRIC),
                ReferenceType.Input("reference", optional=True, tooltip=REFERENCE),
                io.Conditioning.Input("negative", optional=True, tooltip="Instead of negative_prompt, and left as it "
                                                                         "is."),
                io.String.Input("ranges", default=RANGES, optional=True, advanced=True,
                                tooltip="The numbers that may change and their ends, such as `cfg 1 to 12; steps 8 to "
                                        "40`. Empty: the words alone."),
                io.Float.Input("margin", default=1.0, min=0.0, max=100.0, step=0.1, optional=True, advanced=True,
                               tooltip="Points that the score must rise to be accepted, besides two standard errors "
                                       "over the seeds."),
                io.Int.Input("max_length", default=400, min=16, max=8192, optional=True, advanced=True,
                             tooltip="The longest answer, in tokens."),
                io.Float.Input("temperature", default=0.0, min=0.0, max=2.0, step=0.05, optional=True, advanced=True,
                               tooltip="0 writes the likeliest answer, always the same; more lets it wander."),
            ],
            outputs=[
                io.String.Output("prompt", tooltip="The best prompt; the one it began with where nothing was "
                                                   "accepted."),
                io.Image.Output("best", tooltip="Its pictures, one a seed."),
                io.Float.Output("score", tooltip="Their mean score, 0 to 100."),
                io.String.Output("report", tooltip="Markdown: every round with the model's own text, what was tried "
                                                   "and what was measured, and the best on seeds that had no part."),
                io.String.Output("parameters", tooltip="JSON: cfg, steps and the negative prompt of the best."),
                io.Image.Output("contact_sheet", tooltip="The first seed's picture of every trial with its score, "
                                                         "those accepted in a frame."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None, ranges=None):
        from ..prompt_critic.revision import parameters
        try:
            parameters(ranges or "")
        except ValueError as error:
            return str(error)
        return check_rubric(rubric)

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return interrupted.cuts(cls.hidden.unique_id)

    @classmethod
    def execute(cls, model, clip, vision, prompt, negative_prompt, latent_image, vae, seed, sampling_steps, cfg,
                sampler_name, scheduler, seeds, rounds, rubric="", reference=None, negative=None, ranges=RANGES,
                margin=1.0, max_length=400, temperature=0.0):
        import torch

        from ...critique.reference.distributions import paintings
        from ...shared.vision_model import Eye
        from ..prompt_critic import prompt_critic_report, rewriting
        from ..prompt_critic.revision import PromptCandidate, parameters
        from ..prompt_critic.sampled_prompts import PromptSampler
        from ..sampling import Sampling
        if not prompt.strip():
            raise ValueError("prompt: expected some words to begin with, got none")
        check_numbers(sampling_steps=(sampling_steps, 1, inf), seeds=(seeds, 1, inf), rounds=(rounds, 1, inf))
        eye, space, held_against = Eye(vision), parameters(ranges), reference or paintings()
        asked = measurable_rubric(rubric, held_against)
        bar = comfy.utils.ProgressBar(seeds * (3 + len(rewriting.SHARES) * rounds))
        sampling = Sampling([], [], latent_image, vae, sampling_steps, cfg, sampler_name, scheduler)
        sampler = PromptSampler(model, clip, sampling, negative, seed, seeds, asked, held_against,
                                lambda picture: bar.update_absolute(bar.current + 1, preview=preview(picture)))
        tools = rewriting.PromptTools(
            sampler.draw, lambda picture, question: _said(eye.write(picture, question, max_length, temperature, seed)),
            lambda search: prompt_critic_report.instruction(search, space, asked))
        start = PromptCandidate(prompt, negative_prompt if negative is None else None,
                                {"cfg": cfg, "steps": sampling_steps})
        search = rewriting.rewrite(start, tools, rewriting.SearchRules(rounds, margin, space))
        interrupted.note(cls.hidden.unique_id, search.cut)
        candidate, judged = search.best
        text = prompt_critic_report.report(search, asked, held_against)
        sheet = prompt_critic_report.contact_sheet(search)
        shown = picture_and_text(cls, sheet, text)
        return io.NodeOutput(
            candidate.prompt,
            torch.cat(judged.pictures),
            judged.score,
            text,
            prompt_critic_report.parameters(candidate),
            sheet,
            ui=shown,
        )


def _said(answer) -> str:
    """What the model answered, or in brackets why there is no answer."""
    return answer.text or f"({answer.missing})"
