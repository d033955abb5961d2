"""What a person may write in `blocks`, and what it means."""
import random
import re

import pytest
from lora_models import ARCHITECTURES, keys_of

UNET = {"IN": 12, "OUT": 12}
FLUX = {"D": 19, "S": 38}
LTX2 = next(name for name in ARCHITECTURES if "LTXAV" in name or name.startswith("LTX-2"))


@pytest.fixture
def lora(pack):
    return pack.nodes.lora


def places_of(lora, *families, clip=True):
    """Every block of a made-up model with an attention, an mlp and a norm in each."""
    place = lora.model.blocks.Place
    rests = ["attn.to_q.weight", "attn.qkv.weight", "mlp.0.weight", "norm1.weight"]
    aliases = ["BASE.time_embed"]
    for letter, count in families:
        aliases += [f"{letter}{i:02d}" for i in range(count)] + (["MID"] if letter == "IN" else [])
    aliases += ["BASE.final_layer"]
    aliases += [f"TE.{encoder}.{name}" for encoder in ("clip_l", "t5xxl") for name in ("BASE", "00", "01")] * clip
    paths = {"IN": "input_blocks", "OUT": "output_blocks", "D": "double_blocks", "S": "single_blocks"}
    found = []
    for alias in aliases:
        family = re.fullmatch(r"([A-Z]+)(\d+)", alias)
        path = f"{paths[family[1]]}.{int(family[2])}" if family else "middle_block" if alias == "MID" else alias[5:]
        found += [place(alias, path, rest) for rest in rests]
    return found


@pytest.fixture
def ratios(lora):
    """The ratio of every whole block, by alias, that a text gives on a model."""
    def get(text, model=UNET, clip=True):
        places = places_of(lora, *model.items(), clip=clip)
        weights = lora.block_weights.weights.resolve(lora.block_weights.block_language.parse(text), places, clip)
        return {place.alias: weights.ratio(place._replace(rest="conv.weight")) for place in places}
    return get


def at(ratios, **expected):
    return {name: ratios[name] for name in expected} == expected


def test_nothing_written_means_one_everywhere(ratios):
    for text in ("", " \n ; ", "# only a note"):
        assert set(ratios(text).values()) == {1.0}


def test_a_name_sets_its_block_and_no_other(ratios):
    found = ratios("IN04=0.5")
    assert found.pop("IN04") == 0.5 and set(found.values()) == {1.0}


@pytest.mark.parametrize("name", ["IN04", "in04", "IN4", "input_blocks.4", "Input_Blocks.4"])
def test_alias_and_module_path_name_the_same_block_in_any_case(name, ratios):
    assert ratios(f"{name}=0.5") == ratios("IN04=0.5")


def test_ranges_lists_families_groups_and_notes(ratios):
    found = ratios("IN02-IN04=0; OUT*=0.5  # the way out\nMID, OUT11 = 2; BASE=0.1; TE.*=0.2; TE.t5xxl=0.3")
    assert [found[f"IN{i:02d}"] for i in (1, 2, 4, 5)] == [1, 0, 0, 1]
    assert at(found, MID=2, OUT00=0.5, OUT11=2)
    assert found["BASE.time_embed"] == found["BASE.final_layer"] == 0.1
    assert found["TE.clip_l.00"] == 0.2 and found["TE.t5xxl.BASE"] == 0.3


def test_a_range_may_cross_families_in_the_models_order(ratios):
    found = ratios("IN11-OUT00=0")
    assert [name for name, ratio in found.items() if ratio == 0] == ["IN11", "MID", "OUT00"]


def test_a_family_is_not_every_name_with_its_letter(lora):
    place = lora.model.blocks.Place
    places = [place("D00", "double_blocks.0", "a"), place("DG00", "distilled_guidance_layer.layers.0", "a")]
    weights = lora.block_weights.weights.resolve(lora.block_weights.block_language.parse("D*=0"), places)
    assert [weights.ratio(p) for p in places] == [0, 1]


def test_later_statements_win_and_default_fills_the_rest_wherever_it_stands(ratios):
    assert at(ratios("IN04=0.5; IN*=0; IN05=3; default=0.7"), IN04=0, IN05=3, MID=0.7)


def test_linear_runs_over_the_blocks_in_order(ratios):
    found = ratios("OUT00-OUT04=linear(0, 1); MID=linear(0.5,9)")
    assert [found[f"OUT{i:02d}"] for i in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert found["MID"] == 0.5


def test_numbers_in_every_usual_form(ratios):
    for text, value in {".5": 0.5, "-1": -1, "+2.": 2, "1e-2": 0.01, " 3 ": 3}.items():
        assert ratios(f"MID={text}")["MID"] == value


@pytest.mark.parametrize("part, hit", [
    ("attn", {"attn.to_q.weight", "attn.qkv.weight"}), ("mlp", {"mlp.0.weight"}), ("norm", {"norm1.weight"}),
    ("q", {"attn.to_q.weight"}), ("attn.q", {"attn.to_q.weight"}), ("mlp.0", {"mlp.0.weight"}),
    ("*.weight", {"attn.to_q.weight", "attn.qkv.weight", "mlp.0.weight", "norm1.weight"}),
])
def test_a_part_of_a_block(part, hit, lora):
    places = places_of(lora, *UNET.items())
    weights = lora.block_weights.weights.resolve(lora.block_weights.block_language.parse(f"IN04-IN05.{part}=0"), places)
    muted = {(place.alias, place.rest) for place in places if weights.ratio(place) == 0}
    assert muted == {(alias, rest) for alias in ("IN04", "IN05") for rest in hit}


def test_a_part_of_every_block(lora):
    places = places_of(lora, *UNET.items())
    weights = lora.block_weights.weights.resolve(
        lora.block_weights.block_language.parse("*.attn=0; MID.attn=1"), places
    )
    assert all((weights.ratio(p) == 0) == (p.rest.startswith("attn") and p.alias != "MID") for p in places)


@pytest.mark.parametrize("rest, offset, shape, expected", [
    ("img_attn.qkv.weight", (0, 0, 64), (192, 64), {"attn", "q", "img"}),
    ("txt_attn.qkv.weight", (0, 64, 64), (192, 64), {"attn", "k", "txt"}),
    ("context_block.attn.qkv.weight", (0, 128, 64), (192, 64), {"attn", "v", "txt"}),
    ("attn.kv_linear.weight", (0, 0, 64), (128, 64), {"attn", "k"}),
    ("linear1.weight", (0, 64, 64), (448, 64), {"attn", "k"}),
    ("linear1.weight", (0, 0, 192), (448, 64), {"attn"}),
    ("linear1.weight", (0, 192, 256), (448, 64), {"mlp"}),
    ("linear1.weight", None, (448, 64), set()),
    ("attn.norm_added_q.weight", None, (64,), {"attn", "norm", "txt"}),
    ("attn.to_out.0.weight", None, (64, 64), {"attn", "o"}),
    ("layer.1.DenseReluDense.wo.weight", None, (64, 64), {"mlp"}),
    ("scale_shift_table", None, (6, 64), {"mod"}),
    ("adaLN_modulation.1.weight", None, (64, 64), {"mod"}),
])
def test_parts_are_told_from_names_and_slices(rest, offset, shape, expected, lora):
    parts = lora.model.parts
    assert {part for part in parts.PARTS if parts.matches(part, rest, offset, shape)} == expected


VECTORS = {
    12: (9, "IN04 IN05 IN07 IN08 MID OUT00-OUT05"), 20: (9, "IN00-IN08 MID OUT00-OUT08"),
    17: (12, "IN01 IN02 IN04 IN05 IN07 IN08 MID OUT03-OUT11"), 26: (12, "IN00-IN11 MID OUT00-OUT11"),
}


def spelled_out(text):
    return [f"{m[1]}{i:02d}" if m else word for word in text.split()
            for m in [re.fullmatch(r"([A-Z]+)(\d+)-[A-Z]+(\d+)", word)]
            for i in (range(int(m[2]), int(m[3]) + 1) if m else [0])]


@pytest.mark.parametrize("count", VECTORS)
def test_a_unet_vector_means_named_blocks_whatever_the_file_holds(count, ratios):
    size, layout = VECTORS[count]
    numbers = [i / 100 for i in range(1, count + 1)]
    found = ratios(",".join(map(str, numbers)), {"IN": size, "OUT": size})
    names = spelled_out(layout)
    assert [found[name] for name in names] == numbers[1:]
    assert found["BASE.time_embed"] == found["TE.clip_l.00"] == 0.01
    unnamed = {name for name in found if re.match("IN|MID|OUT", name)} - set(names)
    assert {found[name] for name in unnamed} <= {0}


@pytest.mark.parametrize("count, size, first", [(21, 9, 1), (27, 12, 1)])
def test_vectors_with_three_numbers_for_the_middle_reach_its_three_modules(count, size, first, lora):
    place = lora.model.blocks.Place
    names = [f"IN{i:02d}" for i in range(size)] + [f"OUT{i:02d}" for i in range(size)]
    places = [place(name, name, "x.weight") for name in names] + [place("BASE.out", "out", "x")]
    middle = [place("MID", "middle_block", f"{i}.proj.weight") for i in range(3)]
    text = ",".join(str(i) for i in range(count))
    weights = lora.block_weights.weights.resolve(lora.block_weights.block_language.parse(text), places + middle)
    assert [weights.ratio(p) for p in middle] == [size, size + 1, size + 2]
    assert [weights.ratio(p) for p in places[first:size]] == list(range(1, size))
    assert [weights.ratio(p) for p in places[size:2 * size]] == list(range(size + 3, count))


def test_flux_vectors(ratios):
    blocks = [f"D{i:02d}" for i in range(19)] + [f"S{i:02d}" for i in range(38)]
    text = lambda count: ",".join(str(i) for i in range(count))
    with_base, without, hako, double = (ratios(text(count), FLUX) for count in (58, 57, 61, 20))
    assert [with_base[b] for b in blocks] == list(range(1, 58)) and with_base["TE.t5xxl.00"] == 0
    assert [without[b] for b in blocks] == list(range(57)) and without["BASE.time_embed"] == 1
    assert [hako[b] for b in blocks] == list(range(3, 60)) and hako["BASE.final_layer"] == 60
    assert (hako["TE.clip_l.00"], hako["TE.t5xxl.00"], hako["BASE.time_embed"]) == (0, 1, 2)
    assert [double[b] for b in blocks] == list(range(1, 20)) + [19] * 38


def test_a_vector_may_be_followed_by_statements_and_written_on_several_lines(ratios):
    text = "1,0,0,\n0,0,0,0,0,\n0,0,0,0,0,0,0,0,0; MID=0.5"
    found = ratios(text)
    assert found["BASE.time_embed"] == 1 and found["MID"] == 0.5 and found["OUT11"] == 0


def test_names_of_text_encoders_are_not_looked_up_without_a_clip(ratios):
    assert set(ratios("TE.*=0; TE.clip_l.05.mlp=0.5; TE=3; TE*=2", clip=False).values()) == {1.0}
    assert ratios(",".join(["0.5"] * 61), FLUX, clip=False)["D00"] == 0.5


@pytest.mark.parametrize("text, message", [
    ("Q07=1", '"Q07" names no block of this model, which has BASE.time_embed, IN00-IN11, MID, OUT00-OUT11'),
    ("IN12=1", '"IN12" names no block'),
    ("IN04-IN99=1", '"IN04-IN99" names no block'),
    ("TE.clip_g.00=1", '"TE.clip_g.00" names no block'),
    ("OUT05-OUT01=1", 'the range "OUT05-OUT01" runs backwards; write OUT01-OUT05'),
    ("IN04.wings=1", '"IN04.wings" matches no weight; parts are attn, mlp, q, k, v'),
    ("1,2,3", '"1,2,3", a vector of 3 numbers, does not fit; this model takes 17 or 26 or 27'),
])
def test_what_the_model_does_not_have_is_quoted_with_what_it_has(text, message, ratios):
    with pytest.raises(ValueError, match="^blocks: .*" + re.escape(message)):
        ratios(text)


def test_a_vector_on_a_model_that_no_vector_was_made_for(ratios):
    with pytest.raises(ValueError, match="17 numbers, does not fit; this model takes no known number"):
        ratios(",".join(["1"] * 17), {"D": 2})


@pytest.mark.parametrize("text, message", [
    ("IN04=abc", '"abc" in "IN04=abc" is not a number'),
    ("IN04=nan", '"nan" in "IN04=nan" is not a number'),
    ("IN04=1e999", '"1e999" in'),
    ("IN04=linear(0)", '"linear(0)" in'),
    ("IN04=", '"" in "IN04=" is not a number'),
    ("=1", '"=1" is not of the form NAME=NUMBER'),
    ("IN04,,IN05=1", "is not of the form NAME=NUMBER"),
    ("4", '"4" has no value; write NAME=NUMBER'),
    ("1,2,x", '"x" in "1,2,x" is not a number'),
    ("1,2,", '"1,2," has no number after its last comma'),
    ("default,IN04=1", "default"),
    ("default=linear(0,1)", "default"),
])
def test_what_cannot_be_read_is_quoted(text, message, lora):
    with pytest.raises(ValueError, match="^blocks: .*" + re.escape(message)):
        lora.block_weights.block_language.parse(text)


def random_statement(rng, names):
    return ",".join(rng.sample(names, rng.randint(1, 3))), round(rng.uniform(-2, 2), 3)


@pytest.mark.parametrize("seed", range(30))
def test_random_texts_mean_the_last_statement_that_names_a_block(seed, ratios):
    rng = random.Random(seed)
    names = [f"{way}{i:02d}" for way in ("IN", "OUT") for i in range(12)] + ["MID"]
    statements = [random_statement(rng, names) for _ in range(rng.randint(1, 12))]
    expected = dict.fromkeys(names, 1.0)
    for selectors, value in statements:
        expected |= dict.fromkeys(selectors.split(","), value)
    separator = rng.choice([";", "\n", " ; ", "; # note ; more\n"])
    found = ratios(separator.join(f"{selectors} = {value}" for selectors, value in statements))
    assert {name: found[name] for name in names} == expected


@pytest.mark.parametrize("seed", range(30))
def test_the_text_of_the_report_means_the_same_weights(seed, ratios, lora):
    rng = random.Random(seed)
    before = {name: rng.choice([0.0, 0.25, 1.0, -1.5]) for name in ratios("")}
    runs = lora.model.blocks.runs({a: f"{r:g}" for a, r in before.items()})
    text = "; ".join(f"{run}={ratio}" for run, ratio in runs)
    assert ratios(text) == before


def test_any_text_is_read_or_refused_with_a_sentence(ratios):
    rng = random.Random(0)
    words = ["IN04", "MID", "=", "0.5", ";", ",", "-", "*", ".", "attn", "linear(", ")", "#", "\n", "TE", "[", "(",
             "\\", "default", " "]
    for _ in range(300):
        text = "".join(rng.choices(words, k=rng.randint(1, 12)))
        try:
            ratios(text)
        except ValueError as error:
            assert str(error).startswith("blocks: ")


def ratios_of(lora, model, text):
    """{(alias, path in the block): ratio} of an architecture at its full depth."""
    places = list(lora.model.blocks.model_places(keys_of(model)).values())
    weights = lora.block_weights.weights.resolve(lora.block_weights.block_language.parse(text), places)
    return {(place.alias, place.rest): weights.ratio(place) for place in places}


@pytest.mark.parametrize("text, outside", [("*.audio*=0", True), ("B*.audio*=0", False)])
def test_a_star_or_a_family_before_a_dotted_part_is_that_part_of_every_block(text, outside, lora):
    found = ratios_of(lora, LTX2, text)
    muted = {(alias, rest) for (alias, rest), ratio in found.items() if ratio == 0}
    inside = {key for key in found if re.fullmatch(r"B\d+", key[0]) and key[1].startswith("audio")}
    assert inside <= muted and len(inside) > 48
    others = {alias for alias, _ in muted - inside}
    assert all("audio" in alias for alias in others) and bool(others) == outside


def test_a_star_before_a_part_takes_what_is_named_so_outside_the_blocks_too(lora):
    found = ratios_of(lora, "Flux.1", "*.img*=0")
    assert found["BASE.img_in", "weight"] == found["D07", "img_attn.qkv.weight"] == 0
    assert found["BASE.txt_in", "weight"] == found["D07", "txt_attn.qkv.weight"] == found["S00", "linear1.weight"] == 1


@pytest.mark.parametrize("text", ["B*=0", "B*.img*=0", "T*=0", "M*.img*=0"])
def test_letters_and_a_star_are_a_family_and_not_what_begins_like_it(text, lora):
    with pytest.raises(ValueError, match="names no block of this model"):
        ratios_of(lora, "Flux.1", text)


@pytest.mark.parametrize("text, name, blocks", [
    ("BASE*=0", "Flux.1", r"BASE\..*"), ("D*=0", "Flux.1", r"D\d+"), ("O*=0", "SDXL", r"OUT\d+"),
    ("DOWN*=0", "Cascade-C", r"DOWN.*"),
    ("*_in=0", "Flux.1", r"BASE\.\w+_in"), ("double*=0", "Flux.1", r"D\d+"),
    ("*.07=0", "Cascade-C", r"(DOWN|UP)\d\.07"),
])
def test_other_patterns_mean_what_they_meant(text, name, blocks, lora):
    muted = {alias for (alias, _), ratio in ratios_of(lora, name, text).items() if ratio == 0}
    assert muted == {alias for alias, _ in ratios_of(lora, name, "") if re.fullmatch(blocks, alias)}


@pytest.mark.parametrize("text, told", [
    ("IN04=0.5\uff1bMID=0", 'FULLWIDTH SEMICOLON), write ";"'), ("IN04\uff0cIN05=0.5", 'FULLWIDTH COMMA), write ","'),
    ("IN04=\uff10.5", 'FULLWIDTH DIGIT ZERO), write "0"'), ("IN04\uff1d0.5", 'FULLWIDTH EQUALS SIGN), write "="'),
    ("IN04=0,5", 'a decimal comma is read as none, write "0.5"'), ("IN04=0.5,", "take the comma at its end away"),
    ("1,1,1,1,1,1,1,1,1,1,1,", "no number after its last comma"),
    ("\ufeffIN04=0.5", "an invisible character (ZERO WIDTH NO-BREAK"),
    ("\ufeffHALF", "an invisible character"), ("IN02\u2013IN04=0", 'EN DASH), write "-"'),
    ("MID=\u22121", 'MINUS SIGN), write "-"'),
    ("IN\uff0a=0", 'FULLWIDTH ASTERISK), write "*"'), ("IN04=0\u066b5", "ARABIC DECIMAL SEPARATOR"),
])
def test_a_character_that_looks_like_another_is_named_at_once(text, told, lora):
    with pytest.raises(ValueError, match=re.escape(told)):
        lora.block_weights.block_language.parse(text)


def test_notes_may_hold_any_character(lora):
    assert lora.block_weights.block_language.parse("IN04=0.5  # \u30d6\u30ed\u30c3\u30af\uff0c\u2013\ufeff")
