"""Recorded results of matching on CLIP-500: images and their captions, both ways."""

from pathlib import Path

import numpy as np
import pytest

from crossmodal_fast import match
from matching import FAST

PATH = Path(__file__).resolve().parents[2] / "shared" / "data" / "clip500" / "features_clip.npy"


@pytest.fixture(scope="module")
def clip():
    if not PATH.exists():
        pytest.skip(f"{PATH} is absent")
    sides = np.load(PATH).astype(np.float64)
    return sides / np.linalg.norm(sides, axis=2, keepdims=True)


def hit_rates(sides, method, **options):
    """(R@1, R@10) of images that seek captions, then of captions that seek images."""
    found = []
    for X, Y in (sides, sides[::-1]):
        columns = match(X, Y, method, k=10, **options, **FAST).columns.reshape(500, 10)
        hits = columns == np.arange(500)[:, None]
        found += [hits[:, 0].mean(), hits.any(axis=1).mean()]
    return found


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("topk", {}, (0.552, 0.892, 0.506, 0.862)),
        ("csls", {}, (0.620, 0.914, 0.590, 0.906)),
        ("inverted_softmax", {"beta": 100}, (0.632, 0.914, 0.652, 0.926)),
        ("dual_softmax", {"beta": 100}, (0.628, 0.922, 0.598, 0.912)),
        ("softmax_prior", {"beta": 100}, (0.644, 0.916, 0.652, 0.928)),
        pytest.param(
            "sinkhorn", {"epsilon": 0.01, "iterations": 500, "tolerance": 0, "levels": 0, "keep_scores": True},
            (0.680, 0.946, 0.670, 0.942), marks=pytest.mark.heavy,
        ),
    ],
)  # fmt: skip
def test_hit_rates(clip, method, options, expected):
    np.testing.assert_allclose(hit_rates(clip, method, **options), expected, atol=1e-12)


def test_sinkhorn_of_fewer_iterations(clip):
    found = match(*clip, "sinkhorn", epsilon=0.01, iterations=60, keep_scores=True, **FAST)
    assert np.mean(found.columns == np.arange(500)) == pytest.approx(0.680, abs=0.006)


@pytest.mark.parametrize("solver", ["dense", "sparse"])
def test_assignment(clip, solver):
    found = match(*clip, "assignment", solver=solver, **FAST)
    assert np.mean(found.columns == np.arange(500)) == 0.648
    assert found.scores.sum() == pytest.approx(156.6382, abs=5e-5)
    assert abs(found.gap) < 1e-10
    assert (found.u[:, None] + found.v - clip[0] @ clip[1].T).min() > -1e-12


def test_greedy(clip):
    found = match(*clip, "greedy", **FAST)
    assert np.mean(found.columns == np.arange(500)) == 0.560
    assert found.scores.sum() == pytest.approx(154.5183, abs=5e-5)


def test_mutual_neighbours(clip):
    found = match(*clip, "mutual", **FAST)
    assert (len(found.rows), int((found.rows == found.columns).sum())) == (258, 208)
