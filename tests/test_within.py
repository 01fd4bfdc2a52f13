"""`within` equals the law bit for bit: every case, metric, filter, radius and block size."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import GEMM_FAMILY, METRICS, arrays, law_kwargs, metric_kwargs, output_dtype
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.within import reference as law
from grids import cases_by_metrics, naming, thinned
from least import least_max_bytes
from test_topk import FEW_METRICS, FILTERED_CASES, MANY_TILES, filters

TINY, HUGE = 1e-100, 1e300


def reached(x, y, metric, share=1 / 3, **keywords):
    """(m,) for each query the very distance of one of its neighbours: the borders of what is inside."""
    value, _ = topk_law.topk(x, y, len(y), metric, **law_kwargs(metric), **keywords)
    return np.nan_to_num(value[:, int(share * (len(y) - 1))], posinf=1.0, neginf=-1.0)


def check(x, y, radius, metric="euclidean", room=1.0, **keywords):
    """With the default workspace and with `room` times the least possible one."""
    control = {name: keywords.pop(name) for name in ("backend", "precision", "check_finite") if name in keywords}
    expected = law.within(x, y, np.broadcast_to(radius, len(x)), metric, **law_kwargs(metric), **keywords)

    def call(**more):
        return cmf.within(x, y, radius, metric, metric_kwargs=metric_kwargs(metric), **keywords, **control, **more)

    for max_bytes in (None, int(room * least_max_bytes(call))):
        judge.same_rows(call(max_bytes=max_bytes), expected, output_dtype(x, y))
    return expected


@pytest.mark.parametrize(("name", "metric"), cases_by_metrics("within"))
def test_equals_the_law(name, metric, backend):
    x, y = arrays(name, metric)
    check(x, y, reached(x, y, metric), metric, backend=backend)


@pytest.mark.parametrize(
    ("name", "metric"), thinned(2, ["normal-9x31x8", "integers-float32", "mixed-scales-float32"], METRICS)
)
def test_one_radius_for_all_none_and_everything(name, metric, backend):
    x, y = arrays(name, metric)
    m, n = len(x), len(y)
    check(x, y, float(np.median(reached(x, y, metric, 1 / 2))), metric, backend=backend)
    nearest, farthest = (np.inf, -np.inf) if metric == "dot" else (-np.inf, np.inf)
    for radius, partners in ((0.0, None), (-1.0, None), (farthest, n), (nearest, 0)):
        indptr, _, _ = check(x, y, radius, metric, backend=backend)
        assert partners is None or np.diff(indptr).tolist() == [partners] * m


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "cityblock"])
def test_a_radius_of_zero_finds_copies_and_a_negative_one_nobody(metric, backend):
    x, y = arrays("duplicates-12x20x16x5")
    indptr, indices, distances = cmf.within(x, y, 0, metric, backend=backend)
    assert np.diff(indptr).tolist() == [5] * len(x)
    assert (y[indices] == np.repeat(x, 5, axis=0)).all()
    assert (distances == 0).all()
    assert cmf.within(x, y, -1e-300, metric, backend=backend).indptr.tolist() == [0] * (len(x) + 1)


@pytest.mark.parametrize(
    ("metric", "name", "precision"),
    thinned(
        2,
        GEMM_FAMILY,
        ["normal-17x130x64", "near-duplicates-1e-7", "offset-1e6", "huge-row-1e30"],
        ["float32", "float64"],
    ),
)
def test_the_border_is_inside(name, metric, precision, backend):
    """One pair lies exactly at the radius; a radius one float64 smaller leaves it out."""
    x, y = arrays(name)
    value, index = topk_law.topk(x, y, len(y), metric)
    for rank in (0, 1, len(y) // 2, len(y) - 1):
        radius = value[:, rank]
        below = np.nextafter(radius, np.inf if metric == "dot" else -np.inf)
        control = {"precision": precision, "backend": backend}
        ends, indices, _ = cmf.within(x, y, radius, metric, **control)
        fewer, others, _ = cmf.within(x, y, below, metric, **control)
        for i in range(len(x)):
            assert index[i, rank] in indices[ends[i] : ends[i + 1]]
            assert index[i, rank] not in others[fewer[i] : fewer[i + 1]]
            assert ends[i + 1] - ends[i] > rank


def squares_that_round():
    """Pairs whose root, rounded, is the radius while the square lies above the radius squared."""
    steps = np.arange(1, 4000, dtype=np.float64)
    roots = np.sqrt(steps)
    return steps[roots * roots < steps]


def test_the_root_decides_not_the_square(backend):
    squares = squares_that_round()
    assert len(squares) > 500
    whole = np.array([[a, b] for a in range(64) for b in range(64)], float)  # a^2 + b^2 is exact
    wanted = whole[np.isin((whole**2).sum(axis=1), squares)]
    radius = np.sqrt((wanted**2).sum(axis=1))
    for dtype in (np.float64, np.float32):
        queries, gallery = wanted.astype(dtype), np.zeros((1, 2), dtype)
        assert np.diff(cmf.within(queries, gallery, radius, backend=backend).indptr).tolist() == [1] * len(wanted)
        check(queries, gallery, np.nextafter(radius, 0), backend=backend)


@pytest.mark.parametrize(("kind", "name", "metric"), thinned(4, filters(1, 1, 0), FILTERED_CASES, FEW_METRICS))
def test_filters(kind, name, metric, backend):
    x, y = arrays(name)
    chosen = filters(len(x), len(y), 17)[kind]
    check(x, y, reached(x, y, metric, 1 / 4, **chosen), metric, backend=backend, **chosen)


@pytest.mark.parametrize("metric", FEW_METRICS)
@pytest.mark.parametrize("name", ["normal-17x130x64", "duplicates-float64"])
def test_exclude_self(name, metric, backend):
    _, y = arrays(name)
    radius, others = reached(y, y, metric, 1 / 8), np.arange(len(y))
    expected = law.within(y, y, radius, metric, exclude=others)
    judge.same_rows(cmf.within(y, y, radius, metric, exclude_self=True, backend=backend), expected, output_dtype(y))


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_are_not_finite_are_within_no_radius(metric, backend):
    x, y = (rows.copy() for rows in arrays("normal-9x31x8", metric))
    radius = reached(x, y, metric)
    y[[3, 4, 20]], y[5, 2] = np.nan, np.nan
    x[1], x[4, 0] = np.nan, np.nan
    indptr, index, _ = check(x, y, radius, metric, check_finite=False, backend=backend)
    far = -np.inf if metric == "dot" else np.inf
    check(x, y, far, metric, check_finite=False, backend=backend)
    if metric not in ("jaccard", "hamming"):  # they count: NaN is true, and differs from everything
        assert not np.isin(index, [3, 4, 20]).any()
        assert indptr[2] == indptr[1]


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "dot", "cityblock"])
def test_infinity_is_a_value_if_not_refused(metric, backend):
    x, y = (rows.copy() for rows in arrays("normal-9x31x8"))
    y[3, 0], y[7, 1], y[9], x[2, 3] = np.inf, -np.inf, np.inf, np.inf
    for radius in (1.0, np.inf, -np.inf):
        check(x, y, radius, metric, check_finite=False, backend=backend)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
def test_dtype_rounds_the_distance_and_nothing_else(metric, dtype, backend):
    x, y = arrays("normal-float64")
    radius = reached(x, y, metric)
    answer = cmf.within(x, y, radius, metric, dtype=dtype, backend=backend)
    judge.same_rows(answer, law.within(x, y, radius, metric), dtype)


@pytest.mark.parametrize("metric", GEMM_FAMILY)
@pytest.mark.parametrize(("x_scale", "y_scale"), [(TINY, TINY), (TINY, 1.0), (1.0, TINY)])
def test_a_radius_far_outside_the_scale_of_the_rows(x_scale, y_scale, metric, backend):
    """Thresholds that overflow in units of the tile decide without a warning."""
    x, y = (rows.astype(np.float64) for rows in arrays("normal-9x31x8"))
    for radius in (HUGE, -HUGE, TINY, 1e-320, np.finfo(float).max):
        with naming(radius):
            check(x * x_scale, y * y_scale, radius, metric, backend=backend)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "cityblock"])
def test_many_tiles(metric, backend):
    rng = np.random.default_rng(91)
    x, y = (rng.standard_normal((rows, 6)).astype(np.float32) for rows in (530, 2500))
    y[2000:2500], y[-1], x[-1] = y[:500], x[0], y[-2]
    check(x, y, reached(x, y, metric, 1 / 200), metric, MANY_TILES, backend=backend)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_more_inside_than_any_tile_holds(metric, backend):
    """The result outgrows the shortlists of a small workspace; it is beside `max_bytes`."""
    rng = np.random.default_rng(92)
    x, y = (rng.integers(-2, 3, (rows, 3)).astype(np.float32) for rows in (40, 800))
    indptr, _, _ = check(x, y, reached(x, y, metric, 3 / 4), metric, backend=backend)
    assert indptr[-1] > 40 * 600


def test_no_query(backend):
    x, y = arrays("no-query")
    for radius in (1.0, np.zeros(0)):
        indptr, indices, distances = check(x, y, radius, backend=backend)
        assert indptr.tolist() == [0]
        assert len(indices) == len(distances) == 0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["normal-9x31x8", "integers-float32", "near-duplicates-1e-7"])
def test_the_law_is_the_beginning_of_topk(name, metric):
    """Two laws, one order: who is within the distance of the k-th neighbour, ties included, are the first of `topk`."""
    x, y = arrays(name, metric)
    value, index = topk_law.topk(x, y, len(y), metric, **law_kwargs(metric))
    radius = reached(x, y, metric)
    indptr, inside, distances = law.within(x, y, radius, metric, **law_kwargs(metric))
    for i, count in enumerate(np.diff(indptr)):
        assert count == np.count_nonzero(value[i] >= radius[i] if metric == "dot" else value[i] <= radius[i])
        assert inside[indptr[i] : indptr[i + 1]].tolist() == index[i, :count].tolist()
        assert distances[indptr[i] : indptr[i + 1]].tolist() == value[i, :count].tolist()


def test_result_is_a_named_triple(backend):
    x, y = arrays("normal-9x31x8")
    result = cmf.within(x, y, 2.0, backend=backend)
    assert isinstance(result, tuple)
    assert result.indptr is result[0]
    assert result.indices is result[1]
    assert result.distances is result[2]
