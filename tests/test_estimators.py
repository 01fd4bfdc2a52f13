"""`crossmodal_fast.estimators` beside scikit-learn's own, and its own rules for estimators."""

import pickle
import subprocess
import sys
import warnings
from decimal import Decimal

import numpy as np
import pytest
import scipy.sparse
from sklearn import neighbors as theirs
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import crossmodal_fast as cmf
from crossmodal_fast import estimators as ours

RANDOM = np.random.default_rng(21)
X, QUERIES = RANDOM.standard_normal((60, 6)), RANDOM.standard_normal((17, 6))
LABELS = np.array(["a", "b", "c"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0)]
TARGETS = X[:, :2] @ [[1.0, 2.0], [3.0, -1.0]]
HALVES = np.round(2 * RANDOM.standard_normal((60, 3))) / 2  # many equal distances
NEIGHBOURS = (
    "KNeighborsClassifier", "KNeighborsRegressor", "KNeighborsTransformer", "NearestNeighbors",
    "RadiusNeighborsTransformer",
)  # fmt: skip
METRICS = [
    ("minkowski", 2, None), ("minkowski", 1, None), ("minkowski", np.inf, None), ("minkowski", 3, None),
    ("euclidean", 2, None), ("l2", 2, None), ("l1", 2, None), ("manhattan", 2, None), ("cityblock", 2, None),
    ("sqeuclidean", 2, None), ("chebyshev", 2, None), ("canberra", 2, None), ("cosine", 2, None),
    ("correlation", 2, None),
]  # fmt: skip
LEFT = [
    ("braycurtis", None), ("seuclidean", {"V": np.arange(1.0, 7)}), ("mahalanobis", {"VI": np.eye(6)}),
    ("minkowski", {"w": np.arange(6.0)}), (lambda a, b: float(abs(a - b).sum()), None),
]  # fmt: skip


@pytest.fixture(autouse=True)
def numpy_backend():
    with cmf.use_backend("numpy"):
        yield


@parametrize_with_checks(
    [
        ours.NearestNeighbors(), ours.KNeighborsClassifier(), ours.TransferRegressor(), ours.CCA(n_components=1),
        ours.CrossModalMatcher(),
    ]
)  # fmt: skip
def test_the_rules_for_estimators(estimator, check):
    check(estimator)


@pytest.mark.heavy
@parametrize_with_checks(
    [
        ours.KNeighborsRegressor(weights="distance"), ours.KNeighborsTransformer(), ours.RadiusNeighborsTransformer(),
        ours.KNeighborsClassifier(3, metric="cosine", control={"backend": "numpy"}), ours.CCA(n_components=None),
        ours.TransferRegressor("lstsq", center=False), ours.TransferRegressor("procrustes"),
        ours.CrossModalMatcher(transfer="cca", metric="euclidean"),
    ]
)  # fmt: skip
def test_the_rules_for_the_other_estimators(estimator, check):
    check(estimator)


@pytest.mark.parametrize(("metric", "p", "keywords"), METRICS)
def test_neighbours_are_scikit_learns(metric, p, keywords):
    given = {"metric": metric, "p": p, "metric_params": keywords, "algorithm": "brute", "n_neighbors": 4}
    found, expected = (module.NearestNeighbors(**given).fit(X) for module in (ours, theirs))
    radius = float(np.median(expected.kneighbors(QUERIES)[0]))
    for queries in (QUERIES, QUERIES.astype(np.float32), None):
        distances, indices = found.kneighbors(queries)
        np.testing.assert_array_equal(indices, expected.kneighbors(queries)[1])
        np.testing.assert_allclose(distances, expected.kneighbors(queries)[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(found.kneighbors(return_distance=False), indices)
    for mode in ("connectivity", "distance"):
        graphs = [one.radius_neighbors_graph(QUERIES, radius, mode=mode) for one in (found, expected)]
        graphs += [one.kneighbors_graph(None, 3, mode=mode) for one in (found, expected)]
        for one, other in (graphs[:2], graphs[2:]):
            np.testing.assert_allclose(one.toarray(), other.toarray(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "rows",
    [
        [[Decimal(i * i), Decimal(-i) / 3] for i in range(9)],
        [[10**30 * i * i, i] for i in range(9)],
        np.arange(18, dtype=np.longdouble).reshape(9, 2) ** 2 / 3,
    ],
)
def test_numbers_that_scikit_learn_makes_float64(rows):
    found, expected = (module.NearestNeighbors(n_neighbors=2, algorithm="brute").fit(rows) for module in (ours, theirs))
    for one, other in zip(found.kneighbors(rows[1:]), expected.kneighbors(rows[1:]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-5)


def test_squared_distances_are_not_to_be_had_by_a_keyword():
    found, expected = (
        module.NearestNeighbors(metric="euclidean", metric_params={"squared": True}, algorithm="brute", radius=2.0)
        for module in (ours, theirs)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it is ignored
        distances = expected.fit(X).kneighbors(QUERIES)[0]
        inside = expected.radius_neighbors(QUERIES)[1]
        with cmf.compat.patch("sklearn"):
            np.testing.assert_allclose(expected.kneighbors(QUERIES)[0], distances)
    np.testing.assert_allclose(found.fit(X).kneighbors(QUERIES)[0], distances)
    for one, other in zip(found.radius_neighbors(QUERIES)[1], inside, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("metric", "keywords"), LEFT)
def test_what_is_left_to_scikit_learn(metric, keywords):
    given = {"metric": metric, "metric_params": keywords, "algorithm": "brute", "n_neighbors": 4, "radius": 2.0}
    found, expected = (module.NearestNeighbors(**given).fit(X) for module in (ours, theirs))
    for ours_one, theirs_one in zip(found.kneighbors(QUERIES), expected.kneighbors(QUERIES), strict=True):
        np.testing.assert_array_equal(ours_one, theirs_one)
    for one, other in zip(found.radius_neighbors(QUERIES)[1], expected.radius_neighbors(QUERIES)[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_ready_distances_are_left_to_scikit_learn():
    ready = np.abs(X[:, :1] - X[:, 0])
    found = ours.KNeighborsClassifier(3, metric="precomputed").fit(ready, LABELS)
    np.testing.assert_array_equal(
        found.predict(ready[:5]), ours.KNeighborsClassifier(3).fit(X[:, :1], LABELS).predict(X[:5, :1])
    )


def test_equal_distances_go_by_the_lowest_index():
    value = np.abs(HALVES[:, None] - HALVES).sum(axis=2)
    order = np.argsort(value, axis=1, kind="stable")
    found = ours.NearestNeighbors(n_neighbors=10, metric="l1").fit(HALVES)
    np.testing.assert_array_equal(found.kneighbors(HALVES)[1], order[:, :10])
    np.fill_diagonal(value, np.inf)
    order = np.argsort(value, axis=1, kind="stable")
    np.testing.assert_array_equal(found.kneighbors()[1], order[:, :10])
    for i, (distances, indices) in enumerate(zip(*found.radius_neighbors(radius=1.5, sort_results=True), strict=True)):
        np.testing.assert_array_equal(indices, order[i, : (value[i] <= 1.5).sum()])
        np.testing.assert_array_equal(distances, value[i, indices])
        np.testing.assert_array_equal(found.radius_neighbors(radius=1.5)[1][i], np.sort(indices))


def test_near_neighbours_far_from_the_origin():
    rows = 1e8 + np.arange(20.0)[:, None] * 2.0**-10 + np.zeros(20)
    expected = np.abs(np.arange(20)[:, None] - np.arange(20)).argsort(axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(ours.NearestNeighbors().fit(rows).kneighbors(rows)[1], expected)


@pytest.mark.parametrize("weights", ["uniform", "distance", lambda distances: 1 / (1 + distances), None])
@pytest.mark.parametrize("several", [False, True])
def test_classes_and_values_are_scikit_learns(weights, several):
    labels = np.column_stack([LABELS, LABELS[::-1]]) if several else LABELS
    found, expected = (
        module.KNeighborsClassifier(4, weights=weights, algorithm="brute").fit(X, labels) for module in (ours, theirs)
    )
    np.testing.assert_array_equal(found.predict(QUERIES), expected.predict(QUERIES))
    np.testing.assert_allclose(found.predict_proba(QUERIES), expected.predict_proba(QUERIES), rtol=1e-9)
    np.testing.assert_array_equal(found.predict(None), expected.predict(None))
    values = TARGETS if several else TARGETS[:, 0]
    found, expected = (module.KNeighborsRegressor(4, weights=weights).fit(X, values) for module in (ours, theirs))
    np.testing.assert_allclose(found.predict(QUERIES), expected.predict(QUERIES), rtol=1e-9)


@pytest.mark.parametrize("name", ["KNeighborsTransformer", "RadiusNeighborsTransformer"])
@pytest.mark.parametrize("mode", ["distance", "connectivity"])
def test_graphs_are_scikit_learns(name, mode):
    found, expected = (getattr(module, name)(mode=mode).fit(X) for module in (ours, theirs))
    np.testing.assert_allclose(found.transform(QUERIES).toarray(), expected.transform(QUERIES).toarray(), rtol=1e-9)
    assert found.get_feature_names_out().tolist()[:2] == [f"{name.lower()}0", f"{name.lower()}1"]
    with pytest.raises(NotFittedError):
        getattr(ours, name)().transform(X)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_parameters_are_scikit_learns_and_control(name):
    found, expected = (getattr(module, name)().get_params() for module in (ours, theirs))
    assert found == expected | {"control": None}
    assert issubclass(getattr(ours, name), getattr(theirs, name))


def test_sparse_rows_stay_sparse_and_a_tree_is_not_needed():
    sparse = scipy.sparse.random_array((80, 30), density=0.2, rng=np.random.default_rng(3), format="csr")
    found = ours.NearestNeighbors(n_neighbors=3, metric="cosine").fit(sparse)
    assert scipy.sparse.issparse(found._fit_X)
    dense = ours.NearestNeighbors(n_neighbors=3, metric="cosine").fit(sparse.toarray())
    for one, other in zip(found.kneighbors(sparse[:9]), dense.kneighbors(sparse[:9].toarray()), strict=True):
        np.testing.assert_array_equal(one, other)
    for metric in ("manhattan", "braycurtis"):
        model = ours.NearestNeighbors(n_neighbors=3, metric=metric)
        trees = [model.fit(rows).kneighbors(QUERIES)[1] for rows in (theirs.BallTree(X, metric=metric), X)]
        np.testing.assert_array_equal(*trees)


@pytest.mark.parametrize(
    "call",
    [
        lambda module: module.NearestNeighbors().fit(X).kneighbors(QUERIES, 61),
        lambda module: module.NearestNeighbors().fit(X).kneighbors(None, 60),
        lambda module: module.NearestNeighbors().fit(X).kneighbors(QUERIES, 0),
        lambda module: module.NearestNeighbors().fit(X).kneighbors(QUERIES, 2.5),
        lambda module: module.NearestNeighbors().fit(X).kneighbors(QUERIES[:, :3]),
        lambda module: module.NearestNeighbors().fit(X).kneighbors(QUERIES * np.nan),
        lambda module: module.NearestNeighbors().fit(X).radius_neighbors(X, return_distance=False, sort_results=True),
        lambda module: module.NearestNeighbors(metric="nonsense").fit(X),
        lambda module: module.NearestNeighbors(n_neighbors=0).fit(X),
        lambda module: module.NearestNeighbors().fit(X[:0]),
        lambda module: module.NearestNeighbors().fit(X.astype(str)),
        lambda module: module.NearestNeighbors().kneighbors(X),
        lambda module: module.KNeighborsClassifier(weights="heavy").fit(X, LABELS),
        lambda module: module.KNeighborsClassifier(weights=np.zeros_like).fit(X, LABELS).predict(QUERIES),
    ],
)
def test_both_refuse_in_the_same_words(call):
    said = []
    for module in (ours, theirs):
        with pytest.raises((ValueError, TypeError, NotFittedError)) as caught:
            call(module)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_control_goes_with_the_estimator():
    found = ours.NearestNeighbors(control={"backend": "numpy", "max_bytes": 1}).fit(X)
    with pytest.raises(ValueError, match="max_bytes"):
        found.kneighbors(QUERIES)
    with pytest.raises(TypeError, match="control arguments must be among"):
        ours.NearestNeighbors(control={"threads": 1}).fit(X).kneighbors(QUERIES)


@pytest.mark.parametrize("control", [{"exclude": [1]}, {"return_stats": True}, {"dtype": "float32"}, {"k": 2}, {1: 2}])
def test_no_argument_of_a_search_hides_in_control(control):
    told = rf"control arguments must be among \['backend'.*\], got {next(iter(control))!r}"
    for model in (ours.NearestNeighbors(), ours.TransferRegressor(), ours.CCA(), ours.CrossModalMatcher()):
        call = model.set_params(control=control).fit
        if model.__class__.__name__ == "NearestNeighbors":
            call = call(X).kneighbors  # whose `fit` searches nothing
        with pytest.raises(TypeError, match=told):
            call(X, TARGETS) if call.__name__ == "fit" else call(X)


def test_copies_pickles_and_processes():
    model = make_pipeline(StandardScaler(), ours.KNeighborsClassifier(3, control={"backend": "numpy"})).fit(X, LABELS)
    model[-1].kneighbors(QUERIES)
    size = len(pickle.dumps(model[-1]))
    assert size < X.nbytes + 4000  # what the search has encoded stays behind
    for copy in (pickle.loads(pickle.dumps(model)), clone(model).fit(X, LABELS)):
        np.testing.assert_array_equal(copy.predict(QUERIES), model.predict(QUERIES))


@pytest.mark.heavy
def test_a_grid_in_processes():
    grid = {"kneighborsclassifier__n_neighbors": [1, 3, 5], "kneighborsclassifier__weights": ["uniform", "distance"]}
    model = make_pipeline(StandardScaler(), ours.KNeighborsClassifier(control={"backend": "numpy"}))
    found = [GridSearchCV(model, grid, cv=3, n_jobs=jobs).fit(X, LABELS) for jobs in (1, 2)]
    np.testing.assert_array_equal(*(one.cv_results_["mean_test_score"] for one in found))
    assert cross_val_score(found[0].best_estimator_, X, LABELS, cv=3, n_jobs=2).mean() > 0.6


def test_grids_and_pandas():
    grid = GridSearchCV(ours.KNeighborsRegressor(), {"n_neighbors": [1, 4], "metric": ["l1", "l2"]}, cv=3)
    assert grid.fit(X, TARGETS).best_score_ > 0.3
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    model = ours.CCA().set_output(transform="pandas").fit(frame, TARGETS)
    assert model.transform(frame).columns.tolist() == ["cca0", "cca1"]
    assert ours.NearestNeighbors().fit(frame).feature_names_in_.tolist() == list("abcdef")
    with pytest.raises(ValueError, match="feature names should match"):
        ours.NearestNeighbors().fit(frame).kneighbors(frame.rename(columns={"a": "z"}))


def test_scikit_learn_is_needed():
    code = (
        "import sys; sys.modules['sklearn'] = None\nimport crossmodal_fast as cmf\n"
        "try:\n    cmf.estimators\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "crossmodal_fast.estimators needs scikit-learn, which is not installed: pip install 'crossmodal-fast[sklearn]'"
    )
