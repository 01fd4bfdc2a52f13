"""`topk` equals the law bit for bit: every case, metric, filter, block size and batch shape."""

import itertools

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import CASES, METRICS, arrays, law_kwargs, metric_kwargs, output_dtype
from crossmodal_fast.kernels.topk import reference as law
from grids import cases_by_metrics, thinned
from least import least_max_bytes

FEW_METRICS = ("euclidean", "sqeuclidean", "cosine", "correlation", "dot", "cityblock", "jaccard")
FILTERED_CASES = (
    "normal-9x31x8", "integers-float32", "duplicates-12x20x16x5", "zero-rows-float64", "mixed-scales-float64",
)  # fmt: skip
PRECISE_CASES = thinned(3, CASES, ["euclidean", "cosine", "correlation", "dot"])
MANY_TILES = 1.5  # of the least workspace, which alone is 14,000 jobs of a panel each for 530 x 2500: 5 s on Numba
LEADING = [((3,), (3,)), ((2, 3), (3,)), ((3,), (2, 1)), ((), (4,)), ((1,), (4,)), ((2, 0), (1, 1))]


def check(x, y, k, metric, room=1.0, **keywords):
    """With the default workspace and with `room` times the least possible one."""
    control = {name: keywords.pop(name) for name in ("backend", "precision", "n_threads") if name in keywords}
    expected = law.topk(x, y, k, metric, **law_kwargs(metric), **keywords)

    def call(**more):
        return cmf.topk(x, y, k, metric, metric_kwargs=metric_kwargs(metric), **keywords, **control, **more)

    judge.same_bits(call(), expected, output_dtype(x, y))
    judge.same_bits(call(max_bytes=int(room * least_max_bytes(call))), expected, output_dtype(x, y))


@pytest.mark.parametrize(("name", "metric"), cases_by_metrics("topk"))
def test_equals_the_law(name, metric, backend):
    x, y = arrays(name, metric)
    check(x, y, min(len(y), 9), metric, backend=backend)


@pytest.mark.parametrize(
    ("metric", "name"),
    thinned(2, METRICS, ["normal-9x31x8", "integers-float32", "huge-row-1e30", "all-equal", "one-gallery-row"]),
)
def test_one_neighbour_and_all_of_them(name, metric, backend):
    x, y = arrays(name, metric)
    check(x, y, 1, metric, backend=backend)
    check(x, y, len(y), metric, backend=backend)


@pytest.mark.parametrize(("name", "metric"), PRECISE_CASES)
def test_precision_of_the_scan_never_shows(name, metric, backend):
    x, y = arrays(name)
    k = min(len(y), 4)
    expected = law.topk(x, y, k, metric)
    for precision in ("float32", "float64"):
        answer = cmf.topk(x, y, k, metric, precision=precision, backend=backend)
        judge.same_bits(answer, expected, output_dtype(x, y))


def filters(m, n, seed):
    rng = np.random.default_rng(seed)
    exclude = rng.integers(0, n, m)
    exclude[::3] = -1
    crowded = rng.random((m, n)) < 0.6
    crowded[0], crowded[:, 0] = False, True  # one query with a single partner
    return {
        "exclude": {"exclude": exclude},
        "mask-of-rows": {"mask": rng.random(n) < 0.5},
        "mask-of-pairs": {"mask": crowded},
        "nothing-allowed": {"mask": np.zeros(n, bool)},
        "small-bias": {"bias": (0.01 * rng.standard_normal(m), 0.01 * rng.standard_normal(n))},
        "large-bias": {"bias": (1e6 * rng.standard_normal(m), 1e6 * rng.standard_normal(n))},
        "whole-bias": {"bias": (rng.integers(-3, 4, m).astype(float), rng.integers(-3, 4, n).astype(float))},
        "all-filters": {"exclude": exclude, "mask": crowded, "bias": (rng.standard_normal(m), rng.standard_normal(n))},
    }


@pytest.mark.parametrize(("kind", "name", "metric"), thinned(4, filters(1, 1, 0), FILTERED_CASES, FEW_METRICS))
def test_filters(kind, name, metric, backend):
    x, y = arrays(name)
    check(x, y, 6, metric, backend=backend, **filters(len(x), len(y), 7)[kind])


@pytest.mark.parametrize("metric", FEW_METRICS)
@pytest.mark.parametrize("name", ["normal-17x130x64", "duplicates-float64", "places-float32"])
def test_exclude_self(name, metric, backend):
    _, y = arrays(name)
    expected = law.topk(y, y, 5, metric, exclude=np.arange(len(y)))
    for max_bytes in (None, least_max_bytes(lambda max_bytes: cmf.topk(y, y, 5, metric, max_bytes=max_bytes))):
        answer = cmf.topk(y, y, 5, metric, exclude_self=True, max_bytes=max_bytes, backend=backend)
        judge.same_bits(answer, expected, output_dtype(y))


def test_excluding_self_and_more_leaves_empty_slots_at_the_end(backend):
    _, y = arrays("normal-1x1x5")
    for metric, empty in (("euclidean", np.inf), ("dot", -np.inf)):
        distances, indices = cmf.topk(y, y, 1, metric, exclude_self=True, backend=backend)
        assert distances.tolist() == [[empty]]
        assert indices.tolist() == [[-1]]


@pytest.mark.parametrize(("metric", "leading"), thinned(3, FEW_METRICS, LEADING))
def test_batches_are_independent_and_broadcast(leading, metric, backend):
    leading_x, leading_y = leading
    rng = np.random.default_rng(11)
    x = rng.integers(-4, 5, (*leading_x, 6, 5)).astype(np.float32)
    y = rng.standard_normal((*leading_y, 20, 5)).astype(np.float32)
    distances, indices = cmf.topk(x, y, 3, metric, backend=backend)
    leading = np.broadcast_shapes(leading_x, leading_y)
    assert distances.shape == indices.shape == (*leading, 6, 3)
    assert distances.dtype == np.float32
    assert indices.dtype == np.int64
    wide_x, wide_y = (np.broadcast_to(part, (*leading, *part.shape[-2:])) for part in (x, y))
    for at in np.ndindex(leading):
        judge.same_bits((distances[at], indices[at]), law.topk(wide_x[at], wide_y[at], 3, metric), np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("metric", "name"),
    thinned(
        2,
        ["sqeuclidean", "euclidean", "dot", "cosine"],
        ["normal-float64", "normal-9x31x8", "huge-values-1e30", "subnormal-1e-42", "int8"],
    ),
)
def test_dtype_rounds_the_distance_and_nothing_else(name, metric, dtype, backend):
    x, y = arrays(name)
    expected = law.topk(x, y, 7, metric)
    judge.same_bits(cmf.topk(x, y, 7, metric, dtype=dtype, backend=backend), expected, dtype)


def test_lists_do_as_well_as_arrays_even_with_nothing_in_them(backend):
    x, y = arrays("normal-9x31x8")
    exclude, mask, bias = list(range(9)), [True] * 30 + [False], ([0.5] * 9, [0] * 30 + [1])
    answer = cmf.topk(x, y, 4, exclude=exclude, mask=mask, bias=bias, backend=backend)
    judge.same_bits(answer, law.topk(x, y, 4, exclude=exclude, mask=mask, bias=bias), np.float32)
    nobody = cmf.topk(x[:0], y, 4, exclude=[], bias=([], [0] * 31), backend=backend)
    judge.same_bits(nobody, law.topk(x[:0], y, 4), np.float32)
    rows, columns = cmf.topk_both(x, y, (4, 2), exclude=[-1] * 9, backend=backend)
    for answer, expected in zip((rows, columns), law.topk_both(x, y, 4, 2), strict=True):
        judge.same_bits(answer, expected, np.float32)


def test_result_is_a_named_pair(backend):
    x, y = arrays("normal-9x31x8")
    result = cmf.topk(x, y, 2, backend=backend)
    assert isinstance(result, tuple)
    assert len(result) == 2
    assert result.distances is result[0]
    assert result.indices is result[1]


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "cityblock"])
def test_stats_come_third_and_change_nothing(metric, backend):
    x, y = arrays("normal-17x130x64")
    distances, indices, stats = cmf.topk(x, y, 5, metric, return_stats=True, backend=backend)
    judge.same_bits((distances, indices), law.topk(x, y, 5, metric), np.float32)
    assert stats.backend == backend


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_are_not_finite_sort_last_if_not_refused(metric, backend):
    x, y = (rows.copy() for rows in arrays("normal-9x31x8", metric))
    y[[3, 4, 20]], y[5, 2] = np.nan, np.nan
    x[1], x[4, 0] = np.nan, np.nan
    kwargs = metric_kwargs(metric)
    expected = law.topk(x, y, 31, metric, **law_kwargs(metric))
    for k in (31, 5):
        answer = cmf.topk(x, y, k, metric, metric_kwargs=kwargs, check_finite=False, backend=backend)
        judge.same_bits(answer, tuple(part[:, :k] for part in expected), np.float32)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "dot", "cityblock"])
def test_infinity_is_a_value_if_not_refused(metric, backend):
    x, y = (rows.copy() for rows in arrays("normal-9x31x8"))
    y[3, 0], y[7, 1], y[9], x[2, 3] = np.inf, -np.inf, np.inf, np.inf
    check_all = cmf.topk(x, y, 31, metric, check_finite=False, backend=backend)
    judge.same_bits(check_all, law.topk(x, y, 31, metric), np.float32)


def sorted_worst_first(x, y, metric):
    """Gallery rows in the order in which each is better than all before, for the mean query."""
    _, index = law.topk(x.mean(axis=0, keepdims=True), y, len(y), metric)
    return y[index[0, ::-1]]


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
@pytest.mark.parametrize("k", [10, 500])
def test_many_tiles_in_the_worst_order(k, metric, backend):
    rng = np.random.default_rng(21)
    x = (2 + 0.2 * rng.standard_normal((120, 20))).astype(np.float32)
    y = sorted_worst_first(x, rng.standard_normal((5000, 20)).astype(np.float32), metric)
    expected = law.topk(x, y, k, metric)
    for max_bytes in (None, 1 << 25):
        judge.same_bits(cmf.topk(x, y, k, metric, max_bytes=max_bytes, backend=backend), expected, np.float32)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "cityblock"])
def test_many_tiles_of_ties(metric, backend):
    """Few distinct rows: thousands of equal values on both sides of every tile border."""
    rng = np.random.default_rng(22)
    x = rng.integers(-1, 2, (530, 4)).astype(np.float32)
    y = rng.integers(-1, 2, (2500, 4)).astype(np.float32)
    check(x, y, 70, metric, MANY_TILES, backend=backend)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_many_tiles_of_near_duplicates(metric, backend):
    """More rows within the margin of float32 than any shortlist holds."""
    rng = np.random.default_rng(23)
    centre = rng.standard_normal(16)
    x = (centre + 1e-6 * rng.standard_normal((40, 16))).astype(np.float32)
    y = (centre + 1e-6 * rng.standard_normal((5000, 16))).astype(np.float32)
    check(x, y, 12, metric, MANY_TILES, backend=backend)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_many_tiles_of_mixed_scales(metric, backend):
    """Norms over 280 decades: every group of scales, some of them without a safe bound, in many tiles."""
    rng = np.random.default_rng(24)
    x, y = (rng.standard_normal((rows, 6)) * 10.0 ** rng.uniform(-140, 140, (rows, 1)) for rows in (14, 800))
    y[::7] = 0
    check(x, y, 9, metric, backend=backend)


def test_blocks_that_end_one_row_before_and_after_a_tile(backend):
    rng = np.random.default_rng(25)
    for m, n in itertools.product((511, 513), (2047, 2049)):
        x, y = (rng.standard_normal((rows, 3)).astype(np.float32) for rows in (m, n))
        y[-1], x[-1] = x[0], y[-2]  # the last row of each side matters
        judge.same_bits(cmf.topk(x, y, 2, backend=backend), law.topk(x, y, 2), np.float32)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "jensenshannon", "hellinger"])
def test_a_gallery_of_nothing_finite_comes_in_order_of_index(metric, backend):
    x, _ = arrays("normal-9x31x8", metric)
    y = np.full((7, 8), np.nan, np.float32)
    answer = cmf.topk(x, y, 3, metric, check_finite=False, backend=backend)
    judge.same_bits(answer, law.topk(x, y, 3, metric), np.float32)
