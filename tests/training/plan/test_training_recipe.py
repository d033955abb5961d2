"""What a recipe says is what happens: schedules, optimisers, averages, captions, families."""
import math
from types import SimpleNamespace

import pytest
import torch
from training_models import FAMILIES, build, caption, latents, tiny_sd3


def schedule(pack, shape, steps=100, **plan):
    t = pack.nodes.training
    plan = t.plan.recipe.SchedulePlan(shape, **{"warmup": 10, "final": 0.0, **plan})
    return [t.plan.schedule.rate_factor(plan, step, steps) for step in range(steps + 1)]


@pytest.mark.parametrize("shape, middle", [("constant", 1.0), ("linear", 0.5), ("cosine", 0.5), ("polynomial", 0.25),
                                           ("rex", 2 / 3), ("cosine_restarts", 0.5)])
def test_every_schedule_warms_up_and_ends_where_it_should(pack, shape, middle):
    rates = schedule(pack, shape)
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(middle)
    assert rates[100] == pytest.approx(1.0 if shape == "constant" else 0.0, abs=1e-9)


def test_restarts_start_again_at_the_peak(pack):
    rates = schedule(pack, "cosine_restarts", cycles=3)
    assert sum(b - a > 0.5 for a, b in zip(rates[10:], rates[11:], strict=False)) == 2


def test_the_automatic_warm_up_is_a_twentieth_and_100_at_most(pack):
    t = pack.nodes.training
    assert [t.plan.schedule.warmup_steps(t.plan.recipe.SchedulePlan(), n) for n in (1, 20, 100, 5000)] == [1, 1, 5, 100]


def adapters(seed=0, rates=(1.0, 4.0, 1.0)):
    """What an optimiser sees of adapters: one flat buffer, groups at their own rates, matrices and a vector."""
    generator = torch.Generator().manual_seed(seed)
    flat = torch.randn((24, 48, 53)[len(rates) - 1], generator=generator)
    flat.grad = torch.randn(flat.shape, generator=generator)
    parameters, groups, end = {}, [], 0
    for name, shape, rate in zip(("a/down", "a/up", "a/size"), ((4, 6), (6, 4), (5,)), rates, strict=False):
        part = slice(end, end := end + math.prod(shape))
        parameters[name] = torch.nn.Parameter(flat[part].view(shape))
        parameters[name].grad = flat.grad[part].view(shape)
        groups.append(SimpleNamespace(part=part, names=[name], factor=lambda rate_now, rate=rate: rate))
    return SimpleNamespace(flat=flat, parameters=parameters, groups=groups)


def test_adamw_on_the_flat_buffer_is_adamw_on_every_tensor(pack):
    t, ours, plain = pack.nodes.training, adapters(), adapters()
    plan = t.plan.recipe.OptimizerPlan(clip=0)
    optimizer = t.step.optimizers.Optimizer(ours, plan, 1e-2)
    reference = torch.optim.AdamW([{"params": [p], "lr": 1e-2 * group.factor(1e-2)} for p, group in
                                   zip(plain.parameters.values(), plain.groups, strict=True)],
                                  betas=plan.betas, weight_decay=plan.weight_decay)
    for step in range(5):
        gradient = torch.randn(ours.flat.shape, generator=torch.Generator().manual_seed(step))
        ours.flat.grad.copy_(gradient)
        plain.flat.grad.copy_(gradient)
        optimizer.step(1e-2, optimizer.norm().item())
        reference.step()
    assert torch.allclose(ours.flat, plain.flat, atol=1e-6)


LIBRARIES = {"lion": "pytorch_optimizer", "came": "pytorch_optimizer", "prodigy": "prodigyopt",
             "schedule_free": "schedulefree", "adamw_8bit": "bitsandbytes"}


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit", "adafactor", "lion", "prodigy", "schedule_free", "came",
                                  "muon"])
def test_every_optimizer_goes_downhill_and_takes_its_state_back(pack, name, tmp_path):
    if name in LIBRARIES:
        pytest.importorskip(LIBRARIES[name])
    t = pack.nodes.training
    rates = (1.0,) if name == "prodigy" else (1.0, 4.0, 1.0)
    made = adapters(rates=rates)
    optimizer = t.step.optimizers.Optimizer(made, t.plan.recipe.OptimizerPlan(name, weight_decay=0.0), 1e-2)
    rate = {"prodigy": 1.0, "adafactor": 0.3}.get(name, 0.05)

    def steps(made, optimizer, count):
        for _ in range(count):
            made.flat.grad.copy_(made.flat)                 # of half the squared norm
            optimizer.step(rate, optimizer.norm().item())

    start = made.flat.norm().item()
    steps(made, optimizer, 150)
    assert made.flat.norm().item() < 0.8 * start
    t.disk.checkpoint.save_state(tmp_path / "state.safetensors", {"weights": made.flat, "optimizer": optimizer.state()})
    kept, other = t.disk.checkpoint.load_state(tmp_path / "state.safetensors"), adapters(1, rates)
    again = t.step.optimizers.Optimizer(other, t.plan.recipe.OptimizerPlan(name, weight_decay=0.0), 1e-2)
    other.flat.copy_(kept["weights"])
    again.load(kept["optimizer"])
    steps(made, optimizer, 3)
    steps(other, again, 3)
    assert torch.equal(made.flat, other.flat)


def test_a_rate_of_its_own_follows_the_schedule(pack):
    """And so does what LoRA+ multiplies it by, and the rate of text encoders, which are groups like it."""
    t = pack.nodes.training
    plan, seen = t.plan.recipe.SchedulePlan("cosine", 4, 0.0), []
    settings = t.plan.settings.Settings(12, 1, 1e-3, 2, 0, t.plan.recipe.Recipe(schedule=plan))
    for name in ("adamw", "adafactor"):
        made = adapters()
        made.groups = [t.adapters.Group(each.part, rate, ratio, each.names) for each, rate, ratio in
                       zip(made.groups, (2e-4, 2e-4, None), (1.0, 16.0, 1.0), strict=True)]
        optimizer = t.step.optimizers.Optimizer(made, t.plan.recipe.OptimizerPlan(name), settings.learning_rate)
        for step in range(12):
            optimizer.step(settings.rate(step), 0.0)
            seen.append([float(group["lr"]) for group in optimizer.parts[0].param_groups])
    factors = [t.plan.schedule.rate_factor(plan, step, 12) for step in range(12)]
    assert torch.tensor(seen).allclose(torch.tensor([[peak * factor for peak in (2e-4, 3.2e-3, 1e-3)]
                                                     for factor in factors * 2]))


def test_one_rate_for_all_is_refused_where_the_adapter_asks_for_several(pack):
    t = pack.nodes.training
    with pytest.raises(ValueError, match="optimizer: prodigy trains all layers at one rate, the adapter asks for 3"):
        t.step.optimizers.Optimizer(adapters(), t.plan.recipe.OptimizerPlan("prodigy"), 1.0)


def test_the_gradient_is_clipped_to_its_norm_and_a_step_can_be_taken_back(pack):
    t, made = pack.nodes.training, adapters()
    optimizer = t.step.optimizers.Optimizer(made, t.plan.recipe.OptimizerPlan(clip=0.5), 1.0)
    before, seen = made.flat.clone(), []
    optimizer.parts[0].step = lambda: seen.append(made.flat.grad.norm().item()) or made.flat.add_(1.0)
    optimizer.step(1e-3, optimizer.norm().item())
    assert seen == [pytest.approx(0.5)] and made.flat.grad.norm() == 0
    optimizer.undo()
    assert torch.equal(made.flat, before)


def test_the_average_follows_the_weights_and_gives_them_back(pack):
    flat = torch.zeros(3)
    average = pack.nodes.training.step.optimizers.WeightAverage(flat, 0.9)
    for _ in range(200):
        flat.fill_(1.0)
        average.update()
    flat.fill_(5.0)
    with average.swapped_in():
        assert flat.tolist() == pytest.approx([1.0] * 3, abs=1e-6)
    assert flat.tolist() == [5.0] * 3


def session(pack, dataset, batch_size=1, **recipe):
    """A prepared Session on a small model."""
    import comfy.model_management
    t, patcher = pack.nodes.training, tiny_sd3()
    comfy.model_management.load_models_gpu([patcher])
    settings = t.plan.settings.Settings(4, batch_size, 1e-3, 2, 0, t.plan.recipe.Recipe(**recipe))
    made = t.step.session.Session(patcher, dataset, settings, None)
    made.prepare(False)
    return made


def test_accumulated_batches_add_up_to_the_gradient_of_their_mean(pack, monkeypatch):
    t, calls, backward = pack.nodes.training, [], pack.nodes.training.step.session.backward
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
    made = session(pack, dataset, 2, optimizer=t.plan.recipe.OptimizerPlan(accumulation=2))
    made.adapters.flat.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    grad, seen = made.adapters.flat.grad, []
    monkeypatch.setattr(t.step.session, "backward", lambda *args: calls.append(args) or backward(*args))
    monkeypatch.setattr(made.optimizer, "step", lambda rate, norm: seen.append(grad.clone()))
    with made.training():
        made.take_step()
    batch, noise = [sum((args[i] for args in calls), []) for i in (2, 3)]
    grad.zero_()
    with made.training():
        loss = backward(*calls[0][:2], batch, noise, torch.cat([args[4] for args in calls]))
    assert len(batch) == 4 and made.losses == [pytest.approx(loss.item(), rel=1e-5)]
    assert torch.allclose(seen[0], grad, atol=1e-6 * float(grad.abs().max()) + 1e-8, rtol=1e-4)


def test_the_caption_is_dropped_and_varied_as_often_as_asked(pack):
    t = pack.nodes.training
    sets = t.data.dataset.from_core_nodes([{"samples": latents(1)}], [caption(0)])
    varied = sets.samples[0]._replace(variants=(tuple(caption(1)[0]), tuple(caption(2)[0])))
    dataset = sets._replace(samples=[varied], empty=tuple(caption(3)[0]), caption_dropout=0.25)
    made = session(pack, dataset)
    drawn = [made._dressed(made.samples[0]).conds["c_crossattn"].cond for _ in range(400)]
    which = [next(i for i in range(4) if torch.equal(text, caption(i)[0][0])) for text in drawn]
    assert [which.count(i) / 400 for i in range(4)] == [pytest.approx(0.25, abs=0.07)] * 4


def test_regularisation_pictures_and_repeats_weigh_as_asked(pack, train):
    t = pack.nodes.training
    sets = t.data.dataset.from_core_nodes([{"samples": latents(2)}], [caption(0), caption(1)])
    first, second = sets.samples
    nothing = sets._replace(samples=[first, second._replace(is_regularisation=True)])
    trained = train(tiny_sd3(), 4, dataset=nothing, batch_size=1, loss=t.plan.recipe.LossPlan(regularisation=0.0))
    assert sorted(loss == 0 for loss in trained.losses) == [False, False, True, True]
    order = t.step.batches.BatchOrder(["a", "a", "b"], 2, torch.Generator().manual_seed(0), [1, 3, 1])
    shown = [next(order) for _ in range(3)]
    assert sorted(i for batch in shown for i in batch) == [0, 1, 1, 1, 2]
    assert all(len({"aab"[i] for i in batch}) == 1 for batch in shown)


@pytest.mark.parametrize("name, rate, rank, shift, density", [
    ("SD1.5", 1e-4, 16, "none", "uniform"), ("Flux.1", 1e-4, 16, "none", "logit_normal"),
    ("Qwen-Image", 5e-5, 16, 2.2, "logit_normal"), ("Z-Image", 1e-4, 32, 2.0, "logit_normal"),
    ("Wan 2.1", 1e-4, 32, 3.0, "logit_normal"), ("Anima", 3e-5, 24, "none", "logit_normal")])
def test_gaps_are_filled_with_the_family_s_recipe_and_a_reason_each(pack, monkeypatch, name, rate, rank, shift,
                                                                    density):
    t = pack.nodes.training
    monkeypatch.setattr(t.plan.families, "SMALL_MODEL", 0)        # as if the shrunken models were full-sized
    settings, chosen = t.plan.families.settle(t.plan.settings.Settings(100, 1, 0.0, 0, 0), build(FAMILIES[name]).model,
                                              density == "logit_normal")
    assert (settings.learning_rate, settings.rank) == (pytest.approx(rate), rank)
    assert (settings.recipe.timesteps.shift, settings.recipe.timesteps.density) == (shift, density)
    assert settings.recipe.loss.weighting == ("min_snr" if density == "uniform" else "none")
    assert all(what and why for what, why in chosen) and len(chosen) >= 5


def test_small_models_get_a_larger_rate_and_what_is_given_stays(pack):
    t, model = pack.nodes.training, tiny_sd3().model
    settings, chosen = t.plan.families.settle(t.plan.settings.Settings(100, 1, 0.0, 0, 0), model, True)
    assert settings.learning_rate == pytest.approx(1e-3) and "wide" in str(chosen)
    recipe = t.plan.recipe.Recipe(timesteps=t.plan.recipe.TimestepPlan("uniform", 1.5))
    given = t.plan.settings.Settings(100, 1, 2e-3, 7, 0, recipe)
    settings, _ = t.plan.families.settle(given, model, True)
    assert (settings.learning_rate, settings.rank, settings.recipe.timesteps.density) == (2e-3, 7, "uniform")
