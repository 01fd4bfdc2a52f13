"""Hubness, geometry, alignment and significance against plain float64 loops and closed forms."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from crossmodal_fast import evaluate, topk
from crossmodal_fast.evaluate import _geometry, _significance
from crossmodal_fast.preprocess import normalize

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def rows():
    return np.random.default_rng(0).standard_normal((2, 60, 5)) + np.array([1.0, 0.0])[:, None, None]


# ---- hubs


def test_hubness_by_hand():
    indices = np.array([[0, 1], [0, 2], [0, 1], [0, -1]])  # N = 4 2 1 0, mean 7/4
    np.testing.assert_array_equal(evaluate.occurrences(indices, 4), [4, 2, 1, 0])
    N, mean = np.array([4, 2, 1, 0.0]), 1.75
    found = evaluate.hubness(indices, 4)
    assert found == pytest.approx(
        {
            "skewness": np.mean((N - mean) ** 3) / np.mean((N - mean) ** 2) ** 1.5,
            "robin_hood": (2.25 + 0.25 + 0.75 + 1.75) / 14,
            "gini": sum(abs(a - b) for a in N for b in N) / (2 * 4 * 4 * mean),
            "atkinson": 1 - np.mean(np.sqrt(N)) ** 2 / mean,
            "antihub_share": 0.25,
            "hub_share": 0.25,
            "groupie_share": 4 / 7,
        }
    )
    even = evaluate.hubness([[0], [1], [2]], 3)
    assert even == pytest.approx(dict.fromkeys(found, 0.0) | {"groupie_share": 1 / 3})


@pytest.mark.parametrize(("sides", "skewness"), [((0, 1), 1.65), ((1, 0), 2.36)])
def test_hubness_of_clip(sides, skewness):
    path = DATA / "clip500" / "features_clip.npy"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    features = np.load(path)
    found = topk(features[sides[0]], features[sides[1]], 10, "cosine", backend="numpy").indices
    assert evaluate.hubness(found, 500)["skewness"] == pytest.approx(skewness, abs=5e-3)


# ---- geometry


def test_gap_of_clip():
    path = DATA / "clip500" / "features_clip.npy"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    image, text = (normalize(side) for side in np.load(path).astype(np.float64))
    assert evaluate.modality_gap(image, text) == pytest.approx(0.8514, abs=5e-5)


def test_gap_alignment_and_cone(rows):
    X, Y = rows
    assert evaluate.modality_gap(X, Y) == pytest.approx(np.linalg.norm(X.mean(axis=0) - Y.mean(axis=0)))
    for a in (1.0, 2.0):
        assert evaluate.alignment(X, Y, a) == pytest.approx(np.mean(np.linalg.norm(X - Y, axis=1) ** a))
    cosines = normalize(X) @ normalize(X).T
    assert evaluate.mean_cosine(X) == pytest.approx(cosines[~np.eye(60, dtype=bool)].mean())


@pytest.mark.parametrize("block", [7, 60, 1024])
def test_uniformity(rows, block, monkeypatch):
    monkeypatch.setattr(_geometry, "BLOCK_ROWS", block)
    unit = normalize(rows[0])
    squared = ((unit[:, None] - unit) ** 2).sum(axis=2)[~np.eye(60, dtype=bool)]
    assert evaluate.uniformity(unit, backend="numpy") == pytest.approx(math.log(np.exp(-2 * squared).mean()))
    assert evaluate.uniformity([[0.0], [4.0]], backend="numpy") == pytest.approx(-32), "e^-32 beside two ones"
    assert evaluate.uniformity([[0.0], [1e6]], backend="numpy") == -math.inf


def test_effective_rank(rows):
    X = rows[0]
    centred = X - X.mean(axis=0)
    singular = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(evaluate.singular_values(X), singular, rtol=1e-12)
    p = singular / singular.sum()
    assert evaluate.effective_rank(X) == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    assert evaluate.effective_rank(np.eye(4), center=False) == pytest.approx(4)
    assert evaluate.effective_rank(np.ones((3, 2))) == 0
    assert evaluate.effective_rank(X[:1]) == 0
    assert evaluate.effective_rank(np.outer(np.arange(9.0), [1, 2, 3])) == pytest.approx(1, abs=1e-12)
    wide = np.random.default_rng(1).standard_normal((3, 40))
    assert evaluate.singular_values(wide).shape == (3,)
    assert evaluate.effective_rank(wide) == pytest.approx(2, abs=0.1)


def test_cka(rows):
    X, Y = rows
    K, L = ((side - side.mean(axis=0)) @ (side - side.mean(axis=0)).T for side in (X, Y[:, :3]))
    expected = (K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum())
    assert evaluate.cka(X, Y[:, :3]) == pytest.approx(expected)
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((5, 5)))[0]
    assert evaluate.cka(X, X @ turn + 3) == pytest.approx(1)
    assert evaluate.cka(1e-120 * X, 1e120 * X @ turn) == pytest.approx(1), "fourth powers would leave float64"


def test_mutual_neighbours(rows):
    X, Y = rows
    near = [np.argsort(-(normalize(side) @ normalize(side).T) + 9 * np.eye(60), axis=1)[:, :4] for side in (X, Y)]
    expected = np.mean([len(set(a) & set(b)) / 4 for a, b in zip(*near, strict=True)])
    assert evaluate.mutual_neighbours(X, Y, 4, backend="numpy") == pytest.approx(expected)
    assert evaluate.mutual_neighbours(X, 3 * X, 4, backend="numpy") == 1


# ---- alignment error rate, by the worked example of Och and Ney's definition


def test_alignment_error_rate():
    sure, possible = [[0, 0], [1, 1]], [[2, 1], [0, 0]]
    found = evaluate.alignment_error_rate([[0, 0], [2, 1], [3, 3], [3, 3]], sure, possible)
    assert found == pytest.approx({"precision": 2 / 3, "recall": 1 / 2, "aer": 1 - (1 + 2) / (3 + 2)})
    assert evaluate.alignment_error_rate([], sure)["aer"] == 1
    assert evaluate.alignment_error_rate(sure, sure)["aer"] == 0


# ---- significance


def test_bootstrap(monkeypatch):
    values = np.random.default_rng(3).random(200)
    low, high = evaluate.bootstrap_interval(values, samples=4000, seed=1)
    error = values.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.2 * error)
    assert evaluate.bootstrap_interval(values, samples=4000, seed=1) == (low, high)
    assert evaluate.bootstrap_interval(values, samples=4000, seed=2) != (low, high)
    monkeypatch.setattr(_significance, "BLOCK_DRAWS", 1000)
    assert evaluate.bootstrap_interval(values, samples=4000, seed=1) == (low, high), "blocks draw the same numbers"


def test_randomisation_against_all_signs():
    first, second = np.random.default_rng(4).random((2, 8)) + np.array([0.25, 0.0])[:, None]
    gap = first - second
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1).T
    exact = np.mean(np.abs(signs @ gap) >= abs(gap.sum()) - 1e-12)
    found = evaluate.randomisation_test(first, second, samples=20_000)
    assert found.difference == pytest.approx(gap.mean())
    assert found.p_value == pytest.approx(exact, abs=0.01)
    assert evaluate.randomisation_test(second, first, samples=20_000).p_value == found.p_value
    assert evaluate.randomisation_test(np.arange(40) + 1.0, np.arange(40), samples=99).p_value == 0.01


# ---- sentences


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: evaluate.hubness([[0.5]], 3), TypeError, "indices must hold whole numbers, got dtype float64"),
        (lambda: evaluate.hubness([0], 3), ValueError,
         "indices must have shape (m, k) with m, k >= 1, as `topk` gives them, got (1,)"),
        (lambda: evaluate.hubness([[3]], 3), ValueError,
         "indices must be in 0..2 (the gallery rows), or -1 for none, got 3"),
        (lambda: evaluate.hubness([[-1]], 3), ValueError,
         "indices must name at least one gallery row, got none in (1, 1)"),
        (lambda: evaluate.modality_gap([[1.0]], [[1.0, 2.0]]), ValueError,
         "X and Y must have the same number of columns, got 1 and 2"),
        (lambda: evaluate.alignment([[1.0]], [[1.0], [2.0]]), ValueError,
         "Y must have one row for each of the 1 rows of X, got 2"),
        (lambda: evaluate.alignment([[np.nan]], [[1.0]]), ValueError,
         "X must be finite, got nan in row 0; remove or fill such rows first"),
        (lambda: evaluate.uniformity([[1.0]]), ValueError, "X must have at least 2 rows, got 1"),
        (lambda: evaluate.mean_cosine([[1.0], [0.0]]), ValueError, "X must have no row of zeros, got one in row 1"),
        (lambda: evaluate.cka([[1.0], [2.0]], [[3.0], [3.0]]), ValueError,
         "Y must hold rows that differ, got 2 equal rows"),
        (lambda: evaluate.mutual_neighbours([[1.0], [2.0]], [[3.0], [3.0]], 2), ValueError,
         "k must be in 1..1 (the other rows), got 2"),
        (lambda: evaluate.mutual_neighbours([[1.0], [2.0]], [[3.0], [3.0]], "2"), TypeError,
         "k must be a whole number, got '2'"),
        (lambda: evaluate.effective_rank([[1.0], [2.0]], center="no"), ValueError,
         "center must be True or False, got 'no'"),
        (lambda: evaluate.alignment_error_rate([[0, 0]], []), ValueError,
         "sure must hold at least one link, got none"),
        (lambda: evaluate.alignment_error_rate([[0.5, 0]], [[0, 0]]), TypeError,
         "found must hold whole numbers, got dtype float64"),
        (lambda: evaluate.alignment_error_rate([0, 0], [[0, 0]]), ValueError,
         "found must have shape (p, 2), a row (i, j) for each link, got (2,)"),
        (lambda: evaluate.bootstrap_interval([]), ValueError,
         "values must have shape (m,) with m >= 1, one value a query, got (0,)"),
        (lambda: evaluate.bootstrap_interval([1.0], 1.5), ValueError, "level must be in 0..1, got 1.5"),
        (lambda: evaluate.bootstrap_interval([1.0], samples=0), ValueError, "samples must be at least 1, got 0"),
        (lambda: evaluate.bootstrap_interval([1.0], seed=-1), ValueError, "seed must be at least 0, got -1"),
        (lambda: evaluate.randomisation_test([1.0], [1.0, 2.0]), ValueError,
         "second must have a value for each of the 1 queries of first, got 2"),
        (lambda: evaluate.randomisation_test([np.inf], [1.0]), ValueError, "first must be finite, got inf"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()
