"""What several devices cost: the sum of a step between two processes, and a training and Best of N on two against one.

The sums are of a LoRA's gradient over gloo on the loopback, without anything else in the processes. The training is
the starter's at 128 pixels, batch 4, from the node: its own report says what a step and its sum took, and what rank 0
took by itself for the whole batch. Best of N draws the same seeds on one process and on two in turn: whole runs of
the node, with the start of the second process in them, and what a picture takes once it is there.
"""
import multiprocessing
import os
import re
import runpy
import statistics
import sys
import tempfile
import time
from pathlib import Path

import timing

ROUNDS = 5
MILLIONS = (1, 20)
STEPS = 48
SEEDS, SIDE, SAMPLING_STEPS = 8, 128, 20
TEAM = Path(__file__).resolve().parents[2] / "nodes" / "training" / "distributed" / "team.py"


def main():
    parser = timing.parser(__doc__, ROUNDS)
    parser.add_argument("--only", choices=("sums", "training", "best"), nargs="*", default=("sums", "training", "best"))
    options = parser.parse_args()
    texts = [*sums(options.rounds)] if "sums" in options.only else []
    host, install, folder = start()
    if "training" in options.only:
        step, summed, alone, gain = training(host, install, folder)
        texts.append(
            f"A training of the starter, 128 pixels, batch 4, {STEPS} steps on two processes: a step {step} s, "
            f"{summed} s of it in the sum and waiting; rank 0 by itself {alone} s for the whole batch: {gain} times "
            "as fast on two.")
    if "best" in options.only:
        texts += [
            f"Best of N, {SEEDS} seeds of the starter at {SIDE} pixels, {SAMPLING_STEPS} steps, the whole critique; in "
            f"turn, medians of {options.rounds}. Pace is without the start of the second process.",
            timing.table(["", "one process", "two", "one / two"], best_of(host, install, options.rounds))]
    timing.publish("devices", "Several devices", *texts)


def sums(rounds):
    rows = [(f"{millions} million", kind, *row) for kind in ("plain", "exact") for millions, row in sums_of(
        kind, rounds)]
    yield ("Two processes of one thread each, gloo on the loopback, fp32; medians of "
           f"{rounds}. Shares of the cores decide the wall time on a busy machine; processor time is of one process.")
    yield timing.table(["sum of", "kind", "ms wall", "ms of processor time"], rows)


def sums_of(kind, rounds):
    """[(millions, (wall, processor)) in milliseconds], as rank 0 sees them."""
    spawn, store = multiprocessing.get_context("spawn"), tempfile.mktemp()
    answers = spawn.SimpleQueue()
    ranks = [spawn.Process(target=rank, args=(number, store, kind, rounds, answers)) for number in range(2)]
    for each in ranks:
        each.start()
    found = [answers.get() for _ in MILLIONS]
    for each in ranks:
        each.join()
    return found


def rank(number, file, kind, rounds, answers):
    import torch
    import torch.distributed as dist
    torch.set_num_threads(1)
    store = dist.FileStore(file, 2)
    dist.init_process_group("gloo", rank=number, world_size=2, store=dist.PrefixStore("group", store))
    make = runpy.run_path(str(TEAM))["Team"]
    for millions in MILLIONS:
        team = make(number, 2, dist.PrefixStore(str(millions), store), 2 if kind == "exact" else 0)
        gradient, walls, owns = torch.ones(millions * 10 ** 6), [], []
        for _ in range(rounds + 1):
            team.begin(gradient)
            wall, own = time.perf_counter(), time.process_time()
            team.agree(gradient)
            walls.append(time.perf_counter() - wall)
            owns.append(time.process_time() - own)
        if number == 0:
            answers.put((millions, tuple(f"{statistics.median(each[1:]) * 1e3:.0f}" for each in (walls, owns))))
    dist.destroy_process_group()


def start():
    """(host, the starter's installer, a folder of its own)."""
    timing.start_host("../starter")
    import folder_paths
    import install
    from real_host import Host
    folder = Path(tempfile.mkdtemp())
    host = Host(folder)
    install.install_models(folder / "models")
    install.install_pictures(folder / "woodcuts")
    for kind in ("vae", "text_encoders", "diffusion_models"):
        folder_paths.add_model_folder_path(kind, str(folder / "models" / kind))
    return host, install, folder


def loaders(install):
    return {
        "model": {"class_type": "UNETLoader", "inputs": {"unet_name": install.MODEL, "weight_dtype": "default"}},
        "clip": {"class_type": "CLIPLoader", "inputs": {"clip_name": install.TEXT, "type": "sd3"}},
        "vae": {"class_type": "VAELoader", "inputs": {"vae_name": install.VAE}}}


def best_of(host, install, rounds):
    """Rows of (what, one process, two, ratio): the whole node, the pace of a picture, the processor time of all."""
    names = ("the node, s", "a picture, s", "the node, s of processor time")
    found = {devices: [] for devices in ("1", "2")}
    for number in range(rounds + 1):
        for devices, measured in found.items():
            began, own = time.perf_counter(), processor_seconds()
            shown, _ = host.run(best_of_graph(install, devices, seed=100 * number))
            seconds, own = time.perf_counter() - began, processor_seconds() - own
            told = re.search(r"and 2 came every ([\d.e+-]+) s", shown["best"]["text"][0])
            measured.append((seconds, float(told[1]) / 2 if told else seconds / SEEDS, own))
            print(devices, *measured[-1], file=sys.stderr, flush=True)
    rows = []
    for name, one, two in zip(names, *(zip(*measured[1:], strict=True) for measured in found.values()), strict=True):
        rows.append((name, f"{statistics.median(one):.2f}", f"{statistics.median(two):.2f}",
                     f"{timing.ratio(one, two):.2f}"))
    return rows


def processor_seconds():
    """Of this process and those that it has started and that have ended."""
    return sum(os.times()[:4])


def best_of_graph(install, devices, seed):
    def node(kind, **inputs):
        return {"class_type": kind, "inputs": inputs}
    return loaders(install) | {
        "words": node("CLIPTextEncode", text="a red circle on a white background", clip=["clip", 0]),
        "size": node("EmptySD3LatentImage", width=SIDE, height=SIDE, batch_size=1),
        "guider": node("BasicGuider", model=["model", 0], conditioning=["words", 0]),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
        "sigmas": node("BasicScheduler", model=["model", 0], scheduler="simple", steps=SAMPLING_STEPS, denoise=1.0),
        "best": node("BottegaBestOf", count=SEEDS, keep=1, seed=seed, rubric="", guider=["guider", 0],
                     sampler=["sampler", 0], sigmas=["sigmas", 0], latent_image=["size", 0], vae=["vae", 0],
                     devices=devices),
        "shown": node("PreviewImage", images=["best", 0])}


def training(host, install, folder):
    """(seconds a step, seconds of its sum, seconds of one device, ratio), as the node's report says them."""
    shown, _ = host.run(loaders(install) | {
        "set": {"class_type": "BottegaTrainingSet", "inputs": {
            "vae": ["vae", 0], "clip": ["clip", 0], "folder": str(folder / "woodcuts"), "resolution": 128}},
        "train": {"class_type": "BottegaTrainLora", "inputs": {
            "model": ["model", 0], "dataset": ["set", 0], "steps": STEPS, "batch_size": 4, "learning_rate": 1e-3,
            "rank": 4, "seed": 3, "name": "devices", "devices": "2"}}})
    told = re.search(r"A step took ([\d.e-]+) s, ([\d.e-]+) s of it .*? took ([\d.e-]+) s .*?: ([\d.]+) times as fast",
                     shown["train"]["text"][0])
    return told.groups()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
