"""Critique Gallery from a terminal, without ComfyUI's server, with ComfyUI's Python:

    python ComfyUI/custom_nodes/bottega/nodes/critique/gallery FOLDER --out DIR

FOLDER is a folder of pictures (tar files in it are read too), a .tar file, a .parquet list with a column path, or an
address such as s3://bucket/folder. DIR gets the table (Parquet parts, CSV without pyarrow) and gallery.html. Started
again it goes on where it was, whichever engine ran before.
"""
import argparse
import os
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(arguments: list[str]) -> int:
    alone = runpy.run_path(str(HERE.parents[1] / "shared" / "pack_alone.py"))["module"]
    making, measuring = alone("critique.gallery.making"), alone("critique.gallery.measuring")
    asked = _options(measuring.KINDS).parse_args(arguments)
    settings = measuring.Settings(asked.measures, asked.rubric, None, _filters(asked.filters))
    # Whole paths, as the processes of a cluster may stand in other folders.
    folder = asked.folder if "://" in asked.folder else Path(asked.folder).resolve()
    request = making.Request(folder, Path(asked.out).resolve(), settings, asked.workers or os.cpu_count() or 1,
                             asked.ray, asked.again)
    try:
        made = making.make(request, lambda: None, _Line())
    except (ValueError, RuntimeError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; what was measured is kept, and the same command goes on.", file=sys.stderr)
        return 130
    print(*made.notes, sep="\n", end="\n" if made.notes else "")
    print(f"{made.done} of {made.found} pictures measured now, {made.errors} with an error; {made.page}")
    return 0


def _options(kinds: tuple[str, ...]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gallery", description=__doc__.split("\n\n")[0],
                                     epilog="\n\n".join(__doc__.split("\n\n")[2:]))
    parser.add_argument("folder", help="a folder, a .tar file, a .parquet list or an address")
    parser.add_argument("--out", required=True, help="the folder of the table")
    parser.add_argument("--workers", type=int, default=0, help="processes of one thread each; as many as there are "
                                                               "processors if not given")
    parser.add_argument("--ray", default="", metavar="ADDRESS", help="measure on a Ray cluster; local starts Ray here")
    parser.add_argument("--measures", choices=kinds, default=kinds[0])
    parser.add_argument("--rubric", default="", help="as in Art Critique; empty: the default rubric")
    parser.add_argument("--filters", default="", metavar="FOLDER", help="where AlexNet's filters lie, if not in "
                                                                        "models/bottega of this ComfyUI")
    parser.add_argument("--again", action="store_true", help="measure those anew that had an error")
    return parser


def _filters(folder: str) -> list[str]:
    """The folder that was given, or the one that ComfyUI would look into where the pack lies in its custom_nodes."""
    return [folder] if folder else [str(HERE.parents[4] / "models" / "bottega")]


class _Line:
    """The pace, on one line of a terminal."""
    def __call__(self, pace) -> None:
        print(f"\r{pace}   ", end="\n" if pace.done == pace.total else "", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.path.remove(str(HERE)) if str(HERE) in sys.path else None   # Python puts it there: names of this folder
    sys.exit(main(sys.argv[1:]))
