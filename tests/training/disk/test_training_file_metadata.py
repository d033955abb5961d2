"""What the LoRA file says of its making."""
import json

import pytest
from safetensors import safe_open
from training_models import caption, latents, tiny_sd3


def test_the_whole_configuration_is_in_the_file(pack, train):
    trained = train(tiny_sd3(), 2, rank=0, rate=0, ema=0.5)
    with safe_open(trained.path, "pt") as file:
        metadata = file.metadata()
    config = json.loads(metadata["bottega.config"])
    assert config["recipe"]["ema"] == 0.5 and config["rank"] == 16 and config["learning_rate"] > 0
    assert metadata["ss_optimizer"] == "adamw" and metadata["ss_lr_scheduler"] == "cosine, 1 warm-up steps"


@pytest.mark.parametrize("said, tags, settings", [("full", True, True), ("tags only", True, False),
                                                  ("none", False, False)])
def test_the_file_says_as_much_of_its_making_as_the_recipe_wants(pack, host, train, model, said, tags, settings):
    t = pack.nodes.training
    words = {t.data.dataset.TEXT: "secret word, tower"}
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(1)}], [caption(0, **words)])
    with safe_open(train(model, 1, dataset=dataset, metadata=said).path, "pt") as file:
        about = file.metadata()
    assert ("secret word" in str(about)) == tags and ("bottega.config" in about) == ("ss_seed" in about) == settings
    assert about["ss_network_dim"] == "4" and about["modelspec.architecture"].endswith("/lora")
    made = host.nodes.NODE_CLASS_MAPPINGS["BottegaRecipe"].execute(metadata=said).args[0]
    assert made.metadata == said
