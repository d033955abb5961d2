"""The comparison of versions in words (Markdown) and in JSON."""
from ..explain.phrases import called, digits
from . import differences, light_and_colour
from .light_and_colour import chance, chance_in_words, complaints
from .neutral_noise import noise
from .versions import BASE, NO_DIFFERENCE, SPOILED, UNDECIDED, Comparison, Version

LEAST_TOLD = 0.05  # log-odds that a complaint weighs before it is named
MOST_ROWS, NAMED = 12, 4  # measures in the table; versions named in a sentence before the rest are counted
WHAT = ("Light and colour is a reading of eight measures, learnt from photographs of landscapes and copies of them "
        "that were spoiled on purpose: it said which was the original of 86 % of 836 pairs that it had not seen, where "
        "typicality said it of 58 %. It is not beauty or quality. It sees no composition or subject, and hardly any "
        "blur or JPEG damage; it does not know woodcuts, line art, flat colour, night, sunsets, portraits or a tint "
        "that is meant.")


def write(found: Comparison) -> str:
    """The whole report in Markdown."""
    parts = [lead(found), WHAT, _versions(found), *_why(found), _criteria(found), _measures(found)]
    return "\n\n".join(parts + [f"Source: {light_and_colour.table()['source']}."])


def lead(found: Comparison) -> str:
    """The first sentences: what is chosen, or why nothing is."""
    if found.refused:
        return f"**Light and colour were not read**: {found.refused}. What differs is in the tables below."
    numbered = {kind: [number for number, version in enumerate(found.versions, 1) if found.finding(version) == kind]
                for kind in (SPOILED, UNDECIDED, NO_DIFFERENCE)}
    best, said = found.order[0] + 1, []
    if numbered[SPOILED]:
        said.append(f"**{_listed(numbered[SPOILED])} {_verb(numbered[SPOILED], 'looks', 'look')} spoiled** beside "
                    f"version {best}; typicality does not speak against it.")
    if numbered[UNDECIDED]:
        said.append(f"Of {_listed(numbered[UNDECIDED]).replace('Version', 'version')} and version {best} nothing is "
                    "chosen: light and colour, and typicality, disagree.")
    if numbered[NO_DIFFERENCE]:
        same = numbered[NO_DIFFERENCE]
        said.append(f"{_listed(same)} {_verb(same, 'shows', 'show')} no difference from version {best}.")
    return " ".join(said)


def data(found: Comparison) -> list[dict]:
    """One entry a version, in the order they came; null is "not known"."""
    return [_entry(found, number, version) for number, version in enumerate(found.versions, 1)]


def _entry(found: Comparison, number: int, version: Version) -> dict:
    read = not found.refused
    return {
        "version": number,
        "rank": found.order.index(number - 1) + 1 if read else None,
        "size": list(version.size),
        "light_and_colour": version.light.total if read else None,
        "parts": version.light.parts if read else None,
        "finding": found.finding(version) if read else None,
        "chance_of_best": min(light_and_colour.MOST, chance(found.best.light, version.light)) if read else None,
        "refused": found.refused or None,
        "typicality": version.typicality,
        "score": None if version.critique.positions_only else version.critique.score,
        "criteria": {verdict.criterion.name: verdict.points for verdict in version.critique.verdicts},
        "measures": {**version.critique.measures, f"3D Fractal dimension at {light_and_colour.ROUGHNESS_SIDE}":
                     version.light.measures[light_and_colour.ROUGHNESS]},
    }


def _versions(found: Comparison) -> str:
    rows = ["### The versions", "", "| version | light and colour | that the best is the unspoiled one | typicality | "
            "its change | |", "|---:|---:|---:|---:|---:|---|"]
    for number, version in enumerate(found.versions, 1):
        change = version.typicality - found.best.typicality
        if found.refused:
            rows.append(f"| {number} | not read | | {version.typicality:.1f} | {change:+.1f} | |")
            continue
        finding = found.finding(version)
        odds = "" if finding in (BASE, NO_DIFFERENCE) else chance_in_words(found.best.light, version.light)
        rows.append(f"| {number} | {_signed(version.light.total)} | {odds} | {version.typicality:.1f} | "
                    f"{change:+.1f} | {finding} |")
    beside = "version 1" if found.refused else f"version {found.order[0] + 1}"
    return "\n".join([*rows, "", f"Light and colour in log-odds, 0 where nothing is held against a version; less than "
                      f"{light_and_colour.least():g} is no difference. Typicality is a place among the pictures of the "
                      f"reference, 0 to 100; its change is from {beside}, and {_typicality_noise(found)}."])


def _typicality_noise(found: Comparison) -> str:
    if not found.reference.is_paintings:
        return "how far edits that leave a picture as it is move it is known among the paintings alone"
    return f"edits that leave a picture as it is move it by up to {noise().typicality:.1f}"


def _why(found: Comparison) -> list[str]:
    """What is held against each version beside the least spoiled one."""
    if found.refused:
        return []
    lines = []
    for number, version in enumerate(found.versions, 1):
        if found.finding(version) in (SPOILED, UNDECIDED):
            against = ", ".join(f"{word} ({odds:+.2f})" for word, odds in complaints(version.light, found.best.light)
                                if odds <= -LEAST_TOLD)
            whole = version.light.total - found.best.light.total
            lines.append(f"- Version {number}: {against}; in all {whole:+.2f}.")
    title = f"### What speaks against them beside version {found.order[0] + 1}"
    return ["\n".join([title, "", *lines])] if lines else []


def _criteria(found: Comparison) -> str:
    rows = differences.criteria(found)
    if not rows:
        return "The rubric holds positions between opposites only; the measures are below."
    usual = _neutral() if found.reference.is_paintings else "not known of points among these pictures."
    return "\n".join(["### What differs, by criterion", "", f"Points, 0 to 100. Noise: {usual}", "",
                      *_table("criterion", [(row.name, f"{row.low:.0f}", f"{row.high:.0f}", f"{row.range:.0f}",
                                             None if row.noise is None else f"{row.noise:.0f}", row) for row in rows])])


def _measures(found: Comparison) -> str:
    rows = differences.columns(found)
    shown = [row for row in rows if row.is_real][:MOST_ROWS]
    real, unknown = sum(row.is_real for row in rows), sum(row.noise is None for row in rows)
    title = "### What differs, by measure"
    rest = (f"{real} of {len(rows) - unknown} measures whose noise is known differ by more than it"
            + (f"; the {len(shown)} that do so most are shown" if real > len(shown) else "") + ". All are in data.")
    if not shown:
        return f"{title}\n\n{rest}"
    return "\n".join([title, "", rest, "", *_table("measure", [
        (called(row.name), digits(row.low), digits(row.high), digits(row.range), digits(row.noise), row)
        for row in shown])])


def _table(what: str, rows) -> list[str]:
    lines = [f"| {what} | lowest | highest | difference | noise | |", "|---|---:|---:|---:|---:|---|"]
    for name, low, high, span, usual, row in rows:
        mark = "no noise known" if usual is None else "differs" if row.is_real else ""
        lines.append(f"| {name} | {low} (version {row.low_at}) | {high} (version {row.high_at}) | {span} | "
                     f"{usual or ''} | {mark} |")
    return lines


def _neutral() -> str:
    return ("what 95 % of edits that leave a picture as it is (75 and 50 % of its size, 4 % cropped, mirrored, JPEG 95 "
            f"and 85) stayed below on {noise().pictures} pictures.")


def _listed(numbers: list[int]) -> str:
    named = ", ".join(map(str, numbers[:NAMED]))
    more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
    return f"Version{'s' * (len(numbers) > 1)} {named}{more}"


def _verb(numbers: list[int], one: str, many: str) -> str:
    return one if len(numbers) == 1 else many


def _signed(value: float) -> str:
    return f"{value + 0.0:+.2f}" if abs(value) >= 0.005 else "0"
