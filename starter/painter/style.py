"""Teaches the painter a medium that it never saw, with the pack's own training, and tells what came of it.

    COMFYUI_PATH=... python starter/painter/style.py MODELS_DIR MEDIUM [--steps 200] [--sheet sheet.png]
                                                    [--rate 0.001] [--rank 8] [--batch 4] [--pictures 16]
                                                    [--noisiest 0.4] [--trained] [--guidance 2]

MEDIUM is woodcut, dots or "stained glass"; MODELS_DIR is what install.py filled. Prints one JSON object: how like the
medium the samples are before and after, as Tune Blocks reads likeness to a Critique Reference of 60 other pictures of
it, and how many have what their captions name, the medium set aside, by the judge. The LoRA goes to MODELS_DIR/loras.
"""
import argparse
import json
import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

if __package__ in (None, ""):
    import sys
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from safetensors.torch import load_file, save_file  # noqa: E402

from painter import evaluate, judge, pictures, spread  # noqa: E402
from painter.install import lora_of  # noqa: E402
from painter.scenes import HELD_OUT_MEDIA, random_scene  # noqa: E402

LEARNT, REFERENCE, FIRST_SEED = 16, range(16, 76), 3_000_000
BATCH, RATE, RANK = 4, 1e-3, 8


def to_learn(count: int) -> list[int]:
    """Numbers of pictures to learn from: none of those that samples are compared with."""
    return [k for k in range(count + len(REFERENCE)) if k not in REFERENCE][:count]


def painted(medium: str, numbers: Iterable[int]) -> tuple[torch.Tensor, list]:
    """(IMAGE [N, 256, 256, 3], their scenes)."""
    made = [pictures.picture(FIRST_SEED + k, media=(medium,)) for k in numbers]
    return torch.from_numpy(np.stack([picture for picture, _ in made])).float() / 255, [scene for _, scene in made]


def asked(steps: int, rate: float, rank: int, noisiest: float | None, batch: int = BATCH):
    """What Train LoRA is asked to do. noisiest: the share of noise, 0 to 1, up to which it trains, all alike; None: the
    family's own choice of shares."""
    recipe = spread.pack("training.plan.recipe")
    even = recipe.TimestepPlan(density="uniform", shift=1.0, high=noisiest or 1.0)
    plan = recipe.Recipe() if noisiest is None else recipe.Recipe(timesteps=even)
    return spread.pack("training.plan.settings").Settings(steps, batch, rate, rank, 1, plan)


def learn(painter: evaluate.Painter, medium: str, settings, name: str, count: int = LEARNT) -> dict[str, torch.Tensor]:
    """The LoRA that Train LoRA makes of `count` pictures of the medium."""
    images, scenes = painted(medium, to_learn(count))
    latents = evaluate.nodes.VAEEncode().encode(painter.vae, images)[0]
    words = [painter.encode(scene.caption) for scene in scenes]
    dataset = spread.pack("training.data.dataset").from_core_nodes([latents], words)
    progress = spread.pack("training.monitoring.progress").Progress(settings.steps, "1")
    return spread.pack("training.training_run").train(painter.model, dataset, settings, name, progress).tensors


def likeness(medium: str):
    """Of measures, how like the medium a picture is, 0 to 100."""
    images, _ = painted(medium, REFERENCE)
    own = spread.critique("reference.collection").collect(images, None, medium, lambda: None).reference
    return spread.pack("studio.tuning.likeness").style(own, spread.critique("reference.distributions").paintings())


def judged(painter, model, scenes, like, examiner) -> tuple[list, list[float], list[list[str]]]:
    """(samples, likeness of each, what is wrong with each but for its medium)."""
    shown = [painter.sample(scene.caption, k, model) for k, scene in enumerate(scenes)]
    near = [like.of(dict(zip(spread.scored(), spread.measure(each), strict=True))) for each in shown]
    wrong = [[name for name in examiner.wrong(each, scene) if name != "medium"]
             for each, scene in zip(shown, scenes, strict=True)]
    return shown, near, wrong


@torch.inference_mode()
def main(options):
    logging.getLogger().setLevel(logging.ERROR)
    evaluate.comfy.utils.PROGRESS_BAR_ENABLED = False
    painter, examiner = evaluate.Painter(options.models, options.guidance), judge.Judge()
    rng = np.random.default_rng(options.seed)
    settings = asked(options.steps, options.rate, options.rank, options.noisiest, options.batch)
    file = options.models / "loras" / lora_of(options.medium)
    if not options.trained:
        lora = learn(painter, options.medium, settings, file.stem, options.pictures)
        file.parent.mkdir(exist_ok=True)
        save_file({name: value.half().contiguous() for name, value in lora.items()}, file)
    lora = load_file(file)
    styled = evaluate.comfy.sd.load_lora_for_models(painter.model, None, lora, 1.0, 0.0)[0]
    scenes = [random_scene(rng, test=True, media=(options.medium,)) for _ in range(options.captions)]
    like = likeness(options.medium)
    before, after = (judged(painter, model, scenes, like, examiner) for model in (None, styled))
    if options.sheet:
        pictures.sheet(before[0] + after[0]).save(options.sheet)
    spread_before, means = float(np.std(before[1], ddof=1)), [float(np.mean(part[1])) for part in (before, after)]
    print(json.dumps({"medium": options.medium, "steps": options.steps, "samples": len(scenes),
                      "likeness": [round(mean, 1) for mean in means],
                      "rise, sd of the samples before": round((means[1] - means[0]) / spread_before, 2),
                      "right but for the medium": [sum(not w for w in part[2]) / len(scenes)
                                                   for part in (before, after)],
                      "medium read": sum("medium" not in examiner.wrong(each, scene)
                                         for each, scene in zip(after[0], scenes, strict=True)) / len(scenes)},
                     indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("medium", choices=HELD_OUT_MEDIA)
    parser.add_argument("--captions", type=int, default=16)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--rank", type=int, default=RANK)
    parser.add_argument("--batch", type=int, default=BATCH, help="pictures a step")
    parser.add_argument("--pictures", type=int, default=LEARNT, help="pictures to learn from")
    parser.add_argument("--guidance", type=float, default=evaluate.GUIDANCE)
    parser.add_argument("--trained", action="store_true", help="measure the LoRA of MODELS_DIR, train none")
    parser.add_argument("--noisiest", type=float, help="train on shares of noise up to this one, all alike")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--sheet")
    main(parser.parse_args())
