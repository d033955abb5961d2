"""LoRAs for a model that draws in 4 steps: trained as it is, with a base_lora, and on the model it was made of.

The distilled starter and its de-distillation LoRA are made first (distilled_starter.py). Each way learns a thing of its
own word, an orange heart called a zorp, from 16 pictures. All LoRAs are then used on the untouched distilled starter, 4
steps without guidance, and the starter's judge says of each picture whether it shows exactly what was asked. With
--painter see distilled_painter.py.
"""
import random
import shutil
import statistics
from pathlib import Path

import distilled_painter
import distilled_starter
import timing
from drawn_by import Painter, parsed
from on_starter import OnStarter, opened

SEEDS, STEPS, BATCH, PICTURES = 3, 200, 2, 16
WORD, SHAPE, COLOUR = "zorp", "heart", "orange"
WAYS = ("as it is", "with base_lora", "on the starter itself")


def main():
    parser = timing.parser(__doc__, None)
    parser.add_argument("--folder", type=Path, help="where the distilled starter lies or is put")
    parser.add_argument("--steps", type=int, help="training steps")
    parser.add_argument("--prompts", type=int, help="pictures that are judged, of either kind")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=WAYS, help="of the flat starter's")
    options = parsed(parser, {"rounds": SEEDS, "steps": STEPS, "prompts": 60},
                     {"rounds": 1, "steps": 200, "prompts": 24})
    if options.drawn_by is Painter:
        with opened(distilled_painter.Workshop, options) as workshop:
            return distilled_painter.run(workshop, options)
    with opened(Workshop, options) as workshop:
        known = {"the starter, 12 steps at guidance 3": workshop.judged(workshop.own, steps=12, cfg=3.0),
                 "the starter, 4 steps at guidance 3": workshop.judged(workshop.own, cfg=3.0),
                 "the starter, 4 steps without guidance": workshop.judged(workshop.own),
                 "the distilled starter": workshop.judged(workshop.distilled)}
        print(known, flush=True)
        rows = [(way, seed, *workshop.learnt(way, seed)) for seed in range(options.rounds) for way in options.ways]
    publish(known, rows, options)


class Workshop(OnStarter):
    """Both starters, the pictures of the new thing, and prompts to judge by."""

    def __init__(self, pack, folder, options):
        import folder_paths
        import pictures
        import torch

        import nodes
        super().__init__(pack, folder)
        model, lora = distilled_starter.made(options.folder or folder / "distilled")
        folder_paths.add_model_folder_path("diffusion_models", str(model.parent), is_default=True)
        (folder / "loras").mkdir(exist_ok=True)
        shutil.copyfile(lora, folder / "loras" / lora.name)
        self.steps, self.own, self.lora = options.steps, self.starter.model, lora.name
        self.distilled, = nodes.UNETLoader().load_unet(model.name, "default")
        rng = random.Random(7)
        scenes = [self.scene(rng) for _ in range(PICTURES)]
        with torch.inference_mode():
            self.seen = self.dataset(self.latents(torch.stack([pictures.draw(scene, 128, rng) for scene in scenes])),
                                     [self.starter.encode(scene.prompt) for scene in scenes])
        rng = random.Random(8)
        self.asked = {"the new thing": [self.scene(rng) for _ in range(options.prompts)],
                      "other things": [distilled_starter.scene_of_one(rng, True) for _ in range(options.prompts)]}

    def scene(self, rng):
        import pictures
        ground, style, place, size = (rng.choice(list(each)) for each in (
            pictures.GROUNDS, pictures.STYLES, pictures.PLACES, pictures.SIZES))
        made = pictures.one_thing(rng, SHAPE, COLOUR, ground, style, place, size)
        return made._replace(prompt=made.prompt.replace(f"{COLOUR} {SHAPE}", WORD))

    def learnt(self, way, seed):
        """Shares that are right with the LoRA of a way on the distilled starter."""
        import comfy.sd
        recipe = self.part("training.plan.recipe").Recipe(base_lora=self.lora if way == "with base_lora" else "")
        self.starter.model = self.own if way == "on the starter itself" else self.distilled
        run = self.train(self.seen, self.steps, BATCH, 0.0, 16, seed, recipe)
        shares = self.judged(comfy.sd.load_lora_for_models(self.distilled, None, run.tensors, 1.0, 0.0)[0])
        print(way, seed, shares, flush=True)
        return shares

    def judged(self, model, steps=distilled_starter.STUDENT_STEPS, cfg=1.0):
        """(share of right pictures of the new thing, of other things)"""
        import judge
        return [statistics.mean(judge.agrees(judge.find(self.draw(model, scene.prompt, number, steps, cfg),
                                                        scene.ground), scene) for number, scene in enumerate(scenes))
                for scenes in self.asked.values()]

    def draw(self, model, prompt, seed, steps, cfg):
        """[3, 128, 128]"""
        import torch

        import nodes
        with torch.inference_mode():
            latent, = nodes.EmptyLatentImage().generate(128, 128, 1)
            latent, = nodes.KSampler().sample(model, seed, steps, cfg, "euler", "simple", self.starter.encode(prompt),
                                              self.starter.empty, latent)
            return nodes.VAEDecode().decode(self.starter.vae, latent)[0][0].movedim(-1, 0)


def publish(known, rows, options):
    share = lambda value: f"{value:.0%}"
    lines = [(name, "", *map(share, shares)) for name, shares in known.items()]
    lines += [(f"a LoRA trained {way}", str(seed), share(new), share(other)) for way, seed, new, other in rows]
    means = [(way, *(statistics.mean(row[column] for row in rows if row[0] == way) for column in (2, 3)))
             for way in options.ways]
    timing.publish(
        "distilled", "LoRAs for a distilled model",
        f"A starter distilled to {distilled_starter.STUDENT_STEPS} steps without guidance, {distilled_starter.PATHS} "
        f"paths and {distilled_starter.UPDATES} updates; LoRAs of {options.steps} steps at batch {BATCH} on {PICTURES} "
        "pictures of a new thing, used on the untouched distilled starter. Right by the starter's own judge, of "
        f"{options.prompts} prompts each; other things are combinations the starter was never trained on.",
        timing.table(["model", "seed", "the new thing", "other things"], lines),
        "Means: " + "; ".join(f"trained {way} {share(new)} and {share(other)}" for way, new, other in means) + ".")


if __name__ == "__main__":
    main()
