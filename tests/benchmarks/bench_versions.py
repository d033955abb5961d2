"""What Compare Versions tells of two versions of a picture: pairs of the published table, damaged and edited pictures.

Pictures are read from subfolders of --pictures, which name their kind (painting, photograph, flat), beside those that
scikit-image carries. --noise also writes how far neutral edits move every measure, which the node shows.
"""
import csv
import json
import math
from collections import defaultdict
from functools import partial
from pathlib import Path
from statistics import median

import timing

TABLE = timing.TESTS.parents[1] / "shared" / "data" / "versions_dev.csv"
NOISE = timing.TESTS.parent / "nodes" / "critique" / "compare" / "neutral_noise.json"
CLAIMS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0)


def main():
    parser = timing.parser(__doc__, 1)
    parser.add_argument("--pictures", type=Path, help="a folder with a subfolder for each kind of picture")
    parser.add_argument("--noise", action="store_true", help="write neutral_noise.json anew")
    options = parser.parse_args()
    bench = Bench(timing.start_host("critique"))
    sections = [*bench.pairs(), *bench.edited(options.pictures, options.noise)]
    timing.publish("versions", "What Compare Versions tells", *sections)


class Bench:
    def __init__(self, pack):
        self.part = partial(timing.part, pack)
        self.light = self.part("critique.compare.light_and_colour")
        self.same = self.part("critique.compare.same_picture")
        self.distributions = self.part("critique.reference.distributions")
        self.judge = self.part("critique.score.judge").judge

    def pairs(self):
        """Every true pair of the table whose rows are here: those the curves were fitted on."""
        if not TABLE.is_file():
            return ["The published table is not on this machine, so no pairs were counted."]
        right, claims, typical = defaultdict(list), defaultdict(list), defaultdict(list)
        for kind, original, copy in true_pairs(TABLE):
            first, second = (self.light.reading(row) for row in (original, copy))
            right[kind].append(first.total > second.total)
            said = max(self.light.chance(first, second), self.light.chance(second, first))
            claims[band(said)].append(first.total > second.total)
            typical[kind].append(self.typicality(original) > self.typicality(copy))
        count = sum(map(len, right.values()))
        names = {"uglified": "spoiled by people", "auto": "spoiled by programs"}
        rows = [(names[kind], str(len(right[kind])), f"{mean(right[kind]):.3f}", f"{mean(typical[kind]):.3f}")
                for kind in names]
        every = [each for kind in names for each in right[kind]], [each for kind in names for each in typical[kind]]
        rows.append(("all", str(count), f"{mean(every[0]):.3f}", f"{mean(every[1]):.3f}"))
        return [f"## {count:,} pairs of an original and its spoiled copy",
                "The curves were fitted on these pairs; on the 836 that were held back they had .861 [.836, .883] "
                "right, typicality by the same columns .577.",
                timing.table(["pairs", "number", "light and colour right", "typicality right"], rows),
                "## How often a claim is right, on the same pairs",
                timing.table(["claimed", "pairs", "right"], [(name, str(len(claims[name])), f"{mean(claims[name]):.3f}")
                                                             for name in bands() if claims[name]])]

    def typicality(self, row):
        """Mean typicality of the scored columns that the table has, among the paintings."""
        paintings = self.distributions.paintings()
        found = {column: share for column, share in paintings.shares.items() if column in row}
        return sum(share * self.distributions.typicality(paintings.percentile(column, row[column]))
                   for column, share in found.items()) / sum(found.values())

    def edited(self, folder, write_noise):
        import picture_edits
        rows, kept = [], []
        for kind, name, pixels in real_pictures(folder):
            base = self.measured(pixels)
            for edits, group in ((picture_edits.NEUTRAL, "neutral"), (picture_edits.DAMAGE, "damage")):
                for edit, function in edits.items():
                    found = self.measured(function(pixels))
                    rows.append((kind, group, edit, self.compared(base, found)))
                    if group == "neutral":
                        kept.append((base, found))
            print(kind, name, f"{base['light'].total:.2f}", base["unknown"], flush=True)
        if write_noise:
            self.write_noise(kept)
        return self.tables(rows, picture_edits)

    def measured(self, pixels):
        import torch
        planes = self.part("critique.picture.planes")
        own = planes.Picture.from_images(torch.from_numpy(pixels.copy())[None].float() / 255)
        canonical, measures = self.part("critique.examination").measure_picture(own)
        critique, light = self.judge(measures, self.distributions.paintings()), self.light.measured(own, measures)
        return {"critique": critique, "light": light, "size": own.size, "measures": measures,
                "unknown": self.same.unknown_kind([canonical], [light])}

    def compared(self, base, found):
        refused = self.same.different_picture([base["size"], found["size"]], [base["measures"], found["measures"]])
        return {"odds": base["light"].total - found["light"].total,
                "typicality": base["critique"].score - found["critique"].score,
                "refused": bool(refused or base["unknown"])}

    def tables(self, rows, edits):
        kinds = list(dict.fromkeys(kind for kind, *_ in rows))
        damage = [(kind, edit, found) for kind, group, edit, found in rows if group == "damage"]
        neutral = [found for kind, group, _, found in rows if group == "neutral" and kind != "flat"]
        real = [(edit, found) for kind, edit, found in damage if kind != "flat"]
        table = [share(kind, [found for each, _, found in damage if each == kind]) for kind in kinds]
        table += [share("all but flat", [found for _, found in real]),
                  share("tone and colour", [found for edit, found in real if edit in edits.TONE]),
                  share("detail", [found for edit, found in real if edit not in edits.TONE])]
        table += [share(edit, [found for each, found in real if each == edit]) for edit in edits.DAMAGE]
        odds, points = sorted(abs(f["odds"]) for f in neutral), sorted(abs(f["typicality"]) for f in neutral)
        claims = defaultdict(list)
        for _, found in real:
            claims[band(1 / (1 + math.exp(-abs(found["odds"]))))].append(found["odds"] > 0)
        return ["## Real pictures, damaged in twelve ways",
                "Right: the undamaged version has the better reading. Refused: the node would not read the pair "
                "(another picture by its edges, one colour or few colours, values never seen); refused pairs are "
                "counted in the other columns all the same. Agreed: light and colour differ by at least "
                f"{self.light.least():g} log-odds and typicality does not contradict.",
                timing.table(["what", "pairs", "light and colour right", "typicality right", "refused", "agreed",
                              "of these right"], table),
                "How often a claim is right on them:",
                timing.table(["claimed", "pairs", "right"], [(name, str(len(claims[name])), f"{mean(claims[name]):.2f}")
                                                             for name in bands() if claims[name]]),
                "## Edits that leave a picture as it is",
                timing.table(["change", "median", "95 % below", "largest"], [
                    ("light and colour, log-odds", *(f"{value:.3f}" for value in spread(odds))),
                    ("typicality, points", *(f"{value:.1f}" for value in spread(points)))]),
                f"{len(neutral)} edits of {len(neutral) // 6} pictures; "
                f"{mean([value < self.light.least() for value in odds]):.3f} of them move light and colour by less "
                f"than {self.light.least():g}."]

    def write_noise(self, kept):
        """The 95 % points of what neutral edits do to every column, criterion, the typicality and the reading."""
        def of(number):
            return point([abs(number(before) - number(after)) for before, after in kept])

        names = [name for name in kept[0][0]["measures"]
                 if all(name in found["measures"] for pair in kept for found in pair)]
        verdicts = kept[0][0]["critique"].verdicts
        known = [at for at in range(len(verdicts)) if all(found["critique"].verdicts[at].points is not None
                                                          for pair in kept for found in pair)]
        noise = {"columns": {name: of(lambda found, name=name: found["measures"][name]) for name in names},
                 "criteria": {verdicts[at].criterion.id: of(lambda found, at=at: found["critique"].verdicts[at].points)
                              for at in known},
                 "typicality": of(lambda found: found["critique"].score),
                 "light_and_colour": of(lambda found: found["light"].total), "pictures": len(kept) // 6}
        NOISE.write_text(json.dumps(noise, indent=1) + "\n", encoding="utf-8")


def true_pairs(table):
    """(kind of the copy, columns of the original, columns of the copy) of every pair."""
    with open(table, newline="", encoding="utf-8") as file:
        rows = [{name: value if name in ("img_file", "id", "kind", "pair", "fold") else float(value)
                 for name, value in row.items()} for row in csv.DictReader(file)]
    originals = {row["id"]: row for row in rows if row["kind"] == "original" and row["pair"] == "1"}
    for row in rows:
        if row["kind"] != "original" and row["pair"] == "1" and row["id"] in originals:
            yield row["kind"], originals[row["id"]], row


def real_pictures(folder):
    """(kind, name, uint8 [h, w, 3], at most 1024 pixels a side)"""
    import numpy as np
    from PIL import Image
    from skimage import data
    for name in ("astronaut", "chelsea", "coffee"):
        yield "photograph", name, getattr(data, name)()
    for path in sorted(folder.glob("*/*")) if folder else ():
        image = Image.open(path).convert("RGB")
        image.thumbnail((1024, 1024), Image.Resampling.LANCZOS)
        yield path.parent.name, path.stem, np.asarray(image)


def bands():
    return [f"{low:.2f} to {high:.2f}" for low, high in zip(CLAIMS, CLAIMS[1:], strict=False)]


def band(claim):
    return next(name for name, high in zip(bands(), CLAIMS[1:], strict=True) if claim <= high)


def mean(values):
    return sum(values) / len(values) if values else float("nan")


def point(values):
    """The value that 95 % stay below."""
    return float(f"{sorted(values)[min(len(values) - 1, math.ceil(0.95 * len(values)) - 1)]:.4g}")


def spread(values):
    return median(values), point(values), values[-1]


def share(name, found):
    agreed = [each for each in found if abs(each["odds"]) >= 0.25 and each["odds"] * each["typicality"] >= 0]
    columns = ([each["odds"] > 0 for each in found], [each["typicality"] > 0 for each in found],
               [each["refused"] for each in found], [abs(e["odds"]) >= 0.25 and e["odds"] * e["typicality"] >= 0
                                                     for e in found], [each["odds"] > 0 for each in agreed])
    return (name, str(len(found)), *(f"{mean(values):.2f}" for values in columns))


if __name__ == "__main__":
    main()
