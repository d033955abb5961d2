"""Core nodes and ours connect in both directions: the host's own type check, on every link that users will draw."""
import pytest

# A core node and its output, for each type that flows into the pack.
SOURCES = {
    "MODEL": ("UNETLoader", 0), "CLIP": ("CLIPLoader", 0), "IMAGE": ("EmptyImage", 0), "STRING": ("PrimitiveString", 0),
    "LATENT": ("EmptyLatentImage", 0), "CONDITIONING": ("CLIPTextEncode", 0), "LORA_MODEL": ("TrainLoraNode", 0),
}
INTO_OURS = [
    ("MODEL", "BottegaLoadLora", "model"), ("CLIP", "BottegaLoadLora", "clip"), ("STRING", "BottegaLoadLora", "blocks"),
    ("MODEL", "BottegaApplyLora", "model"), ("LORA_MODEL", "BottegaApplyLora", "lora"),
    ("LATENT", "BottegaCoreTrainingSet", "latents"), ("CONDITIONING", "BottegaCoreTrainingSet", "positive"),
    ("MODEL", "BottegaTrainLora", "model"), ("IMAGE", "BottegaCritique", "images"),
]
OUT_OF_OURS = [
    ("BottegaLoadLora", 0, "KSampler", "model"), ("BottegaLoadLora", 1, "CLIPTextEncode", "clip"),
    ("BottegaApplyLora", 0, "LoraLoaderModelOnly", "model"), ("BottegaTrainLora", 0, "LoraModelLoader", "lora"),
    ("BottegaTrainLora", 0, "SaveLoRA", "lora"), ("BottegaTrainLora", 1, "LossGraphNode", "loss"),
    ("BottegaTrainLora", 2, "PreviewAny", "source"), ("BottegaCritique", 0, "PreviewAny", "source"),
    ("BottegaCritique", 4, "PreviewImage", "images"), ("BottegaCritique", 5, "SaveImage", "images"),
]


def connects(host, source, slot, target, name):
    """The host's own check of a link, as it makes it for every prompt."""
    from comfy_execution.graph import get_input_info
    from comfy_execution.validation import validate_node_input
    nodes = host.nodes.NODE_CLASS_MAPPINGS
    wanted, _, _ = get_input_info(nodes[target], name)
    return validate_node_input(nodes[source].RETURN_TYPES[slot], wanted)


@pytest.mark.parametrize("kind, target, name", INTO_OURS)
def test_core_outputs_connect_to_our_inputs(host, kind, target, name):
    assert connects(host, *SOURCES[kind], target, name)


@pytest.mark.parametrize("source, slot, target, name", OUT_OF_OURS)
def test_our_outputs_connect_to_core_inputs(host, source, slot, target, name):
    assert connects(host, source, slot, target, name)


def test_a_wrong_link_is_refused(host):
    assert not connects(host, "EmptyImage", 0, "BottegaTrainLora", "model")
