"""The trainer as its tests run it, and a person who presses Cancel."""
import itertools

import pytest
from training_sets import clip, folder, training, vae  # noqa: F401
from training_videos import video_vae  # noqa: F401

numbers = itertools.count()


@pytest.fixture
def train(pack, output_folder):
    """train(model, steps, **recipe) runs the trainer on four pictures as the node does."""
    from training_models import caption, latents
    t = pack.nodes.training

    def run(model, steps=12, name="hand", seed=3, batch_size=2, rate=1e-2, dataset=None, resume="", prompts=None,
            stop_after=None, progress=None, rank=4, critic=None, weighting=0.0, shape=None, **recipe):
        dataset = dataset or t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
        settings = t.plan.settings.Settings(steps, batch_size, rate, rank, seed, t.plan.recipe.Recipe(**recipe))
        progress = progress or t.monitoring.progress.Progress(steps, "1")
        if stop_after:
            progress = Interrupting(progress, stop_after)
        return t.training_run.train(model, dataset, settings, name, progress, shape, sample_prompts=prompts,
                                    resume=resume, critic=critic, critic_weighting=weighting)
    return run


@pytest.fixture
def model():
    """A model, and at the end of the test the proof that nothing is left on it: it samples bit for bit as before."""
    import comfy.model_management
    import torch
    from training_graphs import output
    from training_models import tiny_sd3
    patcher = tiny_sd3()
    before = output(patcher)
    yield patcher
    assert torch.equal(output(patcher), before)
    assert not any("forward" in vars(module) for module in patcher.model.modules())
    assert torch.overrides._get_current_function_mode_stack() == []
    assert not comfy.model_management.in_training


@pytest.fixture
def watched_texts(host, monkeypatch):
    """The lines that were shown on the node, in order."""
    texts = []
    monkeypatch.setattr(host.server, "send_progress_text", lambda text, node, *more: texts.append(text))
    return texts


@pytest.fixture
def feed(host, monkeypatch):
    """feed(type, value) registers a node that gives `value`, a Python list being a list output, and returns its id."""
    def register(io_type, value):
        name = f"TrainingTestFeed{next(numbers)}"      # a new name each time, or the executor's cache answers
        give = type(name, (), {
            "INPUT_TYPES": classmethod(lambda cls: {"required": {}}), "RETURN_TYPES": (io_type,), "FUNCTION": "give",
            "CATEGORY": "test", "OUTPUT_IS_LIST": (isinstance(value, list),), "give": lambda self: (value,)})
        monkeypatch.setitem(host.nodes.NODE_CLASS_MAPPINGS, name, give)
        return {"class_type": name, "inputs": {}}
    return register


@pytest.fixture
def own_output_folder(output_folder):
    return output_folder


class Interrupting:
    """A Progress during which a person presses Cancel after some steps."""

    def __init__(self, progress, steps):
        self.progress, self.after = progress, steps

    def __getattr__(self, name):
        return getattr(self.progress, name)

    def update(self, session):
        import comfy.model_management
        if session.step == self.after:
            comfy.model_management.interrupt_current_processing()
        self.progress.update(session)
