"""What the small vision model is asked about the starter's pictures, and the right answers.

Descriptions, choices between two things, yes or no, counts; a card's questions, answered by what was measured; and
revisions of a prompt, by what the measured score of drawings says about grounds and styles.
"""
import random
import re
from typing import NamedTuple

import pictures
import torch
from trained_vision import Example, marks_of, mirrored, revision, seen

DESCRIBE = "Describe this picture: how many things, their size, colour, shape and place, the ground and the style."
COUNT = "How many things are in this picture? Answer with one digit from 0 to 9 and nothing else."
CHOICE = "Which of the two is in this picture? A: a {}. B: a {}. Answer with one letter and nothing else."
IS_THERE = "Is there a {} in this picture? Answer {} or {} and nothing else."
CARD, CONCEPTS = "Albers", ("AL1", "AL3", "AL4")  # measured by the colours alone, so that a label is cheap
RUBRIC = "*=0; Colour richness=1; Value=1"
SETTINGS = {"cfg": 3.0, "steps": 12}
ROWS = 16, 8, 3                      # a step: pictures, a card's questions, revisions
GROUND = re.compile("|".join(map(pictures.ground_words, pictures.GROUNDS)))
STYLE = re.compile(", (\\w+) style")
TURNED = {"right of": "left of", "below": "above"}  # said from the other thing


def description(scene: pictures.Scene) -> str:
    """What is right to say. Of two things the left or upper one comes first: a prompt names either first, which no
    picture tells."""
    if len(scene.things) == 1:
        return f"one thing: {scene.prompt}"
    first, second = map(name, scene.things)
    relation = next(each for each in pictures.RELATIONS if f" {each} a " in scene.prompt)
    rest = scene.prompt.split(f" {relation} a {second}")[1]
    if relation in TURNED:
        first, relation, second = second, TURNED[relation], first
    return f"two things: a {first} {relation} a {second}{rest}"


def name(thing: pictures.Thing) -> str:
    return f"{thing.colour} {thing.shape}"


def another(rng: random.Random, scene: pictures.Scene, thing: pictures.Thing) -> str:
    """The name of a thing that is not in the picture and differs from one that is in its colour or in its shape.

    It is held out alone on this ground and in this style where the one that is there is: else a question tells its
    answer to a model that has learnt what never occurs, and examined on what never occurred it says no."""
    there = {(each.shape, each.colour) for each in scene.things}
    near = [(thing.shape, colour) for colour in pictures.colours_on(scene.ground)]
    near = [each for each in [*near, *((shape, thing.colour) for shape in pictures.SHAPES)] if each not in there]
    never = pictures.held_out([(thing.shape, thing.colour)], scene.ground, scene.style)
    alike = [each for each in near if pictures.held_out([each], scene.ground, scene.style) == never]
    shape, colour = rng.choice(alike or near)
    return f"{colour} {shape}"


def choice(rng: random.Random, scene: pictures.Scene) -> tuple[str, str, bool]:
    """(a thing that is there, one that is not, whether the right one stands first)"""
    thing = rng.choice(scene.things)
    return name(thing), another(rng, scene, thing), rng.random() < 0.5


def chosen(right: str, wrong: str, first: bool) -> tuple[str, str]:
    """A question between two things and its answer."""
    return CHOICE.format(*((right, wrong) if first else (wrong, right))), "A" if first else "B"


def whether(rng: random.Random, scene: pictures.Scene) -> tuple[str, bool]:
    """The name of a thing and whether it is there."""
    thing, there = rng.choice(scene.things), rng.random() < 0.5
    return (name(thing) if there else another(rng, scene, thing)), there


def asked_whether(thing: str, there: bool, yes_first: bool) -> tuple[str, str]:
    return IS_THERE.format(thing, *(("yes", "no") if yes_first else ("no", "yes"))), "yes" if there else "no"


class Labelled(NamedTuple):
    """A picture with its measured columns, the answers of the card and the question and answer of a revision."""
    scene: pictures.Scene
    picture: torch.Tensor
    measures: dict[str, float]
    answers: list[tuple[str, str]]
    revise: tuple[str, str] = ("", "")


class Lessons:
    """part: a module of the pack by its name below `nodes`."""

    def __init__(self, part):
        self.part, judge = part, part("critique.score.judge")
        whole = part("critique.rubric.critic_cards").card(CARD)
        self.card = whole._replace(concepts=tuple(c for c in whole.concepts if c.id in CONCEPTS))
        self.rubric = part("critique.rubric.rubric_language").parse(RUBRIC)
        self.paintings = part("critique.reference.distributions").paintings()
        self.columns = {column for concept in self.card.concepts for column in concept.columns}
        self.columns |= judge.needed(self.paintings, self.rubric)
        self.space = part("studio.prompt_critic.revision").parameters("")
        self.best, self.settings = None, SETTINGS

    def measured(self, picture) -> dict[str, float]:
        return self.part("critique.examination").measured(seen(picture), self.columns)

    def percentiles(self, measures) -> dict[str, float]:
        return {column: self.paintings.percentile(column, value) for column, value in measures.items()
                if column in self.paintings.quantiles}

    def critique(self, measures):
        return self.part("critique.score.judge").judge(measures, self.paintings, self.rubric)

    def labelled(self, scene, picture) -> Labelled:
        """A picture with the digit that the measurement gives to every question of the card."""
        measures = self.measured(picture)
        points, question = self.part("critique.score.judge").points, self.part("critique.vision.vision_critic").question
        at = self.percentiles(measures)
        answers = [(question(concept), str(round(points(concept, at) * 0.09))) for concept in self.card.concepts]
        return Labelled(scene, picture, measures, answers)

    def learn_taste(self, rows: list[Labelled]) -> None:
        """What a ground and a style are worth: a linear fit of the measured score of drawings."""
        names = [*pictures.GROUNDS, *pictures.STYLES, *pictures.COLOURS]
        facts = torch.tensor([[float(n in (row.scene.ground, row.scene.style) or any(n == t.colour for t in
                               row.scene.things)) for n in names] for row in rows], dtype=torch.float64)
        scores = torch.tensor([[self.critique(row.measures).score] for row in rows], dtype=torch.float64)
        ridge = facts.T @ facts + torch.eye(len(names), dtype=torch.float64)
        worth = dict(zip(names, torch.linalg.solve(ridge, facts.T @ (scores - scores.mean())).flatten().tolist(),
                         strict=True))
        self.best = {"ground": max(pictures.GROUNDS, key=worth.get), "style": max(pictures.STYLES, key=worth.get)}
        self.gain = {kind: {name: worth[self.best[kind]] - worth[name] for name in names}
                     for kind, names in (("ground", pictures.GROUNDS), ("style", pictures.STYLES))}

    def revised(self, scene) -> str:
        """The prompt with the one phrase changed that gains most by the taste."""
        ground, style = self.gain["ground"][scene.ground], self.gain["style"][scene.style]
        return edited(scene, "ground", self.best["ground"]) if ground >= style else edited(
            scene, "style", self.best["style"])

    def instruction(self, prompt: str, critique) -> str:
        """What Prompt Critic asks beside the first picture of a prompt."""
        rewriting = self.part("studio.prompt_critic.rewriting")
        told = self.part("studio.prompt_critic.prompt_critic_report")
        candidate = self.part("studio.prompt_critic.revision").PromptCandidate(prompt, None, SETTINGS)
        start = candidate, rewriting.JudgedPictures([], [critique])
        return told.instruction(rewriting.PromptSearch(start, start), self.space, self.rubric)

    def with_revision(self, row: Labelled) -> Labelled:
        asked = self.instruction(row.scene.prompt, self.critique(row.measures))
        return row._replace(revise=(asked, revision(self.revised(row.scene))))

    def lesson(self, drawn, labelled: list[Labelled]):
        """A function of a random generator that gives the examples of a step: of each picture its description and
        another question; now and then a card's questions and revisions."""
        def examples(rng):
            card, revise = (count * (rng.random() < 0.15) for count in ROWS[1:])
            return [*(each for _ in range(ROWS[0]) for each in asked(rng, *_turned(rng, *rng.choice(drawn)))),
                    *(Example(row.picture, *rng.choice(row.answers)) for row in rng.choices(labelled, k=card)),
                    *(Example(row.picture, *row.revise) for row in rng.choices(labelled, k=revise))]
        return examples

    def texts(self, labelled: list[Labelled]) -> list[str]:
        """Everything whose words the model should know: the starter's words, the questions and the answers."""
        words = [*pictures.COLOURS, *pictures.SHAPES, *pictures.STYLES, *pictures.PLACES, *pictures.SIZES,
                 *pictures.RELATIONS, *map(pictures.ground_words, pictures.GROUNDS), "style", "a", *"0123456789"]
        known = [DESCRIBE, COUNT, CHOICE, IS_THERE, "one thing: two things: yes no A B", "\nyes\nno\nA\nB",
                 revision("a red"), *(f"\n{digit}" for digit in range(10))]
        known += [f"{word} {word}, {word}: {word}." for word in words]
        known += [text for row in labelled[:50] for text in (*row.answers[0], *(q for q, _ in row.answers),
                                                             *row.revise, description(row.scene))]
        blank = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n" \
                "<think>\n\n</think>\n\n"
        return [*known, *(blank.format(text) for text in known)]


def edited(scene, kind: str, to: str) -> str:
    """The prompt with another ground or style."""
    if kind == "ground":
        return GROUND.sub(pictures.ground_words(to), scene.prompt)
    return STYLE.sub(f", {to} style", scene.prompt)


def random_edit(rng: random.Random, scene) -> str:
    """The prompt with one ground or style changed, as a revision changes one, without looking."""
    kind = rng.choice(("ground", "style"))
    others = [each for each in (pictures.GROUNDS if kind == "ground" else pictures.STYLES)
              if each != getattr(scene, kind)]
    return edited(scene, kind, rng.choice(others))


def asked(rng: random.Random, scene, picture) -> list[Example]:
    """The description of a picture and the answer to one more question about it."""
    at, marks = rng.random(), marks_of(scene)
    if at < 0.46:
        more = chosen(*choice(rng, scene))
    elif at < 0.92:
        more = asked_whether(*whether(rng, scene), rng.random() < 0.5)
    else:
        more = COUNT, str(len(scene.things))
    return [Example(picture, DESCRIBE, description(scene), marks), Example(picture, *more, marks)]


def _turned(rng, scene, picture):
    return mirrored(scene, picture) if rng.random() < 0.5 else (scene, picture)
