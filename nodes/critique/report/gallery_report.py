"""What is told of a gallery, in Markdown."""
import numpy as np

from ...shared.markdown_table import cell

ENDS, ERRORS = 5, 20    # pictures at each end of the scores, and errors that are named


def write(made, table, place: str) -> str:
    """made: what came of the run; table: its PictureTable; place: where it lies, as it can be shown."""
    table.load(["score"])       # in one go with the names
    now = f"{made.done} were looked at now, {made.done / made.seconds:.3g} a second" if made.done else "nothing was new"
    lines = [f"**{table.folder.name}**: {len(table.names)} pictures measured, {len(table.errors)} could not be; {now}.",
             f"Table and page lie in `{place}` of the output folder; open `{made.page.name}` there for distributions "
             "and the best and worst of each criterion."]
    if made.notes:
        lines.append("\n".join(f"* {note}" for note in made.notes))
    return "\n\n".join([*lines, *_scores(table), *_errors(table)])


def _scores(table) -> list[str]:
    scores = table.numbers("score")
    known = np.flatnonzero(~np.isnan(scores))
    if not len(known):
        return []
    order = known[np.argsort(-scores[known], kind="stable")]
    low = order[max(ENDS, len(order) - ENDS):]
    rows = [f"| {cell(table.names[at])} | {scores[at]:.1f} |" for at in (*order[:ENDS], *low)]
    return ["\n".join(["| the highest and the lowest | score |", "|---|---:|", *rows])]


def _errors(table) -> list[str]:
    if not table.errors:
        return []
    named = sorted(table.errors.items())
    more = [f"* and {len(named) - ERRORS} more, in the table"] if len(named) > ERRORS else []
    return ["Could not be measured:\n\n" + "\n".join([*(f"* {name}: {why}" for name, why in named[:ERRORS]), *more])]
