"""LoRAs that a prompt names: what a tag says, which file it means, the clean text, and the graph."""
import lora_models as small
import pytest
from lora_models import small_clip, small_model, weights

NAMES = ["ink.safetensors", "style/Wash.safetensors", "style\\deep\\v1.5 gilt.pt", "a/twin.safetensors",
         "b/twin.safetensors", "c/ink.safetensors", "d/a:b.safetensors", "sty>le.safetensors"]


@pytest.fixture
def tags(lora, monkeypatch):
    """The clean text and the layers of a text, with NAMES in the loras folders."""
    room = lora.applying.prompt_tags
    monkeypatch.setattr(room.folder_paths, "get_filename_list", lambda kind: NAMES)
    return room.read_prompt


@pytest.fixture
def layer(tags):
    def layer(tag):
        (found,) = tags(f"<lora:{tag}>")[1]
        return found
    return layer


@pytest.mark.parametrize("inside, strengths, blocks", [
    ("ink", (1, 1), ""), ("ink:0.8", (0.8, 0.8), ""), ("ink: -.5 :0", (-0.5, 0), ""),
    ("ink:te=0.6:unet=2", (2, 0.6), ""),
    ("ink:0.8:te=0.6", (0.8, 0.6), ""), ('"ink":1:0,0,1', (1, 1), "0,0,1"), ("ink:1:IND", (1, 1), "SD-IND"),
    ("ink:0.8:lbw=IN04=0.5; MID=0", (0.8, 0.8), "IN04=0.5; MID=0"),
    ("ink:LBW=SDXL-STYLE:0.5", (0.5, 0.5), "SDXL-STYLE"),
    ("ink:1:1:lbw=FACE:1,0,0.5", (1, 1), "1,0,0.5"), ("ink:lbw=all0.5", (1, 1), "HALF"),
    ("ink:lbw=INS; IN00=0", (1, 1), "SD-INS; IN00=0"),
    ("ink:lbw=%default=1,in1-3=0.5", (1, 1), "%default=1,in1-3=0.5")])
def test_a_tag_gives_strengths_and_block_weights(inside, strengths, blocks, layer):
    found = layer(inside)
    assert (found.name, found[1:3], found.blocks) == ("ink.safetensors", strengths, blocks)


def test_a_and_b_of_inspire_stand_beside_the_vector(layer):
    found = layer("ink:1:1:LBW=1,0,A,B;A=2;B=-1.5;")
    assert (found.blocks, found.settings.a, found.settings.b) == ("1,0,A,B", 2.0, -1.5)


@pytest.mark.parametrize("written, name", [
    ("INK", NAMES[0]), ("ink.safetensors", NAMES[0]), ("c/ink", NAMES[5]), ("wash", NAMES[1]), ("Style/wash", NAMES[1]),
    ("v1.5 gilt", NAMES[2]), ("deep/V1.5 Gilt", NAMES[2]), ("style\\deep\\v1.5 gilt.pt", NAMES[2]),
    ("b/Twin", NAMES[4]), ('"a:b"', NAMES[6]), ('"sty>le" ', NAMES[7]), ('"d/A:B.safetensors"', NAMES[6])])
def test_a_file_is_found_without_ending_folder_and_capitals(written, name, layer):
    assert layer(written).name == name


@pytest.mark.parametrize("text, said", [
    ("<lora:gone>", 'in "<lora:gone>", there is no "gone" in the loras folders'),
    ("<lora:twin:1>", '"twin" is the name of 2 files (a/twin.safetensors, b/twin.safetensors); write the folder'),
    ("<lora:a:b:1>", 'there is no "a" in the loras folders; a name that holds :, < or > stands in quotes, as "d/a:b'),
    ("<lora:ink", "the tag is not closed by >"), ("<lora: :1>", "there is no name of a LoRA"),
    ("<lora:ink:1:1:1>", '"1" is a third number'), ("<lora:ink:900>", '"900" is no strength'),
    ("<lora:ink:te=x>", '"x" is no strength'), ("<lora:ink:stop=10>", "which Schedule LoRA makes"),
    ("<lora:ink:loader=x>", '"loader=x" is not read; expected a strength'), ("<lora:ink:>", '"" is not read'),
    ("<lora:ink:lbw=J00=lots>", 'blocks: "lots" in "J00=lots" is not a number'),
    ("<lora:ink:lbw=NOSUCH>", 'blocks: "NOSUCH" is no preset'), ("<lora:ink:IND:lbw=IND>", "lbw stands twice"),
    ("<lora:ink:lbw=A=x>", '"x" is no number for A or B'), ("x" * 20_001, "text: expected at most 20000 characters"),
    ("<lora:ink>" * 201, "text: expected at most 200 LoRAs, got 201")])
def test_what_cannot_be_read_is_one_sentence(text, said, tags):
    with pytest.raises(ValueError, match="^text: ") as error:
        tags(text)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_each_bad_tag_has_its_sentence_up_to_five(tags):
    with pytest.raises(ValueError) as error:
        tags("<lora:gone>, <lora:ink>, <lora:twin> <lora:ink:x=1>" + "<lora:lost>" * 4)
    lines = str(error.value).splitlines()
    assert len(lines) == 6 and lines[-1] == "text: 2 more tags cannot be read"


@pytest.mark.parametrize("text, clean", [
    ("a cat, <lora:ink:1>, <LORA:wash:0.5>, on a mat", "a cat, on a mat"), ("<lora:ink>, a cat <lora:wash> ,", "a cat"),
    ("a <lora:ink> cat", "a cat"), ("a cat,\n<lora:ink>,\na dog", "a cat,\na dog"), ("<lora:ink>", ""),
    ("(a cat<lora:ink:lbw=IN*=0;\nMID=1>:1.2)", "(a cat:1.2)"), ("a  cat,, b, ", "a  cat,, b, "),
    ("1 < 2 <lyco:ink:1> > 0", "1 < 2 > 0"), ('a <lora:"sty>le":1> cat', "a cat"),
    (" ,a (cat,,dog)  x , <lora:ink:1> y, ", " ,a (cat,,dog)  x , y, "), ("a,\n,b <lora:ink>", "a,\n,b"),
    ("a <lora:ink>\nb\n<lora:ink> c", "a\nb\nc")])
def test_the_text_comes_without_tags_and_what_they_leave(text, clean, tags):
    assert tags(text)[0] == clean


@pytest.mark.parametrize("text", ["<lora:" * 3300, "<lora:" + ":" * 19_000 + ">", "," * 19_000 + "<lora:ink>",
                                  " " * 19_000 + "<lora:ink>", " ,\n" * 6_000 + "<lora:ink>",
                                  "<lora:ink:lbw=" + ";" * 19_000 + ">", "<lora:ink:lbw=" + "/" * 19_000 + ">",
                                  '<lora:"' * 2800, '<lora:"' + " " * 19_000])
def test_a_text_made_to_be_slow_is_read_or_refused_with_a_short_quote(text, tags):
    try:
        assert len(tags(text)[0]) < 5
    except ValueError as error:
        assert len(str(error)) < 1000


@pytest.fixture(scope="module")
def shop(host):
    tensors = small.lora_for(small_model("SD3-medium"), "lora")
    return small.stock(host, prompt_ink=(tensors, None), prompt_wash=(tensors, None))


def graph(text):
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}
    return {"1": node("UNETLoader", unet_name=small.SMALL_FILE, weight_dtype="default"),
            "2": node("BottegaStackLora", lora_name="prompt_ink.safetensors", strength_model=0.5, strength_clip=1.0,
                      blocks=""),
            "3": node("BottegaLorasFromText", model=["1", 0], text=text, stack=["2", 0]),
            "4": node("PreviewAny", source=["3", 2])}


def test_it_runs_in_the_executor_and_a_bad_tag_is_refused_before(shop):
    outputs, _ = shop.run(graph("a cat <lora:Prompt_Wash:0.5:lbw=J00=0.5>, a mat"))
    assert outputs["4"]["text"][0] == "a cat, a mat"
    told = outputs["3"]["text"][0]
    assert told.startswith("2 LoRAs, 2 of them applied.") and "J00=0.5; J01=1" in told
    assert "text: in " in str(shop.validate(graph("<lora:nowhere:1>"))[1])


def test_it_gives_the_weights_of_a_stack_of_the_same_loras(shop, pack):
    nodes, model, clip = pack.nodes.lora.nodes, small_model("SD3-medium"), small_clip()
    stacked = None
    for name, strength, blocks in (("ink", 0.7, "J00=0"), ("wash", -0.4, "")):
        stacked = nodes.StackLora.execute(f"prompt_{name}.safetensors", strength, strength, blocks, stacked).args[0]
    text = "<lora:prompt_ink:0.7:lbw=J00=0><lora:prompt_wash:-0.4>"
    found, _, clean, layers, _ = nodes.LorasFromText.execute(model, text, clip).args
    expected = nodes.ApplyStack.execute(model, stacked, clip).args[0]
    assert small.off(weights(found), weights(expected)) == {} and layers == stacked and clean == ""


def test_without_tags_everything_comes_back_as_it_came(shop, pack):
    model = small_model("SD3-medium")
    found, clip, text, layers, told = pack.nodes.lora.nodes.LorasFromText.execute(model, "a cat,, ").args
    assert (found is model, clip, text, layers) == (True, None, "a cat,, ", ()) and "nothing is applied" in told


def test_it_runs_again_when_a_file_it_names_is_written_anew(shop, pack):
    node, text = pack.nodes.lora.nodes.LorasFromText, "<lora:prompt_ink>"
    path = shop.tmp / "output" / "loras" / "prompt_ink.safetensors"
    before = node.fingerprint_inputs(text)
    assert before == node.fingerprint_inputs(text)
    path.write_bytes(path.read_bytes() + b" ")
    assert before != node.fingerprint_inputs(text)
    path.write_bytes(path.read_bytes()[:-1])
