"""Cancel in the real host: a long node gives what it has, the graph goes on with it, and the next run is whole."""
import json
from copy import deepcopy

import pytest
from studio_graphs import node, sampler_graph, uneven_lora, write_lora

pytestmark = pytest.mark.usefixtures("measured_small")


@pytest.fixture(scope="module")
def file(loaded, host):
    return write_lora(host, uneven_lora(loaded.model, 0.9, 0.04), "cancelled.safetensors")


def graph(starter, long, shown):
    """The starter, what draws, the long node, and a node that shows its output number `shown`."""
    return sampler_graph(starter, "euler", 2) | {
        "long": long,
        "after": node("PreviewImage", images=["long", shown]),
    }


KSAMPLER = {"positive": ["words", 0], "negative": ["words", 0], "latent_image": ["size", 0], "vae": ["vae", 0],
            "seed": 7, "sampling_steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple",
            "rubric": "*=0; Balance=1"}


def best_of(starter):
    return graph(starter, node("BottegaBestOf", count=4, keep=4, seed=5, rubric="*=0; Balance=1", guider=["guider", 0],
                               sampler=["sampler", 0], sigmas=["sigmas", 0], latent_image=["size", 0],
                               vae=["vae", 0]), 0)


def effect(starter, file):
    prompt = graph(starter, node("BottegaBlockEffect", model=["model", 0], lora_name=file, strength_model=1.0,
                                 groups="each", mode="solo", seeds=1, value="pixels", **KSAMPLER), 1)
    return prompt | {"data": node("PreviewAny", source=["long", 4])}


def tune(starter, file):
    prompt = graph(starter, node("BottegaTuneBlocks", model=["model", 0], lora_name=file, strength_model=1.0,
                                 groups="J01", budget=4, seeds=1, held_out=3, method="coordinate", **KSAMPLER), 3)
    return prompt | {"data": node("PreviewAny", source=["long", 4]),
                     "load": node("BottegaLoadLora", model=["model", 0], lora_name=file, strength_model=1.0,
                                  strength_clip=1.0, blocks=["long", 0]),
                     "loaded": node("PreviewAny", source=["load", 2])}


def whole_again(host, prompt):
    """Runs it twice more: the first is not answered from what was cut, the second from the whole. Its text."""
    outputs, ran = host.run(deepcopy(prompt))
    assert "long" in ran and "ancelled" not in outputs["long"]["text"][0]
    assert "long" not in host.run(deepcopy(prompt))[1]
    return outputs


@pytest.mark.parametrize("done", [1, 3])
def test_best_of_n_gives_the_pictures_it_has(host, starter, cancelling, done):
    prompt = best_of(starter)
    prompt["long"]["inputs"]["seed"] = 10 * done    # the graph of this case alone
    with cancelling("long", done):
        outputs, _ = host.run(deepcopy(prompt))
    assert len(outputs["after"]["images"]) == done
    assert f"Cancelled after {done} of 4 pictures" in outputs["long"]["text"][0]
    assert len(whole_again(host, prompt)["after"]["images"]) == 4


def test_the_bar_of_best_of_n_counts_pictures_and_shows_each(host, starter):
    prompt = best_of(starter)
    prompt["long"]["inputs"]["seed"] = 77
    host.run(prompt)
    values = [data["value"] for event, data in host.events if event == "progress" and data["node"] == "long"]
    assert values == [1, 2, 3, 4]


def test_block_effect_gives_the_groups_it_knows(host, starter, file, cancelling):
    prompt = effect(starter, file)
    with cancelling("long", 4):     # none, all, J00, J01
        outputs, _ = host.run(deepcopy(prompt))
    data = json.loads(outputs["data"]["text"][0])[0]
    assert data["cancelled"] and [row["pixels"] is None for row in data["groups"]] == [False, False, True]
    assert "Cancelled after 4 of 5 pictures" in outputs["long"]["text"][0] and outputs["after"]["images"]
    assert json.loads(whole_again(host, prompt)["data"]["text"][0])[0]["pictures"] == 5


def test_training_with_the_critic_gives_the_lora_it_has(host, starter, cancelling, output_folder):
    prompt = graph(starter, node("BottegaCriticTrain", model=["model", 0], batch_size=1, steps=3, learning_rate=0.0,
                                 rank=2, method="DRaFT: the last steps", last_steps=1, penalty=1.0, name="cut",
                                 seeds=0, **KSAMPLER), 4)
    prompt["long"]["inputs"] |= {"rubric": '*=0; "mean S channel"=high'}
    prompt["load"] = node("LoraModelLoader", model=["model", 0], lora=["long", 0], strength_model=1.0, bypass=False)
    prompt["sampled"] = node("KSampler", model=["load", 0], seed=3, steps=1, cfg=1.0, scheduler="simple",
                             sampler_name="euler", positive=["words", 0], negative=["words", 0],
                             latent_image=["size", 0], denoise=1.0)
    prompt["seen"] = node("PreviewAny", source=["sampled", 0])
    with cancelling("long", 1):
        outputs, ran = host.run(deepcopy(prompt))
    assert "Cancelled after 1 of 3 steps" in outputs["long"]["text"][0] and "sampled" in ran
    assert outputs["after"]["images"] and (output_folder / "loras" / "cut_interrupted.safetensors").is_file()
    assert "**3 steps of 1 picture** on 1 prompt," in whole_again(host, prompt)["long"]["text"][0]


@pytest.mark.parametrize("value, held_out", [(3, 0), (4 + 4, 1), (4 + 8, 2)])
def test_tune_blocks_gives_the_best_it_has_and_the_held_out_seeds_it_looked_at(host, starter, file, cancelling, value,
                                                                               held_out):
    prompt = tune(starter, file)
    prompt["long"]["inputs"]["seed"] = value
    with cancelling("long", value):
        outputs, _ = host.run(deepcopy(prompt))
    data = json.loads(outputs["data"]["text"][0])[0]
    assert data["cancelled"] and len(data["trials"]) == min(value, 4)
    assert len(data["held_out"]["tuned"]["goals"] if held_out else []) == held_out
    assert (f"Cancelled after {held_out} of 3 held-out" if held_out else "**Cancelled") in outputs["long"]["text"][0]
    assert "12 of 12 keys used" in outputs["loaded"]["text"][0] and outputs["after"]["images"]
    assert len(json.loads(whole_again(host, prompt)["data"]["text"][0])[0]["held_out"]["tuned"]["goals"]) == 3
