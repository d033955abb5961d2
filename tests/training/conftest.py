"""The trainer as its tests run it, and a person who presses Cancel."""
import pytest


@pytest.fixture
def train(pack, output_folder):
    """train(model, steps, **recipe) runs the trainer on four pictures as the node does."""
    from training_models import caption, latents
    t = pack.nodes.training

    def run(model, steps=12, name="hand", seed=3, batch_size=2, rate=1e-2, dataset=None, resume="", prompts=None,
            stop_after=None, progress=None, rank=4, critic=None, weighting=0.0, **recipe):
        dataset = dataset or t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
        settings = t.plan.settings.Settings(steps, batch_size, rate, rank, seed, t.plan.recipe.Recipe(**recipe))
        progress = progress or t.seen.progress.Progress(steps, "1")
        if stop_after:
            progress = Interrupting(progress, stop_after)
        return t.run.train(model, dataset, settings, name, progress, sample_prompts=prompts, resume=resume,
                           critic=critic, critic_weighting=weighting)
    return run


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
