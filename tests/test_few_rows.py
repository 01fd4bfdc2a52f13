"""Calls of a few rows, which go through every branch of the kernels on Numba: the bits of NumPy, or the stated bound.

Small enough to run as Python too: `make coverage` runs this file a second time with `-p interpreted`.
"""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import METRICS, law_kwargs, metric_kwargs
from crossmodal_fast.kernels.scaling import cpu_numba as scaling
from crossmodal_fast.kernels.scaling.reference import scaling as scaling_law
from crossmodal_fast.kernels.tiles import best, mapper, selfjoin
from searches import border, crowd, crowd_filters, everything, random, same

TIES = ("index", "optimistic", "pessimistic", "mean")
X, Y = (np.abs(rows) for rows in crowd(9, 70, 11))
NUMBA, NUMPY = {"backend": "numba"}, {"backend": "numpy"}


def as_numpy_says(x, y, k, metric="euclidean", precision="auto", **keywords):
    """All four searches, and the ranks of several positives a query under every rule of ties."""
    keywords["metric_kwargs"] = metric_kwargs(metric)
    third = border(x, y, k, metric, **keywords)
    numba = NUMBA | {"precision": precision}
    same(*(everything(x, y, third, metric, **control, **keywords) for control in (numba, NUMPY)))
    positives = np.arange(len(x) + 1) * 3, np.random.default_rng(1).integers(0, len(y), 3 * len(x))
    for ties in TIES:
        same(*(cmf.ranks(x, y, positives, metric, ties=ties, **control, **keywords) for control in (numba, NUMPY)))


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric(metric):
    as_numpy_says(X, Y, 5, metric)


@pytest.mark.parametrize("precision", ["int6", "int8", "int16", "float32", "float64"])
def test_every_kind_of_codes(precision):
    as_numpy_says(X, Y, 5, precision=precision)


@pytest.mark.parametrize("kind", ["rows", "pairs", "bias"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "cityblock", "minkowski"])
def test_every_filter(metric, kind):
    as_numpy_says(X, Y, 5, metric, **crowd_filters(len(X), len(Y))[kind])


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "minkowski", "jensenshannon"])
def test_rows_that_are_not_finite(metric):
    x, y = X.copy(), Y.copy()
    x[2], x[3, 1], y[5], y[9, 0], y[30:33] = np.inf, np.nan, np.nan, np.inf, 1e30
    as_numpy_says(x, y, 68, metric, check_finite=False)


@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_float64(metric):
    as_numpy_says(X.astype(np.float64), Y.astype(np.float64), 3, metric)


@pytest.mark.parametrize("metric", ["hamming", "jaccard"])
def test_bits(metric):
    as_numpy_says(X > 1, Y > 1, 3, metric)


@pytest.mark.parametrize("metric", ["euclidean", "correlation", "dot"])
def test_rows_of_no_length_and_of_every_order_of_magnitude(metric):
    x, y = X.copy(), Y.copy()
    x[0], y[:3], y[4], y[8] = 0, 0, 1, 1e20 * y[8]
    as_numpy_says(x, y, 6, metric)


def test_more_rows_than_a_list_holds(monkeypatch):
    """Lists are swept; of equal rows there are more than any holds, and their owners are given up."""
    monkeypatch.setattr(best, "ROOM", dict.fromkeys(best.ROOM, 8))
    monkeypatch.setattr(best, "FEW_OWNERS", 0)
    x, y = random(2, 400, 5)
    order = np.argsort(-((x[0] - y) ** 2).sum(axis=1))  # the farthest first: every row is offered
    as_numpy_says(x, y[order], 4, precision="int16")
    as_numpy_says(x, np.repeat(y[:2], 50, axis=0), 4, precision="int16")


def test_pairs_that_float32_does_not_tell_apart():
    x = Y + np.float32(1e4)
    for metric in ("euclidean", "cosine"):
        judge.pairwise_within_bound(cmf.pairwise_distances(x, metric=metric, **NUMBA), x, x, metric)


def test_whole_numbers():
    as_numpy_says(np.rint(9 * X).astype(np.int8), np.rint(9 * Y).astype(np.int8), 5, "dot")


def test_many_neighbours_in_any_order():
    x, y = random(3, 300, 5)
    order = np.argsort(-((x[0] - y) ** 2).sum(axis=1))  # the farthest first: every row is offered
    as_numpy_says(x, y[order], 40)


def test_rows_longer_than_a_block():
    x, y = random(5, 33, 4100)
    same(*(everything(x, y, border(x, y, 2), **control) for control in (NUMBA | {"precision": "float64"}, NUMPY)))


def test_more_positives_than_a_visit_counts():
    """A reading of the tiles ends early where a list of pairs is full."""
    x, y = X[:3], np.repeat(Y, 3, axis=0)
    starts, positives = np.array([0, 70, 70, 271]), np.random.default_rng(2).integers(0, len(y), 271)
    same(*(cmf.ranks(x, y, (starts, positives), ties="mean", **control) for control in (NUMBA, NUMPY)))


def test_no_products_and_no_loops():
    """Values that NumPy computes, epilogues on Numba."""
    x, y = (rows.astype(np.float64) for rows in (X, Y))
    same(*(cmf.topk(x, y, 3, "seuclidean", **control) for control in (NUMBA, NUMPY)))


def test_rows_among_themselves(monkeypatch):
    monkeypatch.setattr(selfjoin, "LEAST", 1)
    for k in (1, 7):
        same(
            cmf.topk(Y, Y, k, exclude_self=True, **NUMBA),
            cmf.topk(Y, Y.copy(), k, exclude_self=True, **NUMPY),
        )


@pytest.mark.parametrize("metric", METRICS)
def test_distances(metric):
    keywords = {"metric": metric, "metric_kwargs": metric_kwargs(metric)}
    for x, y in ((X, Y), (X.astype(np.float64), Y)):
        answer = cmf.pairwise_distances(x, y, **keywords, **NUMBA)
        judge.pairwise_within_bound(answer, x, y, metric, **law_kwargs(metric))
    itself = cmf.pairwise_distances(Y, **keywords, **NUMBA)
    judge.pairwise_within_bound(itself, Y, Y, metric, **law_kwargs(metric))
    np.testing.assert_array_equal(itself, itself.T)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_exponentials(dtype):
    x, y = X.astype(dtype), Y.astype(dtype)
    for metric in ("cosine", "euclidean"):
        found = cmf.logsumexp(x, y, metric, beta=9.0, axis="both", **NUMBA)
        judge.log_sums_within_bound(found, x, y, metric, np.dtype(dtype), beta=9.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_ready_scores(dtype):
    scores = (40 * np.random.default_rng(7).standard_normal((11, 21))).astype(dtype)
    scores[2, 3], scores[4], scores[5:7, 8], scores[:, 9], scores[9, 1] = np.inf, -np.inf, np.inf, -np.inf, np.nan
    scores[8, [2, 4]], scores[4, 0] = (np.inf, np.nan), np.nan
    found, law = (
        cmf.logsumexp(scores, metric="precomputed", axis="both", check_finite=False, **control)
        for control in (NUMBA, NUMPY)
    )
    for part, other in zip(found, law, strict=True):
        assert np.isposinf(part).any()
        np.testing.assert_allclose(part, other, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tile", [mapper.READING, mapper.MULTIPLYING])
def test_maps_of_few_rows_each(dtype, tile):
    rng = np.random.default_rng(3)
    e, m, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((11, 37), (3, 7, 37), (3, 7)))
    which = rng.integers(0, 2, 11) if tile is mapper.MULTIPLYING else np.arange(11) % 3
    e[4] = 0
    plain, unit = (cmf.transfer(e, m, bias, which=which, normalize=normalize, **NUMBA) for normalize in (False, True))
    for number in range(3):
        mine = which == number
        judge.transfer_within_bound(plain[mine], e[mine], m[number], bias[number])
        judge.unit_transfer_within_bound(unit[mine], e[mine], m[number], bias[number])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_iterations_of_scaling(dtype):
    rng = np.random.default_rng(4)
    scores, a, b = rng.uniform(-1, 1, (9, 14)).astype(dtype), rng.uniform(1, 2, 9), rng.uniform(1, 2, 14)
    goals, found = (np.log(a / a.sum()), np.log(b / b.sum())), (np.zeros(9), np.zeros(14))
    law = scaling_law(scores, 4.0, goals, 0.8, (np.zeros(9), np.zeros(14)), 5)
    scaling.scaling(
        scores, np.empty_like(scores), beta=4.0, goals=goals, share=0.8, potentials=found, weights=a / a.sum(),
        tolerance=-1.0, iterations=5,
    )  # fmt: skip
    for part, other in zip(found, law, strict=True):
        np.testing.assert_allclose(part, other, atol=1e-5 if dtype == np.float32 else 1e-12)
