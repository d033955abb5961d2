"""Image pairs: what both sides are asked, at which strength, and what a folder has to hold."""
import comfy.model_management
import comfy.sd
import pytest
import torch
from PIL import Image
from training_models import caption, latents, tiny_sd3
from training_sets import collected, picture


def pairs(pack, count=4, size=8, alone=0):
    """A data set of pairs, and of single pictures behind them."""
    t = pack.nodes.training
    made = t.data.dataset.from_core_nodes([{"samples": latents(count + alone, size=size)}],
                                          [caption(i) for i in range(count + alone)])
    before = latents(count, size=size, seed=21)
    samples = [s._replace(before=before[[i]]) if i < count else s for i, s in enumerate(made.samples)]
    return made._replace(samples=samples)


def session(pack, dataset, algorithm="LoRA", noise=0.1):
    """A prepared Session whose adapters have moved."""
    t = pack.nodes.training
    settings = t.plan.settings.Settings(10, 2, 1e-2, 4, 3, t.plan.recipe.Recipe())
    made = t.step.session.Session(tiny_sd3(), dataset, settings, t.adapters.LoraShape(algorithm=algorithm, rank=4))
    comfy.model_management.load_models_gpu([made.patcher])
    made.prepare(False)
    made.adapters.flat.add_(noise * torch.randn(made.adapters.flat.shape, generator=torch.Generator().manual_seed(9)))
    return made


@pytest.mark.parametrize("algorithm, strength", [("LoRA", -1.0), ("LoRA", 0.0), ("DoRA", -1.0), ("LoHa", -1.0),
                                                 ("LoKr", 0.5), ("OFT", 0.5)])
def test_another_strength_is_what_the_host_s_loader_makes_of_it(pack, algorithm, strength):
    made = session(pack, pairs(pack), algorithm, noise=0.02)
    noisy, sigma, conds = latents(2, seed=30), torch.tensor([0.3, 0.8]), [s.conds for s in made.samples[:2]]
    with torch.no_grad(), made.showing(), made.adapters.at(strength):
        ours = made.denoiser(noisy, sigma, conds)
    squared = strength ** 0.5 if algorithm == "OFT" else strength       # what the host does to OFT
    loaded, _ = comfy.sd.load_lora_for_models(made.patcher, None, made.tensors(), squared, 0.0)
    comfy.model_management.load_models_gpu([loaded])
    with torch.no_grad():
        host = pack.nodes.training.step.denoiser.Denoiser(loaded, 1.0)(noisy, sigma, conds)
    assert torch.allclose(ours, host, atol=2e-5), (ours - host).abs().max()


def test_each_side_is_asked_for_the_change_and_not_for_what_both_lack(pack):
    t, made = pack.nodes.training, session(pack, pairs(pack, 2))
    objective, group = made.objective, made.samples
    noise, sigma = [torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(2)], \
        torch.tensor([0.4, 0.7])
    with torch.no_grad(), made.showing():
        goals = t.step.pairs.pair_goals(made.teacher, objective, group, noise, sigma, 1.5)
        sides = [torch.cat([getattr(s, name) for s in group]) for name in ("latent", "before")]
        base = [made.teacher(objective.add_noise(clean, torch.cat(noise), sigma), sigma, [s.conds for s in group])
                for clean in sides]
    lacks = [clean - predicted for clean, predicted in zip(sides, base, strict=True)]
    for strength, goal, predicted in zip((1.0, -1.0), goals, base, strict=True):
        assert torch.allclose(goal - predicted, strength * 1.5 * (lacks[0] - lacks[1]) / 2, atol=1e-5)
    moved = [s._replace(latent=s.latent + 3, before=s.before + 3) for s in group]        # what both have in common
    blind = lambda noisy, sigma, conds: torch.zeros_like(noisy)  # noqa: E731
    blind.device = made.teacher.device
    same, shifted = (t.step.pairs.pair_goals(blind, objective, samples, noise, sigma, 1.0)
                     for samples in (group, moved))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(same, shifted, strict=True))


def test_the_reach_tells_where_the_untrained_model_stands(pack):
    t, made = pack.nodes.training, session(pack, pairs(pack, 3))

    def stands(share):
        """Of a model that draws `share` of the way from before to after, whatever it is shown."""
        samples = iter([s for _ in t.step.pairs.LEVELS for s in made.samples for _ in range(2)])

        def base(noisy, sigma, conds):
            sample = next(samples)
            return torch.lerp(sample.before, sample.latent, share)
        base.device = made.teacher.device
        return t.step.pairs.base_position(base, made.objective, made.samples, 0)

    assert [round(stands(share), 4) for share in (0.0, 0.25, 0.5, 1.0)] == [1.0, 0.5, 0.0, -1.0]
    place = t.step.pairs.base_position(made.teacher, made.objective, made.samples, 3)
    assert made.teacher.reach == pytest.approx(1 + abs(place))


def test_both_sides_add_up_to_one_gradient_and_singles_may_share_the_batch(pack):
    t, made = pack.nodes.training, session(pack, pairs(pack, 2, alone=1))
    noise = [torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    sigma, flat = torch.tensor([0.4, 0.7, 0.5]), made.adapters.flat
    with made.training():
        total = t.step.gradient.backward(made.denoiser, made.objective, made.samples, noise, sigma,
                                         teacher=made.teacher)
        both = flat.grad.clone()
        flat.grad.zero_()
        with torch.no_grad():
            goals = t.step.pairs.pair_goals(made.teacher, made.objective, made.samples[:2], noise[:2], sigma[:2],
                                            made.teacher.reach)
        losses = []
        for strength, goal, name in ((1.0, goals[0], "latent"), (-1.0, goals[1], "before")):
            samples = [s._replace(latent=getattr(s, name)) for s in made.samples[:2]]
            with made.adapters.at(strength):
                part = t.step.gradient.sample_losses(made.denoiser, made.objective, samples, noise[:2], sigma[:2], None,
                                                     goal).sum() / 6
                part.backward()
            losses.append(part.detach())
        single = t.step.gradient.sample_losses(made.denoiser, made.objective, made.samples[2:], noise[2:],
                                               sigma[2:]).sum() / 3
        single.backward()
    assert torch.allclose(total, sum(losses) + single, rtol=1e-4)
    assert torch.allclose(flat.grad, both, atol=1e-6 * float(both.abs().max()), rtol=1e-3)
    assert made.adapters.strength == 1.0


def test_pairs_train_validate_resume_bit_for_bit_and_are_told_of(pack, train):
    t = pack.nodes.training
    calm = dict(schedule=t.plan.recipe.SchedulePlan("constant", 0), validation=t.plan.recipe.ValidationPlan(1, 2))
    whole = train(tiny_sd3(), 8, name="whole", dataset=pairs(pack), **calm)
    train(tiny_sd3(), 4, name="half", dataset=pairs(pack), **calm)
    both = train(tiny_sd3(), 8, name="both", dataset=pairs(pack), resume="half", **calm)
    assert both.losses == whole.losses and both.validated == whole.validated
    assert whole.validated[-1].loss < whole.validated[0].loss or len(whole.validated) == 4
    assert all(torch.equal(both.tensors[key], tensor) for key, tensor in whole.tensors.items())
    assert any(what.startswith("3 pairs: strength 1 goes 1.") for what, _ in whole.chosen)


def test_cancel_between_the_sides_leaves_the_adapters_at_full_strength(pack, train, monkeypatch, output_folder):
    t, kept = pack.nodes.training, []
    measure = t.step.gradient.sample_losses

    def cancelled(*args):
        if len(args) == 7 and (kept.append(1) or len(kept) == 6):
            comfy.model_management.interrupt_current_processing()
            comfy.model_management.throw_exception_if_processing_interrupted()
        return measure(*args)

    monkeypatch.setattr(t.step.gradient, "sample_losses", cancelled)
    built = []
    session = t.training_run.Session
    monkeypatch.setattr(t.training_run, "Session", lambda *args: built.append(session(*args)) or built[0])
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        train(tiny_sd3(), 8, dataset=pairs(pack))
    assert built[0].adapters.strength == 1.0 and built[0].step == 2
    assert [p.name for p in (output_folder / "loras").iterdir()] == ["hand_interrupted.safetensors"]


@pytest.fixture
def paired(folder):
    for name, size in (("a", (96, 64)), ("b", (64, 96)), ("c", (150, 100))):
        picture(folder / f"{name}_before.png", size, (20, 20, 160))
    return folder


def test_a_folder_of_pairs_gives_both_latents_and_shows_both(training, vae, clip, paired):
    made, _ = collected(training, vae, clip, paired, flip=True)
    assert [s.name for s in made.dataset.samples][::2] == ["a.png", "b.png", "c.png"]
    for sample in made.dataset.samples:
        assert sample.before.shape == sample.latent.shape and not torch.equal(sample.before, sample.latent)
    contact = training.data.training_set_report
    assert "Pairs: 3. Only the change from what is before to the picture is learnt" in contact.report(
        made, training.data.preparation.Preparation(resolution=64))
    shown = made.prepared[0].tensors()["thumbnail"].float()
    assert shown.shape[1] > 2 * shown.shape[0]                              # the two side by side
    assert shown[5, 5].argmax() == 2 and shown[5, -5].argmax() == 0         # blue, then red
    assert contact.contact_sheet(made).shape[-1] == 3


@pytest.mark.parametrize("change, sentence", [
    (lambda f: (f / "b.png").unlink(), "folder: b_before.png has no partner; expected b.png beside it"),
    (lambda f: (f / "b_before.png").unlink(),
     r"folder: expected a picture named b_before.png beside b.png.*1 of 3 have none \(b.png\)"),
    (lambda f: Image.new("RGB", (64, 64)).save(f / "a_before.png"),
     "before: expected both pictures of a pair in one shape, a.png has 96 x 64 pixels, the other 64 x 64"),
])
def test_half_a_pair_is_named(training, vae, clip, paired, change, sentence):
    change(paired)
    with pytest.raises(ValueError, match=sentence):
        collected(training, vae, clip, paired)
