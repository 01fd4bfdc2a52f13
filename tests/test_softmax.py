"""`logsumexp` keeps the bound that the contract of `softmax` states."""

import numpy as np
import pytest
from scipy.special import logsumexp

import crossmodal_fast as cmf
import judge
from cases import GEMM_FAMILY, METRICS, arrays, law_kwargs, metric_kwargs, output_dtype
from crossmodal_fast.kernels.tiles.running import NEGLIGIBLE, Running
from grids import thinned
from least import least_max_bytes
from stores import Store

CASES = (
    "normal-17x130x64", "normal-1x1x5", "one-gallery-row", "one-query", "wide-float64-4x20x300", "unit-15x120x48",
    "integers-int64", "int8", "bfloat16", "mixed-float32-float64", "duplicates-12x20x16x5", "all-zero", "offset-1e3",
    "places-float64", "zero-rows", "constant-rows-float64", "subnormal-1e-42", "sparse",
)  # fmt: skip
SCALE = {"unit-15x120x48": 1000.0}  # of beta: a softmax that is nearly a maximum


def biases(m, n, seed=5):
    rng = np.random.default_rng(seed)
    return 30 * rng.standard_normal(m), 30 * rng.standard_normal(n)


@pytest.mark.parametrize(("metric", "name"), thinned(4, METRICS, CASES))
def test_keeps_its_bound(name, metric, backend):
    x, y = arrays(name, metric)
    beta = SCALE.get(name, 3.0)
    u, v = biases(len(x), len(y))

    def call(**more):
        return cmf.logsumexp(
            x, y, metric, beta=beta, axis="both", metric_kwargs=metric_kwargs(metric), backend=backend, **more
        )

    judged = dict(beta=beta, **law_kwargs(metric))
    judge.log_sums_within_bound(call(), x, y, metric, output_dtype(x, y), **judged)
    for max_bytes in (None, least_max_bytes(call)):
        answer = call(bias=(u, v), max_bytes=max_bytes)
        judge.log_sums_within_bound(answer, x, y, metric, output_dtype(x, y), u=u, v=v, **judged)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_axis_is_that_of_both(dtype, backend):
    x, y = (rows.astype(dtype) for rows in arrays("normal-17x130x64"))
    bias = biases(len(x), len(y))
    both = cmf.logsumexp(x, y, beta=20, bias=bias, axis="both", backend=backend)
    np.testing.assert_array_equal(cmf.logsumexp(x, y, beta=20, bias=bias, backend=backend), both.rows)
    np.testing.assert_array_equal(
        cmf.logsumexp(x, y, beta=20, bias=bias, axis="columns", backend=backend), both.columns
    )


@pytest.mark.parametrize("metric", GEMM_FAMILY)
def test_many_rectangles(metric, backend):
    rng = np.random.default_rng(6)
    x, y = (rng.standard_normal((rows, 24)).astype(np.float32) for rows in (530, 2100))
    u, v = biases(530, 2100)
    answer = cmf.logsumexp(x, y, metric, beta=4.0, bias=(u, v), axis="both", backend=backend)
    judge.log_sums_within_bound(answer, x, y, metric, np.dtype(np.float32), beta=4.0, u=u, v=v)
    again = cmf.logsumexp(x, y, metric, beta=4.0, bias=(u, v), axis="both", backend=backend, n_threads=1)
    for part, other in zip(answer, again, strict=True):
        np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", "int64"])
def test_ready_scores(dtype, backend):
    scores = (40 * np.random.default_rng(7).standard_normal((37, 53))).clip(0).astype(dtype)
    u, v = biases(37, 53)

    def call(held=scores, **more):
        return cmf.logsumexp(held, metric="precomputed", beta=2.0, bias=(u, v), axis="both", backend=backend, **more)

    for max_bytes in (None, least_max_bytes(call)):
        answer = call(max_bytes=max_bytes)
        judge.log_sums_within_bound(answer, scores, None, "precomputed", output_dtype(scores), beta=2.0, u=u, v=v)
        for part, other in zip(answer, call(Store(scores), max_bytes=max_bytes), strict=True):
            np.testing.assert_array_equal(part, other)


def test_stores_and_batches(backend):
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((3, 11, 5))
    answer = cmf.logsumexp(x, y, "euclidean", beta=0.5, axis="both", backend=backend)
    assert (answer.rows.shape, answer.columns.shape) == ((2, 3, 6), (2, 3, 11))
    for at in np.ndindex(2, 3):
        one = [part[at] for part in answer]
        judge.log_sums_within_bound(one, x[at], y[at[1]], "euclidean", np.dtype(np.float64), beta=0.5)
    stored = cmf.logsumexp(Store(x[0, 0]), Store(y[0]), "euclidean", beta=0.5, axis="both", backend=backend)
    judge.log_sums_within_bound(stored, x[0, 0], y[0], "euclidean", np.dtype(np.float64), beta=0.5)


def test_without_queries_a_column_sums_nothing(backend):
    rows, columns = cmf.logsumexp(np.empty((0, 3)), np.eye(3), axis="both", backend=backend)
    assert rows.shape == (0,)
    np.testing.assert_array_equal(columns, np.full(3, -np.inf))


def test_rows_that_are_not_finite_touch_no_other(backend):
    x, y = arrays("normal-9x31x8")
    clean = cmf.logsumexp(x, y, axis="both", backend=backend)
    x = x.copy()
    x[4, 1] = np.nan
    rows, columns = cmf.logsumexp(x, y, axis="both", check_finite=False, backend=backend)
    assert np.isnan(columns).all()
    assert np.flatnonzero(np.isnan(rows)).tolist() == [4]
    np.testing.assert_allclose(np.delete(rows, 4), np.delete(clean.rows, 4), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinite_and_missing_scores_give_what_the_formula_gives(dtype, backend):
    rng = np.random.default_rng(21)
    scores = rng.standard_normal((150, 1100)).astype(dtype)  # several stripes and pieces of a row
    for value, share in ((np.inf, 1e-3), (np.nan, 5e-4), (-np.inf, 0.02)):
        scores[rng.random(scores.shape) < share] = value
    scores[7], scores[:, 9] = -np.inf, np.inf
    scores[7, 9] = -np.inf
    found = cmf.logsumexp(scores, metric="precomputed", axis="both", backend=backend, check_finite=False)
    for part, axis in zip(found, (1, 0), strict=True):
        law = logsumexp(scores.astype(np.float64), axis=axis)
        assert np.isposinf(law).any()
        assert np.isnan(law).any()
        assert np.isfinite(law).any() or axis == 1
        np.testing.assert_allclose(part, law, rtol=1e-5)


def test_massless_rows_are_infinitely_far(backend):
    """jensenshannon: a term exp(-inf) is nothing; of nothing else, the sum is."""
    x, y = np.abs(arrays("normal-9x31x8")[0]), np.abs(arrays("normal-9x31x8")[1])
    y[3:] = 0
    rows, columns = cmf.logsumexp(x, y, "jensenshannon", axis="both", backend=backend)
    np.testing.assert_allclose(rows, cmf.logsumexp(x, y[:3], "jensenshannon", backend=backend), rtol=1e-12)
    assert np.isneginf(columns[3:]).all()
    assert np.isfinite(columns[:3]).all()


@pytest.mark.parametrize("single", [False, True])
def test_running_sums_do_not_depend_on_what_came_first(single):
    """Terms that rise, that fall, and that vanish beside others, a column at a time."""
    rising = np.linspace(-300, 300, 61)
    for term in (rising, rising[::-1], np.full(61, -7.0)):
        sums, out = Running(2, single), np.empty(2)
        for one in term:
            sums.add(1, np.full((1, 1), one))
            sums.add(0, np.full((1, 1), one - NEGLIGIBLE))
        sums.result(out)
        top = term.max()
        expected = top + np.log(np.exp(term - top).sum())
        np.testing.assert_allclose(out, [expected - NEGLIGIBLE, expected], rtol=0, atol=1e-6 if single else 1e-12)


@pytest.mark.parametrize(("dtype", "unit"), [(np.float32, 2.0**-24), (np.float64, 2.0**-53)])
def test_exponentials_of_numba_are_within_four_units(dtype, unit):
    exponential = pytest.importorskip("crossmodal_fast.kernels.tiles.exponential")
    terms = -np.linspace(0, NEGLIGIBLE, 40001).astype(dtype)[:, None]
    largest, total = np.zeros(len(terms)), np.zeros(len(terms))
    exponential.adder(terms.dtype.name)(terms, 0, 1, 1.0, np.zeros(1), largest, total)
    exact = np.exp(terms[:, 0].astype(np.longdouble))
    assert np.abs(total / exact - 1).max() < 4 * unit
    assert not largest.any()


@pytest.mark.parametrize(
    ("spoil", "place"),
    [(lambda rows, columns: (rows + 1e-3, columns), "entry"), (lambda rows, columns: (rows, columns[::-1]), "entry")],
)
def test_the_judge_can_say_no(spoil, place):
    x, y = arrays("normal-17x130x64")
    answer = cmf.logsumexp(x, y, axis="both", backend="numpy")
    with pytest.raises(AssertionError, match=place):
        judge.log_sums_within_bound(spoil(*answer), x, y, "cosine", np.dtype(np.float32))
