"""The host as it runs where the pretended card is its only accelerator."""
import comfy.model_management
import torch
from pretended_card import CARD, CardMode, converted, register


def install(patch) -> CardMode:
    """Makes the host take the card for its device, through a MonkeyPatch; returns the mode to run it in."""
    device, management = register(), comfy.model_management
    patch.setattr(torch.nn.Module, "_apply", converted)
    host = {"get_torch_device": lambda: device, "cpu_state": management.CPUState.GPU,
            "vram_state": management.VRAMState.NORMAL_VRAM, "NUM_STREAMS": 0,
            "get_free_memory": free_memory, "get_total_memory": total_memory,
            "should_use_fp16": lambda *_, **__: False, "should_use_bf16": lambda *_, **__: False,
            "get_all_torch_devices": lambda exclude_current=False: [] if exclude_current else [device],
            "soft_empty_cache": lambda *_, **__: None, "synchronize": lambda *_, **__: None,
            "text_encoder_device": lambda: device}
    host |= {name: lambda *_, **__: False for name in vars(management) if name.startswith("supports_") and
             name.endswith("_compute")}
    for name, value in host.items():
        patch.setattr(management, name, value)
    counted = {"memory_allocated": lambda *_: CARD.memory.allocated,
               "max_memory_allocated": lambda *_: CARD.memory.peak,
               "reset_peak_memory_stats": lambda *_: CARD.memory.forget_peak()}
    for name, value in counted.items():
        patch.setattr(torch.accelerator, name, value)
    return CardMode()


def free_memory(device=None, torch_free_too=False):
    free = 16 * 2**30 if device is not None and device.type == "cpu" else CARD.free
    return (free, free) if torch_free_too else free


def total_memory(device=None, torch_total_too=False):
    total = 32 * 2**30 if device is not None and device.type == "cpu" else CARD.limit
    return (total, total) if torch_total_too else total


def unload() -> None:
    """Sends every model to the CPU, as the executor would: in inference mode."""
    with torch.inference_mode():
        comfy.model_management.unload_all_models()


def offload_between_nodes(host, patch) -> None:
    """Sends every model back to the CPU before each node runs, as other packs' nodes do."""
    send = host.server.send_sync

    def watched(event, data, sid=None):
        if event == "executing":
            unload()
        send(event, data, sid)

    patch.setattr(host.server, "send_sync", watched)


class OntoCard:
    """An IMAGE or MASK as a pack that keeps its pictures on the device hands it on."""
    INPUT_TYPES = classmethod(lambda cls: {"required": {"images": ("IMAGE",)}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "move", "test"

    def move(self, images):
        return (images.to(comfy.model_management.get_torch_device()),)


class TinyVision:
    """A vision-language text encoder of random weights."""
    INPUT_TYPES = classmethod(lambda cls: {"required": {"family": ("STRING", {"default": "Qwen3-VL"})}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("CLIP",), "make", "test"

    def make(self, family):
        import pytest
        from vision_models import FAMILIES
        return (FAMILIES[family](pytest.MonkeyPatch()),)


class TinyClipVision:
    """A CLIP vision model of random weights."""
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("CLIP_VISION",), "make", "test"

    def make(self):
        from tiny_clip_vision import tiny_clip_vision
        return (tiny_clip_vision(),)


class TinyModel:
    """An SD3 of random weights in a dtype, or with fp8 layers."""
    INPUT_TYPES = classmethod(lambda cls: {"required": {"kind": ("STRING", {"default": "bfloat16"})}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "make", "test"

    def make(self, kind):
        from training_models import tiny_sd3
        if kind.startswith("float8"):
            from training_bases import quantised_sd3
            return (quantised_sd3(kind, full_precision_matrix_mult=True),)
        return (tiny_sd3(dtype=getattr(torch, kind)),)


class TinyCaption:
    """A CONDITIONING for TinyModel."""
    INPUT_TYPES = classmethod(lambda cls: {"required": {"seed": ("INT", {"default": 0})}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("CONDITIONING",), "make", "test"

    def make(self, seed):
        from training_models import caption
        return (caption(seed),)


def add_test_nodes(nodes) -> None:
    for kind in (OntoCard, TinyVision, TinyClipVision, TinyModel, TinyCaption):
        nodes.NODE_CLASS_MAPPINGS[kind.__name__] = kind
