"""Train LoRA on the card: whatever a recipe can ask for, and a state that goes on elsewhere bit for bit."""

import pytest
import torch
from cases_loras import trained
from studio_graphs import node


def whole_training(taught, name, **more):
    """Accumulation, an average, validation, checkpoints, sample pictures and a critic in one training."""
    return trained(taught, "LoRA", name=name, recipe={
        "accumulation": 2, "ema_decay": 0.9, "validation_pictures": 1, "validation_every": 2, "checkpoint_every": 2,
        "sample_every": 2, "sample_steps": 2, "loss": "huber", "noise_offset": 0.05}, **{
            "steps": 4, "batch_size": 1, "vae": ["vae", 0], "sample_prompts": ["words", 0], "critic": ["critic", 0],
            "critic_weighting": 1.0} | more) | {
        "critic": node("BottegaTrainingCritic", rubric="*=0; Balance=1"),
        "chart": node("BottegaTrainingChart", loss_map=["train", 1]),
        "curve": node("PreviewImage", images=["chart", 0]),
    }


def test_all_of_a_recipe_runs_in_every_way_of_holding_the_model(run, taught, mode):
    outputs = run(whole_training(taught, f"card_whole_{mode.split()[0]}"))
    report = outputs["train"]["text"][0]
    assert "4 steps" in report and "held out" in report.lower() and outputs["curve"]["images"]


def test_a_concept_and_text_encoders_are_trained(run, taught):
    graph = trained(taught, "LoRA", name="card_concept", dataset=["concept", 0]) | {
        "concept": node("BottegaConcept", dataset=["set", 0], strength=2.0, keep_weight=1.0, more=["words", 0],
                        less=["empty", 0])}
    assert "1 step" in run(graph)["train"]["text"][0]
    graph = trained(taught, "LoRA", name="card_encoders", dataset=["texts", 0], clip=["clip", 0]) | {
        "texts": node("BottegaTrainingSet", vae=["vae", 0], clip=["clip", 0], images=["pair", 0], resolution=128,
                      default_caption="a red circle")}
    graph["shape"]["inputs"]["targets"] = "TE.*=2"
    assert "1 step" in run(graph)["train"]["text"][0]


@pytest.fixture
def tiny(pack, output_folder):
    """tiny(steps, device, **more): a training of a tiny SD3 on a device, without the graph; its result."""
    from training_models import caption, latents, tiny_sd3
    training = pack.nodes.training

    def run(steps, device, name="hand", resume="", **recipe):
        model = tiny_sd3()
        model.load_device = torch.device(device)
        dataset = training.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
        settings = training.plan.settings.Settings(steps, 2, 1e-2, 2, 3, training.plan.recipe.Recipe(**recipe))
        progress = training.monitoring.progress.Progress(steps, "1")
        return training.training_run.train(model, dataset, settings, name, progress, resume=resume)
    return run


@pytest.mark.parametrize("back", [False, True], ids=["from the card over the CPU", "from the CPU over the card"])
def test_a_state_that_another_device_has_read_and_written_goes_on_bit_for_bit(tiny, device, card, back):
    here, there = ("cpu", device) if back else (device, "cpu")
    whole, half = tiny(4, here, f"whole_{back}"), tiny(2, here, f"half_{back}")
    between = tiny(2, there, f"half_{back}", resume=f"half_{back}")     # all of its steps are done: read and written
    same(between, half)
    same(tiny(4, here, f"half_{back}", resume=f"half_{back}"), whole)


def same(one, other):
    assert one.losses == other.losses
    for key, tensor in one.tensors.items():
        assert torch.equal(tensor.cpu(), other.tensors[key].cpu()), key


def test_a_step_that_does_not_fit_is_taken_in_smaller_parts(pack, tiny, card, monkeypatch):
    Session, needs, limit = pack.nodes.training.step.session.Session, [], card.limit
    take = Session.take_step

    def limited(session):
        card.forget()
        if needs:
            card.limit = card.memory.allocated + int(needs[0] * 0.8)
        before = card.memory.allocated
        try:
            take(session)
        finally:
            card.limit = limit
        needs.append(card.memory.peak - before)

    monkeypatch.setattr(Session, "take_step", limited)
    done = tiny(2, device="card:0", name="tight")
    assert len(done.losses) == 2 and needs[1] <= 0.8 * needs[0]
    assert any(note.startswith("Memory was full at step 2") for note in done.notes)


def test_a_training_step_waits_for_the_card_once(pack, tiny, card, monkeypatch):
    """For the loss and the norm of the gradient, which come in one transfer; samples are brought, nothing else."""
    Session, counts = pack.nodes.training.step.session.Session, []
    take = Session.take_step

    def counted(session):
        card.forget()
        take(session)
        counts.append((dict(card.waited), dict(card.moved), card.memory.peak))

    monkeypatch.setattr(Session, "take_step", counted)
    tiny(3, "card:0", "counted")
    waits = [sum(waited.values()) for waited, *_ in counts]
    assert waits[-1] == 1, counts[-1]
