"""What ranks do where something fails at an unlucky moment, without a second process."""
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch


def test_slices_that_do_not_all_fit_leave_the_model_as_it_was(pack, monkeypatch):
    slices = pack.nodes.training.distributed.base_slices
    network = torch.nn.Module()
    network.blocks = torch.nn.ModuleList(torch.nn.Module() for _ in range(3))
    for each in network.blocks:
        each.first, each.second = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    made, block = [], slices.Block

    def third_is_too_much(*args):
        if len(made) == 2:
            raise torch.OutOfMemoryError("full")
        made.append(block(*args))
        return made[-1]
    monkeypatch.setattr(slices, "Block", third_is_too_much)
    with pytest.raises(torch.OutOfMemoryError):
        slices.BaseSlices(network, 0, 2, torch.device("cpu"), gather=None)
    assert made and all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_a_model_without_blocks_is_a_sentence(pack):
    with pytest.raises(ValueError, match="share_base: expected a model of repeated blocks"):
        pack.nodes.training.distributed.base_slices.BaseSlices(
            torch.nn.Linear(2, 2), 0, 2, torch.device("cpu"), gather=None)


def test_a_backward_through_the_blocks_of_two_passes_has_the_gradient_of_the_whole_base(pack):
    """As of a prompt and a negative one that do not fit together: no gradient leaves the first block of either."""
    slices = pack.nodes.training.distributed.base_slices

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = (torch.nn.Linear(8, 8).requires_grad_(False) for _ in range(2))
            self.scale = torch.nn.Parameter(torch.ones(8))

        def forward(self, x):
            return torch.tanh(self.second(self.first(x * self.scale)))
    network = torch.nn.Module()
    network.blocks = torch.nn.ModuleList(Block() for _ in range(3))
    inputs = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))

    def gradients():
        first, second = (network.blocks[2](network.blocks[1](network.blocks[0](x))) for x in inputs)
        return torch.autograd.grad((first * 2 - second).square().sum(), [block.scale for block in network.blocks])

    def gather(whole, own):
        gathered.append(len(gathered))
        whole.copy_(own)
        return lambda: None
    with torch.enable_grad():
        expected, gathered = gradients(), []
        base = slices.BaseSlices(network, 0, 1, torch.device("cpu"), gather)
        base.order.learning = True
        found = gradients()
        base.order.learning, base.order.following_it = False, True
        again = gradients()
    assert base.order.learnt == [0, 1, 2, 0, 1, 2, 2, 1, 0, 2, 1, 0] and gathered
    assert all(block.users == 0 for block in base.blocks)
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(expected, found, again, strict=True))


def test_a_step_that_the_others_have_taken_is_not_taken_again(pack, monkeypatch):
    training = pack.nodes.training
    team = training.distributed.team.Team(0, 2)
    monkeypatch.setattr(team, "_across", lambda whole: whole)       # as if the other rank had added nothing
    gradient, session = torch.zeros(4), SimpleNamespace(team=team, rewrites=True)
    team.begin(gradient)
    assert training.step.retry._other_way(session, MemoryError()) is not None
    team.over_rows(gradient, 2, 1.0, lambda rows: torch.zeros(1))
    team.agree(gradient)
    assert training.step.retry._other_way(session, MemoryError()) is None


def test_a_launch_without_a_name_is_told_apart_from_one_whose_launcher_had_the_same_number(pack, monkeypatch):
    """As in containers, where the launcher is always process 1."""
    launches = pack.nodes.training.distributed.launches
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setattr(launches.os, "getppid", lambda: os.getpid())
    own = launches.job_of_launch()
    assert own == launches.job_of_launch()
    monkeypatch.setattr(launches, "_began", lambda process: "another time")
    assert own != launches.job_of_launch()


@pytest.mark.parametrize("name, run", [(["9", 0], "hand"), ("hand", "hand_high"), ("hand", "hand_low_00001")])
def test_a_training_goes_on_whose_folder_its_name_alone_does_not_tell(pack, output_folder, monkeypatch, name, run):
    """A link gives the name, or the model is an expert of Wan 2.2."""
    launches = pack.nodes.training.distributed.launches
    folder = output_folder / "training" / run
    folder.mkdir(parents=True)
    (folder / "step_00000004.safetensors").touch()
    (folder / launches.LAUNCH).write_text("mine\n3\n")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    workflow = {"3": {"class_type": "BottegaTrainLora", "inputs": {"name": name}}}
    launches.go_on(workflow, ["3"])
    assert workflow["3"]["inputs"]["resume"] == run


@pytest.mark.parametrize("log, cause", [
    ("Traceback (most recent call last):\ntorch.AcceleratorError: CUDA error: out of memory\n"
     "For debugging consider passing CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA`.\n\n",
     ": torch.AcceleratorError: CUDA error: out of memory"),
    ("No error is named\nthe end\n", ": the end"), ("", "")])
def test_a_rank_that_died_is_told_with_the_line_that_names_the_error(pack, tmp_path, caplog, log, cause):
    died = pack.nodes.training.distributed.workers.Workers(
        {1: SimpleNamespace(is_alive=lambda: False, exitcode=1)}, tmp_path, {1: "cuda:1"})
    died.log_of(1).write_text(log)
    assert died.watch(0.0) == f"rank 1 (cuda:1) ended with code 1{cause}"
    assert log.strip() in caplog.text


def test_a_rank_is_not_given_up_for_the_time_that_the_computer_slept(pack, tmp_path, monkeypatch):
    workers = pack.nodes.training.distributed.workers
    alive = workers.Workers({1: SimpleNamespace(is_alive=lambda: True)}, tmp_path, {1: "cuda:1"})
    alive.log_of(1).touch()
    os.utime(alive.log_of(1), (1, 1))               # its last sign, by a clock that went on meanwhile
    assert alive.watch(0.2) is None
    later = workers.time.monotonic() + alive.silence + 1
    monkeypatch.setattr(workers.time, "monotonic", lambda: later)
    assert "has given no sign of life for 61 s" in alive.watch(0.2)
    os.utime(alive.log_of(1), (2, 2))
    assert alive.watch(0.2) is None


def test_a_rank_that_dies_before_the_group_has_met_ends_the_waiting(pack, tmp_path, monkeypatch):
    local, workers = (getattr(pack.nodes.training.distributed, name) for name in ("local_group", "workers"))
    monkeypatch.setattr(local, "IN_PAUSES", 3.0)        # of the thread that is left behind
    died = workers.Workers({1: SimpleNamespace(is_alive=lambda: False, exitcode=-9)}, tmp_path, {1: "CPU process 1"})
    died.log_of(1).touch()
    (tmp_path / "next").mkdir()
    with pytest.raises(RuntimeError, match="devices: rank 1 .CPU process 1. was killed .SIGKILL"), \
            local.group(0, 2, local.store_of(tmp_path, 2), torch.device("cpu"), died):
        pass
    assert not torch.distributed.is_initialized()
    store = local.store_of(tmp_path / "next", 1)            # the next run's, whose ranks are new processes
    with local.group(0, 1, store, torch.device("cpu")):
        assert torch.distributed.group.WORLD.group_name == "0"


@pytest.mark.parametrize("away, unlike, refused", [(1e-2, False, True), (1e-2, True, False), (0.1, True, True)])
def test_two_kinds_of_card_may_differ_by_what_half_precision_rounds(pack, away, unlike, refused):
    meeting = pack.nodes.training.distributed.meeting
    first = meeting.Answer(torch.ones(8), "one card")
    other = meeting.Answer(torch.ones(8) * (1 + away), "another card" if unlike else "one card")
    told = meeting.other_answer(1, other, first)
    assert (told is not None) == refused
    assert not refused or ("another card and one card differ by up to 0.05" in str(told)) == unlike


def test_a_list_before_what_ranks_make_themselves_is_refused_at_its_second_value(pack, host):
    local = pack.nodes.training.distributed.local_group
    link = lambda number: [number, 0]  # noqa: E731
    graph = {"list": {"class_type": "RebatchLatents", "inputs": {}},
             "after": {"class_type": "LatentFlip", "inputs": {"samples": link("list")}},
             "plain": {"class_type": "EmptyLatentImage", "inputs": {}},
             "own": {"class_type": "BottegaBestOf", "inputs": {"sampler": link("after"), "vae": link("plain")}}}

    class Prompt:
        get_node = staticmethod(graph.__getitem__)
    one = SimpleNamespace(dynprompt=Prompt(), unique_id="own")
    local._check_first_time(one, [])
    with pytest.raises(ValueError, match="devices: a list is connected to sampler, which each device makes"):
        local._check_first_time(one, [])
    local._check_first_time(one, ["sampler"])       # each of whose values is sent
    local._check_first_time(SimpleNamespace(dynprompt=Prompt(), unique_id="own"), [])


def test_a_reference_with_a_learned_score_is_made_by_each_rank(pack, host):
    graph = {"head": {"class_type": "BottegaLearnedScore", "inputs": {"reference": ["style", 0],
                                                                      "images": ["drawn", 0]}},
             "drawn": {"class_type": "BottegaTrainLora", "inputs": {}},     # of the report alone
             "style": {"class_type": "BottegaCritiqueReference", "inputs": {}},
             "own": {"class_type": "BottegaBestOf", "inputs": {"reference": ["head", 2], "sigmas": ["s", 0]}}}
    replayed, sent = pack.nodes.training.distributed.subgraph.rank_graph(graph.__getitem__, "own", ("reference",))
    assert {"head", "style"} <= set(replayed) and "drawn" not in replayed and sent == ["sigmas"]


@pytest.mark.parametrize("of_job, of_states, goes_on", [("none", "none", False), ("mine", "mine", True),
                                                        ("mine", "other", False)])
def test_only_a_job_with_a_name_goes_on_where_another_launch_ended(pack, output_folder, monkeypatch, of_job, of_states,
                                                                   goes_on):
    launches = pack.nodes.training.distributed.launches
    folder = output_folder / "training" / "hand"
    folder.mkdir(parents=True)
    (folder / "step_00000004.safetensors").touch()
    (folder / launches.LAUNCH).write_text(f"{of_states}\n3\n")
    workflow = {"3": {"class_type": "BottegaTrainLora", "inputs": {"name": "hand"}}}
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", of_job)
    launches.go_on(workflow, ["3"])
    assert ("resume" in workflow["3"]["inputs"]) == goes_on
    if of_job == "none":        # of this launch itself, when torchrun starts its ranks again
        launches.note_launch("hand", "3", launches.job_of_launch())
        launches.go_on(workflow, ["3"])
        assert workflow["3"]["inputs"]["resume"] == "hand"


def test_a_run_that_ended_before_its_first_state_leaves_no_folder(pack, output_folder, monkeypatch):
    launches, checkpoint = pack.nodes.training.distributed.launches, pack.nodes.training.disk.checkpoint
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    for name, node_id in (("hand", "3"), ("hand_00001", "9")):
        (output_folder / "training" / name).mkdir(parents=True)
        launches.note_launch(name, node_id, "mine")
    workflow = {"3": {"class_type": "BottegaTrainLora", "inputs": {"name": "hand"}}}
    launches.go_on(workflow, ["3"])
    assert "resume" not in workflow["3"]["inputs"]
    assert [each.name for each in (output_folder / "training").iterdir()] == ["hand_00001"]     # another node's
    (output_folder / "training" / "hand_00001" / "step_00000004.safetensors").touch()
    checkpoint.remove_empty_run_folder("hand_00001")
    assert (output_folder / "training" / "hand_00001" / launches.LAUNCH).is_file()


PROGRAM = runpy.run_path(str(Path(__file__).resolve().parents[3] / "nodes/training/distributed/run_workflow.py"))


@pytest.mark.parametrize("hip, given, taken", [
    (False, {}, {"CUDA_VISIBLE_DEVICES": "1"}),
    (False, {"CUDA_VISIBLE_DEVICES": "4, 6"}, {"CUDA_VISIBLE_DEVICES": "6"}),
    (False, {"HIP_VISIBLE_DEVICES": "9,8"}, {"CUDA_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "9,8"}),
    (True, {"HIP_VISIBLE_DEVICES": "4,6"}, {"CUDA_VISIBLE_DEVICES": "6", "HIP_VISIBLE_DEVICES": "6"}),
    (True, {"CUDA_VISIBLE_DEVICES": "4,6"}, {"CUDA_VISIBLE_DEVICES": "6", "HIP_VISIBLE_DEVICES": "6"}),
    (True, {"HIP_VISIBLE_DEVICES": "4"}, "expected at most the 1 devices of HIP_VISIBLE_DEVICES, got 2"),
])
def test_a_rank_of_torchrun_takes_one_of_the_cards_that_are_named(monkeypatch, hip, given, taken):
    take = PROGRAM["_take_device"]
    assert PROGRAM["_is_rocm"]() == bool(torch.version.hip)
    monkeypatch.setitem(take.__globals__, "_is_rocm", lambda: hip)
    for name in ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    if isinstance(taken, str):
        with pytest.raises(SystemExit, match=taken):
            take(1, 2)
        return
    monkeypatch.setattr(os, "environ", dict(os.environ))
    take(1, 2)
    assert {name: value for name, value in os.environ.items() if name.endswith("VISIBLE_DEVICES")} == taken


def test_how_long_is_waited_has_two_names_and_reads_the_one_of_before(pack, monkeypatch):
    workers = pack.nodes.training.distributed.workers
    def waited():
        return workers.Workers({}, None, {}).silence, PROGRAM["_wait"]()
    for name in ("TIMEOUT", "SILENCE", "WAIT"):
        monkeypatch.delenv(f"BOTTEGA_RANK_{name}", raising=False)
    assert waited() == (60.0, 3600.0)
    monkeypatch.setenv("BOTTEGA_RANK_TIMEOUT", "7")
    assert waited() == (7.0, 7.0)
    monkeypatch.setenv("BOTTEGA_RANK_SILENCE", "8")
    monkeypatch.setenv("BOTTEGA_RANK_WAIT", "9")
    assert waited() == (8.0, 9.0)


@pytest.mark.parametrize("code, told", [(3, "ended with code 3"), (-9, "was killed (SIGKILL)"),
                                        (-40, "was killed (signal 40)")])
def test_whatever_signal_ended_a_rank_is_told(pack, code, told):
    assert pack.nodes.training.distributed.workers._ended(code) == told
