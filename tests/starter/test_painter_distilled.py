"""The distilling of the painter: its teacher's paths, and a student that follows them."""
import pytest
import torch


@pytest.fixture
def distil(host, monkeypatch):
    from painter import distil
    monkeypatch.setattr(distil, "AT_ONCE", 1)
    return distil


@pytest.fixture
def paths(distil, tmp_path):
    return distil.Paths(tmp_path, 1)


def test_a_path_is_walked_once_from_noise_to_a_picture(distil, paths, monkeypatch):
    points, *told = paths.batch(0)
    assert points.shape == (5, 1, 16, 32, 32) and len(told) == 3
    noise = torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(points[0], noise.half().float())
    assert points[-1].std() < 0.8 * points[0].std()
    monkeypatch.setattr(distil.Paths, "walk", None)
    assert torch.equal(paths.batch(0)[0], points), "the second time it comes from its file"


def test_a_student_comes_nearer_to_the_end_of_a_guided_path_in_four_steps(distil, paths):
    points, *told = paths.batch(0)
    student = distil.Student(0)
    student.begin_with(distil.WEIGHTS)
    before = gap(distil, student, points, told)
    for _ in range(12):
        student.follow_path(points, *told, updates=12)
    assert gap(distil, student, points, told) < 0.8 * before


@torch.no_grad()
def gap(distil, student, points, told) -> float:
    from painter import train
    x, sigmas = points[0], distil.levels(distil.STUDENT_STEPS)
    for now, then in zip(sigmas, sigmas[1:], strict=False):
        x = x + (then - now) * train.velocity(student.quick, x, now[None], *told)
    return (x - points[-1]).square().mean().item()
