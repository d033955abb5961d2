"""Tensors of a LoRA applied to a model by us and by the host."""
import pytest


@pytest.fixture
def load(pack):
    """Applies tensors as the node does and returns (model, clip, result)."""
    def apply(model, clip, tensors, blocks="", strength_model=1.0, strength_clip=1.0, metadata=None):
        lora = pack.nodes.lora.file.lora_files.LoraFile(tensors, metadata or {})
        spec = pack.nodes.lora.block_weights.block_language.parse(blocks)
        return pack.nodes.lora.applying.patching.apply_lora(model, clip, lora, strength_model, strength_clip, spec)
    return apply


@pytest.fixture
def core(host, pack):
    """Applies tensors with the host's own LoraLoader."""
    def apply(model, clip, tensors, strength=1.0, metadata=None):
        path = host.tmp / "output" / "loras" / "core.safetensors"
        pack.nodes.lora.file.lora_files.write_lora(path, tensors, metadata or {})
        return host.nodes.LoraLoader().load_lora(model, clip, "core.safetensors", strength, strength)
    return apply
