"""`compat.sklearn` beside scikit-learn itself."""

import numpy as np
import pytest
import scipy.sparse
import sklearn
from sklearn.metrics import pairwise as theirs

from crossmodal_fast import config_context
from crossmodal_fast.compat import sklearn as ours
from imported_peers import parameters

RANDOM = np.random.default_rng(13)
X, Y = RANDOM.standard_normal((9, 5)), RANDOM.standard_normal((12, 5))
FUNCTIONS = (
    "pairwise_distances", "pairwise_distances_argmin", "pairwise_distances_argmin_min", "pairwise_distances_chunked",
    "euclidean_distances", "manhattan_distances", "cosine_distances", "cosine_similarity",
)  # fmt: skip
CALLS = [(name, {}) for name in ours.METRICS] + [
    ("euclidean", {"squared": True}), ("l2", {"squared": False}), ("minkowski", {"p": 3}), ("minkowski", {"p": 1}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def numpy_backend():
    with config_context(backend="numpy"):
        yield


def alike(found, expected, narrow=False):
    """Equal in type, dtype and value, as far as float32 goes there."""
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype
    tolerance = 2e-6 if narrow or found.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
@pytest.mark.parametrize(("metric", "keywords"), CALLS)
def test_distances(metric, keywords, dtype):
    x, y = (8 * X).astype(dtype), (8 * Y).astype(dtype)
    alike(ours.pairwise_distances(x, y, metric, **keywords), theirs.pairwise_distances(x, y, metric, **keywords))
    alike(ours.pairwise_distances(x, None, metric, **keywords), theirs.pairwise_distances(x, None, metric, **keywords))


@pytest.mark.parametrize(("axis", "dtype"), [(1, "float32"), (0, "float64")])
@pytest.mark.parametrize(("metric", "keywords"), [call for call in CALLS if call[0] != "l2"])
def test_nearest(metric, keywords, dtype, axis):
    x, y = X.astype(dtype), Y.astype(dtype)
    given = {"axis": axis, "metric": metric, "metric_kwargs": keywords}
    expected = theirs.pairwise_distances_argmin_min(x, y, **given)
    found = ours.pairwise_distances_argmin_min(x, y, **given)
    alike(found[1], expected[1], narrow=dtype == "float32")
    if metric != "hamming":
        np.testing.assert_array_equal(found[0], expected[0])
    assert found[0].dtype == expected[0].dtype
    np.testing.assert_array_equal(ours.pairwise_distances_argmin(x, y, **given), found[0])


def test_equal_distances_go_by_the_lowest_index():
    found, distances = ours.pairwise_distances_argmin_min(X[:1], np.repeat(Y[:1], 30, axis=0))
    assert found.tolist() == [0]
    alike(distances, theirs.pairwise_distances(X[:1], Y[:1])[0])


@pytest.mark.parametrize(
    "name", ["euclidean_distances", "manhattan_distances", "cosine_distances", "cosine_similarity"]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_one_metric(name, dtype):
    x, y = X.astype(dtype), Y.astype(dtype)
    x[0] = y[0] = 0
    for sides in ((x, y), (x,), (x, x)):
        alike(getattr(ours, name)(*sides), getattr(theirs, name)(*sides))


def test_norms_are_not_needed():
    norms = {"X_norm_squared": (X**2).sum(1, keepdims=True), "Y_norm_squared": (Y**2).sum(1)[None]}
    for squared in (False, True):
        expected = theirs.euclidean_distances(X, Y, squared=squared, **norms)
        alike(ours.euclidean_distances(X, Y, squared=squared, **norms), expected)


def test_near_neighbours_do_not_cancel():
    x = np.array([[50000.0], [50000.001]])
    assert ours.euclidean_distances(x)[0, 1] == pytest.approx(abs(x[0, 0] - x[1, 0]), rel=1e-12)
    assert ours.pairwise_distances_argmin_min(x[:1], x[1:])[1][0] == abs(x[0, 0] - x[1, 0])


def neighbours_and_means(distances, start):
    return [np.flatnonzero(row < 2) for row in distances], distances.mean(axis=1)


@pytest.mark.parametrize("memory", [1, 0, 12 * 8 * 4.5 / 2**20])
@pytest.mark.parametrize(
    ("metric", "keywords"), [("euclidean", {}), ("l1", {}), ("minkowski", {"p": 3}), ("cosine", {})]
)
@pytest.mark.parametrize("other", [None, Y])
@pytest.mark.filterwarnings("ignore:Could not adhere")
def test_chunks(metric, keywords, memory, other):
    given = {"metric": metric, "working_memory": memory, **keywords}
    chunks = [list(module.pairwise_distances_chunked(X, other, **given)) for module in (ours, theirs)]
    assert len(chunks[0]) == len(chunks[1])
    for found, expected in zip(*chunks, strict=True):
        alike(found, expected)
    given["reduce_func"] = neighbours_and_means
    reduced = [list(module.pairwise_distances_chunked(X, other, **given)) for module in (ours, theirs)]
    for found, expected in zip(*reduced, strict=True):
        alike(found[1], expected[1])
        assert [row.tolist() for row in found[0]] == [row.tolist() for row in expected[0]]


def test_memory_as_scikit_learn_is_configured():
    with sklearn.config_context(working_memory=2 * 9 * 8 / 2**20):
        assert [len(part) for part in ours.pairwise_distances_chunked(X)] == [2, 2, 2, 2, 1]
    assert sklearn.get_config()["working_memory"] == ours.WORKING_MEMORY


def test_too_little_memory_is_said():
    for module in (ours, theirs):
        with pytest.warns(UserWarning, match="Could not adhere to working_memory config"):
            list(module.pairwise_distances_chunked(X, working_memory=0))


def test_reductions_in_place():
    assert list(ours.pairwise_distances_chunked(X, reduce_func=lambda distances, start: None)) == [None]


PASSED_ON = [
    {"metric": lambda a, b: float(abs(a - b).max())},
    {"metric": "seuclidean", "V": np.arange(1.0, 6)},
    {"metric": "mahalanobis", "VI": np.eye(5)},
    {"metric": "nan_euclidean"},
    {"metric": "jaccard"},
    {"metric": "chebyshev", "w": np.arange(5.0)},
    {"metric": "euclidean", "ensure_all_finite": False},
]


@pytest.mark.parametrize("given", PASSED_ON)
@pytest.mark.filterwarnings("ignore:Data was converted to boolean")
def test_what_is_left_to_scikit_learn(given):
    np.testing.assert_array_equal(ours.pairwise_distances(X, Y, **given), theirs.pairwise_distances(X, Y, **given))
    parts = list(ours.pairwise_distances_chunked(X, Y, **given))
    np.testing.assert_array_equal(np.concatenate(parts), theirs.pairwise_distances(X, Y, **given))


@pytest.mark.parametrize(
    "given",
    [
        {"metric": PASSED_ON[0]["metric"]},
        {"metric": "seuclidean", "metric_kwargs": {"V": np.arange(1.0, 6)}},
        {"metric": "nan_euclidean"},
        {"metric": "braycurtis"},
    ],
)
def test_neighbours_that_are_left_to_scikit_learn(given):
    expected = theirs.pairwise_distances_argmin_min(X, Y, **given)
    for found in (ours.pairwise_distances_argmin_min(X, Y, **given), (ours.pairwise_distances_argmin(X, Y, **given),)):
        np.testing.assert_array_equal(found, expected[: len(found)])


def test_ready_distances_are_left_to_scikit_learn():
    ready = theirs.pairwise_distances(X)
    np.testing.assert_array_equal(ours.pairwise_distances(ready, metric="precomputed"), ready)
    np.testing.assert_array_equal(next(ours.pairwise_distances_chunked(ready, metric="precomputed")), ready)


def test_sparse_rows():
    x, y = scipy.sparse.csr_array(X), scipy.sparse.csr_array(Y)
    for metric in ("euclidean", "l1", "cosine"):
        alike(ours.pairwise_distances(x, y, metric), theirs.pairwise_distances(x, y, metric))
    alike(ours.pairwise_distances_argmin(x, y), theirs.pairwise_distances_argmin(x, y))
    found = ours.cosine_similarity(x, y, dense_output=False)
    assert scipy.sparse.issparse(found)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.pairwise_distances(scipy.sparse.csr_array(X), metric="minkowski"),
        lambda m: m.pairwise_distances(X, scipy.sparse.csr_array(Y), metric="chebyshev"),
        lambda m: m.euclidean_distances(X, Y, X_norm_squared=np.ones(4)),
        lambda m: m.euclidean_distances(X, Y, Y_norm_squared=np.ones(4)),
        lambda m: m.nonsense,
    ],
)
def test_both_refuse_in_the_same_words(call):
    said = []
    for module in (ours, theirs):
        with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
            call(module)
        said.append(str(caught.value).replace(module.__name__, "module"))
    assert said[0] == said[1]


def test_tensors_come_back_where_scikit_learn_is_told_to_dispatch(monkeypatch):
    torch = pytest.importorskip("torch")
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    calls = [
        lambda: ours.pairwise_distances(x, y, "correlation"),
        lambda: ours.cosine_similarity(x),
        lambda: ours.pairwise_distances_argmin(x, y),
    ]
    before = [call() for call in calls]
    monkeypatch.setattr(sklearn, "get_config", lambda: {"array_api_dispatch": True})
    for call, expected in zip(calls, before, strict=True):
        assert type(expected) is np.ndarray
        assert type(call()) is torch.Tensor
        np.testing.assert_array_equal(call().numpy(), expected)


def test_constant_rows_have_no_correlation():
    x = np.array([[2.0, 2, 2], [1, 2, 4]])
    with np.errstate(invalid="ignore"):
        expected = theirs.pairwise_distances(x, x[::-1], "correlation")
    np.testing.assert_allclose(ours.pairwise_distances(x, x[::-1], "correlation"), expected, atol=1e-15)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda m: m.pairwise_distances(X[0]), ValueError),
        (lambda m: m.pairwise_distances(X, Y[:, :2]), ValueError),
        (lambda m: m.pairwise_distances(np.full((2, 2), np.nan)), ValueError),
        (lambda m: m.pairwise_distances(np.full((2, 2), np.inf), X[:, :2]), ValueError),
        (lambda m: m.pairwise_distances(X, Y, "nonsense"), ValueError),
        (lambda m: m.pairwise_distances(X, Y, "manhattan", w=np.ones(5)), TypeError),
        (lambda m: m.pairwise_distances_argmin(X, Y, axis=2), ValueError),
        (lambda m: m.pairwise_distances_argmin(X, Y * np.nan), ValueError),
        (lambda m: list(m.pairwise_distances_chunked(X, working_memory=-1)), ValueError),
        (lambda m: list(m.pairwise_distances_chunked(X, reduce_func=lambda d, s: 3)), TypeError),
        (lambda m: list(m.pairwise_distances_chunked(X, reduce_func=lambda d, s: d[:2])), ValueError),
        (lambda m: list(m.pairwise_distances_chunked(X, reduce_func=lambda d, s: (d, [1]))), ValueError),
    ],
)
def test_both_refuse(call, kind):
    for module in (ours, theirs):
        with pytest.raises(kind):
            call(module)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ours.pairwise_distances_argmin(X, Y, axis=2), "axis must be 0 or 1, got 2"),
        (
            lambda: list(ours.pairwise_distances_chunked(X, reduce_func=lambda d, s: 3)),
            "reduce_func returned 3. Expected sequence(s) of length 9.",
        ),
        (
            lambda: list(ours.pairwise_distances_chunked(X, reduce_func=lambda d, s: [1])),
            "reduce_func returned object of length 1. Expected same length as input: 9.",
        ),
    ],
)
def test_sentences(call, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures(name):
    assert parameters(getattr(ours, name)) == parameters(getattr(theirs, name))
