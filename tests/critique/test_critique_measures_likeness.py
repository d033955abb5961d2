"""Halves of a picture that are alike are measured as alike whatever their tones, and others are not."""
import numpy as np
import pytest
from drawn_planes import SIDE, disc, scattered
from hypothesis import given, settings
from hypothesis import strategies as st

ALIKE = ("Likeness left-right", "Likeness up-down", "Likeness half-turn")


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_a_mirrored_picture_is_alike_whatever_its_tones(measured, seed):
    half = scattered(seed, (SIDE, SIDE // 2))
    mirrored = np.hstack([half, half[:, ::-1]])
    for plane in (mirrored, 1 - mirrored, mirrored[::-1], mirrored * 0.4 + 0.3, mirrored * 0.2):
        assert measured(plane.copy(), ALIKE)["Likeness left-right"] > 0.9
    assert measured(np.vstack([half, half[::-1]]), ALIKE)["Likeness up-down"] > 0.9
    turned = np.vstack([half, np.rot90(half, 2)])
    assert measured(turned, ALIKE)["Likeness half-turn"] > 0.9


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_likeness_is_kept_by_inverting_and_flipping(measured, seed):
    plane = scattered(seed)
    before = measured(plane, ALIKE)
    for changed in (1 - plane, plane[:, ::-1], plane[::-1], np.rot90(plane, 2)):
        after = measured(changed.copy(), ALIKE)
        assert all(after[column] == pytest.approx(before[column], abs=0.03) for column in ALIKE)
    assert before["Likeness left-right"] < 0.8


def test_halves_and_opposites_are_not_alike(measured):
    assert measured(np.hstack([np.zeros((SIDE, 48)), np.ones((SIDE, 48))]), ALIKE)["Likeness left-right"] < -0.5
    assert measured(disc(0.2, 0.4), ALIKE)["Likeness left-right"] < 0.2
    noise = np.random.default_rng(0).random((SIDE, SIDE))
    assert abs(measured(noise, ALIKE)["Likeness left-right"]) < 0.15
