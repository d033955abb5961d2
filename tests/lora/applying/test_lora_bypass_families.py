"""LoRAs beside the layers on every family that trains small: a whole call of the model is that of patched weights."""
import sys
from pathlib import Path

import lora_models as small
import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "training"))

from training_models import FAMILIES, build, samples  # noqa: E402

KINDS = ("dora", "loha", "lokr", "oft")     # beside plain LoRA, in turn


@pytest.fixture
def predicted(pack):
    """predicted(patcher, family): what a model says of noise, with its patches or its branches."""
    def run(patcher, family):
        denoiser = pack.nodes.training.step.denoiser.Denoiser(patcher, 1.0)
        sample = denoiser.encode(samples(pack, family, 1)[0])
        noise = torch.randn(sample.latent.shape, generator=torch.Generator().manual_seed(5))
        sigma = patcher.model.model_sampling.percent_to_sigma(0.5)
        patcher.patch_model()
        patcher.inject_model()
        try:
            with torch.no_grad():
                return denoiser(noise * sigma, torch.tensor([float(sigma)]), [sample.conds])
        finally:
            patcher.eject_model()
            patcher.unpatch_model()
    return run


@pytest.mark.parametrize("number, name", enumerate(FAMILIES))
def test_a_call_of_the_model_is_that_of_patched_weights(pack, predicted, number, name):
    lora, model = pack.nodes.lora, build(FAMILIES[name])
    plain = predicted(model, FAMILIES[name])
    for kind in ("lora", KINDS[number % len(KINDS)]):
        tensors = small.lora_for(model, kind)
        if kind == "lora":                      # whose size the tiny models do not stand at strength 1
            tensors = {key: t * 0.3 if t.ndim else t for key, t in tensors.items()}
        arguments = model, None, lora.file.lora_files.LoraFile(tensors, {}), 0.5, 0.0, ()
        patched = predicted(lora.applying.patching.apply_lora(*arguments)[0], FAMILIES[name])
        bypassed, _, result = lora.applying.stack.apply_bypassed(*arguments)
        found = predicted(bypassed, FAMILIES[name])
        change = (patched - plain).abs().max()
        print(f"{name}, {kind}: change {change:.3g}, apart {(found - patched).abs().max():.3g}")
        assert change > 1e-3 and (found - patched).abs().max() < 1e-3 * change
        assert ": 0 weights by branches" not in result.notes[-1]
