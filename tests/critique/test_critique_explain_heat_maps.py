"""Heat maps: they sum to their measure, agree with captum, delete better than chance and find what was planted."""
import math
from pathlib import Path

import numpy as np
import pytest
import torch

SIDE = 96
CHEAP = ["RMS contrast", "mean S channel", "std b channel (Lab)", "std S channel"]


@pytest.fixture(scope="module")
def crops(critique):
    """54 pieces of three photographs, uint8 [1, 3, 96, 96]."""
    data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image")
    photographs = [torch.from_numpy(photograph()).movedim(-1, 0)
                   for photograph in (data.astronaut, data.coffee, data.chelsea)]
    random = np.random.default_rng(7)
    pieces = []
    for photograph in photographs:
        for _ in range(18):
            y, x = (int(random.integers(0, side - SIDE)) for side in photograph.shape[1:])
            pieces.append(photograph[None, :, y:y + SIDE, x:x + SIDE].contiguous())
    return pieces


def criterion_of(critique, column):
    return critique.rubric.criteria.Criterion("X", column, "", (critique.rubric.criteria.Signal(column),))


def deletion(critique, rgb, column, order, cells=8):
    """The mean of the measure while cells are replaced, in `order`, by the mean colour of the picture."""
    size = SIDE // cells
    mean = rgb.float().mean((2, 3), keepdim=True).round().to(torch.uint8)
    hidden, values = rgb.clone(), []
    for at, cell in enumerate(order):
        y, x = cell // cells * size, cell % cells * size
        hidden[..., y:y + size, x:x + size] = mean
        if at % 8 == 7:
            picture = critique.picture.planes.Picture(hidden.clone())
            values.append(critique.measures.MEASURES[column](picture).item())
    return np.mean(values)


@pytest.mark.parametrize("column", CHEAP)
def test_deleting_by_the_heat_map_beats_deleting_at_random(critique, crops, column):
    wins, random = 0, np.random.default_rng(8)
    for rgb in crops:
        found = critique.explain.heat_maps.heat_map(
            critique.picture.planes.Picture(rgb), criterion_of(critique, column)
        )
        cells = torch.nn.functional.adaptive_avg_pool2d(found.plane[None, None], 8).flatten()
        order = cells.argsort(descending=True).tolist()
        ours = deletion(critique, rgb, column, order)
        chance = deletion(critique, rgb, column, random.permutation(64).tolist())
        wins += ours < chance
    assert len(crops) >= 50
    by_chance = sum(math.comb(len(crops), k) for k in range(wins, len(crops) + 1)) / 2 ** len(crops)
    assert by_chance < 1e-6, f"better on {wins} of {len(crops)}"


def test_occlusion_equals_captum(critique, crops):
    attr = pytest.importorskip("captum.attr", reason="captum is test-only")
    picture, measure = critique.picture.planes.Picture(crops[3]), critique.measures.MEASURES["Luminance entropy"]

    def forward(rgb):
        return measure(critique.picture.planes.Picture(rgb.round().to(torch.uint8)))

    cells = torch.arange(16).view(4, 4).repeat_interleave(SIDE // 4, 0).repeat_interleave(SIDE // 4, 1)
    flat = critique.explain.heat_maps.flattened(crops[3], 4, 4).float()
    theirs = attr.FeatureAblation(forward).attribute(crops[3].float(), baselines=flat,
                                                     feature_mask=cells[None, None].expand(1, 3, -1, -1))
    ours = critique.explain.heat_maps.occlusion(picture, measure, 4)
    assert theirs[0, 0, ::SIDE // 4, ::SIDE // 4].numpy() == pytest.approx(ours.numpy(), abs=1e-5)


def saturated(patch):
    return patch * torch.tensor((1.0, 0.1, 0.1))[:, None, None]


def noisy(patch):
    return torch.rand(patch.shape, generator=torch.Generator().manual_seed(9)) * 255


@pytest.mark.parametrize("column, defect", [("mean S channel", saturated), ("std S channel", saturated),
                                            ("std a channel", saturated), ("Edge density", noisy),
                                            ("1st-order EOE", noisy)])
@pytest.mark.parametrize("place", [(8, 16), (60, 64)])
def test_a_planted_defect_is_the_hottest_place(critique, column, defect, place):
    y, x = torch.meshgrid(torch.linspace(90, 160, SIDE), torch.linspace(0, 30, SIDE), indexing="ij")
    rgb = (y + x)[None].repeat(3, 1, 1)  # a soft grey gradient
    top, left = place
    rgb[:, top:top + 20, left:left + 20] = defect(rgb[:, top:top + 20, left:left + 20])
    picture = critique.picture.planes.Picture(rgb[None].round().to(torch.uint8))
    plane = critique.explain.heat_maps.heat_map(picture, criterion_of(critique, column)).plane
    hot = critique.explain.heat_maps.heat(plane, SIDE, SIDE)
    row, at = divmod(hot.argmax().item(), SIDE)
    assert top - 2 <= row < top + 22 and left - 2 <= at < left + 22
    planted = hot[top:top + 20, left:left + 20].mean()
    assert planted > 4 * hot.mean()


def test_a_defect_in_the_texture_is_found_by_occlusion(critique):
    y, x = torch.meshgrid(torch.linspace(60, 190, SIDE), torch.linspace(0, 40, SIDE), indexing="ij")
    rgb = (y + x)[None].repeat(3, 1, 1)
    rgb[:, 48:72, 12:36] = noisy(rgb[:, 48:72, 12:36])
    picture = critique.picture.planes.Picture(rgb[None].round().to(torch.uint8))
    plane = critique.explain.heat_maps.occlusion(picture, critique.measures.MEASURES["Slope Redies"], 4)
    assert plane.abs().argmax().item() in (2 * 4, 2 * 4 + 1)
    drawn = critique.explain.heat_maps.HeatMap("Slope Redies", plane, False).drawn
    assert drawn.min() >= 0 and drawn.argmax().item() == plane.abs().argmax().item()


def test_a_criterion_is_mapped_by_a_sum_where_it_has_one_and_by_occlusion_elsewhere(critique, crops):
    picture = critique.picture.planes.Picture(crops[0])
    criteria = {criterion.id: criterion for criterion in critique.rubric.default_rubric.RUBRIC}
    exact = critique.explain.heat_maps.heat_map(picture, criteria["E5"])
    assert exact.exact and exact.column == "RMS contrast"
    assert exact.plane.sum().item() == pytest.approx(critique.measures.MEASURES["RMS contrast"](picture).item())
    named = critique.explain.heat_maps.heat_map(picture, criterion_of(critique, "Luminance entropy"))
    assert named.column == "Luminance entropy"
    steps = []
    hidden = critique.explain.heat_maps.heat_map(picture, criterion_of(critique, "Slope Redies"), cells=3,
                                    step=lambda: steps.append(1))
    assert not hidden.exact and hidden.plane.shape == (3, 3) and len(steps) == 9


def test_the_map_of_a_criterion_shows_what_its_reason_names_where_that_has_places(critique, crops, measured_small):
    picture, heat_maps = critique.picture.planes.Picture(crops[0]), critique.explain.heat_maps
    criteria = {criterion.id: criterion for criterion in critique.rubric.default_rubric.RUBRIC}
    for name, told, shown in (("E1", None, "Edge density"), ("E1", "1st-order EOE", "1st-order EOE"),
                              ("P3", "std S channel", "std S channel"), ("P8", "2nd-order EOE", "Color entropy")):
        assert heat_maps.heat_map(picture, criteria[name], told=told).column == shown
    image = crops[0][:1].permute(0, 2, 3, 1) / 255
    request = critique.examination.default_request()._replace(drawn=False)
    reasons = critique.explain.reasons.columns_told(critique.examination.criticise(image, request).critique.critique)
    with_places = {name: column for name, column in reasons.items() if column in heat_maps.EXACT}
    assert with_places
    for name, column in with_places.items():
        asked = request._replace(heat=next(each for each in request.rubric.criteria if each.id == name))
        assert critique.examination.criticise(image, asked).critique.evidence.column == column


def test_the_page_names_the_criteria_whose_map_takes_long(critique):
    file = Path(__file__).resolve().parents[2] / "docs" / "measures.md"
    page = " ".join(file.read_text(encoding="utf-8").split())
    slow = [criterion.name for criterion in critique.rubric.default_rubric.RUBRIC if not {*criterion.columns} & {
        *critique.explain.heat_maps.EXACT} and {*criterion.columns} & {*critique.measures.MEASURES}]
    assert f"{', '.join(slow[:-1])} and {slow[-1]} are mapped by hiding one place after another" in page


def test_a_map_of_what_is_not_measured_is_refused(critique, crops):
    picture = critique.picture.planes.Picture(crops[0])
    with pytest.raises(ValueError, match="^heat: Nothing has no measure of which a map could be drawn$"):
        critique.explain.heat_maps.heat_map(picture, critique.rubric.criteria.Criterion("X", "Nothing", "", ()))


def test_the_strip_of_tiles_has_one_for_every_criterion_with_places(critique):
    rgb = torch.randint(0, 256, (1, 3, 60, 120), dtype=torch.uint8, generator=torch.Generator().manual_seed(10))
    strip, found = critique.explain.heat_maps.tiles(
        critique.picture.planes.Picture(rgb), critique.rubric.default_rubric.RUBRIC
    )
    assert strip.dtype == np.uint8 and strip.shape == (32 * len(found), 64, 4)
    assert found["E1"] == (0, "Edge density") and [number for number, _ in found.values()] == list(range(len(found)))
    assert all(strip[32 * number:32 * number + 32, :, 3].max() == 217 for number, _ in found.values())  # 0.85 opaque


def test_a_tile_shows_the_measure_that_the_words_name(critique):
    rgb = torch.randint(0, 256, (1, 3, 60, 120), dtype=torch.uint8, generator=torch.Generator().manual_seed(10))
    picture, criteria = critique.picture.planes.Picture(rgb), critique.rubric.default_rubric.RUBRIC
    told = {"E3": "std b channel (Lab)", "E1": "no column with places"}
    _, found = critique.explain.heat_maps.tiles(picture, criteria, told=told)
    assert found["E3"][1] == "std b channel (Lab)" and found["E1"][1] == "Edge density"


def test_the_tiles_of_a_flat_picture_are_finite_and_empty(critique):
    flat = critique.picture.planes.Picture(torch.full((1, 3, 40, 40), 90, dtype=torch.uint8))
    strip, found = critique.explain.heat_maps.tiles(flat, critique.rubric.default_rubric.RUBRIC)
    number, _ = found["P3"]
    assert strip[64 * number:64 * number + 64, :, 3].max() == 0


def test_a_map_that_was_asked_for_has_its_own_tile(critique):
    rgb = torch.randint(0, 256, (1, 3, 60, 120), dtype=torch.uint8, generator=torch.Generator().manual_seed(10))
    picture, criteria = critique.picture.planes.Picture(rgb), critique.rubric.default_rubric.RUBRIC
    hidden = critique.explain.heat_maps.HeatMap("Slope Redies", torch.tensor([[0.0, -2.0], [1.0, 0.0]]), False)
    strip, found = critique.explain.heat_maps.tiles(picture, criteria, {"E6": hidden})
    plain, others = critique.explain.heat_maps.tiles(picture, criteria)
    number, column = found["E6"]
    assert column == "Slope Redies" and "E6" not in others and len(strip) == len(plain) + 32
    opacity = strip[32 * number:32 * number + 32, :, 3]
    assert opacity[:16, 32:].min() == 217 and opacity[:16, :32].max() == 0 < opacity[16:, :32].min() < 217


def test_nothing_is_drawn_of_a_measure_that_is_nothing(critique):
    reference = critique.reference.distributions.paintings()
    places = dict.fromkeys(reference.quantiles, 50) | {"RMS contrast": 99}
    measures = {column: reference.quantiles[column][at] for column, at in places.items()}
    grey = critique.score.judge.judge({**measures, "Color entropy": 0.0, "std a channel": 6e-4}, reference,
                                      critique.rubric.rubric_language.parse('*=0; "Color entropy"=2; "RMS contrast"=1'))
    found = critique.explain.reasons.evidence(grey)
    told = [reason.signal.column for reason in critique.explain.reasons.strongest(grey)]
    assert found.first == told[0] in ("Color entropy", "std a channel")
    assert found.column == next(column for column in told[1:] if column in critique.measures.densities.DENSITIES)
    note = critique.report.critique_report.heat_note(found)
    assert f"rests on {critique.explain.phrases.named(found.first)}, but nothing in the picture" in note


def test_a_reason_never_names_a_measure_that_does_not_count(critique):
    reference = critique.reference.distributions.paintings()
    places = dict.fromkeys(reference.quantiles, 25) | {"Slope Redies": 1, "Fourier sigma": 100}
    measures = {column: reference.quantiles[column][at] for column, at in places.items()}
    found = critique.score.judge.judge(measures, reference)
    texture = next(verdict for verdict in found.verdicts if verdict.criterion.id == "E6")
    assert [signal.column for signal in texture.used] == ["Slope Redies"]
    reason = next(reason for reason in critique.explain.reasons.reasons(found) if reason.startswith("**Texture"))
    assert "Slope Redies" in reason and "Fourier sigma" not in reason
    assert "| | Uneven sizes of detail (Fourier sigma) |" in (
        table := critique.report.critique_report.table(found)
    )
    assert table.count("| shown only |") == sum(
        signal.column in measures for verdict in found.counted for signal in verdict.criterion.signals
        if signal not in verdict.used)


@pytest.mark.parametrize("place, asked, words", [
    (50, "=1", "Fine detail (Slope Redies) is as usual among the pictures it is compared with (-"),
    (70, "=1", "more fine detail beside broad forms than in 70 % of the pictures"),
    (52, "-> 50", "(asked: target 50 ± 20)"), (45, "=high", "as usual among the pictures it is compared with (-"),
    (99, "=1", "more fine detail beside broad forms than in 99 % of the pictures"),
    (100, "=1", "more fine detail beside broad forms than in all of the pictures"),
    (0, "=1", "less fine detail beside broad forms than in all of the pictures"),
    (70, "=high", "more fine detail beside broad forms than in 70 % of the pictures")])
def test_a_reason_says_how_far_out_a_measure_lies(critique, place, asked, words):
    reference = critique.reference.distributions.paintings()
    measures = {column: quantiles[place] for column, quantiles in reference.quantiles.items()}
    found = critique.score.judge.judge(
        measures, reference, critique.rubric.rubric_language.parse(f"*=0; Texture {asked}")
    )
    assert words in critique.explain.reasons.reasons(found)[0]


def test_shares_numbers_and_names_read_as_a_person_writes_them(critique):
    words = critique.explain.phrases
    assert [words.share(at) for at in (100.0, 99.7, 99.2)] == ["all of", "more than 99 % of", "99 % of"]
    assert [words.digits(value) for value in (-1e-15, 12.3456, 0.0005)] == ["0", "12.35", "0.0005"]
    assert words.called("Warm-cold contrast") == "Warm-cold contrast"
    assert words.called("std a channel") == "Green-to-red variety (std a channel)"
    assert words.called("a column of nobody") == "a column of nobody"


def test_every_measure_has_words_of_its_own(critique):
    measures, space = critique.measures, critique.measures.pictorial_depth
    known = {*measures.MEASURES, *measures.FILTERED, *space.BY_DEPTH, *space.BY_HEIGHT}
    assert known == set(critique.explain.phrases.PHRASES) - {critique.reference.distributions.LEARNED}
    assert all(each.name and each.less != each.more for each in critique.explain.phrases.PHRASES.values())


def test_reasons_are_sentences_about_what_moves_the_score_most(critique):
    reference = critique.reference.distributions.paintings()
    places = dict.fromkeys(reference.quantiles, 50) | {"Slope Redies": 100, "std S channel": 0}
    measures = {column: reference.quantiles[column][at] for column, at in places.items()}
    assert len(critique.explain.reasons.reasons(critique.score.judge.judge(measures, reference))) == 3
    found = critique.score.judge.judge(measures, reference, critique.rubric.rubric_language.parse("*=0; E6=1; P3=3"))
    reasons = critique.explain.reasons.reasons(found)
    assert reasons == [reason for reason in reasons if reason.startswith("**") and reason.endswith(".")]
    assert [reason.split("**")[1] for reason in reasons] == ["Contrast", "Texture"]
    assert any("more fine detail beside broad forms than in all of the pictures" in reason for reason in reasons)
    asked = critique.score.judge.judge(
        measures, reference, critique.rubric.rubric_language.parse("*=0; Texture -> 20 +- 5")
    )
    assert "(asked: target 20 ± 5)" in critique.explain.reasons.reasons(asked)[0]
