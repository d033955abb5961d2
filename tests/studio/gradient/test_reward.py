"""The reward follows the score, moves wherever more can be had, and says what it cannot move."""
import re
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="module")
def rewards(studio):
    return studio("gradient.reward")


@pytest.fixture(scope="module")
def own(module):
    """A reference of 30 pictures with a distribution of every measure."""
    columns = list(module("critique.measures").MEASURES)
    rows = torch.rand(30, len(columns), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return module("critique.reference.distributions").fit("mine", "", columns, rows)


def pictures(count=2, size=48, dtype=torch.float64, seed=3):
    """Soft coloured hills: [count, 3, size, size]."""
    waves = torch.rand(count, 3, 5, 5, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(waves, (size, size), mode="bilinear", align_corners=True) * 0.9 + 0.05


def of(rewards, parse, paintings, text, **more):
    return rewards.reward(parse(text), paintings, **more)


def test_inside_the_table_a_position_is_the_percentile_of_the_reference(rewards, paintings):
    for column in ("Balance", "RMS contrast", "Mirror symmetry"):
        table = paintings.quantiles[column]
        values = torch.linspace(table[0], table[-1], 333, dtype=torch.float64)
        asked = [paintings.percentile(column, value) for value in values.tolist()]
        assert torch.allclose(rewards.curve(table).of(values), torch.tensor(asked, dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize("table", [
    list(range(101)), [0.0] * 30 + list(range(71)), [5.0] * 101, [0.0] * 100 + [1.0], [1e-9 * n for n in range(101)]])
def test_a_position_rises_everywhere_also_beyond_the_table_and_for_a_single_picture(rewards, table):
    curve = rewards.curve([float(value) for value in table])
    values = torch.tensor([table[0] - 1e3, table[0] - 1, table[-1] + 1, table[-1] + 1e3], dtype=torch.float64)
    values.requires_grad_()
    position = curve.of(values)
    slope, = torch.autograd.grad(position.sum(), values)
    assert (slope > 0).all() and slope.isfinite().all() and (position.diff() > 0).all()


def test_the_points_of_a_reading_are_those_of_the_score_but_for_round_corners(rewards, module, parse):
    language = module("critique.rubric.rubric_language")
    position = torch.linspace(0, 100, 201, dtype=torch.float64)
    for words, near in (("=high", 1e-9), ("=low", 1e-9), ("=typical", 4.01), (" -> 60 +- 15", 5), (">70", 5)):
        reading = next(each for each in language.parse(f"Balance{words}").criteria if each.name == "Balance").reading
        soft = rewards.smooth_points(reading, position)
        hard = torch.tensor([reading.of(at) for at in position.tolist()], dtype=torch.float64)
        assert (soft - hard).abs().max() < near, words
        assert soft.argmax() == hard.argmax() or hard[soft.argmax()] == 100, words


def test_the_reward_has_the_gradient_of_finite_differences(rewards, module, parse, paintings):
    reward = of(rewards, parse, paintings, "*=0; Balance=2 high; Value -> 80; Symmetry=typical; mean S channel>40")
    image = pictures(1, 66).requires_grad_()
    assert torch.autograd.gradcheck(reward, image, eps=1e-6, atol=1e-6, rtol=1e-3, fast_mode=True)
    assert reward.by_criterion(image).shape == (1, len(reward.criteria)) == (1, 4)


def test_detail_has_the_gradient_of_finite_differences(rewards, module, parse, paintings):
    reward = of(rewards, parse, paintings, '*=0; "Slope Redies"=high')
    image = pictures(1, 64).requires_grad_()
    assert torch.autograd.gradcheck(reward, image, eps=1e-6, atol=1e-5, rtol=1e-3, fast_mode=True)


@pytest.mark.parametrize("text", ["", "*=0; Balance=2; Symmetry=high", "@Arnheim", "Value=3; Colour harmony=0"])
def test_weights_are_those_of_the_score_over_what_can_be_moved(rewards, module, parse, paintings, text):
    score, reward = module("critique.score.judge"), of(rewards, parse, paintings, text)
    rubric = parse(text)
    columns = [column for column in module("critique.measures.soft").SOFT if column in paintings.quantiles]
    verdicts = score.judge({column: paintings.quantiles[column][40] for column in columns}, paintings, rubric).verdicts
    shares = {verdict.criterion.name: verdict.weight for verdict in verdicts if verdict.weight > 0}
    assert {each.criterion.name: pytest.approx(each.weight) for each in reward.criteria} == shares


def test_each_picture_of_a_batch_earns_what_it_earns_alone(rewards, module, parse, paintings):
    reward, batch = of(rewards, parse, paintings, ""), pictures(3)
    alone = torch.cat([reward(image) for image in batch.split(1)])
    assert torch.allclose(reward(batch), alone)


def test_what_cannot_be_moved_is_named_with_its_reason(rewards, module, parse, paintings):
    reward = of(rewards, parse, paintings, "*=0; Balance=1; Line=1; Colour harmony=1; Texture=1", detail=False)
    assert [each.criterion.name for each in reward.criteria] == ["Balance"]
    line, harmony, texture = (next(why for why in reward.left_out if word in why)
                              for word in ("Line", "harmony", "Texture"))
    assert "nothing differentiable" in line and "Critique Reference" in harmony and "too coarse" in texture


@pytest.mark.parametrize("text", ["*=0; Line=1; Shape=high", "*=0; Colour harmony=1"])
def test_a_rubric_of_which_nothing_can_be_moved_is_refused_with_what_can(rewards, module, parse, paintings, text):
    with pytest.raises(ValueError, match="name one of .*Balance.*or a column: .*RMS contrast"):
        of(rewards, parse, paintings, text)


def test_the_help_page_says_what_of_each_criterion_can_be_steered(rewards, module, parse, paintings, own):
    """Row by row: the paintings through any decoder, the paintings in detail, pictures of one's own, nothing."""
    def row(text):
        for at, (reference, detail) in enumerate([(paintings, False), (paintings, True), (own, True)]):
            try:
                rewards.reward(parse(text), reference, detail)
                return at
            except ValueError:
                pass
        return 3

    found = [set(), set(), set(), set()]
    for name in (each.name for each in module("critique.rubric.default_rubric").RUBRIC):
        typical, high = row(f"*=0; {name}=1"), row(f"*=0; {name}=high")
        assert typical == high, name
        found[typical].add(name)
    page = (Path(__file__).parents[3] / "web" / "docs" / "BottegaSteer.md").read_text(encoding="utf-8")
    table = page.partition("## What can be steered")[2].partition("\n\nWhat of")[0].strip().splitlines()[2:]
    assert [set(re.findall(r"\*([^*]+)\*", line.split("|")[2])) for line in table] == found


def test_only_what_a_rubric_names_is_steered(rewards, module, parse):
    assert [each.name for each in rewards.named(parse("Balance=2; Symmetry=0")).criteria] == ["Balance"]
    assert rewards.named(parse("@Arnheim")) == parse("@Arnheim") and rewards.named(parse("Line=0")) == parse("Line=0")


def test_a_reference_of_pictures_makes_harmony_steerable(rewards, parse, own):
    reward = rewards.reward(parse("*=0; Colour harmony=high"), own)
    assert {term.column for term in reward.criteria[0].terms} == {f"Harmony {each}" for each in "iVLIY"}


def test_climbing_the_reward_raises_the_score_of_the_real_measures(rewards, module, parse, paintings):
    """The picture itself is moved; the critique then measures it as it measures every picture."""
    rubric = parse("*=0; Balance=high; Symmetry=high")
    reward, image = rewards.reward(rubric, paintings), pictures(1, 64, torch.float32)

    def score(picture):
        measured = module("critique.picture.planes").Picture.from_images(picture.movedim(1, -1))
        found = {term.column: module("critique.measures").MEASURES[term.column](measured).item()
                 for each in reward.criteria for term in each.terms}
        return module("critique.score.judge").judge(found, paintings, rubric).score

    before = score(image)
    for _ in range(8):
        image = image.detach().requires_grad_()
        gradient, = torch.autograd.grad(reward(image).sum(), image)
        image = (image + 0.5 * gradient / gradient.norm()).clamp(0, 1)
    assert score(image.detach()) > before + 5
