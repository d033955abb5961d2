"""What a training takes of a card, for whole models on cards of several sizes: computed, not measured.

The host's own model classes are built at full size without numbers (the meta device), and a step of the training is run
on them without numbers (nodes/training/step/memory_trace.py), which counts what is held at once: weights, the LoRA with
its gradient and AdamW's moments, and what the forward keeps for the backward. One picture of 1024 x 1024 (SD1.5: 512)
a step, the family's usual rank.
"""
import os
from functools import partial

import timing

CARDS = (8, 12, 16, 24, 32)             # GB
TAKEN = 1.0                             # GB of each for the driver, the screen and gaps of the allocator
GB, MB = 2 ** 30, 2 ** 20
# architecture of tests/lora/architectures.json: (title, latent, text [tokens, width], pooled width, options)
MODELS = {
    "SD1.5": ("SD1.5, 512", (4, 64, 64), (77, 768), 0),
    "SDXL": ("SDXL", (4, 128, 128), (77, 2048), 1280),
    "Z-Image": ("Z-Image", (16, 128, 128), (128, 2560), 0),
    "Flux.2-klein-4B": ("Flux.2 klein 4B", (128, 64, 64), (512, 7680), 0),
    "Flux.2-klein-9B": ("Flux.2 klein 9B", (128, 64, 64), (512, 12288), 0),
    "Flux.1": ("Flux.1 dev", (16, 128, 128), (256, 4096), 768),
    "Qwen-Image": ("Qwen-Image", (16, 1, 128, 128), (128, 3584), 0),
    "Wan2.1/2.2-14B-T2V": ("Wan 2.2 14B, an expert, one frame", (16, 1, 128, 128), (512, 4096), 0),
}


def main():
    parser = timing.parser(__doc__, 1)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    options = parser.parse_args()
    pack = timing.start_host("training", "lora")
    rows = []
    for name in options.models:
        sizes = Sizes(pack, name)
        print(name, vars(sizes), flush=True)
        rows += [(MODELS[name][0], kind, *(sizes.cell(kind, card) for card in CARDS), f"{sizes.saved / MB:,.0f}")
                 for kind in ("bf16", "8-bit")]
    timing.publish("memory", "What a training takes of a card, computed", __doc__.split("\n", 2)[2].strip(),
                   timing.table(
                       ["model", "weights", *(f"{card} GB" for card in CARDS), "8-bit moments, MB less"], rows),
                   f"Each cell: GB of the card, {TAKEN:g} of them for driver, screen and the allocator's gaps, and "
                   "what is done so that it fits: nothing (kept), blocks computed again (recomputed), or "
                   "that and so many blocks swapped to the computer's memory. AdamW's moments in 8 bits change what is "
                   "learnt and so come last: only where the cell says so, and only if the recipe allows them. The "
                   "sizes are bytes that tensors hold, counted on a run without numbers; no card was there to measure "
                   "them on.")


class Sizes:
    """Bytes of one model: weights by kind, the LoRA with gradient and moments, a step kept and recomputed."""

    def __init__(self, pack, name):
        import torch
        part = partial(timing.part, pack)
        session = self.session(part, name)
        network = session.model.diffusion_model
        numbers = [weight.numel() for weight in network.parameters()]
        matrices = [weight.numel() for weight in network.parameters() if weight.ndim > 1]
        # 8-bit files keep vectors at 16 bits, and a layer is unpacked while it computes.
        self.weights = {"bf16": 2 * sum(numbers), "8-bit": 2 * sum(numbers) - sum(matrices)}
        self.unpacked = {"bf16": 0, "8-bit": 2 * max(matrices)}
        self.blocks = {kind: sorted((sum(weight.numel() * (2 if kind == "bf16" or weight.ndim < 2 else 1)
                                         for weight in block.parameters()) for block in
                                     part("training.step.memory_plan").swappable_blocks(network)), reverse=True)
                       for kind in self.weights}
        self.lora = 5 * 4 * session.adapters.flat.numel()
        moments = part("training.step.small_moments")
        self.saved = moments.held_bytes(session.optimizer) - moments.small_bytes(session.adapters)
        self.rank = session.settings.rank
        with torch.inference_mode(False):
            self.step = {"kept": part("training.step.memory_trace").step_peak(session, 1, False),
                         "recomputed": part("training.step.memory_trace").step_peak(session, 1, True)}

    def session(self, part, name):
        import comfy.model_patcher
        import torch
        from training_models import caption
        title, latent, text, pooled = MODELS[name]
        patcher = comfy.model_patcher.ModelPatcher(whole(name), torch.device("cpu"), torch.device("cpu"))
        options = {"attention_mask": torch.ones(1, text[0], dtype=torch.long)} if name in ("Z-Image", ) else {}
        dataset = part("training.data.dataset").from_core_nodes(
            [{"samples": torch.zeros(1, *latent)}], [caption(0, *text, pooled=pooled, **options)])
        settings = part("training.plan.settings").Settings(1, 1, 1e-4, 0, 0)
        session = part("training.step.session").Session(patcher, dataset, settings, None)
        session.prepare(True)
        return session

    def cell(self, kind, card):
        room = (card - TAKEN) * GB
        fixed = self.weights[kind] + self.lora + self.unpacked[kind]
        for way in ("kept", "recomputed"):
            if fixed + self.step[way] <= room:
                return f"{self.shown(fixed + self.step[way])} {way}"
        for moments, said in ((0, ""), (self.saved, ", 8-bit moments")):
            for count in range(3, len(self.blocks[kind]) + 1):
                saved = sum(self.blocks[kind][-count:-2] if count < len(self.blocks[kind]) else self.blocks[kind][2:])
                if fixed + self.step["recomputed"] - saved - moments <= room:
                    return f"{self.shown(fixed + self.step['recomputed'] - saved - moments)}, {count} swapped{said}"
        return f"no ({self.shown(fixed + self.step['recomputed'] - sum(self.blocks[kind][2:]) - self.saved)})"

    @staticmethod
    def shown(size):
        return f"{size / GB + TAKEN:.1f}"


def whole(name):
    """The host's model of an architecture at full size in bf16, without numbers."""
    import comfy.ops
    import comfy.supported_models
    import torch
    from lora_models import ARCHITECTURES
    entry = ARCHITECTURES[name]
    config = {key: getattr(torch, value) if value == "float32" else value for key, value in entry["config"].items()}
    made = getattr(comfy.supported_models, entry["class"])(config)
    made.set_inference_dtype(torch.bfloat16, None)
    made.custom_operations = comfy.ops.manual_cast
    model = made.get_model({}, "diffusion_model.", device="meta")
    model.diffusion_model.to(torch.bfloat16).requires_grad_(False)
    return model


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
