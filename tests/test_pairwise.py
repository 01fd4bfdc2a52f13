"""`pairwise_distances` and `similarity` keep their stated accuracy against canonical values."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import METRICS, arrays, law_kwargs, metric_kwargs, output_dtype
from crossmodal_fast.kernels.pairwise import reference as law
from grids import cases_by_metrics, thinned
from least import least_max_bytes

DIRECT = [metric for metric in METRICS if metric not in ("euclidean", "sqeuclidean", "cosine", "correlation", "dot")]
LEADING = [((3,), (3,)), ((2, 3), (3,)), ((3,), (2, 1)), ((), (4,)), ((0,), (1,))]


def check(x, y, metric, backend):
    def call(**more):
        return cmf.pairwise_distances(x, y, metric, metric_kwargs=metric_kwargs(metric), backend=backend, **more)

    for max_bytes in (None, least_max_bytes(call)):
        answer = call(max_bytes=max_bytes)
        assert answer.dtype == output_dtype(x, y)
        judge.pairwise_within_bound(answer, x, y, metric, **law_kwargs(metric))


@pytest.mark.parametrize(("name", "metric"), cases_by_metrics("pairwise"))
def test_keeps_its_accuracy(name, metric, backend):
    x, y = arrays(name, metric)
    check(x, y, metric, backend)


@pytest.mark.parametrize(
    ("metric", "name"),
    thinned(2, METRICS, ["normal-17x130x64", "near-duplicates-1e-7", "zero-rows", "integers-float64", "int8"]),
)
def test_of_a_set_with_itself_is_symmetric_to_the_bit(name, metric, backend):
    _, y = arrays(name, metric)
    answer = cmf.pairwise_distances(y, metric=metric, metric_kwargs=metric_kwargs(metric), backend=backend)
    judge.pairwise_within_bound(answer, y, y, metric, **law_kwargs(metric))
    np.testing.assert_array_equal(answer, answer.T)
    again = cmf.pairwise_distances(y, None, metric, metric_kwargs=metric_kwargs(metric), backend=backend)
    np.testing.assert_array_equal(again, answer)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "correlation"])
@pytest.mark.parametrize("name", ["normal-17x130x64", "offset-1e6", "places-float32", "huge-values-1e30", "float16"])
def test_a_row_and_its_copy_are_at_distance_zero(name, metric, backend):
    _, y = arrays(name)
    assert (np.diagonal(cmf.pairwise_distances(y, y.copy(), metric, backend=backend)) == 0).all()
    assert (np.diagonal(cmf.pairwise_distances(y, metric=metric, backend=backend)) == 0).all()


@pytest.mark.parametrize(
    ("metric", "name"),
    thinned(2, DIRECT, ["normal-17x130x64", "integers-float64", "zero-rows", "bool", "mixed-float32-float64"]),
)
def test_metrics_without_an_expansion_are_canonical_values_rounded_once(name, metric, backend):
    x, y = arrays(name, metric)
    answer = cmf.pairwise_distances(x, y, metric, metric_kwargs=metric_kwargs(metric), backend=backend)
    value = law.pairwise_distances(x, y, metric, **law_kwargs(metric))
    np.testing.assert_array_equal(answer, value.astype(answer.dtype))


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "chebyshev"])
@pytest.mark.parametrize(("leading_x", "leading_y"), LEADING)
def test_batches_broadcast(leading_x, leading_y, metric, backend):
    rng = np.random.default_rng(43)
    x = rng.standard_normal((*leading_x, 6, 5)).astype(np.float32)
    y = rng.standard_normal((*leading_y, 11, 5)).astype(np.float32)
    answer = cmf.pairwise_distances(x, y, metric, backend=backend)
    leading = np.broadcast_shapes(leading_x, leading_y)
    assert answer.shape == (*leading, 6, 11)
    wide_x, wide_y = (np.broadcast_to(part, (*leading, *part.shape[-2:])) for part in (x, y))
    for at in np.ndindex(leading):
        judge.pairwise_within_bound(answer[at], wide_x[at], wide_y[at], metric)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["normal-float64", "normal-9x31x8", "offset-1e6", "int8"])
def test_dtype_sets_the_accuracy(name, dtype, backend):
    x, y = arrays(name)
    for metric in ("euclidean", "sqeuclidean", "cosine", "correlation", "dot"):
        answer = cmf.pairwise_distances(x, y, metric, dtype=dtype, backend=backend)
        assert answer.dtype == dtype
        judge.pairwise_within_bound(answer, x, y, metric)


def test_out_is_filled_and_returned(backend):
    x, y = arrays("normal-9x31x8")
    out = np.full((9, 31), np.nan, np.float32)
    assert cmf.pairwise_distances(x, y, out=out, backend=backend) is out
    judge.pairwise_within_bound(out, x, y)
    columns = np.full((31, 9), np.nan, np.float32).T
    cmf.pairwise_distances(x, y, out=columns, backend=backend)
    judge.pairwise_within_bound(columns, x, y)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "cityblock"])
def test_many_tiles(metric, backend):
    rng = np.random.default_rng(44)
    x, y = (rng.standard_normal((rows, 24)).astype(np.float32) for rows in (530, 2100))
    y[1000:1500] = x[:500] + np.float32(1e-6)
    for max_bytes in (None, 1 << 25):
        answer = cmf.pairwise_distances(x, y, metric, max_bytes=max_bytes, backend=backend)
        judge.pairwise_within_bound(answer, x, y, metric)
    judge.pairwise_within_bound(cmf.pairwise_distances(x, metric=metric, backend=backend), x, x, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_are_not_finite_touch_no_other(metric, backend):
    x, y = (rows.copy() for rows in arrays("normal-9x31x8", metric))
    clean = cmf.pairwise_distances(x, y, metric, metric_kwargs=metric_kwargs(metric), backend=backend)
    y[[3, 20]], x[4, 1] = np.nan, np.nan
    answer = cmf.pairwise_distances(
        x, y, metric, metric_kwargs=metric_kwargs(metric), check_finite=False, backend=backend
    )
    good = np.ix_(np.isfinite(x).all(1), np.isfinite(y).all(1))
    np.testing.assert_allclose(answer[good], clean[good], rtol=1e-6, atol=1e-6)
    judge.pairwise_within_bound(answer, x, y, metric, **law_kwargs(metric))


@pytest.mark.parametrize("metric", ["cosine", "correlation", "dot"])
@pytest.mark.parametrize("name", ["normal-17x130x64", "zero-rows", "normal-float64", "int8"])
def test_similarity_is_one_minus_distance(name, metric, backend):
    x, y = arrays(name)
    value = law.pairwise_distances(x, y, metric)
    answer = cmf.similarity(x, y, metric, backend=backend)
    assert answer.dtype == output_dtype(x, y)
    expected = value if metric == "dot" else 1 - value
    size = np.linalg.norm(x.astype(float), axis=1)[:, None] * np.linalg.norm(y.astype(float), axis=1)[None]
    share = 1e-6 if answer.dtype == np.float32 else 1e-13
    assert (np.abs(answer - expected) <= share * (size if metric == "dot" else 1) + 1e-300).all()


def test_similarity_defaults_to_the_cosine_of_a_set_with_itself(backend):
    _, y = arrays("unit-15x120x48")
    answer = cmf.similarity(y, backend=backend)
    np.testing.assert_array_equal(answer, cmf.similarity(y, y, "cosine", backend=backend))
    np.testing.assert_array_equal(np.diagonal(answer), 1)
