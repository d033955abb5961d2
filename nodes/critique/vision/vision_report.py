"""The vision critic in words and as JSON."""
from ..rubric.critic_cards import Card
from .vision_critic import Answer, score


def write(card: Card, eye: str, pictures: list[list[Answer]]) -> str:
    """Markdown: whose words these are first, then what was said to each picture beside what was measured."""
    lines = [f"# {card.critic} through {eye}", "",
             f"After {card.source}. {card.thesis}", "",
             "The number a picture is given here is what a language model answers to the critic's questions, read from "
             "the probabilities of its digits; it is a claim. What was measured stands beside it."]
    for number, answers in enumerate(pictures, 1):
        lines += ["", f"## Picture {number}" + _total(answers), "",
                  "| concept | the model says | measured |", "|---|---|---|", *map(_row, answers), *_notes(answers)]
    return "\n".join(lines)


def axes(pictures: list[list[Answer]]) -> list[dict]:
    """One entry a picture: its score, and for every concept what was said, how surely, and what was measured."""
    return [{"score": _rounded(score(answers)), "axes": [_axis(answer) for answer in answers]} for answers in pictures]


def _axis(answer: Answer) -> dict:
    concept, said = answer.concept, answer.said
    return {"id": concept.id, "name": concept.name, "kind": "bipolar" if concept.bipolar else "unipolar",
            "said": round(answer.value, 4), "spread": round(said.spread / 9 * (2 if concept.bipolar else 100), 4),
            "mass": round(said.mass, 6), "measured": _rounded(answer.measured), "disagree": answer.disagree}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _total(answers) -> str:
    total = score(answers)
    return ": positions only, no total" if total is None else f": {total:.0f} of 100"


def _row(answer: Answer) -> str:
    said = _words(answer, answer.value) + f" (± {answer.said.spread / 9 * (2 if answer.concept.bipolar else 100):.2g})"
    seen = "not measured" if answer.measured is None else _words(answer, answer.measured)
    return f"| {answer.concept.name} | {said} | {seen} |"


def _words(answer: Answer, value: float) -> str:
    if not answer.concept.bipolar:
        return f"{value:.0f}"
    pole = answer.concept.high if value >= 0 else answer.concept.low
    return f"{value:+.2f}, {pole}"


def _notes(answers) -> list[str]:
    notes = [f"**{a.concept.name}**: the model and the measurement disagree ({_words(a, a.value)} against "
             f"{_words(a, a.measured)})." for a in answers if a.disagree]
    unsure = [a.concept.name for a in answers if not a.said.is_answer]
    if unsure:
        notes.append(f"To {', '.join(unsure)} the model would rather have said something that is no digit; do not lean "
                     "on these numbers.")
    return ["", *notes] if notes else []
