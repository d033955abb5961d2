"""Best of N: from a batch, from seeds through the core's sampler, and what choosing is worth."""
import itertools
import re
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from real_host import GraphError
from studio_graphs import loaders, node


@pytest.fixture(scope="module")
def best_of(studio):
    return studio("best_of")


@pytest.fixture(scope="module")
def parts(parse, paintings):
    return parse("Balance=1"), paintings


@pytest.mark.parametrize("of", [1, 2, 3, 6])
def test_the_expected_best_is_the_mean_of_the_best_over_all_choices(best_of, of):
    scores = [3.0, 9.5, 1.0, 7.25, 7.25, 4.0]
    every = [max(choice) for choice in itertools.combinations(scores, of)]
    assert best_of.expected_best(scores, of) == pytest.approx(sum(every) / len(every))


def pictures(count, size=32):
    generator = torch.Generator().manual_seed(4)
    ramp = torch.linspace(0, 1, size)
    return torch.stack([(ramp[:, None, None] * torch.rand(3, generator=generator)
                         + 0.4 * torch.rand(size, size, 1, generator=generator)).clamp(0, 1) for _ in range(count)])


def test_of_a_batch_the_highest_scores_are_kept_in_their_order(best_of, parts):
    images = pictures(4)
    chosen = best_of.choose(best_of.from_batch(images), *parts, lambda *_: None)
    scores = [critique.score for critique in chosen.critiques]
    assert chosen.places == sorted(range(4), key=lambda place: -scores[place])
    assert torch.equal(chosen.candidates[chosen.places[0]].picture, images[chosen.places[0]][None])
    sheet = best_of.contact_sheet(chosen, 2)
    assert sheet.shape[0] == 1 and sheet.shape[2] > 4 * 160
    text = best_of.report(chosen, 2, 4, parts[1])
    assert "| 4 | " in text and "best of" in text


@pytest.mark.parametrize("keep", [1, 2, 9])
def test_only_those_that_are_kept_stay_whole(best_of, parts, keep):
    images, seen = torch.cat([pictures(4, 200), pictures(4, 200)]), []     # each twice: equal scores, in their order
    drawn = (one._replace(latent={"samples": one.picture}) for one in best_of.from_batch(images))
    chosen = best_of.choose(drawn, *parts, lambda best, done: seen.append(best.shape), keep)
    every = best_of.choose(best_of.from_batch(images), *parts, lambda *_: None)
    assert chosen.places == every.places and set(seen) == {images[:1].shape}
    for number, place in enumerate(chosen.places):
        whole = number < keep
        assert chosen.candidates[place].picture.shape[1:3] == ((200, 200) if whole else (160, 160))
        assert (chosen.candidates[place].latent is not None) == whole
    assert best_of.latents(chosen, keep)["samples"].shape[0] == min(keep, 8)
    assert torch.equal(best_of.contact_sheet(chosen, keep), best_of.contact_sheet(every, keep))


@pytest.mark.parametrize(("error", "said"), [
    (None, "Cancelled after 2 of 4 pictures; these were judged."),
    (torch.OutOfMemoryError("no room."), "**Ended after 2 of 4 pictures**, which were judged: memory was full (no ro")])
def test_what_ends_it_early_keeps_what_was_judged_and_is_said(best_of, parts, error, said):
    import comfy.model_management

    def after_two(best, done):
        if done == 2:
            raise error or comfy.model_management.InterruptProcessingException()

    chosen = best_of.choose(best_of.from_batch(pictures(4)), *parts, after_two)
    assert chosen.ended and len(chosen.candidates) == len(chosen.critiques) == 2
    assert said in best_of.report(chosen, 1, 4, parts[1])


def test_a_cancel_before_the_first_picture_is_a_cancel(best_of, parts):
    import comfy.model_management

    def cancelled():
        raise comfy.model_management.InterruptProcessingException()
        yield

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        best_of.choose(cancelled(), *parts, lambda *_: None)


def graph(starter, **inputs):    return loaders(starter) | {
        "words": node("CLIPTextEncode", text="a red circle on a white background", clip=["clip", 0]),
        "guider": node("BasicGuider", model=["model", 0], conditioning=["words", 0]),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
        "sigmas": node("BasicScheduler", model=["model", 0], scheduler="simple", steps=2, denoise=1.0),
        "empty": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "best": node("BottegaBestOf", count=3, keep=2, seed=5, rubric="Balance=1", guider=["guider", 0],
                     sampler=["sampler", 0], sigmas=["sigmas", 0], latent_image=["empty", 0], vae=["vae", 0], **inputs),
        "shown": node("PreviewImage", images=["best", 0]),
    }


def test_seeds_are_sampled_as_the_core_samples_them(host, starter):
    prompt = graph(starter)
    outputs, _ = host.run(deepcopy(prompt))
    assert len(outputs["shown"]["images"]) == 2 and "seed " in outputs["best"]["text"][0]
    best = re.search(r"^\*\*Best of 3: seed (\d)\*\*", outputs["best"]["text"][0])[1]
    assert all(f"| seed {seed} | " in outputs["best"]["text"][0] for seed in (5, 6, 7))
    core = deepcopy(prompt) | {
        "noise": {"class_type": "RandomNoise", "inputs": {"noise_seed": int(best)}},
        "best": {"class_type": "SamplerCustomAdvanced", "inputs": {
            "noise": ["noise", 0], "guider": ["guider", 0], "sampler": ["sampler", 0], "sigmas": ["sigmas", 0],
            "latent_image": ["empty", 0]}},
        "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["best", 0], "vae": ["vae", 0]}},
        "shown": {"class_type": "PreviewImage", "inputs": {"images": ["decode", 0]}},
    }
    ours = first_picture(outputs["shown"]["images"])
    theirs = first_picture(host.run(core)[0]["shown"]["images"])
    assert torch.equal(ours, theirs)


def first_picture(images):
    import folder_paths
    import numpy as np
    from PIL import Image
    with Image.open(Path(folder_paths.get_temp_directory()) / images[0]["subfolder"] / images[0]["filename"]) as image:
        return torch.from_numpy(np.asarray(image.convert("RGB")).copy())


def test_a_batch_of_one_is_its_own_best_and_more_than_there_are_keeps_all(host):
    prompt = {"picture": node("EmptyImage", width=32, height=24, batch_size=1, color=0x993311),
              "best": node("BottegaBestOf", count=8, keep=3, seed=0, rubric="*=0; Balance=1", images=["picture", 0]),
              "shown": node("PreviewImage", images=["best", 0])}
    outputs, _ = host.run(prompt)
    assert len(outputs["shown"]["images"]) == 1
    assert "**Best of 1: picture 1**" in outputs["best"]["text"][0] and "| 1 | " in outputs["best"]["text"][0]


def test_a_latent_taken_from_a_batch_is_sampled_as_a_single_one(host, starter):
    prompt = graph(starter)
    prompt["best"]["inputs"] |= {"count": 1, "keep": 1}
    pixels = first_picture(host.run(deepcopy(prompt))[0]["shown"]["images"])
    prompt["empty"]["inputs"]["batch_size"] = 4
    prompt["third"] = node("LatentFromBatch", samples=["empty", 0], batch_index=2, length=2)
    prompt["best"]["inputs"]["latent_image"] = ["third", 0]
    assert torch.equal(pixels, first_picture(host.run(prompt)[0]["shown"]["images"]))


def test_grey_pictures_are_shown_as_well_as_judged(best_of, parts, pack, studio):
    rubric, reference = parts
    common = studio("nodes.shared_inputs")
    grey = torch.rand(3, 32, 48, 1, generator=torch.Generator().manual_seed(0))
    shown = []
    chosen = best_of.choose(best_of.from_batch(grey), rubric, reference,
                            lambda best, done: shown.append(common.preview(best)[1].size))
    assert shown == [(48, 32)] * 3 and best_of.contact_sheet(chosen, 1).shape[0] == 1
    assert torch.equal(chosen.candidates[0].picture, grey[:1].expand(-1, -1, -1, 3))


def test_a_scheduler_that_gives_no_step_gets_a_sentence(host, starter):
    prompt = graph(starter)
    prompt["sigmas"]["inputs"]["denoise"] = 0.0
    with pytest.raises(GraphError, match="sigmas: expected at least one step, got none"):
        host.run(prompt)


@pytest.mark.parametrize("name", ["count", "keep"])
def test_a_linked_number_of_nothing_gets_a_sentence(host, starter, name):
    prompt = graph(starter) | {"zero": node("PrimitiveInt", value=0)}
    prompt["best"]["inputs"][name] = ["zero", 0]
    with pytest.raises(GraphError, match=f"{name}: expected 1 or more, got 0"):
        host.run(prompt)


@pytest.mark.parametrize("change, words", [
    (lambda inputs: inputs.pop("vae"), "vae is not connected"),
    (lambda inputs: inputs.update(images=["picture", 0]), "got both"),
])
def test_half_a_graph_or_both_are_refused_with_a_sentence(host, starter, change, words):
    prompt = graph(starter) | {"picture": {"class_type": "EmptyImage", "inputs": {
        "width": 32, "height": 32, "batch_size": 1, "color": 0}}}
    change(prompt["best"]["inputs"])
    with pytest.raises(GraphError, match=words):
        host.run(prompt)
