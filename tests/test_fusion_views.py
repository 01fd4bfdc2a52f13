"""What views have in common (GCCA), their products, and weights that are learned."""

import re

import numpy as np
import pytest

from crossmodal_fast import evaluate, match
from crossmodal_fast.fusion import GCCA, hadamard, learn_weights, weighted_sum
from crossmodal_fast.preprocess import normalize


def views(n=80, widths=(5, 4, 6), common=2, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, common))
    return [shared @ rng.standard_normal((common, d)) + noise * rng.standard_normal((n, d)) for d in widths]


def projector(X, regularization=0.0):
    X = X - X.mean(axis=0)
    gram = X.T @ X
    return X @ np.linalg.pinv(gram + regularization * np.trace(gram) / len(gram) * np.eye(len(gram))) @ X.T


# ---- GCCA


@pytest.mark.parametrize("regularization", [0.0, 0.3])
def test_maxvar_by_its_definition(regularization):
    X = views()
    found = GCCA(3, regularization=regularization).fit(X)
    total = sum(projector(view, regularization) for view in X)
    values, vectors = np.linalg.eigh(total)
    G = vectors[:, ::-1][:, :3]
    np.testing.assert_allclose(found.eigenvalues_, values[::-1][:3], rtol=1e-10)
    projected = found.transform(X)
    expected = total @ G / 3 * np.sqrt(len(G) - 1)
    signs = np.sign((projected * expected).sum(axis=0))
    np.testing.assert_allclose(projected, expected * signs, atol=1e-9)


def test_two_views_are_canonical_correlation():
    A, B = views(widths=(5, 4))
    found = GCCA(4).fit([A, B])
    bases = [np.linalg.qr(view - view.mean(axis=0))[0] for view in (A, B)]
    rho = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    np.testing.assert_allclose(found.eigenvalues_, 1 + rho, rtol=1e-10)
    left, right = found.transform([A, None]), found.transform([None, B])
    correlations = [np.corrcoef(left[:, k], right[:, k])[0, 1] for k in range(4)]
    np.testing.assert_allclose(correlations, rho, rtol=1e-9)
    stacked = np.vstack(found.maps_)
    assert (stacked[np.abs(stacked).argmax(axis=0), range(4)] > 0).all()


def test_invertible_maps_of_a_view_change_nothing():
    X = views()
    mixed = [X[0], X[1] @ np.random.default_rng(1).standard_normal((4, 4)) + 100.0, 1e-6 * X[2]]
    one, other = GCCA(2).fit_transform(mixed), GCCA(2).fit_transform(X)
    np.testing.assert_allclose(one * np.sign((one * other).sum(axis=0)), other, atol=1e-8)


def test_an_item_speaks_through_the_views_it_has():
    X = views()
    found = GCCA(2).fit(X)
    gap = [view.copy() for view in X]
    gap[1][7] = 0.0
    expected = (found.transform([X[0], None, None]) + found.transform([None, None, X[2]])) / 2
    np.testing.assert_allclose(found.transform(gap)[7], expected[7], atol=1e-12)
    for view in gap:
        view[8] = 0.0
    assert (found.transform(gap)[8] == 0).all()
    again = GCCA(2).fit(gap)  # without items 7 and 8
    rest = np.r_[:7, 9:80]
    np.testing.assert_allclose(again.eigenvalues_, GCCA(2).fit([view[rest] for view in X]).eigenvalues_, rtol=1e-12)


def test_rank_deficient_and_wide_views():
    X = views()
    X[0] = np.hstack([X[0], X[0][:, :2], np.ones((80, 1))])
    np.testing.assert_allclose(GCCA(2).fit(X).eigenvalues_, GCCA(2).fit(views()).eigenvalues_, rtol=1e-9)
    wide = GCCA(3).fit([view[:5] for view in views()])
    np.testing.assert_allclose(wide.eigenvalues_, 3.0, rtol=1e-9)  # with 5 items all agree on everything


def test_dtype_of_the_average():
    X = [view.astype(np.float32) for view in views()]
    assert GCCA(2).fit_transform(X).dtype == np.float32
    found = GCCA(2, regularization=0.1).fit(X)
    again = GCCA(**found.get_params()).set_state(found.get_state())
    np.testing.assert_array_equal(again.transform(X), found.transform(X))
    np.testing.assert_array_equal(again.eigenvalues_, found.eigenvalues_)
    assert GCCA(2).set_state(GCCA(2).get_state()).get_state() == {}
    assert repr(GCCA(2)) == "GCCA(n_components=2, regularization=0.0)"


# ---- products


def test_hadamard_is_the_product_of_unit_rows():
    X = views(widths=(4, 4, 4))
    expected = normalize(np.prod([normalize(view) for view in X], axis=0))
    np.testing.assert_allclose(hadamard(X), expected, atol=1e-12)
    X[1][3] = 0.0
    np.testing.assert_allclose(hadamard(X)[3], hadamard([X[0], X[2]])[3], atol=1e-12)
    assert not hadamard([view * 0 for view in X]).any()
    many = hadamard([np.full((1, 64), 0.1, np.float32)] * 500)
    np.testing.assert_allclose(many, 1 / 8, rtol=1e-6)
    assert many.dtype == np.float32


# ---- weights


def scored(seed=0, noises=(0.3, 0.8, 5.0), n=40):
    rng = np.random.default_rng(seed)
    return [np.eye(n) + noise * rng.standard_normal((n, n)) for noise in noises]


def test_ridge_by_brute_force():
    scores, n = scored(), 40
    for regularization in (1e-3, 0.5):
        found = learn_weights(scores, regularization=regularization)
        X = np.stack([(s - s.mean(axis=1, keepdims=True)).ravel() for s in scores], axis=1)
        t = (np.eye(n) - 1 / n).ravel()
        w = np.linalg.solve(X.T @ X + regularization * np.trace(X.T @ X) / 3 * np.eye(3), X.T @ t)
        assert (w > 0).all()
        np.testing.assert_allclose(found, w / w.sum(), rtol=1e-9)
    assert found[0] > found[1] > found[2]


def test_ridge_gives_no_weight_to_what_misleads():
    scores = [*scored(), -scored(seed=1)[0]]
    found = learn_weights(scores)
    assert found[3] == 0
    np.testing.assert_allclose(found[:3], learn_weights(scores[:3], regularization=1e-3), rtol=0.05)


def test_ridge_leaves_out_pairs_with_gaps_and_equal_modalities_share():
    scores = scored()
    scores[0][3, 5] = np.nan
    scores[1][7] = np.nan
    found = learn_weights(scores)
    known = ~np.isnan(scores).any(axis=0)
    parts = []
    for part in (*scores, np.eye(40)):
        mean = np.sum(part, axis=1, keepdims=True, where=known) / np.maximum(known.sum(axis=1, keepdims=True), 1)
        parts.append(np.where(known, part - mean, 0).ravel())
    X, t = np.stack(parts[:3], axis=1), parts[3]
    w = np.linalg.solve(X.T @ X + 1e-3 * np.trace(X.T @ X) / 3 * np.eye(3), X.T @ t)
    np.testing.assert_allclose(found, w / w.sum(), rtol=1e-9)
    one = scored()[0]
    np.testing.assert_allclose(learn_weights([one, one], regularization=0), [0.5, 0.5], atol=1e-3)


@pytest.mark.parametrize("measure", ["map", "hit_rate@3", "mean_rank"])
def test_grid_by_brute_force(measure):
    scores = scored(noises=(0.5, 0.6, 2.0), n=25)
    found = learn_weights(scores, method="grid", resolution=4, measure=measure)

    def value(weights):
        fused = weighted_sum(scores, weights)
        result = evaluate.retrieval(fused, metric="precomputed", k=(3,))[measure]
        return -result if measure == "mean_rank" else result

    grid = [np.array([a, b, 4 - a - b]) / 4 for a in range(5) for b in range(5 - a)]
    best = max(map(value, grid))
    assert value(found) == best
    assert found.tolist() in [weights.tolist() for weights in grid]
    assert found @ found == min(weights @ weights for weights in grid if value(weights) == best)


def test_labels_say_what_is_right():
    scores = scored()
    labels = np.arange(40) // 2
    same = learn_weights(scores, labels=(labels, labels))
    csr = np.arange(0, 81, 2), (np.arange(40) // 2 * 2)[:, None] + [0, 1]
    np.testing.assert_array_equal(same, learn_weights(scores, (csr[0], csr[1].ravel())))


# ---- sentences

MEASURES = [name for name in evaluate.retrieval(np.eye(3), metric="precomputed", k=(1,)) if name != "queries"]


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: GCCA(0), ValueError, "n_components must be at least 1, got 0"),
        (lambda: GCCA(2, regularization=-1), ValueError, "regularization must be finite and at least 0, got -1"),
        (lambda: GCCA(2).fit([]), ValueError, "at least one modality must be given to be fused, got none"),
        (lambda: GCCA(16).fit(views()), ValueError,
         "n_components must be in 1..15 (the rank of all views together), got 16"),
        (lambda: GCCA(1).fit([view[:1] for view in views()]), ValueError,
         "views must have at least 2 items that lack none of them, got 1"),
        (lambda: GCCA(1).fit([np.ones((5, 2)), np.eye(5)]), ValueError,
         "views[0] must vary to agree with others, got 5 equal rows"),
        (lambda: GCCA(1).fit([np.eye(3), np.eye(4)]), ValueError,
         "views must have one row per item in each, got [3, 4] rows"),
        (lambda: GCCA(1).fit([np.eye(3), np.full((3, 2), np.nan)]), ValueError,
         "views[1] must be finite, got nan in row 0; remove or fill such rows first"),
        (lambda: GCCA(1).transform(views()), RuntimeError,
         "GCCA must be fitted before it is applied: call fit(views) first"),
        (lambda: GCCA(1).fit(views()).transform(views()[:2]), ValueError,
         "views must be 3, as in fit, got 2; None stands for a missing one"),
        (lambda: GCCA(1).fit(views()).transform([None, np.eye(3), None]), ValueError,
         "views[1] must have 4 columns, as fit saw, got shape (3, 3)"),
        (lambda: GCCA(1).fit(views()).transform([None] * 3), ValueError,
         "at least one modality must be given to be fused, got none"),
        (lambda: hadamard([np.eye(3), np.ones((3, 2))]), ValueError,
         "views must have one shape to be multiplied, got (3, 3) and (3, 2)"),
        (lambda: learn_weights([match(np.eye(3), np.eye(3))]), TypeError,
         "scores must be matrices to learn weights from, got Matches"),
        (lambda: learn_weights([]), TypeError, "scores must be matrices to learn weights from, got none"),
        (lambda: learn_weights([-np.eye(3)]), ValueError,
         "scores must be higher for right answers in at least one modality to learn weights, got none such"),
        (lambda: learn_weights([np.ones((3, 3))]), ValueError,
         "scores must be higher for right answers in at least one modality to learn weights, got none such"),
        (lambda: learn_weights([np.ones((3, 4))]), ValueError,
         "positives or labels must be given for 3 queries and 4 columns, got neither"),
        (lambda: learn_weights([np.eye(3)], [0, 1, 2], labels=([0, 1, 2], [0, 1, 2])), ValueError,
         "positives must be left out where labels are given, got both"),
        (lambda: learn_weights([np.eye(3)], labels=([0, 1, 2], [0, 1])), ValueError,
         "labels must be 3 and 3, of queries and columns, got 3 and 2"),
        (lambda: learn_weights([np.eye(3)], labels=3), TypeError,
         "labels must be a pair, of queries and columns, got 3"),
        (lambda: learn_weights([np.eye(3)], [0, 1, 3]), ValueError, "positives must be gallery rows in 0..2, got 3"),
        (lambda: learn_weights([np.eye(3)], method="guess"), ValueError,
         "method must be one of ridge, grid, got 'guess'"),
        (lambda: learn_weights([np.eye(3)] * 9, method="grid"), ValueError,
         "resolution must give at most 20000 points for 9 modalities, got 43758 with 10; method='ridge' has no grid"),
        (lambda: learn_weights([np.eye(3)], method="grid", measure="best"), ValueError,
         f"measure must be one of {', '.join(MEASURES)}, got 'best'"),
        (lambda: learn_weights([np.eye(3)], method="grid", measure=3), TypeError, "measure must be a text, got 3"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()
