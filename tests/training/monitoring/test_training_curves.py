"""The curves of trainings that the server keeps for every page that looks at them."""
from types import SimpleNamespace

import pytest
from comfy_execution.utils import CurrentNodeContext
from training_models import tiny_sd3


@pytest.fixture
def curves(pack, monkeypatch):
    part = pack.nodes.training.monitoring.curves
    monkeypatch.setattr(part, "_curves", type(part._curves)())
    return part


@pytest.fixture
def events(host, monkeypatch):
    """(event, data, to whom) of everything that was sent."""
    sent = []
    monkeypatch.setattr(host.server, "send_progress_text", lambda *a: None)
    monkeypatch.setattr(host.server, "send_sync", lambda event, data, sid=None: sent.append((event, data, sid)))
    return sent


def hidden(workflow="flow", display="12"):
    return SimpleNamespace(dynprompt=SimpleNamespace(get_display_node_id=lambda node: display),
                           extra_pnginfo={"workflow": {"id": workflow}})


def session(*losses):
    return SimpleNamespace(step=len(losses), losses=list(losses), rates=[1e-4] * len(losses), seconds=2.0 * len(losses))


def test_a_training_is_known_by_its_prompt_its_node_and_its_workflow(pack, train, curves, events):
    progress = pack.nodes.training.monitoring.progress.Progress
    with CurrentNodeContext("prompt", "12.0.0.3"):
        trained = train(tiny_sd3(), 3, progress=progress(3, "12.0.0.3", hidden()))
    (kept,) = curves.known()
    assert [kept[name] for name in ("prompt_id", "node", "display_node", "workflow_id")] == [
        "prompt", "12.0.0.3", "12", "flow"]
    assert kept["losses"] == [round(loss, 6) for loss in trained.losses] and kept["first"] == 1
    assert (kept["step"], kept["steps"], kept["ended"]) == (3, 3, "finished")


@pytest.mark.parametrize("extra", [None, "text", [1], {"workflow": "text"}])
def test_a_prompt_of_another_program_has_a_training_of_no_workflow(curves, extra):
    odd = SimpleNamespace(dynprompt=None, extra_pnginfo=extra)
    assert curves.place_of("7", odd).workflow == ""


def test_every_page_is_told_and_told_the_end(pack, train, curves, events):
    train(tiny_sd3(), 3)
    told = [(data, sid) for event, data, sid in events if event == "bottega.training"]
    assert {sid for _, sid in told} == {None}
    assert [data["ended"] for data, _ in told][-1] == "finished" and told[0][0]["ended"] == ""
    assert [loss for data, _ in told for loss in data["losses"]] == curves.known()[0]["losses"]


def test_the_page_is_told_what_a_cancelled_training_goes_on_with(train, curves, events):
    import comfy.model_management
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        train(tiny_sd3(), 12, "cut", stop_after=3)
    *_, end = [data for event, data, _ in events if event == "bottega.training"]
    assert (end["ended"], end["resume"]) == ("cancelled", "cut")
    assert len(train(tiny_sd3(), 4, "cut", resume=end["resume"]).losses) == 4


def test_a_cancel_and_a_failure_and_a_stop_are_told_apart(pack, curves, events):
    import comfy.model_management
    stop = pack.nodes.training.stop_and_keep

    def run(prompt, steps, ends):
        with CurrentNodeContext(prompt, "7"):
            curve = curves.begin(curves.place_of("7"), steps)
            with stop.stoppable("7"):
                curve.add(session(*[0.5] * 4))
                ends(prompt)

    def raising(error):
        def ends(prompt):
            raise error
        return ends

    def nothing(prompt):
        pass

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run("a", 8, raising(comfy.model_management.InterruptProcessingException()))
    with pytest.raises(ZeroDivisionError):
        run("b", 8, raising(ZeroDivisionError()))
    run("c", 8, lambda prompt: stop.request_stop(prompt, "7"))
    run("d", 4, lambda prompt: stop.request_stop(prompt, "7"))
    run("e", 4, nothing)
    run("f", 8, nothing)  # Train with the Critic ends by itself when it is cancelled
    assert {one["prompt_id"]: one["ended"] for one in curves.known()} == {
        "a": "cancelled", "b": "failed", "c": "stopped", "d": "finished", "e": "finished", "f": "cancelled"}
    assert [data["ended"] for _, data, _ in events] == [one["ended"] for one in curves.known()]


def test_a_step_that_was_tried_again_counts_once_and_what_is_no_number_is_left_out(curves):
    curve = curves.begin(curves.place_of("1"), 9)
    curve.add(session(1.0, 2.0, float("nan")))
    curve.add(session(1.0, 2.5))
    curve.add(session(1.0, 2.5, float("inf"), 4.0))
    assert curve.since(1)["losses"] == [1.0, 2.5, None, 4.0] and curve.since(3)["losses"] == [None, 4.0]


def test_news_hold_every_loss_once_however_seldom_they_are_told(curves, monkeypatch):
    monkeypatch.setattr(curves, "MOST_NEWS", 3)
    curve, losses = curves.begin(curves.place_of("1"), 9), [float(i) for i in range(9)]
    told = []
    for step in (1, 3, 8):
        curve.add(session(*losses[:step]))
        told.append(curve.news())
    curve.end("stopped")
    assert [news["losses"] for news in (*told, curve.news())] == [[0], [1, 2], [5, 6, 7], []]
    assert [news["first"] for news in told] == [1, 2, 6]


def test_only_the_latest_trainings_and_losses_are_kept(curves, monkeypatch):
    monkeypatch.setattr(curves, "MOST_LOSSES", 5)
    for number in range(curves.KEPT + 3):
        with CurrentNodeContext(f"p{number}", "1"):
            curves.begin(curves.place_of("1"), 9).add(session(*[float(i) for i in range(8)]))
    assert [one["prompt_id"] for one in curves.known()] == [f"p{n}" for n in range(3, curves.KEPT + 3)]
    assert curves.known()[0]["first"] == 4 and curves.known()[0]["losses"] == [3.0, 4.0, 5.0, 6.0, 7.0]


def test_a_run_that_never_took_a_step_has_no_curve(pack, curves, events):
    curves.begin(curves.place_of("1"), 9)
    with pack.nodes.training.stop_and_keep.stoppable("1"):
        pass
    assert curves.known() == [] and events == []
