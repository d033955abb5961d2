"""A starter that draws in 4 steps without guidance, and the LoRA that undoes that: made from the starter itself.

Teacher: the starter, 8 Euler steps at guidance 3, on prompts of one thing. The student learns from each of the 4
levels the mean velocity of the teacher's own path to the next, so that its step lands where two guided ones do
(progressive distillation, Salimans & Ho 2022, arXiv:2202.00512, of guidance too, Meng et al. 2023, arXiv:2210.03142).
Only matrices of the blocks change; the LoRA that takes them back is the truncated SVD of the difference.

    COMFYUI_PATH=... python tests/benchmarks/distilled_starter.py FOLDER     # about 3 minutes of one core
"""
import argparse
import random
import sys
import time
from pathlib import Path

import timing

STUDENT_STEPS, TEACHER_STEPS, GUIDANCE, BATCH, RANK = 4, 8, 3.0, 16, 96
PATHS, UPDATES, RATE, SEED = 48, 36, 7e-4, 20
MODEL, LORA = "distilled_starter.safetensors", "de_distillation.safetensors"
PREFIX = "model.diffusion_model."


def made(folder: Path, paths: int = PATHS, updates: int = UPDATES) -> tuple[Path, Path]:
    """(diffusion model, de-distillation LoRA) in the folder; made where they are missing."""
    model, lora = folder / MODEL, folder / LORA
    if not (model.exists() and lora.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        teacher, student = (load() for _ in range(2))
        learn(student, list(walked(teacher, paths)), updates)
        write(student, teacher, model, lora)
    return model, lora


def load():
    """The starter's network with the columns its text encoder writes, in float32."""
    import text
    import train
    from install import HERE
    from install import MODEL as STARTER
    from safetensors.torch import load_file
    net = train.build(0)
    state = {key.removeprefix(PREFIX): value.float() for key, value in load_file(HERE / STARTER).items()}
    for key in ("context_embedder.weight", "y_embedder.mlp.0.weight"):
        state[key] = state[key][:, :text.READ].contiguous()
    net.load_state_dict(state)
    return net.requires_grad_(False)


def levels(steps: int):
    """[steps + 1] noise levels of the host's `simple` schedule for the starter's shift of 3."""
    import comfy.model_sampling as ms
    from comfy.samplers import simple_scheduler
    sampling = ms.ModelSamplingDiscreteFlow()
    sampling.set_parameters(shift=3.0)
    return simple_scheduler(sampling, steps)


def walked(teacher, paths: int):
    """Batches (points [5, B, 16, 32, 32] of the teacher's path at the student's levels, context, weight, pooled)."""
    import pictures
    import torch
    import train
    rng, generator = random.Random(SEED), torch.Generator().manual_seed(SEED)
    prompts, every, began = train.Prompts(), TEACHER_STEPS // STUDENT_STEPS, time.time()
    sigmas = levels(TEACHER_STEPS).tolist()
    for number in range(paths // BATCH):
        words = [pictures.shorten(rng, scene_of_one(rng)) for _ in range(BATCH)]
        both = prompts([*words, *[""] * BATCH])
        x = torch.randn(BATCH, 16, 32, 32, generator=generator)
        points = [x]
        with torch.no_grad():
            for step, (now, then) in enumerate(zip(sigmas, sigmas[1:], strict=False), 1):
                asked, plain = train.velocity(teacher, torch.cat([x, x]), torch.full((2 * BATCH,), now), *both).chunk(2)
                x = x + (then - now) * (plain + GUIDANCE * (asked - plain))
                points += [x] if step % every == 0 else []
        print(f"{number + 1} of {paths // BATCH} batches of paths, {time.time() - began:.0f} s", flush=True)
        yield torch.stack(points).half(), *(part[:BATCH] for part in both)


def scene_of_one(rng, test: bool = False):
    """A random scene with one thing; test: of a combination that the starter was not trained on."""
    import pictures
    return next(scene for scene in iter(lambda: pictures.random_scene(rng, test), None) if len(scene.things) == 1)


def learn(student, batches, updates: int) -> None:
    """The mean velocities of the paths; matrices of the blocks alone."""
    import torch
    import train
    matrices = [p.requires_grad_(True) for name, p in student.named_parameters()
                if "joint_blocks" in name and p.ndim == 2]
    optimizer = torch.optim.Muon(matrices, lr=RATE, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    generator, sigmas, began, losses = torch.Generator().manual_seed(SEED), levels(STUDENT_STEPS), time.time(), []
    average = [p.detach().clone() for p in matrices]
    for update in range(updates):
        points, *conds = batches[update % len(batches)]
        level = torch.randint(STUDENT_STEPS, (BATCH,), generator=generator)
        now, then = sigmas[level], sigmas[level + 1]
        row = torch.arange(BATCH)
        start, end = points[level, row].float(), points[level + 1, row].float()
        goal = (end - start) / (then - now).view(-1, 1, 1, 1)
        loss = (train.velocity(student, start, now, *conds) - goal).square().mean()
        loss.backward()
        optimizer.param_groups[0]["lr"] = RATE * min(1, (update + 1) / 5) * (1 - update / updates)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for mean, value in zip(average, matrices, strict=True):
            mean.lerp_(value.detach(), 0.1)
        losses.append(loss.item())
        if (update + 1) % 10 == 0:
            print(f"{update + 1} loss {sum(losses[-10:]) / 10:.4f}, {time.time() - began:.0f} s", flush=True)
    for mean, value in zip(average, matrices, strict=True):
        value.data.copy_(mean)
    student.requires_grad_(False)


def write(student, teacher, model: Path, lora: Path) -> None:
    import torch
    import train
    from safetensors.torch import save_file
    train.export(student.state_dict(), model)
    tensors, own = {}, dict(teacher.named_parameters())
    for name, weight in student.named_parameters():
        difference = own[name] - weight
        if difference.any():
            u, s, v = torch.linalg.svd(difference, full_matrices=False)
            root = s[:RANK].sqrt()
            key = f"diffusion_model.{name.removesuffix('.weight')}"
            tensors[f"{key}.lora_up.weight"] = (u[:, :RANK] * root).contiguous()
            tensors[f"{key}.lora_down.weight"] = (root[:, None] * v[:RANK]).contiguous()
    save_file(tensors, lora)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--paths", type=int, default=PATHS)
    parser.add_argument("--updates", type=int, default=UPDATES)
    options = parser.parse_args()
    timing.start_host("training", "../starter")
    sys.exit(print(*made(options.folder, options.paths, options.updates), sep="\n"))
