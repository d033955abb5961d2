"""Train with the Critic on two processes against one, and with the base in slices against whole ones."""
import pytest
import torch
from real_host import GraphError
from safetensors.torch import load_file

DRAFT, REFL = "DRaFT: the last steps", "ReFL: one random step"
LONG = "a red circle on a white background, " * 20      # more tokens than the empty prompt is filled up to


def node(kind, **inputs):
    return {"class_type": kind, "inputs": {name: list(value) if isinstance(value, tuple) else value
                                           for name, value in inputs.items()}}


@pytest.fixture
def run(host, starter, output_folder):
    """run(name, devices, prompts, kept, **inputs): the starter's training; (all numbers of the LoRA, its report)."""
    def go(name, devices, prompts=("a red circle",), kept="", **inputs):
        graph = {
            "model": node("UNETLoader", unet_name=starter.MODEL, weight_dtype="default"),
            "clip": node("CLIPLoader", clip_name=starter.TEXT, type="sd3"),
            "vae": node("VAELoader", vae_name=starter.VAE),
            "words 0": node("CLIPTextEncode", text=prompts[0], clip=("clip", 0)),
            "words 1": node("CLIPTextEncode", text=prompts[-1], clip=("clip", 0)),
            "both": node("ConditioningCombine", conditioning_1=("words 0", 0), conditioning_2=("words 1", 0)),
            "none": node("CLIPTextEncode", text="", clip=("clip", 0)),
            "empty": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
            "train": node("BottegaCriticTrain", **dict(dict(
                model=("model", 0), positive=("both", 0) if prompts[1:] else ("words 0", 0), negative=("none", 0),
                latent_image=("empty", 0), steps=2, batch_size=2, learning_rate=1e-3, rank=4, method=REFL, last_steps=1,
                penalty=1.0, rubric="Value=high", seed=3, name=name, sampling_steps=3, cfg=2.0, scheduler="simple",
                seeds=0, vae=("vae", 0), devices=devices), **inputs))}
        shown, _ = host.run(graph)
        flat = load_file(output_folder / "loras" / f"{name}{kept}.safetensors")
        numbers = torch.cat([value.flatten().double() for _, value in sorted(flat.items())])
        return numbers, str(shown["train"])
    return go


def test_two_processes_climb_as_one_that_computes_a_picture_at_a_time(run, pack, monkeypatch):
    """The reward and Adam's first steps make much of how rows are grouped: one process with two at once and with one
    after the other are 7e-4 apart. The base in slices makes no difference to the bits, nor does memory that is full on
    one rank, for which both take a step again."""
    with monkeypatch.context() as patched:
        one = property(lambda self: 1, lambda self, rows: None)
        patched.setattr(pack.nodes.training.step.retry.Memory, "rows", one, raising=False)
        alone, _ = run("alone", "1")
    both, report = run("both", "2")
    assert (alone - both).norm() / alone.norm() < 5e-6 and alone.norm() > 0
    assert "2 devices: rank 0 (CPU) 1 pictures a step" in report
    session = pack.nodes.studio.critic_training.critic_training_session.RewardSession
    judge, failed = session.judge, []

    def full_once(self, *given):
        found = judge(self, *given)
        if self.step == 1 and not failed:
            failed.append("rank 0, in the middle of its second step")
            raise torch.OutOfMemoryError("full")
        return found
    monkeypatch.setattr(session, "judge", full_once)
    slices, report = run("slices", "2", share_base=True)
    assert torch.equal(both, slices) and failed
    assert "Memory was full at step 2: each block is computed again in the backward from there on." in report
    assert "Rank 1: Memory was full at step 2" in report
    assert "MB of them for the base's" in report


def test_slices_climb_through_several_steps_and_are_cut_and_go_on(run, pack, monkeypatch):
    """Prompts that cannot share a forward pass with the negative one, and a rank with fewer pictures than the other."""
    import comfy.model_management
    draft = {"prompts": (LONG, LONG + "red"), "method": DRAFT, "last_steps": 2, "batch_size": 3, "share_base": True}
    whole, _ = run("whole", "2", **{**draft, "share_base": False})
    progress = pack.nodes.studio.critic_training.critic_training_run.RewardProgress

    def cancelled(self, session):
        comfy.model_management.interrupt_current_processing()
    with monkeypatch.context() as patched:
        patched.setattr(progress, "take", cancelled)
        first, report = run("cut", "2", **draft, kept="_interrupted", seeds=1)
    assert "Cancelled after 1 of 2 steps" in report and not torch.equal(first, whole)
    slices, report = run("slices", "2", **draft, seeds=1, resume="cut")
    assert torch.equal(slices, whole)
    assert "| held out | 2 |" in report


def test_one_device_has_nobody_to_share_a_base_with(run):
    with pytest.raises(GraphError) as failed:
        run("alone", "1", share_base=True)
    assert "share_base: expected at least 2 in devices" in failed.value.args[0]["exception_message"]
