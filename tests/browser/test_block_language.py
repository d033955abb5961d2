"""The page reads the language of block weights as the server does, and its changes mean what they should."""
import random

import pytest

MODULE = "/extensions/bottega/block_weights/"
SPECS = ["", "IN04=0.5", "in4 = .5", "IN*=0.5; MID=0", "IN00-IN08=linear(0, 1)", "OUT02,MID,IN03=linear(1,0)",
         "input_blocks.4=0.3", "IN04=1; *=0.25", "IN04.attn=0; IN04=0.5", "IN04=0.5  # a = note; with signs\nMID=0",
         "BASE=0", "BASE.out=0.5; OUT*=2", "default=0; IN07-OUT01=1", "TE.*=0", "*.1*=0.5", "*.time*=0.5",
         "IN*.1*=0.25", "BASE*=0.5", "TE.clip_l.00-TE.clip_l.03=0.5",
         "*.attn=0.3; OUT0*=0.7", "middle_block=-1e-1", "IN0*=linear(1,0); IN04=+.5",
         "0.5,1,0.9,0.8,0.7,0.6,0,0.1,0.2,0.3,0.4,0.5", "SDXL:1,0,0,0,0,0.5,0,0,0,0,0,0; MID=1", "HALF",
         "default=A", "default=b; IN04=a; MID=B", "SDXL-INALL\nMID=0.5", "default = 0.25; HALF; IN01=1",
         ",".join(f"{n / 20:g}" for n in range(20))]


@pytest.fixture(scope="module")
def server_side(pack):
    """(blocks as the page knows them, function that gives the server's ratio of every block), for SDXL."""
    lora = pack.nodes.lora
    detection = lora.file.architecture_detection
    entry = detection.architectures()["SDXL"]
    encoder = [f"TE.clip_l.{n:02d}" for n in range(12)]
    blocks = [{"block": alias, "path": detection.path(alias, entry)} for alias in entry.blocks + encoder]
    place = lora.model.blocks.Place
    inside = ["1.transformer_blocks.0.attn1.to_q.weight", "0.in_layers.2.weight"]
    places = [place(b["block"], b["path"] or b["block"], rest) for b in blocks for rest in inside]

    def ratios(text):
        weights = lora.block_weights.weights.resolve(lora.block_weights.block_language.parse(text), places)
        return {block["block"]: weights.ratio(place(block["block"], "", inside[1])) for block in blocks}

    extra = {"families": lora.block_weights.presets.by_family(), "layouts": lora.block_weights.vectors.plain_layouts()}
    return blocks, ratios, extra


@pytest.fixture(scope="module")
def page(server_side, browser, server):
    """A page without the host's app: the modules stand alone."""
    page = browser.new_page()
    page.goto(f"{server.address}{MODULE}language.js")
    blocks, _, extra = server_side
    page.evaluate("""async ([module, blocks, extra]) => {
        const from = name => import(`${module}${name}.js`);
        const [language, editing, shapes, knowledge] = await Promise.all(
            ["language", "editing", "shapes", "knowledge"].map(from));
        const { layouts, texts } = knowledge.fitting(extra, blocks);
        const rows = await import(module.replace("block_weights", "lora_rows") + "lines.js");
        const book = { blocks, layouts, texts, letters: { A: 4, a: 2, B: 1, b: 0.5 } };
        const of = text => language.resolve(text, { ...book, rowLetters: true });
        const ratios = text => Object.fromEntries([...language.resolve(text, book).ratios].map(
            ([alias, { value }]) => [alias, value]));
        const row = text => [of(text).ratios.get("IN04").value, of(text).items.flatMap(({ lost }) => lost)];
        globalThis.test = { ...rows, row, ratios, shape: shapes.shape,
                            change: (text, edits) => editing.change(text, book, edits) };
    }""", [MODULE, blocks, extra])
    yield page
    page.close()


@pytest.mark.parametrize("text", SPECS)
def test_the_page_gives_every_block_the_ratio_that_the_server_gives_it(text, page, server_side):
    _, ratios, _ = server_side
    assert page.evaluate("text => test.ratios(text)", text) == pytest.approx(ratios(text))


@pytest.mark.parametrize("text", ["*o" * 9000 + "*x=1", "IN04" + ".attn" * 3900 + "=1", "i" + ".*" * 9000 + "=1",
                                  "IN04=" + "1" * 18000 + "x", "IN04=0.5;" * 2200, "x" * 1_000_000])
def test_a_text_made_to_be_slow_is_read_at_once(text, page):
    page.set_default_timeout(10_000)    # such a text held the page for hours
    ratios = page.evaluate("text => test.ratios(text)", text)
    assert ratios["IN04"] in (0.5, 1)


def random_text(rng, aliases):
    def selector():
        first, last = sorted(rng.sample(range(len(aliases)), 2))
        return rng.choice([aliases[first], f"{aliases[first]}-{aliases[last]}", "IN*", "OUT*", "BASE", "*", "TE.*",
                           f"{aliases[first]}.attn", "*.attn"])

    def value():
        return rng.choice(["0", "0.5", "1", "linear(0, 1)", "1.25"])

    pieces = [f"{','.join(selector() for _ in range(rng.randint(1, 3)))}={value()}" for _ in range(rng.randint(0, 5))]
    if rng.random() < 0.3:
        pieces.append("default=0.25")
    return rng.choice(["; ", "\n", ";  # note\n"]).join(pieces)


def test_a_change_reaches_the_blocks_it_is_about_and_leaves_all_others_and_their_parts_alone(page, server_side):
    """Random texts, random changes of the page, judged by the server's own reading of the texts."""
    blocks, ratios, _ = server_side
    aliases = [block["block"] for block in blocks]
    rng = random.Random(3)
    for _ in range(200):
        text = random_text(rng, aliases)
        before = ratios(text)
        edits = [{"aliases": chosen, "value": rng.choice([0, 0.5, 0.35, 1])}
                 for chosen in disjoint(rng, aliases)]
        after = page.evaluate("([text, edits]) => test.change(text, edits)", [text, edits])
        wanted = before | {alias: edit["value"] for edit in edits for alias in edit["aliases"]}
        assert ratios(after) == pytest.approx(wanted), (text, edits, after)
        assert after.count("# note") == text.count("# note")
        assert all(piece in after for piece in text.replace("\n", ";").split(";") if ".attn" in piece), (text, after)


def disjoint(rng, aliases):
    shuffled = rng.sample(aliases, len(aliases))
    cut = sorted(rng.sample(range(len(aliases)), rng.randint(1, 3)))
    parts = [shuffled[a:b] for a, b in zip([0, *cut], cut, strict=False)]
    return [sorted(part, key=aliases.index) for part in parts if part]


@pytest.mark.parametrize("name, text", [
    ("flat", "IN00-IN04=0.5"), ("rise", "IN00-IN04=linear(0, 0.5)"), ("fall", "IN00-IN04=linear(0.5, 0)"),
    ("hump", "IN00,IN04=0; IN01,IN03=0.35; IN02=0.5"), ("valley", "IN00,IN04=0.5; IN01,IN03=0.15; IN02=0")])
def test_shapes(name, text, page):
    edits = page.evaluate("name => test.shape(name, ['IN00', 'IN01', 'IN02', 'IN03', 'IN04'], 0, 0.5)", name)
    assert page.evaluate("edits => test.change('', edits)", edits) == text


@pytest.mark.parametrize("text, edit, after", [
    ("", (["IN04"], 0.5), "IN04=0.5"),
    ("IN04=0.5", (["IN05"], 0.5), "IN04-IN05=0.5"),
    ("IN04-IN05=0.5", (["IN04"], 1), "IN05=0.5"),
    ("IN04=0.5", (["IN04"], 1), ""),
    ("IN*=0.5; MID=0  # note\n*.attn=0.7", (["IN03"], 0.2), "IN*=0.5; MID=0; IN03=0.2  # note\n*.attn=0.7"),
    ("*.attn=0.7", (["MID"], 0), "MID=0; *.attn=0.7"),
    ("IN04.attn=0; IN04=0.5; OUT00.mlp=0", (["IN04"], 0.7), "IN04.attn=0; IN04=0.7; OUT00.mlp=0"),
    ("IN04=R", (["IN03"], 0.5), "IN04=R; IN03=0.5"),
    ("HALF", (["MID"], 0), "HALF; MID=0"),
    ("default=A", (["MID"], 1), "default=A; MID=1"),
    ("default=A; MID=0", (["MID"], 4), "default=A"),
    ("%default=1,in1-3=0.5\n", (["MID"], 0), "%default=1,in1-3=0.5; MID=0\n"),    # only ; ends what % begins
    ("%default=1; MID=0\nIN04=0.5", (["IN05", "MID"], 0.5), "%default=1; IN04-IN05,MID=0.5"),
    ("# a note;\nMID=0 # another", (["MID"], 1), "# a note;\n # another"),
])
def test_changes_keep_what_a_person_wrote(text, edit, after, page):
    aliases, value = edit
    edits = [{"aliases": aliases, "value": value}]
    assert page.evaluate("([text, edits]) => test.change(text, edits)", [text, edits]) == after


@pytest.mark.parametrize("text, ratio, lost", [
    ("IN04=A", 4, []), ("IN04=a; A=0.5; B=1", 0.25, []), ("A=2; IN04=A; A=3", 3, []), ("IN04=B; B=x", 1, []),
    ("a=0.5; IN04=a", 2, ["a"])])
def test_a_row_may_say_itself_what_its_letters_are(text, ratio, lost, page):
    assert page.evaluate("text => test.row(text)", text) == [ratio, lost]


@pytest.mark.parametrize("text, typed, left", [
    ("#D05=0.5; D06=0.2", "#D05=0.5; D06=0.2", ""), ("D05=0.5; D06=0.2:", "D05=0.5; D06=0.2", "D05=0.5; D06=0.2"),
    ("D05=<0", "D05=0", "D05=0"), ("SDXL:1,0,1", "1,0,1", "1,0,1"),
    ("D05=1 # a\nD06=2", "D05=1; D06=2", "D05=1; D06=2")])
def test_a_sign_typed_into_the_text_of_a_row_takes_nothing_else_along(text, typed, left, page):
    assert page.evaluate("text => [test.whileTyped(text), test.oneLine(text)]", text) == [typed, left]
