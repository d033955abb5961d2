"""What Training Set gains by opening pictures while the VAE encodes the ones before.

A folder of JPEG files as cameras write them becomes a training set in two ways in turn: as it is, and with each picture
opened when its turn has come. The audit is on, nothing is cached.
"""
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import timing

ROUNDS, PICTURES, SIZE, WAIT = 5, 8, (2000, 1500), (0.1, 0.4)      # seconds that a card's VAE takes
SIDE, SMALL = 1024, 256         # resolutions: with the waiting VAE, with one that computes


def main():
    parser = timing.parser(__doc__, ROUNDS)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    options = parser.parse_args()
    pack = timing.start_host("training", "../starter")
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder), options.pictures)
        vae, clip = models()
        rows = [row(pack, folder, f"takes {wait:g} s a picture and no processor time", waiting(wait), clip, SIDE,
                    options.rounds) for wait in WAIT]
        rows.append(row(pack, folder, "of the starter, on the CPU", vae, clip, SMALL, options.rounds))
    threads = timing.part(pack, "training.data.made_ahead").THREADS
    timing.publish(
        "made_ahead", "A training set whose pictures are opened ahead",
        f"Seconds a picture of {SIZE[0]} x {SIZE[1]} pixels, {options.pictures} of them: median of {options.rounds} "
        f"interleaved rounds; the ratio is that within a round. {threads} thread"
        f"{'s open' if threads > 1 else ' opens'} pictures. A VAE that waits stands for one on a card, which leaves "
        "the processor free; none was there.",
        timing.table(["the VAE", "resolution", "one after another, s", "opened ahead, s", "time of it"], rows))


def row(pack, folder, name, vae, clip, resolution, rounds):
    ahead = made(pack, folder, vae, clip, resolution)

    def in_turn():
        module = timing.part(pack, "training.data.preparation")
        kept, module.made_ahead = module.made_ahead, one_after_another
        try:
            return ahead()
        finally:
            module.made_ahead = kept

    seconds = timing.interleave({"in turn": in_turn, "ahead": ahead}, rounds)
    return (name, str(resolution), *(f"{statistics.median(seconds[each]):.3g}" for each in ("in turn", "ahead")),
            f"{timing.ratio(seconds['ahead'], seconds['in turn']):.2f}")


@contextmanager
def one_after_another(at_hand, make, items):
    yield ((item, lambda item=item: make(item)) for item in items)


def made(pack, folder, vae, clip, resolution):
    """A contender: seconds a picture."""
    import torch
    data = timing.part(pack, "training.data")
    plan = data.preparation.Preparation(resolution=resolution)

    def run():
        began = time.perf_counter()
        with torch.inference_mode():
            sources, notes = data.sources.settled(folder, [], [], [], [], "thing", "", "none")
            data.preparation.prepare(sources, vae, clip, plan, lambda done, of: None, notes)
        return (time.perf_counter() - began) / len(sources)
    return run


def models():
    import comfy.sd
    import comfy.utils
    import text
    import vae as written
    comfy.utils.PROGRESS_BAR_ENABLED = False
    return comfy.sd.VAE(sd=written.write_down()), comfy.sd.load_text_encoder_state_dicts(
        [text.write_down()], clip_type=comfy.sd.CLIPType.SD3)


def waiting(seconds):
    """A VAE that averages 8 x 8 pixels and takes its time."""
    import comfy.sd
    import torch
    import vae as written
    made = comfy.sd.VAE(sd=written.write_down())

    def encode(pixels):
        time.sleep(seconds)
        small = torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), 8)
        return small.mean(1, keepdim=True).repeat(1, 16, 1, 1)

    made.encode = encode
    return made


def make_pictures(folder, count):
    """Coarse shapes with the noise of a camera, each another."""
    import numpy as np
    from PIL import Image
    for number in range(count):
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(0, 255, (15, 20, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
        noisy = np.asarray(coarse, np.int16) + random.integers(-8, 9, (*SIZE[::-1], 3), np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:03}.jpg", quality=92)


if __name__ == "__main__":
    main()
