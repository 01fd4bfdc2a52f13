"""`compat.scipy` beside SciPy itself."""

import numpy as np
import pytest
from scipy.spatial import distance as theirs

from crossmodal_fast import config_context
from crossmodal_fast.compat import scipy as ours
from imported_peers import parameters

RANDOM = np.random.default_rng(12)
X, Y = RANDOM.standard_normal((9, 6)), RANDOM.standard_normal((7, 6))
WEIGHTS = np.array([1, 0.5, 0, 2, 1, 3])
CALLS = (
    [(name, {}) for name in ours.METRICS] + [("minkowski", {"p": p}) for p in (3, 1, np.inf, 0.5)] + [("EUCLIDEAN", {})]
)


@pytest.fixture(autouse=True)
def numpy_backend():
    with config_context(backend="numpy"):
        yield


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    assert type(found) is np.ndarray
    assert found.dtype == np.float64


def prepared(name, rows, dtype):
    rows = np.abs(rows) if name == "jensenshannon" else rows
    return (4 * rows).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool"])
@pytest.mark.parametrize(("name", "keywords"), CALLS)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_values_are_those_of_scipy(name, keywords, dtype):
    x, y = prepared(name, X, dtype), prepared(name, Y, dtype)
    close(ours.cdist(x, y, name, **keywords), theirs.cdist(x, y, name, **keywords))
    close(ours.pdist(x, name, **keywords), theirs.pdist(x, name, **keywords))


PASSED_ON = [
    ("seuclidean", {}), ("mahalanobis", {}), ("yule", {}), ("cos", {}), ("cosine", {"w": WEIGHTS}),
    ("matching", {}), (theirs.cityblock, {}), (lambda a, b: a[0] - b[0], {}), ("minkowski", {"p": -1}),
    ("minkowski", {"p": 1.5, "w": WEIGHTS}), ("euclidean", {"w": None}), ("jensenshannon", {}),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "keywords"), PASSED_ON)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_other_metrics_are_left_to_scipy(metric, keywords):
    np.testing.assert_array_equal(ours.cdist(X, Y, metric, **keywords), theirs.cdist(X, Y, metric, **keywords))
    np.testing.assert_array_equal(ours.pdist(X, metric, **keywords), theirs.pdist(X, metric, **keywords))


@pytest.mark.parametrize(
    ("metric", "rows"),
    [
        ("cosine", [[0, 0, 0], [1, 2, 3]]),
        ("correlation", [[2, 2, 2], [1, 2, 4]]),
        ("braycurtis", [[0, 0, 0], [1, 2, 3]]),
        ("canberra", [[0, 0, 0], [1, 0, 3]]),
        ("jensenshannon", [[0, 0, 0], [1, 0, 3]]),
        ("jaccard", [[0, 0, 0], [1, 0, 3]]),
        ("euclidean", [[np.nan, 0, 0], [1, 2, 3]]),
        ("cosine", [[np.nan, 0, 0], [1, 2, 3]]),
        ("euclidean", [[np.inf, 0, 0], [1, 2, 3]]),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_has_no_value_is_nan_as_there(metric, rows):
    np.testing.assert_allclose(ours.cdist(rows, rows, metric), theirs.cdist(rows, rows, metric), atol=1e-15)
    np.testing.assert_allclose(ours.pdist(rows, metric), theirs.pdist(rows, metric), atol=1e-15)


@pytest.mark.parametrize("shapes", [((0, 3), (2, 3)), ((2, 3), (0, 3)), ((2, 0), (3, 0))])
def test_what_is_empty(shapes):
    x, y = map(np.zeros, shapes)
    np.testing.assert_array_equal(ours.cdist(x, y), theirs.cdist(x, y))
    np.testing.assert_array_equal(ours.pdist(x), theirs.pdist(x))


def test_one_row_has_no_pairs():
    assert ours.pdist(X[:1]).shape == (0,)


def test_results_are_written_where_asked():
    out, condensed = np.empty((9, 7)), np.empty(36)
    assert ours.cdist(X, Y, out=out) is out
    assert ours.pdist(X, out=condensed) is condensed
    close(out, theirs.cdist(X, Y))
    close(condensed, theirs.pdist(X))


def test_pairs_in_blocks(monkeypatch):
    whole = ours.pdist(X, "cityblock")
    for size in (1, 18, 19, 70):
        monkeypatch.setattr(ours, "BLOCK", size)
        np.testing.assert_array_equal(ours.pdist(X, "cityblock"), whole)


def test_near_duplicates_do_not_cancel():
    x = np.array([[1e8, 1.0], [1e8, 1.0 + 2**-20]])
    assert ours.pdist(x)[0] == 2**-20


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda m: m.cdist(X[0], Y), ValueError),
        (lambda m: m.cdist(X, Y[:, :2]), ValueError),
        (lambda m: m.cdist(X, Y, "nonsense"), ValueError),
        (lambda m: m.cdist(X, Y, None), TypeError),
        (lambda m: m.cdist(X, Y, p=3), TypeError),
        (lambda m: m.cdist(X, Y, "dot"), ValueError),
        (lambda m: m.cdist(X, Y, "minkowski", p="a"), TypeError),
        (lambda m: m.cdist(X, Y, out=np.empty((2, 2))), ValueError),
        (lambda m: m.cdist(X, Y, out=np.empty((7, 9)).T), ValueError),
        (lambda m: m.pdist(X, out=np.empty(72)[::2]), ValueError),
        (lambda m: m.pdist(X[0]), ValueError),
        (lambda m: m.pdist(X, out=np.empty(3)), ValueError),
    ],
)
def test_both_refuse(call, kind):
    for module in (ours, theirs):
        with pytest.raises(kind):
            call(module)


def test_the_sentence_of_strides():
    with pytest.raises(ValueError, match=r"out must be C-contiguous, got strides \(16,\)"):
        ours.pdist(X, out=np.empty(72)[::2])


@pytest.mark.parametrize("name", ["cdist", "pdist"])
def test_signatures(name):
    assert parameters(getattr(ours, name)) == parameters(getattr(theirs, name))
