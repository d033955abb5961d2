"""Whatever the file or name that resume is given: one sentence, or a session that goes on, and nothing in between."""
import copy
import json
import struct
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from training_models import caption, latents, tiny_sd3

ODD = [None, True, -1, 2 ** 70, 1e308, float("nan"), "", "\ud800", "x" * 10_000, [], {}, [[]], {"a": 1},
       torch.ones(3), torch.full((2, 2), float("inf")), torch.zeros(0), torch.arange(4)]


@pytest.fixture(scope="module")
def kept(pack, tmp_path_factory, host):
    """(a session that has made two steps, its state, the file it lies in)"""
    t = pack.nodes.training
    with torch.inference_mode(False):
        dataset = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
        recipe = t.plan.recipe.Recipe(ema=0.9, validation=t.plan.recipe.ValidationPlan(1, 1))
        plan = t.plan.settings.Settings(4, 2, 1e-2, 2, 3, recipe)
        patcher = t.model.loading.load_for_training(tiny_sd3(), dataset, 2)
        session = t.step.session.Session(patcher, dataset, plan, None)
        session.prepare(False)
        with session.training():
            for _ in range(2):
                session.take_step()
        session.validated.append(session.validation.measure(2))
        path = tmp_path_factory.mktemp("states") / "step_00000002.safetensors"
        t.disk.checkpoint.save_state(path, t.disk.session_state.state_of(session))
    return session, t.disk.checkpoint.load_state(path), path


def places(value, path=()):
    """Every place in a tree, as the keys that lead there."""
    yield path
    listed = enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, child in value.items() if isinstance(value, dict) else listed:
        yield from places(child, (*path, key))


def changed(tree, path, value, drop):
    tree = copy.deepcopy(tree)
    if not path:
        return value
    holder = tree
    for key in path[:-1]:
        if isinstance(holder[key], tuple):
            holder[key] = list(holder[key])
        holder = holder[key]
    if drop and isinstance(holder, (dict, list)):
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return tree


def restored(pack, session, state):
    """Restores, and takes a step where that was allowed."""
    with torch.inference_mode(False), torch.enable_grad():
        pack.nodes.training.disk.session_state.restore(session, state, "hand/step_00000002")
        with session.training():
            session.take_step()


def test_the_state_itself_is_gone_on_from(pack, kept):
    session, state, _ = kept
    restored(pack, session, copy.deepcopy(state))
    assert session.step == 3


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data())
def test_a_state_with_a_part_that_is_something_else_is_refused_in_a_sentence_or_works(pack, kept, data):
    session, state, _ = kept
    path = data.draw(some.sampled_from([path for path in places(state) if path]))
    damaged = changed(state, path, data.draw(some.sampled_from(ODD)), data.draw(some.booleans()))
    try:
        restored(pack, session, damaged)
    except ValueError as error:
        assert str(error).startswith("resume: hand/step_00000002") and len(str(error)) < 400
    except FloatingPointError:
        pass            # hyperparameters of an optimizer that lead to no number are met by the step itself


@pytest.mark.parametrize("name", ["exp_avg", "exp_avg_sq", "step"])
@pytest.mark.parametrize("numbers", [0, 3])
def test_a_moment_of_another_size_never_reaches_the_fused_optimizer(pack, kept, name, numbers):
    """Which reads beyond its end, and took the whole process with it."""
    session, state, _ = kept
    damaged = changed(state, ("optimizer", 0, "state", 0, name), torch.ones(numbers), False)
    with pytest.raises(ValueError, match=f"^resume: hand/step_00000002 is damaged: .*{name} of parameter 0"):
        restored(pack, session, damaged)


def test_a_validation_loss_that_was_no_number_is_read_again(pack, kept):
    session, state, _ = kept
    restored(pack, session, changed(state, ("validated", 0, 1), float("nan"), False))
    assert session.step == 3 and not pack.nodes.training.step.validation.overfits(session.validated * 4)


@pytest.mark.parametrize("kept_in", [None, "__bnb_optimizer_quant_state__"], ids=["up to 0.48", "later"])
def test_the_sizes_of_8_bit_moments_are_known(pack, kept_in):
    """Later versions of bitsandbytes keep them in a dict of their own."""
    part = SimpleNamespace(param_groups=[{"params": [torch.zeros(8200)]}])
    sizes = {"state1": 8200, "qmap1": 256, "absmax1": 33}
    check = pack.nodes.training.step.optimizers._check_sizes

    def checked(**sizes):
        made = {name: torch.zeros(size) for name, size in sizes.items()}
        check(part, {0: {"step": 3, kept_in: made} if kept_in else {"step": 3, **made}})

    checked(**sizes)
    for name, wrong in (("absmax1", 32), ("state1", 1), ("state2", 0), ("qmap1", 1)):
        with pytest.raises(ValueError, match=f"{name} of parameter 0"):
            checked(**{**sizes, name: wrong})


HEADERS = ["", "{", "[]", "null", '{"version": 1}', '{"version": {}, "tree": 1}',
           '{"version": 1, "tree": {"tensor": "x"}}',
           '{"version": 1, "tree": {"a": 1, "b": 2}}', '{"version": 1, "tree": {"dict": 5}}', "[" * 100_000,
           '{"version": 1, "tree": ' + '{"list": [' * 3000, '{"version": 7, "tree": {}}']


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_a_file_whose_tree_cannot_be_read_is_a_sentence(pack, tmp_path, header):
    head = json.dumps({"__metadata__": {"bottega.state": header}}).encode()
    path = tmp_path / "step_00000001.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    with pytest.raises(ValueError, match="^resume: .*step_00000001.safetensors (is|was)|^resume: expected a tr"):
        pack.nodes.training.disk.checkpoint.load_state(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=some.integers(0, 3000), bits=some.integers(1, 255), length=some.integers(0, 10 ** 6))
def test_a_file_with_a_changed_byte_or_cut_short_is_a_sentence_or_a_state(pack, kept, tmp_path, at, bits, length):
    whole = bytearray(kept[2].read_bytes())
    whole[at % len(whole)] ^= bits
    path = tmp_path / "step_00000002.safetensors"
    path.write_bytes(whole[:length] if length < len(whole) else whole)
    try:
        pack.nodes.training.disk.checkpoint.load_state(path)
    except ValueError as error:
        assert str(error).startswith("resume: ")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 100_000, "../" * 3000, "\n", "C:" + "\\" * 50])
def test_a_name_that_no_file_can_have_is_a_sentence(pack, host, output_folder, name):
    with pytest.raises(ValueError, match="^resume: expected the name of a run") as error:
        pack.nodes.training.training_run._starting_point(f"x{name}")
    assert len(str(error.value)) < 400
