"""A map between two sets of which no pair is known: profiles of similarity or matched clusters, then self-learning."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import whole
from ..preprocess import BLOCK_BYTES
from ._dictionary import NEIGHBOURS, induced
from ._map import TransferMap
from ._procrustes import rotation
from ._selflearning import MOST_ROWS, both_prepared, learned, map_from

Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]

LLOYD_ROUNDS = 50
MATCHING_STARTS = 30  # of the assignment of clusters to clusters, which has many local optima
JUDGED_ROWS = 2000  # of each side, the first ones, on which the starts are tried
PROFILE_ROWS = 4000  # of each side, the first ones
PROFILE_POINTS = 200  # a row; all of them differ for sets of unequal size
REFINEMENTS = 10  # rounds of pseudo-pairs in the target space
FINE_CLUSTERS = 8  # times as many clusters as before, matched once the spaces lie on each other


def unsupervised(
    A: ArrayLike,
    B: ArrayLike,
    center: bool,
    *,
    clusters: int = 20,
    runs: int = 5,
    neighbours: int = NEIGHBOURS,
    most_rows: int = MOST_ROWS,
    seed: int = 0,
) -> TransferMap:
    """Mini-vec2vec (arXiv 2510.02348) and VecMap's start; self-learning from the one with the most alike pairs."""
    source, target = both_prepared(A, B, most_rows, center)
    X, Y = source.rows, target.rows
    clusters, runs = whole("clusters", clusters), whole("runs", runs)
    neighbours = min(whole("neighbours", neighbours), len(Y))
    if clusters > min(len(X), len(Y)):
        raise ValueError(f"clusters must be in 1..{min(len(X), len(Y))} (the rows of the smaller set), got {clusters}")
    random = np.random.default_rng(whole("seed", seed, least=0))
    few = X[:JUDGED_ROWS], Y[:JUDGED_ROWS]
    starts = [_by_profiles(X, Y, neighbours)]
    starts += [_by_clusters(X, Y, clusters, neighbours, random) for _ in range(runs)]
    # Judged once they have learned: a poor map lets all rows meet the same few hubs, which are much alike. 2,000
    # sentences with noise, 384 dimensions: clusters by chance .325, profiles that go on to find the turn .278.
    tried = [learned(*few, W, random, 1.0, neighbours) for W in starts]
    alike = [one.dictionary.similarity for one in tried]
    W = tried[int(np.argmax(alike))].W
    refined = _refined(X, Y, W, clusters, neighbours, random)
    alike.append(induced(few[0] @ refined, few[1], neighbours).similarity)
    if alike[-1] > max(alike[:-1]):
        W = refined
    found = learned(X, Y, W, random, 1.0, neighbours)
    names = ["profiles", *["clusters"] * runs, "refined"]
    told = [{"start": name, "similarity": value} for name, value in zip(names, alike, strict=True)]
    return map_from(found, source, target, "unsupervised", {"starts": told})


def _by_profiles(X: Float64, Y: Float64, neighbours: int) -> Float64:
    """VecMap's start: rows that are as alike to the rows of their own set, whichever those are, belong together."""
    X, Y = X[:PROFILE_ROWS], Y[:PROFILE_ROWS]
    rows, columns, _ = induced(profiles(X), profiles(Y), neighbours)
    return rotation(X[rows].T @ Y[columns])


def profiles(rows: Float64) -> Float64:
    """The sorted rows of X X^T, read off at PROFILE_POINTS places, in blocks: (n, PROFILE_POINTS).

    VecMap sorts those of (X X^T)^1/2, which noise disturbs more: of 1,500 sentences with noise of a third of their size
    they found .23 of the turn (mean cosine) where these found .56; without noise both find all of it.
    """
    places = np.linspace(0, len(rows) - 1, PROFILE_POINTS).round().astype(int)
    step = max(1, BLOCK_BYTES // (8 * len(rows)))
    found = [np.sort(rows[start : start + step] @ rows.T, axis=1)[:, places] for start in range(0, len(rows), step)]
    joined: Float64 = np.concatenate(found)
    joined -= joined.mean(axis=0)
    return joined


def _by_clusters(X: Float64, Y: Float64, clusters: int, neighbours: int, random: np.random.Generator) -> Float64:
    """Mini-vec2vec's start: clusters matched by how they lie to one another, rows by how they lie to the clusters."""
    x_centres, y_centres = (centroids(rows, rows[random.choice(len(rows), clusters, replace=False)]) for rows in (X, Y))
    order = matched_clusters(x_centres @ x_centres.T, y_centres @ y_centres.T, random)
    return rotation(X.T @ nearby_means(X @ x_centres.T, Y @ y_centres[order].T, Y, neighbours))


def _refined(
    X: Float64, Y: Float64, W: Float64, clusters: int, neighbours: int, random: np.random.Generator
) -> Float64:
    """By the means of near rows in the target space, then by many small clusters that start from those of Y."""
    for _ in range(REFINEMENTS):
        W = rotation(X.T @ nearby_means(X @ W, Y, Y, neighbours))
    fine = min(FINE_CLUSTERS * clusters, len(X), len(Y))
    aim = centroids(Y, Y[random.choice(len(Y), fine, replace=False)])
    return rotation(W @ centroids(X @ W, aim).T @ aim)


def centroids(rows: Float64, start: Float64) -> Float64:
    """Spherical k-means by Lloyd's rounds: unit centroids (k, d), an empty one left where it was."""
    from .._operations import topk

    centres, owner = start, np.full(len(rows), -1)
    for _ in range(LLOYD_ROUNDS):
        found = topk(rows, centres, 1, "cosine").indices[:, 0]
        if np.array_equal(found, owner):
            break
        owner = found
        sums = np.zeros_like(centres)
        np.add.at(sums, owner, rows)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 0, sums / np.where(length > 0, length, 1.0), centres)
    return centres


def matched_clusters(x_alike: Float64, y_alike: Float64, random: np.random.Generator) -> Indices:
    """The order (k,) of y's clusters in which their similarities are most like those of x; the best of many starts."""
    from scipy.optimize import quadratic_assignment

    best, order = -np.inf, np.arange(len(x_alike))
    for _ in range(MATCHING_STARTS):
        found = quadratic_assignment(x_alike, y_alike, options={"maximize": True, "P0": "randomized", "rng": random})
        if found.fun > best:
            best, order = float(found.fun), np.asarray(found.col_ind)
    return order


def nearby_means(X: Float64, Y: Float64, values: Float64, neighbours: int) -> Float64:
    """The mean of `values` over the rows of Y nearest to each row of X by cosine: (m, width of values)."""
    from .._operations import topk

    nearest = topk(X, Y, neighbours, "cosine").indices
    found: Float64 = np.zeros((len(X), values.shape[1]))
    for slot in range(nearest.shape[1]):
        found += values[nearest[:, slot]] / nearest.shape[1]
    return found
