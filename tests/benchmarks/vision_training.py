"""The small vision model learns: the host's modules in forms that are quick on one core, and the schedule.

A picture that is asked about twice is looked at once, texts of about one length go together, and patches are seen as
they were drawn: a picture that is enlarged twice and stacked in two frames needs no more than the sums of weights.
"""
import math
import random
import time
from pathlib import Path

import pictures
import torch
import torch.nn.functional as F
from painter.muon import Muon
from torch import Tensor
from trained_vision import DRAWN, END, SIDE, TOKENS, Example, transformer

RATE, WARM = 3e-3, 60
POINTED = 0.5                        # what pointing weighs beside answering
LONGER = 1.2                         # of the shortest text: what goes with it into one pass
PATCH, MERGE, FRAMES = 16, 2, 2      # pixels of SIDE, patches a side of a token, equal pictures of a patch


def patches_of(drawn: Tensor) -> Tensor:
    """uint8 [N, 3, DRAWN, DRAWN] -> [N, patches, 3 * dots ** 2] from -1 to 1, in the host's order of patches."""
    dots = PATCH * DRAWN // SIDE
    cut = (drawn.float() / 127.5 - 1).view(len(drawn), 3, TOKENS, MERGE, dots, TOKENS, MERGE, dots)
    return cut.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(len(drawn), (TOKENS * MERGE) ** 2, -1)


def look(visual, patches: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The host's tower over `patches_of`: ([N, TOKENS ** 2, width], the same for every deeper layer that is tapped)."""
    count, size = patches.shape[:2]
    grid = torch.tensor([[1, TOKENS * MERGE, TOKENS * MERGE]])
    weight = visual.patch_embed.proj.weight.sum(2).unflatten(3, (-1, SIDE // DRAWN)).sum(4)
    weight = weight.unflatten(2, (-1, SIDE // DRAWN)).sum(3).flatten(1)
    x = F.linear(patches, weight, visual.patch_embed.proj.bias) + visual.fast_pos_embed_interpolate(grid)
    turn = visual.rot_pos_emb(grid)
    cos, sin = turn.cos(), turn.sin()
    tapped = []
    for number, block in enumerate(visual.blocks):
        heads = block.attn.qkv(block.norm1(x)).view(count, size, 3, visual.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k = turned(heads[:2], cos, sin)
        told = F.scaled_dot_product_attention(q, k, heads[2])
        x = x + block.attn.proj(told.transpose(1, 2).flatten(2))
        x = x + block.mlp(block.norm2(x))
        if number in visual.deepstack_visual_indexes:
            tap = visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(number)]
            tapped.append(tap(x).view(count, TOKENS ** 2, -1))
    return visual.merger(x).view(count, TOKENS ** 2, -1), tapped


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of [..., tokens, width] by [tokens, width / 2]."""
    one, two = x.chunk(2, -1)
    return torch.cat([one * cos - two * sin, two * cos + one * sin], -1)


class Student:
    """The model in training: sequences as the host's tokenizer writes them, many pictures in one pass."""

    def __init__(self, clip, seed: int):
        self.clip, self.net, self.step = clip, transformer(clip), 0
        self.net.requires_grad_(True)
        matrices = [p for n, p in self.net.named_parameters() if p.ndim == 2 and "embed" not in n]
        chosen = {id(p) for p in matrices}
        rest = [p for p in self.net.parameters() if id(p) not in chosen]
        self.optimisers = [Muon(matrices, lr=RATE),
                           torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)]
        self.average = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        self.known = {}
        self.inner = getattr(clip.tokenizer, clip.tokenizer.clip).tokenizer
        self.names = [torch.tensor([self.inner(f" {name}")["input_ids"][0] for name in names])
                      for names in (pictures.SHAPES, pictures.COLOURS)]

    def row(self, question: str, answer: str):
        """(ids before the picture, ids after it, ids of the answer)"""
        if (question, answer) not in self.known:
            blank = torch.zeros(1, SIDE, SIDE, 3)
            tokens = self.clip.tokenize(question, image=blank, skip_template=False, min_length=1, thinking=False)
            ids = [token[0] for token in next(iter(tokens.values()))[0]]
            at = next(place for place, token in enumerate(ids) if isinstance(token, dict))
            self.known[question, answer] = ids[:at], ids[at + 1:], self.inner(answer + END)["input_ids"]
        return self.known[question, answer]

    def loss(self, examples: list[Example]) -> tuple[Tensor, Tensor]:
        """(mean of the answers' mean cross entropies, cross entropy of what each token of a picture shows)"""
        shown = {id(each.picture): number for number, each in reversed(list(enumerate(examples)))}
        place = {key: at for at, key in enumerate(shown)}
        first = [examples[number] for number in shown.values()]
        merged, tapped = look(self.net.visual, patches_of(torch.stack([each.picture for each in first])))
        rows = sorted(((self.row(each.question, each.answer), place[id(each.picture)]) for each in examples),
                      key=lambda row: sum(map(len, row[0])))
        told = merged.new_zeros(())
        while rows:
            longest = LONGER * sum(map(len, rows[0][0]))
            count = sum(sum(map(len, row)) <= longest for row, _ in rows)
            texts, at = zip(*rows[:count], strict=True)
            told, rows = told + self._told(texts, merged[list(at)], [each[list(at)] for each in tapped]), rows[count:]
        return told / len(examples), self._pointed(merged, first)

    def _told(self, rows, merged: Tensor, tapped: list[Tensor]) -> Tensor:
        """Sum over texts of about one length of the mean cross entropy of the answer's tokens."""
        before, count = len(rows[0][0]), merged.shape[1]
        length = max(sum(map(len, row)) for row in rows)
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        wanted, weight = torch.full((len(rows), length + count), -100), torch.zeros(len(rows), 1)
        for number, (head, tail, answer) in enumerate(rows):
            words = [*head, *tail, *answer]
            ids[number, :len(words)] = torch.tensor(words)
            end = len(words) + count
            wanted[number, end - len(answer) - 1:end - 1] = torch.tensor(answer)
            weight[number] = 1 / len(answer)
        embedded = self.net.model.embed_tokens(ids)
        embedded = torch.cat([embedded[:, :before], merged.to(embedded), embedded[:, before:]], 1)
        grid = torch.tensor([[1, TOKENS * MERGE, TOKENS * MERGE]])
        info = [{"type": "image", "index": before, "size": count,
                 "extra": {"grid": grid, "deepstack": [each.flatten(0, 1) for each in tapped]}}]
        positions, mask, deep = self.net.build_image_inputs(embedded[:1], info)
        hidden = self.net.model(None, embeds=embedded, position_ids=positions, embeds_info=info,
                                visual_pos_masks=mask.expand(len(rows), -1), deepstack_embeds=deep)[0]
        asked = wanted >= 0
        each = F.cross_entropy((hidden[asked] @ self.net.model.embed_tokens.weight.T).float(), wanted[asked],
                               reduction="none")
        return (each * weight.expand_as(wanted)[asked]).sum()

    def _pointed(self, merged: Tensor, examples: list[Example]) -> Tensor:
        """Cross entropy of shape and colour of the thing at each token, in the model's own words: what a token shows
        lies where the word for it lies, so that asking for it and naming it are one step from seeing it."""
        marked = [number for number, each in enumerate(examples) if each.marks is not None]
        if not marked:
            return merged.new_zeros(())
        marks = torch.stack([examples[number].marks for number in marked]).flatten(0, 1)
        seen = F.rms_norm(merged[marked].flatten(0, 1).float(), merged.shape[-1:])
        words = self.net.model.embed_tokens.weight
        return sum(F.cross_entropy(F.pad(seen @ words[names].T, (1, 0)), marks[:, at])
                   for at, names in enumerate(self.names))

    def learn(self, examples: list[Example], share: float) -> list[float]:
        """One step; share: how much of the schedule is done, 0..1. Returns the losses of answering and pointing."""
        told, pointed = self.loss(examples)
        (told + POINTED * pointed).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        rate = RATE * min(1, (self.step + 1) / WARM) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        keep = min(0.99, (10 + self.step) / (100 + self.step))
        for name, value in self.net.state_dict().items():
            self.average[name].lerp_(value, 1 - keep) if value.is_floating_point() else None
        self.step += 1
        return [told.item(), pointed.item()]

    def finish(self):
        """The averaged weights, ready for the nodes."""
        self.net.load_state_dict(self.average)
        self.net.requires_grad_(False)

    def state(self) -> dict:
        return {"step": self.step, "net": self.net.state_dict(), "average": self.average,
                "optimisers": [optimiser.state_dict() for optimiser in self.optimisers]}

    def resume(self, state: dict):
        self.step, self.average = state["step"], state["average"]
        self.net.load_state_dict(state["net"])
        for optimiser, held in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(held)


def train(clip, lesson, steps: int, minutes: float, seed: int, held: Path | None = None,
          every: int = 50) -> tuple[int, float, float]:
    """`lesson(rng)` gives the examples of a step. Ends after `steps` or `minutes` of the clock, whichever comes first:
    its schedule follows the nearer end. `held`: a file written every so many steps, and begun from where it exists.
    Returns (steps done, minutes of processor time, minutes of the clock)."""
    with torch.inference_mode(False), torch.enable_grad():
        student, before = Student(clip, seed), [0.0, 0.0]
        if held and held.exists():
            state = torch.load(held)
            before = state.pop("minutes")
            student.resume(state)
        rng, began, spent = random.Random(f"{seed} {student.step}"), time.time(), time.process_time()
        while True:
            taken = [before[0] + (time.process_time() - spent) / 60, before[1] + (time.time() - began) / 60]
            if (share := max(student.step / steps, taken[1] / minutes)) >= 1:
                break
            losses = student.learn(lesson(rng), share)
            if student.step % every == 0:
                print(student.step, *(f"{x:.3f}" for x in [*taken, *losses]), flush=True)
                if held:
                    torch.save({**student.state(), "minutes": taken}, part := held.with_suffix(".part"))
                    part.replace(held)
    student.finish()
    return student.step, *taken
