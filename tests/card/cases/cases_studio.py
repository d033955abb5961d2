"""The studio on the card: guidance with every decoder and a push, the searches, and training with the critic."""
import pytest
from cases_loras import sampled, trained
from studio_graphs import node

KSAMPLER = {"positive": ["words", 0], "negative": ["empty", 0], "latent_image": ["size", 0], "vae": ["vae", 0],
            "seed": 7, "sampling_steps": 2, "cfg": 2.0, "sampler_name": "euler", "scheduler": "simple"}
CHEAP = "*=0; Balance=1"


def guided(base, decoder, push=0.0, **more):
    return base | sampled(["steer", 0]) | {
        "steer": node("BottegaSteer", **({
            "model": ["model", 0], "rubric": "Balance=high", "strength": 12.0, "start": 0.0, "end": 1.0,
            "norm_limit": 0.15, "decoder": decoder, "push": push, "push_end": 1.0, "vae": ["vae", 0]} | more))}


@pytest.mark.parametrize("decoder, push, limit", [
    ("auto", 0.0, 1.0), ("latent colours", 0.1, 1.0), ("VAE", 0.0, 1.0), ("fitted to the VAE", 0.1, 0.1)])
def test_guidance_sees_through_every_decoder(run, base, decoder, push, limit):
    assert run(guided(base, decoder, push, pixel_limit=limit))["seen"]["images"]


def test_guidance_with_a_push_in_every_way_of_holding_the_model(run, base, mode):
    assert run(guided(base, "auto", 0.1))["seen"]["images"]


def test_the_searches_run_in_every_way_of_holding_the_model(run, base, taught, mode):
    run(trained(taught, "LoRA", name="card_searched"))
    lora = {"model": ["model", 0], "lora_name": "card_searched.safetensors", "strength_model": 1.0, "groups": "J01"}
    outputs = run(base | {
        "guider": node("BasicGuider", model=["model", 0], conditioning=["words", 0]),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
        "sigmas": node("BasicScheduler", model=["model", 0], scheduler="simple", steps=2, denoise=1.0),
        "best": node("BottegaBestOf", count=2, keep=1, seed=5, rubric=CHEAP, guider=["guider", 0],
                     sampler=["sampler", 0], sigmas=["sigmas", 0], latent_image=["size", 0], vae=["vae", 0]),
        "sheet": node("PreviewImage", images=["best", 4]),
        "effect": node("BottegaBlockEffect", mode="solo", seeds=1, value="pixels", rubric=CHEAP, **lora, **KSAMPLER),
        "grid": node("BottegaLoraGrid", model=["model", 0], loras="card_searched", strengths="1", blocks="J01=0.5",
                     rubric=CHEAP, **{**KSAMPLER, "seeds": 1}),
        "tune": node("BottegaTuneBlocks", budget=3, seeds=1, held_out=1, method="coordinate", rubric=CHEAP, **lora,
                     **KSAMPLER),
    })
    assert outputs["sheet"]["images"] and all(outputs[name]["text"] for name in ("effect", "grid", "tune"))


@pytest.mark.parametrize("method", ["DRaFT: the last steps", "ReFL: one random step"])
def test_training_with_the_critic(run, base, method):
    asked = {key: value for key, value in KSAMPLER.items() if key != "sampler_name"}
    outputs = run(base | {"train": node(
        "BottegaCriticTrain", model=["model", 0], steps=1, batch_size=1, learning_rate=1e-3, rank=2, method=method,
        last_steps=1, penalty=1.0, rubric=CHEAP, name=f"card_{method[:4]}", seeds=1, **asked)})
    assert "1 step" in outputs["train"]["text"][0]


def test_the_prompt_critic_asks_a_vision_model(run, base):
    asked = {key: value for key, value in KSAMPLER.items() if key not in ("positive", "negative")}
    outputs = run(base | {
        "vision": node("TinyVision", family="Qwen3-VL"),
        "rewrite": node("BottegaRewrite", clip=["clip", 0], model=["model", 0], vision=["vision", 0],
                        prompt="a red circle", negative_prompt="", seeds=1, rounds=1, rubric=CHEAP, max_length=16,
                        **asked),
        "told": node("PreviewAny", source=["rewrite", 3]),
    })
    assert "Round 1" in outputs["told"]["text"][0]


def test_guidance_waits_for_the_card_no_more_often_than_the_sampler_itself(run, base, card):
    def counts(steps, steered):
        graph = guided(base, "latent colours") if steered else base | sampled(["model", 0])
        graph["seen sample"]["inputs"] |= {"steps": steps, "cfg": 1.0}
        run(graph)
        card.forget()
        run(graph)
        return sum(card.waited.values()), card.moved["to the card"]

    plain, steered = ([counts(steps, way) for steps in (2, 4)] for way in (False, True))
    per_step = [(more[0] - less[0], more[1] - less[1]) for less, more in (plain, steered)]
    assert per_step[1] == per_step[0]
