"""What the nodes of this room share: types, tooltips, the check of a rubric and the picture a progress bar shows."""
from math import inf

import comfy.model_management
import comfy.samplers
import torch
from comfy_api.v0_0_2 import io

from ...shared.number_ranges import outside

ReferenceType = io.Custom("BOTTEGA_REFERENCE")
RUBRIC = ("What counts and how, as in Art Critique, such as `Balance=2; Value>70` or `@Arnheim`. Empty: the default "
          "rubric.")
REFERENCE = "Pictures to compare with, instead of the 1,629 paintings."
DEVICES = ("Devices of this machine that share the pictures: 1, a number, all, or a list of numbers such as 0,2. On "
           "the CPU a number of processes. The result is that of one device; the report says how long pictures took.")
PREVIEW = 512  # pixels of the longer side


def check_rubric(rubric: str | None) -> bool | str:
    """What `validate_inputs` answers: True, or the sentence that says what cannot be read."""
    from ...critique.rubric.rubric_language import parse
    from ...critique.score.judge import check_total
    try:
        check_total(parse(rubric or ""))
    except ValueError as error:
        return str(error)
    return True


def measurable_rubric(text: str, reference):
    """The rubric of a text. Raises ValueError where it names what cannot be measured here, or what the reference does
    not know: before anything is drawn."""
    from ...critique.examination import measurable
    from ...critique.rubric.rubric_language import parse
    from ...critique.score.judge import check_measured
    rubric = parse(text)
    check_measured(reference, rubric, measurable(reference))
    return rubric


def check_numbers(**numbers: tuple[float, float, float]) -> None:
    """name=(value, least, most). Raises ValueError for one that lies outside: the host checks widgets, not links."""
    for name, (value, least, most) in numbers.items():
        if wrong := outside(name, value, least, most):
            raise ValueError(wrong)


def preview(picture) -> tuple:
    """What a progress bar of the host shows: the first picture of an IMAGE [B, H, W, C], or of one of bytes."""
    from PIL import Image
    pixels = picture[0, ..., :3]
    pixels = pixels if pixels.dtype == torch.uint8 else (pixels.clamp(0, 1) * 255).round().byte()
    image = Image.fromarray(pixels.cpu().numpy())
    return "JPEG", image.reduce(max(1, max(image.size) // (2 * PREVIEW))), PREVIEW    # the host makes it small slowly


def devices_input():
    return io.String.Input("devices", default="1", optional=True, tooltip=DEVICES)


def asked_of(hidden, devices: str, **values):
    """What a node asks of the devices. hidden: of the node, with unique_id and dynprompt; values: its inputs by name,
    of which those that are linked are sent to the others. A reference that brings a learned score does not travel: the
    others make it anew, each with its own CLIP vision model."""
    from ...shared.node_display import say
    from ...training.distributed.local_group import Asked
    return Asked(devices, False, 1, comfy.model_management.get_torch_device(), hidden, values,
                 lambda line: say(line, hidden.unique_id),
                 tuple(name for name, value in values.items() if getattr(value, "scorer", None)))


def sampling_inputs() -> list:
    """What KSampler asks for, and the VAE; `sampling_of` reads them. The model is the node's own input."""
    return [
        io.Conditioning.Input("positive", tooltip="Prompts; of several, joined by Conditioning (Combine), each is "
                                                  "sampled by itself."),
        io.Conditioning.Input("negative", tooltip="What to guide away from, as in KSampler."),
        io.Latent.Input("latent_image", tooltip="Size of the pictures; the first of a batch is used."),
        io.Vae.Input("vae", tooltip="Decodes what was sampled."),
        io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF,
                     control_after_generate=io.ControlAfterGenerate.fixed,
                     tooltip="The first seed; the others follow it. It alone decides the result."),
        io.Int.Input("sampling_steps", default=20, min=1, max=10000, tooltip="Steps of each picture."),
        io.Float.Input("cfg", default=4.0, min=0.0, max=100.0, step=0.1, tooltip="Guidance, as in KSampler."),
        io.Combo.Input("sampler_name", options=comfy.samplers.KSampler.SAMPLERS, default="euler",
                       tooltip="As in KSampler."),
        io.Combo.Input("scheduler", options=comfy.samplers.KSampler.SCHEDULERS, default="simple",
                       tooltip="As in KSampler."),
    ]


def sampling_of(positive, negative, latent_image, vae, sampling_steps, cfg, sampler_name, scheduler):
    """The `Sampling` of those inputs. Raises ValueError where there is no prompt or no step."""
    from ..sampling import Sampling
    check_numbers(sampling_steps=(sampling_steps, 1, inf))
    if not positive:
        raise ValueError("positive: expected at least one prompt, got none")
    return Sampling(positive, negative, latent_image, vae, sampling_steps, cfg, sampler_name, scheduler)
