"""What a LoRA of woodcuts leaves of a painter that draws in 4 steps: trained plainly, and with a base_lora.

The distilled painter is that of starter/painter/distil.py. Its de-distillation LoRA is made as a user can make one:
Train LoRA on pictures that the distilled painter drew itself, so that it takes on what any training changes in such a
model. Both ways of training then see the same sixteen woodcuts in the same order. All is judged on the untouched
distilled painter, 4 steps without guidance, on combinations that it never saw.
"""
import shutil
import statistics
from pathlib import Path

import timing
from drawn_by import Painter
from on_starter import OnStarter

MODEL, ADAPTER = "bottega_painter_distilled.safetensors", "painter_de_distillation"
OWN, ADAPTER_STEPS, ADAPTER_RANK = 48, 150, 16
BATCH, RATE, RANK = 2, 1e-3, 8
PLAIN, BASE = WAYS = ("as it is", "with base_lora")
HEADER = ("model", "steps", "woodcuts: all but the medium right", "medium read", "other media: right")


class Workshop(OnStarter):
    """The distilled painter, what it learns and what it is asked."""

    def __init__(self, pack, folder, options):
        from painter import distil, style
        from painter.install import whole_model
        from safetensors.torch import load_file, save_file

        import nodes
        super().__init__(pack, folder, distil.STUDENT_STEPS, Painter)
        self.kept, self.output, self.steps = options.folder or folder / "distilled", folder, options.steps
        student = self.kept / "student.safetensors"
        if not student.exists():
            distil.distil(self.kept, student)
        save_file(whole_model(load_file(student)), folder / "models" / "diffusion_models" / MODEL)
        self.own, self.starter.guidance = self.starter.model, 1.0
        self.distilled, = nodes.UNETLoader().load_unet(MODEL, "default")
        self.starter.model = self.distilled
        images, scenes = style.painted("woodcut", range(style.LEARNT))
        self.woodcuts = self.dataset(self.latents(images.movedim(-1, 1)), self.encoded(scenes))
        self.asked = {"woodcut": self.starter.unseen(options.prompts, 2, media=("woodcut",)),
                      "other": self.starter.unseen(options.prompts, 3)}

    def encoded(self, scenes) -> list:
        import torch
        with torch.inference_mode():
            return [self.starter.encode(scene.caption) for scene in scenes]

    def adapter(self) -> str:
        """Name of the de-distillation LoRA, which the host lists from now on."""
        if not self.file(ADAPTER).exists():
            scenes = self.starter.seen(OWN, 4)
            drawn = [self.drawn(scene, 5000 + number) for number, scene in enumerate(scenes)]
            import torch
            data = self.dataset(torch.cat(drawn), self.encoded(scenes))
            self.learnt(ADAPTER, data, ADAPTER_STEPS, ADAPTER_RANK)
        (self.output / "loras").mkdir(exist_ok=True)
        shutil.copyfile(self.file(ADAPTER), self.output / "loras" / self.file(ADAPTER).name)
        return self.file(ADAPTER).name

    def drawn(self, scene, seed):
        """Latents [1, 16, 32, 32] of a picture of the distilled painter."""
        import torch

        import nodes
        with torch.inference_mode():
            return nodes.KSampler().sample(self.distilled, seed, self.starter.steps, 1.0, "euler", "simple",
                                           self.starter.encode(scene.caption), self.starter.empty,
                                           self.starter.latent)[0]["samples"]

    def file(self, name: str) -> Path:
        return self.kept / f"{name}.safetensors"

    def learnt(self, name: str, data, steps: int, rank: int, seed: int = 1, base: str = "") -> None:
        """Keeps the LoRA of a run at an even rate, and that of its first half."""
        from safetensors.torch import save_file
        plan = self.part("training.plan.recipe")
        recipe = plan.Recipe(base_lora=base, schedule=plan.SchedulePlan(shape="constant"),
                             checkpoints=plan.CheckpointPlan(every=steps // 2, loras=True))
        run = self.train(data, steps, BATCH, RATE, rank, seed, recipe, name=name)
        early = self.file(f"{name}_step{steps // 2:06}")
        shutil.copyfile(self.output / "loras" / early.name, early)
        save_file(run.tensors, self.file(name))

    def style(self, way: str, seed: int) -> dict[int, Path]:
        """The LoRAs of the woodcuts by their number of steps."""
        name = f"woodcut_{WAYS.index(way)}_{seed}"
        if not self.file(name).exists():
            self.learnt(name, self.woodcuts, self.steps, RANK, seed, self.adapter() if way == BASE else "")
        half = self.steps // 2
        return {half: self.file(f"{name}_step{half:06}"), self.steps: self.file(name)}

    def with_lora(self, path: Path, model=None):
        import comfy.sd
        import comfy.utils
        return comfy.sd.load_lora_for_models(model or self.distilled, None, comfy.utils.load_torch_file(str(path)),
                                             1.0, 0.0)[0]

    def judged(self, model) -> dict[str, list[bool]]:
        """By column, a figure for each picture."""
        starter, found = self.starter, {name: [] for name in HEADER[2:]}
        for number, scene in enumerate(self.asked["woodcut"]):
            picture = self.picture(model, scene, number)
            wrong = starter.judge.wrong(picture, scene)
            found[HEADER[2]].append(not set(wrong) - {"medium"})
            found[HEADER[3]].append("medium" not in wrong)
        for number, scene in enumerate(self.asked["other"]):
            found[HEADER[4]].append(not starter.judge.wrong(self.picture(model, scene, 1000 + number), scene))
        return found

    def picture(self, model, scene, seed):
        """[256, 256, 3] uint8."""
        import torch
        with torch.inference_mode():
            return (self.starter.picture(scene.caption, seed, model)[0].clamp(0, 1) * 255).round().byte().numpy()


def run(workshop: Workshop, options) -> None:
    """Judges every way and publishes the table."""
    rows, found = [], {}
    def row(name, steps, model):
        rows.append((name, steps, workshop.judged(model)))
        print(name, steps, *cells(rows[-1][2]), flush=True)
    row("the distilled painter", "", workshop.distilled)
    for part in (1, 0):                     # the whole runs first
        for seed in range(options.rounds):
            for way in WAYS:
                steps, path = list(workshop.style(way, seed).items())[part]
                row(f"a LoRA trained {way}, seed {seed}", str(steps), workshop.with_lora(path))
                found[way, seed, steps] = rows[-1][2]
        if part:
            publish(rows, found, options)
            row("the distilled painter with the de-distillation LoRA", "", workshop.with_lora(workshop.file(ADAPTER)))
            row("the painter, 4 steps without guidance", "", workshop.own)
    publish(rows, found, options)


def cells(figures: dict[str, list[bool]]) -> list[str]:
    return [f"{statistics.mean(values):.0%}" for values in figures.values()]


def against(found: dict, seeds: int, steps: int) -> list[str]:
    """The means of base_lora's figures less those of plain training on the same pictures, with standard errors."""
    said = []
    for name in HEADER[2:]:
        gaps = [100 * (base - plain) for seed in range(seeds) for base, plain in
                zip(found[BASE, seed, steps][name], found[PLAIN, seed, steps][name], strict=True)]
        said.append(f"{statistics.mean(gaps):+.0f} ± {statistics.stdev(gaps) / len(gaps) ** 0.5:.0f} points")
    return said


def publish(rows, found, options) -> None:
    stops = sorted({steps for _, _, steps in found}, reverse=True)
    lines = [(name, steps, *cells(figures)) for name, steps, figures in rows]
    lines += [("with base_lora less as it is", str(steps), *against(found, options.rounds, steps)) for steps in stops]
    timing.publish(
        "distilled_painter", "LoRAs for a distilled painter",
        f"The painter distilled to 4 steps without guidance (`starter/painter/distil.py`), 256 x 256. LoRAs of rank "
        f"{RANK} on 16 woodcuts, batch {BATCH}, an even rate of {RATE:g}; the de-distillation LoRA has rank "
        f"{ADAPTER_RANK} and saw {ADAPTER_STEPS} steps on {OWN} pictures that the distilled painter drew. Judged on "
        f"the untouched distilled painter, 4 steps without guidance, {options.prompts} unseen captions of "
        "either kind, by the painter's judge; the difference of the two ways is that on the same captions and noises, "
        "with its standard error.",
        timing.table(HEADER, lines))
