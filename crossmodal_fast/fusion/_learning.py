"""Weights of modalities learned from queries whose right answers are known."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import evaluate
from .._arguments import brief, label_pair, number, one_of, whole
from .._validate import positives as pairs_of
from ._late import weighted_sum
from ._normalizers import NORMALIZERS, Float64
from ._tables import are_lists, checked_matrices, matrix_blocks, one_kind

LEAST_RIDGE = 1e-12  # of the mean sum of squares: equal modalities leave the Gram matrix singular
MOST_POINTS = 20_000  # of a grid, each of which costs a fusion and an evaluation


def learn_weights(
    scores: Sequence[ArrayLike],
    positives: Any = None,
    *,
    labels: tuple[ArrayLike, ArrayLike] | None = None,
    method: str = "ridge",
    normalizer: str = "none",
    regularization: float = 1e-3,
    resolution: int = 10,
    measure: str = "map",
) -> Float64:
    """Weights for `weighted_sum`, from training queries and their right answers.

    Parameters
    ----------
    scores : sequence of array_like (m, n)
        One matrix per modality, higher is better, NaN where missing.
    positives : array_like (m,), or (indptr, indices), optional
        The right column of each query; or CSR: those of query i are indices[indptr[i]:indptr[i + 1]]. Left out, with no
        labels either: column i belongs to query i, and m == n.
    labels : (array_like (m,), array_like (n,)), optional
        Instead of positives: all columns with the query's label are right.
    method : {"ridge", "grid"}, default "ridge"
        "ridge": the weights, at least 0, whose fused scores come nearest to 1 for right and 0 for wrong answers, both
        taken less their mean over the query, in the squares over all pairs that every modality scores; one pass.
        "grid": of all weights that are multiples of 1/resolution and sum to 1, those with the best `measure`; among
        equals the most even ones.
    normalizer : str, default "none"
        As in `weighted_sum`; to be given there again.
    regularization : float, default 1e-3
        Of the ridge, as a share of the mean sum of squares of a modality.
    resolution : int, default 10
        Of the grid: comb(resolution + modalities - 1, modalities - 1) evaluations, at most 20000.
    measure : str, default "map"
        Of the grid: a key of what `evaluate.retrieval` gives. The lowest median_rank or mean_rank is best, the highest
        of others.

    Returns
    -------
    ndarray, shape (modalities,)
        At least 0, sum 1.

    Raises
    ------
    ValueError
        No modality scores right answers above wrong ones ("ridge"), a grid of too many points, an unknown measure.

    Notes
    -----
    What was learned on these queries is too good on them: measure it on others. Source of the ridge: Lawson and Hanson
    1974 (non-negative least squares) on the modalities' Gram matrix.

    Examples
    --------
    >>> good, noise = [[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.4], [0.4, 0.3]]
    >>> learn_weights([good, noise], positives=[0, 1])
    array([1., 0.])
    """
    make = METHODS[one_of("method", method, METHODS)]
    one_of("normalizer", normalizer, NORMALIZERS)
    number("regularization", regularization)
    whole("resolution", resolution)
    if not isinstance(measure, str):
        raise TypeError(f"measure must be a text, got {brief(measure)}")
    given = one_kind(scores)
    if are_lists(given):
        raise TypeError(f"scores must be matrices to learn weights from, got {'Matches' if given else 'none'}")
    matrices = checked_matrices(given)
    return make(
        matrices, positives, labels, normalizer, regularization=regularization, resolution=resolution, measure=measure
    )


def _by_ridge(
    matrices: Sequence[Any], positives: Any, labels: Any, normalizer: str, *, regularization: float, **others: Any
) -> Float64:
    from scipy.optimize import nnls

    right_of = _truth(positives, labels, *matrices[0].shape)
    gram, target = np.zeros((len(matrices), len(matrices))), np.zeros(len(matrices))
    for taken, values in matrix_blocks(matrices, NORMALIZERS[normalizer]):
        known = ~np.isnan(values).any(axis=0)
        count = np.maximum(known.sum(axis=1, keepdims=True), 1)
        right = right_of(taken)
        gaps = [
            np.where(known, part - np.sum(part, axis=1, keepdims=True, where=known) / count, 0.0)
            for part in (*values, right)
        ]
        flat = np.stack(gaps[:-1]).reshape(len(matrices), -1)
        with np.errstate(over="ignore", invalid="ignore"):
            gram += flat @ flat.T
            target += flat @ gaps[-1].ravel()
    if not (np.isfinite(gram).all() and np.isfinite(target).all()):
        raise ValueError(
            "scores must have squares that float64 holds to learn weights, got larger ones; normalise them"
        )
    size = np.trace(gram) / len(gram)
    if size > 0:
        root = np.linalg.cholesky(gram / size + max(regularization, LEAST_RIDGE) * np.eye(len(gram)))
        found, _ = nnls(root.T, np.linalg.solve(root, target / size))
        if found.any():
            return np.asarray(found / found.sum(), dtype=np.float64)
    raise ValueError("scores must be higher for right answers in at least one modality to learn weights, got none such")


def _truth(positives: Any, labels: Any, m: int, n: int) -> Callable[[slice], Float64]:
    """Queries -> (queries, n): 1 for right answers, else 0."""
    if labels is not None:
        if positives is not None:
            raise ValueError("positives must be left out where labels are given, got both")
        if not isinstance(labels, tuple | list) or len(labels) != 2:
            raise TypeError(f"labels must be a pair, of queries and columns, got {brief(labels)}")
        wanted, offered = label_pair(("labels[0]", labels[0]), ("labels[1]", labels[1]))
        if (len(wanted), len(offered)) != (m, n):
            raise ValueError(
                f"labels must be {m} and {n}, of queries and columns, got {len(wanted)} and {len(offered)}"
            )
        return lambda taken: (wanted[taken, None] == offered).astype(np.float64)
    if positives is None and m != n:
        raise ValueError(f"positives or labels must be given for {m} queries and {n} columns, got neither")
    query, column = pairs_of(np.arange(m) if positives is None else positives, m, n)

    def right(taken: slice) -> Float64:
        found = np.zeros((taken.stop - taken.start, n))
        first, last = np.searchsorted(query, (taken.start, taken.stop))
        found[query[first:last] - taken.start, column[first:last]] = 1.0
        return found

    return right


def _by_grid(
    matrices: Sequence[Any],
    positives: Any,
    labels: Any,
    normalizer: str,
    *,
    resolution: int,
    measure: str,
    **others: Any,
) -> Float64:
    points = comb(resolution + len(matrices) - 1, len(matrices) - 1)
    if points > MOST_POINTS:
        raise ValueError(
            f"resolution must give at most {MOST_POINTS} points for {len(matrices)} modalities, got {points} "
            f"with {resolution}; method='ridge' has no grid"
        )
    cut = measure.partition("@")[2]
    best: tuple[float, float] | None = None
    chosen = np.zeros(len(matrices))
    for weight in _simplex(len(matrices), resolution):
        fused = weighted_sum(matrices, weight, normalizer=normalizer)
        found = evaluate.retrieval(
            fused, metric="precomputed", positives=positives, labels=labels, k=(int(cut),) if cut.isdigit() else (1,)
        )
        value = found[one_of("measure", measure, [name for name in found if name != "queries"])]
        rank = (-value if measure.endswith("_rank") else value, -float(weight @ weight))
        if best is None or rank > best:
            best, chosen = rank, weight
    return chosen


def _simplex(count: int, resolution: int) -> Iterator[Float64]:
    """All weights that are multiples of 1 / resolution and sum to 1: places of count - 1 bars among the steps."""
    for bars in combinations(range(resolution + count - 1), count - 1):
        yield (np.diff([-1, *bars, resolution + count - 1]) - 1) / resolution


METHODS: dict[str, Callable[..., Float64]] = {"ridge": _by_ridge, "grid": _by_grid}
