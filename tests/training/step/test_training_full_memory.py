"""A memory that is full: what a step does to go on, what else is left out, and what is said where nothing helps."""
from operator import attrgetter

import pytest
import torch
from training_models import caption, tiny_sd3


@pytest.mark.parametrize("words", [
    "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.",
    "[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9",
])
def test_what_the_cpu_s_allocator_says_is_known_as_a_full_memory(pack, words):
    full = pack.nodes.shared.full_memory.is_memory_full
    assert full(RuntimeError(words)) and full(MemoryError()) and not full(RuntimeError("another"))


def test_a_memory_that_is_really_full_is_known(pack):
    with pytest.raises(RuntimeError) as error:
        torch.empty(2 ** 55)
    assert pack.nodes.shared.full_memory.is_memory_full(error.value)


def full_memory(rows, checkpointed=False):
    """Stands in for a device that holds `rows` samples, or fewer until blocks are recomputed."""
    def limited(original):
        def call(denoiser, noisy, sigma, conds):
            recomputes = any(m.forward.func.__name__ == "_checkpointed" for m in denoiser.model.modules()
                             if hasattr(vars(m).get("forward"), "func"))
            if torch.is_grad_enabled() and (len(noisy) > rows or checkpointed and not recomputes):
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return original(denoiser, noisy, sigma, conds)
        return call
    return limited


def limit_after_the_check(pack, monkeypatch, limited):
    t, check = pack.nodes.training, pack.nodes.training.training_run.self_check

    def checked(*args):
        result = check(*args)
        kind = t.step.denoiser.Denoiser
        monkeypatch.setattr(kind, "__call__", limited(kind.__call__))
        return result

    monkeypatch.setattr(t.training_run, "self_check", checked)


def test_a_full_memory_makes_the_forward_passes_smaller_and_changes_nothing_else(pack, train, model, monkeypatch):
    whole = train(model, 4, "whole", batch_size=4)
    limit_after_the_check(pack, monkeypatch, full_memory(rows=1))
    small = train(model, 4, "small", batch_size=4)
    assert all(torch.allclose(small.tensors[key], whole.tensors[key], atol=1e-4) for key in whole.tensors)
    assert [note for note in small.notes if "Memory was full" in note] == [
        "Memory was full at step 1: 2 of the batch's 4 pictures a forward pass from there on.",
        "Memory was full at step 1: 1 of the batch's 4 pictures a forward pass from there on."]


def test_a_memory_that_is_full_with_one_picture_recomputes_the_blocks(pack, train, model, monkeypatch):
    whole = train(model, 3, "whole")
    limit_after_the_check(pack, monkeypatch, full_memory(rows=1, checkpointed=True))
    small = train(model, 3, "small")
    assert small.checkpointed and not whole.checkpointed
    assert all(torch.allclose(small.tensors[key], whole.tensors[key], atol=1e-4) for key in whole.tensors)


def test_a_memory_that_is_always_full_stops_with_what_was_tried(pack, train, model, monkeypatch):
    limit_after_the_check(pack, monkeypatch, full_memory(rows=0))
    with pytest.raises(MemoryError, match=r"stopped at step 1 of 3: memory is full with one picture at a time and "
                                          r"recomputed blocks. [\d,]+ MB are free; pictures of about 64 x 64 may "
                                          "fit") as full:
        train(model, 3)
    assert type(full.value) is MemoryError         # the page shows the kind as the title of the message


@pytest.mark.parametrize("steps", [4, 2])
def test_memory_that_is_full_between_steps_is_said_with_the_step_and_how_to_go_on(pack, train, monkeypatch, steps):
    def full(*_):
        raise RuntimeError("unable to mmap 9 bytes from file </srv/x>: Cannot allocate memory (12)")

    t = pack.nodes.training
    monkeypatch.setattr(t.training_run.Health, "look", full)
    with pytest.raises(MemoryError) as error:
        train(tiny_sd3(), steps, validation=t.plan.recipe.ValidationPlan(1, 2))
    said = str(error.value)
    assert said.startswith(f"Memory was full after 2 of {steps} steps. ") and "set resume to hand/step_00000002" in said
    assert "/srv" not in said


@pytest.mark.parametrize("where", [("monitoring.sample_pictures.Samples", "draw"),
                                   ("monitoring.progress", "progress_chart")])
def test_a_memory_too_full_for_pictures_ends_no_training(pack, train, monkeypatch, where):
    def full(*_args, **_kwargs):
        raise RuntimeError("could not create a primitive")

    t = pack.nodes.training
    monkeypatch.setattr(attrgetter(where[0])(t), where[1], full)
    trained = train(tiny_sd3(), 2, prompts=caption(7), samples=t.plan.recipe.SamplePlan(1, 1))
    assert len(trained.losses) == 2
    if where[1] == "draw":
        assert "Memory was too full for the sample pictures of step 1; the training went on." in trained.notes


def test_a_memory_too_full_to_look_at_the_rate_ends_no_training(pack, train, monkeypatch):
    def full(*_):
        raise MemoryError

    t = pack.nodes.training
    monkeypatch.setattr(t.training_health, "SHORTEST", 2)
    monkeypatch.setattr(t.adapters.flat.Adapters, "relative_change", full)
    assert len(train(tiny_sd3(), 2).losses) == 2


def full_for_more_than(rows):
    """Stands in for a device that holds `rows` pictures where no gradient is asked for."""
    def limited(original):
        def losses(denoiser, objective, group, *rest):
            if len(group) > rows:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return original(denoiser, objective, group, *rest)
        return losses
    return limited


@pytest.mark.parametrize(("rows", "measures"), [(1, 2), (0, 0)])
def test_a_memory_that_is_full_in_the_validation_ends_no_training(pack, train, monkeypatch, rows, measures):
    t = pack.nodes.training
    plan = t.plan.recipe.ValidationPlan(2, 2)
    whole = train(tiny_sd3(), 4, "whole", batch_size=2, validation=plan)
    monkeypatch.setattr(t.step.validation, "group_losses", full_for_more_than(rows)(t.step.validation.group_losses))
    tight = train(tiny_sd3(), 4, "tight", batch_size=2, validation=plan)
    losses, found = ([measured.loss for measured in run.validated] for run in (whole, tight))
    assert found == pytest.approx(losses[:measures], rel=1e-4)
    assert all(torch.equal(tight.tensors[key], whole.tensors[key]) for key in whole.tensors)
    note = "Memory was too full for the validation loss of step 2 and of 1 later step; the training went on."
    assert (note in tight.notes) == (measures == 0)


def test_the_validation_asks_for_no_more_room_than_a_step(pack, train, monkeypatch):
    t = pack.nodes.training
    limited, seen = t.step.validation.group_losses, []
    monkeypatch.setattr(t.step.validation, "group_losses",
                        lambda *args: seen.append(len(args[2])) or limited(*args))
    train(tiny_sd3(), 1, batch_size=1, validation=t.plan.recipe.ValidationPlan(2))
    assert set(seen) == {1}
