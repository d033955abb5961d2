"""What the prompt critic is asked, and what is told of its rounds: in words and as a contact sheet."""
import json

from torch import Tensor

from ...charts.draw import render
from ...charts.sheet import Cell, sheet, thumbnail
from ...charts.theme import LIGHT
from ...critique.cards import cards
from ...critique.criteria import Rubric
from ...critique.reference import Reference
from ...critique.report import tradition
from ...critique.score import Verdict
from .revision import MEANINGS, Parameter, Take
from .rewrite import Found, Round, Shot, Trial

QUOTED = 2000  # characters of an answer in the report
REMEMBERED = 4  # failed revisions that the model is told of


def instruction(found: Found, space: dict[str, Parameter], rubric: Rubric) -> str:
    """The question to the model, beside the first picture of the best take so far."""
    take, shot = found.best
    return "\n".join([
        "A text-to-image model made this picture from a prompt. Revise the prompt so that a new picture from it scores "
        "higher. Keep its subject. Use short descriptive phrases.", "",
        *_critic(rubric), *_made_with(take, space), "", *measurements(shot), "", *_failed(found), _form(take, space)])


def measurements(shot: Shot) -> list[str]:
    """What was measured in the first picture, the criteria that take most from the score first."""
    critique = shot.critiques[0]
    lines = [f"Measured in its pixels: {critique.score:.0f} of 100. What counts, from what takes most to what gives "
             "most:"]
    return lines + [f"- {_measured(verdict)}" for verdict in
                    sorted(critique.counted, key=lambda verdict: verdict.contribution)]


def report(found: Found, rubric: Rubric, reference: Reference) -> str:
    """Markdown: what came of it, every round with its text, and the best on seeds that had no part."""
    (_, before), (take, after) = found.start, found.best
    seeds = len(before.scores)
    kept = sum(each.accepted for each in found.rounds)
    lead = (f"**Score {before.score:.1f} -> {after.score:.1f}**, the mean of {seeds} seed{'s' * (seeds > 1)}; "
            f"{kept} of {_rounds(len(found.rounds))} accepted." if kept else
            f"**Nothing accepted in {_rounds(len(found.rounds))}**: the start stands, with {before.score:.1f}.")
    what = (f"Judged {rubric.manner}, each picture measured and placed among {tradition(reference)}: a position in "
            "that tradition, not beauty. Every revision was drawn on the same seeds and kept only where the score "
            "rose by more than the margin and by two standard errors over the seeds."
            + (" With one seed there is no error to compare with." if seeds == 1 else ""))
    best = "\n".join(["### The best", "", f"> {take.prompt}", "", *_rest(take)])
    return "\n\n".join([lead, what, best, *_fresh(found),
                        *(_told(number, each) for number, each in enumerate(found.rounds, 1)),
                        f"Ended: {found.ended}."])


def parameters(take: Take) -> str:
    """JSON of what the picture was made with besides its prompt."""
    return json.dumps({**take.values, **({} if take.negative is None else {"negative": take.negative})},
                      ensure_ascii=False)


def contact_sheet(found: Found) -> Tensor:
    """IMAGE: the first seed's picture of the start and of every trial, those accepted in a frame."""
    cells = [_cell(found.start[1], "start", "", None)]
    for number, each in enumerate(found.rounds, 1):
        cells += [_cell(trial.shot, f"round {number}" + (", halved" if trial.share < 1 else ""),
                        f" ({trial.rise.mean:+.1f})", LIGHT.gain if trial.accepted else None) for trial in each.trials]
    return render(sheet(cells, LIGHT), LIGHT.paper)


def _cell(shot: Shot, name: str, change: str, frame) -> Cell:
    return Cell(thumbnail(shot.pictures[0].cpu()[..., :3]), (name, f"{shot.score:.1f}{change}"), frame)


def _critic(rubric: Rubric) -> list[str]:
    found = next((card for card in cards().values() if rubric.source == card.source), None)
    return [f"You judge as {found.critic} does in {found.book}: {found.thesis}", ""] if found else []


def _made_with(take: Take, space: dict[str, Parameter]) -> list[str]:
    lines = [f"Prompt: {take.prompt}"]
    lines += [] if take.negative is None else [f"Negative prompt: {take.negative or '(empty)'}"]
    return lines + [f"{name}: {take.values[name]:g} (may lie between {p.low:g} and {p.high:g}: {MEANINGS[name]})"
                    for name, p in space.items()]


def _measured(verdict: Verdict) -> str:
    criterion = verdict.criterion
    now = criterion.low if verdict.position < 50 else criterion.high
    return (f"{criterion.name}: {verdict.points:.0f} points of 100"
            + (f". {criterion.question}" if criterion.question else "") + (f" Now: {now}." if now else "")
            + f" Asked: {criterion.reading}.")


def _failed(found: Found) -> list[str]:
    lines = [f"- {trial.take.prompt} [{_numbers(trial.take)}]: {trial.rise.mean:+.1f} points"
             for each in found.rounds for trial in each.trials if not trial.accepted][-REMEMBERED:]
    told = ["Tried before, and not better:", *lines, ""] if lines else []
    if found.rounds and found.rounds[-1].asked is None:
        told += ["Your last answer could not be read. Keep to the form.", ""]
    elif found.rounds and not found.rounds[-1].trials:
        told += ["Your last answer asked for nothing new. Change something else.", ""]
    return told


def _form(take: Take, space: dict[str, Parameter]) -> str:
    fields = {"prompt": "the whole revised prompt"}
    fields |= {} if take.negative is None else {"negative": "what should not be there"}
    fields |= {name: take.values[name] for name in space} | {"why": "one sentence"}
    return f"Answer with one JSON object of this form and nothing else:\n{json.dumps(fields)}"


def _rest(take: Take) -> list[str]:
    lines = [f"{name} {value:g}" for name, value in take.values.items()]
    return [", ".join(lines + ([f"negative: {take.negative}"] if take.negative else []))]


def _numbers(take: Take) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in take.values.items())


def _fresh(found: Found) -> list[str]:
    if found.fresh is None:
        return []
    start, best = (shot.score for shot in found.fresh)
    count = len(found.fresh[0].scores)
    return [f"On {count} seed{'s' * (count > 1)} that had no part in the search: {start:.1f} -> {best:.1f} "
            f"({best - start:+.1f})."]


def _told(number: int, this: Round) -> str:
    said = this.said.strip()[:QUOTED] or "(nothing)"
    lines = [f"### Round {number}", "", *(f"> {line}" for line in said.splitlines()), ""]
    if this.asked is None:
        return "\n".join([*lines, "Unreadable: no prompt and no number was found in this text. The prompt is kept."])
    lines += [f"Ignored: {', '.join(this.asked.ignored)}.", ""] if this.asked.ignored else []
    if not this.trials:
        return "\n".join([*lines, "It asks for nothing that was not there or tried before."])
    rows = [_trial(trial) for trial in this.trials]
    end = [] if this.accepted else ["", "Rejected: back to the best."]
    return "\n".join([*lines, "| tried | made with | score | rise | |", "|---|---|---:|---:|---|", *rows, *end])


def _trial(trial: Trial) -> str:
    error = "" if trial.rise.error is None else f" ± {trial.rise.error:.1f}"
    prompt = trial.take.prompt.replace("|", "\\|")
    return (f"| {'in full' if trial.share == 1 else 'halved'} | {prompt} ({_numbers(trial.take)}) | "
            f"{trial.shot.score:.1f} | {trial.rise.mean:+.1f}{error} | "
            f"{'accepted' if trial.accepted else 'rejected'} |")


def _rounds(count: int) -> str:
    return f"{count} round{'s' * (count != 1)}"
