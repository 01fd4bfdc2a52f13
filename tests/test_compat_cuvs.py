"""`compat.cuvs` against NumPy: cuVS runs on GPUs alone."""

import numpy as np
import pytest

from crossmodal_fast import config_context
from crossmodal_fast.compat import cuvs

RANDOM = np.random.default_rng(17)
ROWS, QUERIES = (RANDOM.standard_normal((n, 6)).astype(np.float32) for n in (40, 5))
GAPS = np.abs(QUERIES[:, None].astype(float) - ROWS[None])
SUMS = np.abs(QUERIES[:, None].astype(float)) + np.abs(ROWS[None])


@pytest.fixture(autouse=True)
def numpy_backend():
    with config_context(backend="numpy"):
        yield


def cosines(x, y):
    x, y = x.astype(float), y.astype(float)
    return (x / np.linalg.norm(x, axis=1)[:, None]) @ (y / np.linalg.norm(y, axis=1)[:, None]).T


DEFINITIONS = {
    "sqeuclidean": (GAPS**2).sum(2),
    "euclidean": np.sqrt((GAPS**2).sum(2)),
    "l2": np.sqrt((GAPS**2).sum(2)),
    "l1": GAPS.sum(2),
    "cityblock": GAPS.sum(2),
    "inner_product": QUERIES.astype(float) @ ROWS.T,
    "cosine": 1 - cosines(QUERIES, ROWS),
    "correlation": 1 - cosines(QUERIES - QUERIES.mean(1)[:, None], ROWS - ROWS.mean(1)[:, None]),
    "chebyshev": GAPS.max(2),
    "canberra": (GAPS / SUMS).sum(2),
    "lp": (GAPS**3).sum(2) ** (1 / 3),
    "minkowski": (GAPS**3).sum(2) ** (1 / 3),
}


@pytest.mark.parametrize("metric", cuvs.METRICS)
def test_neighbours(metric):
    index = cuvs.build(ROWS, metric, 3.0)
    expected = DEFINITIONS[metric]
    order = np.argsort(-expected if metric == "inner_product" else expected, axis=1)[:, :7]
    distances, neighbours = cuvs.search(index, QUERIES, 7)
    np.testing.assert_array_equal(neighbours, order)
    np.testing.assert_allclose(distances, np.take_along_axis(expected, order, 1), rtol=1e-5)
    assert (distances.dtype, neighbours.dtype) == (np.float32, np.int64)


def test_squared_distances_are_the_default_and_are_not_made_zero():
    near = np.array([[1, 0]], np.float32), np.array([[1, 1e-3]], np.float32)
    assert cuvs.search(cuvs.build(near[0]), near[1], 1)[0][0, 0] == np.float32(np.float64(near[1][0, 1]) ** 2)


def test_results_are_written_where_asked():
    index = cuvs.build(ROWS.astype(np.float16))
    neighbours, distances = np.empty((5, 3), np.int64), np.empty((5, 3), np.float32)
    found = cuvs.search(index, QUERIES, 3, neighbours, distances)
    assert found[0] is distances
    assert found[1] is neighbours
    assert repr(index) == "Index(type=BruteForce)"
    assert index.trained


def words_of(bits):
    padded = np.zeros(-(-bits.size // 32) * 32, bool)
    padded[: bits.size] = bits.ravel()
    return np.packbits(padded, bitorder="little").view("<u4").astype(np.uint32)


@pytest.mark.parametrize("of_pairs", [True, False])
def test_filters(of_pairs):
    mask = RANDOM.random((5, 40) if of_pairs else 40) < 0.2
    filtered = (cuvs.from_bitmap if of_pairs else cuvs.from_bitset)(words_of(mask))
    distances, neighbours = cuvs.search(cuvs.build(ROWS), QUERIES, 40, prefilter=filtered)
    for row, allowed in enumerate(np.broadcast_to(mask, (5, 40))):
        expected = [j for j in np.argsort(DEFINITIONS["sqeuclidean"][row]) if allowed[j]]
        assert neighbours[row].tolist() == expected + [-1] * (40 - len(expected))
        assert np.isinf(distances[row, len(expected) :]).all()


def test_files_come_back(tmp_path):
    index = cuvs.build(ROWS, "lp", 3.0)
    cuvs.save(tmp_path / "index.npz", index)
    back = cuvs.search(cuvs.load(tmp_path / "index.npz"), QUERIES, 3)
    np.testing.assert_array_equal(back, cuvs.search(index, QUERIES, 3))


INDEX = cuvs.Index()
REFUSED = [
    (lambda: cuvs.build(ROWS, "kl_divergence"), ValueError, "metric must be one of sqeuclidean"),
    (lambda: cuvs.build(ROWS[0]), ValueError, "vectors must have shape"),
    (
        lambda: cuvs.search(INDEX, QUERIES, 1),
        ValueError,
        "index must be built before it is searched, got one that is not",
    ),
    (lambda: cuvs.search(3, QUERIES, 1), TypeError, "index must be what build or load made, got 3"),
    (
        lambda: cuvs.search(cuvs.build(ROWS), QUERIES, 1, prefilter=3),
        TypeError,
        "prefilter must be what from_bitset or from_bitmap made, got 3",
    ),
    (lambda: cuvs.search(cuvs.build(ROWS), QUERIES, 41), ValueError, "k must be in 1..40"),
    (
        lambda: cuvs.search(cuvs.build(ROWS), QUERIES, 1, np.empty((1, 1))),
        ValueError,
        "neighbors must have shape (5, 1)",
    ),
    (lambda: cuvs.from_bitset(np.ones(3)), TypeError, "a filter must be made of uint32 (words,), got float64 (3,)"),
    (
        lambda: cuvs.search(cuvs.build(ROWS), QUERIES, 1, prefilter=cuvs.from_bitset(np.ones(1, np.uint32))),
        ValueError,
        "a filter must have 40 bits or more here, got 32",
    ),
    (
        lambda: cuvs.save("x.npz", INDEX),
        ValueError,
        "index must be built and saved with its dataset, got one without",
    ),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), REFUSED)
def test_what_is_refused(call, kind, sentence):
    with pytest.raises(kind) as caught:
        call()
    assert sentence in str(caught.value)
