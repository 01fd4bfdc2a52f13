"""What must not show: blocks, batches, threads, row order, padding, k; on whole numbers translation and axis order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import crossmodal_fast as cmf
import judge
from cases import METRICS, NON_NEGATIVE, arrays, metric_kwargs
from crossmodal_fast.kernels.topk import reference as law
from least import least_max_bytes

PADDING_SHOWS = ("correlation", "hamming")  # both divide by d
METRICS_OF_WHOLE_NUMBERS = ("euclidean", "sqeuclidean", "dot", "cosine", "cityblock", "chebyshev", "hamming", "jaccard")
OF_ANY_SIGN = [metric for metric in METRICS if metric not in NON_NEGATIVE]
EXAMPLES = settings(derandomize=True, deadline=None, max_examples=60)


def medium(seed=61, d=24):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((230, d)).astype(np.float32), rng.standard_normal((2500, d)).astype(np.float32)


def same(answer, other):
    for part, twin in zip(answer, other, strict=True):
        assert part.dtype == twin.dtype
        np.testing.assert_array_equal(part, twin)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "correlation", "cityblock"])
def test_block_size(metric, backend):
    x, y = (rows[:count] for rows, count in zip(medium(), (40, 600), strict=True))
    whole = cmf.topk(x, y, 8, metric, backend=backend)
    least = least_max_bytes(lambda max_bytes: cmf.topk(x, y, 8, metric, max_bytes=max_bytes, backend=backend))
    for max_bytes in (least, least + 1, least * 9 // 8, 2 * least, 1 << 28):
        same(cmf.topk(x, y, 8, metric, max_bytes=max_bytes, backend=backend), whole)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_split_of_the_queries(metric, backend):
    x, y = medium()
    whole = cmf.topk(x, y, 8, metric, backend=backend)
    for cuts in ([1], [100], [3, 4, 77], range(1, 230, 20)):
        parts = [cmf.topk(part, y, 8, metric, backend=backend) for part in np.split(x, cuts)]
        same([np.concatenate(side) for side in zip(*parts, strict=True)], whole)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_split_of_the_gallery_merges_by_value_and_index(metric, backend):
    """Distances in float64 are the keys: merging blocks by (distance, index) is the search of the whole."""
    x, y = (rows.astype(np.float64) for rows in medium())
    y[1000:1100] = y[:100]
    whole = cmf.topk(x, y, 8, metric, backend=backend)
    parts = [cmf.topk(x, y[start : start + 700], 8, metric, backend=backend) for start in range(0, 2500, 700)]
    distances = np.hstack([part.distances for part in parts])
    indices = np.hstack([part.indices + 700 * block for block, part in enumerate(parts)])
    order = np.lexsort((indices, -distances if metric == "dot" else distances), axis=1)[:, :8]
    same([np.take_along_axis(side, order, axis=1) for side in (distances, indices)], whole)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "cityblock"])
def test_threads(metric, backend):
    x, y = medium()
    one = cmf.topk(x, y, 8, metric, n_threads=1, backend=backend)
    same(cmf.topk(x, y, 8, metric, n_threads=2, backend=backend), one)
    same(cmf.topk(x, y, 8, metric, backend=backend), one)


@pytest.mark.parametrize("metric", METRICS)
def test_order_of_the_rows(metric, backend):
    x, y = arrays("normal-17x130x64", metric)  # no ties, but for hamming and jaccard
    if metric in ("hamming", "jaccard"):
        x, y = np.ones_like(x), np.tril(np.ones((64, 64), np.float32))  # 64 different counts of ones
    whole = cmf.topk(x, y, 9, metric, metric_kwargs=metric_kwargs(metric), backend=backend)
    shuffle, turn = np.random.default_rng(62).permutation(len(y)), np.random.default_rng(63).permutation(len(x))
    moved = cmf.topk(x[turn], y[shuffle], 9, metric, metric_kwargs=metric_kwargs(metric), backend=backend)
    same((moved.distances, shuffle[moved.indices]), (whole.distances[turn], whole.indices[turn]))


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric not in PADDING_SHOWS])
@pytest.mark.parametrize("name", ["normal-5x70x100", "normal-8x40x9", "duplicates-12x20x16x5", "zero-rows"])
def test_features_of_zeros_at_the_end(name, metric, backend):
    x, y = arrays(name, metric)
    kwargs = {"metric_kwargs": metric_kwargs(metric), "backend": backend}
    whole = cmf.topk(x, y, 9, metric, **kwargs)
    for more in (1, 7, 60):
        same(cmf.topk(np.pad(x, ((0, 0), (0, more))), np.pad(y, ((0, 0), (0, more))), 9, metric, **kwargs), whole)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["integers-float32", "normal-17x130x64", "all-equal"])
def test_fewer_neighbours_are_the_first_of_more(name, metric, backend):
    x, y = arrays(name, metric)
    kwargs = {"metric_kwargs": metric_kwargs(metric), "backend": backend}
    whole = cmf.topk(x, y, len(y), metric, **kwargs)
    for k in (1, 2, 17):
        same(cmf.topk(x, y, k, metric, **kwargs), [part[:, :k] for part in whole])


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cityblock", "chebyshev", "hamming"])
@pytest.mark.parametrize("shift", [1, -1000, 2**20])
def test_translation_of_whole_numbers(shift, metric, backend):
    x, y = arrays("integers-float32")
    whole = cmf.topk(x, y, 20, metric, backend=backend)
    same(cmf.topk(x + np.float32(shift), y + np.float32(shift), 20, metric, backend=backend), whole)


@pytest.mark.parametrize("metric", METRICS_OF_WHOLE_NUMBERS)
@pytest.mark.parametrize("name", ["integers-float32", "int8", "bool"])
def test_order_of_the_features_of_whole_numbers(name, metric, backend):
    x, y = arrays(name)
    turn = np.random.default_rng(64).permutation(x.shape[1])
    same(cmf.topk(x[:, turn], y[:, turn], 20, metric, backend=backend), cmf.topk(x, y, 20, metric, backend=backend))


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
@pytest.mark.parametrize("name", ["normal-17x130x64", "zero-rows", "integers-float32"])
def test_powers_of_two_scale_the_distance_and_nothing_else(name, metric, backend):
    x, y = arrays(name)
    whole = cmf.topk(x, y, 20, metric, backend=backend)
    factor = {"euclidean": 2.0**-20, "dot": 2.0**-40, "cosine": 1.0}[metric]
    scaled = cmf.topk(x * np.float32(2.0**-20), y * np.float32(2.0**-20), 20, metric, backend=backend)
    same(scaled, (whole.distances * np.float32(factor), whole.indices))


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_dtype_that_holds_the_same_numbers(metric, backend):
    x, y = arrays("integers-float32")
    whole = cmf.topk(x, y, 20, metric, backend=backend)
    for dtype in (np.int8, np.float16, np.int64, np.float64):
        same(cmf.topk(x.astype(dtype), y.astype(dtype), 20, metric, dtype=np.float32, backend=backend), whole)


def values(dtype, low, high):
    return st.floats(low, high, allow_nan=False, width=np.dtype(dtype).itemsize * 8)


@st.composite
def problems(draw):
    """Small searches: any finite floats or few whole numbers, all sizes from one."""
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int8]))
    if dtype == np.int8:
        elements = st.integers(-3, 3)
    else:
        large = float(np.finfo(dtype).max)
        elements = draw(
            st.sampled_from([values(dtype, -large, large), values(dtype, -1, 1), st.sampled_from([0.0, 1.0, 2.0])])
        )
    m, n, d = draw(st.integers(1, 9)), draw(st.integers(1, 40)), draw(st.integers(1, 18))
    x, y = (draw(hnp.arrays(dtype, (rows, d), elements=elements)) for rows in (m, n))
    if draw(st.booleans()):
        y[n // 2 :] = y[: n - n // 2]
    return x, y, draw(st.integers(1, n)), draw(st.integers(1, m))


@EXAMPLES
@given(
    problem=problems(),
    metric=st.sampled_from(OF_ANY_SIGN),
)
def test_any_numbers_of_any_shape(problem, metric):
    x, y, k, k_columns = problem
    kwargs = {"p": 3.0} if metric == "minkowski" else {}
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    rows, columns = law.topk_both(x, y, k, k_columns, metric, **kwargs)
    judge.same_bits(cmf.topk(x, y, k, metric, metric_kwargs=kwargs or None), rows, dtype)
    both = cmf.topk_both(x, y, (k, k_columns), metric, metric_kwargs=kwargs or None)
    for answer, side in zip(both, (rows, columns), strict=True):
        judge.same_bits(answer, side, dtype)


@EXAMPLES
@given(problem=problems(), metric=st.sampled_from(["euclidean", "cosine", "dot", "cityblock"]), data=st.data())
def test_any_filters(problem, metric, data):
    x, y, k, k_columns = problem
    m, n = len(x), len(y)
    mask = data.draw(hnp.arrays(bool, data.draw(st.sampled_from([(n,), (m, n)]))))
    exclude = data.draw(hnp.arrays(np.int64, m, elements=st.one_of(st.just(-1), st.integers(0, n - 1))))
    numbers = st.one_of(st.integers(-3, 3).map(float), values(np.float64, -1e9, 1e9))
    bias = data.draw(
        st.tuples(hnp.arrays(np.float64, m, elements=numbers), hnp.arrays(np.float64, n, elements=numbers))
    )
    keywords = {"mask": mask, "exclude": exclude, "bias": bias}
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    both = cmf.topk_both(x, y, (k, k_columns), metric, **keywords)
    for answer, side in zip(both, law.topk_both(x, y, k, k_columns, metric, **keywords), strict=True):
        judge.same_bits(answer, side, dtype)
