"""A vision-language text encoder of the host, asked about one picture at a time.

The host's own tokenizers and generation run unchanged. What differs between the families: Qwen3-VL and Qwen3.5 would
put every picture of a batch into one prompt, Gemma 3 the batch into one picture, the Gemmas leave their template out
unless told, and a text encoder without eyes drops the picture without a word.
"""
import math
from typing import Any, NamedTuple

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from .host_capabilities import require
from .host_version import version_of_host

LARGEST = 1024 * 1024  # pixels; the families see no more detail, and Qwen pays for every one
QWEN_CHAT = ("<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n")
SEEING = "Qwen3-VL, Qwen3.5, Gemma 3 or Gemma 4 with their vision weights"

Tokens = Any


class Answer(NamedTuple):
    """What a model wrote, "" where it wrote nothing or was still thinking; `max_length` is the length it had."""
    text: str
    still_thinking: bool
    max_length: int

    @property
    def missing(self) -> str:
        """Why there is no text, in one sentence; "" where there is one."""
        if self.text:
            return ""
        return (f"the model was still thinking when max_length, {self.max_length} tokens, was reached; raise "
                "max_length or use a model that does not think" if self.still_thinking else "the model wrote nothing")


class Eye:
    """A CLIP that sees. Raises ValueError for one that is made for text alone."""

    def __init__(self, clip):
        require("vision models")
        model = clip.cond_stage_model
        self.name = getattr(model, "clip_name", type(model).__mro__[0].__name__.rstrip("_"))
        transformer = getattr(_inner(model), "transformer", None)
        if not hasattr(transformer, "generate"):
            raise ValueError(f"clip: expected a text encoder that can see and write ({SEEING}), got {self.name}, which "
                             "only encodes text")
        if not hasattr(transformer, "preprocess_embed"):  # its tokenizer takes the picture, its model would drop it
            raise ValueError(f"clip: expected a text encoder that can see ({SEEING}), got {self.name}, which writes "
                             "but has no eyes")
        # A second generation in one run fails under the host's dynamic VRAM (Comfy-Org/ComfyUI#16441).
        self.clip = clip.clone(disable_dynamic=True) if clip.is_dynamic() else clip

    def tokens(self, image: Tensor, instruction: str) -> Tokens:
        """The prompt for one picture [1, H, W, C], 0..1. Raises ValueError where the picture did not get into it."""
        picture = _reduced(image)
        options = {"skip_template": False, "min_length": 1, "thinking": False}
        tokens = self.clip.tokenize(instruction, image=picture, **options)
        if not pictures_in(tokens):
            tokens = self.clip.tokenize(QWEN_CHAT.format(instruction), images=[picture], **options)
        if not pictures_in(tokens):
            raise ValueError(f"clip: expected a text encoder that can see ({SEEING}), got {self.name}, which left the "
                             "picture out of its prompt")
        return tokens

    def write(self, image: Tensor, instruction: str, max_length: int, temperature: float = 0.0,
              seed: int = 0) -> Answer:
        """What the model writes about one picture; without temperature always the same."""
        ids = self.clip.generate(self.tokens(image, instruction), do_sample=temperature > 0, max_length=max_length,
                                 temperature=temperature or 1.0, seed=seed)
        return without_thoughts(self.clip.decode(ids), max_length)

    def next_logits(self, tokens: Tokens) -> Tensor:
        """The logits [vocabulary] of the first word of the answer, from one prefill.

        Raises ValueError where they are not finite, as after a fault of the model's weights or of its precision."""
        self.clip.cond_stage_model.reset_clip_options()
        self.clip.load_model(tokens)
        device = self.clip.patcher.load_device
        self.clip.cond_stage_model.set_clip_options({"layer": None})
        self.clip.cond_stage_model.set_clip_options({"execution_device": device})
        with comfy.model_management.cuda_device_context(device):
            logits = _first_logits(_inner(self.clip.cond_stage_model), tokens)
        if not torch.isfinite(logits).any() or torch.isnan(logits).any():
            raise ValueError(f"clip: {self.name} gives no finite answer; its weights may be damaged or its precision "
                             "too low for this device")
        return logits

    def word_id(self, word: str) -> int:
        """The token of a word at the start of an answer."""
        tokenizer = self.clip.tokenizer
        tokenizer = getattr(tokenizer, tokenizer.clip) if hasattr(tokenizer, "clip") else tokenizer
        return tokenizer.tokenizer("\n" + word)["input_ids"][-1]


def pictures_in(tokens: Tokens) -> int:
    """How many pictures a tokenized prompt holds."""
    batches = next(iter(tokens.values())) if isinstance(tokens, dict) else tokens
    return sum(isinstance(token[0], dict) and token[0].get("type") == "image" for row in batches for token in row)


def without_thoughts(text: str, max_length: int) -> Answer:
    """The answer after what a thinking model wrote to itself; none where the last thought does not end."""
    after = text.rsplit("</think>", 1)[-1]
    thinking = "<think>" in after
    return Answer("" if thinking else after.strip(), thinking, max_length)


def _inner(model):
    """The one encoder inside the host's wrapper, or the model itself where it has none."""
    return getattr(model, model.clip, model) if hasattr(model, "clip") else model


def _reduced(image: Tensor) -> Tensor:
    """At most LARGEST pixels, RGB, on the CPU."""
    image = image[..., :3].cpu()
    if image.shape[-1] == 1:
        image = image.expand(-1, -1, -1, 3)
    height, width = image.shape[1:3]
    if height * width <= LARGEST:
        return image
    scale = math.sqrt(LARGEST / (height * width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return comfy.utils.common_upscale(image.movedim(-1, 1), *size, "area", "disabled").movedim(1, -1)


def _first_logits(encoder, tokens: Tokens) -> Tensor:
    """Runs the encoder's own `generate` for one word and keeps what that word was chosen from.

    Every family prepares its prefill inside `generate`, in its own way; a stand-in that lets everything through but the
    choice of the word needs to know none of them and changes nothing in the host. Raises RuntimeError with one sentence
    where a newer host chooses its words in another way."""
    kept = []

    class Transformer(_StandIn):
        def generate(self, *args, **kwargs):
            return type(self.behind).generate(self, *args, **kwargs)

        def sample_token(self, logits, *_, **__):
            kept.append(logits[0].float())
            return logits.argmax(-1, keepdim=True)

    class Encoder(_StandIn):
        transformer = Transformer(encoder.transformer)

    try:
        type(encoder).generate(Encoder(encoder), tokens, do_sample=False, max_length=1, temperature=1.0, top_k=0,
                               top_p=1.0, min_p=0.0, repetition_penalty=1.0, seed=0, presence_penalty=0.0)
    except (TypeError, AttributeError) as error:
        raise _unknown_generation(error) from error
    if not kept:
        raise _unknown_generation("no word was chosen through sample_token")
    return kept[0]


def _unknown_generation(what) -> RuntimeError:
    return RuntimeError(f"ComfyUI {version_of_host()} generates words in a way that this pack does not know, so "
                        f"answers cannot be read from their probabilities ({str(what)[:120]}); Describe Image still "
                        "works")


class _StandIn:
    def __init__(self, behind):
        self.behind = behind

    def __getattr__(self, name):
        return getattr(self.behind, name)
