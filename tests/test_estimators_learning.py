"""The estimators that learn maps: `TransferRegressor`, `CCA` and `CrossModalMatcher`."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn import cross_decomposition
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import crossmodal_fast as cmf
from crossmodal_fast import estimators

RANDOM = np.random.default_rng(22)
HIDDEN = RANDOM.standard_normal((90, 3))
X = HIDDEN @ RANDOM.standard_normal((3, 7)) + 0.3 * RANDOM.standard_normal((90, 7)) + 2
Y = 4 * HIDDEN @ RANDOM.standard_normal((3, 5)) + 0.3 * RANDOM.standard_normal((90, 5)) - 1
WEIGHTS = RANDOM.integers(0, 3, 90).astype(float)


@pytest.fixture(autouse=True)
def numpy_backend():
    with cmf.use_backend("numpy"):
        yield


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("y", [Y, Y[:, 0]], ids=["several", "one"])
def test_regression_is_scikit_learns(y, weights, center):
    pairs = [
        (estimators.TransferRegressor("lstsq", center=center), LinearRegression(fit_intercept=center)),
        (
            estimators.TransferRegressor(center=center, options={"regularization": 7.0}),
            Ridge(7.0, fit_intercept=center),
        ),
    ]
    for found, expected in pairs:
        found.fit(X, y, weights), expected.fit(X, y, weights)
        np.testing.assert_allclose(found.predict(X), expected.predict(X), rtol=1e-9)
        np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-9)
        np.testing.assert_allclose(found.intercept_, expected.intercept_, rtol=1e-9, atol=1e-12)
        assert found.score(X, y) == pytest.approx(expected.score(X, y))


def test_regression_by_any_method():
    grid = {"method": ["lstsq", "cca"], "control": [{"max_bytes": 1 << 26}]}
    found = GridSearchCV(estimators.TransferRegressor(), grid, cv=3).fit(X, Y)
    assert found.best_score_ > 0.8
    auto = estimators.TransferRegressor("auto").fit(X, Y)
    assert auto.transfer_map_.method == cmf.fit_transfer(X, Y).method
    assert estimators.TransferRegressor().fit(scipy.sparse.csr_array(X), Y).score(X, Y) > 0.9


@pytest.mark.parametrize("scale", [True, False])
def test_first_correlations_are_scikit_learns(scale):
    found = estimators.CCA(n_components=3, scale=scale).fit(X, Y)
    expected = cross_decomposition.CCA(n_components=3, scale=scale, tol=1e-12, max_iter=5000).fit(X, Y)
    ours, theirs = found.transform(X, Y), expected.transform(X, Y)
    for k in range(3):
        correlation = np.corrcoef(ours[0][:, k], ours[1][:, k])[0, 1]
        assert correlation == pytest.approx(found.correlations_[k], abs=1e-12)
        assert correlation == pytest.approx(np.corrcoef(theirs[0][:, k], theirs[1][:, k])[0, 1], abs=1e-6)
        for one, other in zip(ours, theirs, strict=True):
            assert abs(np.corrcoef(one[:, k], other[:, k])[0, 1]) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose([part.std(ddof=1) for part in (ours[0][:, k], ours[1][:, k])], 1, rtol=1e-10)


def test_prediction_from_all_components_is_least_squares():
    found = estimators.CCA(n_components=None).fit(X, Y)
    np.testing.assert_allclose(found.predict(X), LinearRegression().fit(X, Y).predict(X), rtol=1e-8)
    few = estimators.CCA(n_components=3).fit(X, Y)
    assert 0.8 < few.score(X, Y) <= found.score(X, Y)
    for rows in (few.inverse_transform(few.transform(X)), few.inverse_transform(*few.transform(X, Y))[0]):
        assert 1 - ((rows - X) ** 2).sum() / ((X - X.mean(0)) ** 2).sum() > 0.7
    full = estimators.CCA(n_components=5).fit(X[:, :5], Y)
    np.testing.assert_allclose(full.inverse_transform(full.transform(X[:, :5])), X[:, :5], rtol=1e-8)


def test_units_of_columns_do_not_matter_but_to_regularisation():
    units = 2.0 ** np.arange(-3, 4)
    for options in ({}, {"scale": False}, {"shrinkage": 0.2}):
        found = [estimators.CCA(2, **options).fit(rows, Y).correlations_ for rows in (X, X * units)]
        np.testing.assert_allclose(*found, rtol=1e-7)
    found = [estimators.CCA(2, shrinkage=0.2, scale=False).fit(rows, Y).correlations_ for rows in (X, X * units)]
    assert abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.parametrize("unit", [1e200, 1e-200])
def test_columns_of_any_size_have_a_deviation(unit):
    found, expected = estimators.CCA(2).fit(X * unit, Y), estimators.CCA(2).fit(X, Y)
    np.testing.assert_allclose(found.correlations_, expected.correlations_, rtol=1e-9)
    np.testing.assert_allclose(found.predict(X * unit), expected.predict(X), rtol=1e-8, atol=1e-9)


def test_one_target_and_a_constant_column():
    y = Y[:, 0]
    found = estimators.CCA(n_components=1).fit(X, y)
    np.testing.assert_allclose(found.predict(X), LinearRegression().fit(X, y).predict(X), rtol=1e-8)
    constant = np.column_stack([X, np.full(90, 3.0)])
    np.testing.assert_allclose(estimators.CCA(1).fit(constant, y).predict(constant), found.predict(X), rtol=1e-8)
    assert found.transform(X, y)[1].shape == (90, 1)
    pipeline = make_pipeline(StandardScaler(), estimators.CCA(2, control={"max_bytes": 1 << 26}))
    assert pipeline.fit(X, Y).predict(X).shape == (90, 5)


def test_pairs_are_found():
    found = estimators.CrossModalMatcher(transfer="lstsq", metric="euclidean").fit(X[:60], Y[:60])
    mapped = cmf.fit_transfer(X[:60], Y[:60], "lstsq").apply(X)
    value = ((mapped[:, None] - Y[:60]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found.predict(X), value.argmin(axis=1))
    own = ((mapped[60:, None] - Y[60:]) ** 2).sum(axis=2)
    assert found.score(X[60:], Y[60:]) == (own.argmin(axis=1) == np.arange(30)).mean() > 0.3
    loaded = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(loaded.predict(X), found.predict(X))
    sparse = estimators.CrossModalMatcher(transfer="lstsq", metric="euclidean")
    sparse.fit(scipy.sparse.csr_array(X[:60]), scipy.sparse.csr_array(Y[:60]))
    np.testing.assert_array_equal(sparse.predict(scipy.sparse.csr_array(X)), found.predict(X))


def test_a_gallery_alone_and_methods():
    found = estimators.CrossModalMatcher(n_neighbors=3).fit(Y)
    np.testing.assert_array_equal(found.predict(Y), np.arange(90))
    expected = cmf.match(Y[:4] + 1, Y, k=3)
    for one, other in zip(found.match(Y[:4] + 1), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert estimators.CrossModalMatcher(match_options={"k": 2}).fit(Y).match(Y).rows.tolist()[:3] == [0, 0, 1]
    for method, options in (("assignment", None), ("csls", {"neighbours": 4}), ("mutual", None)):
        found = estimators.CrossModalMatcher(method, transfer=None, match_options=options).fit(Y[::-1], Y)
        np.testing.assert_array_equal(found.predict(Y), np.arange(90))
    lonely = estimators.CrossModalMatcher("mutual").fit(Y[:2])
    assert sorted(lonely.predict(Y[:3] * [1.0, 1, 1, 1, 1]).tolist()) == [-1, 0, 1]


def test_grids_choose_a_transfer():
    grid = {"transfer": ["ridge", "procrustes"], "metric": ["cosine", "euclidean"]}
    found = GridSearchCV(estimators.CrossModalMatcher(), grid, cv=3).fit(X, Y)
    assert found.best_score_ == max(found.cv_results_["mean_test_score"]) > 0.3


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: estimators.CrossModalMatcher(transfer=None).fit(X, Y),
            "X and y must have as many columns as each other where transfer is None, got 7 and 5",
        ),
        (
            lambda: estimators.CCA(6).fit(X, Y),
            "X is A, y is B: n_components must be in 1..5 (the lower rank of A and B), got 6",
        ),
        (
            lambda: estimators.TransferRegressor().fit(np.ones((4, 2)), Y[:4]),
            "X is A, y is B: A must hold rows that differ, got 4 equal rows",
        ),
        (
            lambda: estimators.TransferRegressor("lstsq", options={"regularization": 1}).fit(X, Y),
            "X is A, y is B: regularization must be left out with method='lstsq', got 1; it belongs to ridge",
        ),
        (
            lambda: estimators.TransferRegressor(options="ridge").fit(X, Y),
            "X is A, y is B: options must be a dict or None, got 'ridge'",
        ),
        (
            lambda: estimators.TransferRegressor(options={"method": "ridge"}).fit(X, Y),
            "options must be without ['method', 'center', 'sample_weight'], which are parameters, got 'method'",
        ),
        (
            lambda: estimators.TransferRegressor().fit(X, scipy.sparse.csr_array(Y)),
            "y must be dense, got csr_array: y.toarray() is",
        ),
        (
            lambda: estimators.CrossModalMatcher(match_options={"method": "mutual"}).fit(Y).predict(Y),
            "match_options must be without ['method'], which are parameters, got 'method'",
        ),
        (
            lambda: estimators.CrossModalMatcher(match_options=3).fit(Y).predict(Y),
            "match_options must be a dict or None, got 3",
        ),
        (
            lambda: estimators.CrossModalMatcher(transfer="x").fit(X, Y),
            "transfer (X is A, y is B): method must be one of auto, lstsq",
        ),
        (lambda: estimators.CCA(control=[]).fit(X, Y), "control must be a dict or None, got []"),
        (lambda: estimators.CCA(scale="no").fit(X, Y), "scale must be True or False, got 'no'"),
        (lambda: estimators.CrossModalMatcher("nearest").fit(Y).predict(Y), "method must be one of topk, mutual"),
        (lambda: estimators.TransferRegressor().fit(X, Y[:5]), "Found input variables with inconsistent numbers"),
        (lambda: estimators.CCA(1).fit(X * np.nan, Y), "Input X contains NaN."),
        (lambda: estimators.CCA(1).fit(X[:1], Y[:1]), "Found array with 1 sample(s)"),
    ],
)
def test_what_is_refused(call, sentence):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert sentence in str(caught.value)
