"""Maps between sets whose pairs are few or unknown: induced dictionaries, self-learning, no supervision at all."""

import numpy as np
import pytest

from crossmodal_fast import fit_transfer
from crossmodal_fast.fitting import _selflearning, _unsupervised, induced
from fitted import orthogonal

D = 8


def clustered(n=300, spread=0.5, scale=(1, 1), seed=0):
    """Rows in clusters of unequal size, so that no turn takes the set to itself."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((8, D)) * np.linspace(*scale, D)
    share = np.linspace(1, 3, 8)
    return centres[rng.choice(8, n, p=share / share.sum())] + spread * rng.standard_normal((n, D))


def turned(noise=0.0, determinant=1, **shape):
    """(A, B, order, Q): row order[i] of B is row i of A, turned by Q, with noise."""
    A, Q = clustered(**shape), orthogonal(D, determinant=determinant)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(A))
    B = np.empty_like(A)
    B[order] = A @ Q.T + noise * rng.standard_normal(A.shape)
    return A, B, order, Q


def right(found, A, B, order):
    X, Y = (side - side.mean(axis=0) for side in (found.apply(A), B))
    cosine = X @ Y.T / np.linalg.norm(X, axis=1)[:, None] / np.linalg.norm(Y, axis=1)
    return np.mean(cosine.argmax(axis=1) == order)


def csls_by_hand(X, Y, k):
    cosine = X @ Y.T / np.linalg.norm(X, axis=1)[:, None] / np.linalg.norm(Y, axis=1)
    near_y, near_x = np.sort(cosine, axis=1)[:, -k:].mean(axis=1), np.sort(cosine, axis=0)[-k:].mean(axis=0)
    csls = 2 * cosine - near_y[:, None] - near_x
    pairs = {*enumerate(csls.argmax(axis=1).tolist()), *((i, j) for j, i in enumerate(csls.argmax(axis=0).tolist()))}
    return sorted(pairs), np.mean([cosine[pair] for pair in pairs])


@pytest.mark.parametrize(("m", "n", "k"), [(40, 30, 10), (30, 40, 5), (6, 5, 10)])
def test_induced_pairs_are_the_union_of_both_directions_of_csls(m, n, k):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((m, 5)), rng.standard_normal((n, 5))
    found = induced(X, Y, k)
    pairs, similarity = csls_by_hand(X, Y, min(k, m, n))
    assert list(zip(found.rows.tolist(), found.columns.tolist(), strict=True)) == pairs
    np.testing.assert_allclose(found.similarity, similarity, rtol=1e-12)


@pytest.mark.parametrize("keep", [1.0, 0.3])
def test_a_small_dictionary_grows(keep):
    A, B, order, Q = turned(noise=0.1)
    seeds = np.column_stack([np.arange(9), order[:9]])
    alone = fit_transfer(A[seeds[:, 0]], B[seeds[:, 1]], "procrustes")
    found = fit_transfer(A, B, "self_learning", pairs=seeds, keep=keep, backend="numpy")
    assert right(alone, A, B, order) < 0.6 < 0.95 < right(found, A, B, order)
    assert np.linalg.norm(found.M - Q) < 0.2 < np.linalg.norm(alone.M - Q)
    np.testing.assert_allclose(found.M @ found.M.T, np.eye(D), atol=1e-10)
    assert found.details["seed_pairs"] == 9
    assert found.details["pairs"] >= len(A)
    np.testing.assert_allclose(found.apply(A).mean(axis=0), B.mean(axis=0), atol=1e-10)


def test_sets_of_unlike_size_and_spaces_of_unlike_width():
    A, B, order, _ = turned(noise=0.05)
    wide = np.hstack([B, np.zeros((len(B), 2))])[:250]
    known = np.flatnonzero(order < 250)
    found = fit_transfer(A, wide, "self_learning", pairs=np.column_stack([known, order[known]])[:30])
    assert found.M.shape == (10, 8)
    assert right(found, A[known], wide, order[known]) > 0.9


@pytest.mark.parametrize("determinant", [1, -1])
def test_without_any_pair(determinant, monkeypatch):
    monkeypatch.setattr(_unsupervised, "MATCHING_STARTS", 4)
    A, B, order, Q = turned(noise=0.02, determinant=determinant)
    found = fit_transfer(A, B, "unsupervised", runs=1, clusters=8, backend="numpy")
    assert right(found, A, B, order) > 0.98
    assert np.linalg.norm(found.M - Q) < 0.05
    assert [start["start"] for start in found.details["starts"]] == ["profiles", "clusters", "refined"]
    if determinant == 1:
        again = fit_transfer(A, B, "unsupervised", runs=1, clusters=8, backend="numpy")
        np.testing.assert_array_equal(again.M, found.M)


def test_matched_clusters_undo_a_permutation():
    rng = np.random.default_rng(0)
    centres, order = rng.standard_normal((10, 4)), rng.permutation(10)
    other = np.empty_like(centres)
    other[order] = centres
    np.testing.assert_array_equal(_unsupervised.matched_clusters(centres @ centres.T, other @ other.T, rng), order)


def test_self_learning_gets_from_matched_clusters_to_the_turn():
    A, B, _, Q = turned(noise=0.02, spread=0.2, scale=(0.5, 1.5))
    X, Y = (_selflearning.prepared("A", side, 1000, True).rows for side in (A, B))
    errors = []
    for seed in range(3):
        random = np.random.default_rng(seed)
        start = _unsupervised._by_clusters(X, Y, 8, 10, random)
        found = _selflearning.learned(X, Y, start, random, 1.0, 10)
        errors.append((np.linalg.norm(found.W.T - Q), -found.dictionary.similarity))
    assert min(errors)[0] < 0.05  # two turns by chance are 4 apart
    assert min(errors)[1] == min(similarity for _, similarity in errors)  # and the criterion knows


def test_centroids_are_means_of_their_rows():
    rows = clustered() / np.linalg.norm(clustered(), axis=1, keepdims=True)
    start = np.vstack([rows[:5], -100 * rows[:1]])
    found = _unsupervised.centroids(rows, start / np.linalg.norm(start, axis=1, keepdims=True))
    owner = (rows @ found.T).argmax(axis=1)
    for cluster in np.unique(owner):
        mean = rows[owner == cluster].mean(axis=0)
        np.testing.assert_allclose(found[cluster], mean / np.linalg.norm(mean), atol=1e-12)


def test_the_mean_of_near_rows():
    rng = np.random.default_rng(0)
    X, Y, values = rng.standard_normal((7, 3)), rng.standard_normal((9, 3)), rng.standard_normal((9, 2))
    cosine = X @ Y.T / np.linalg.norm(Y, axis=1)
    expected = values[np.argsort(-cosine, axis=1)[:, :4]].mean(axis=1)
    np.testing.assert_allclose(_unsupervised.nearby_means(X, Y, values, 4), expected, rtol=1e-12)
