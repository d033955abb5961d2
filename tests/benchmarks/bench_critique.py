"""The critique of one photograph: seconds and memory at several sizes, alone, in a batch and in a folder.

The photograph is scikit-image's astronaut, 512 x 512, resized. Takes about six minutes on two quiet cores.
"""
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import timing

ROUNDS = 3
SIZES = (512, 1024, 2048)
HUGE = (7680, 4320)
BATCH = 4
TOOLBOX_SECONDS = 28.6, 45.9  # see `toolbox`: without the measures by its filters, and with them
ASKED_MB = 600
FOLDERS = {"few": (5, 25), "many": (100, 1000)}  # pictures after which the peak is read
SLOW = ("2nd-order EOE", "1st-order EOE", "Edge density", "Slope Redies")  # as slow at 256 pixels as at 1024
PLANES = ("palettes", "grey", "edges", "edge_points")


def main():
    parser = timing.parser(__doc__, ROUNDS)
    parser.add_argument("--peak", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"),
                        help="only print the peak memory before and after one")
    parser.add_argument("--folder", choices=FOLDERS, help="only print the peak memory of a folder, and its seconds")
    options = parser.parse_args()
    if options.peak:
        return print(*peak_memory(tuple(options.peak)))
    if options.folder:
        return print(*peak_of_folder(options.folder))
    # First, while this process is small: on Linux a child's peak starts at what its parent held.
    memory = {size: with_added(in_new_process("--peak", size, size)) for size in SIZES}
    huge = with_added(in_new_process("--peak", *HUGE))
    folders = [(words, str(FOLDERS[kind][1]), *in_new_process("--folder", kind, results=3)) for kind, words in
               (("few", "all measures at 1024 pixels"), ("many", f"at 256 pixels, without {', '.join(SLOW)}"))]
    pack = timing.start_host()
    rows = by_size(pack, options.rounds, memory)
    rows.append((" x ".join(map(str, HUGE)), "", "", *huge))
    publish(rows, folders, by_part(pack, options.rounds), options.rounds)

def publish(sizes, folders, parts, rounds):
    timing.publish(
        "critique", "The critique of one photograph",
        f"Seconds, median of {rounds} interleaved runs; ratio to 1024 pixels, within a round. Peak memory is that of a "
        "new process, before (host, torch, pack and picture) and after the critique; added is what the critique takes, "
        f"of which at most {ASKED_MB} MB at 1024 pixels were asked. A picture that is not 1024 pixels long is measured "
        "twice: at 1024, which the score needs, and at its own size.",
        timing.table(["picture", "seconds", "ratio", "MB before", "MB at the peak", "MB added"], sizes),
        toolbox(sizes),
        "A folder of pictures of 256 pixels through Critique Reference, with its progress bar: one picture is in "
        "memory at a time. Peak memory after the first of them and after all. The long folder leaves out what takes as "
        "long at 256 pixels as at 1024, so that it ends in minutes.",
        timing.table(["measured", "pictures", *(f"MB after {' or '.join(str(marks[at]) for marks in FOLDERS.values())}"
                                               for at in (0, 1)), "seconds"], folders),
        "Where the time goes at 1024 pixels:", timing.table(["part", "ms", "share"], parts))


def toolbox(sizes):
    """What is known of the toolbox; it is not installed here, so its figure is kept and not made again."""
    seconds = float(next(row[1] for row in sizes if row[0] == "1024 x 1024"))
    without, whole = TOOLBOX_SECONDS
    return (f"The Aesthetics-Toolbox (commit 005e036) took {without:.0f} s for its measures of the same picture of "
            f"1024 pixels, {whole:.0f} s with those by AlexNet filters, which the critique measures only where that "
            "file is: processor seconds of one thread on this kind of machine, measured on 2026-11-24 "
            "by calling its modules as its script does, the better of two runs, not rerun by this script. Against them "
            f"the whole critique, chart and heat maps included, is {without / seconds:.0f} times as fast (filters left "
            "out on both sides).")


def by_size(pack, rounds, memory):
    critic, asked = pack.nodes.critique.examination, pack.nodes.critique.examination.default_request()
    images = {size: photograph((size, size)) for size in SIZES}

    def several():
        for _ in range(BATCH):
            critic.criticise(images[1024], asked)

    work = {size: lambda image=image: critic.criticise(image, asked) for size, image in images.items()}
    seconds = timing.interleave({name: timing.timed(job) for name, job in {**work, "batch": several}.items()}, rounds)
    none = ("", "", "")
    return [(f"{size} x {size}" if size in SIZES else f"{BATCH} of 1024 x 1024", f"{statistics.median(values):.2f}",
             f"{timing.ratio(values, seconds[1024]):.2f}", *memory.get(size, none))
            for size, values in seconds.items()]


def by_part(pack, rounds):
    """The planes, the eight slowest measures, the others together, and the two drawings."""
    runs = [parts_of_one_run(pack) for _ in range(rounds + 1)][1:]
    medians = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
    whole = sum(medians.values())
    measures = sorted(pack.nodes.critique.measures.MEASURES, key=medians.get, reverse=True)
    others = {f"the other {len(measures) - 8} measures": sum(medians.pop(name) for name in measures[8:])}
    return [(part, timing.milliseconds([seconds]), f"{seconds / whole:.0%}")
            for part, seconds in sorted({**medians, **others}.items(), key=lambda item: -item[1])]


def parts_of_one_run(pack):
    critique = pack.nodes.critique
    picture, paintings = (
        critique.picture.planes.Picture.from_images(photograph((1024, 1024))),
        critique.reference.distributions.paintings(),
    )
    seconds = {f"planes shared by measures ({', '.join(PLANES)})":
               timing.timed(lambda: [getattr(picture, plane) for plane in PLANES])()}
    for name, function in critique.measures.MEASURES.items():
        seconds[name] = timing.timed(lambda function=function: function(picture))()
    measures = {name: value.item() for name, value in critique.measures.measure(picture).items()}
    judged, paper = critique.score.judge.judge(measures, paintings), pack.nodes.charts.drawing.theme.LIGHT.paper
    column = critique.explain.reasons.evidence(judged).column
    heat = critique.explain.heat_maps.HeatMap(
        column, critique.explain.heat_maps.EXACT[column](picture)[0], True
    )
    seconds["heat map"] = timing.timed(
        lambda: pack.nodes.charts.drawing.draw.render(critique.report.heat_map_picture.heatmap(picture, heat), paper))()
    seconds["strip of heat maps for the page"] = timing.timed(
        lambda: critique.explain.heat_maps.tiles(picture, critique.rubric.default_rubric.RUBRIC)
    )()
    seconds["chart"] = timing.timed(
        lambda: pack.nodes.charts.drawing.draw.render(critique.examination.chart(judged, paintings), paper))()
    return seconds


def photograph(size):
    """IMAGE [1, height, width, 3], 0..1, of size (width, height)."""
    import numpy as np
    import torch
    from PIL import Image
    from skimage import data
    resized = Image.fromarray(data.astronaut()).resize(size, Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255)[None]


def in_new_process(*arguments, results=2):
    """The last words that this file prints when it is run with other arguments."""
    try:
        import resource  # noqa: F401
    except ImportError:
        return ("not measured: needs Linux or macOS",) * results
    command = [sys.executable, __file__, *map(str, arguments)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(printed.split()[-results:])


def with_added(peak):
    """(MB before, MB at the peak, MB added) as words."""
    return (*peak, str(int(peak[1]) - int(peak[0])) if peak[1].isdigit() else "")


def peak_memory(size):
    pack = timing.start_host()
    critic, image = pack.nodes.critique.examination, photograph(size)
    asked = critic.default_request()
    before = megabytes()
    critic.criticise(image, asked)
    return before, megabytes()


def peak_of_folder(kind):
    """(MB after the first pictures, MB after all, seconds) of a new reference."""
    pack, (first, last), seen = timing.start_host(), FOLDERS[kind], {}
    import comfy.utils  # found once the host is
    if kind == "many":
        measure_less(pack.nodes.critique)

    def hook(value, total, preview, **_):
        if value >= first:
            seen.setdefault("first", megabytes())

    comfy.utils.set_progress_bar_global_hook(hook)
    with tempfile.TemporaryDirectory() as folder:
        pictures(Path(folder), last)
        began = time.perf_counter()
        pack.nodes.critique.nodes.critique_reference.CritiqueReference.execute(folder=folder)
        return seen["first"], megabytes(), round(time.perf_counter() - began)


def measure_less(critique):
    """A reference without the slow columns, at 256 pixels."""
    collection, left = (
        critique.reference.collection,
        [name for name in critique.measures.MEASURES if name not in SLOW],
    )
    measure = collection.measure
    collection.measure = lambda picture, bank: measure(picture, bank, left)
    collection.MEASURES, collection.CANONICAL = left, 256
    collection.SCORED = [name for name in collection.SCORED if name in left]


def pictures(folder, count):
    """Pieces of the photograph, 256 x 256, as JPEG files."""
    import numpy as np
    from PIL import Image
    from skimage import data
    whole, places = data.astronaut(), np.random.default_rng(0).integers(0, 256, (count, 2))
    for number, (y, x) in enumerate(places):
        Image.fromarray(whole[y:y + 256, x:x + 256]).save(folder / f"{number:04}.jpg")


def megabytes():
    """The largest resident size of this process so far."""
    import resource
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


if __name__ == "__main__":
    main()
