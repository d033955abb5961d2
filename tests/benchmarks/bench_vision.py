"""The vision nodes with eyes that were trained: a tiny Qwen3-VL learns the starter's pictures and is examined."""
import random
import statistics
import tempfile
from functools import partial
from pathlib import Path

import timing


def main():
    parser = timing.parser(__doc__, 1)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=25.0, help="of the clock at most; the schedule follows")
    parser.add_argument("--labelled", type=int, default=400, help="pictures whose measurements are taught")
    parser.add_argument("--weights", type=Path, help="for the weights; not trained where it exists (.pt: unfinished)")
    parser.add_argument("--pictures", type=int, default=120, help="held-out pictures")
    parser.add_argument("--prompts", type=int, default=16, help="held-out prompts that are revised")
    options = parser.parse_args()
    pack = timing.start_host("../starter")
    import torch
    import vision_lessons
    torch.set_num_threads(1)      # layers this small only pay for more
    taught = vision_lessons.Lessons(partial(timing.part, pack))
    clip, how = trained(options, taught)
    with torch.inference_mode():
        sections = examined(options, clip, taught)
    timing.publish("vision", "The vision nodes with eyes that were trained", how, *sections)


def trained(options, taught):
    """The model and how it came about, in words."""
    import trained_vision
    import vision_training
    if options.weights and options.weights.exists():
        clip, how = trained_vision.load(options.weights)
        return clip, f"{how} {size(clip)}"
    rng = random.Random(1)
    drawn = trained_vision.pool(trained_vision.POOL, rng)
    labelled = [taught.labelled(*each) for each in drawn[:options.labelled]]
    taught.learn_taste(labelled)
    labelled = [taught.with_revision(row) for row in labelled]
    clip = trained_vision.build(trained_vision.words_of(taught.texts(labelled)), 0)
    held = options.weights and options.weights.with_suffix(".pt")
    steps, spent, taken = vision_training.train(clip, taught.lesson(drawn, labelled), options.steps, options.minutes,
                                                0, held)
    how = (f"Trained for {steps:,} of {options.steps:,} steps: {spent:.0f} minutes of one core in {taken:.0f} of the "
           "clock.")
    if options.weights:
        trained_vision.save(clip, options.weights, how)
    return clip, f"{how} {size(clip)}"


def size(clip) -> str:
    import trained_vision
    count = sum(parameter.numel() for parameter in trained_vision.transformer(clip).parameters())
    words = len(getattr(clip.tokenizer, clip.tokenizer.clip).tokenizer)
    return (f"{count / 1e6:.2f} million parameters in the host's own Qwen3-VL class, {words} words, "
            f"{trained_vision.POOL:,} pictures of the starter's training set. All figures are of combinations of "
            "shapes, colours, ground and style that training never has.")


def examined(options, clip, taught) -> list[str]:
    import evaluate
    import install
    import vision_examination as exam
    eye = taught.part("shared.vision_model").Eye(clip)
    paper = exam.Examination(eye, taught, options.pictures)
    described = paper.descriptions()
    print(described, flush=True)
    answers = {"which of two things": paper.choices(), "yes or no": paper.whether(),
               "how many, a digit": paper.counts()}
    contradictions = paper.contradictions(min(48, options.pictures))
    print(contradictions, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        install.install_models(Path(folder))
        evaluate.STEPS = int(taught.settings["steps"])
        revised, unread = paper.revisions(evaluate.Starter(Path(folder)), options.prompts, 2)
    return ["## Describe Image", timing.table(["right", "share", "pictures"], described),
            "## How sure the answers are", SURE,
            timing.table(["question", "right", "of all words, ECE", "of the answers, ECE", "both orders, ECE",
                          "right, both orders", "position bias"],
                         [sure(name, rows) for name, rows in answers.items()]),
            "## Claims against measurements, as Vision Critic makes them", told(contradictions),
            "## Prompt Critic", *rises(revised, unread)]


SURE = ("ECE: expected calibration error in ten bins, of the likelier answer; 0 is perfect. Of all words: the "
        "probability that the model gives the answer itself; of the answers: the read-out's correction, the share "
        "among the answers that are possible; both orders: the mean over the question and the question with its two "
        "answers exchanged. Position bias: how much likelier an answer is for standing first, from 0 to 1.")


def sure(name, rows):
    import vision_examination as exam
    every = [answer for row in rows for answer in row]
    both = [exam.given(statistics.fmean(answer.of_answers for answer in row)) for row in rows]
    right = statistics.fmean(answer.of_answers > 0.5 for answer in every)
    before = exam.calibration_error([(answer.mass * exam.given(answer.of_answers)[0], answer.of_answers > 0.5)
                                     for answer in every])
    after = exam.calibration_error([exam.given(answer.of_answers) for answer in every])
    if len(rows[0]) == 1:
        return name, f"{right:.3f}", f"{before:.3f}", f"{after:.3f}", "", "", ""
    return (name, f"{right:.3f}", f"{before:.3f}", f"{after:.3f}", f"{exam.calibration_error(both):.3f}",
            f"{statistics.fmean(ok for _, ok in both):.3f}", f"{exam.position_bias(rows):+.3f}")


def told(found) -> str:
    return (f"{found['answers']} answers to questions of a critic's card, as digits. They lie {found['error']:.1f} "
            f"points of 100 from what is measured; always saying the mean would lie {found['even']:.1f}. "
            f"{found['planted']} of the measurements were replaced by ones at least 45 points off: "
            f"**recall {found['recall']:.2f}, precision {found['precision']:.2f}** ({found['flagged']} said to "
            "disagree).")


def rises(rows, unread) -> list[str]:
    start, revised, blind = zip(*rows, strict=True)
    def rise(after, before):
        steps = [new - old for new, old in zip(after, before, strict=True)]
        return f"{statistics.fmean(steps):+.1f} ± {statistics.stdev(steps) / len(steps) ** 0.5:.1f}"

    return [f"{len(rows)} prompts of held-out scenes, one revision each, drawn on two seeds that had no part in it; "
            f"judged by a rubric of colour richness and value. {unread} answers could not be read (the prompt stays). "
            "The random revision changes one phrase, ground or style, as the model's does.",
            timing.table(["prompt", "score", "over the start", "over the random one"], [
                ("start", f"{statistics.fmean(start):.1f}", "", ""),
                ("revised by the model", f"{statistics.fmean(revised):.1f}", rise(revised, start),
                 rise(revised, blind)),
                ("revised at random", f"{statistics.fmean(blind):.1f}", rise(blind, start), "")])]


if __name__ == "__main__":
    main()
