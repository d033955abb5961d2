"""What the small vision model is examined in: descriptions, answers and their certainty, contradictions, revisions."""
import random
import re
import statistics
from typing import NamedTuple

import pictures
import torch
import vision_lessons as lessons
from trained_vision import pool, seen

SAYS = re.compile(rf"a (?:(?:{'|'.join(filter(None, pictures.SIZES))}) )?({'|'.join(pictures.COLOURS)}) "
                  rf"({'|'.join(pictures.SHAPES)})")
PLACES = re.compile("|".join([*filter(None, pictures.PLACES), *pictures.RELATIONS]))
PARTS = ("count", "colour", "shape", "place", "style", "ground")
BINS = 10
APART, FAR = 30.0, 45.0  # points from which the nodes say "disagree", and those a planted contradiction has


class Answered(NamedTuple):
    """What the possible answers have of all words; what the right one has of them; whether it was named first."""
    mass: float
    of_answers: float
    first: bool


def facts(words: str) -> dict:
    """What a description says; "a right of b" says what "b left of a" says."""
    things, place = SAYS.findall(words), PLACES.search(words)
    ground, style = lessons.GROUND.search(words), lessons.STYLE.search(words)
    place = place and place[0]
    if place in lessons.TURNED:
        things, place = things[::-1], lessons.TURNED[place]
    return {"count": words.split(":")[0], "colour": [colour for colour, _ in things],
            "shape": [shape for _, shape in things], "place": place, "style": style and style[1],
            "ground": ground and ground[0]}


class Examination:
    """eye: a vision_model.Eye of the trained model; taught: vision_lessons.Lessons."""

    def __init__(self, eye, taught, count: int):
        self.eye, self.taught, self.rng = eye, taught, random.Random(2)
        self.unseen = pool(count, self.rng, test=True)

    def descriptions(self) -> list[tuple[str, str, str]]:
        """Share of the held-out pictures whose description has each part right, through the node's own path."""
        right = dict.fromkeys((*PARTS, "all of it"), 0)
        for scene, picture in self.unseen:
            said = facts(self.eye.write(seen(picture), lessons.DESCRIBE, 64).text)
            wanted = facts(lessons.description(scene))
            for part in PARTS:
                right[part] += said[part] == wanted[part]
            right["all of it"] += said == wanted
        return [(part, f"{100 * share / len(self.unseen):.1f} %", str(len(self.unseen)))
                for part, share in right.items()]

    def answered(self, image, question: str, answers: tuple[str, ...], right: str) -> Answered:
        logits = self.eye.next_logits(self.eye.tokens(image, question)).double()
        ids = [self.eye.word_id(word) for word in answers]
        at, every = answers.index(right), torch.softmax(logits, -1)
        return Answered(every[ids].sum().item(), torch.softmax(logits[ids], -1)[at].item(), at == 0)

    def choices(self) -> list[list[Answered]]:
        """[asked as drawn, asked with the two exchanged] for a choice between two things in each picture."""
        rows = []
        for scene, picture in self.unseen:
            right, wrong, first = lessons.choice(self.rng, scene)
            rows.append([self.answered(seen(picture), *_with(lessons.chosen(right, wrong, order), ("A", "B")))
                         for order in (first, not first)])
        return rows

    def whether(self) -> list[list[Answered]]:
        """The same for yes and no: `first` is whether the right answer is the one named first."""
        rows = []
        for scene, picture in self.unseen:
            thing, there = lessons.whether(self.rng, scene)
            rows.append([])
            for yes_first in (True, False):
                question, right = lessons.asked_whether(thing, there, yes_first)
                found = self.answered(seen(picture), question, ("yes", "no"), right)
                rows[-1].append(found._replace(first=there == yes_first))
        return rows

    def counts(self) -> list[list[Answered]]:
        digits = tuple(map(str, range(10)))
        return [[self.answered(seen(picture), lessons.COUNT, digits, str(len(scene.things)))]
                for scene, picture in self.unseen]

    def card(self, count: int):
        """(answers of the card, points that were measured, points that contradict) of `count` pictures."""
        critic = self.taught.part("critique.vision.vision_critic")
        points = self.taught.part("critique.score.judge").points
        rows = [(picture, self.taught.percentiles(self.taught.measured(picture))) for _, picture in self.unseen[:count]]
        told, true, false = [], [], []
        for picture, at in rows:
            for answer in critic.ask(self.eye, seen(picture), self.taught.card, at, lambda: None):
                others = [points(answer.concept, other) for _, other in rows]
                far = [each for each in others if abs(each - answer.measured) > FAR]
                told.append(answer)
                true.append(answer.measured)
                false.append(self.rng.choice(far) if far else None)
        return told, true, false

    def contradictions(self, count: int):
        """Precision and recall of `disagree` where half of the measurements are replaced by contradicting ones."""
        told, true, false = self.card(count)
        error = statistics.fmean(abs(answer.value - at) for answer, at in zip(told, true, strict=True))
        even = statistics.fmean(abs(statistics.fmean(true) - at) for at in true)
        flagged = []
        for number, (answer, wrong) in enumerate(zip(told, false, strict=True)):
            plant = wrong is not None and number % 2 == 0
            flagged.append((plant, answer._replace(measured=wrong).disagree if plant else answer.disagree))
        planted, said = [f for p, f in flagged if p], [p for p, f in flagged if f]
        return {"answers": len(told), "error": error, "even": even, "planted": len(planted), "flagged": len(said),
                "recall": statistics.fmean(planted) if planted else float("nan"),
                "precision": statistics.fmean(said) if said else float("nan")}

    def revisions(self, starter, count: int, seeds: int):
        """[start, the model's revision, a random one] mean scores of each prompt on seeds that it did not see."""
        read = self.taught.part("studio.prompt_critic.revision").read
        judge_only = self.taught.part("critique.examination").judge_only
        rows, unread = [], 0
        for number, (scene, _) in enumerate(self.unseen[:count]):
            def scores(prompt, first, number=number):
                drawn = [starter.sample(prompt, 1000 * number + first + seed).movedim(1, -1) for seed in range(seeds)]
                return drawn, statistics.fmean(judge_only(picture, self.taught.paintings, self.taught.rubric).score
                                               for picture in drawn)

            prompt = scene.prompt
            first = starter.sample(prompt, 1000 * number).movedim(1, -1)
            critique = judge_only(first, self.taught.paintings, self.taught.rubric)
            answer = self.eye.write(first, self.taught.instruction(prompt, critique), 96).text
            said = read(answer, self.taught.space, False)
            unread += said is None or not said.prompt
            revised = said.prompt if said and said.prompt else prompt
            rows.append([scores(each, 500)[1] for each in (prompt, revised, lessons.random_edit(self.rng, scene))])
            print(number, prompt, "->", revised, [f"{value:.1f}" for value in rows[-1]], flush=True)
        return rows, unread


def calibration_error(sure: list[tuple[float, bool]]) -> float:
    """Expected calibration error, BINS even bins, of (probability of the answer that is given, whether it is right)."""
    bins = [[] for _ in range(BINS)]
    for probability, right in sure:
        bins[min(BINS - 1, int(probability * BINS))].append((probability, right))
    return sum(abs(sum(p for p, _ in each) - sum(r for _, r in each)) for each in bins) / len(sure)


def given(probability: float) -> tuple[float, bool]:
    """Of two answers: how sure the likelier one is, and whether it is right, from the probability of the right one."""
    return max(probability, 1 - probability), probability > 0.5


def position_bias(rows: list[list[Answered]]) -> float:
    """How much likelier an answer is for standing first: 0 none, 1 always the first."""
    first = [answer.of_answers if answer.first else 1 - answer.of_answers for row in rows for answer in row]
    return 2 * statistics.fmean(first) - 1


def _with(asked: tuple[str, str], answers: tuple[str, ...]):
    question, right = asked
    return question, answers, right
