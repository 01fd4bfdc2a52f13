"""CCA, PLS and VecMap's steps against their definitions, invariances and scikit-learn."""

import numpy as np
import pytest

from crossmodal_fast import fit_transfer
from crossmodal_fast.fitting import CCA, PLS, MultiStep
from crossmodal_fast.fitting._pairs import _triangle
from fitted import two_views

VIEWS = [CCA, PLS, MultiStep]


def centred(*sides):
    return [side - side.mean(axis=0) for side in sides]


def root(C, power):
    values, vectors = np.linalg.eigh(C)
    return vectors * values**power @ vectors.T


def cca_by_hand(A, B, of_a, of_b, kept=1.0):
    """(rho, A, B) from the covariances; of_a and of_b make them regular, `kept` is the share of C_ab."""
    X, Y = centred(A, B)
    n = len(A) - 1
    left, right = root(of_a(X.T @ X / n), -0.5), root(of_b(Y.T @ Y / n), -0.5)
    U, rho, Vt = np.linalg.svd(left @ (X.T @ Y / n) @ right, full_matrices=False)
    a, b = left @ U, right @ Vt.T
    sign = np.sign(a[np.abs(a).argmax(axis=0), np.arange(a.shape[1])])
    return kept * rho, a * sign, b * sign


REGULAR = {
    "none": ({}, lambda C: C, 1.0),
    "ridge": ({"regularization": 0.3}, lambda C: C + 0.3 * np.eye(len(C)), 1.0),
    "mean": ({"shrinkage": 0.4}, lambda C: 0.6 * C + 0.4 * np.trace(C) / len(C) * np.eye(len(C)), 0.6),
    "identity": ({"shrinkage": 0.4, "shrink_to": "identity"}, lambda C: 0.6 * C + 0.4 * np.eye(len(C)), 0.6),
}


@pytest.mark.parametrize("name", REGULAR)
def test_cca_is_its_definition(name):
    options, regular, kept = REGULAR[name]
    A, B = two_views()
    rho, a, b = cca_by_hand(A, B, regular, regular, kept)
    found = CCA(**options).fit(A, B)
    np.testing.assert_allclose(found.correlations_, rho, rtol=1e-9)
    np.testing.assert_allclose(found.projection_a_, a, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.projection_b_, b, rtol=1e-7, atol=1e-9)
    expected = a * rho @ np.linalg.pinv(b)
    np.testing.assert_allclose(found.transfer_map.W, expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(fit_transfer(A, B, "cca", **options).W, expected, rtol=1e-7, atol=1e-9)


def test_each_view_may_have_its_own_penalty():
    A, B = two_views()
    expected = cca_by_hand(A, B, lambda C: C + 0.1 * np.eye(7), lambda C: C + 2.0 * np.eye(5))[0]
    np.testing.assert_allclose(CCA(regularization=(0.1, 2.0)).fit(A, B).correlations_, expected, rtol=1e-9)


def test_projected_rows_are_uncorrelated_but_for_their_counterparts():
    A, B = two_views()
    found = CCA()
    a, b = found.fit_transform(A, B)
    joint = np.cov(np.hstack([a, b]).T)
    expected = np.eye(10)
    expected[:5, 5:] = expected[5:, :5] = np.diag(found.correlations_)
    np.testing.assert_allclose(joint, expected, atol=1e-10)
    assert (np.diff(found.correlations_) <= 0).all()


def test_cca_is_invariant_under_invertible_maps_of_either_view():
    A, B = two_views()
    rng = np.random.default_rng(1)
    P, Q = rng.standard_normal((7, 7)), rng.standard_normal((5, 5))
    found, moved = CCA().fit(A, B), CCA().fit(A @ P + 4, B @ Q - 9)
    np.testing.assert_allclose(moved.correlations_, found.correlations_, rtol=1e-9)
    for one, other in zip(found.transform(A, B), moved.transform(A @ P + 4, B @ Q - 9), strict=True):
        np.testing.assert_allclose(np.abs((one * other).sum(axis=0)), np.square(one).sum(axis=0), rtol=1e-8)
    np.testing.assert_allclose(moved.transfer_map.apply(A @ P + 4), found.transfer_map.apply(A) @ Q - 9, rtol=1e-8)


def test_the_map_of_full_rank_is_least_squares_and_without_weights_that_of_faruqui_and_dyer():
    A, B = two_views(d_in=7, d_out=5)
    np.testing.assert_allclose(fit_transfer(A, B, "cca").M, fit_transfer(A, B, "lstsq").M, rtol=1e-8)
    found = CCA(correlation_power=0).fit(A, B)
    expected = found.projection_a_ @ np.linalg.pinv(found.projection_b_)
    np.testing.assert_allclose(found.transfer_map.W, expected, rtol=1e-9, atol=1e-12)


def test_a_direction_of_rounding_correlates_with_nothing():
    A, B = two_views()
    shares = np.exp(A) / np.exp(A).sum(axis=1, keepdims=True)
    assert len(CCA().fit(shares.astype(np.float32), np.hstack([B, B])).correlations_) == 5
    assert len(CCA().fit(np.hstack([B, B[:, :2] * 3]), A).correlations_) == 5
    assert CCA().fit(np.hstack([A[:, :2], np.full((80, 1), 4.2)]), B).projection_a_[2] == pytest.approx(0)


@pytest.mark.parametrize("shape", [(6, 9, 7), (4, 3, 8), (2, 3, 3)])
def test_fewer_pairs_than_columns(shape):
    A, B = two_views(*shape, hidden=3)
    found = CCA().fit(A, B)
    assert len(found.correlations_) == min(len(A) - 1, *shape[1:])
    np.testing.assert_allclose(found.correlations_[: min(len(A) - 1, *shape[1:])], 1)
    regular = CCA(shrinkage=0.3).fit(A, B)
    rho = cca_by_hand(A, B, *[REGULAR["mean"][1]] * 2, 0.6)[0]
    np.testing.assert_allclose(CCA(shrinkage=0.4).fit(A, B).correlations_, rho[: len(found.correlations_)], rtol=1e-8)
    assert np.isfinite(regular.transfer_map.M).all()


def test_fewer_components_are_the_first_ones():
    A, B = two_views()
    for made in (CCA, lambda k=None: PLS(k, mode="svd"), MultiStep, PLS, lambda k=None: PLS(k, mode="canonical")):
        few, all_of_them = made(2).fit(A, B), made().fit(A, B)
        np.testing.assert_allclose(few.projection_a_, all_of_them.projection_a_[:, :2], rtol=1e-8, atol=1e-9)
        if made is not PLS:  # whose scores of B depend on all components
            np.testing.assert_allclose(few.projection_b_, all_of_them.projection_b_[:, :2], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("mode", ["regression", "canonical"])
@pytest.mark.parametrize("shape", [(80, 7, 5), (80, 4, 9)])
def test_pls_against_scikit_learn(mode, shape):
    decomposition = pytest.importorskip("sklearn.cross_decomposition")
    kind = {"regression": decomposition.PLSRegression, "canonical": decomposition.PLSCanonical}[mode]
    A, B = two_views(*shape)
    theirs = kind(3, scale=False, tol=1e-14, max_iter=100_000).fit(A, B)
    found = PLS(3, mode=mode).fit(A, B)
    for ours, other in ((found.projection_a_, theirs.x_rotations_), (found.projection_b_, theirs.y_rotations_)):
        np.testing.assert_allclose(np.abs(ours), np.abs(other), rtol=1e-4, atol=1e-6)
    if mode == "regression":
        np.testing.assert_allclose(found.transfer_map.M, theirs.coef_, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(found.transfer_map.apply(A), theirs.predict(A), rtol=1e-5)


def test_pls_svd_is_the_svd_of_the_covariance():
    A, B = two_views()
    X, Y = centred(A, B)
    U, S, Vt = np.linalg.svd(X.T @ Y / (len(A) - 1))
    found = PLS(mode="svd").fit(A, B)
    np.testing.assert_allclose(found.covariances_, S, rtol=1e-9)
    np.testing.assert_allclose(np.abs(found.projection_a_), np.abs(U[:, :5]), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(np.abs(found.projection_b_), np.abs(Vt.T), rtol=1e-7, atol=1e-9)
    two = PLS(2, mode="svd").fit(A, B)
    T, V = X @ two.projection_a_, two.projection_b_
    expected = two.projection_a_ @ np.linalg.lstsq(T, Y @ V, rcond=None)[0] @ V.T
    np.testing.assert_allclose(two.transfer_map.W, expected, rtol=1e-8, atol=1e-10)


def test_pls_regression_of_all_components_is_least_squares():
    A, B = two_views(d_in=4)
    np.testing.assert_allclose(fit_transfer(A, B, "pls").M, fit_transfer(A, B, "lstsq").M, rtol=1e-6, atol=1e-8)


def test_the_scores_of_pls_regression_are_uncorrelated():
    A, B = two_views()
    found = PLS(4).fit(A, B)
    scores = found.transform(A)
    gram = scores.T @ scores
    np.testing.assert_allclose(gram - np.diag(gram.diagonal()), 0, atol=1e-8 * gram.max())


def multistep_by_hand(A, B, reweight, dewhiten, r):
    """The steps one after another, on rows (Artetxe et al. 2018, in formulas.md's order)."""
    X, Z = centred(A, B)
    W_x, W_z = root(X.T @ X, -0.5), root(Z.T @ Z, -0.5)
    U, S, Vt = np.linalg.svd((X @ W_x).T @ (Z @ W_z), full_matrices=False)
    sides = []
    for rows, W, turn in ((X, W_x, U), (Z, W_z, Vt.T)):
        moved = rows @ W @ turn * S**reweight
        if dewhiten:
            moved = moved @ turn.T @ np.linalg.inv(W) @ turn
        sides.append(moved[:, :r])
    return sides


@pytest.mark.parametrize("reweight", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dewhiten", [True, False])
@pytest.mark.parametrize("r", [5, 3])
def test_multistep_is_its_steps(reweight, dewhiten, r):
    A, B = two_views()
    found = MultiStep(r, reweight=reweight, dewhiten=dewhiten).fit(A, B)
    for ours, expected in zip(found.transform(A, B), multistep_by_hand(A, B, reweight, dewhiten, r), strict=True):
        np.testing.assert_allclose(ours @ ours.T, expected @ expected.T, rtol=1e-8, atol=1e-8)
    W = found.projection_a_ @ np.linalg.pinv(found.projection_b_)
    np.testing.assert_allclose(found.transfer_map.W, W, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("made", VIEWS, ids=lambda made: made.__name__)
def test_powers_of_two_change_no_projected_bit(made):
    A, B = two_views()
    plain, scaled = made(2).fit(A, B), made(2).fit(np.ldexp(A, 500), np.ldexp(B, -500))
    power = 0 if made is MultiStep else -1000  # which takes both sides to be of one unit, as the paper does
    np.testing.assert_array_equal(scaled.transfer_map.M, np.ldexp(plain.transfer_map.M, power))
    np.testing.assert_array_equal(
        *(np.abs(one / one.max(axis=0)) for one in (plain.projection_a_, scaled.projection_a_))
    )


@pytest.mark.parametrize("made", VIEWS, ids=lambda made: made.__name__)
def test_signs_are_fixed_whatever_the_order_of_the_rows(made):
    A, B = two_views()
    order = np.random.default_rng(0).permutation(len(A))
    one, other = made(3).fit(A, B), made(3).fit(A[order], B[order])
    leading = one.projection_a_[np.abs(one.projection_a_).argmax(axis=0), np.arange(3)]
    assert (leading > 0).all()
    np.testing.assert_allclose(other.projection_a_, one.projection_a_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(other.projection_b_, one.projection_b_, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("made", VIEWS, ids=lambda made: made.__name__)
def test_saved_cloned_and_asked(made, tmp_path):
    A, B = two_views()
    found = made(2).fit(A, B)
    found.save(tmp_path / "views.npz")
    again = made.load(tmp_path / "views.npz")
    for one, other in zip(again.transform(A, B), found.transform(A, B), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(again.transfer_map.M, found.transfer_map.M)
    assert found.get_params()["n_components"] == 2
    assert found.set_params(n_components=1).fit(A, B).transform(A).shape == (80, 1)
    assert repr(found).startswith(f"{made.__name__}(n_components=1, ")
    clone = pytest.importorskip("sklearn.base").clone(found)
    assert clone.get_params() == found.get_params()
    assert clone.get_state() == {}


@pytest.mark.parametrize("made", VIEWS, ids=lambda made: made.__name__)
def test_a_constant_target_column_and_float32_rows(made):
    A, B = (side.astype(np.float32) for side in two_views())
    B[:, 1] = 3
    found = made(2).fit(A, B)
    assert found.transform(A).dtype == found.transform(B=B).dtype == np.float32
    np.testing.assert_allclose(found.transfer_map.apply(A)[:, 1], 3, rtol=1e-6)


@pytest.mark.parametrize("made", VIEWS, ids=lambda made: made.__name__)
def test_a_refused_fit_changes_nothing(made):
    A, B = two_views()
    found = made(2).fit(A, B)
    before = found.transform(A, B)
    with pytest.raises(
        ValueError, match=r"^A and B must be of sizes whose ratio float64 holds, got|^n_components must"
    ):
        found.set_params(n_components=2 if made is not MultiStep else 6).fit(np.ldexp(A, -900), np.ldexp(B, 900))
    for one, other in zip(found.transform(A, B), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("apart", [1.0, 1e-2, 1e-4, 1e-8, 0.0])
@pytest.mark.parametrize("size", [1.0, 1e-160, 1e150])
def test_a_triangle_has_the_singular_values_of_its_rows(apart, size):
    """Two columns that differ by so much: by Cholesky as long as that loses nothing, then by Householder."""
    rows = np.random.default_rng(5).standard_normal((300, 8)) * np.geomspace(1, 1e3, 8)
    rows[:, 3] = rows[:, 2] + apart * rows[:, 3]
    found, exact = (np.linalg.svd(part, compute_uv=False) for part in (_triangle(rows * size), rows * size))
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-13 * exact[0])
    assert (np.diag(_triangle(rows.copy())) > 0).all() == (apart >= 1e-2)
