"""Regional LoRA: what a step costs, and how far a picture drifts outside the mask.

Cost: one call of the model with and without the prompt in one batch, on models of real structure and reduced width.
Drift: the starter draws unseen prompts with its two LoRAs in the left half, beside the whole picture and beside none.
"""
import time

import timing
from on_starter import OnStarter, opened

ROUNDS, RANK, PROMPTS, STEPS = 5, 16, 6, 10
NARROW = {
    "SD1.5": (dict(model_channels=128, context_dim=256, num_heads=8, num_head_channels=-1), (1, 4, 32, 32), 77),
    "Flux.1": (dict(hidden_size=512, num_heads=4, axes_dim=[16, 56, 56], context_in_dim=256, vec_in_dim=32, depth=2,
                    depth_single_blocks=4), (1, 16, 40, 40), 64),
    "Wan2.1-1.3B": (dict(dim=512, num_heads=4, ffn_dim=2048, num_layers=4), (1, 16, 2, 32, 32), 64),
}
WIDTHS = {"Wan2.1-1.3B": 4096}


def main():
    parser = timing.parser(__doc__, ROUNDS)
    parser.add_argument("--prompts", type=int, default=PROMPTS, help="how many pictures the drift is measured on")
    options = parser.parse_args()
    with opened(Workshop, STEPS) as workshop:
        costs = [row for name in NARROW for row in workshop.cost(name, options.rounds)]
        drifts = [row for name in workshop.loras for row in workshop.drift(name, options.prompts)]
    timing.publish(
        "regional", "Regional LoRA",
        "Milliseconds of processor time of one call of the model, one thread: median of "
        f"{options.rounds} interleaved rounds; ratios within a round. LoRAs of rank {RANK} on every layer. A patch "
        "costs nothing in a call, having changed the weights before.",
        timing.table(["model", "with", "ms", "to one LoRA beside", "to one LoRA as a patch"], costs),
        f"Drift on the starter (SD3's joint attention), {options.prompts} unseen prompts, {STEPS} steps, guidance 3. "
        "Shares of the mean absolute change that the LoRA makes there when it is on the whole picture: outside, how "
        "far the picture is from the one without the LoRA (0 is best); inside, how far from the one with it (0 is "
        "best). Four columns of pixels of 128 on each side of the border are left out.",
        timing.table(["LoRA in the left half", "outside", "inside"], drifts))


class Workshop(OnStarter):
    """Models with one LoRA or several, and the starter with its own in the left half."""

    def __init__(self, pack, folder, steps):
        import install
        super().__init__(pack, folder, steps)
        self.loras = install.LORAS
        self.parse = self.part("lora.block_weights.block_language").parse
        self.file = self.part("lora.file.lora_files")

    def regional(self, model, lora, mask, **more):
        return self.part("lora.regional.apply_regional").apply_regional(model, lora, mask, 1.0, (), **more)[0]

    def cost(self, name, rounds):
        import torch
        model, shape, tokens = built(name)
        first, second = (self.file.LoraFile(lora_of(model, seed), {}) for seed in (0, 1000))
        left = half(torch)
        beside = self.part("lora.applying.stack").apply_bypassed
        one = self.regional(model, first, left)
        contenders = {"no LoRA": model,
                      "one LoRA as a patch": self.part("lora.applying.patching").apply_lora(
                          model, None, first, 1.0, 1.0, ())[0],
                      "one LoRA beside": beside(model, None, first, 1.0, 1.0, ())[0],
                      "one region": one,
                      "two regions of two LoRAs": self.regional(one, second, 1 - left)}
        if name != "Flux.1":
            own = words(name, tokens)[:1]
            contenders["one region with words of its own"] = self.regional(model, first, left, words=own)
        seconds = timing.interleave({kind: self.call(each, name, shape, tokens) for kind, each in contenders.items()},
                                    rounds)
        compared = seconds["one LoRA beside"], seconds["one LoRA as a patch"]
        return [(name, kind, timing.milliseconds(took), *(f"{timing.ratio(took, base):.2f}" for base in compared))
                for kind, took in seconds.items()]

    def call(self, patcher, name, shape, tokens):
        """A contender: one call with and without the prompt, the model patched and injected before and freed after."""
        import torch
        x = torch.randn(2 * shape[0], *shape[1:])
        options = {"cond_or_uncond": [0, 1], "wrappers": patcher.wrappers}
        more = {} if name != "Flux.1" else {"y": torch.zeros(2, 32), "guidance": torch.ones(2)}

        def run():
            patcher.patch_model()
            patcher.inject_model()
            try:
                with torch.inference_mode():
                    before = time.process_time()
                    patcher.model.apply_model(x, torch.full((2,), 0.5), c_crossattn=words(name, tokens),
                                              transformer_options=options, **more)
                    return time.process_time() - before
            finally:
                patcher.eject_model()
                patcher.unpatch_model()
        return run

    def drift(self, name, prompts):
        import evaluate
        import install
        import torch
        lora = self.file.read_lora(install.HERE / name)
        regional = self.regional(self.starter.model, lora, half(torch))
        whole = self.part("lora.applying.patching").apply_lora(self.starter.model, None, lora, 1.0, 1.0, ())[0]
        outside, inside = [], []
        with torch.inference_mode():
            for seed, scene in enumerate(evaluate.unseen_scenes(prompts, 5)):
                without, with_it, found = (self.starter.picture(scene.prompt, seed, each)[0].movedim(-1, 0)
                                           for each in (self.starter.model, whole, regional))
                gap = lambda a, b, part: float((a - b)[..., part].abs().mean())
                left, right = slice(0, 60), slice(68, 128)
                outside.append(gap(found, without, right) / gap(with_it, without, right))
                inside.append(gap(found, with_it, left) / gap(with_it, without, left))
        return [(name, *(f"{sum(each) / len(each):.2f}" for each in (outside, inside)))]


def half(torch):
    mask = torch.zeros(1, 64, 64)
    mask[..., :32] = 1
    return mask


def words(name, tokens):
    import torch
    return torch.randn(2, tokens, WIDTHS.get(name, 256), generator=torch.Generator().manual_seed(1))


def built(name):
    import lora_models
    import torch
    from comfy.model_patcher import ModelPatcher
    changes, shape, tokens = NARROW[name]
    made = lora_models.build(name, "cpu", changes)
    lora_models.fill(made)
    cpu = torch.device("cpu")
    return ModelPatcher(made, cpu, cpu), shape, tokens


def lora_of(patcher, seed):
    import lora_models
    tensors = {}
    for number, (key, weight) in enumerate(patcher.model.state_dict().items()):
        fits = key.startswith("diffusion_model.") and weight.ndim in (2, 4) and key.endswith(".weight")
        if fits and min(weight.shape[:2]) >= RANK:
            parts = lora_models.adapter("lora", tuple(weight.shape), seed + number, RANK)
            tensors |= {lora_models.kohya_name(key) + end: t * 0.1 for end, t in parts.items()}
    return tensors


if __name__ == "__main__":
    main()
