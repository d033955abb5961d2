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


def mismatches(host, source, slot, target, name):
    """The type errors of a prompt that holds just this link; what else is missing in it does not matter."""
    prompt = {"1": {"class_type": source, "inputs": {}}, "2": {"class_type": target, "inputs": {name: ["1", slot]}}}
    if not host.nodes.NODE_CLASS_MAPPINGS[target].OUTPUT_NODE:
        prompt["3"] = {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}}
    _, errors = host.validate(prompt)
    complaints = errors["nodes"]["2"]["errors"] if "2" in errors.get("nodes", {}) else []
    return [error["details"] for error in complaints if error["type"] == "return_type_mismatch"]


@pytest.mark.parametrize("kind, target, name", INTO_OURS)
def test_core_outputs_connect_to_our_inputs(host, kind, target, name):
    assert mismatches(host, *SOURCES[kind], target, name) == []


@pytest.mark.parametrize("source, slot, target, name", OUT_OF_OURS)
def test_our_outputs_connect_to_core_inputs(host, source, slot, target, name):
    assert mismatches(host, source, slot, target, name) == []


def test_a_wrong_link_is_seen(host):
    assert mismatches(host, "EmptyImage", 0, "BottegaTrainLora", "model")
