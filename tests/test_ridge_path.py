"""The ridge path against refits by brute force: its maps, leave-one-out, generalised cross-validation, priors."""

import numpy as np
import pytest

from crossmodal_fast import fit_transfer
from crossmodal_fast.fitting import RidgePath, TransferMap
from fitted import orthogonal, pairs, refits, ridge_by_hand

PENALTIES = [0.03, 1.0, 40.0]


@pytest.mark.parametrize("shape", [(60, 6, 4), (5, 9, 4), (12, 11, 3)])
@pytest.mark.parametrize("center", [True, False])
def test_all_maps_of_a_path_are_their_own_fits(shape, center):
    A, B = pairs(*shape)
    path = RidgePath(A, B, center=center)
    for penalty in PENALTIES:
        W, bias = ridge_by_hand(A, B, penalty, center=center)
        np.testing.assert_allclose(path.map(penalty).W, W, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(path.map(penalty).bias, bias, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("shape", [(60, 6, 4), (5, 9, 4), (12, 11, 3), (2, 3, 2)])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("towards", [None, "matrix"])
def test_leaving_one_out_is_refitting_without_it(shape, center, weighted, towards):
    A, B = pairs(*shape)
    weight = np.random.default_rng(1).random(len(A)) + 0.2 if weighted else None
    prior = None if towards is None else np.random.default_rng(2).standard_normal(shape[1:])
    path = RidgePath(A, B, center=center, prior=None if prior is None else prior.T, sample_weight=weight)
    errors = path.loo(PENALTIES)
    for penalty, error in zip(PENALTIES, errors, strict=True):
        expected = refits(A, B, penalty, prior, weight, center)
        np.testing.assert_allclose(path.loo_predictions(penalty), expected, rtol=1e-8, atol=1e-8)
        squares = np.square(B - expected).sum(axis=1)
        np.testing.assert_allclose(error, np.average(squares, weights=weight), rtol=1e-8)


def test_leaving_one_out_of_least_squares():
    A, B = pairs()
    np.testing.assert_allclose(RidgePath(A, B).loo_predictions(0.0), refits(A, B, 0.0), rtol=1e-9)


def test_a_pair_without_weight_is_predicted_by_the_map_of_the_others():
    A, B = pairs()
    weight = np.r_[0.0, np.ones(len(A) - 1)]
    path = RidgePath(A, B, sample_weight=weight)
    expected = RidgePath(A[1:], B[1:]).map(2.0).apply(A[:1])
    np.testing.assert_allclose(path.loo_predictions(2.0)[:1], expected, rtol=1e-9)
    np.testing.assert_allclose(path.loo([2.0]), RidgePath(A[1:], B[1:]).loo([2.0]), rtol=1e-9)
    np.testing.assert_allclose(path.gcv([2.0]), RidgePath(A[1:], B[1:]).gcv([2.0]), rtol=1e-9)


@pytest.mark.parametrize("shape", [(60, 6, 4), (5, 9, 4)])
@pytest.mark.parametrize("center", [True, False])
def test_gcv_is_its_definition(shape, center):
    A, B = pairs(*shape)
    X, Y = (A - A.mean(axis=0), B - B.mean(axis=0)) if center else (A, B)
    n = len(A)
    for penalty, found in zip(PENALTIES, RidgePath(A, B, center=center).gcv(PENALTIES), strict=True):
        H = X @ np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T) + center / n
        expected = n * np.square(Y - H @ Y).sum() / (n - np.trace(H)) ** 2
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_retrieval_without_the_pair_is_counted_by_hand():
    A, B = pairs(n=25, noise=2.0)
    expected = []
    for penalty in PENALTIES:
        predicted = refits(A, B, penalty)
        cosine = predicted @ B.T / np.linalg.norm(B, axis=1) / np.linalg.norm(predicted, axis=1)[:, None]
        expected.append(np.mean(1 / (1 + (cosine > cosine.diagonal()[:, None]).sum(axis=1))))
    np.testing.assert_allclose(RidgePath(A, B).loo_retrieval(PENALTIES), expected, rtol=1e-12)


def test_ridge_ends_at_the_prior_and_begins_at_least_squares():
    A, B = pairs(d_out=6)
    prior = np.random.default_rng(0).standard_normal((6, 6))
    for given, M in [
        (prior, prior),
        ("identity", np.eye(6)),
        (TransferMap(prior, np.ones(6)), prior),
        ("procrustes", fit_transfer(A, B, "procrustes").M),
    ]:
        far = fit_transfer(A, B, "ridge", regularization=1e14, prior=given)
        np.testing.assert_allclose(far.M, M, atol=1e-9)
        np.testing.assert_allclose(far.apply(A).mean(axis=0), B.mean(axis=0), rtol=1e-9)
        near = fit_transfer(A, B, "ridge", regularization=1e-11, prior=given)
        np.testing.assert_allclose(near.M, fit_transfer(A, B, "lstsq").M, rtol=1e-9)


def test_without_penalty_directions_that_no_pair_shows_stay_with_the_prior():
    A, B = pairs(4, 8, 8)
    found = RidgePath(A, B, prior="identity").map(0.0)
    unseen = np.linalg.svd(A - A.mean(axis=0))[2][3:]
    np.testing.assert_allclose(unseen @ found.W, unseen, atol=1e-10)
    np.testing.assert_allclose(found.apply(A), B, atol=1e-9)


@pytest.mark.parametrize("selection", ["loo", "gcv", "retrieval"])
def test_the_best_of_a_path_is_taken(selection):
    A, B = pairs(n=30, d_in=12, noise=2.0)
    path = RidgePath(A, B)
    found = fit_transfer(A, B, "ridge", regularization="path", selection=selection, backend="numpy")
    criterion = {"loo": path.loo, "gcv": path.gcv, "retrieval": lambda given: -path.loo_retrieval(given)}[selection]
    values = criterion(path.default_regularizations)
    best = path.default_regularizations[values == values.min()].max()
    assert found.details == {"regularization": pytest.approx(best), "selection": selection}
    np.testing.assert_allclose(found.M, path.map(best).M, rtol=1e-12)
    few = fit_transfer(A, B, "ridge", regularization=[1e9, 1.0], selection=selection)
    assert few.details["regularization"] == 1.0


def test_the_default_path_spans_the_singular_values():
    A, B = pairs()
    largest = np.linalg.svd(A - A.mean(axis=0), compute_uv=False)[0] ** 2
    path = RidgePath(A, B).default_regularizations
    np.testing.assert_allclose(path[[0, -1]], [1e-8 * largest, 100 * largest], rtol=1e-12)
    assert len(path) == 21


def test_more_parameters_than_pairs():
    A, B = pairs(5, 9, 4)
    path = RidgePath(A, B)
    assert path.loo([0.0])[0] == path.gcv([0.0])[0] == np.inf
    assert path.loo_retrieval([0.0])[0] == 0
    assert np.isfinite(path.loo(path.default_regularizations)).all()
    tiny = 1e-8 * path.largest_eigenvalue
    np.testing.assert_allclose(path.loo_predictions(tiny), refits(A, B, tiny), rtol=1e-5)


def test_powers_of_two_scale_the_criteria():
    A, B = pairs()
    plain, scaled = RidgePath(A, B), RidgePath(np.ldexp(A, 300), np.ldexp(B, -400))
    np.testing.assert_array_equal(np.ldexp(plain.loo([1.0]), -800), scaled.loo([np.ldexp(1.0, 600)]))
    np.testing.assert_array_equal(np.ldexp(plain.gcv([1.0]), -800), scaled.gcv([np.ldexp(1.0, 600)]))
    assert scaled.best([np.ldexp(1.0, 600), np.ldexp(1e9, 600)]) == np.ldexp(1.0, 600)


@pytest.mark.parametrize("determinant", [1, -1])
def test_a_known_orthogonal_map_is_recovered_by_all_that_can(determinant):
    A = np.random.default_rng(3).standard_normal((100, 8)) @ np.random.default_rng(4).standard_normal((8, 8))
    Q = orthogonal(8, determinant=determinant)
    for method in ("lstsq", "procrustes", "cca", "pls", "multistep"):
        found = fit_transfer(A, A @ Q.T + 7, method)
        np.testing.assert_allclose(found.M, Q, atol=1e-10, err_msg=method)
        np.testing.assert_allclose(found.bias, 7, atol=1e-10)
