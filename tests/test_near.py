"""Minkowski and Jensen-Shannon on Numba: near values decide what they can, the answer has the bits of NumPy."""

from functools import partial
from unittest.mock import patch

import numpy as np
import pytest

import crossmodal_fast as cmf
from cases import BFLOAT16, SOME_QUERIES, arrays
from crossmodal_fast.kernels.tiles import metrics, packed
from grids import EDGES, thinned
from least import least_max_bytes
from searches import OPERATIONS, border, crowd_filters, everything, same
from stores import PairStore, Store

TIES = ("index", "optimistic", "pessimistic", "mean")
METRICS = {
    "minkowski-3": ("minkowski", {"p": 3}),
    "minkowski-1.5": ("minkowski", {"p": 1.5}),
    "minkowski-7.3": ("minkowski", {"p": 7.3}),
    "jensenshannon": ("jensenshannon", None),
    "jensenshannon-2": ("jensenshannon", {"base": 2}),
}
SELDOM = ("minkowski-1.5", "jensenshannon-2")  # each brings kernels of its own
metrics_of_pow_and_log = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy if name in SELDOM else ()) for name in METRICS]
)
two_metrics = pytest.mark.parametrize("name", ["minkowski-3", "jensenshannon"])


def control(name):
    metric, keywords = METRICS[name]
    return {"metric": metric, "metric_kwargs": keywords}


def normal(m, n, d, dtype=np.float32, seed=301):
    rng = np.random.default_rng(seed)
    return tuple(np.abs(rng.standard_normal((rows, d))).astype(dtype) for rows in (m, n))


def permuted(m, n, d, seed=302):
    """Entries of one row in another order, seen from rows of one number: values that only roundings tell apart."""
    rng = np.random.default_rng(seed)
    y = rng.permuted(np.tile(0.5 + rng.random(d), (n, 1)), axis=1)
    return np.full((m, d), 0.25), y * (1 + 2.0**-52 * rng.integers(0, 5, (n, 1)))


def goals(indices, n):
    """CSR: the last neighbour that was found, the first, and two rows anywhere, for each query."""
    rng = np.random.default_rng(303)
    positive = np.column_stack([indices[:, -1], indices[:, 0], rng.integers(0, n, (len(indices), 2))])
    return np.arange(len(indices) + 1) * 4, np.maximum(positive, 0).ravel()


def as_numpy_says(x, y, k, name, **keywords):
    """All four operations at the k-th neighbour, all ties of `ranks`, and radii one step beside a value."""
    keywords |= control(name)
    third = border(x, y, k, **keywords)
    same(*(everything(x, y, third, backend=backend, **keywords) for backend in ("numba", "numpy")))
    for radius in (np.nextafter(third["within"], -np.inf), np.nextafter(third["within"], np.inf)):
        same(*(cmf.within(x, y, radius, backend=backend, **keywords) for backend in ("numba", "numpy")))
    positives = goals(cmf.topk(x, y, k, backend="numpy", **keywords)[1], len(y))
    for ties in TIES:
        same(*(cmf.ranks(x, y, positives, ties=ties, backend=backend, **keywords) for backend in ("numba", "numpy")))


# ------------------------------------------------------------------------------------------------------- last bits


@metrics_of_pow_and_log
@pytest.mark.parametrize("d", [10, 40])
def test_values_that_are_equal_or_next_to_each_other(d, name):
    x, y = permuted(4, 300, d)
    metric, keywords = METRICS[name]
    value = np.unique(metrics.block(metrics.metric(metric, d, keywords), x[:1], y))
    assert 1 < len(value) < 100, "no two values are equal, or all are"
    assert np.min(np.diff(value) / np.spacing(value[:-1])) <= 2, "no two values are next to each other"
    for k in (1, 7, 150):
        as_numpy_says(x, y, k, name)


@metrics_of_pow_and_log
def test_last_bits_under_filters(name):
    x, y = permuted(20, 200, 12)
    for filters in crowd_filters(20, 200).values():
        as_numpy_says(x, y, 9, name, **filters)


@metrics_of_pow_and_log
@pytest.mark.parametrize("size", [1e-300, 1e-16, 1.0, 1e16, 1e300])
def test_biases_of_all_sizes(size, name):
    rng = np.random.default_rng(304)
    x, y = permuted(5, 120, 9)
    y[60:] *= 1 + 2.0**-40 * rng.random((60, 1))
    for draw in (rng.standard_normal, lambda rows: rng.integers(-2, 3, rows) * 1.0):
        as_numpy_says(x, y, 11, name, bias=(size * draw(5), size * draw(120)))


@metrics_of_pow_and_log
def test_biases_that_nearly_cancel_the_values(name):
    x, y = permuted(1, 150, 20)
    metric, keywords = METRICS[name]
    value = metrics.block(metrics.metric(metric, 20, keywords), x, y)[0]
    as_numpy_says(x, y, 12, name, bias=(np.zeros(1), -value * (1 + 1e-15 * np.random.default_rng(305).random(150))))


# ------------------------------------------------------------------------------------------------------- every input


@pytest.mark.parametrize(("case", "name"), thinned(2, SOME_QUERIES, ["minkowski-3", "jensenshannon"], always=EDGES))
def test_every_case(case, name):
    x, y = arrays(case, METRICS[name][0])
    as_numpy_says(x, y, min(9, len(y)), name)


@two_metrics
@pytest.mark.parametrize("kinds", [(np.float16, np.float32), (BFLOAT16, np.float64), (np.int8, np.uint8), (bool, bool)])
def test_dtypes(kinds, name):
    x, y = ((3 * rows).astype(kind) for rows, kind in zip(normal(7, 160, 21), kinds, strict=True))
    as_numpy_says(x, y, 6, name)


@metrics_of_pow_and_log
def test_what_is_not_finite(name):
    x, y = normal(12, 150, 10, np.float64)
    x[1, 3], x[4], x[6] = np.nan, 0.0, np.inf
    y[::11, 2], y[5::13], y[7::17, 9] = np.nan, 0.0, np.inf
    for k in (5, 140, 150):
        as_numpy_says(x, y, k, name, check_finite=False)


@two_metrics
def test_more_pairs_without_a_value_than_a_list_holds(name):
    """The first of them are the best of a row that has no others."""
    x, y = normal(3, 400, 6, np.float64)
    x[1, 2] = np.nan
    keywords = control(name) | {"check_finite": False, "n_threads": 1}
    for k in (1, 12):
        as_numpy_says(x, y, k, name, **keywords)
        same(*(cmf.topk_both(y, x, (2, k), backend=backend, **keywords) for backend in ("numba", "numpy")))


def test_gaps_whose_powers_overflow():
    x, y = normal(6, 90, 8, np.float64)
    y[::3] *= 10.0 ** np.linspace(90, 307, 30)[:, None]
    x[2:4] *= 1e200
    for name in METRICS:
        as_numpy_says(x, y, 70, name)


@two_metrics
def test_stores(name):
    x, y = normal(9, 200, 12)
    mask = np.random.default_rng(306).random((9, 200)) < 0.7
    third = border(x, y, 5, mask=mask, **control(name))
    expected = everything(x, y, third, mask=mask, backend="numpy", **control(name))
    same(everything(Store(x), Store(y), third, mask=PairStore(mask), backend="numba", **control(name)), expected)


@two_metrics
@pytest.mark.parametrize("positives", [1, 64, 65, 150])
def test_many_positives(positives, name):
    x, y = permuted(3, 150, 8)
    at = np.array([0, positives, positives, positives + 2]), np.r_[np.arange(positives), 3, 3]
    for ties in ("index", "pessimistic"):
        same(*(cmf.ranks(x, y, at, ties=ties, backend=backend, **control(name)) for backend in ("numba", "numpy")))


@two_metrics
@pytest.mark.parametrize("operation", OPERATIONS)
def test_any_workspace_and_number_of_threads(operation, name):
    x, y = permuted(20, 110, 9)
    third = border(x, y, 20, **control(name))[operation]
    search = getattr(cmf, operation)
    expected = search(x, y, third, backend="numpy", **control(name))

    def call(**more):
        return search(x, y, third, backend="numba", **control(name), **more)

    for n_threads in (1, 3):
        threaded = partial(call, n_threads=n_threads)
        same(threaded(max_bytes=least_max_bytes(threaded)), expected)
        with patch.object(packed, "PIECE_BYTES", 1 << 12):
            same(threaded(), expected)


# ------------------------------------------------------------------------------------------------------ what it saves


@metrics_of_pow_and_log
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("biased", [False, True])
def test_few_pairs_get_a_canonical_value(biased, operation, name, monkeypatch):
    m, n, k = 30, 2000, 5
    x, y = normal(m, n, 24)
    keywords = control(name)
    if biased:
        rng = np.random.default_rng(307)
        keywords["bias"] = 0.1 * rng.standard_normal(m), 0.1 * rng.standard_normal(n)
    third, settled, pairs = border(x, y, k, **keywords)[operation], [], metrics.pairs
    monkeypatch.setattr(metrics, "block", None)
    monkeypatch.setattr(metrics, "pairs", lambda metric, x, y: settled.append(len(x)) or pairs(metric, x, y))
    getattr(cmf, operation)(x, y, third, backend="numba", **keywords)
    needed = {"topk": m * k, "topk_both": m * k + n * k, "within": m * k, "ranks": 2 * m}[operation]
    ranges = 8  # of the partners, each with k best of its own
    assert needed <= sum(settled) <= (ranges * needed if operation.startswith("topk") else needed + 10)


@two_metrics
def test_rows_that_near_values_do_not_tell_apart(name):
    """More of them next to a row than its list holds: all pairs of that row, or column, get their canonical values."""
    rng = np.random.default_rng(308)
    x, y = normal(8, 900, 10, np.float64)
    y[100:800] = x[2] * (1 + 0.05 * rng.random(10)) * (1 + 2.0**-52 * rng.integers(0, 3, (700, 10)))
    for n_threads in (1, 3):
        keywords = control(name) | {"n_threads": n_threads}
        answer = cmf.topk(x, y, 5, backend="numba", return_stats=True, **keywords)
        same(answer[:2], cmf.topk(x, y, 5, backend="numpy", **keywords))
        assert answer[2].widened[2]
        assert answer[2].candidates[2] >= 700
        for one, other in ((x, y), (y, x)):
            same(*(cmf.topk_both(one, other, (3, 8), backend=backend, **keywords) for backend in ("numba", "numpy")))
