"""Wan 2.2's two experts, in the real graph: each trains on its own part of the noise and gets a file of its own."""
import pytest
import torch
from real_host import GraphError
from training_graphs import files, graph
from training_models import FAMILIES, build, caption

WAN = FAMILIES["Wan 2.1"]
SHOWN_PICTURES = WAN._replace(unet=dict(WAN.unet, in_dim=36))       # as image-to-video models are

pytestmark = pytest.mark.usefixtures("own_output_folder")


@pytest.fixture
def sigmas(pack, monkeypatch):
    """All noise levels that are drawn."""
    levels, drawn = pack.nodes.training.step.timesteps.NoiseLevels, []
    draw = levels.draw

    def noted(self, *args):
        drawn.append(draw(self, *args))
        return drawn[-1]

    monkeypatch.setattr(levels, "draw", noted)
    return lambda: torch.cat(drawn)


def trained(host, feed, model, name="hand", **recipe):
    """The report of a run on four clips."""
    clips = torch.randn(4, *WAN.latent, generator=torch.Generator().manual_seed(1))
    prompt = graph(feed, model, pictures=[{"samples": clips}], captions=[caption(i, pooled=0) for i in range(4)],
                   name=name, steps=12, batch_size=4, learning_rate=1e-3)
    prompt["recipe"] = {"class_type": "BottegaRecipe", "inputs": recipe}
    prompt["train"]["inputs"]["recipe"] = ["recipe", 0]
    return host.run(prompt)[0]["train"]["text"][0]


@pytest.mark.parametrize("family, boundary", [(WAN, 0.875), (SHOWN_PICTURES, 0.9)])
def test_each_expert_learns_its_own_part_of_the_noise(host, feed, sigmas, own_output_folder,
                                                      family, boundary):
    report = trained(host, feed, build(family), expert="high noise")
    high = sigmas()
    assert len(high) >= 48 and boundary <= high.min() < boundary + 0.02 and high.max() > 0.97
    assert f"noise from {boundary:g} to 1: the part of Wan 2.2's high noise expert" in report
    report = trained(host, feed, build(family), expert="low noise")
    low = sigmas()[len(high):]
    assert low.max() <= boundary and low.min() < 0.4 and low.max() > 0.8
    assert f"noise from 0 to {boundary:g}: the part of Wan 2.2's low noise expert" in report
    assert files(own_output_folder) == ["hand_high.safetensors", "hand_low.safetensors"]
    assert sorted(p.name for p in (own_output_folder / "training").iterdir()) == ["hand_high", "hand_low"]


@pytest.mark.parametrize("file, high", [
    ("/models/wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", True), ("Wan2_2-T2V-A14B_LowNoise.safetensors", False),
    ("wan2.1_t2v_1.3B.safetensors", None), ("high_noise_low_noise_merge.safetensors", None), (None, None)])
def test_automatic_goes_by_the_name_of_the_model_s_file(host, feed, sigmas, own_output_folder,
                                                        file, high):
    model = build(WAN)
    if file:
        model.cached_patcher_init = (build, (file, {}))
    report = trained(host, feed, model, name="hand_high")
    assert ("as the model's file is called" in report) == (high is not None)
    assert files(own_output_folder) == [{True: "hand_high", False: "hand_high_low", None: "hand_high"}[high]
                                        + ".safetensors"]
    assert (sigmas().min() < 0.875) == (high is not True) and (sigmas().max() > 0.875) == (high is not False)


def test_a_range_of_one_s_own_comes_before_the_file_s_name_and_narrows_an_expert(host, feed, sigmas):
    model = build(WAN)
    model.cached_patcher_init = (build, ("high_noise.safetensors", {}))
    assert "expert" not in trained(host, feed, model, max_timestep=0.5)
    assert sigmas().max() <= 0.5
    with pytest.raises(GraphError, match="expert: the high noise expert works on 0.875 to 1 of noise; min_timestep and "
                                         "max_timestep say 0 to 0.5"):
        trained(host, feed, model, max_timestep=0.5, expert="high noise")


@pytest.mark.parametrize("name", ["SD3", "Wan 2.2 5B"])
def test_a_model_that_is_no_expert_is_refused(host, feed, name):
    five_billion = WAN._replace(config="WAN22_T2V", unet=dict(WAN.unet, in_dim=48, out_dim=48))
    model = build(five_billion if name == "Wan 2.2 5B" else FAMILIES[name])
    with pytest.raises(GraphError, match="expert: expected a Wan 2.2 model, which comes as two experts, for "
                                         "'low noise'; got (SD3|WAN22). Set expert to none."):
        trained(host, feed, model, expert="low noise")
