"""A step that fails: what is tried again, what ends the run, and what is said of the LoRA so far."""
import pytest
import torch
from training_models import FAMILIES, build, samples


def test_a_step_that_meets_what_the_self_check_did_not_is_taken_again(pack, output_folder, monkeypatch):
    t, retried, rewrite = pack.nodes.training, [], pack.nodes.training.step.retry._rewrite
    family = FAMILIES["Flux.1"]

    def run(name):
        dataset = t.data.dataset.TrainingSet(samples(pack, family, 2), [])
        return t.training_run.train(build(family), dataset, t.plan.settings.Settings(3, 1, 1e-2, 2, 0), name,
                           t.monitoring.progress.Progress(3, "1"))

    usual, check = run("usual"), t.training_run.self_check
    monkeypatch.setattr(t.training_run, "self_check", lambda *args: check(*args)._replace(rewrites=False))
    monkeypatch.setattr(t.step.retry, "_rewrite", lambda *args: (retried.append(1), rewrite(*args)))
    surprised = run("surprised")
    assert usual.check.rewrites and len(retried) == 1
    assert surprised.losses == usual.losses
    assert all(torch.equal(surprised.tensors[key], usual.tensors[key]) for key in usual.tensors)


def test_an_error_that_rewriting_does_not_help_ends_the_run(pack, train, model, monkeypatch):
    calls = []

    def broken(*args):
        calls.append(1)
        raise RuntimeError("something else")

    monkeypatch.setattr(pack.nodes.training.step.session, "backward", broken)
    with pytest.raises(RuntimeError, match="something else"):
        train(model, 3)
    assert len(calls) == 2


def test_what_a_model_s_code_only_asserts_is_a_sentence(pack, train, model, monkeypatch):
    def asserts(*args):
        assert not args

    monkeypatch.setattr(pack.nodes.training.step.session, "backward", asserts)
    with pytest.raises(ValueError, match=r"dataset: SD3 does not take these pictures \(64 x 64\): its code says"):
        train(model, 3)


def test_any_error_in_a_step_tells_what_was_kept(pack, train, model, monkeypatch):
    calls, backward = [], pack.nodes.training.step.session.backward

    def breaks(*args):
        calls.append(1)
        if len(calls) > 3:
            raise LookupError("something of the host")
        return backward(*args)

    monkeypatch.setattr(pack.nodes.training.step.session, "backward", breaks)
    with pytest.raises(RuntimeError, match="something of the host The LoRA so far is kept in loras/hand_interrupted"
                                           ".safetensors. To go on, set resume to hand/step_00000003."):
        train(model, 6)


def test_a_loss_that_is_no_number_names_step_pictures_and_what_to_go_on_from(pack, train, model, monkeypatch,
                                                                            output_folder):
    t, calls, backward = pack.nodes.training, [], pack.nodes.training.step.session.backward

    def breaks(*args):
        calls.append(1)
        return backward(*args) * (float("inf") if len(calls) == 6 else 1)

    monkeypatch.setattr(t.step.session, "backward", breaks)
    with pytest.raises(FloatingPointError) as error:
        train(model, 8, ema=0.9, checkpoints=t.plan.recipe.CheckpointPlan(every=2))
    sentence = str(error.value)
    assert "stopped at step 6 of 8: its loss is inf" in sentence and "on picture " in sentence
    assert "hand_interrupted.safetensors" in sentence and "set resume to hand/step_00000004" in sentence
    monkeypatch.undo()
    assert len(train(model, 8, resume="hand").losses) == 8
