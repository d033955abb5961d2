"""A small Qwen3-VL in the host's own classes, trained on the starter's pictures: it sees, describes, answers, revises.

Its vocabulary is cut to the words of the starter and of the questions when it is built; everything else that a person
meets with a real Qwen3-VL is the same: the host's template, tokens, vision tower, decoder and generation.
"""
import dataclasses
import json
import random
import re
from pathlib import Path
from typing import NamedTuple

import pictures
import torch
import torch.nn.functional as F

SIDE, DRAWN = 128, 64                # pixels a side that it sees, and that pictures are drawn at
FAMILY = "qwen3vl_4b"
IMAGE_PAD, END, TEXT_END = 151655, "<|im_end|>", "<|endoftext|>"
UNKNOWN = 0                          # every word outside the vocabulary
LANGUAGE = {"hidden_size": 96, "intermediate_size": 288, "num_hidden_layers": 3, "num_attention_heads": 3,
            "num_key_value_heads": 3, "head_dim": 32}
VISION = {"hidden_size": 96, "intermediate_size": 384, "depth": 3, "num_heads": 3, "deepstack_visual_indexes": [1]}
POOL = 8000
TOKENS = SIDE // 32                  # tokens a side that the language model sees


class Example(NamedTuple):
    """A picture uint8 [3, DRAWN, DRAWN], what is asked about it and the right answer; `marks`: see `marks_of`."""
    picture: torch.Tensor
    question: str
    answer: str
    marks: torch.Tensor | None = None


class CutTokenizer:
    """The host's tokenizer with the ids it keeps counted from 1; all others are UNKNOWN."""

    def __init__(self, whole, kept: list[int]):
        self.whole, self.kept = whole, kept
        self.small = {token: number for number, token in enumerate(self.kept, 1)} | {IMAGE_PAD: IMAGE_PAD}

    def __len__(self):
        return len(self.kept) + 1

    def __call__(self, text, **options):
        return {"input_ids": [self.small.get(token, UNKNOWN) for token in self.whole(text, **options)["input_ids"]]}

    def decode(self, ids, **options):
        return self.whole.decode([self.kept[number - 1] for number in ids if number != UNKNOWN], **options)


def words_of(texts: list[str]) -> list[int]:
    """The ids in the host's vocabulary of everything that the texts are written with, ascending."""
    from comfy.text_encoders import qwen3vl
    made = qwen3vl.tokenizer(model_type=FAMILY)()
    whole = getattr(made, made.clip).tokenizer
    found = {token for text in texts for token in whole(text)["input_ids"]} - {IMAGE_PAD}
    return sorted({*found, *whole(END + TEXT_END)["input_ids"]})


def build(words: list[int], seed: int):
    """A CLIP of the host that knows these words; random weights. Undoes what it changes in the host."""
    import comfy.sd
    from comfy.text_encoders import llama, qwen3vl

    made = qwen3vl.tokenizer(model_type=FAMILY)()
    inner = getattr(made, made.clip)
    inner.tokenizer = cut = CutTokenizer(inner.tokenizer, words)
    stops = [cut(word)["input_ids"][0] for word in (TEXT_END, END)]
    small = {**LANGUAGE, "vocab_size": len(cut), "lm_head": False, "stop_tokens": stops}
    config = dataclasses.make_dataclass(
        "Small", [(name, type(value), dataclasses.field(default_factory=lambda value=value: value))
                  for name, value in small.items()], bases=(llama.Qwen3VL_8BConfig,))
    before = qwen3vl.QWEN3VL_CONFIGS[FAMILY], qwen3vl.QWEN3VL_VISION[FAMILY]
    qwen3vl.QWEN3VL_CONFIGS[FAMILY], qwen3vl.QWEN3VL_VISION[FAMILY] = config, VISION
    try:
        target = type("Target", (), {"params": {}, "clip": staticmethod(qwen3vl.te(model_type=FAMILY)),
                                     "tokenizer": staticmethod(lambda **_: made)})
        clip = comfy.sd.CLIP(target, parameters=1, tokenizer_data={}, model_options={"dtype": torch.float32})
    finally:
        qwen3vl.QWEN3VL_CONFIGS[FAMILY], qwen3vl.QWEN3VL_VISION[FAMILY] = before
    start(transformer(clip), seed)
    return clip


def transformer(clip):
    return getattr(clip.cond_stage_model, clip.cond_stage_model.clip).transformer


def start(net, seed: int):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.ndim > 1:
                size = 0.5 if "pos_embed" in name else 1.0 if "embed_tokens" in name else 0.7
                fan = parameter.shape[1] if "embed" in name and "patch" not in name else parameter[0].numel()
                parameter.normal_(0, size * fan ** -0.5, generator=generator)
            else:
                parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)


def seen(drawn: torch.Tensor) -> torch.Tensor:
    """uint8 [3, DRAWN, DRAWN] -> IMAGE [1, SIDE, SIDE, 3], as the node gets it."""
    return F.interpolate(drawn[None].float() / 255, (SIDE, SIDE), mode="nearest").movedim(1, -1)


def drawn(scene: pictures.Scene, rng: random.Random) -> torch.Tensor:
    """uint8 [3, DRAWN, DRAWN]; every second one in the 32 dots that the starter's VAE has."""
    picture = pictures.draw(scene, DRAWN, rng)
    if rng.random() < 0.5:
        picture = F.interpolate(F.avg_pool2d(picture[None], DRAWN // pictures.DOTS), (DRAWN, DRAWN))[0]
    return (picture * 255).round().byte()


def pool(count: int, rng: random.Random, test: bool = False) -> list[tuple[pictures.Scene, torch.Tensor]]:
    """Scenes with their pictures; `test`: combinations that training never has."""
    scenes = [pictures.random_scene(rng, test) for _ in range(count)]
    return [(scene, drawn(scene, rng)) for scene in scenes]


def mirrored(scene: pictures.Scene, picture: torch.Tensor) -> tuple[pictures.Scene, torch.Tensor]:
    """The scene in a mirror, with the words for left and right exchanged."""
    prompt = re.sub(r"\b(left|right)\b", lambda side: {"left": "right", "right": "left"}[side[0]], scene.prompt)
    things = tuple(thing._replace(x=pictures.DOTS - thing.x) for thing in scene.things)
    return scene._replace(things=things, prompt=prompt), picture.flip(-1)


def marks_of(scene: pictures.Scene) -> torch.Tensor:
    """Which shape and colour lies at each token, 0 where none does: int64 [TOKENS ** 2, 2], in the order of tokens."""
    marks = torch.zeros(TOKENS, TOKENS, 2, dtype=torch.long)
    centre = (torch.arange(TOKENS) + 0.5) * pictures.DOTS / TOKENS
    for thing in scene.things:
        far = torch.hypot(centre[:, None] - thing.y, centre[None] - thing.x)
        marks[far < thing.radius + pictures.DOTS / TOKENS / 2] = torch.tensor(
            (1 + pictures.SHAPES.index(thing.shape), 1 + list(pictures.COLOURS).index(thing.colour)))
    return marks.flatten(0, 1)


def save(clip, path: Path, how: str):
    """The weights in 16 bits, with the words they know and how they came about."""
    from safetensors.torch import save_file
    tensors = {name: value.half().contiguous() for name, value in transformer(clip).state_dict().items()}
    words = getattr(clip.tokenizer, clip.tokenizer.clip).tokenizer.kept
    save_file(tensors, path, {"words": json.dumps(words), "how": how})


def load(path: Path):
    """(a CLIP from such a file, how it came about)"""
    from safetensors import safe_open
    with safe_open(path, "pt") as file:
        about = file.metadata()
        clip = build(json.loads(about["words"]), 0)
        transformer(clip).load_state_dict({name: file.get_tensor(name) for name in file.keys()})
    transformer(clip).requires_grad_(False)
    return clip, about["how"]


def revision(prompt: str) -> str:
    """The answer that Prompt Critic reads."""
    return json.dumps({"prompt": prompt})
