"""Trains the painter: a diffusion transformer of the host's SD3 class, depth 4, on the latents of a pool of pictures.

    COMFYUI_PATH=... python starter/painter/train.py POOL --out painter.safetensors --resume painter.pt
                                                     [--steps 5200] [--small 0.577] [--minutes 60]

Flow matching as for the flat starter (`starter/train.py`), whose text encoder it shares. The first part of the steps
sees pictures of half the size, 64 tokens instead of 256, with the places of the large ones: composition, light and
colour are learned four times as fast. Every step has its own seed; a resumed run sees what an uninterrupted one would.
"""
import argparse
import copy
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, os.environ["COMFYUI_PATH"])
if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import comfy.options  # noqa: E402

comfy.options.args_parsing = False
from comfy.cli_args import args as host_args  # noqa: E402

host_args.cpu = not torch.cuda.is_available()
import text  # noqa: E402
import transformer  # noqa: E402
from comfy.ldm.modules.diffusionmodules.mmdit import Mlp  # noqa: E402
from comfy.sd1_clip import SDTokenizer  # noqa: E402

from painter import latents, muon, pool, vae  # noqa: E402
from painter.scenes import Scene, mirrored  # noqa: E402

DEPTH, POSITIONS = 4, 16
BATCH = {16: 32, 32: 12}                 # latents a side: pictures a step
TIME_SHIFT = {16: 2.0, 32: 3.0}
EMPTY_PROMPTS, SHORT_PROMPTS, PHRASE_KEPT = 0.1, 0.3, 0.6
ADAM = 0.35                              # of the rate, for what Muon does not move; at 1 the loss leaps now and then
TOKENS = 34                              # one length for all batches: oneDNN prepares its kernels once a shape
AVERAGED, KEPT = 4, 0.998                # steps between two looks of the averaged weights
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def build(seed: int) -> torch.nn.Module:
    """The flat starter's transformer, deeper, which also takes smaller pictures."""
    net = transformer.build(seed, DEPTH, POSITIONS, vae.LATENT_CHANNELS)
    net.cropped_pos_embed = lambda hw, device=None: places(net.pos_embed, hw[0] // 2)
    return net.to(DEVICE)


def places(table: torch.Tensor, side: int) -> torch.Tensor:
    """[1, side^2, numbers] the places of a smaller picture, spread over the whole field: means of what they cover."""
    field = table.view(1, POSITIONS, POSITIONS, -1).movedim(-1, 1)
    return torch.nn.functional.adaptive_avg_pool2d(field, side).flatten(2).movedim(1, 2)


class Prompts:
    """Captions to text tokens by the encoder's own rule; one token after the last stands for all the padding."""

    def __init__(self):
        self.tokenizer, self.table, self.known = SDTokenizer(), text.codes(), {}

    def ids(self, prompt: str) -> list[int]:
        ids = [t[0] for t in self.tokenizer.tokenize_with_weights(prompt)[0]]
        return ids[:ids.index(text.END) + 1]

    def __call__(self, prompts: list[str]):
        """context [B, TOKENS, 576], log of how many tokens each stands for [B, 1, 1, TOKENS], pooled [B, 576]."""
        context, count, pooled = torch.zeros(len(prompts), TOKENS, text.READ), torch.zeros(len(prompts), TOKENS), []
        for i, prompt in enumerate(prompts):
            if prompt not in self.known:
                self.known[prompt] = self.ids(prompt)
            tokens, whole = text.encode(self.known[prompt], self.table)
            n = len(tokens)
            context[i, :n], count[i, :n], count[i, n] = tokens, 1, text.LENGTH - n
            pooled.append(whole)
        return context, count.log()[:, None, None], torch.stack(pooled)


def said(scene: Scene, rng: np.random.Generator) -> str:
    """The caption, now and then without some of its phrases or empty."""
    draw = rng.random()
    if draw < EMPTY_PROMPTS:
        return ""
    first, *others = scene.caption.split(", ")
    if draw < EMPTY_PROMPTS + SHORT_PROMPTS:
        others = [phrase for phrase in others if rng.random() < PHRASE_KEPT]
    return ", ".join([first, *others])


def attention(q, k, v, bias):
    """[B, L, heads * 64] each, bias [B, 1, 1, L]; on the CPU three times as fast as torch's own, both ways counted."""
    split = lambda t: t.reshape(*t.shape[:2], -1, transformer.HEAD).transpose(1, 2)
    weights = torch.softmax((split(q) * transformer.HEAD ** -0.5) @ split(k).mT + bias, -1)
    return (weights @ split(v)).transpose(1, 2).reshape(q.shape)


def velocity(net, x, sigma, context, weight, pooled):
    """The model's prediction of noise - picture; a padding token that stands for many is weighed in the attention."""
    bias = torch.nn.functional.pad(weight, (0, (x.shape[-1] // 2) ** 2)).bfloat16()
    override = lambda _, q, k, v, *args, **kwargs: attention(q, k, v, bias)
    return net(x.bfloat16(), sigma * 1000, context=context.bfloat16(), y=pooled.bfloat16(),
               transformer_options={"optimized_attention_override": override}).float()


class Data:
    """The pool's latents and captions; the batch of a step is drawn from its own seed."""

    def __init__(self, folder: Path, seed: int):
        _, self.scenes = pool.opened(folder)
        self.boards = {side: latents.opened(folder, side) for side in latents.SIDES}
        self.seed, self.prompts, self.count = seed, Prompts(), len(next(iter(self.boards.values()))) // 2

    def batch(self, step: int, side: int):
        """(latents [B, 16, side, side], context, weight, pooled)."""
        rng = np.random.default_rng([self.seed, step])
        rows = rng.integers(0, 2 * self.count, BATCH[side])
        drawn = torch.from_numpy(np.stack([self.boards[side][row] for row in rows])).float()
        scenes = [mirrored(self.scenes[row // 2]) if row % 2 else self.scenes[row // 2] for row in rows]
        return drawn, *self.prompts([said(scene, rng) for scene in scenes])


def optimisers(net):
    matrices = [p for n, p in net.named_parameters() if "joint_blocks" in n and p.ndim == 2 and "adaLN" not in n]
    chosen = {id(p) for p in matrices}
    others = [p for p in net.parameters() if id(p) not in chosen]
    return [muon.Muon(matrices, lr=1e-3),
            torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=True)]


def pace(step: int, steps: int) -> float:
    """Learning-rate factor: warm-up over 200 steps, then level, then a straight line to 1 % over the last 40 %."""
    return min(1, (step + 1) / 200) * (0.01 + 0.99 * min(1.0, (1 - step / steps) / 0.4))


def halved(net: torch.nn.Module) -> torch.nn.Module:
    """A copy in bfloat16 for forward and backward; the optimisers keep the weights in full."""
    quick = copy.deepcopy(net).bfloat16()
    quick.cropped_pos_embed = lambda hw, device=None: places(quick.pos_embed, hw[0] // 2)
    for block in quick.modules():
        if isinstance(block, Mlp):
            block.act = torch.nn.GELU()  # the exact one lies nearer the host's than bfloat16 tells; a third of the time
    return quick


class Run:
    """A model in training with all that a resumed run needs: optimisers, averaged weights, noise generator, step."""

    def __init__(self, seed: int, fine: float = 0.0):
        self.net, self.step, self.fine = build(seed), 0, fine
        self.quick = halved(self.net)
        self.optimisers = optimisers(self.net)
        self.average = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        self.generator = torch.Generator().manual_seed(seed)

    def begin_with(self, path: Path):
        """Weights of an earlier run, as it left them for install.py; optimisers and schedule begin anew."""
        self.net.load_state_dict({name: value.float() for name, value in load_file(path).items()})
        self.follow()
        self.average = {k: v.detach().clone() for k, v in self.net.state_dict().items()}

    def load(self, path: Path):
        saved = torch.load(path, weights_only=True)
        self.net.load_state_dict(saved["net"])
        self.follow()
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.average, self.step = saved["average"], saved["step"]
        self.generator.set_state(saved["generator"])

    def save(self, path: Path):
        part = path.with_suffix(".part")
        torch.save({"net": self.net.state_dict(), "optimisers": [o.state_dict() for o in self.optimisers],
                    "average": self.average, "step": self.step, "generator": self.generator.get_state()}, part)
        part.replace(path)

    def levels(self, count: int, shift: float) -> torch.Tensor:
        """[count] shares of noise; a share `fine` of them is not shifted to the noisy end: marks are decided there."""
        u = torch.sigmoid(torch.randn(count, generator=self.generator))
        if self.fine:
            shift = torch.where(torch.rand(count, generator=self.generator) < self.fine, 1.0, shift)
        return (shift * u / (1 + (shift - 1) * u)).to(DEVICE)

    def learn(self, rate: float, picture, context, weight, pooled) -> float:
        """One step on a batch; returns its loss."""
        sigma = self.levels(len(picture), TIME_SHIFT[picture.shape[-1]])
        noise = torch.randn(picture.shape, generator=self.generator).to(DEVICE)
        s = sigma.view(-1, 1, 1, 1)
        guess = velocity(self.quick, (1 - s) * picture + s * noise, sigma, context, weight, pooled)
        return self.descend((guess - (noise - picture)).square().mean(), rate)

    def descend(self, loss: torch.Tensor, rate: float) -> float:
        """One step of the optimisers down a loss; returns it."""
        loss.backward()
        for p, quick in zip(self.net.parameters(), self.quick.parameters(), strict=True):
            p.grad, quick.grad = quick.grad.float(), None
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        for optimiser, share in zip(self.optimisers, (1, ADAM), strict=True):
            optimiser.param_groups[0]["lr"] = rate * share
            optimiser.step()
        self.follow()
        self.step += 1
        if self.step % AVERAGED == 0:
            self.look()
        return loss.item()

    @torch.no_grad()
    def follow(self):
        """The halved weights become those that the optimisers keep."""
        torch._foreach_copy_(list(self.quick.parameters()), list(self.net.parameters()))

    @torch.no_grad()
    def look(self):
        """The average takes in the weights of now."""
        keep = min(KEPT, (10 + self.step) / (100 + self.step)) ** AVERAGED
        state = self.net.state_dict()
        torch._foreach_lerp_([self.average[name] for name in state], list(state.values()), 1 - keep)


def train(options):
    run, data, began, losses = Run(options.seed, options.fine), Data(options.pool, options.seed), time.time(), []
    if options.resume.exists():
        run.load(options.resume)
    elif options.weights:
        run.begin_with(options.weights)
    while run.step < (options.until or options.steps) and time.time() - began < 60 * options.minutes:
        side = 16 if run.step < options.small * options.steps else 32
        batch = [t.to(DEVICE) for t in data.batch(run.step, side)]
        losses.append(run.learn(options.rate * pace(run.step, options.steps), *batch))
        if run.step % 50 == 0:
            speed = len(losses) / (time.time() - began)
            print(f"{run.step} loss {np.mean(losses[-50:]):.4f} {speed:.2f} steps/s, {side} a side", flush=True)
        if run.step % options.every == 0:
            keep(run, options)
    keep(run, options)


def keep(run: Run, options):
    run.save(options.resume)
    save_file({k: v.half().contiguous() for k, v in run.average.items()}, options.out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path, help="a folder of pool.py and latents.py")
    parser.add_argument("--out", required=True, help="averaged weights in half precision, for install.py")
    parser.add_argument("--resume", type=Path, required=True, help="a whole run; goes on where it exists")
    parser.add_argument("--from", dest="weights", type=Path, help="weights to begin with, such as those kept here")
    parser.add_argument("--steps", type=int, default=5200)
    parser.add_argument("--until", type=int, help="stop after this many steps, before the schedule ends")
    parser.add_argument("--small", type=float, default=0.577, help="share of the steps at half the size")
    parser.add_argument("--fine", type=float, default=0.0, help="share of the draws of noise that are not shifted up")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this long; a later call goes on")
    parser.add_argument("--rate", type=float, default=2e-3, help="for the matrices of the blocks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=250, help="steps between saved files")
    train(parser.parse_args())
