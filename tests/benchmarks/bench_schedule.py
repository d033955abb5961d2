"""Schedule LoRA: the time of a sampling with a strength that changes, as hooks that patch and beside the layers.

On a UNet and a DiT of real structure and reduced width; several keyframes, one of them at every second step.
"""
import time

import timing

ROUNDS, STEPS, RANK = 5, 8, 16
KEYFRAMES = ((0.0, 0.2), (0.25, 1.0), (0.5, 0.4), (0.75, -0.5))
NARROW = {"SD1.5": (dict(model_channels=64, context_dim=64, num_heads=4, num_head_channels=-1), (1, 4, 24, 24), 64),
          "Flux.1": (dict(hidden_size=384, num_heads=4, axes_dim=[16, 40, 40], context_in_dim=64, vec_in_dim=32,
                          depth=2, depth_single_blocks=4), (1, 16, 32, 32), 64)}


def main():
    options = timing.parser(__doc__, ROUNDS).parse_args()
    pack = timing.start_host("lora")
    rows, far = [], {}
    for name in NARROW:
        made, far[name] = compare(pack, name, options.rounds)
        rows += made
    timing.publish(
        "schedule", "A LoRA whose strength changes",
        f"Milliseconds of processor time, one thread, of a sampling of {STEPS} steps with guidance, "
        f"{len(KEYFRAMES)} keyframes; median of {options.rounds} interleaved rounds, ratios within a round. A LoRA of "
        f"rank {RANK} on every layer; the whole sampler of the host, the patching of unscheduled weights included.",
        timing.table(["model", "with", "ms", "to unscheduled, beside", "to unscheduled, patched"], rows),
        "Largest difference of the scheduled pictures, patched and beside, over the largest value: "
        + ", ".join(f"{name} {value:.1e}" for name, value in far.items()) + ".")


def compare(pack, name, rounds):
    import lora_models
    import torch
    from comfy.model_patcher import ModelPatcher
    changes, shape, width = NARROW[name]
    made, cpu = lora_models.build(name, "cpu", changes), torch.device("cpu")
    lora_models.fill(made)
    model = ModelPatcher(made, cpu, cpu)
    file = pack.nodes.lora.file.lora_files.LoraFile(lora_of(model), {})
    applying = pack.nodes.lora.applying
    hooks = {kind: applying.schedule.lora_hooks(file.tensors, 1.0, 1.0, (), KEYFRAMES, apply_as=kind)
             for kind in applying.bypass.APPLY_AS}
    sample = lambda patcher, group=None: sampled(patcher, shape, width, group)
    beside = applying.stack.apply_bypassed(model, None, file, 1.0, 1.0, ())[0]
    patched = applying.patching.apply_lora(model, None, file, 1.0, 1.0, ())[0]
    contenders = {"no LoRA": lambda: sample(model), "unscheduled, patched": lambda: sample(patched),
                  "unscheduled, beside": lambda: sample(beside),
                  "hooks that patch": lambda: sample(model, hooks["patch"]),
                  "hooks beside the layers": lambda: sample(model, hooks["bypass"])}
    seconds = timing.interleave({kind: processor_time(run) for kind, run in contenders.items()}, rounds)
    bases = seconds["unscheduled, beside"], seconds["unscheduled, patched"]
    found, wanted = (sample(model, hooks[kind]) for kind in ("bypass", "patch"))
    return ([(name, kind, timing.milliseconds(took), *(f"{timing.ratio(took, base):.2f}" for base in bases))
             for kind, took in seconds.items()], float((found - wanted).abs().max() / wanted.abs().max()))


def lora_of(patcher):
    import lora_models
    tensors = {}
    for seed, (key, weight) in enumerate(patcher.model.state_dict().items()):
        fits = key.startswith("diffusion_model.") and weight.ndim in (2, 4) and key.endswith(".weight")
        if fits and min(weight.shape[:2]) >= RANK:
            parts = lora_models.adapter("lora", tuple(weight.shape), seed, RANK)
            tensors |= {lora_models.kohya_name(key) + end: t * 0.1 for end, t in parts.items()}
    return tensors


def sampled(patcher, shape, width, hooks):
    import comfy.sample
    import torch
    draw = lambda *size: torch.randn(size, generator=torch.Generator().manual_seed(1))
    about = {"pooled_output": draw(1, 32)} | ({"hooks": hooks} if hooks else {})
    prompt = [[draw(1, 40, width), about]]
    with torch.inference_mode():
        return comfy.sample.sample(patcher, draw(*shape), STEPS, 3.0, "euler", "simple", prompt, prompt,
                                   torch.zeros(shape), disable_pbar=True, seed=1)


def processor_time(run):
    def timed():
        before = time.process_time()
        run()
        return time.process_time() - before
    return timed


if __name__ == "__main__":
    main()
