import json

import comfy.utils
from comfy_api.v0_0_2 import io, ui

from ..rubric.critic_cards import card, cards

CLIP = ("A vision-language text encoder, from Load CLIP: Qwen3-VL, Qwen3.5, Gemma 3 or Gemma 4 with their vision "
        "weights.")
DESCRIBE = "Describe this picture in one paragraph: its subject, composition, light, colour and technique."


def word_inputs(seed: str) -> list:
    """max_length, temperature and seed of what a model writes; seed: what is said of it."""
    return [
        io.Int.Input("max_length", optional=True, default=256, min=1, max=8192, advanced=True,
                     tooltip="The longest text, in tokens."),
        io.Float.Input("temperature", optional=True, default=0.0, min=0.0, max=2.0, step=0.05, advanced=True,
                       tooltip="0 writes the likeliest words, always the same; more lets it wander."),
        io.Int.Input("seed", optional=True, default=0, min=0, max=0xFFFFFFFFFFFFFFFF, advanced=True,
                     control_after_generate=io.ControlAfterGenerate.fixed, tooltip=seed),
    ]


class DescribeImage(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaDescribeImage",
            display_name="Describe Image",
            category="bottega/critique",
            description="Lets a vision-language model write about every picture, one text for each: captions for "
                        "training, or words for a critique.",
            search_aliases=["caption", "captioning", "image to text", "vlm", "tag images", "interrogate", "describe",
                            "alt text", "caption images"],
            has_intermediate_output=True,
            inputs=[
                io.Clip.Input("clip", tooltip=CLIP),
                io.Image.Input("images", tooltip="The pictures; each is asked about on its own."),
                io.String.Input("instruction", default=DESCRIBE, multiline=True,
                                tooltip="What the model is asked to write."),
                *word_inputs("Seed of the words when the temperature is above 0."),
            ],
            outputs=[
                io.String.Output("text", is_output_list=True, tooltip="One text for each picture, as a list."),
            ],
        )

    @classmethod
    def execute(cls, clip, images, instruction, max_length=256, temperature=0.0, seed=0):
        from ...shared.vision_model import Eye
        eye, progress, answers = Eye(clip), comfy.utils.ProgressBar(len(images)), []
        for number, image in enumerate(images.split(1)):
            answers.append(eye.write(image, instruction, max_length, temperature, (seed + number) % 2**64))
            progress.update(1)
        shown = [answer.text or f"Picture {number}: no text, {answer.missing}."
                 for number, answer in enumerate(answers, 1)]
        return io.NodeOutput([answer.text for answer in answers], ui=ui.PreviewText("\n\n".join(shown)))


class VisionCritic(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaVisionCritic",
            display_name="Vision Critic",
            category="bottega/critique",
            description="Puts a critic's questions to a vision-language model and reads its answers from the "
                        "probabilities of its digits, beside what was measured.",
            search_aliases=["vlm critic", "aesthetic score", "art critic", "llm judge", "rate image",
                            "ask about picture", "vision language model"],
            has_intermediate_output=True,
            inputs=[
                io.Clip.Input("clip", tooltip=CLIP),
                io.Image.Input("images", tooltip="The pictures; each is asked about alone, one question a concept."),
                io.Combo.Input("critic", options=[found.critic for found in cards().values()],
                               tooltip="Whose questions are asked."),
                io.String.Input("data", optional=True, force_input=True,
                                tooltip="The data of Art Critique for the same pictures; the report then says where "
                                        "the model and the measurement disagree."),
            ],
            outputs=[
                io.Float.Output("score", tooltip="0 to 100: the mean of the answers, over the pictures. Positions "
                                                 "between poles never count; a card of such alone gives 0."),
                io.String.Output("axes", tooltip="JSON, one entry a picture: every concept with what was said, how "
                                                 "surely, and what was measured."),
                io.String.Output("report", tooltip="Markdown: what the model says, beside what was measured."),
            ],
        )

    @classmethod
    def execute(cls, clip, images, critic, data=""):
        from ...shared.vision_model import Eye
        from ..reference.distributions import paintings
        from ..vision import vision_report
        from ..vision.vision_critic import ask, measured_percentiles, score
        found, eye = card(critic), Eye(clip)
        percentiles = measured_percentiles(data or "", len(images), paintings())
        progress = comfy.utils.ProgressBar(len(images) * len(found.concepts))
        pictures = [ask(eye, image, found, known, lambda: progress.update(1))
                    for image, known in zip(images.split(1), percentiles, strict=True)]
        text = vision_report.write(found, eye.name, pictures)
        totals = [total for answers in pictures if (total := score(answers)) is not None]
        mean = sum(totals) / len(totals) if totals else 0.0
        return io.NodeOutput(mean, json.dumps(vision_report.axes(pictures)), text, ui=ui.PreviewText(text))
