"""What the tests of saving share: LoRAs to save, and what our loaders and the host's make of them."""

import pytest
from lora_models import weights


@pytest.fixture(scope="session")
def lora(pack):
    return pack.nodes.lora


@pytest.fixture(scope="session")
def room(pack, host):
    return pack.nodes.lora.saving.save_lora


@pytest.fixture
def source(pack, room):
    def source(tensors, strength=1.0, blocks="", clip=1.0, metadata=None):
        file = pack.nodes.lora.file.lora_files.LoraFile(tensors, metadata or {})
        return room.Source("a.safetensors", file, strength, clip, blocks)
    return source


@pytest.fixture
def expected(pack):
    """The weights that a chain of our loaders gives."""
    def apply(model, sources, clip=None):
        for s in sources:
            spec = pack.nodes.lora.block_weights.block_language.parse(s.blocks)
            model, clip, _ = pack.nodes.lora.applying.patching.apply_lora(model, clip, s.lora, s.strength_model,
                                                                          s.strength_clip, spec)
        return weights(model), clip and weights(clip)
    return apply


@pytest.fixture
def core(host):
    """The weights that the host's own loader gives for a file at strength 1."""
    def load(path, model, clip=None):
        if clip:
            weights(clip)  # a CLIP that was never loaded is loaded without its patches
        model, clip = host.nodes.LoraLoader().load_lora(model, clip, path.name, 1.0, 1.0)
        return weights(model), clip and weights(clip)
    return load
