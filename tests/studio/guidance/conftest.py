import pytest


@pytest.fixture(scope="module")
def guided(studio, parse, paintings):
    """A MODEL under guidance by a rubric of the paintings."""
    def guided(model, text="Balance=high", points=5.0, limit=0.1, start=0.0, end=1.0, vae=None, push=0.0, push_end=0.6,
               pixels=1.0):
        guidance, rewards = studio("guidance.critique_guidance"), studio("gradient.reward")
        found = studio("gradient.latent_decoder").decoder(model, "auto", vae)
        earned = rewards.reward(rewards.named(parse(text)), paintings, found.detail)
        settings = guidance.GuidanceSettings(points, limit, start, end, push, push_end, pixels)
        return guidance.guide(model, earned, found, settings)
    return guided
