"""The critic that Train LoRA asks: its scores are Art Critique's, and a graph keeps the best step by them."""
import pytest
import torch
from studio_graphs import loaders, node


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(2)
    return torch.rand(2, 24, 24, 3, generator=generator).repeat_interleave(2, 1).repeat_interleave(2, 2)


@pytest.mark.parametrize("rubric", ["", "Balance=2; Value>70; Colour richness=high"])
def test_it_gives_the_scores_of_art_critique(module, studio, pictures, parse, paintings, rubric):
    rubric = parse(rubric)
    critic = studio("rubric_critic").TrainingCritic(rubric, paintings)
    measure, picture = module("critique.examination").measure_picture, module("critique.picture.planes").Picture
    whole = [module("critique.score.judge").judge(measure(picture.from_images(one))[1], paintings, rubric).score
             for one in pictures.split(1)]
    assert critic.score(pictures) == whole
    assert paintings.name in critic.title


def graph(starter):    return loaders(starter) | {
        "words": node("CLIPTextEncode", text="a red circle on a white background", clip=["clip", 0]),
        "red": node("EmptyImage", width=128, height=128, batch_size=1, color=0xCC3322),
        "grey": node("EmptyImage", width=128, height=128, batch_size=1, color=0x808080),
        "pair": node("ImageBatch", image1=["red", 0], image2=["grey", 0]),
        "latents": node("VAEEncode", pixels=["pair", 0], vae=["vae", 0]),
        "set": node("BottegaCoreTrainingSet", latents=["latents", 0], positive=["words", 0]),
        "recipe": node("BottegaRecipe", sample_every=2, sample_steps=2),
        "critic": node("BottegaTrainingCritic", rubric="*=0; \"mean S channel\"=high"),
        "train": node("BottegaTrainLora", model=["model", 0], dataset=["set", 0], steps=4, batch_size=1,
                      learning_rate=1e-3, rank=2, seed=1, name="criticised", recipe=["recipe", 0],
                      sample_prompts=["words", 0], vae=["vae", 0], critic=["critic", 0], critic_weighting=1.0),
    }


def test_a_graph_trains_with_a_critic(host, starter):
    report = host.run(graph(starter))[0]["train"]["text"][0]
    assert "Critic (" in report and "best after step" in report
    rows = [line for line in report.splitlines() if line.startswith("| picture")]
    assert rows[0] == "| picture | score | weight |" and "quick previews" not in report
    assert [row.split("|")[1].strip() for row in rows[1:]] == ["picture 1", "picture 2"]    # the red one first
    high, low = (float(row.split("|")[3]) for row in rows[1:])
    assert high > low and high + low == pytest.approx(2, abs=0.02)


def test_a_rubric_that_cannot_be_read_is_refused_before_anything_runs(host, starter):
    prompt = graph(starter)
    prompt["critic"]["inputs"]["rubric"] = "Beauty=1"
    assert "Beauty" in str(host.validate(prompt)[1])


@pytest.mark.parametrize("name", ["Colour harmony", "Sparseness"])
def test_what_cannot_be_placed_or_measured_is_refused_before_the_training(host, starter, name):
    from real_host import GraphError
    prompt = graph(starter)
    prompt["critic"]["inputs"]["rubric"] = f'"{name}"=1' if name == "Sparseness" else f"{name}=1"
    with pytest.raises(GraphError, match=f"{name} cannot count") as error:
        host.run(prompt)
    assert error.value.args[0]["node_id"] == "critic"
