"""The painter as it is kept here, behind the host's own loaders: it gives pictures back, and paints what is asked."""
import numpy as np
import pytest
import torch
from painter import install, judge, pictures, scenes


@pytest.fixture(scope="module")
def painter(host, tmp_path_factory):
    from painter import evaluate
    models = tmp_path_factory.mktemp("painter") / "models"
    install.install(models)
    return evaluate.Painter(models)


@torch.inference_mode()
def test_a_picture_comes_back_from_the_vae_without_a_grid(painter):
    for seed in (700_000, 700_003):
        picture = pictures.picture(seed, test=True)[0]
        gap = painter.given_back(picture).astype(float) - picture
        assert -10 * np.log10((gap ** 2).mean() / 255 ** 2) >= 28
        steps = np.abs(np.diff(gap.mean(2), axis=1)).mean(0)
        assert steps[7::8].mean() < 1.25 * steps.mean(), "the borders of the cells of 8 pixels show"


@torch.inference_mode()
def test_unseen_captions_are_painted(painter):
    """A sample of what starter/painter/evaluate.py checks on more captions."""
    examiner, rng, named, wrong = judge.Judge(), np.random.default_rng(5), 0, []
    for seed in range(6):
        scene = scenes.random_scene(rng, test=True)
        wrong += examiner.wrong(painter.sample(scene.caption, seed), scene)
        named += sum(bool(word) for word in scene)
    assert len(wrong) <= 0.2 * named, wrong


def test_installing_again_writes_nothing(painter, tmp_path):
    install.install(tmp_path / "models")
    install.install_pictures(tmp_path / "input")
    stamps = lambda: {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    before = stamps()
    install.install(tmp_path / "models")
    install.install_pictures(tmp_path / "input")
    assert stamps() == before and len(before) == 3 + len(install.LORAS) + 2 * install.LEARNT


def test_the_pictures_to_learn_from_are_of_a_medium_that_training_never_shows(tmp_path):
    install.install_pictures(tmp_path)
    captions = [path.read_text(encoding="utf-8") for path in sorted(tmp_path.glob("*.txt"))]
    assert all(caption.endswith(f", {install.STYLE}") for caption in captions)
    assert install.STYLE in scenes.HELD_OUT_MEDIA and len(set(captions)) == install.LEARNT


def test_a_style_is_learnt_at_the_shares_of_noise_that_are_asked_for(host):
    from painter import style
    usual, fine = style.asked(200, 1e-3, 8, None), style.asked(200, 2e-3, 16, 0.6, 12)
    assert (usual.recipe.timesteps.density, usual.recipe.timesteps.high) == (None, 1.0)
    assert (fine.learning_rate, fine.rank, usual.batch_size, fine.batch_size) == (2e-3, 16, style.BATCH, 12)
    shares = fine.recipe.timesteps
    assert (shares.density, shares.shift, shares.high) == ("uniform", 1.0, 0.6)


def test_no_picture_that_a_style_is_compared_with_is_learnt(host):
    from painter import style
    assert style.to_learn(style.LEARNT) == [*range(16)]
    assert len(set(style.to_learn(48)) - set(style.REFERENCE)) == 48
