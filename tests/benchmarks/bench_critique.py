"""The critique of one photograph: seconds and memory at three sizes, alone and in a batch, and where the time goes.

The photograph is scikit-image's astronaut, 512 x 512, resized.
"""
import importlib
import pkgutil
import statistics
import subprocess
import sys

import timing

ROUNDS = 3
SIZES = (512, 1024, 2048)
HUGE = (7680, 4320)
BATCH = 4
TOOLBOX_SECONDS = 45  # the Aesthetics-Toolbox 005e036 for one picture of 1024 pixels on two cores, as issue 5 gives it
PLANES = ("palettes", "grey", "edges", "edge_points")


def main():
    parser = timing.parser(__doc__, ROUNDS)
    parser.add_argument("--peak", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"),
                        help="only print the peak memory before and after one")
    options = parser.parse_args()
    if options.peak:
        return print(*peak_memory(tuple(options.peak)))
    # First, while this process is small: on Linux a child's peak starts at what its parent held.
    memory = {size: peak_in_new_process((size, size)) for size in SIZES}
    huge = peak_in_new_process(HUGE)
    pack = start()
    publish(by_size(pack, options.rounds, memory), huge, by_part(pack, options.rounds), options.rounds)


def start():
    """The pack with every module of the critique loaded: the nodes load them when they run."""
    pack = timing.start_host()
    room = pack.nodes.critique
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
    return pack


def publish(sizes, huge, parts, rounds):
    timing.publish(
        "critique", "The critique of one photograph",
        f"Seconds, median of {rounds} interleaved runs; ratio to 1024 pixels, within a round. Peak memory is that of a "
        "new process, before (host, pack and picture) and after the critique. A picture that is not 1024 pixels long "
        "is measured twice: at 1024, which the score needs, and at its own size. The Aesthetics-Toolbox takes about "
        f"{TOOLBOX_SECONDS} s for its measures of one picture of 1024 pixels.",
        timing.table(["picture", "seconds", "ratio", "toolbox / pack", "MB before", "MB at the peak"], sizes),
        "One picture of {} x {} pixels: {} MB before, {} MB at the peak.".format(*HUGE, *huge),
        "Where the time goes at 1024 pixels:", timing.table(["part", "ms", "share"], parts))


def by_size(pack, rounds, memory):
    critic, asked = pack.nodes.critique.critic, pack.nodes.critique.critic.standard()
    images = {size: photograph((size, size)) for size in SIZES}

    def several():
        for _ in range(BATCH):
            critic.study(images[1024], asked)

    work = {size: lambda image=image: critic.study(image, asked) for size, image in images.items()}
    seconds = timing.interleave({name: timing.timed(job) for name, job in {**work, "batch": several}.items()}, rounds)
    none = ("", "")
    return [(f"{size} x {size}" if size in SIZES else f"{BATCH} of 1024 x 1024", f"{statistics.median(values):.2f}",
             f"{timing.ratio(values, seconds[1024]):.2f}",
             f"{TOOLBOX_SECONDS / statistics.median(values):.0f}" if size == 1024 else "", *memory.get(size, none))
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
    picture, paintings = critique.picture.Picture.from_images(photograph((1024, 1024))), critique.reference.paintings()
    seconds = {f"planes shared by measures ({', '.join(PLANES)})":
               timing.timed(lambda: [getattr(picture, plane) for plane in PLANES])()}
    for name, function in critique.measures.MEASURES.items():
        seconds[name] = timing.timed(lambda function=function: function(picture))()
    measures = {name: value.item() for name, value in critique.measures.measure(picture).items()}
    judged, paper = critique.score.judge(measures, paintings), pack.nodes.charts.theme.LIGHT.paper
    column = critique.explain.evidence(judged).column
    heat = critique.heat.HeatMap(column, critique.heat.EXACT[column](picture)[0], True)
    seconds["heat map"] = timing.timed(
        lambda: pack.nodes.charts.draw.render(critique.explain.heatmap(picture, heat), paper))()
    seconds["strip of heat maps for the page"] = timing.timed(
        lambda: critique.heat.tiles(picture, critique.rubric.RUBRIC))()
    seconds["chart"] = timing.timed(
        lambda: pack.nodes.charts.draw.render(critique.critic.chart(judged, paintings), paper))()
    return seconds


def photograph(size):
    """IMAGE [1, height, width, 3], 0..1, of size (width, height)."""
    import numpy as np
    import torch
    from PIL import Image
    from skimage import data
    resized = Image.fromarray(data.astronaut()).resize(size, Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255)[None]


def peak_in_new_process(size):
    """(MB before, MB at the peak) as words."""
    try:
        import resource  # noqa: F401
    except ImportError:
        return ("not measured: needs Linux or macOS",) * 2
    command = [sys.executable, __file__, "--peak", *map(str, size)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(printed.split()[-2:])


def peak_memory(size):
    pack = start()
    critic, image = pack.nodes.critique.critic, photograph(size)
    asked = critic.standard()
    before = megabytes()
    critic.study(image, asked)
    return before, megabytes()


def megabytes():
    """The largest resident size of this process so far."""
    import resource
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


if __name__ == "__main__":
    main()
