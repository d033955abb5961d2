"""A run that goes on with something changed: what is taken over, what begins anew, and that the report says so."""
import pytest
import torch
from safetensors.torch import load_file
from training_graphs import CANCEL, plan, same, shape_of
from training_models import caption, latents, tiny_sd3


def test_a_rate_of_its_own_can_be_another_one_and_alpha_the_rank_by_its_number(pack, train, output_folder):
    train(tiny_sd3(), 2, shape=shape_of(pack, targets="J00=4@1e-4; J01=4"))
    train(tiny_sd3(), 3, resume="hand", shape=shape_of(pack, targets="J00=4@2e-4; J01=4", alpha=4.0))


def test_what_pissa_starts_from_is_that_of_the_state_under_another_seed_too(pack, train, output_folder):
    disk, shape = pack.nodes.training.disk, shape_of(pack, settings={"pissa": True})
    first = train(tiny_sd3(), 4, shape=shape)
    assert same(train(tiny_sd3(), 4, "other", seed=4, resume="hand", shape=shape).tensors, first.tensors)
    state = disk.checkpoint.load_state(disk.checkpoint.find_state("hand"))
    for holder, name in ((state, "origin"), (state["identity"], "scale"), (state["identity"], "layout")):
        del holder[name]            # as an earlier version wrote it
    disk.checkpoint.save_state(output_folder / "old.safetensors", state)
    old = str(output_folder / "old.safetensors")
    assert same(train(tiny_sd3(), 4, "older", seed=4, resume=old, shape=shape).tensors, first.tensors)


def test_other_pictures_go_on_in_a_new_order_and_the_report_says_so(pack, train, state):
    dataset = pack.nodes.training.data.dataset.from_core_nodes([{"samples": latents(3, seed=9)}], [caption(0)])
    trained = train(tiny_sd3(), 6, resume="hand", dataset=dataset)
    assert len(trained.losses) == 6
    assert any("its order starts anew" in note for note in trained.notes)


def test_an_average_of_another_length_begins_anew_and_one_of_the_same_goes_on(train, output_folder):
    with pytest.raises(CANCEL):
        train(tiny_sd3(), 8, "averaged", stop_after=4, ema_length=0.1)
    other = train(tiny_sd3(), 8, "averaged", resume="averaged", ema_length=0.05)
    assert any("average is of another length" in note for note in other.notes)
    whole = train(tiny_sd3(), 8, "uncut", ema_length=0.1)
    with pytest.raises(CANCEL):
        train(tiny_sd3(), 8, "again", stop_after=4, ema_length=0.1)
    assert same(train(tiny_sd3(), 8, "again", resume="again", ema_length=0.1).tensors, whole.tensors)


OTHER_RECIPES = {
    "strata": ({}, {"timesteps": {"strata": 2}}, ["timestep_strata is another"]),
    "a first picture held out": ({}, {"validation": {"pictures": 1}}, ["Other pictures are held out"]),
    "most held out": ({}, {"validation": {"pictures": 3}}, ["Other pictures are held out"]),
    "more held out": ({"validation": {"pictures": 1}}, {"validation": {"pictures": 2}},
                      ["Other pictures are held out", "The validation losses before are of other"]),
    "none held out any more": ({"validation": {"pictures": 1, "every": 1}}, {},
                               ["Other pictures are held out", "Nothing is validated any more"]),
    "nothing": ({"validation": {"pictures": 1}}, {"validation": {"pictures": 1}}, []),
}


@pytest.mark.parametrize("change", OTHER_RECIPES)
@pytest.mark.parametrize("older", [False, True])
def test_what_another_recipe_makes_void_begins_anew_and_the_report_says_so(pack, train, output_folder, change, older):
    disk, (before, now, told) = pack.nodes.training.disk, OTHER_RECIPES[change]
    train(tiny_sd3(), 1, batch_size=1, **plan(pack, **before))
    if older:
        state = disk.checkpoint.load_state(path := disk.checkpoint.find_state("hand"))
        for holder, name in ((state, "strata"), (state["identity"], "held_out")):
            del holder[name]            # as an earlier version wrote it, of which only what no longer fits is known
        disk.checkpoint.save_state(path, state)
    trained = train(tiny_sd3(), 3, batch_size=1, resume="hand", **plan(pack, **now))
    anew = [note for note in trained.notes if "anew" in note or "left out" in note]
    if not older or "most" in change or change == "strata":
        assert len(anew) == len(told) and all(map(str.startswith, anew, told))
    assert len(trained.losses) == 3


def test_training_can_start_from_a_lora_that_has_no_state(train, output_folder, state):
    first = load_file(output_folder / "loras" / "hand.safetensors")
    (output_folder / "loras" / "hand.safetensors").rename(output_folder / "loras" / "found.safetensors")
    still = train(tiny_sd3(), 1, "more", resume="found", rate=1e-12)
    assert all(torch.allclose(still.tensors[key], first[key], atol=1e-6) for key in first)
    assert any("Started from the LoRA" in note for note in still.notes)
