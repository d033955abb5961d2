"""Cancel, and Stop and keep: the graph ends or goes on as asked, and what is kept is whole."""
from operator import attrgetter

import comfy.model_management
import pytest
from training_graphs import CANCEL, no_halves
from training_models import caption

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
