"""Whatever goes wrong: a sentence, files that are whole, and a model that samples bit for bit as before."""
import errno
import json
import sys
from operator import attrgetter

import comfy.model_management
import pytest
import torch
from real_host import GraphError
from safetensors import safe_open
from training_models import FAMILIES, build, caption, latents, samples, tiny_sd3

CANCEL = comfy.model_management.InterruptProcessingException


def output(patcher):
    """The model's denoised latents for a fixed input, as sampling computes them."""
    comfy.model_management.load_models_gpu([patcher])
    with torch.inference_mode():
        text, options = caption(0)[0]
        return patcher.model.apply_model(latents(2), torch.tensor([0.3, 0.8]), c_crossattn=text.repeat(2, 1, 1),
                                         y=options["pooled_output"].repeat(2, 1)).clone()


@pytest.fixture
def model():
    """A model, and at the end of the test the proof that nothing is left on it."""
    patcher = tiny_sd3()
    before = output(patcher)
    yield patcher
    assert torch.equal(output(patcher), before)
    assert not any("forward" in vars(module) for module in patcher.model.modules())
    assert torch.overrides._get_current_function_mode_stack() == []
    assert not comfy.model_management.in_training


def no_halves(folder):
    return not [p for p in folder.rglob("*") if p.suffix == ".tmp"]


PHASES = {"loading": ("training_run", "self_check"), "encoding": ("step.session.Session", "_encode"),
          "validating": ("step.validation.Validation", "measure"),
          "sampling": ("monitoring.sample_pictures.Samples", "draw"),
          "saving": ("disk.checkpoint_schedule.Checkpoints", "finish")}


@pytest.mark.parametrize("phase", PHASES)
def test_cancel_at_every_phase_leaves_the_model_and_whole_files(pack, train, model, monkeypatch, output_folder, phase):
    t = pack.nodes.training
    where, what = PHASES[phase]
    owner = attrgetter(where)(t)
    original, calls = getattr(owner, what), []

    def cancelled(*args, **kwargs):
        calls.append(1)
        if phase != "sampling" or len(calls) == 2:
            comfy.model_management.interrupt_current_processing()
            comfy.model_management.throw_exception_if_processing_interrupted()
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, what, cancelled)
    with pytest.raises(CANCEL):
        train(model, 4, prompts=caption(7), validation=t.plan.recipe.ValidationPlan(1, 2),
              samples=t.plan.recipe.SamplePlan(2, 2))
    kept = phase in ("validating", "sampling", "saving")
    assert [p.name for p in (output_folder / "loras").glob("*")] == ["hand_interrupted.safetensors"] * kept
    assert no_halves(output_folder)
    monkeypatch.undo()
    if kept:
        assert len(train(model, 4, resume="hand", validation=t.plan.recipe.ValidationPlan(1, 2)).losses) == 4


def test_a_loss_that_is_no_number_names_step_pictures_and_what_to_go_on_from(pack, train, model, monkeypatch,
                                                                            output_folder):
    t, calls, backward = pack.nodes.training, [], pack.nodes.training.step.session.backward

    def breaks(*args):
        calls.append(1)
        return backward(*args) * (float("inf") if len(calls) == 6 else 1)

    monkeypatch.setattr(t.step.session, "backward", breaks)
    with pytest.raises(FloatingPointError) as error:
        train(model, 8, ema=0.9, checkpoints=t.plan.recipe.CheckpointPlan(every=2))
    sentence = str(error.value)
    assert "stopped at step 6 of 8: its loss is inf" in sentence and "on picture " in sentence
    assert "hand_interrupted.safetensors" in sentence and "set resume to hand/step_00000004" in sentence
    monkeypatch.undo()
    assert len(train(model, 8, resume="hand").losses) == 8


def full_memory(rows, checkpointed=False):
    """Stands in for a device that holds `rows` samples, or fewer until blocks are recomputed."""
    def limited(original):
        def call(denoiser, noisy, sigma, conds):
            recomputes = any(m.forward.func.__name__ == "_checkpointed" for m in denoiser.model.modules()
                             if hasattr(vars(m).get("forward"), "func"))
            if torch.is_grad_enabled() and (len(noisy) > rows or checkpointed and not recomputes):
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return original(denoiser, noisy, sigma, conds)
        return call
    return limited


def limit_after_the_check(pack, monkeypatch, limited):
    t, check = pack.nodes.training, pack.nodes.training.training_run.self_check

    def checked(*args):
        result = check(*args)
        kind = t.step.denoiser.Denoiser
        monkeypatch.setattr(kind, "__call__", limited(kind.__call__))
        return result

    monkeypatch.setattr(t.training_run, "self_check", checked)


def test_a_full_memory_makes_the_forward_passes_smaller_and_changes_nothing_else(pack, train, model, monkeypatch):
    whole = train(model, 4, "whole", batch_size=4)
    limit_after_the_check(pack, monkeypatch, full_memory(rows=1))
    small = train(model, 4, "small", batch_size=4)
    assert all(torch.allclose(small.tensors[key], whole.tensors[key], atol=1e-4) for key in whole.tensors)
    assert [note for note in small.notes if "Memory was full" in note] == [
        "Memory was full at step 1: 2 of the batch's 4 pictures a forward pass from there on.",
        "Memory was full at step 1: 1 of the batch's 4 pictures a forward pass from there on."]


def test_a_memory_that_is_full_with_one_picture_recomputes_the_blocks(pack, train, model, monkeypatch):
    whole = train(model, 3, "whole")
    limit_after_the_check(pack, monkeypatch, full_memory(rows=1, checkpointed=True))
    small = train(model, 3, "small")
    assert small.checkpointed and not whole.checkpointed
    assert all(torch.allclose(small.tensors[key], whole.tensors[key], atol=1e-4) for key in whole.tensors)


def test_a_step_that_meets_what_the_self_check_did_not_is_taken_again(pack, output_folder, monkeypatch):
    t, retried, rewrite = pack.nodes.training, [], pack.nodes.training.step.retry._rewrite
    family = FAMILIES["Flux.1"]

    def run(name):
        dataset = t.data.dataset.TrainingSet(samples(pack, family, 2), [])
        return t.training_run.train(build(family), dataset, t.plan.settings.Settings(3, 1, 1e-2, 2, 0), name,
                           t.monitoring.progress.Progress(3, "1"))

    usual, check = run("usual"), t.training_run.self_check
    monkeypatch.setattr(t.training_run, "self_check", lambda *args: check(*args)._replace(rewrites=False))
    monkeypatch.setattr(t.step.retry, "_rewrite", lambda *args: (retried.append(1), rewrite(*args)))
    surprised = run("surprised")
    assert usual.check.rewrites and len(retried) == 1
    assert surprised.losses == usual.losses
    assert all(torch.equal(surprised.tensors[key], usual.tensors[key]) for key in usual.tensors)


def test_an_error_that_rewriting_does_not_help_ends_the_run(pack, train, model, monkeypatch):
    calls = []

    def broken(*args):
        calls.append(1)
        raise RuntimeError("something else")

    monkeypatch.setattr(pack.nodes.training.step.session, "backward", broken)
    with pytest.raises(RuntimeError, match="something else"):
        train(model, 3)
    assert len(calls) == 2


def test_a_memory_that_is_always_full_stops_with_what_was_tried(pack, train, model, monkeypatch):
    limit_after_the_check(pack, monkeypatch, full_memory(rows=0))
    with pytest.raises(MemoryError, match=r"stopped at step 1 of 3: memory is full with one picture at a time and "
                                          r"recomputed blocks. [\d,]+ MB are free; pictures of about 64 x 64 may "
                                          "fit") as full:
        train(model, 3)
    assert type(full.value) is MemoryError         # the page shows the kind as the title of the message


@pytest.mark.parametrize("words", [
    "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.",
    "[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9",
])
def test_what_the_cpu_s_allocator_says_is_known_as_a_full_memory(pack, words):
    full = pack.nodes.shared.full_memory.is_memory_full
    assert full(RuntimeError(words)) and full(MemoryError()) and not full(RuntimeError("another"))


def test_a_memory_that_is_really_full_is_known(pack):
    with pytest.raises(RuntimeError) as error:
        torch.empty(2 ** 55)
    assert pack.nodes.shared.full_memory.is_memory_full(error.value)


def test_pictures_larger_than_the_model_s_table_of_positions_are_refused_before_anything_runs(pack, train, model,
                                                                                              output_folder):
    dataset = pack.nodes.training.data.dataset.from_core_nodes(
        [{"samples": torch.zeros(1, 16, 8, 8)}, {"samples": torch.zeros(1, 16, 8, 66)}], [caption(0)])
    with pytest.raises(ValueError, match="dataset: SD3 takes pictures of at most 512 x 512; picture 2 is 528 x 64. Set "
                                         "resolution in Training Set lower."):
        train(model, 3, dataset=dataset)
    assert not list(output_folder.iterdir())


def test_what_a_model_s_code_only_asserts_is_a_sentence(pack, train, model, monkeypatch):
    def asserts(*args):
        assert not args

    monkeypatch.setattr(pack.nodes.training.step.session, "backward", asserts)
    with pytest.raises(ValueError, match=r"dataset: SD3 does not take these pictures \(64 x 64\): its code says"):
        train(model, 3)


def full_disk(monkeypatch, pack, allowed):
    """Lets `allowed` files be written, then the disk is full: a half-written file stays beside, as it would."""
    import safetensors.torch
    written, save = [], safetensors.torch.save_file

    def limited(tensors, path, metadata=None):
        written.append(path)
        if len(written) > allowed:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(tensors, path, metadata)

    monkeypatch.setattr(pack.nodes.lora.file.lora_files, "save_file", limited)


def test_a_disk_that_fills_up_while_training_is_noted_and_the_lora_is_saved_later(pack, train, model, monkeypatch,
                                                                                  output_folder):
    import safetensors.torch
    t, files = pack.nodes.training, pack.nodes.lora.file.lora_files
    full_disk(monkeypatch, pack, allowed=1)
    update = t.monitoring.progress.Progress.update

    def freed(progress, session):
        if session.step == 7:
            monkeypatch.setattr(files, "save_file", safetensors.torch.save_file)
        update(progress, session)

    monkeypatch.setattr(t.monitoring.progress.Progress, "update", freed)
    trained = train(model, 8, checkpoints=t.plan.recipe.CheckpointPlan(every=2))
    assert [note.partition(" (")[0] for note in trained.notes if "could" in note] == [
        "The state of step 4 could not be written", "The state of step 8 could be written again."]
    assert sorted(p.stem for p in (output_folder / "training" / "hand").iterdir()) == ["step_00000002",
                                                                                      "step_00000008"]
    assert no_halves(output_folder)


UNFIT = {   # channels of the latent, more of its sizes, widths of caption, of pooled output and of a prompt
    "4 channels": (4, (), 64, 32, 0, "dataset: expected latents of 16 channels, as SD3 takes, got 4: connect"),
    "caption": (16, (), 32, 32, 0, "dataset: expected captions of the text encoder of SD3, got .1, 8, 32. on"),
    "pooled": (16, (), 64, 16, 0, "dataset: expected captions of the text encoder of SD3"),
    "a video's": (16, (1,), 64, 32, 0, "dataset: expected latents of single pictures, as SD3 takes, got .1, 16, 1, 8,"),
    "prompt": (16, (), 64, 32, 32, "sample_prompts: expected captions of the text encoder of SD3, got .1, 8, 32."),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_another_model_s_vae_or_text_encoder_made_is_refused_by_the_input_s_name(pack, train, model, case):
    channels, frames, text, pooled, prompt, words = UNFIT[case]
    pictures = latents(2, channels).unflatten(1, (channels, *frames)) if frames else latents(2, channels)
    dataset = pack.nodes.training.data.dataset.from_core_nodes(
        [{"samples": pictures}], [caption(i, text=text, pooled=pooled) for i in range(2)])
    with pytest.raises(ValueError, match=f"^{words}"):
        train(model, 2, dataset=dataset, prompts=caption(0, text=prompt) if prompt else None)


@pytest.mark.parametrize("node, name, value, expected", [
    ("train.TrainLora", "batch_size", 0, "1 to 1024"), ("train.TrainLora", "rank", -4, "0 to 1024"),
    ("train.TrainLora", "learning_rate", -1.0, "0 to 10"), ("train.TrainLora", "steps", 0, "1 to 1000000"),
    ("train.TrainLora", "learning_rate", float("nan"), "0 to 10"),
    ("recipe.TrainingRecipe", "accumulation", 0, "1 to 1024"), ("adapter.Adapter", "rank", 0, "1 to 4096")])
def test_numbers_of_a_link_are_held_to_their_range(pack, node, name, value, expected):
    usual = dict(model=None, dataset=None, steps=1, batch_size=1, learning_rate=0.0, rank=0, seed=0, name="hand")
    usual = {"train": usual, "adapter": dict(algorithm="LoRA", alpha=0.0, targets="")}.get(node.split(".")[0], {})
    with pytest.raises(ValueError, match=f"^{name}: expected {expected}, got {value:g}"):
        attrgetter(node)(pack.nodes.training.nodes).execute(**{**usual, name: value})


def test_a_last_state_that_cannot_be_written_is_not_said_to_be_tried_again(pack, train, model, monkeypatch):
    def full(path, state):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pack.nodes.training.disk.checkpoint_schedule, "save_state", full)
    trained = train(model, 2)
    assert trained.state == "" and [note for note in trained.notes if "could" in note] == [
        "The state of step 2 could not be written (No space left on device)."]


def test_a_disk_that_is_full_at_the_end_says_what_can_be_gone_on_from(pack, train, model, monkeypatch, output_folder):
    full_disk(monkeypatch, pack, allowed=1)
    with pytest.raises(OSError, match="name: the LoRA could not be written to .*No space left on device.*"
                                      "To go on, set resume to hand/step_00000002"):
        train(model, 4, checkpoints=pack.nodes.training.plan.recipe.CheckpointPlan(every=2))
    assert no_halves(output_folder)
    monkeypatch.undo()
    assert len(train(model, 4, resume="hand").losses) == 4


def test_stop_and_keep_ends_early_and_lets_the_graph_go_on(pack, train, model, output_folder):
    t = pack.nodes.training

    class Stopping(t.monitoring.progress.Progress):
        def update(self, session):
            super().update(session)
            if session.step == 3:
                assert t.stop_and_keep.request_stop("", "9")

    trained = train(model, 8, progress=Stopping(8, "9"))
    assert len(trained.losses) == 3 and "Stopped early, as asked: 3 of 8 steps." in trained.notes
    assert [p.name for p in (output_folder / "loras").iterdir()] == ["hand.safetensors"]
    assert t.stop_and_keep._running == {} and not t.stop_and_keep.request_stop("", "9")


def test_the_page_s_request_reaches_the_training(pack, monkeypatch):
    import asyncio

    import server
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer
    from comfy_execution.utils import CurrentNodeContext
    stop, routes = pack.nodes.training.stop_and_keep, web.RouteTableDef()
    monkeypatch.setattr(server.PromptServer.instance, "routes", routes, raising=False)
    stop.add_routes()

    async def ask(client, prompt, node):
        answer = await client.post(stop.STOP, json={"prompt_id": prompt, "node": node})
        return (await answer.json())["stopping"]

    async def refused(client, body):
        answer = await client.post(stop.STOP, data=body)
        assert "prompt_id" in (await answer.json())["error"]
        return answer.status

    async def talk():
        app = web.Application()
        app.add_routes(routes)
        async with TestClient(TestServer(app)) as client:
            with CurrentNodeContext("mine", "4:2"), stop.stoppable("4:2") as asked:
                bodies = (b"", b"\xff", b"[]", b"{}", b"3", b"[" * 100_000)
                assert {await refused(client, body) for body in bodies} == {400}
                answers = [await ask(client, "mine", "1"), await ask(client, "another", "4:2"), asked(),
                           await ask(client, "mine", "4:2"), asked()]
            return [*answers, await ask(client, "mine", "4:2")]

    assert asyncio.run(talk()) == [False, False, False, True, True, False]


def test_the_whole_configuration_is_in_the_file(pack, train):
    from safetensors import safe_open
    trained = train(tiny_sd3(), 2, rank=0, rate=0, ema=0.5)
    with safe_open(trained.path, "pt") as file:
        metadata = file.metadata()
    config = json.loads(metadata["bottega.config"])
    assert config["recipe"]["ema"] == 0.5 and config["rank"] == 16 and config["learning_rate"] > 0
    assert metadata["ss_optimizer"] == "adamw" and metadata["ss_lr_scheduler"] == "cosine, 1 warm-up steps"


@pytest.fixture
def no_room():
    """no_room(True) lets no file of this process grow beyond a few bytes, as a full disk does; (False) ends that."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = lambda full: resource.setrlimit(resource.RLIMIT_FSIZE, (100 if full else before[0], before[1]))
    yield limit
    limit(False)


def progress_that(pack, steps, do):
    """A Progress that calls do(step) after each step, and shows every line."""
    class Acting(pack.nodes.training.monitoring.progress.Progress):
        def update(self, session):
            self.last_text = 0.0
            super().update(session)
            do(session.step)
    return Acting(steps, "1")


def test_a_disk_that_is_full_for_a_while_does_not_end_the_run_and_is_told_once(pack, train, model, output_folder,
                                                                               watched_texts, no_room):
    t = pack.nodes.training
    progress = progress_that(pack, 10, lambda step: no_room(2 < step < 7))
    trained = train(model, 10, progress=progress, prompts=caption(7),
                    checkpoints=t.plan.recipe.CheckpointPlan(2, 9, loras=True), samples=t.plan.recipe.SamplePlan(2, 2))
    told = [note for note in trained.notes if "could" in note]
    assert [note.split(" could")[0] for note in told] == [
        f"The {what} of step {step}" for step in (4, 8) for what in ("sample pictures", "state", "LoRA")]
    assert all("File too large" in note and "tries again at the next interval" in note for note in told[:3])
    assert any("left\nThe " in text for text in watched_texts) and "\n" not in watched_texts[-1]
    kept = sorted(int(p.stem.removeprefix("step_")) for p in (output_folder / "training" / "hand").glob("step_*"))
    assert kept == [2, 8, 10] and no_halves(output_folder)


def test_where_nothing_can_be_written_at_the_end_one_sentence_says_how_to_go_on(pack, train, model, output_folder,
                                                                                no_room):
    progress = progress_that(pack, 6, lambda step: no_room(step > 4))
    with pytest.raises(OSError) as error:
        train(model, 6, progress=progress, checkpoints=pack.nodes.training.plan.recipe.CheckpointPlan(2))
    sentence = str(error.value)
    assert sentence.startswith("name: the LoRA could not be written to loras (")
    assert sentence.endswith("To go on, set resume to hand/step_00000004.") and str(output_folder) not in sentence
    assert no_halves(output_folder)


def test_stop_and_keep_before_the_first_step_is_a_sentence_and_no_file(pack, train, model, monkeypatch, output_folder):
    t = pack.nodes.training
    check = t.training_run.self_check
    monkeypatch.setattr(t.training_run, "self_check", lambda *a: (t.stop_and_keep.request_stop("", "1"), check(*a))[1])
    with pytest.raises(RuntimeError, match="Stopped before the first step, as asked: there is no LoRA to keep yet."):
        train(model, 4)
    assert not [path for path in output_folder.rglob("*") if path.is_file()]


def test_sample_pictures_of_a_run_without_a_step_go_with_it(pack, train, model, output_folder, monkeypatch):
    t = pack.nodes.training
    save, seen = t.monitoring.sample_pictures.Samples.save, []

    def then_stop(*given):
        save(*given)
        seen.extend(path.name for path in output_folder.rglob("*.png"))
        t.stop_and_keep.request_stop("", "1")

    monkeypatch.setattr(t.monitoring.sample_pictures.Samples, "save", then_stop)
    with pytest.raises(RuntimeError, match="Stopped before the first step"):
        train(model, 4, prompts=caption(7), samples=t.plan.recipe.SamplePlan(steps=1))
    assert seen == ["step_00000000_1.png"] and not list((output_folder / "training").iterdir())


def test_any_error_in_a_step_tells_what_was_kept(pack, train, model, monkeypatch):
    calls, backward = [], pack.nodes.training.step.session.backward

    def breaks(*args):
        calls.append(1)
        if len(calls) > 3:
            raise LookupError("something of the host")
        return backward(*args)

    monkeypatch.setattr(pack.nodes.training.step.session, "backward", breaks)
    with pytest.raises(RuntimeError, match="something of the host The LoRA so far is kept in loras/hand_interrupted"
                                           ".safetensors. To go on, set resume to hand/step_00000003."):
        train(model, 6)


def test_a_missing_library_is_named_before_anything_is_trained(pack, train, model, output_folder, monkeypatch):
    for name in ("bitsandbytes", "bitsandbytes.optim"):     # another test may have imported the second
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="optimizer: AdamW8bit comes from the package bitsandbytes, which is not"):
        train(model, optimizer=pack.nodes.training.plan.recipe.OptimizerPlan("adamw_8bit"))
    assert not (output_folder / "loras").exists()


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


def test_more_validation_pictures_than_there_are_is_refused(pack, train, model):
    with pytest.raises(ValueError, match="validation_pictures: expected fewer than the 4 pictures of the data set, "
                                         "got 4."):
        train(model, validation=pack.nodes.training.plan.recipe.ValidationPlan(4))


def test_a_recipe_that_leaves_no_noise_is_refused_on_the_node(host):
    with pytest.raises(GraphError) as error:
        host.run({"recipe": {"class_type": "BottegaRecipe", "inputs": {"min_timestep": 0.5, "max_timestep": 0.5}},
                  "show": {"class_type": "PreviewAny", "inputs": {"source": ["recipe", 0]}}})
    assert "expected min_timestep below max_timestep, got 0.5 and 0.5" in str(error.value)


@pytest.mark.parametrize("where", [("monitoring.sample_pictures.Samples", "draw"),
                                   ("monitoring.progress", "progress_chart")])
def test_a_memory_too_full_for_pictures_ends_no_training(pack, train, monkeypatch, where):
    def full(*_args, **_kwargs):
        raise RuntimeError("could not create a primitive")

    t = pack.nodes.training
    monkeypatch.setattr(attrgetter(where[0])(t), where[1], full)
    trained = train(tiny_sd3(), 2, prompts=caption(7), samples=t.plan.recipe.SamplePlan(1, 1))
    assert len(trained.losses) == 2
    if where[1] == "draw":
        assert "Memory was too full for the sample pictures of step 1; the training went on." in trained.notes


def full_for_more_than(rows):
    """Stands in for a device that holds `rows` pictures where no gradient is asked for."""
    def limited(original):
        def losses(denoiser, objective, group, *rest):
            if len(group) > rows:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return original(denoiser, objective, group, *rest)
        return losses
    return limited


@pytest.mark.parametrize(("rows", "measures"), [(1, 2), (0, 0)])
def test_a_memory_that_is_full_in_the_validation_ends_no_training(pack, train, monkeypatch, rows, measures):
    t = pack.nodes.training
    plan = t.plan.recipe.ValidationPlan(2, 2)
    whole = train(tiny_sd3(), 4, "whole", batch_size=2, validation=plan)
    monkeypatch.setattr(t.step.validation, "group_losses", full_for_more_than(rows)(t.step.validation.group_losses))
    tight = train(tiny_sd3(), 4, "tight", batch_size=2, validation=plan)
    losses, found = ([measured.loss for measured in run.validated] for run in (whole, tight))
    assert found == pytest.approx(losses[:measures], rel=1e-4)
    assert all(torch.equal(tight.tensors[key], whole.tensors[key]) for key in whole.tensors)
    note = "Memory was too full for the validation loss of step 2 and of 1 later step; the training went on."
    assert (note in tight.notes) == (measures == 0)


def test_the_validation_asks_for_no_more_room_than_a_step(pack, train, monkeypatch):
    t = pack.nodes.training
    limited, seen = t.step.validation.group_losses, []
    monkeypatch.setattr(t.step.validation, "group_losses",
                        lambda *args: seen.append(len(args[2])) or limited(*args))
    train(tiny_sd3(), 1, batch_size=1, validation=t.plan.recipe.ValidationPlan(2))
    assert set(seen) == {1}


def test_a_memory_too_full_to_look_at_the_rate_ends_no_training(pack, train, monkeypatch):
    def full(*_):
        raise MemoryError

    t = pack.nodes.training
    monkeypatch.setattr(t.training_health, "SHORTEST", 2)
    monkeypatch.setattr(t.adapters.flat.Adapters, "relative_change", full)
    assert len(train(tiny_sd3(), 2).losses) == 2


@pytest.mark.parametrize("steps", [4, 2])
def test_memory_that_is_full_between_steps_is_said_with_the_step_and_how_to_go_on(pack, train, monkeypatch, steps):
    def full(*_):
        raise RuntimeError("unable to mmap 9 bytes from file </srv/x>: Cannot allocate memory (12)")

    t = pack.nodes.training
    monkeypatch.setattr(t.training_run.Health, "look", full)
    with pytest.raises(MemoryError) as error:
        train(tiny_sd3(), steps, validation=t.plan.recipe.ValidationPlan(1, 2))
    said = str(error.value)
    assert said.startswith(f"Memory was full after 2 of {steps} steps. ") and "set resume to hand/step_00000002" in said
    assert "/srv" not in said
