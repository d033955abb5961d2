"""Training with the critic: its sampling is the host's, its gradient is right, and its runs can be cut."""
from copy import deepcopy

import pytest
import torch
from real_host import GraphError
from studio_graphs import PROMPT, loaders, node


@pytest.fixture
def request_of(module, parse, paintings):
    """request_of(model, ...): what the node asks of a model of random weights, 4 sampling steps, latent colours."""
    from training_models import caption

    def make(model, steps=3, method=None, last_steps=1, penalty=1.0, lora=None, name="critic", resume="", rate=1e-2,
             seeds=0, seed=3, rubric="*=0; \"mean S channel\"=high", prompts=2):
        session = module("studio.critic_training.critic_training_session")
        train = module("studio.critic_training.critic_training_run")
        decoder, rewards = module("studio.gradient.latent_decoder").decoder(model), module("studio.gradient.reward")
        rubric = parse(rubric)
        reward = rewards.reward(rewards.named(rubric), paintings, decoder.detail)
        goal = session.RewardGoal(reward, decoder, method or session.DRAFT, last_steps, penalty)
        positive = [entry for number in range(prompts) for entry in caption(number)]
        sampling = module("studio.sampling").Sampling(positive, caption(9), {"samples": torch.zeros(1, 16, 8, 8)}, None,
                                                    4, 2.0, "euler", "simple")
        settings = module("training.plan.settings").Settings(steps, 2, rate, 4, seed, train.RECIPE)
        return train.CriticTrainingRequest(lora, sampling, goal, rubric, paintings, settings, name, [], seeds, resume)
    return make


@pytest.fixture
def run(module, output_folder):
    """run(model, request_of, stop_after): trains as the node does."""
    train = module("studio.critic_training.critic_training_run")

    class Interrupted(train.RewardProgress):
        after = None

        def take(self, session):
            import comfy.model_management
            if session.step == self.after:
                comfy.model_management.interrupt_current_processing()
            super().take(session)

    def go(model, request, stop_after=None):
        progress = Interrupted(request.settings.steps, "1")
        progress.after = stop_after
        return train.train(model, request, progress)
    return go


@pytest.fixture
def session(module, request_of):
    """A session that is ready for its first step, inside of which gradients are on."""
    from training_models import tiny_sd3
    train, model = module("studio.critic_training.critic_training_run"), tiny_sd3()

    def make(**changes):
        request = request_of(model, **changes)
        progress = train.RewardProgress(request.settings.steps, "1")
        return train._prepared(model, request, request.sampling, progress)[0]
    with torch.inference_mode(False), torch.enable_grad():
        yield make


@pytest.mark.parametrize("family, cfg, longer", [("SD3", 3.0, 0), ("SD1.5", 3.0, 0), ("SD3", 1.0, 0), ("SD3", 3.0, 5)])
def test_pictures_are_sampled_as_ksampler_does(module, family, cfg, longer):
    """longer: tokens that the negative prompt has more than the other, which keep them from sharing a forward pass."""
    import comfy.sample
    from training_models import FAMILIES, build, caption
    known, steps = FAMILIES[family], 4
    model = build(known)
    tokens, width = known.text
    words, empty = (caption(seed, tokens + more, width, pooled=known.pooled) for seed, more in ((1, 0), (2, longer)))
    noise = torch.randn(1, *known.latent, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode(False), torch.no_grad():
        theirs = comfy.sample.sample(model, noise, steps, cfg, "euler", "normal", words, empty,
                                     torch.zeros_like(noise), disable_pbar=True, seed=5)
        denoiser = module("training.step.denoiser").Denoiser(model, 3.5)
        sample = module("training.data.dataset").Sample
        sampling = model.get_model_object("model_sampling")
        sigmas = module("studio.critic_training.sampling_chain").schedule(sampling, "normal", steps, "cpu")
        conds, negative = (denoiser.encode(sample(torch.zeros_like(noise), *entry)).conds for entry in words + empty)
        chain = module("studio.critic_training.sampling_chain").EulerChain(
            denoiser, sampling, sigmas, cfg, None if cfg == 1 else negative, model.model_options
        )
        ours = model.model.process_latent_out(chain.run(chain.begin(noise), [conds], range(steps)))
    assert torch.allclose(ours, theirs, atol=1e-4 * theirs.abs().max().item())


@pytest.mark.parametrize("penalty", [0.0, 5.0])
def test_the_gradient_through_all_steps_is_that_of_finite_differences(session, penalty):
    made = session(last_steps=4, penalty=penalty)
    generator = torch.Generator().manual_seed(0)
    flat = made.adapters.flat
    flat.add_(0.02 * torch.randn(flat.shape, generator=generator))      # away from the start, where distances are flat
    noise = torch.randn(1, 16, 8, 8, generator=generator)
    conds = [made.samples[0].conds]

    def loss():
        earned, distance = made.judge(noise, conds)
        return (1 - earned / 100 + penalty * distance).sum()

    with made.training():
        loss().backward()
        slope = flat.grad.clone()
        along = slope / slope.norm()
        size = 2e-3
        with torch.no_grad():
            ends = []
            for sign in (1, -1):
                flat.add_(sign * size * along)
                ends.append(loss().item())
                flat.sub_(sign * size * along)
    assert slope.norm() > 1e-4
    assert (ends[0] - ends[1]) / (2 * size) == pytest.approx(slope.norm().item(), rel=0.02)


def test_the_last_step_alone_is_learnt_through_with_k_of_one(session, module):
    made = session(last_steps=1)
    assert made._steps() == range(3, 4)
    more = session(last_steps=9)
    assert more._steps() == range(0, 4)
    assert "last_steps: 9 are more than the 4 of a picture; the gradient runs through all of them." in more.notes
    drawn = {
        session(method=module("studio.critic_training.critic_training_session").REFL, seed=seed)._steps()
        for seed in range(12)
    }
    assert drawn == {range(2, 3), range(3, 4)}


def test_a_picture_of_the_training_is_the_one_of_its_seed(session, module):
    import comfy.sample
    made = session()
    noise = comfy.sample.prepare_noise_inner(torch.zeros(1, 16, 8, 8), torch.Generator().manual_seed(3 + 7))
    assert torch.equal(made.noise_of(7, (1, 16, 8, 8)), noise)


@pytest.mark.parametrize("method", ["DRaFT: the last steps", "ReFL: one random step"])
def test_training_raises_the_reward(run, request_of, method):
    from training_models import tiny_sd3
    model = tiny_sd3()
    with torch.inference_mode():
        done = run(model, request_of(model, steps=12, method=method, penalty=0.0, rate=3e-2, prompts=1))
    assert sum(done.session.losses[-3:]) < sum(done.session.losses[:3]) - 0.05


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_cancel_and_resume_give_the_lora_of_a_run_that_was_never_cut(run, request_of, output_folder, module):
    from training_models import tiny_sd3
    refl = module("studio.critic_training.critic_training_session").REFL
    model = tiny_sd3()
    state = torch.get_rng_state()
    whole = run(model, request_of(model, steps=5, method=refl, name="whole"))
    cut = run(model, request_of(model, steps=5, method=refl, name="cut"), stop_after=2)
    assert cut.cancelled and cut.session.step == 2 and cut.after == []
    assert [p.stem for p in (output_folder / "loras").iterdir() if "cut" in p.stem] == ["cut_interrupted"]
    assert module("training.monitoring.curves").known()[-1]["resume"] == "cut"
    assert any("Cancelled after 2 of 5 steps. To go on, set resume to cut/" in note for note in cut.session.notes)
    more = run(model, request_of(model, steps=5, method=refl, name="cut", resume="cut"))
    assert more.session.losses == whole.session.losses and same(more.tensors, whole.tensors)
    assert torch.equal(torch.get_rng_state(), state)
    done = request_of(model, steps=5, method=refl, name="cut", resume="cut")
    again = run(model, done)
    assert same(again.tensors, whole.tensors) and again.session.seen is None
    report = module("studio.critic_training.critic_training_report").report
    told = report(again, done)
    assert "**5 steps of 2 pictures**" in told and "- Distance from the start: the weights moved by " in told
    assert "Nothing was trained: 5 steps were done before, and steps is 5. Set it higher to go on." in told
    assert "- File: loras/cut.safetensors" in told and str(output_folder) not in told
    assert "in the last step's pictures); the weights moved by " in report(more, done) and "Nothing was" not in report(
        more, done)
    assert module("studio.critic_training.critic_training_report").contact_sheet(again).shape[0] == 1
    other = run(model, request_of(model, steps=5, method=refl, name="other", seed=4))
    assert not same(other.tensors, whole.tensors)


@pytest.mark.parametrize("judged, words", [
    (5, "**Ended after 1 of 4 pictures**, which were judged once more: memory was full (no room)."),
    (4, "Not measured after the training: memory was full (no room).")])
def test_full_memory_while_pictures_are_judged_again_costs_those_alone(run, request_of, output_folder, module,
                                                                      monkeypatch, measured_small, judged, words):
    from training_models import tiny_sd3
    train, calls = module("studio.critic_training.critic_training_run"), []
    judge = train.judge_picture

    def full(*given):
        calls.append(1)
        if len(calls) > judged:
            raise torch.OutOfMemoryError("no room.")
        return judge(*given)

    monkeypatch.setattr(train, "judge_picture", full)
    model = tiny_sd3()
    request = request_of(model, steps=1, seeds=1)._replace(sampling=request_of(model).sampling._replace(vae=Colours()))
    done = run(model, request)
    told = module("studio.critic_training.critic_training_report").report(done, request)
    assert words in told and len(done.before) == 4 and len(done.after) == judged - 4 and not done.cancelled
    assert [path.name for path in (output_folder / "loras").iterdir()] == ["critic.safetensors"]


class Colours:
    """Stands for a VAE: what it makes of latents does not matter."""

    def decode(self, latent):
        return torch.full((1, 64, 64, 3), 0.5)


@pytest.mark.parametrize("changes, told", [
    ({"rubric": "*=0; \"mean L channel\"=high"},
     "another rubric or reference \\(mean S channel: the more the better .*; now mean L channel: .*\\)"),
    ({"penalty": 2.0, "last_steps": 2}, "another last_steps \\(1; now 2\\), another penalty \\(1; now 2\\)"),
    ({"method": "ReFL: one random step"}, "another method \\(DRaFT: the last steps; now ReFL: one random step\\)"),
    ({"prompts": 1}, "another positive"), ({"seed": 4}, "another seed \\(3; now 4\\)"),
    ({"lora": True}, "another lora"),
])
def test_a_run_goes_on_only_with_what_it_began_with(run, request_of, output_folder, changes, told):
    from training_models import tiny_sd3
    model = tiny_sd3()
    begun = run(model, request_of(model, steps=1, name="begun"))
    if changes.pop("lora", None):
        changes["lora"] = begun.tensors
    with pytest.raises(ValueError, match=f"^resume: begun/step_00000001 was trained with {told}. Set that as it was, "
                                         "or begin a new run with its LoRA.$"):
        run(model, request_of(model, steps=2, name="begun", resume="begun", **changes))
    assert run(model, request_of(model, steps=2, name="begun", resume="begun", rate=1e-3)).session.step == 2


def test_a_state_of_another_node_is_refused(run, request_of, output_folder, module):
    """In both directions: Train LoRA does not go on with a critic's run, nor this node with one of pictures."""
    from training_models import caption, latents, tiny_sd3
    model, train = tiny_sd3(), module("training.training_run").train
    request = request_of(model, steps=1, name="of_a_critic", prompts=1)
    run(model, request)
    pictures = module("training.data.dataset").from_core_nodes([{"samples": latents(2)}], [caption(1)])
    progress = module("training.monitoring.progress").Progress(1, "1")
    train(model, pictures, request.settings, "of_pictures", progress)
    told = "was written by another node, or by an older version of this one. Begin a new run with its LoRA.$"
    with pytest.raises(ValueError, match=f"^resume: of_a_critic/step_00000001 {told}"):
        train(model, pictures, request.settings, "more", progress, resume="of_a_critic")
    with pytest.raises(ValueError, match=f"^resume: of_pictures/step_00000001 {told}"):
        run(model, request_of(model, steps=2, resume="of_pictures"))


def test_a_cancel_before_the_first_step_is_a_cancel(run, request_of, output_folder):
    import comfy.model_management
    from training_models import tiny_sd3
    model = tiny_sd3()
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(model, request_of(model))
    assert not (output_folder / "loras").exists()


def test_a_lora_goes_on_from_where_it_was(run, request_of, session):
    from training_models import tiny_sd3
    model = tiny_sd3()
    first = run(model, request_of(model, penalty=0.0))
    made = session(lora=first.tensors)
    made.begin()
    assert made.adapters.ranks() == (4, 4)
    assert all(torch.allclose(made.tensors()[key], first.tensors[key], atol=1e-6) for key in first.tensors)
    with made.training():
        earned, distance = made.judge(torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1)),
                                      [made.samples[0].conds])
    assert distance.item() == 0.0
    again = run(model, request_of(model, lora=first.tensors, name="again"))
    assert again.session.start.equal(made.start) and not same(again.tensors, first.tensors)


def test_a_penalty_keeps_it_nearer_to_its_start(run, request_of):
    from training_models import tiny_sd3
    model = tiny_sd3()
    free, held = (run(model, request_of(model, steps=8, penalty=penalty, prompts=1, rate=3e-2, name=f"p{penalty:g}"))
                  for penalty in (1e-6, 1000.0))
    assert 0 < held.session.distance < free.session.distance / 3
    assert held.session.points < free.session.points


@pytest.mark.parametrize("tensors, sentence", [
    ({"lora_unet_none.lora_up.weight": torch.zeros(4, 2), "lora_unet_none.lora_down.weight": torch.zeros(2, 4)},
     "lora: expected one for SD3, got one that names none of its layers"),
    ({f"diffusion_model.joint_blocks.0.x_block.mlp.fc1.hada_{name}": torch.zeros(*size) for name, size in
      {"w1_a": (512, 2), "w1_b": (2, 128), "w2_a": (512, 2), "w2_b": (2, 128)}.items()},
     "lora: expected a LoRA, LoCon or DoRA, got loha for .*fc1.weight; apply it with Load LoRA"),
])
def test_a_lora_that_cannot_go_on_is_refused(run, request_of, tensors, sentence):
    from training_models import tiny_sd3
    model = tiny_sd3()
    with pytest.raises(ValueError, match=sentence):
        run(model, request_of(model, lora=tensors))


def graph(starter, **inputs):    return loaders(starter) | {
        "words": node("CLIPTextEncode", text=PROMPT, clip=["clip", 0]),
        "empty": node("CLIPTextEncode", text="", clip=["clip", 0]),
        "size": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "train": node("BottegaCriticTrain", model=["model", 0], positive=["words", 0], negative=["empty", 0],
                      latent_image=["size", 0], steps=2, batch_size=1, learning_rate=0.0, rank=2,
                      method="DRaFT: the last steps", last_steps=1, penalty=1.0, rubric='*=0; "mean S channel"=high',
                      seed=1, name="critic", sampling_steps=3, cfg=3.0, scheduler="simple", seeds=1,
                      vae=["vae", 0], **inputs),
        "shown": node("PreviewImage", images=["train", 4]),
        "chart": node("BottegaTrainingChart", loss_map=["train", 1]),
        "chart_shown": node("PreviewImage", images=["chart", 0]),
    }


def test_a_graph_trains_and_reports_before_and_after(host, starter, output_folder):
    from protocol import BinaryEventTypes
    prompt = graph(starter)
    prompt["masked"] = node("ConditioningSetMask", conditioning=["words", 0], mask=["mask", 0], strength=1.0,
                            set_cond_area="default")
    prompt["mask"] = node("SolidMask", value=1.0, width=128, height=128)
    prompt["train"]["inputs"]["positive"] = ["masked", 0]
    outputs, _ = host.run(prompt)
    report = outputs["train"]["text"][0]
    assert "- Not used while training, though the captions carry it: mask." in report
    assert "A single picture has no spread (sd)" in report and "the variety of" not in report
    assert sum(event == BinaryEventTypes.UNENCODED_PREVIEW_IMAGE for event, _ in host.events) >= 4  # of those judged
    assert "| trained on | 1 |" in report and "| held out | 1 |" in report
    assert "| Balance |  |" in report and "not aimed at" in report and "seen through the VAE" in report
    assert (output_folder / "loras" / "critic.safetensors").is_file()
    assert len(outputs["shown"]["images"]) == 1 and len(outputs["chart_shown"]["images"]) == 1


@pytest.mark.parametrize("changes, sentence", [
    ({"rubric": "*=0; Line=1"}, "rubric: expected at least one criterion that can be steered"),
    ({"resume": "nothing"}, "resume: expected the name of a run"),
    ({"penalty": ["below", 0]}, "penalty: expected 0 or more, got -1"),
    ({"learning_rate": ["below", 0]}, "learning_rate: expected 0 or more, got -1"),
    ({"latent_image": ["film", 0]}, "latent_image: expected 16 channels of a picture"),
])
def test_what_cannot_be_trained_for_is_refused_with_a_sentence(host, starter, output_folder, changes, sentence):
    prompt = deepcopy(graph(starter))
    prompt |= {"below": node("PrimitiveFloat", value=-1.0),
               "film": node("EmptyHunyuanLatentVideo", width=64, height=64, length=5, batch_size=1)}
    prompt["train"]["inputs"].update(changes)
    with pytest.raises(GraphError, match=sentence):
        host.run(prompt)


def test_a_model_without_colours_of_its_latents_needs_a_vae(module, request_of):
    from training_models import tiny_sd3
    model = tiny_sd3()
    model.model.latent_format.latent_rgb_factors = model.model.latent_format.taesd_decoder_name = None
    with pytest.raises(ValueError, match="connect a VAE"):
        request_of(model)
