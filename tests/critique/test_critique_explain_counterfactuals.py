"""Counterfactuals: edits that do what they say, and findings that hold when the edit is done again."""
import pytest
import torch

SIDE = 64


@pytest.fixture(scope="module")
def rgb():
    """A soft scene: a warm field with a cool disc, uint8 [1, 3, 64, 64]."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    disc = ((x - 0.3) ** 2 + y ** 2 < 0.2).float()
    plane = torch.stack((150 + 60 * y - 90 * disc, 110 + 30 * x, 60 + 20 * y + 100 * disc))
    return plane[None].clamp(0, 255).round().to(torch.uint8)


@pytest.fixture(scope="module")
def session(critique, rgb):
    """A search whose full measures are those of colour and value: the others stay at the median."""
    reference = critique.reference.distributions.paintings()
    cheap = ("mean S channel", "std S channel", "std a channel", "std b channel (Lab)", "Color entropy",
             "RMS contrast", "Luminance entropy", "DCM distance", "Balance")
    median = {column: values[50] for column, values in reference.quantiles.items()}

    def remeasure(picture):
        measured = picture.at_longer_side(SIDE)
        return {**median, **{column: critique.measures.MEASURES[column](measured).item() for column in cheap}}

    picture = critique.picture.planes.Picture(rgb)
    judged = critique.score.judge.judge(remeasure(picture), reference)
    return critique.explain.counterfactuals.EditSearch(picture, judged, reference, remeasure, lambda: None)


def criterion(session, name):
    return next(v.criterion for v in session.critique.verdicts if v.criterion.id == name)


def test_an_edit_by_nothing_changes_nothing(critique, rgb):
    for edit in critique.explain.edits.EDITS:
        assert (edit.apply(rgb, 0.0).int() - rgb.int()).abs().max() <= 1, edit.say(0)


def test_edits_do_what_they_say(critique):
    red = torch.tensor((200, 0, 0), dtype=torch.uint8)[None, :, None, None].repeat(1, 1, 20, 40)
    assert critique.explain.edits.turn_hue(red, 120)[0, :, 0, 0].tolist() == [0, 200, 0]
    assert len(set(critique.explain.edits.saturate(red, 0)[0, :, 0, 0].tolist())) == 1
    assert critique.explain.edits.crop(red, 0.25, left=1).shape == (1, 3, 20, 30)
    assert critique.explain.edits.crop(red, 0.1, 1, 1, 1, 1).shape == (1, 3, 16, 32)
    lighter, darker, steeper, flatter = [edit for edit in critique.explain.edits.EDITS if edit.family == "value curve"]
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    assert lighter.apply(ramp, 0.5).float().mean() > ramp.float().mean() > darker.apply(ramp, 0.5).float().mean()
    assert steeper.apply(ramp, 0.5).float().std() > ramp.float().std() > flatter.apply(ramp, 0.5).float().std()
    curve = steeper.apply(ramp, 0.5)[0, 0].flatten().int()
    assert (curve.diff() >= 0).all() and curve[0] == 0 and curve[-1] == 255


@pytest.mark.parametrize("name", ["E3", "E5", "P1"])
def test_what_is_found_moves_the_criterion_when_it_is_done_again(critique, session, name):
    judge, points_of = critique.score.judge.judge, critique.explain.counterfactuals.points_of
    found = critique.explain.counterfactuals.counterfactuals(session, [criterion(session, name)], 5)
    assert found
    for each in found:
        edit = next(edit for edit in critique.explain.edits.EDITS if edit.say(each.amount) == each.edit)
        edited = critique.explain.counterfactuals.apply(session.picture, edit, each.amount)
        again = judge(session.remeasure(edited), session.reference)
        assert points_of(again, criterion(session, name)) == pytest.approx(each.points[1])
        assert each.points[1] >= each.points[0] + 5
        assert again.score == pytest.approx(each.score[1]) and each.score[0] == session.critique.score
        for other, change in each.side_effects.items():
            before, after = (next(v.points for v in c.verdicts if v.criterion.name == other)
                             for c in (session.critique, again))
            assert after - before == pytest.approx(change) and abs(change) >= 2


def test_what_is_told_is_the_score_of_the_edited_picture_at_its_own_size_and_with_its_learned_score(
        critique, rgb, monkeypatch, measured_small):
    examination, module = critique.examination, critique.explain.counterfactuals
    learned, paintings = critique.learned.learned_score, critique.reference.distributions.paintings()
    reference = learned.with_learned(paintings, lambda image: 10 * image.mean().item(), learned.scale(0, 10))
    rubric = critique.rubric.rubric_language.parse("learned=high")
    own = critique.picture.planes.Picture(rgb.repeat_interleave(16, 2).repeat_interleave(16, 3))
    every_side = next(edit for edit in critique.explain.edits.EDITS if "every side" in edit.say(0.25))
    edited = module.apply(own, every_side, 0.25)

    def judged(picture):
        image = picture.rgb.movedim(1, -1).float() / 255
        measures = examination.measure_picture(picture)[1] | examination.learned_measure(image, reference, rubric)
        return critique.score.judge.judge(measures, reference, rubric)

    monkeypatch.setattr(module, "counterfactuals", lambda search: search)
    search = examination._changes(own, judged(own), examination.CritiqueRequest(reference, rubric))
    assert max(edited.size) < 1024 == max(own.size)
    told, true = search.judged(search.remeasure(edited)), judged(edited)
    assert told.measures == true.measures and told.score == true.score != search.critique.score


def test_what_cannot_be_reached_has_no_entry_and_every_try_is_a_step(critique, session):
    steps, module = [], critique.explain.counterfactuals
    counting = session._replace(step=lambda: steps.append(1))
    assert module.counterfactuals(counting, [criterion(session, "E3")], 101) == []
    assert len(steps) == len(critique.explain.edits.EDITS) * len(module.LADDER)


def test_both_criteria_share_their_tries(critique, session):
    steps, module = [], critique.explain.counterfactuals
    counting = session._replace(step=lambda: steps.append(1))
    found = module.counterfactuals(counting)
    assert 1 <= len(found) <= 2 and len(steps) <= module.STEPS
    for each in found:
        edit = module.edit_of(each)
        assert edit.say(each.amount) == each.edit and each.amount <= edit.most
        assert module.apply(session.picture, edit, each.amount) is not None


def test_only_what_an_edit_can_move_is_looked_at(critique, session):
    module = critique.explain.counterfactuals
    for chosen in module.weakest(session.critique):
        used = next(v.used for v in session.critique.counted if v.criterion == chosen)
        assert {signal.column for signal in used} <= module.PAINTABLE


def test_before_and_after_stand_beside_each_other(critique, session):
    draw = critique.report.before_after.before_after
    found = critique.explain.counterfactuals.counterfactuals(session, [criterion(session, "E3")], 5)
    sheet = draw(session.picture, found)
    assert sheet.shape[0] == 1 and sheet.shape[2] > sheet.shape[1] / 2 and draw(session.picture, []) is None


def test_a_crop_that_leaves_too_little_is_no_answer(critique, session):
    narrow = session._replace(picture=critique.picture.planes.Picture(session.picture.rgb[..., :17, :]))
    crop = critique.explain.edits.EDITS[4]
    assert critique.explain.counterfactuals.apply(narrow.picture, crop, 0.25) is None


def test_a_finding_reads_as_a_sentence(critique):
    found = critique.explain.counterfactuals.Counterfactual(
        "Balance", "crop 6 % off the left", 0.06, (42.0, 53.4), (61.2, 63.0), {"Line": -3.2}
    )
    assert critique.explain.counterfactuals.words(found) == (
        "**Balance** 42 -> 53: crop 6 % off the left. Score 61.2 -> 63.0; side effects: Line -3.")
