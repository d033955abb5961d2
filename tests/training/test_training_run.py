"""Train LoRA in the real executor, from core data-set nodes to core LoRA nodes."""
import json
import logging
import re
from pathlib import Path

import comfy.model_management
import folder_paths
import pytest
import torch
from real_host import GraphError
from training_graphs import STEPS, files, graph, output, tensors
from training_models import ModelSink, caption, latents, tiny_sd3

pytestmark = pytest.mark.usefixtures("own_output_folder")




def train(pack, patcher, name="hand", steps=STEPS, seed=3, batch_size=2, rate=1e-2, dataset=None):
    t = pack.nodes.training
    if dataset is None:
        dataset = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
    settings = t.plan.settings.Settings(steps, batch_size, rate, 4, seed)
    return t.training_run.train(patcher, dataset, settings, name, t.monitoring.progress.Progress(steps, "1"))


def test_the_loss_falls_and_the_report_says_what_was_done(host, feed, own_output_folder):
    model = tiny_sd3()
    shown, _ = host.run(graph(feed, model, steps=60, batch_size=4, learning_rate=3e-2))
    report = shown["train"]["text"][0]
    start, end = re.search(r"Training loss: ([\d.]+) at the start, ([\d.]+) at the end", report).groups()
    assert float(end) < 0.95 * float(start)
    assert "13 of 13 adapters receive a gradient" in report
    assert files(own_output_folder) == ["hand.safetensors"]


def test_core_nodes_take_every_output(host, feed, own_output_folder, monkeypatch):
    monkeypatch.setitem(host.nodes.NODE_CLASS_MAPPINGS, "TrainingTestSink", ModelSink)
    prompt = graph(feed, tiny_sd3())
    prompt |= {
        "save": {"class_type": "SaveLoRA", "inputs": {"lora": ["train", 0], "prefix": "loras/core"}},
        "plot": {"class_type": "LossGraphNode", "inputs": {"loss": ["train", 1], "filename_prefix": "loss"}},
        "apply": {"class_type": "LoraModelLoader",
                  "inputs": {"model": ["model", 0], "lora": ["train", 0], "strength_model": 1.0, "bypass": False}},
        "report": {"class_type": "PreviewAny", "inputs": {"source": ["train", 2]}},
        "path": {"class_type": "PreviewAny", "inputs": {"source": ["train", 3]}},
        "sink": {"class_type": "TrainingTestSink", "inputs": {"model": ["apply", 0]}},
    }
    shown, ran = host.run(prompt)
    assert set(ran) == set(prompt)
    assert len(ModelSink.taken.pop().patches) == 13
    assert Path(shown["path"]["text"][0]) == own_output_folder / "loras" / "hand.safetensors"
    core, ours = (tensors(own_output_folder / "loras" / name)[0] for name in ("core_00001_.safetensors",
                                                                              "hand.safetensors"))
    assert core.keys() == ours.keys()
    assert all(torch.equal(core[key], ours[key]) for key in core)


def test_core_data_set_nodes_feed_training(host, feed, tmp_path):
    pictures = [{"samples": latents(1, size=8, seed=i)} for i in range(2)] + [{"samples": latents(1, size=12)}]
    save = {"latents": feed("LATENT", pictures), "captions": feed("CONDITIONING", [caption(i) for i in range(3)]),
            "save": {"class_type": "SaveTrainingDataset",
                     "inputs": {"latents": ["latents", 0], "conditioning": ["captions", 0], "folder_name": "set",
                                "shard_size": 2}}}
    host.run(save)
    prompt = graph(feed, tiny_sd3(), batch_size=3)
    del prompt["latents"], prompt["captions"]
    prompt |= {
        "load": {"class_type": "LoadTrainingDataset", "inputs": {"folder_name": "set"}},
        "bucket": {"class_type": "ResolutionBucket",
                   "inputs": {"latents": ["load", 0], "conditioning": ["load", 1]}},
    }
    prompt["set"]["inputs"] = {"latents": ["bucket", 0], "positive": ["bucket", 1]}
    shown, _ = host.run(prompt)
    assert "12 steps on 3 pictures" in shown["train"]["text"][0]


def test_the_host_s_lora_loader_lists_the_file_and_maps_every_key(host, pack, caplog):
    model = tiny_sd3()
    folder_paths.get_filename_list("loras")
    trained = train(pack, model, "my hand/../é")
    name = Path(trained.path).name
    assert name == "my hand_.._é.safetensors"
    assert name in folder_paths.get_filename_list("loras")
    with caplog.at_level(logging.WARNING):
        loaded, _ = host.nodes.NODE_CLASS_MAPPINGS["LoraLoader"]().load_lora(model, None, name, 1.0, 1.0)
    assert "not loaded" not in caplog.text.lower()
    assert len(loaded.patches) == trained.layers


def test_the_loaded_lora_does_what_the_trained_adapters_did(host, pack, feed):
    model, t = tiny_sd3(), pack.nodes.training
    trained = train(pack, model)
    loaded, _ = host.nodes.NODE_CLASS_MAPPINGS["LoraLoader"]().load_lora(model, None, Path(trained.path).name, 1.0, 1.0)
    adapters = t.adapters.build(t.adapters.LoraShape(rank=4), model.model, "cpu", torch.Generator())
    assert adapters.load(trained.tensors, model.model) == []
    bare = output(model)
    with t.adapters.attached(model.model.diffusion_model, adapters, torch.device("cpu")):
        branch = output(model)
    merged = output(loaded)
    assert (merged - bare).abs().max() > 1e-3
    assert torch.allclose(branch, merged, atol=1e-4)


def test_the_file_says_how_it_was_made(host, pack):
    _, metadata = tensors(train(pack, tiny_sd3()).path)
    assert metadata["ss_network_dim"] == "4" and metadata["ss_network_alpha"] == "4.0"
    assert metadata["ss_steps"] == str(STEPS) and metadata["ss_base_model_version"] == "SD3"
    assert metadata["modelspec.prediction_type"] == "flow"
    assert json.loads(metadata["bottega.config"])["seed"] == 3


def test_a_second_run_never_overwrites_the_first(host, pack, own_output_folder):
    model = tiny_sd3()
    train(pack, model)
    train(pack, model)
    assert files(own_output_folder) == ["hand.safetensors", "hand_00001.safetensors"]


def test_one_seed_gives_one_lora_and_the_global_generator_is_left_alone(host, pack):
    model, state = tiny_sd3(), torch.get_rng_state()
    first, again, other = (train(pack, model, seed=seed).tensors for seed in (3, 3, 2**64 - 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    assert torch.equal(torch.get_rng_state(), state)


def patched(model):
    model = model.clone()
    key = "diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight"
    model.add_patches({key: ("diff", (torch.full((512, 128), 0.01),))}, 1.0)
    return model


def with_bypass_lora(model):
    from comfy.sd import load_bypass_lora_for_models
    key = "diffusion_model.joint_blocks.0.x_block.mlp.fc1"
    generator = torch.Generator().manual_seed(1)
    lora = {f"{key}.lora_up.weight": torch.randn(512, 2, generator=generator) / 10,
            f"{key}.lora_down.weight": torch.randn(2, 128, generator=generator) / 10}
    return load_bypass_lora_for_models(model, None, lora, 1.0, 0.0)[0]


def in_half_precision(model):
    model = model.clone()
    model.set_model_compute_dtype(torch.float16)
    return model


@pytest.mark.parametrize("prepare", [lambda model: model, patched, with_bypass_lora, in_half_precision])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_samples_bit_for_bit_as_before(host, pack, prepare, dtype):
    model = prepare(tiny_sd3(dtype=dtype))
    before = output(model)
    assert len(train(pack, model, steps=3).losses) == 3
    assert torch.equal(output(model), before)
    assert not comfy.model_management.in_training


@pytest.mark.parametrize("checkpoint", [False, True])
def test_cancel_in_the_middle_of_a_block_keeps_the_lora_and_the_model(host, pack, feed, monkeypatch, own_output_folder,
                                                                      checkpoint):
    t, model, steps = pack.nodes.training, tiny_sd3(), []
    before, backward, attend = output(model), t.step.session.backward, t.step.denoiser.attend_with_sdpa

    def counted(*args):
        steps.append(1)
        return backward(*args)

    def cancelling(*args, **kwargs):
        if len(steps) == 5:
            comfy.model_management.interrupt_current_processing()
        return attend(*args, **kwargs)

    check = t.training_run.self_check
    monkeypatch.setattr(t.training_run, "self_check", lambda *args: check(*args)._replace(checkpoint=checkpoint))
    monkeypatch.setattr(t.step.session, "backward", counted)
    monkeypatch.setattr(t.step.denoiser, "attend_with_sdpa", cancelling)
    with pytest.raises(GraphError):
        host.run(graph(feed, model))
    assert files(own_output_folder) == ["hand_interrupted.safetensors"]
    kept, metadata = tensors(own_output_folder / "loras" / "hand_interrupted.safetensors")
    assert metadata["ss_steps"] == "4"
    assert any(tensor.abs().max() > 0 for key, tensor in kept.items() if "lora_up" in key)
    assert torch.equal(output(model), before)
    assert not any("forward" in vars(module) for module in model.model.modules())
    assert torch.overrides._get_current_function_mode_stack() == []


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_lora(host, pack, monkeypatch,
                                                                             own_output_folder):
    model, losses = tiny_sd3(), []
    good, backward = train(pack, model, "good", steps=2), pack.nodes.training.step.session.backward

    def nan_in_step_four(*args):
        losses.append(backward(*args))
        return losses[-1] if len(losses) < 4 else losses[-1] * float("nan")

    monkeypatch.setattr(pack.nodes.training.step.session, "backward", nan_in_step_four)
    with pytest.raises(FloatingPointError, match="stopped at step 4 of 12: its loss is nan.* kept in .*_interrupted"):
        train(pack, model)
    kept, _ = tensors(own_output_folder / "loras" / "hand_interrupted.safetensors")
    assert kept.keys() == good.tensors.keys()
    assert all(tensor.isfinite().all() for tensor in kept.values())


def test_every_picture_is_shown_once_an_epoch(pack):
    order = pack.nodes.training.step.batches.BatchOrder(["square"] * 5, 2, torch.Generator().manual_seed(0))
    epochs = [[next(order) for _ in range(3)] for _ in range(2)]
    assert [[len(batch) for batch in epoch] for epoch in epochs] == [[2, 2, 1]] * 2
    assert all(sorted(sum(epoch, [])) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("pictures, captions, sentence", [
    ([], None, "latents: expected at least 1 picture to train on, got none."),
    (None, [caption(0), caption(1)], "got 2 captions for 4 pictures."),
])
def test_a_wrong_data_set_is_one_sentence_on_the_node(host, feed, pictures, captions, sentence):
    with pytest.raises(GraphError) as error:
        host.run(graph(feed, tiny_sd3(), pictures=pictures, captions=captions))
    assert sentence in error.value.args[0]["exception_message"]
    assert error.value.args[0]["node_id"] == "set"


def test_a_name_without_a_letter_is_refused_before_anything_runs(host, feed):
    _, errors = host.validate(graph(feed, tiny_sd3(), name=" ../ "))
    assert "name: expected a file name such as my_style, got ' ../ '." in str(errors["nodes"]["train"])
