"""Loading a LoRA: our block weights against the host's comfy.sd.load_lora_for_models, on the same tensors.

Models of real depth whose weights are on the meta device; a LoRA for every matrix and kernel, of rank 2, because
neither loader looks into its tensors.
"""
import timing

ROUNDS = 25
MODELS = ("SD1.5", "SDXL", "Flux.1")
HOST, ONES, HALF = "host", "ours, every block at 1", "ours, every second block at 0"


def main():
    options = timing.parser(__doc__, ROUNDS).parse_args()
    pack = timing.start_host("lora")
    rows = [row for name in MODELS for row in compare(pack, name, options.rounds)]
    timing.publish(
        "loading", "Loading a LoRA",
        "Milliseconds from the tensors of a file to a patched clone of the model (no text encoder): median of "
        f"{options.rounds} interleaved runs. Ratio: to the host, within a round.",
        timing.table(["model", "loader", "ms", "ratio"], rows))


def compare(pack, name, rounds):
    seconds = timing.interleave(contenders(pack, name), rounds)
    return [(name, loader, timing.milliseconds(seconds[loader]), f"{timing.ratio(seconds[loader], seconds[HOST]):.2f}")
            for loader in seconds]


def contenders(pack, name):
    import comfy.sd
    import lora_models
    model = meta_model(name)
    tensors = lora_models.lora_for(model, "lora")
    return {HOST: timing.timed(lambda: comfy.sd.load_lora_for_models(model, None, tensors, 1.0, 0.0)),
            ONES: timing.timed(ours(pack, model, tensors, "")),
            HALF: timing.timed(ours(pack, model, tensors, muting_every_second_block(pack, model)))}


def ours(pack, model, tensors, blocks):
    lora = pack.nodes.lora.files.LoraFile(tensors, {})
    return lambda: pack.nodes.lora.patching.apply_lora(
        model, None, lora, 1.0, 1.0, pack.nodes.lora.language.parse(blocks))


def muting_every_second_block(pack, model):
    places = pack.nodes.lora.blocks.model_places(model.model.state_dict()).values()
    return ",".join(list(dict.fromkeys(place.alias for place in places))[::2]) + "=0"


def meta_model(name):
    import comfy.model_patcher
    import lora_models
    import torch
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(lora_models.build(name, "meta"), cpu, cpu)


if __name__ == "__main__":
    main()
