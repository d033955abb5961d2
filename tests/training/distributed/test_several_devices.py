"""Train LoRA on several devices, which on the CPU are processes: against one device, and whatever goes wrong."""
import asyncio

import psutil
import pytest
import torch
from distributed_packs import write_packs
from real_host import GraphError
from training_graphs import tensors

STEPS, BATCH = 6, 4
IN_STEP_3 = 3 + 3       # the forward pass with a gradient, after three of the self-check
FULL = {"accumulation": 2, "ema_decay": 0.9, "validation_pictures": 2, "validation_every": 3, "checkpoint_every": 0}


@pytest.fixture(scope="module")
def packs(host, tmp_path_factory):
    found = write_packs(tmp_path_factory.mktemp("packs"))
    for path in found:
        assert asyncio.run(host.nodes.load_custom_node(str(path)))
    return found


@pytest.fixture
def several(host, starter, packs, output_folder, folder_of_woodcuts):
    """several(devices, **inputs of Train LoRA) runs the starter's workflow; returns (LoRA, report)."""

    def run(devices, trouble=(), recipe=(), cache=False, **inputs):
        kind, at, who = trouble or ("wait for it", 0, "another")
        name = inputs.setdefault("name", "hand")
        prompt = {
            "loader": {"class_type": "UNETLoader", "inputs": {"unet_name": starter.MODEL, "weight_dtype": "default"}},
            "model": {"class_type": "TestTrouble", "inputs": {"model": ["loader", 0], "kind": kind, "at": at,
                                                              "who": who}},
            "clip": {"class_type": "CLIPLoader", "inputs": {"clip_name": starter.TEXT, "type": "sd3"}},
            "vae": {"class_type": "VAELoader", "inputs": {"vae_name": starter.VAE}},
            "set": {"class_type": "BottegaTrainingSet", "inputs": {
                "vae": ["vae", 0], "clip": ["clip", 0], "folder": folder_of_woodcuts, "resolution": 64,
                "cache": cache}},
            "recipe": {"class_type": "BottegaRecipe", "inputs": {"checkpoint_every": 0, **dict(recipe)}},
            "train": {"class_type": "BottegaTrainLora", "inputs": {
                "model": ["model", 0], "dataset": ["set", 0], "recipe": ["recipe", 0], "steps": STEPS,
                "batch_size": BATCH, "learning_rate": 1e-3, "rank": 4, "seed": 3, "devices": devices, **inputs}}}
        shown, _ = host.run(prompt)
        return tensors(output_folder / "loras" / f"{name}.safetensors")[0], shown["train"]["text"][0]
    yield run
    assert not ranks(), "a process was left behind"


@pytest.fixture(scope="session")
def folder_of_woodcuts(starter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("woodcuts")
    starter.install_pictures(folder)
    return str(folder)


def ranks():
    """The processes of ranks; multiprocessing keeps a tracker of its own beside them."""
    return [each for each in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(each.cmdline())]


ROUNDED = 2e-6      # of float32 over these steps: less than 5e-7 on one processor, 5.3e-7 on another


def distance(one, other):
    """Relative distance of two LoRAs."""
    flat = [torch.cat([value.flatten().double() for _, value in sorted(each.items())]) for each in (one, other)]
    return ((flat[0] - flat[1]).norm() / flat[0].norm()).item()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def kept(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.safetensors"))


def test_two_processes_train_the_lora_of_one(several, packs, tmp_path, monkeypatch):
    """From a data set that lies on the disk, which each reads by itself."""
    import folder_paths
    monkeypatch.setattr(folder_paths, "get_user_directory", lambda: str(tmp_path / "user"))
    alone, _ = several("1", recipe=FULL, name="alone", cache=True)
    both, report = several("2", recipe=FULL, name="both", cache=True)
    assert 0 < distance(alone, both) < ROUNDED
    assert "2 devices: rank 0 (CPU) 2 pictures a step" in report and "rank 1 (CPU) 2 pictures a step" in report
    assert "was not measured: the training has fewer than 40 steps" in report
    trouble, unneeded = packs
    assert len((trouble / "prestart.txt").read_text().split()) == 1      # the worker's: the tests' host runs none
    assert not (unneeded / "prestart.txt").exists()
    assert len((unneeded / "loaded.txt").read_text().split()) == 1       # this process, and no worker


def test_exact_gives_one_two_and_four_devices_the_same_bits(several, host, output_folder):
    exact = {**FULL, "exact": True}
    alone, _ = several("1", recipe=exact, name="alone")
    plain, _ = several("1", recipe=FULL, name="plain")
    assert 0 < distance(alone, plain) < ROUNDED
    with pytest.raises(GraphError) as cancelled:
        several("2", trouble=("cancel", 14, "rank 0"), recipe=exact, name="cut")
    assert cancelled.value.args[0].get("exception_message") is None         # not an error
    (state,) = output_folder.glob("training/cut/step_*")
    assert 0 < int(state.stem[5:]) < STEPS
    on_one, _ = several("1", recipe=exact, name="on_one", resume=f"cut/{state.stem}")
    on_four, report = several("4", recipe=exact, name="on_four", resume=f"cut/{state.stem}")
    assert "4 devices" in report and "rank 3 (CPU) 1 pictures a step" in report
    assert same(alone, on_one) and same(alone, on_four)


def test_memory_that_is_full_on_a_rank_makes_its_steps_smaller_and_the_lora_no_other(several):
    alone, _ = several("1", name="alone")
    retried, report = several("2", trouble=("memory", IN_STEP_3, "another"), name="retried")
    assert "Rank 1: Memory was full at step 3: 1 of the batch's 2 pictures a forward pass from there on." in report
    assert distance(alone, retried) < ROUNDED


def test_with_a_shared_base_full_memory_makes_the_steps_of_all_ranks_smaller_and_the_lora_no_other(several):
    alone, _ = several("1", name="alone")
    retried, report = several("2", trouble=("memory", 3, "another"), name="retried", share_base=True)
    assert "Rank 1: Memory was full at step 3: 1 of the batch's 2 pictures a forward pass from there on." in report
    assert distance(alone, retried) < ROUNDED


def test_with_a_shared_base_stop_and_keep_stops_all_ranks_after_the_same_step(several, output_folder):
    _, report = several("2", trouble=("stop and keep", IN_STEP_3 + 1, "rank 0"), share_base=True)
    assert "Stopped early, as asked: 3 of 6 steps." in report
    assert kept(output_folder) == ["loras/hand.safetensors", "training/hand/step_00000003.safetensors"]


@pytest.mark.parametrize("kind, sentence", [
    ("raise", "rank 1: KeyError: \"something in a node's patch\""),
    ("nan", "Training stopped at step 3 of 6: its loss is nan"),
    ("kill", "rank 1 (CPU process 1) was killed (SIGKILL)"),
    ("stop", "rank 1 (CPU process 1) has given no sign of life for"),
])
def test_a_rank_that_fails_ends_the_training_with_what_there_is(several, output_folder, monkeypatch, kind, sentence):
    if kind == "stop":
        monkeypatch.setenv("BOTTEGA_RANK_SILENCE", "15")
    with pytest.raises(GraphError) as failed:
        several("2", trouble=(kind, IN_STEP_3, "another"))
    told = failed.value.args[0]["exception_message"]
    assert sentence in told and "The LoRA so far is kept in loras/hand_interrupted.safetensors." in told
    assert "loras/hand_interrupted.safetensors" in kept(output_folder)
    assert ("training/hand/step_00000002.safetensors" in kept(output_folder)) == (kind != "nan")


def test_models_that_differ_are_seen_before_the_first_step(several, output_folder):
    with pytest.raises(GraphError) as failed:
        several("2", trouble=("other weights", 0, "another"))
    assert "model: on rank 1 it answers otherwise than on rank 0" in failed.value.args[0]["exception_message"]
    assert not kept(output_folder)


@pytest.mark.parametrize("devices, sentence", [
    ("8", "devices: 8 devices need a batch_size of at least 8, a picture each, got 4."),
    ("0", "devices: expected all, a number from 1 or a list of numbers such as 0,2, got '0'."),
    ("0,2", "devices: '0,2' names graphics cards, and ComfyUI runs on cpu. Expected a number of processes."),
    ("all", "devices: 'all' names graphics cards, and ComfyUI runs on cpu. Expected a number of processes."),
])
def test_devices_that_cannot_be_are_a_sentence(several, devices, sentence):
    with pytest.raises(GraphError) as failed:
        several(devices)
    assert sentence in failed.value.args[0]["exception_message"]


def test_exact_says_which_numbers_of_devices_it_takes(several):
    with pytest.raises(GraphError) as failed:
        several("3", recipe={"exact": True})
    assert "exact: expected a number of devices that 4 can be divided by, got 3." in (
        failed.value.args[0]["exception_message"])


def test_cards_are_numbered_as_comfyui_sees_them(pack, monkeypatch):
    read = pack.nodes.training.distributed.devices.read_devices
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    own = torch.device("cuda", 1)
    assert [read(text, own) for text in ("1", "3", "all", "3, 1")] == [[1], [1, 0, 2], [1, 0, 2, 3], [1, 3]]
    for text, sentence in (("5", "expected at most 4"), ("0,9", "there is no device 9; there are 4"),
                           ("0,2", "ComfyUI's own device, 1, in the list"), ("1,1", "different numbers")):
        with pytest.raises(ValueError, match=sentence):
            read(text, own)


@pytest.mark.parametrize("before, kind, sentence", [
    ("train", "BottegaTrainLora", "before model stands a training (BottegaTrainLora)"),
    ("save", "SaveImage", "before model stands SaveImage, which writes or shows something"),
])
def test_what_cannot_be_done_twice_is_refused_before_a_model(pack, host, before, kind, sentence):
    graph = {before: {"class_type": kind, "inputs": {}},
             "use": {"class_type": "LoraModelLoader", "inputs": {"model": ["loader", 0], "lora": [before, 0]}},
             "loader": {"class_type": "UNETLoader", "inputs": {}},
             "own": {"class_type": "BottegaTrainLora", "inputs": {"model": ["use", 0]}}}
    with pytest.raises(ValueError) as refused:
        pack.nodes.training.distributed.subgraph.rank_graph(graph.__getitem__, "own")
    assert sentence in str(refused.value)
