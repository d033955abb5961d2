"""Texts of every kind at every door that takes one: a right answer or a sentence, in under a second."""
import random
import time
from collections.abc import Callable, Iterator

from outcome import Outcome, not_a_sentence
from workbench import Workbench

SECOND = 1.0    # of processor time
LONG = (100, 1000, 19_000, 60_000, 1_000_000)
WORDS = {
    "rubric": ["Balance", "P1", "*", "E5*", "rms contrast", '"Balance"', "=", "->", ">", "<", "80", "2.5", "high",
               "target", "+-", "±", ";", ",", "@Klee", "typical"],
    "heat": ["Balance", "*", '"', "texture", "E6", "RMS contrast"],
    "blocks": ["J00", "J*", "joint_blocks.1", "-", "MID", "IN04", ".attn", ".*", "*", "=", "0.5", "1e9", ";", ",",
               "linear(", ")", "default", "A", "R", "%", "TE", "SDXL-INS", "NOLA", ":", "1,0,1"],
    "groups": ["J00", "J*", "-", ";", ",", ".attn", "each", "default", "=1", "MID"],
    "targets": ["J00", "J*", "=", "16", "@", "2e-5", ";", "default", ".attn", "TE", "-1", "1e99", "nan"],
    "keyframes": ["0", ":", "0.5", ",", ";", "1", "inf", "nan", "1_0", "-", "\n", "٣"],
    "ranges": ["cfg", "steps", " ", "1", "to", "..", "-", "12", ";", "=", "40.5"],
    "spec": ["scatter", "rect", "(", ")", "x", "=", "y", "year", ".", ";", '"', "'", "#ff0000", "# n", "\n", ",",
             "frame", "title", "select", "name", "group", "1", "-2.5", "9" * 400, "true", "bars", "radar"],
    "data": ["[", "]", "{", "}", '"a"', ":", "1", ",", "null", "1e999", "NaN", '"\\ud800"', "9" * 5000],
    "name": ["ink", "/", "\\", "..", "COM¹", "nul", ".", " ", "\0", "\ud800", "é", ".safetensors", "~", "%00"],
    "strengths": ["0.5", ",", "1", ";", "-1", "1e999", "nan", "\n", "٣", "1_0"],
    "variants": ["J00", "=", "0.5", "\n", "*", ";", ".attn", "NOLA", "%", "default"],
    "metadata": ["title", "[", ":", "=", "ink", "\n", "{", "}", '"', "ss_tag_frequency", "1"],
    "resume": ["/", "..", "ink", "\0", "\ud800", "~", "step_00000002", ".safetensors", "C:", "*", "?"],
    "folder": ["/", "..", "ink", "\0", "\ud800", "~", "C:", "*", "é"],
    "stop": ["[", "]", "{", "}", '"prompt_id"', '"node"', ":", '"1"', "1", ",", "null", "\\ud800", "\xff"],
}
ANYWHERE = [" ", "\n", "\t", "\0", "\ud800", "#", "é", "墨", "\u202e", "\r", "\x85", "x", "0", "(", '"', "'", "\\"]


def texts(bench: Workbench, rng: random.Random) -> Iterator[Outcome]:
    known = doors(bench)
    assert known.keys() == WORDS.keys()
    while True:
        for door, read in known.items():
            yield answered(door, read, text_for(door, rng))


def text_for(door: str, rng: random.Random) -> str:
    words = WORDS[door] + rng.sample(ANYWHERE, 3)
    kind = rng.random()
    if kind < 0.6:
        return "".join(rng.choice(words) for _ in range(rng.randint(0, 12)))
    if kind < 0.8:      # few words, again and again
        piece = "".join(rng.choice(words) for _ in range(rng.randint(1, 3)))
        return (piece * (rng.choice(LONG) // len(piece)))[:rng.choice(LONG)] + rng.choice(words)
    if kind < 0.9:      # long runs between the parts of a statement
        return "".join(rng.choice(words) + rng.choice(ANYWHERE) * rng.choice((0, 50, 4000)) for _ in range(5))
    return "".join(rng.choice(words) for _ in range(rng.choice((300, 3000, 9000))))


def answered(door: str, read: Callable[[str], object], text: str) -> Outcome:
    began, wrong = time.process_time(), ""
    try:
        read(text)
    except Exception as error:
        wrong = not_a_sentence(error, text)
    seconds = time.process_time() - began
    fault = f"{door}: {text[:60]!r} of {len(text)}"
    return Outcome(fault, wrong or (f"took {seconds:.1f} s" if seconds > SECOND else ""))


def doors(bench: Workbench) -> dict[str, Callable[[str], object]]:
    """By input: all that the pack does with the text until pictures or models are at work."""
    n = bench.pack.nodes
    rubric, blocks = n.critique.rubric.rubric_language, n.lora.block_weights
    places = [n.lora.model.blocks.Place(f"J{number:02}", f"joint_blocks.{number}", f"x_block.{rest}.weight")
              for number in range(24) for rest in ("attn.qkv", "attn.proj", "mlp.fc1", "adaLN_modulation.1")]

    def blocks_door(text):
        for mode in ("named", "inspire"):
            weights = blocks.weights.resolve(blocks.presets.expand(blocks.block_language.parse(text)), places,
                                             settings=blocks.block_language.Settings(mode))
            assert all(isinstance(weights.ratio(place), float) for place in places)

    def chart(text, data='[{"year": 1, "y": 2, "x": 3}]'):
        language, rows = n.charts.chart_language, n.charts.grammar.rows
        found = language.parse(text)
        return rows.read(data), found.chart_type or language.expression(found, rows.read(data).rows)

    return {
        "rubric": rubric.parse, "heat": lambda text: rubric.subject(text, rubric.parse("")), "blocks": blocks_door,
        "groups": n.studio.block_groups.check, "targets": n.training.model.targets.check_targets,
        "keyframes": n.lora.applying.schedule.parse_keyframes, "ranges": n.studio.prompt_critic.revision.parameters,
        "strengths": n.studio.lora_grid.numbers, "variants": n.studio.lora_grid.variants,
        "spec": chart, "data": lambda text: chart("bars()", text), "name": _named(n),
        "metadata": n.lora.saving.saved_metadata.read_metadata, "resume": n.training.disk.checkpoint.find_state,
        "folder": n.shared.picture_folder.locate, "stop": lambda text: n.training.stop_and_keep.asked(
            text.encode("utf-8", "surrogatepass"))}


def _named(n):
    def door(text):
        stem = n.lora.saving.output_file.file_stem(text)
        assert "/" not in stem and len(stem.encode()) <= 151, f"no file name: {stem!r}"
    return door
