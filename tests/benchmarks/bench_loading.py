"""Loading a LoRA: our block weights against the host's comfy.sd.load_lora_for_models, on the same tensors.

Models of real depth whose weights are on the meta device; a LoRA for every matrix and kernel, of rank 2, because
neither loader looks into its tensors.
"""
from pathlib import Path

import timing

ROUNDS = 25
MODELS = ("SD1.5", "SDXL", "Flux.1")
HOST, ONES = "host", "ours, every block at 1"
HALF, ALMOST_ALL = "ours, every second block at 0", "ours, all but one block at 0"
AGAIN = ", again on that model"


def main():
    options = timing.parser(__doc__, ROUNDS).parse_args()
    pack = timing.start_host("lora")
    rows = [row for name in MODELS for row in compare(pack, name, options.rounds)]
    calls = {name: calls_of_add_patches(pack, meta_model(name)) for name in MODELS}
    reads, size, held = reading(pack, options.rounds)
    timing.publish(
        "loading", "Loading a LoRA",
        "Milliseconds from the tensors of a file to a patched clone of the model (no text encoder): median of "
        f"{options.rounds} interleaved runs. Ratio: to the host, within a round. Again: the model has had a LoRA "
        "before, as when only the block weights change; otherwise everything is worked out anew.",
        timing.table(["model", "loader", "ms", "ratio"], rows),
        "Calls of add_patches when every block has its own ratio: "
        + ", ".join(f"{name} {count}" for name, count in calls.items()) + ".",
        "A block weight changed on a Flux.1 of full depth and a twelfth of its width (real weights, 32-bit): "
        "milliseconds until sampling could begin. A patch writes every changed weight, so it grows with the model; a "
        "branch does not.",
        timing.table(["apply_as", "ms", "MB of weights kept twice", "MB of branches"], moved_bar(pack, options.rounds)),
        timing.table(["file of an SD1.5 LoRA", "ms"], reads),
        f"Tensors held after two files of {size:.1f} MB were loaded: {held:.1f} MB.")


def compare(pack, name, rounds):
    seconds = timing.interleave(contenders(pack, name), rounds)
    return [(name, loader, timing.milliseconds(seconds[loader]), f"{timing.ratio(seconds[loader], seconds[HOST]):.2f}")
            for loader in seconds]


def contenders(pack, name):
    import comfy.sd
    import lora_models
    model = meta_model(name)
    tensors = lora_models.lora_for(model, "lora")
    specs = {ONES: "", HALF: muting_every_second_block(pack, model),
             ALMOST_ALL: f"default=0; {blocks_of(pack, model)[5]}=1"}
    found = {HOST: timing.timed(lambda: comfy.sd.load_lora_for_models(model, None, tensors, 1.0, 0.0))}
    for label, blocks in specs.items():
        found[label] = timing.timed(ours(pack, model, tensors, blocks, anew=True))
        found[label + AGAIN] = timing.timed(ours(pack, model, tensors, blocks))
    return found


def ours(pack, model, tensors, blocks, anew=False):
    lora = pack.nodes.lora.file.lora_files.LoraFile(tensors, {})

    def load():
        if anew:
            pack.nodes.lora.model.key_maps._known.clear()
        spec = pack.nodes.lora.block_weights.block_language.parse(blocks)
        return pack.nodes.lora.applying.patching.apply_lora(model, None, lora, 1.0, 1.0, spec)

    return load


def muting_every_second_block(pack, model):
    return ",".join(blocks_of(pack, model)[::2]) + "=0"


def blocks_of(pack, model):
    places = pack.nodes.lora.model.blocks.model_places(model.model.state_dict()).values()
    return list(dict.fromkeys(place.alias for place in places))


def calls_of_add_patches(pack, model):
    """How often our loader calls add_patches, each of which walks the whole model, with a ratio for every block."""
    from unittest import mock

    import comfy.model_patcher
    import lora_models
    tensors = lora_models.lora_for(model, "lora")
    patcher = comfy.model_patcher.ModelPatcher
    with mock.patch.object(patcher, "add_patches", autospec=True, side_effect=patcher.add_patches) as add:
        ours(pack, model, tensors, "*=linear(0.1, 1)")()
    return add.call_count


def moved_bar(pack, rounds):
    """From a changed block weight to a model that is ready to sample, as a patch and as branches."""
    import lora_models
    import torch
    from comfy.model_patcher import ModelPatcher
    narrow = dict(hidden_size=256, num_heads=2, axes_dim=[16, 56, 56], context_in_dim=32, vec_in_dim=32)
    model = ModelPatcher(lora_models.build("Flux.1", "cpu", narrow), torch.device("cpu"), torch.device("cpu"))
    applying, kept = pack.nodes.lora.applying, {}
    lora = pack.nodes.lora.file.lora_files.LoraFile(lora_models.lora_for(model, "lora"), {})
    spec = pack.nodes.lora.block_weights.block_language.parse("D00=0.5")

    def patch():
        found = applying.patching.apply_lora(model, None, lora, 1.0, 1.0, spec)[0]
        found.patch_model()
        kept["patch"] = sum(saved.weight.nbytes for saved in found.backup.values())
        return found.unpatch_model

    def bypass():
        found = applying.stack.apply_bypassed(model, None, lora, 1.0, 1.0, spec)[0]
        found.inject_model()
        kept["bypass"] = sum(branch.bytes() for row in found.attachments[applying.bypass.KEY].branches.values()
                             for branch in row)
        return found.eject_model

    seconds = timing.interleave({"patch": timed_start(patch), "bypass": timed_start(bypass)}, rounds)
    size = lambda name: f"{kept[name] / 1e6:.1f}"
    return [("patch", timing.milliseconds(seconds["patch"]), size("patch"), "0"),
            ("bypass", timing.milliseconds(seconds["bypass"]), "0", size("bypass"))]


def timed_start(start):
    """Seconds that `start` takes, without what it gives back to be called afterwards."""
    import time

    def run():
        began = time.perf_counter()
        end = start()
        took = time.perf_counter() - began
        end()
        return took
    return run


def reading(pack, rounds):
    """A file of a LoRA read for the first time and again, and the MB of tensors held after two files."""
    import tempfile

    import lora_models
    files = pack.nodes.lora.file.lora_files
    tensors = lora_models.lora_for(meta_model("SD1.5"), "lora")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.safetensors" for name in "ab"]
        for path in paths:
            files.write_lora(path, tensors, {})
        first = timing.timed(lambda: files.read_lora(paths[0]))
        files.read_lora_cached(paths[1])
        again = timing.timed(lambda: files.read_lora_cached(paths[1]))
        seconds = timing.interleave({"read": first, "re-run with other blocks": again}, rounds)
        size = paths[0].stat().st_size / 1e6
        held = sum(t.nbytes for file in files._last_read.values() for t in file.tensors.values()) / 1e6
        del tensors
        files._last_read.clear()
    return [(what, timing.milliseconds(took)) for what, took in seconds.items()], size, held


def meta_model(name):
    import comfy.model_patcher
    import lora_models
    import torch
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(lora_models.build(name, "meta"), cpu, cpu)


if __name__ == "__main__":
    main()
