"""What the prompt critic is asked, and what is told of its rounds: in words and as a contact sheet."""
import json

from torch import Tensor

from ...charts.chart_types.contact_sheet import Cell, sheet, thumbnail
from ...charts.drawing.draw import render
from ...charts.drawing.theme import LIGHT
from ...critique.reference.distributions import Reference
from ...critique.report import what_counts
from ...critique.report.critique_report import tradition
from ...critique.rubric.criteria import Rubric
from ...critique.rubric.critic_cards import cards
from ...critique.score.judge import Verdict
from ...shared.markdown_table import cell
from .revision import MEANINGS, Parameter, PromptCandidate
from .rewriting import JudgedPictures, PromptSearch, Round, Trial

QUOTED = 2000  # characters of an answer in the report
REMEMBERED = 4  # failed revisions that the model is told of


def instruction(search: PromptSearch, space: dict[str, Parameter], rubric: Rubric) -> str:
    """The question to the model, beside the first picture of the best candidate so far."""
    candidate, judged = search.best
    return "\n".join([
        "A text-to-image model made this picture from a prompt. Revise the prompt so that a new picture from it scores "
        "higher. Keep its subject. Use short descriptive phrases.", "",
        *_critic(rubric), *_made_with(candidate, space), "", *measurements(judged), "", *_failed(search),
        _form(candidate, space)])


def measurements(judged: JudgedPictures) -> list[str]:
    """What was measured in the first picture, the criteria that take most from the score first."""
    critique = judged.critiques[0]
    lines = [f"Measured in its pixels: {critique.score:.0f} of 100. What counts, from what takes most to what gives "
             "most:"]
    return lines + [f"- {_measured(verdict)}" for verdict in
                    sorted(critique.counted, key=lambda verdict: verdict.contribution)]


def report(search: PromptSearch, rubric: Rubric, reference: Reference) -> str:
    """Markdown: what came of it, every round with its text, and the best on seeds that had no part."""
    (_, before), (candidate, after) = search.start, search.best
    seeds = len(before.scores)
    kept = sum(each.accepted for each in search.rounds)
    lead = (f"**Score {before.score:.1f} -> {after.score:.1f}**, the mean of {seeds} seed{'s' * (seeds > 1)}; "
            f"{kept} of {_rounds(len(search.rounds))} accepted." if kept else
            f"**Nothing accepted in {_rounds(len(search.rounds))}**: the start stands, with {before.score:.1f}.")
    what = (f"Judged {rubric.manner}, each picture measured and placed among {tradition(reference)}: a position in "
            "that tradition, not beauty. Every revision was drawn on the same seeds and kept only where the score "
            "rose by more than the margin and by two standard errors over the seeds."
            + (" With one seed there is no error to compare with." if seeds == 1 else ""))
    best = "\n".join(["### The best", "", *_quoted(candidate.prompt), "", *_rest(candidate)])
    return "\n\n".join([lead, what, *what_counts.left_out(rubric, reference), best, *_fresh(search),
                        *(_told(number, each) for number, each in enumerate(search.rounds, 1)),
                        f"Ended: {search.ended}."])


def parameters(candidate: PromptCandidate) -> str:
    """JSON of what the picture was made with besides its prompt."""
    return json.dumps({**candidate.values, **({} if candidate.negative is None else {"negative": candidate.negative})},
                      ensure_ascii=False)


def contact_sheet(search: PromptSearch) -> Tensor:
    """IMAGE: the first seed's picture of the start and of every trial, those accepted in a frame."""
    cells = [_cell(search.start[1], "start", "", None)]
    for number, each in enumerate(search.rounds, 1):
        cells += [_cell(trial.judged, f"round {number}" + (", halved" if trial.share < 1 else ""),
                        f" ({trial.gain.mean:+.1f})", LIGHT.gain if trial.accepted else None) for trial in each.trials]
    return render(sheet(cells, LIGHT), LIGHT.paper)


def _cell(judged: JudgedPictures, name: str, change: str, frame) -> Cell:
    return Cell(thumbnail(judged.pictures[0].cpu()[..., :3]), (name, f"{judged.score:.1f}{change}"), frame)


def _critic(rubric: Rubric) -> list[str]:
    found = next((card for card in cards().values() if rubric.source == card.source), None)
    return [f"You judge as {found.critic} does in {found.book}: {found.thesis}", ""] if found else []


def _made_with(candidate: PromptCandidate, space: dict[str, Parameter]) -> list[str]:
    lines = [f"Prompt: {candidate.prompt}"]
    lines += [] if candidate.negative is None else [f"Negative prompt: {candidate.negative or '(empty)'}"]
    return lines + [f"{name}: {candidate.values[name]:g} (may lie between {p.low:g} and {p.high:g}: {MEANINGS[name]})"
                    for name, p in space.items()]


def _measured(verdict: Verdict) -> str:
    criterion = verdict.criterion
    now = criterion.low if verdict.position < 50 else criterion.high
    return (f"{criterion.name}: {verdict.points:.0f} points of 100"
            + (f". {criterion.question}" if criterion.question else "") + (f" Now: {now}." if now else "")
            + f" Asked: {criterion.reading}.")


def _failed(search: PromptSearch) -> list[str]:
    lines = [f"- {trial.candidate.prompt} [{_numbers(trial.candidate)}]: {trial.gain.mean:+.1f} points"
             for each in search.rounds for trial in each.trials if not trial.accepted][-REMEMBERED:]
    told = ["Tried before, and not better:", *lines, ""] if lines else []
    if search.rounds and search.rounds[-1].revision is None:
        told += ["Your last answer could not be read. Keep to the form.", ""]
    elif search.rounds and not search.rounds[-1].trials:
        told += ["Your last answer asked for nothing new. Change something else.", ""]
    return told


def _form(candidate: PromptCandidate, space: dict[str, Parameter]) -> str:
    fields = {"prompt": "the whole revised prompt"}
    fields |= {} if candidate.negative is None else {"negative": "what should not be there"}
    fields |= {name: candidate.values[name] for name in space} | {"why": "one sentence"}
    return f"Answer with one JSON object of this form and nothing else:\n{json.dumps(fields)}"


def _rest(candidate: PromptCandidate) -> list[str]:
    lines = [f"{name} {value:g}" for name, value in candidate.values.items()]
    return [", ".join(lines + ([f"negative: {candidate.negative}"] if candidate.negative else []))]


def _numbers(candidate: PromptCandidate) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in candidate.values.items())


def _fresh(search: PromptSearch) -> list[str]:
    if search.fresh is None:
        return []
    start, best = (judged.score for judged in search.fresh)
    count = len(search.fresh[0].scores)
    return [f"On {count} seed{'s' * (count > 1)} that had no part in the search: {start:.1f} -> {best:.1f} "
            f"({best - start:+.1f})."]


def _told(number: int, this: Round) -> str:
    said = this.answer.strip()[:QUOTED] or "(nothing)"
    lines = [f"### Round {number}", "", *_quoted(said), ""]
    if this.revision is None:
        return "\n".join([*lines, "Unreadable: no prompt and no number was found in this text. The prompt is kept."])
    lines += [f"Ignored: {', '.join(this.revision.ignored)}.", ""] if this.revision.ignored else []
    if not this.trials:
        return "\n".join([*lines, "It asks for nothing that was not there or tried before."])
    rows = [_trial(trial) for trial in this.trials]
    end = [] if this.accepted else ["", "Rejected: back to the best."]
    return "\n".join([*lines, "| tried | made with | score | rise | |", "|---|---|---:|---:|---|", *rows, *end])


def _quoted(text: str) -> list[str]:
    return [f"> {line}" for line in text.splitlines() or [""]]


def _trial(trial: Trial) -> str:
    error = "" if trial.gain.error is None else f" ± {trial.gain.error:.1f}"
    prompt = cell(trial.candidate.prompt)
    return (f"| {'in full' if trial.share == 1 else 'halved'} | {prompt} ({_numbers(trial.candidate)}) | "
            f"{trial.judged.score:.1f} | {trial.gain.mean:+.1f}{error} | "
            f"{'accepted' if trial.accepted else 'rejected'} |")


def _rounds(count: int) -> str:
    return f"{count} round{'s' * (count != 1)}"
