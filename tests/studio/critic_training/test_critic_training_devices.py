"""Train with the Critic on two processes against one."""
import torch
from safetensors.torch import load_file

STEPS = 2


def test_two_processes_climb_as_one_that_computes_a_picture_at_a_time(host, pack, starter, output_folder, monkeypatch):
    """The reward and Adam's first steps make much of how rows are grouped: one process with two at once and with one
    after the other are 7e-4 apart."""
    def node(kind, **inputs):
        return {"class_type": kind, "inputs": {name: list(value) if isinstance(value, tuple) else value
                                               for name, value in inputs.items()}}

    def run(devices):
        shown, _ = host.run({
            "model": node("UNETLoader", unet_name=starter.MODEL, weight_dtype="default"),
            "clip": node("CLIPLoader", clip_name=starter.TEXT, type="sd3"),
            "vae": node("VAELoader", vae_name=starter.VAE),
            "words": node("CLIPTextEncode", text="a red circle", clip=("clip", 0)),
            "none": node("CLIPTextEncode", text="", clip=("clip", 0)),
            "empty": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
            "train": node("BottegaCriticTrain", model=("model", 0), positive=("words", 0), negative=("none", 0),
                          latent_image=("empty", 0), steps=STEPS, batch_size=2, learning_rate=1e-3, rank=4,
                          method="ReFL: one random step", last_steps=1, penalty=1.0, rubric="Value=high", seed=3,
                          name=f"on_{devices}", sampling_steps=3, cfg=2.0, scheduler="simple", seeds=0, vae=("vae", 0),
                          devices=devices)})
        flat = load_file(output_folder / "loras" / f"on_{devices}.safetensors")
        return torch.cat([value.flatten().double() for _, value in sorted(flat.items())]), str(shown["train"])

    with monkeypatch.context() as patched:
        one = property(lambda self: 1, lambda self, rows: None)
        patched.setattr(pack.nodes.training.step.retry.Memory, "rows", one, raising=False)
        alone, _ = run("1")
    both, report = run("2")
    assert (alone - both).norm() / alone.norm() < 5e-6 and alone.norm() > 0
    assert "2 devices: rank 0 (CPU) 1 pictures a step" in report
