"""What the tests of matching share: small data, and the definitions by brute force in float64."""

import numpy as np

FAST = {"backend": "numpy", "n_threads": 1}


def sides(m=23, n=17, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, d)), rng.standard_normal((n, d))


def cosine(X, Y):
    X, Y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (X, Y))
    return X @ Y.T


def best(row, k):
    """The k largest, ties by lowest index."""
    return np.argsort(-row, kind="stable")[:k]


def mean_of_best(score, k, axis=1):
    return np.sort(score, axis=axis)[(slice(None),) * axis + (slice(-k, None),)].mean(axis=axis)


def retrieved(score, k, retrieval="forward"):
    """Sorted (row, column) pairs by brute force."""
    forward = {(i, int(j)) for i, row in enumerate(score) for j in best(row, k)}
    backward = {(int(i), j) for j, column in enumerate(score.T) for i in best(column, k)}
    if retrieval == "max":
        return greedy_pairs(score, forward | backward)
    ways = {"forward": forward, "backward": backward, "intersect": forward & backward, "union": forward | backward}
    return sorted(ways[retrieval])


def greedy_pairs(score, edges=None):
    """One to one: by (score descending, row, column), taken if both are free."""
    edges = np.ndindex(score.shape) if edges is None else edges
    rows, columns, taken = set(), set(), []
    for _, i, j in sorted((-score[i, j], i, j) for i, j in edges):
        if i not in rows and j not in columns:
            rows.add(i)
            columns.add(j)
            taken.append((i, j))
    return sorted(taken)


def agrees(found, score, k=1, retrieval="forward", rtol=1e-9):
    """Pairs, their order, and their scores are those of the brute force."""
    expected = retrieved(score, k, retrieval)
    assert sorted(map(tuple, found.pairs.tolist())) == expected
    order = np.lexsort((found.columns, -found.scores, found.rows))
    np.testing.assert_array_equal(order, np.arange(len(order)))
    np.testing.assert_allclose(found.scores, score[found.rows, found.columns], rtol=rtol, atol=1e-9)
