"""What is told of a measured reference: in words, and a record of every picture."""
import re
from pathlib import Path

from ..explain.phrases import called, digits
from ..reference.collection import Collection
from ..reference.distributions import SCORED, Reference, paintings, target
from ..score.judge import judge

YEAR = re.compile(r"(?<![0-9A-Za-z])(?:1[2-9]|20)\d\d(?![0-9A-Za-z])")  # 1872 and not 1280x720
IN_BATCH = re.compile(r"picture \d+ of images")  # as a collection calls those that are no files


def report(collection: Collection) -> str:
    """What was measured, in Markdown: how many, how sure, what could not be read, and what is particular."""
    reference, broken, _, notes = collection
    lines = [f"**{reference.name}**: {reference.count} measured, every percentile ±{reference.band:.1f} points."]
    if reference.warning:
        lines.append(f"Careful: {reference.warning}")
    if broken:
        lines.append(f"{len(broken)} could not be measured and are left out:\n\n"
                     + "\n".join(f"* {sentence}" for sentence in broken))
    if notes:
        lines.append("\n".join(f"* {note}" for note in notes))
    return "\n\n".join([*lines, particular(reference)])


def particular(reference: Reference) -> str:
    """The five columns of the total that lie furthest from the middle of the paintings."""
    tradition = paintings()
    places = {column: target(reference, column, tradition) for column in SCORED}
    furthest = sorted(SCORED, key=lambda column: -abs(places[column][0] - 50))[:5]
    rows = [f"| {called(column)} | {digits(reference.quantiles[column][50])} | {places[column][0]:.0f} ± "
            f"{places[column][1]:.0f} |" for column in furthest]
    return "\n".join(["Where they differ most from the paintings:", "",
                      "| measure | median | percentile in the paintings |", "|---|---:|---:|", *rows])


def records(collection: Collection) -> list[dict]:
    """Of each picture its file, the year in its name, its score among the paintings and its measures."""
    return [{"file": label, "year": _year(label), "score": judge(measures, paintings()).score, **measures}
            for label, measures in collection.pictures]


def _year(label: str) -> int | None:
    found = None if IN_BATCH.fullmatch(label) else YEAR.search(Path(label).stem)
    return int(found[0]) if found else None
