"""Properties that every text of block weights has, on texts and models that nobody would think of."""
import random

import pytest

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FAST = settings(max_examples=150, deadline=None, derandomize=True,
                suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
LETTERS = st.sampled_from("AaBbRU")
FIXED = NUMBERS | st.sampled_from("AaBb")
COUNTS = {"IN": 5, "D": 3, "S": 4}
ALIASES = ["BASE.time", *(f"{family}{i:02d}" for family, count in COUNTS.items() for i in range(count)), "MID",
           "TE.clip_l.BASE", "TE.clip_l.00", "TE.clip_l.01"]
PATHS = {"IN": "input_blocks", "D": "double_blocks", "S": "single_blocks", "MID": "middle_block"}
RESTS = {"attn.to_q.weight": {"attn", "q"}, "attn.to_k.weight": {"attn", "k"}, "mlp.0.weight": {"mlp"},
         "norm1.weight": {"norm"}, "conv.weight": set()}


@pytest.fixture
def lora(pack):
    return pack.nodes.lora


def path_of(alias):
    stem = alias.rstrip("0123456789")
    return f"{PATHS[stem]}.{int(alias[len(stem):])}" if stem in PATHS and stem != "MID" else PATHS.get(alias, alias)


@pytest.fixture
def places(lora):
    return [lora.model.blocks.Place(alias, path_of(alias), rest) for alias in ALIASES for rest in RESTS]


# A selector, with the aliases that it names and the part of them: what the texts below are made of.
def one(alias):
    return st.sampled_from([alias, alias.lower(), path_of(alias)]).map(lambda name: (name, {alias}))


def span(family):
    ends = st.tuples(*[st.integers(0, COUNTS[family] - 1)] * 2).map(sorted)
    return ends.map(lambda ends: (f"{family}{ends[0]:02d}-{family}{ends[1]}",
                                  {f"{family}{i:02d}" for i in range(ends[0], ends[1] + 1)}))


GROUPS = st.sampled_from([("*", set(ALIASES)), ("TE", {a for a in ALIASES if a.startswith("TE")}),
                          ("TE.*", {a for a in ALIASES if a.startswith("TE")}), ("BASE", {"BASE.time"}),
                          *((f"{family}*", {a for a in ALIASES if a.startswith(family) and a != "MID"})
                            for family in COUNTS)])
BLOCKS = st.sampled_from(ALIASES).flatmap(one) | st.sampled_from(list(COUNTS)).flatmap(span) | GROUPS
PARTS = st.sampled_from(["", "", "attn", "mlp", "q", "attn.k", "norm"])
SELECTORS = st.tuples(BLOCKS, PARTS).map(lambda pair: (
    pair[0][0] + (f".{pair[1]}" if pair[1] else ""), pair[0][1], set(filter(None, pair[1].split(".")))))
STATEMENTS = st.tuples(st.lists(SELECTORS, min_size=1, max_size=3), NUMBERS)


def naive(statements, default):
    """Every weight of every block, statement after statement, with no cleverness."""
    table = {(alias, rest): default for alias in ALIASES for rest in RESTS}
    for selectors, value in statements:
        for _, aliases, part in selectors:
            for alias, rest in table:
                if alias in aliases and part <= RESTS[rest]:
                    table[alias, rest] = value
    return table


@FAST
@given(st.lists(STATEMENTS, max_size=8), NUMBERS, st.sampled_from([";", "\n", " ; ", ";\n", "  # note; X=1\n"]),
       st.integers(0, 8))
def test_the_last_statement_that_speaks_of_a_weight_decides(lora, places, statements, default, separator, where):
    texts = [f"{','.join(name for name, _, _ in selectors)} = {value!r}" for selectors, value in statements]
    texts.insert(where, f"default={default!r}")
    weights = lora.block_weights.weights.resolve(lora.block_weights.block_language.parse(separator.join(texts)), places)
    assert {(place.alias, place.rest): weights.ratio(place) for place in places} == naive(statements, default)


@FAST
@given(st.data())
def test_what_is_written_is_read_back(lora, data):
    language = lora.block_weights.block_language
    names = st.from_regex(r"[A-Za-z][A-Za-z0-9_.*-]{0,12}", fullmatch=True).filter(lambda n: n.lower() != "default")
    values = (NUMBERS | LETTERS).map(lambda v: (v, v)) | st.tuples(FIXED, FIXED)
    statement = st.builds(lambda s, v: language.Statement(tuple(s), language.Ramp(*v)),
                          st.lists(names, min_size=1, max_size=4), values)
    default = (NUMBERS | LETTERS).map(lambda v: language.Statement((language.DEFAULT,), language.Ramp(v, v)))
    scalars = st.lists(NUMBERS | LETTERS, min_size=1, max_size=3).map(tuple)
    vector = st.lists(scalars, min_size=2, max_size=61).map(lambda items: language.Vector(tuple(items)))
    preset = st.from_regex(r"[A-Za-z][A-Za-z0-9_. +-]{0,8}[A-Za-z]", fullmatch=True).map(language.Preset)
    percent = st.from_regex(r"(in|default)[0-9]?=[0-9](,base=[0-9])?", fullmatch=True).map(language.InspirePercent)
    spec = tuple(data.draw(st.lists(statement | default | vector | preset | percent, max_size=6)))
    assert language.parse(language.write(spec)) == spec


@FAST
@given(st.lists(st.sampled_from(ALIASES), min_size=1, max_size=6, unique=True), NUMBERS, NUMBERS)
def test_a_ramp_runs_straight_from_its_first_block_to_its_last_in_the_models_order(lora, places, names, start, end):
    text = f"default=7; {','.join(names)}=linear({start!r}, {end!r})"
    weights = lora.block_weights.weights.resolve(lora.block_weights.block_language.parse(text), places)
    order = sorted(names, key=ALIASES.index)
    expected = [start + (end - start) * i / max(len(order) - 1, 1) for i in range(len(order))]
    assert [weights.whole(alias) for alias in order] == expected
    assert {weights.whole(alias) for alias in set(ALIASES) - set(names)} <= {7}


@FAST
@given(st.integers(0, 2**64 - 1), NUMBERS, NUMBERS, st.sampled_from(["named", "inspire"]))
def test_letters_are_numbers_of_the_seed_and_the_inputs(lora, places, seed, a, b, mode):
    state = random.getstate()
    language = lora.block_weights.block_language
    chosen, parse = language.Settings(mode, seed, a, b), language.parse
    resolve = lambda text: lora.block_weights.weights.resolve(parse(text), places, settings=chosen)
    weights = resolve("IN00=A; IN01=a; IN02=B; IN03=b; D*=R; S*=U; MID=linear(A, b); IN04=linear(a, B); TE=r")
    assert [weights.whole(f"IN0{i}") for i in range(5)] == [a, a / 2, b, b / 2, a / 2]
    assert all(0 <= weights.whole(f"D0{i}") <= 3 for i in range(3)) and weights.whole("MID") == a
    assert all(-1.5 <= weights.whole(f"S0{i}") <= 1.5 for i in range(4))
    assert len({weights.whole(alias) for alias in ("D00", "D01", "D02", "TE.clip_l.BASE", "TE.clip_l.00")}) > 1
    again = resolve("MID=1; D01,IN00=R")
    assert again.whole("D01") == weights.whole("D01") and random.getstate() == state


@FAST
@given(st.text(st.sampled_from('INDS0123.-*=;,:#% \n()"\\attnlinearABRUTE'), max_size=40))
def test_any_text_is_read_or_refused_with_one_sentence_about_blocks(lora, places, text):
    for mode in ("named", "inspire"):
        try:
            weights = lora.block_weights.weights.resolve(lora.block_weights.block_language.parse(text), places,
                                                         settings=lora.block_weights.block_language.Settings(mode))
            assert all(isinstance(weights.ratio(place), float) for place in places)
        except ValueError as error:
            assert str(error).startswith("blocks: ") and len(str(error)) < 1500
