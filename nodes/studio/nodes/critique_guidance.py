"""The node that lets the critique guide a sampler."""
from comfy_api.v0_0_2 import io, ui

from ..gradient import CHOICES
from .shared_inputs import REFERENCE, ReferenceType, check_rubric


class Steer(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaSteer",
            display_name="Critique Guidance",
            category="bottega/studio",
            description="Moves what the model predicts at each step towards more points of the critique, by the "
                        "gradient of the criteria that can be differentiated.",
            search_aliases=["critique guidance", "aesthetic guidance", "steer", "classifier guidance", "composition",
                            "balance", "symmetry", "reward guidance", "guide", "guidance", "better composition"],
            has_intermediate_output=True,
            inputs=[
                io.Model.Input("model", tooltip="Any model of pictures or video; its weights are not touched."),
                io.String.Input("rubric", default="Balance=high", multiline=True,
                                tooltip="What to steer and where to, as in Art Critique, such as `Balance=high; "
                                        "Value -> 70`. Only criteria named with a weight are steered; if none is, all "
                                        "that can be."),
                io.Float.Input("strength", default=12.0, min=0.0, max=100.0, step=0.1,
                               tooltip="Points that each step tries to add; 0 leaves the model as it is."),
                io.Float.Input("start", default=0.5, min=0.0, max=1.0, step=0.01,
                               tooltip="Share of the sampling after which guidance begins. Before it the picture is "
                                       "hardly formed, and a push is forgotten."),
                io.Float.Input("end", default=1.0, min=0.0, max=1.0, step=0.01,
                               tooltip="Share of the sampling at which it ends. What follows is left to the model, "
                                       "which takes back part of the effect."),
                io.Float.Input("norm_limit", default=0.15, min=0.001, max=1.0, step=0.001,
                               tooltip="The longest move of a step, as a share of the predicted latent's norm."),
                io.Combo.Input("decoder", options=list(CHOICES), default="auto",
                               tooltip="How the predicted latent is seen: the host's preview colours (cheap, coarse), "
                                       "TAESD from models/vae_approx, the connected VAE (exact, slow), or a linear map "
                                       "fitted to it (cheap, fine). auto: that map if a VAE is connected, else the "
                                       "colours, else TAESD."),
                io.Vae.Input("vae", optional=True, tooltip="Shows the prediction better than the host's colours "
                                                           "do, and in detail; needed where it knows none."),
                ReferenceType.Input("reference", optional=True, tooltip=REFERENCE),
                io.Float.Input("push", default=0.0, min=0.0, max=1.0, step=0.01, optional=True,
                               tooltip="What a change of pixels cannot do, such as another composition: early steps "
                                       "push the noisy latent by this share of its norm, along the gradient through "
                                       "the model. Such a step takes more than twice as long, and more memory; "
                                       "0.05 to 0.15 is much. 0: none."),
                io.Float.Input("push_end", default=0.35, min=0.0, max=1.0, step=0.01, optional=True,
                               tooltip="Share of the sampling at which the pushes end. They begin with the second "
                                       "step or so, when there is something to see."),
                io.Float.Input("pixel_limit", default=1.0, min=0.01, max=1.0, step=0.01, optional=True,
                               tooltip="The most that a step may change pixels by (but for 2 in 100), as a share of "
                                       "their range from black to white. It keeps a small thing from being repainted "
                                       "where a large one would only be tinted; 0.1 is a faint change. 1: no limit."),
            ],
            outputs=[
                io.Model.Output("model", tooltip="The model with guidance, for any sampler; the very same where "
                                                 "there is nothing to do."),
                io.String.Output("report", tooltip="Markdown: what will be steered, and what cannot be and why."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None):
        return check_rubric(rubric)

    @classmethod
    def execute(cls, model, rubric, strength, start, end, norm_limit, decoder, vae=None, reference=None, push=0.0,
                push_end=0.35, pixel_limit=1.0):
        from ...critique.reference.distributions import paintings
        from ...critique.rubric.rubric_language import parse
        from ..gradient.latent_decoder import decoder as find
        from ..gradient.reward import reward_of_named
        from ..guidance import critique_guidance
        settings = critique_guidance.GuidanceSettings(strength, norm_limit, start, end, push, push_end, pixel_limit)
        if settings.off:
            return io.NodeOutput(model, critique_guidance.OFF, ui=ui.PreviewText(critique_guidance.OFF))
        seen = find(model, decoder, vae)
        earned = reward_of_named(parse(rubric), reference or paintings(), seen.detail)
        text = critique_guidance.report(earned, seen, settings)
        return io.NodeOutput(critique_guidance.guide(model, earned, seen, settings), text, ui=ui.PreviewText(text))
