"""LoRA Grid: every cell is what Load LoRA and KSampler give, the best is named, Cancel keeps what was drawn."""
import json
from types import SimpleNamespace

import picture_edits
import pytest
import torch

STRENGTHS = (0.5, 1.0)
READABLE = [("0.5, 1", [0.5, 1.0]), ("1\n-0.5; 1", [1.0, -0.5]), (" .75 ,", [0.75])]
BLOCKS = ("default=1", "J00=0; J01=0.5")


@pytest.fixture(scope="module")
def grid_module(pack):
    return pack.nodes.studio.lora_grid


def node(class_type, **inputs):
    """A node of a prompt; a tuple (node, output) is a link."""
    return {"class_type": class_type,
            "inputs": {name: list(value) if isinstance(value, tuple) else value for name, value in inputs.items()}}


def models(starter):
    return {
        "model": node("UNETLoader", unet_name=starter.MODEL, weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name=starter.TEXT, type="sd3"),
        "vae": node("VAELoader", vae_name=starter.VAE),
        "words": node("CLIPTextEncode", text="a red star on a white background, flat style", clip=("clip", 0)),
        "nothing": node("CLIPTextEncode", text="", clip=("clip", 0)),
        "empty": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
    }


@pytest.fixture(scope="module")
def graph(starter):
    """graph(**inputs): a prompt with LoRA Grid as `grid`."""
    def made(**inputs):
        return models(starter) | {
            "grid": node("BottegaLoraGrid", **{
                "model": ("model", 0), "positive": ("words", 0), "negative": ("nothing", 0),
                "latent_image": ("empty", 0), "vae": ("vae", 0), "loras": starter.LORAS[0],
                "strengths": "0.5, 1", "blocks": "\n".join(BLOCKS), "seeds": 1, "seed": 5, "sampling_steps": 3,
                "cfg": 2.0, "sampler_name": "euler", "scheduler": "simple", "rubric": "*=0; Value=1", **inputs}),
            "keep": node("PreviewImage", images=("grid", 5)),
            "data": node("PreviewAny", source=("grid", 7)),
        }
    return made


def pixels(host, shown):
    from PIL import Image
    return [Image.open(host.tmp / each["type"] / each["subfolder"] / each["filename"]).convert("RGB").tobytes()
            for each in shown["images"]]


@pytest.fixture(scope="module")
def ran(host, graph):
    return host.run(graph())[0]


def test_each_cell_is_the_picture_of_load_lora_and_ksampler(host, starter, ran):
    drawn, settings = pixels(host, ran["keep"]), [(s, b) for b in BLOCKS for s in STRENGTHS]
    assert len(set(drawn)) == len(settings)
    for picture, (strength, blocks) in zip(drawn, settings, strict=True):
        alone = models(starter) | {
            "lora": node("BottegaLoadLora", model=("model", 0), lora_name=starter.LORAS[0], strength_model=strength,
                         strength_clip=1.0, blocks=blocks),
            "sample": node("KSampler", model=("lora", 0), positive=("words", 0), negative=("nothing", 0),
                           latent_image=("empty", 0), seed=5, steps=3, cfg=2.0, sampler_name="euler",
                           scheduler="simple", denoise=1.0),
            "decode": node("VAEDecode", samples=("sample", 0), vae=("vae", 0)),
            "keep": node("PreviewImage", images=("decode", 0))}
        assert pixels(host, host.run(alone)[0]["keep"]) == [picture]


def test_strength_0_is_the_picture_without_the_lora_and_two_prompts_give_an_error(host, graph):
    prompts = {"other": node("CLIPTextEncode", text="a blue circle", clip=("clip", 0)),
               "both": node("ConditioningCombine", conditioning_1=("words", 0), conditioning_2=("other", 0)),
               "sample": node("KSampler", model=("model", 0), positive=("words", 0), negative=("nothing", 0),
                              latent_image=("empty", 0), seed=5, steps=3, cfg=2.0, sampler_name="euler",
                              scheduler="simple", denoise=1.0),
               "decode": node("VAEDecode", samples=("sample", 0), vae=("vae", 0)),
               "bare": node("PreviewImage", images=("decode", 0))}
    shown = host.run(graph(strengths="0, 1", blocks="", positive=("both", 0)) | prompts)[0]
    assert pixels(host, shown["keep"])[:1] == pixels(host, shown["bare"])
    assert shown["grid"]["text"][0].count(" ± ") == 2


def test_the_best_is_the_highest_of_all_and_is_named_first(ran):
    rows = json.loads(ran["data"]["text"][0])
    assert len(rows) == 4
    best = max(rows, key=lambda row: row["score"])
    named = f"**{best['lora']} at strength {best['strength']:g} with {best['blocks']}**"
    assert ran["grid"]["text"][0].startswith(named)


@pytest.mark.parametrize(("written", "found"), READABLE)
def test_strengths_are_read(written, found, grid_module):
    assert grid_module.numbers(written) == found


@pytest.mark.parametrize("written", ["", "a", "nan", "1e400", "101", "0.5 1"])
def test_strengths_that_are_none_get_a_sentence(written, grid_module):
    with pytest.raises(ValueError, match="^strengths: expected"):
        grid_module.numbers(written)


@pytest.mark.parametrize(("inputs", "said"), [
    ({"loras": "nowhere*"}, "which no file fits"),
    ({"loras": ""}, "expected at least one LoRA file"),
    ({"blocks": "D00=0"}, "D00"), ({"blocks": "NOSUCH"}, '"NOSUCH" is no preset'),
    ({"blocks": "NONE\n*=0"}, "got none: .*nothing is applied, because .* the ratio of every block it has is 0"),
    ({"best_by": "likeness"}, "expected style to be connected"),
    ({"strengths": ", ".join(f"{number / 100}" for number in range(600))}, "at most 1000"),
])
def test_what_cannot_be_drawn_is_said_before_anything_is(inputs, said, host, graph):
    with pytest.raises(Exception, match=said):
        host.run(graph(**inputs))


@pytest.fixture
def one_cell(grid_module, parse, paintings, monkeypatch):
    """one_cell(error) fills a grid of two settings, of which the second raises it; one_cell(error, first=True) both."""
    grid = grid_module.Grid(["a", "b"], None, [1.0], [""])
    by = grid_module.Judge(parse(""), paintings, None, "score")
    drawn = lambda draw, jobs: (None for _ in jobs)

    def fill(error, first=False):
        cells = iter([] if first else [cell_of(grid_module, grid.settings[0], 10.0)])

        def judged(*given):
            for cell in cells:
                return cell
            raise error
        monkeypatch.setattr(grid_module, "_judged", judged)
        filled = grid_module.fill(None, grid, SimpleNamespace(prompts=0), [0], by, lambda done: None, drawn)
        return filled, grid_module.report(grid, filled.cells, by, filled.ended)
    return fill


def cell_of(grid_module, setting, score, spoiled="", level=0.5, nothing=""):
    picture = torch.full((1, 40, 30, 3), level)
    return grid_module.Judged(setting, score, None, None, grid_module.small(picture), picture, spoiled, nothing)


def test_cancel_keeps_the_cells_that_were_drawn(one_cell):
    import comfy.model_management
    cancel = comfy.model_management.InterruptProcessingException
    filled, report = one_cell(cancel())
    assert len(filled.cells) == len(filled.images) == 1 and filled.ended == "cancelled"
    assert "Cancelled after 1 of 2 settings" in report
    with pytest.raises(cancel):
        one_cell(cancel(), first=True)


@pytest.mark.parametrize(("name", "error", "said"), [
    ("memory", torch.OutOfMemoryError("CUDA out of memory."), "memory was full (CUDA out of memory)."),
    ("rank", None, "devices: rank 1: gone."),
    ("file", ValueError("loras: b is damaged.\nMore."), "loras: b is damaged.")])
def test_what_ends_a_grid_keeps_the_cells_that_were_drawn(one_cell, pack, name, error, said):
    error = error or pack.nodes.training.distributed.team.RankFailed("devices: rank 1: gone")
    filled, report = one_cell(error)
    assert len(filled.cells) == 1 and f"**Ended after 1 of 2 settings**, which were drawn: {said}" in report
    with pytest.raises(type(error)):
        one_cell(error, first=True)


def test_a_fault_of_the_program_is_raised(one_cell):
    with pytest.raises(AttributeError):
        one_cell(AttributeError("no such thing"))


def test_pictures_that_memory_cannot_hold_are_told_at_the_first_one(grid_module):
    with pytest.raises(ValueError, match="^loras: expected .* got 1000000000 of 1024x512, which take 6.29e.06 GB"):
        grid_module.Pictures(10 ** 9).keep(0, torch.zeros(1, 512, 1024, 3))


def test_the_sheet_that_grows_is_the_one_that_is_drawn_at_once(grid_module, pack, parse, paintings):
    """Cells that come to be the best, that are so no longer, and that look spoiled, one after another."""
    sheet = pack.nodes.studio.grid_sheet
    grid = grid_module.Grid(["a rather long name of a LoRA.safetensors", "b"], None, [0.5, 1.0], ["", "J00=0"])
    by = grid_module.Judge(parse(""), paintings, None, "score")
    found = zip(grid.settings[:6], (50, 40, 70, 90, 60, 80), ("too red", "", "", "too dark", "", ""), strict=True)
    cells = [cell_of(grid_module, setting, score, spoiled, place / 10)
             for place, (setting, score, spoiled) in enumerate(found)]
    growing, drawn = sheet.Sheet(grid, by), []
    for count in range(1, len(cells) + 1):
        growing.update(cells[:count])
        drawn.append(growing.image)
    scene = drawing_of(grid_module, pack, grid, cells, by)
    assert torch.equal(drawn[-1], scene)
    assert len({picture.numpy().tobytes() for picture in drawn}) == len(cells)


def drawing_of(grid_module, pack, grid, cells, by):
    """The whole sheet as one scene."""
    sheet, scene = pack.nodes.studio.grid_sheet, pack.nodes.charts.drawing.scene
    best, at = grid_module.best(cells, by), {cell.setting: cell for cell in cells}
    heads = [scene.place(sheet.ROW + number * sheet.WIDE, 4, sheet._head(*column))
             for number, column in enumerate(grid.columns)]
    names = [scene.place(sheet.GAP, sheet.HEAD + row * sheet.HIGH + 8, sheet._name(name))
             for row, name in enumerate(grid.names)]
    drawn = [scene.place(sheet.ROW + number % 4 * sheet.WIDE, sheet.HEAD + number // 4 * sheet.HIGH,
                         sheet._cell(at[setting], by, at[setting] is best))
             for number, setting in enumerate(grid.settings) if setting in at]
    whole = scene.layer([*heads, *names, *drawn], sheet.ROW + 4 * sheet.WIDE, sheet.HEAD + 2 * sheet.HIGH)
    return pack.nodes.charts.drawing.draw.render(whole, pack.nodes.charts.drawing.theme.LIGHT.paper)


def test_a_process_that_lists_a_file_more_draws_the_lora_that_was_meant(grid_module):
    class Opened(Exception):
        pass

    def opened(row):
        raise Opened(later.names[row])
    grid = grid_module.Grid(["a", "b"], None, [1.0], [""])
    later = grid_module.Grid(["a", "aa", "b"], opened, [1.0], [""])
    draw = grid_module.Drawing(None, later, None, None).draw
    with pytest.raises(Opened, match="^b$"):
        grid_module.fill(None, grid, SimpleNamespace(prompts=0), [0], None, None, lambda _, jobs: map(draw, jobs[1:]))


def test_what_looks_spoiled_is_marked_and_never_chosen(grid_module, module, parse, paintings, measured_small,
                                                       monkeypatch):
    shown = {"plain": picture_edits.landscape()}
    shown |= {0.5: picture_edits.NEUTRAL["mirrored"](shown["plain"]),
              1.0: picture_edits.DAMAGE["clipped"](shown["plain"])}
    pixels = {model: torch.from_numpy(array.copy())[None].float() / 255 for model, array in shown.items()}
    monkeypatch.setattr(grid_module, "apply_lora", lambda model, clip, lora, strength, *_: (strength, None, None))
    monkeypatch.setattr(grid_module, "why_nothing", lambda result: "")
    sampling = SimpleNamespace(prompts=1, draw=lambda model, *_: SimpleNamespace(picture=pixels[model]))
    grid = grid_module.Grid(["ink"], lambda row: None, [0.5, 1.0], [""])
    by = grid_module.Judge(parse("*=0; mean L channel=high"), paintings, None, "score")
    filled = grid_module.fill("plain", grid, sampling, [0, 1], by, lambda done: None)
    cells = filled.cells
    assert torch.equal(filled.images, torch.cat([pixels[0.5], pixels[1.0]]))
    assert cells[1].picture.data_ptr() == filled.images[1].data_ptr()      # held once
    assert [cell.spoiled for cell in cells] == ["", "too light"] and cells[1].score > cells[0].score
    assert grid_module.best(cells, by) is cells[0]
    assert [row["spoiled"] for row in json.loads(grid_module.data(grid, cells))] == ["", "too light"]
    told = grid_module.report(grid, cells, by, "")
    assert "the settings that do not look spoiled (1 of 2)" in told and "**1 of 2 settings look spoiled**" in told
    assert "Every setting looks spoiled" in grid_module.report(grid, cells[1:], by, "")


def test_a_lora_that_changes_nothing_is_told_and_is_never_the_best(grid_module, module, loaded, parse, paintings):
    lora = module("lora.file.lora_files").LoraFile(
        {f"lora_unet_input_blocks_4_1_attn1_to_q.lora_{end}.weight": torch.ones(2, 2) for end in ("up", "down")}, {})
    by = grid_module.Judge(parse("*=0; mean L channel=high"), paintings, None, "score")
    grid = grid_module.Grid(["other"], lambda row: lora, [0.0, 1.0], ["default=1"])
    with pytest.raises(ValueError, match="got none: other: nothing is applied, because no key of the file belongs to "):
        grid_module.check(grid, loaded.model)
    draw = grid_module.Drawing(loaded.model, grid, None, by).draw
    reasons = [draw(grid_module.Job(setting, (), 0, "other")).nothing for setting in grid.settings]
    assert not reasons[0] and reasons[1] == "nothing is applied, because no key of the file belongs to this model"
    cells = [cell_of(grid_module, setting, 50.0, nothing=why)
             for setting, why in zip(grid.settings[::-1], reasons[::-1], strict=True)]
    told = grid_module.report(grid, cells, by, "")
    assert grid_module.best(cells, by) is cells[1] and told.startswith("**other at strength 0 with default=1**")
    assert f"**other with default=1: {reasons[1]}**" in told and told.endswith("| default=1, nothing applied | 50.0 |")
    assert grid_module.report(grid, cells[:1], by, "").startswith("**No setting is the best**")


def test_a_grid_is_drawn_again_when_the_users_presets_change(pack, monkeypatch):
    node = pack.nodes.studio.nodes.lora_grid
    monkeypatch.setattr(node.LoraGrid, "hidden", SimpleNamespace(unique_id="1"), raising=False)
    before = node.LoraGrid.fingerprint_inputs()
    monkeypatch.setattr(node.presets, "version", lambda: "written anew")
    assert node.LoraGrid.fingerprint_inputs() != before


@pytest.mark.parametrize(("found", "said"), [
    (["", "too red"], "too red"), (["", "", "too red"], ""), ([], ""),
    (["too red", "too dark", "too dark"], "too dark"),
])
def test_a_setting_is_spoiled_where_half_of_its_pictures_are(found, said, grid_module):
    assert grid_module.spoiled(found) == said
