"""The starter's text encoder: CLIP-L's shape with weights written down from a seed, not trained.

Every token of the vocabulary has a random code. One attention layer gives each token the codes of the two tokens before
it ("square" knows that it is blue), another gives the pooled output the mean of all codes. That is enough for a small
model to compose words it never saw together. The padding after a prompt reads as zero in every dimension the model
looks at, so the training script may keep one padding token and weigh it instead of carrying all of them.
"""
import torch

VOCABULARY, START, END = 49408, 49406, 49407
LENGTH, WIDTH, LAYERS = 77, 768, 12
CODE = 192                                   # three heads of 64
WORD, BEFORE, BEFORE2 = slice(0, CODE), slice(CODE, 2 * CODE), slice(2 * CODE, 3 * CODE)
PLACE = slice(3 * CODE, 3 * CODE + 64)       # where positions are written; the diffusion model never reads it
READ = 3 * CODE
PLACE_SIZE, SHARPNESS, MEAN_GAIN = 4.0, 1.5, 4.0
SPACING = 2.1                                # radians; keeps positions distinct at every distance below 77
SEED = 20250


def codes() -> torch.Tensor:
    """[49408, 192] float32: one code a token with mean 0 and variance 1; the end (and padding) token is zero."""
    generator = torch.Generator().manual_seed(SEED)
    code = torch.randn(VOCABULARY, CODE, generator=generator, dtype=torch.float32)
    code = (code - code.mean(1, keepdim=True)) / code.std(1, keepdim=True, correction=0)
    code[END] = 0
    return code.half().float()


def frequencies() -> torch.Tensor:
    golden = (5 ** 0.5 - 1) / 2
    return SPACING * ((torch.arange(16, dtype=torch.float64) * golden + 0.3) % 1)


def places() -> torch.Tensor:
    """[77, 64]: position codes whose dot product depends on the distance alone; every code has mean 0."""
    angle = torch.arange(LENGTH, dtype=torch.float64)[:, None] * frequencies()
    return (PLACE_SIZE * torch.cat([angle.cos(), angle.sin(), -angle.cos(), -angle.sin()], 1)).half().float()


def turn(steps: int) -> torch.Tensor:
    """[64, 64] matrix that takes the code of position i to that of position i - steps."""
    angle = frequencies() * steps
    cos, sin = angle.cos().diag(), angle.sin().diag()
    half = torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)], 0)
    empty = torch.zeros(32, 32, dtype=torch.float64)
    return torch.cat([torch.cat([half, empty], 1), torch.cat([empty, half], 1)], 0)


def word_spread() -> float:
    """Standard deviation that the first layer norm divides a word by."""
    return ((CODE + 32 * PLACE_SIZE ** 2) / WIDTH) ** 0.5


def full_spread() -> float:
    """The same once a token carries the two codes before it."""
    return ((3 * CODE + 32 * PLACE_SIZE ** 2) / WIDTH) ** 0.5


def write_down() -> dict[str, torch.Tensor]:
    """State dict of a CLIP-L text model in float16, as the host's `comfy.sd.load_clip` expects it."""
    state = {f"text_model.{k}": v for k, v in _embeddings().items()}
    for i in range(LAYERS):
        for name, value in _empty_layer().items():
            state[f"text_model.encoder.layers.{i}.{name}"] = value
    attention = lambda i, parts: {k: state[f"text_model.encoder.layers.{i}.self_attn.{k}_proj.weight"] for k in parts}
    _write_neighbours(attention(0, ("q", "k", "v", "out")))
    _write_mean(attention(11, ("v", "out")))
    state["text_projection.weight"] = torch.eye(WIDTH)
    state["text_model.final_layer_norm.weight"], state["text_model.final_layer_norm.bias"] = _norm()
    return {k: v.half() for k, v in state.items()}


def _embeddings() -> dict[str, torch.Tensor]:
    tokens, positions = torch.zeros(VOCABULARY, WIDTH), torch.zeros(LENGTH, WIDTH)
    tokens[:, WORD] = codes()
    positions[:, PLACE] = places()
    return {"embeddings.token_embedding.weight": tokens, "embeddings.position_embedding.weight": positions}


def _norm():
    return torch.ones(WIDTH), torch.zeros(WIDTH)


def _empty_layer() -> dict[str, torch.Tensor]:
    layer = {}
    for k in ("q", "k", "v", "out"):
        layer[f"self_attn.{k}_proj.weight"] = torch.zeros(WIDTH, WIDTH)
        layer[f"self_attn.{k}_proj.bias"] = torch.zeros(WIDTH)
    for name, shape in (("fc1", (4 * WIDTH, WIDTH)), ("fc2", (WIDTH, 4 * WIDTH))):
        layer[f"mlp.{name}.weight"], layer[f"mlp.{name}.bias"] = torch.zeros(shape), torch.zeros(shape[0])
    for name in ("layer_norm1", "layer_norm2"):
        layer[f"{name}.weight"], layer[f"{name}.bias"] = _norm()
    return layer


def _write_neighbours(weight: dict[str, torch.Tensor]):
    """Heads 0-2 copy the code one place before, heads 3-5 the code two places before."""
    eye = torch.eye(64)
    for head in range(6):
        rows, part = slice(64 * head, 64 * head + 64), slice(64 * (head % 3), 64 * (head % 3) + 64)
        weight["q"][rows, PLACE] = (SHARPNESS * turn(1 if head < 3 else 2)).float()
        weight["k"][rows, PLACE] = SHARPNESS * eye
        weight["v"][rows, part] = eye
        weight["out"][64 * head + CODE:64 * head + CODE + 64, rows] = word_spread() * eye


def _write_mean(weight: dict[str, torch.Tensor]):
    """Heads 0-2 look everywhere alike and add the mean code; only the pooled output comes after this layer."""
    for head in range(3):
        rows = slice(64 * head, 64 * head + 64)
        weight["v"][rows, rows] = torch.eye(64)
        weight["out"][rows, rows] = MEAN_GAIN * full_spread() * torch.eye(64)


def encode(tokens: list[int], table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the encoder above gives for the ids of a prompt (START ... END), computed directly from `codes()`.

    Returns the tokens that differ from padding [n + 2, 576] and the pooled output [576]; the other 75 - n tokens are
    zero.
    """
    ids = torch.tensor(tokens + [END])
    word = table[ids]
    places_before = [torch.clamp(torch.arange(len(ids)) - k, min=0) for k in (1, 2)]
    context = torch.cat([word] + [word[p] for p in places_before], 1)
    end = len(tokens) - 1
    pooled = context[end].clone()
    pooled[WORD] = MEAN_GAIN * word[:end + 1].mean(0)
    spread = (pooled.square().sum() + 32 * PLACE_SIZE ** 2) / WIDTH
    return context, pooled / (spread + 1e-5).sqrt()
