"""`ranks` equals the law, count for count: every case, metric, filter, tie policy and block size."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import CASES, GEMM_FAMILY, METRICS, arrays, law_kwargs, metric_kwargs
from crossmodal_fast.kernels.ranks import reference as law
from crossmodal_fast.kernels.topk import reference as topk_law
from grids import cases_by_metrics, thinned
from least import least_max_bytes
from test_topk import FEW_METRICS, FILTERED_CASES, filters

TIES = ("index", "optimistic", "pessimistic", "mean")
TIED_CASES = ("integers-float32", "ties-int32", "duplicates-12x20x16x5", "all-equal", "zero-rows-float64", "sparse")


def several(m, n, seed=101):
    """CSR: none to three positives a query, in any order, some of them twice."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, m)
    return np.concatenate([[0], np.cumsum(counts)]), rng.integers(0, n, counts.sum())


def check(x, y, positives, metric="euclidean", ties="index", **keywords):
    """With the default workspace and with the least possible one."""
    control = {name: keywords.pop(name) for name in ("backend", "precision", "check_finite") if name in keywords}
    indptr, index = positives if isinstance(positives, tuple) else (np.arange(len(x) + 1), positives)
    row = np.repeat(np.arange(len(x)), np.diff(indptr))
    expected = law.ranks(x, y, row, index, ties, metric, **law_kwargs(metric), **keywords)

    def call(**more):
        kwargs = metric_kwargs(metric)
        return cmf.ranks(x, y, positives, metric, ties=ties, metric_kwargs=kwargs, **keywords, **control, **more)

    for max_bytes in (None, least_max_bytes(call)):
        judge.same_ranks(call(max_bytes=max_bytes), expected, ties)
    return expected


@pytest.mark.parametrize(("name", "metric"), cases_by_metrics("ranks"))
def test_equals_the_law(name, metric, backend):
    """Each case meets all four tie policies, and so does each metric."""
    x, y = arrays(name, metric)
    ties = TIES[([*CASES].index(name) + METRICS.index(metric)) % len(TIES)]
    check(x, y, several(len(x), len(y)), metric, ties, backend=backend)


@pytest.mark.parametrize(("name", "metric", "ties"), thinned(4, TIED_CASES, FEW_METRICS, TIES))
def test_ties(name, metric, ties, backend):
    x, y = arrays(name)
    check(x, y, several(len(x), len(y), 102), metric, ties, backend=backend)


@pytest.mark.parametrize(("kind", "name", "metric"), thinned(4, filters(1, 1, 0), FILTERED_CASES, FEW_METRICS))
def test_filters(kind, name, metric, backend):
    x, y = arrays(name)
    ties = TIES[([*filters(1, 1, 0)].index(kind) + FEW_METRICS.index(metric)) % len(TIES)]
    check(x, y, several(len(x), len(y), 103), metric, ties, backend=backend, **filters(len(x), len(y), 18)[kind])


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cityblock"])
def test_a_positive_that_may_not_match_gets_the_rank_it_would_have(metric, backend):
    x, y = arrays("normal-9x31x8")
    _, index = topk_law.topk(x, y, 31, metric)
    best, third = index[:, 0], index[:, 2]
    mask = np.ones((9, 31), bool)
    mask[np.arange(9), best] = False
    assert cmf.ranks(x, y, best, metric, mask=mask, backend=backend).tolist() == [1] * 9
    assert cmf.ranks(x, y, third, metric, mask=mask, backend=backend).tolist() == [2] * 9
    assert cmf.ranks(x, y, third, metric, exclude=third, backend=backend).tolist() == [3] * 9
    assert cmf.ranks(x, y, third, metric, exclude=best, backend=backend).tolist() == [2] * 9
    nobody = np.zeros(31, bool)
    assert cmf.ranks(x, y, third, metric, mask=nobody, backend=backend).tolist() == [1] * 9


@pytest.mark.parametrize("metric", FEW_METRICS)
@pytest.mark.parametrize("name", ["normal-17x130x64", "duplicates-float64"])
def test_exclude_self(name, metric, backend):
    _, y = arrays(name)
    n = len(y)
    positives = np.random.default_rng(104).integers(0, n, n)
    positives[:3] = np.arange(3)  # their own positives
    expected = law.ranks(y, y, np.arange(n), positives, "pessimistic", metric, exclude=np.arange(n))
    answer = cmf.ranks(y, y, positives, metric, ties="pessimistic", exclude_self=True, backend=backend)
    judge.same_ranks(answer, expected, "pessimistic")


@pytest.mark.parametrize(
    ("metric", "name", "precision"),
    thinned(
        2,
        GEMM_FAMILY,
        ["near-duplicates-1e-7", "near-duplicates-1e-15", "offset-1e6", "mixed-scales-float64"],
        ["float32", "float64"],
    ),
)
def test_precision_of_the_scan_never_shows(name, metric, precision, backend):
    x, y = arrays(name)
    check(x, y, several(len(x), len(y), 105), metric, precision=precision, backend=backend)


@pytest.mark.parametrize(("metric", "ties"), thinned(2, METRICS, TIES))
def test_nan_comes_after_everything_and_is_equal_to_nan(metric, ties, backend):
    x, y = (rows.copy() for rows in arrays("normal-9x31x8", metric))
    y[[3, 4, 20]], y[5, 2] = np.nan, np.nan
    x[1], x[4, 0] = np.nan, np.nan
    positives = np.array([3, 4, 20, 5, 0, 1, 20, 30, 4])
    check(x, y, positives, metric, ties, check_finite=False, backend=backend)


def test_nan_by_hand(backend):
    x, y = np.array([[0.0]]), np.array([[np.nan], [2.0], [np.nan], [1.0]])
    for ties, expected in (("index", 4), ("optimistic", 3), ("pessimistic", 4), ("mean", 3.5)):
        assert cmf.ranks(x, y, [2], ties=ties, check_finite=False, backend=backend).tolist() == [expected]


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "dot", "cityblock"])
def test_infinity_is_a_value_if_not_refused(metric, backend):
    x, y = (rows.copy() for rows in arrays("normal-9x31x8"))
    y[3, 0], y[7, 1], y[9], x[2, 3] = np.inf, -np.inf, np.inf, np.inf
    check(x, y, np.array([3, 7, 9, 9, 3, 0, 1, 2, 30]), metric, check_finite=False, backend=backend)


@pytest.mark.parametrize("ties", TIES)
def test_no_query_and_no_positive(ties, backend):
    x, y = arrays("no-query")
    check(x, y, np.zeros(0, int), ties=ties, backend=backend)
    check(x, y, (np.zeros(1, int), np.zeros(0, int)), ties=ties, backend=backend)
    x, y = arrays("normal-9x31x8")
    check(x, y, (np.zeros(10, int), np.zeros(0, int)), ties=ties, backend=backend)


def test_lists_do_as_well_as_arrays(backend):
    x, y = arrays("normal-9x31x8")
    index = list(range(9))
    expected = cmf.ranks(x, y, np.array(index), backend=backend)
    assert cmf.ranks(x, y, index, backend=backend).tolist() == expected.tolist()
    assert cmf.ranks(x, y, (list(range(10)), index), backend=backend).tolist() == expected.tolist()
    assert cmf.ranks(x[:0], y, [], backend=backend).tolist() == []
    assert cmf.ranks(x, y, ([0] * 10, []), backend=backend).tolist() == []


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "cityblock"])
def test_many_tiles(metric, backend):
    """Positives in every tile; some queries have more of them than fit one reading of a tile."""
    rng = np.random.default_rng(106)
    x, y = (rng.integers(-2, 3, (rows, 4)).astype(np.float32) for rows in (530, 2500))
    value, index = topk_law.topk(x, y, len(y), metric)
    counts = np.zeros(530, int)
    counts[[0, 1, 300, 511, 512, 529]] = 3, 400, 1, 2, 5, 150
    rows = np.repeat(np.arange(530), counts)
    position = rng.integers(0, 2500, len(rows))
    positives = np.concatenate([[0], np.cumsum(counts)]), index[rows, position]
    for max_bytes in (None, 1 << 25):
        control = {"max_bytes": max_bytes, "backend": backend}
        judge.same_ranks(cmf.ranks(x, y, positives, metric, **control), 1 + position, "index")
        low, high = (cmf.ranks(x, y, positives, metric, ties=ties, **control) for ties in TIES[1:3])
        tied = value[rows] == value[rows, position][:, None]
        judge.same_ranks(low, 1 + tied.argmax(axis=1), "optimistic")
        judge.same_ranks(high, low + tied.sum(axis=1) - 1, "pessimistic")


@pytest.mark.parametrize("metric", GEMM_FAMILY)
def test_more_near_ties_than_any_shortlist_holds(metric, backend):
    rng = np.random.default_rng(107)
    centre = rng.standard_normal(16)
    x, y = ((centre + 1e-6 * rng.standard_normal((rows, 16))).astype(np.float32) for rows in (12, 2500))
    _, index = topk_law.topk(x, y, 2500, metric)
    answer = cmf.ranks(x, y, index[:, 1234], metric, backend=backend)
    judge.same_ranks(answer, np.full(12, 1235), "index")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["normal-9x31x8", "integers-float32", "duplicates-12x20x16x5", "all-equal"])
def test_the_law_is_the_position_in_topk(name, metric):
    """Two laws, one order: the rank by index of a row is its place in `topk` of all; equal values share the others."""
    x, y = arrays(name, metric)
    m, n = len(x), len(y)
    square = {"euclidean": "sqeuclidean"}.get(metric, metric)  # what is ordered: roots of two squares may be equal
    value, index = topk_law.topk(x, y, n, square, **law_kwargs(metric))
    row, place = np.repeat(np.arange(m), 4), np.random.default_rng(108).integers(0, n, 4 * m)
    place[:4] = 0, 1, n - 2, n - 1
    pairs = row, index[row, place]
    ranks = {ties: law.ranks(x, y, *pairs, ties, metric, **law_kwargs(metric)) for ties in TIES}
    equal = value[row] == value[row, place][:, None]
    assert ranks["index"].tolist() == (1 + place).tolist()
    assert (ranks["pessimistic"] - ranks["optimistic"] + 1 == equal.sum(axis=1)).all()
    assert (ranks["optimistic"] <= ranks["index"]).all()
    assert (ranks["index"] <= ranks["pessimistic"]).all()
    assert (ranks["mean"] * 2 == ranks["optimistic"] + ranks["pessimistic"]).all()


@pytest.mark.parametrize("metric", ["euclidean", "dot"])
@pytest.mark.parametrize("kind", ["mask-of-pairs", "all-filters"])
def test_the_law_under_filters_is_the_position_in_topk(kind, metric):
    x, y = arrays("integers-float32")
    m, n = len(x), len(y)
    chosen = filters(m, n, 19)[kind]
    _, index = topk_law.topk(x, y, n, metric, **chosen)
    row, place = np.nonzero(index >= 0)
    assert len(row) < m * n
    assert law.ranks(x, y, row, index[row, place], "index", metric, **chosen).tolist() == (place + 1).tolist()
