"""What a large training set costs in memory and time, held in memory and kept in the cache.

Each row is a process of its own: a folder of pictures of 32 x 32 pixels, each another, with 16 different captions
becomes a training set, twice (the second start finds all in the cache), and a small model trains a few steps on it.
Memory is the most that the process held (VmHWM) beyond what it held with all models loaded.
"""
import json
import subprocess
import sys
import time
from pathlib import Path

import timing

COUNTS, IN_MEMORY, STEPS, CAPTIONS, SIDE = (1_000, 30_000), (1_000,), 10, 16, 32


def main():
    parser = timing.parser(__doc__, 1)
    parser.add_argument("--pictures", type=int, help="measure this number alone, in this process")
    parser.add_argument("--in-memory", action="store_true", help="without the cache")
    options = parser.parse_args()
    if options.pictures:
        print(json.dumps(measured(options.pictures, not options.in_memory)))
        return
    timing.start_host()
    runs = [(count, True) for count in COUNTS] + [(count, False) for count in IN_MEMORY]
    rows = [row(count, cached, apart(count, cached)) for count, cached in runs]
    timing.publish(
        "training_set", "A training set in memory and in the cache",
        f"Pictures of {SIDE} x {SIDE}, {CAPTIONS} captions (1.2 MB each, encoded), the audit on, {STEPS} steps of "
        "batch 4; an average over 8 x 8 pixels takes the place of the VAE. Asked: memory flat from 1,000 to 30,000, "
        "and nothing opened or encoded by a second start.",
        timing.table(["pictures", "first start, s", "second, s", "opened and encoded by the second",
                      "memory of the first, MB", "of the second, MB", "of the training, MB", "s a step"], rows))


def row(count, cached, found):
    return (f"{count:,}{'' if cached else ', in memory'}", *(f"{found[name]:,.4g}" for name in (
        "first", "second", "again", "first MB", "second MB", "training MB", "step")))


def apart(count, cached):
    """What a process of its own measures."""
    asked = [sys.executable, __file__, "--pictures", str(count), *([] if cached else ["--in-memory"])]
    done = subprocess.run(asked, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def measured(count, cached):
    pack = timing.start_host("training", "../starter")
    with timing.output_folder() as folder:
        import comfy.sd
        import comfy.utils
        import folder_paths
        import text
        import training_models
        import vae as written
        comfy.utils.PROGRESS_BAR_ENABLED = False
        folder_paths.set_user_directory(str(folder))
        make_pictures(folder / "pictures", count)
        vae = comfy.sd.VAE(sd=written.write_down())
        clip = comfy.sd.load_text_encoder_state_dicts([text.write_down()], clip_type=comfy.sd.CLIPType.SD3)
        model = training_models.tiny_sd3(text=4096, pooled=2048)
        start(pack, vae, clip, folder / "pictures", 8, cached)       # what is loaded once
        train(pack, model, start(pack, vae, clip, folder / "pictures", 8, cached))
        vae.encode = averaged
        found, base = {}, resident("VmRSS")
        for which in ("first", "second"):
            dataset = None                                          # the first set is not held beside the second
            encodings = Counting(vae, clip)
            reset()
            began = time.perf_counter()
            dataset = start(pack, vae, clip, folder / "pictures", None, cached)
            found |= {which: time.perf_counter() - began, f"{which} MB": resident("VmHWM") - base, "again": encodings()}
        reset()
        seconds = train(pack, model, dataset)
        return {**found, "training MB": resident("VmHWM") - base, "step": seconds}


class Counting:
    """How often a VAE and text encoders were asked."""

    def __init__(self, vae, clip):
        self.count = 0
        for owner, name in ((vae, "encode"), (clip, "encode_from_tokens_scheduled")):
            setattr(owner, name, self.counting(getattr(owner, name)))

    def counting(self, whole):
        def counted(*args, **options):
            self.count += 1
            return whole(*args, **options)
        return counted

    def __call__(self):
        return self.count


def averaged(pixels):
    """In the place of the VAE, whose arithmetic is most of the time and not what is measured."""
    import torch
    small = torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), 8)
    return small.mean(1, keepdim=True).repeat(1, 16, 1, 1)


def start(pack, vae, clip, folder, first, cached):
    """The training set of a folder, or of its `first` pictures."""
    import torch
    data = pack.nodes.training.data
    plan = data.preparation.Preparation(resolution=SIDE, cache=cached)
    with torch.inference_mode():
        sources, notes = data.sources.settled(str(folder), [], [], [], [], "", "", "none")
        return data.preparation.prepare(sources[:first], vae, clip, plan, lambda done, of: None, notes, "set").dataset


def train(pack, model, dataset):
    """Seconds a step."""
    t = pack.nodes.training
    settings = t.plan.settings.Settings(STEPS, 4, 1e-3, 4, 1, t.plan.recipe.Recipe())
    return t.training_run.train(model, dataset, settings, "set", t.monitoring.progress.Progress(STEPS, "1")
                                ).seconds_a_step


def make_pictures(folder, count):
    import numpy as np
    from PIL import Image
    folder.mkdir()
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{number:06}.png")
        (folder / f"{number:06}.txt").write_text(f"thing {number % CAPTIONS}", encoding="utf-8")


def resident(what):
    """MB of this process: VmRSS now, VmHWM at most since reset(). Linux alone tells it."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[what].split()[0]) / 1024


def reset():
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
