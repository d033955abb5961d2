"""Galleries: what a picture costs, whether every engine gives the same bits, what memory and known pictures cost.

The pictures are pieces of scikit-image's photographs, cut, mirrored and brightened, four of them broken. Takes about
ten minutes on two quiet cores; Ray takes part where it is installed.
"""
import importlib.util
import os
import runpy
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import timing

PACK = Path(__file__).resolve().parents[2]
COMMAND = PACK / "nodes" / "critique" / "gallery"
ROUNDS, WORKERS = 5, 2
SIZES = {"1024 x 768": (1024, 768), "256 x 192": (256, 192)}
BEFORE = {"1024 x 768, all": (0.368, 0.279), "256 x 192, all": (0.430, 0.320),
          "1024 x 768, colour and value": (0.044, 0.040), "256 x 192, colour and value": (0.073, 0.068)}
"""(before, now): medians of three processes each, in turn, a load of 12 on two cores."""
NAMES = ("astronaut", "camera", "cat", "coffee", "coins", "page", "text", "moon", "rocket", "clock", "brick", "grass")
BROKEN = (3, 5, 7, 9)
QUICK = "colour and value"
STANDS_IN = '''
import json, os, runpy
alone = runpy.run_path({alone!r})["module"]
alone("shared.spawning").end_with_parent()
names = {names!r}
CONNECTION.send_bytes(b"listening")
CONNECTION.recv_bytes()
CONNECTION.send_bytes(b"ready")
while message := CONNECTION.recv_bytes():
    path, size, mtime_ns, place, start = json.loads(message)
    CONNECTION.send_bytes(json.dumps({{"path": path, "size": size, "mtime_ns": mtime_ns, "error": "",
                                      **{{name: size / (number + 1) for number, name in enumerate(names)}}}}).encode())
'''


def main():
    parser = timing.parser(__doc__, ROUNDS)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--kinds", choices=("all", QUICK), nargs="*", default=("all", QUICK), help="of the engines")
    parser.add_argument("--rows", type=int, default=100_000, help="of the memory test")
    parser.add_argument("--memory", type=int, metavar="ROWS", help="only print the peak memory after a tenth and all")
    parser.add_argument("--only", choices=("cost", "engines", "memory", "known"), nargs="*",
                        default=("cost", "engines", "memory", "known"))
    options = parser.parse_args()
    if options.memory:
        return print(*peak_memory(options.memory))
    parts = {"cost": lambda: cost(options.rounds), "engines": lambda: engines(options.pictures, options.kinds),
             "memory": lambda: memory(options.rows), "known": known}
    timing.start_host()     # for the line of versions
    timing.publish("gallery", "Galleries", *(text for name in options.only for text in parts[name]()))


def alone():
    return runpy.run_path(str(PACK / "nodes" / "shared" / "pack_alone.py"))["module"]


def cost(rounds):
    """Processor seconds a picture: reading a JPEG file, measuring, judging; one thread."""
    import torch
    torch.set_num_threads(1)
    module = alone()
    module("shared.freed_memory").keep()    # as the processes of a gallery do
    measuring, entry = module("critique.gallery.measuring"), module("critique.gallery.entries").Entry
    measurers = {kind: measuring.Measurer(measuring.Settings(kind)) for kind in measuring.KINDS}
    with tempfile.TemporaryDirectory() as folder:
        work = {}
        for name, size in SIZES.items():
            path = Path(folder) / f"{name}.jpg"
            photograph(size).save(path, quality=90)
            own = entry(name, 0, 0, str(path))
            for kind, measurer in measurers.items():
                work[f"{name}, {kind}"] = lambda m=measurer, e=own: processor_seconds(lambda: m.row(e))
        found = timing.interleave(work, rounds)
    rows = [(name, f"{statistics.median(values):.3f}", f"{1 / statistics.median(values):.1f}",
             *before(name, values)) for name, values in found.items()]
    yield ("Processor seconds of one thread for a picture, a JPEG file read, measured and judged: median of "
           f"{rounds} interleaved runs. Before: the same function with the measures as they were before they were "
           "made faster the second time, measured in turn with the new ones on the same machine on 2026-11-30, not "
           "rerun here. The first time all measures became 1.75 times as fast. "
           "Asked: 4 a second with all measures at 1024 pixels, 20 with colour and value alone.")
    yield timing.table(["picture, measures", "seconds", "a second", "before, in turn", "before / now"], rows)


def before(name, values):
    old = BEFORE.get(name)
    return (f"{old[0]:.3f}", f"{old[0] / old[1]:.2f}") if old else ("", "")


def processor_seconds(function):
    began = time.process_time()
    function()
    return time.process_time() - began


def photograph(size):
    from PIL import Image
    from skimage import data
    return Image.fromarray(data.astronaut()).resize(size, Image.Resampling.LANCZOS)


def make(folder, count):
    import numpy as np
    import skimage.data
    from PIL import Image
    whole, draw = [np.asarray(getattr(skimage.data, name)()) for name in NAMES], np.random.default_rng(0)
    for number in range(count):
        image = Image.fromarray(whole[number % len(whole)]).convert("RGB")
        width, height = (int(draw.integers(96, side)) for side in image.size)
        x, y = int(draw.integers(0, image.width - width + 1)), int(draw.integers(0, image.height - height + 1))
        image = image.crop((x, y, x + width, y + height))
        if number % 3 == 0:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda level: int(level * .8 + 20))
        image.save(folder / f"{number:05}.{'png' if number % 2 else 'jpg'}")
    files = [folder / f"{number:05}.png" for number in BROKEN]
    files[0].write_bytes(b"no picture")
    files[1].write_bytes(files[1].read_bytes()[:400])
    files[2].write_bytes(b"")
    Image.new("RGB", (4, 4)).save(files[3])


def engines(count, kinds):
    """The rows of every engine, whole and killed, against those of the pool."""
    with tempfile.TemporaryDirectory() as place:
        folder, made = Path(place) / "pictures", {}
        folder.mkdir()
        make(folder, count)
        for name, kind, ways in plan(kinds):
            out, began = Path(place) / f"{kind} {name}".replace(" ", "_").replace(",", ""), time.perf_counter()
            for way in ways[:-1]:
                run(folder, out, kind, way, stop_after=count // 6)
            some = len(rows(out)) if ways[:-1] else 0
            run(folder, out, kind, ways[-1])
            made[name, kind] = rows(out), some, time.perf_counter() - began
            print(name, kind, len(made[name, kind][0]), some, f"{made[name, kind][2]:.0f} s", file=sys.stderr,
                  flush=True)
        lines = [(name, kind, str(some or ""), str(len(found)), str(sum(bool(row["error"]) for row in found.values())),
                  "same bits" if found == made["pool", kind][0] else "DIFFERENT", f"{seconds:.0f}")
                 for (name, kind), (found, some, seconds) in made.items()]
    yield (f"{count} real pictures, {len(BROKEN)} of them broken, {WORKERS} processes. Killed with SIGKILL, the "
           "process and its children, and begun again; the rows of each against those of the pool.")
    yield timing.table(["run", "measures", "rows when killed", "rows", "with an error", "numbers", "seconds"], lines)


def plan(kinds):
    ways = {"pool": ["pool"], "pool, killed": ["pool", "pool"]}
    if importlib.util.find_spec("ray"):
        ways |= {"Ray": ["ray"], "Ray, killed, then the pool": ["ray", "pool"]}
    return [(name, kind, own) for kind in kinds for name, own in ways.items()]


def run(folder, out, kind, way, stop_after=None):
    more = ["--ray", "local"] if way == "ray" else []
    child = subprocess.Popen([sys.executable, str(COMMAND), str(folder), "--out", str(out), "--workers", str(WORKERS),
                              "--measures", kind, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             start_new_session=True)
    if stop_after is None:
        said, error = child.communicate()
        assert child.returncode == 0, said + error
        return
    seen = ""
    while not any(f"{number} of" in seen for number in range(stop_after, stop_after + 64)):
        seen = (seen + child.stderr.read(8))[-400:]
        assert child.poll() is None, seen
    flushed = time.monotonic() + 70     # a part is written every minute
    while time.monotonic() < flushed and not list(out.glob("part-*")):
        child.stderr.read(1)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def rows(out):
    """Every row of a table by its path, without NaN, which equals nothing."""
    tables, found = alone()("shared.picture_table"), {}
    table = tables.PictureTable(out)
    names = ["path", "size", "mtime_ns", "error", *table.columns]
    for part in table.parts:
        held = tables.read_part(part, names)
        for row in zip(*(list(held[name]) for name in names), strict=True):
            found[row[0]] = {name: None if value != value else value for name, value in zip(names, row, strict=True)}
    return found


def memory(count):
    printed = subprocess.run([sys.executable, __file__, "--memory", str(count)], capture_output=True, text=True,
                             check=True).stdout.split()
    yield (f"Peak memory of the process that hands out pictures and writes parts, {count} pictures. They are stood in "
           "for by names, and their rows are made up by the processes instead of measured: it is the table that is "
           "tried, with its real columns.")
    yield timing.table(["rows", "MB", "rows a second"], [(str(count // 10), printed[0], ""),
                                                         (str(count), printed[1], printed[2])])


def peak_memory(count):
    """(MB after a tenth, MB after all, rows a second)."""
    module = alone()
    entries, measuring, parts, pool = (module(f"critique.gallery.{name}") for name in (
        "entries", "measuring", "parts", "pool"))
    columns, settings = measuring.Measurer(measuring.Settings()).columns, measuring.Settings()
    found = [entries.Entry(f"folder/{number:07}.jpg", number, number, "") for number in range(count)]
    with tempfile.TemporaryDirectory() as place:
        script, out, seen = Path(place) / "stands_in.py", Path(place) / "out", []
        script.write_text(STANDS_IN.format(alone=str(PACK / "nodes" / "shared" / "pack_alone.py"), names=columns))
        parts.begin(out, {"columns": columns, "measures": "", "rubric": "", "reference": "", "root": ""})
        writer, began = parts.PartWriter(out, columns), time.perf_counter()
        for number, row in enumerate(pool.rows(found, settings, WORKERS, lambda: None, script), 1):
            writer.add(row)
            if number == count // 10:
                seen.append(megabytes())
        writer.flush()
        return *seen, megabytes(), round(count / (time.perf_counter() - began))


def megabytes():
    import resource
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def known(count=1_000_000, number=100):
    import pyarrow as pa
    import pyarrow.parquet as pq
    module = alone()
    parts, entry = module("critique.gallery.parts"), module("critique.gallery.entries").Entry
    paths = [f"gallery/{place // 1000}/picture_{place:08}.jpg" for place in range(count)]
    with tempfile.TemporaryDirectory() as out:
        for place in range(number):
            own = paths[place::number]
            pq.write_table(pa.table({"path": own, "size": pa.array([7] * len(own), pa.int64()),
                                     "mtime_ns": pa.array([9] * len(own), pa.int64())}),
                           Path(out) / f"part-{place:03}.parquet")
        entries, seconds = [entry(path, 7, 9, path) for path in paths], []
        for _ in range(3):
            began, wall = time.process_time(), time.perf_counter()
            held, _ = parts.known(Path(out))
            assert not [each for each in entries if held.get(each.path) != each.key]
            seconds.append((time.process_time() - began, time.perf_counter() - wall))
    processor, wall = min(seconds)
    yield (f"{count} pictures that are known, in {number} parts, told from what is listed: {processor:.1f} s of "
           f"processor time, {wall:.1f} s by the clock (asked: under 5 s), the best of three. Listing a folder of as "
           "many files is not counted.")


if __name__ == "__main__":
    main()
