"""What a step is predicted to take of the card, against what it takes; and blocks that come and go."""
import gc
import sys

import pytest
import torch
from training_models import FAMILIES, build, caption, latents, samples, tiny_sd3

# Their code changes tensors that the backward needs, so that the self-check has their blocks recomputed.
ONLY_RECOMPUTED = ("LTXV",)


@pytest.fixture
def prepared(pack, device):
    """prepared(family or patcher, rows, checkpoint, side, rank, optimizer): a session of a tiny model on the card, on
    pictures up to twice as large as usual or latents of a side, so that a step is more than its weights."""
    import comfy.model_management
    training = pack.nodes.training

    def make(model, rows=1, checkpoint=False, side=16, rank=2, optimizer=None):
        comfy.model_management.unload_all_models()
        gc.collect()                # what earlier tests left would be freed in the middle of a step
        if isinstance(model, str):
            family = FAMILIES[model]
            scale = 2 if max(family.latent[-2:]) <= 8 else 1
            wide = family._replace(latent=(*family.latent[:-2], *(scale * side for side in family.latent[-2:])))
            patcher, dataset = build(wide), training.data.dataset.TrainingSet(samples(pack, wide, rows), [])
        else:
            patcher, dataset = model, training.data.dataset.from_core_nodes(
                [{"samples": latents(rows, size=side)}], [caption(i) for i in range(rows)])
        patcher.load_device = torch.device(device)
        recipe = training.plan.recipe.Recipe(optimizer=optimizer or training.plan.recipe.OptimizerPlan())
        settings = training.plan.settings.Settings(4, rows, 1e-3, rank, 3, recipe)
        comfy.model_management.load_models_gpu([patcher])
        session = training.step.session.Session(patcher, dataset, settings, None)
        session.prepare(checkpoint)
        return session
    return make


def peak_of_a_step(session, card):
    with session.training():
        card.forget()
        session.take_step()
        return card.memory.peak


@pytest.mark.parametrize("family", FAMILIES)
def test_the_peak_of_a_step_is_predicted(pack, prepared, card, family):
    session = prepared(family, 2, True)
    for checkpoint in (True,) if family in ONLY_RECOMPUTED else (True, False):
        session.memory.checkpoint = checkpoint
        made = pack.nodes.training.step.memory_plan.plan(session, checkpoint)
        reached = peak_of_a_step(session, card)
        print(f"{family}, {'recomputed' if checkpoint else 'kept'}: {made.predicted / reached:.4f}")
        assert made.predicted == pytest.approx(reached, rel=0.1)


def swapped(pack, session, count):
    step = pack.nodes.training.step
    blocks = step.memory_plan.swappable_blocks(session.model.diffusion_model)
    session.memory.swap = step.block_swap.BlockSwap(blocks, count or len(blocks), session.denoiser.device)
    return session


def where(session):
    return {name: str(weight.device) for name, weight in session.model.named_parameters()}


@pytest.mark.parametrize("family", ["SD1.5", "Flux.1", "Wan 2.1"])
def test_swapped_blocks_give_the_same_bits(pack, prepared, card, family):
    results, before = [], None
    for swap in (False, True):
        session = prepared(family, 2, True)
        before = where(session)
        if swap:
            swapped(pack, session, 0)
        for _ in range(2):
            with session.training():
                if swap:
                    assert "cpu" in where(session).values()
                session.take_step()
        assert where(session) == before
        results.append((session.losses, session.adapters.flat.held.clone()))
    (losses, weights), (losses_swapped, weights_swapped) = results
    assert losses == losses_swapped and torch.equal(weights, weights_swapped)


def needed(pack, session):
    """{way: bytes a step adds}"""
    step = pack.nodes.training.step
    blocks = step.memory_plan.swappable_blocks(session.model.diffusion_model)
    return step.memory_plan._Need(session, blocks, lambda *way: step.memory_trace.step_peak(session, *way))


def test_swapping_takes_as_much_less_as_predicted(pack, prepared, card):
    plan, session = pack.nodes.training.step.memory_plan, prepared(tiny_sd3(depth=5), 1, True)
    held, need = plan.held_on(session.denoiser.device), needed(pack, session)
    peaks = [peak_of_a_step(session, card)]
    for count in (3, 5):
        swapped(pack, session, count)
        peaks.append(peak_of_a_step(session, card))
        print(f"{count} of 5 swapped: {(held + need(plan.Way(1, True, count))) / peaks[-1]:.4f}, {peaks}")
        assert held + need(plan.Way(1, True, count)) == pytest.approx(peaks[-1], rel=0.1)
    assert peaks[0] > peaks[1] > peaks[2]


def test_a_training_that_would_not_fit_is_planned_so_that_it_does(pack, prepared, card, monkeypatch):
    """No step fails on the way: the limit is met from the first one on."""
    training, model = pack.nodes.training, tiny_sd3(depth=4)
    session, plan = prepared(model, 2, False, 48), training.step.memory_plan
    asked, least = plan.plan(session, False), needed(pack, session)(plan.Way(1, True, 4))
    dataset, session = session.dataset, None
    settings = training.plan.settings.Settings(3, 2, 1e-3, 2, 3)
    progress = training.monitoring.progress.Progress(3, "1")
    limit, plan_ahead = card.limit, training.step.retry.Memory.plan_ahead

    def tight(memory, session):
        card.limit = card.memory.allocated + int(1.06 * least)
        plan_ahead(memory, session)

    monkeypatch.setattr(training.step.retry.Memory, "plan_ahead", tight)
    try:
        run = training.training_run.train(model, dataset, settings, "planned", progress)
    finally:
        card.limit = limit
    chosen, made = run.memory_plan.chosen, run.memory_plan
    print(made.sentence())
    assert asked.fits and chosen.rows == 1 and chosen.checkpoint and chosen.swapped == 4
    assert not any("Memory was full" in note for note in run.notes)
    assert made.predicted == pytest.approx(made.reached, rel=0.1)


def test_what_cannot_run_without_numbers_is_said_and_trained(pack, prepared):
    """A layer that another node has put a patch over, which asks for the value of a number."""
    model = tiny_sd3()
    own = model.model.diffusion_model.x_embedder.forward
    model.add_object_patch("diffusion_model.x_embedder.forward", lambda x: own(x * (float(x.mean()) < 1e9)))
    session = prepared(model, 1, True)
    session.memory.plan_ahead(session)
    assert session.memory.plan is None
    assert "could not be predicted" in session.memory.notes[0]
    with session.training():
        session.take_step()
    assert len(session.losses) == 1


def if_needed(pack):
    return pack.nodes.training.plan.recipe.OptimizerPlan("adamw", may_shrink=True)


@pytest.fixture
def tight(pack, card, monkeypatch):
    """tight(session): the card then has room for the smallest way with moments of 8 bits and for none without. Two
    blocks are at work whatever is swapped, so that a model of two leaves it to the moments."""
    limit, plan = card.limit, pack.nodes.training.step.memory_plan

    def tighten(session):
        need = needed(pack, session)
        small, plain = (need(plan.Way(1, True, 0, is_small)) for is_small in (True, False))
        assert 0 < 1.2 * small < plain, (small, plain)
        card.limit = card.memory.allocated + int(1.1 * small)
    yield tighten
    card.limit = limit


def test_moments_in_8_bits_take_as_much_less_as_predicted(pack, prepared, card):
    pytest.importorskip("bitsandbytes")
    step, session = pack.nodes.training.step, prepared(tiny_sd3(depth=4), 1, True, rank=32, optimizer=if_needed(pack))
    held, need = step.memory_plan.held_on(session.denoiser.device), needed(pack, session)
    ways = [step.memory_plan.Way(1, True, 0, is_small) for is_small in (False, True)]
    predicted = [held + need(way) for way in ways]
    peaks, moments = [peak_of_a_step(session, card)], [step.small_moments.held_bytes(session.optimizer)]
    step.small_moments.shrink(session)
    peak_of_a_step(session, card)           # at whose end the new moments are made
    peaks.append(peak_of_a_step(session, card))
    moments.append(step.small_moments.held_bytes(session.optimizer))
    numbers = session.adapters.flat.numel()
    print([f"{one / other:.4f}" for one, other in zip(predicted, peaks, strict=True)], peaks, moments, numbers)
    assert predicted == [pytest.approx(peak, rel=0.1) for peak in peaks]
    assert predicted[0] - predicted[1] == pytest.approx(peaks[0] - peaks[1], rel=0.1) and peaks[1] < 0.95 * peaks[0]
    assert moments[1] == pytest.approx(step.small_moments.small_bytes(session.adapters), abs=2048)
    assert moments[1] < 0.26 * moments[0]


def test_moments_of_8_bits_are_the_last_way_and_only_where_the_recipe_allows_them(pack, prepared, card, tight):
    pytest.importorskip("bitsandbytes")
    plan = pack.nodes.training.step.memory_plan
    for may_shrink in (True, False):
        optimizer = pack.nodes.training.plan.recipe.OptimizerPlan("adamw", may_shrink=may_shrink)
        session = prepared(tiny_sd3(), 2, False, 32, 32, optimizer)
        assert not plan.plan(session, False).chosen.small       # on a card that has room
        tight(session)
        made = plan.plan(session, False)
        print(made.sentence())
        card.limit = 2 ** 33
        assert made.chosen == plan.Way(1, True, 0, may_shrink) and made.fits == may_shrink
        assert ("AdamW's moments in 8 bits" in str(made.chosen)) == may_shrink
        advice = "AdamW's moments in 8 bits, which optimizer adamw_8bit_if_needed of Training Recipe takes, would take "
        assert (advice in made.sentence()) != may_shrink


@pytest.mark.parametrize("why, words", [
    ("missing", "which need the package bitsandbytes (python -m pip install bitsandbytes, with ComfyUI's Python)"),
    ("broken", "but bitsandbytes cannot be imported (no CUDA)"),
    ("team", "which optimizer adamw_8bit of Training Recipe takes on several devices"),
    ("resumed", "which a run that began with 32 does not change to")])
def test_why_8_bits_cannot_be_had_is_said_with_what_they_would_save(pack, prepared, card, tight, monkeypatch, tmp_path,
                                                                   why, words):
    training = pack.nodes.training
    session = prepared(tiny_sd3(), 1, True, 32, 32, if_needed(pack))
    if why == "team":
        session.team = training.distributed.team.Team(0, 2)
    elif why == "resumed":
        session.continues = "adamw"
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    if why == "broken":
        (tmp_path / "bitsandbytes.py").write_text("raise RuntimeError('no CUDA')", encoding="utf-8")
        monkeypatch.delitem(sys.modules, "bitsandbytes")
        monkeypatch.syspath_prepend(tmp_path)
    tight(session)
    made = training.step.memory_plan.plan(session, True)
    moments = training.step.small_moments
    saved = (moments.held_bytes(session.optimizer) - moments.small_bytes(session.adapters)) / 2 ** 20
    assert not made.fits and not made.chosen.small
    assert f"AdamW's moments in 8 bits, {words}, would take {saved:.3g} MB less" in made.sentence()


def test_a_training_takes_8_bits_says_so_and_goes_on_with_them(pack, prepared, card, tight, monkeypatch, tmp_path):
    """Where the recipe leaves it open, the run that is continued decides, and not the room that there is now."""
    pytest.importorskip("bitsandbytes")
    training, model = pack.nodes.training, tiny_sd3()
    dataset = prepared(model, 1, True, 32).dataset
    recipe = training.plan.recipe.Recipe(if_needed(pack), training.plan.recipe.SchedulePlan("constant", 0))
    plan_ahead = training.step.retry.Memory.plan_ahead

    def planned(memory, session):
        tight(session)
        plan_ahead(memory, session)
        card.limit = 2 ** 33                # what was planned is what counts here

    def run(steps, resume=""):
        settings = training.plan.settings.Settings(steps, 1, 1e-3, 32, 3, recipe)
        made = training.training_run.train(model, dataset, settings, "small", training.monitoring.progress.Progress(
            steps, "1"), resume=resume)
        return made, training.training_report.training_report(made, dataset, settings)

    monkeypatch.setattr(training.step.retry.Memory, "plan_ahead", planned)
    whole, report = run(4)
    assert whole.memory_plan.chosen.small and whole.settings.recipe.optimizer.name == "adamw_8bit"
    assert "AdamW's moments in 8 bits" in report and "without them the training would not fit the card" in report
    assert whole.memory_plan.predicted == pytest.approx(whole.memory_plan.reached, rel=0.1)
    half, _ = run(2)
    monkeypatch.setattr(training.step.retry.Memory, "plan_ahead", plan_ahead)
    on, report = run(4, half.state)
    assert "the run that is continued has them" in report and not on.memory_plan.chosen.small
    assert on.losses == whole.losses and len(on.losses) == 4
