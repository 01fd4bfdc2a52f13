"""From a small seed dictionary to a map of two whole sets: induce pairs, fit, and again while it gains."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import array_of, number, rows_of, whole
from .._validate import flag
from ..preprocess import column_means, unit_rows
from ._dictionary import NEIGHBOURS, Dictionary, induced
from ._map import TransferMap
from ._procrustes import rotation

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]

GAIN = 1e-6  # of the mean cosine, below which a round counts as stale (VecMap's threshold)
STALE_ROUNDS = 10  # with few candidates, before twice as many are let in
MOST_ROUNDS = 500
MOST_ROWS = 20_000  # of each side, the first ones: sets ordered by frequency have their best rows there


class Side(NamedTuple):
    """Rows of unit length, centred, of unit length again (n, d); and the mean of the rows as they came."""

    rows: Float64
    mean: Float64


class Learned(NamedTuple):
    """A map of unit, centred rows and the pairs that it induces."""

    W: Float64  # (d_in, d_out)
    dictionary: Dictionary
    rounds: int


def prepared(name: str, value: ArrayLike, most: int, center: bool) -> Side:
    """The first rows of a side, as self-learning compares them."""
    given = rows_of(name, value)[:most]
    mean = column_means(name, given) if center else np.zeros(given.shape[1])
    unit = unit_rows(name, np.asarray(given, np.float64))
    rows = unit_rows(name, unit - column_means(name, unit)) if center else unit
    if not rows.any():
        rule = "rows that differ" if center else "a row other than zero"
        raise ValueError(f"{name} must hold {rule} in direction, got {len(rows)} that do not")
    return Side(np.asarray(rows, np.float64), mean)


def both_prepared(A: ArrayLike, B: ArrayLike, most_rows: int, center: bool) -> tuple[Side, Side]:
    most, center = whole("most_rows", most_rows), flag("center", center)
    return prepared("A", A, most, center), prepared("B", B, most, center)


def learned(X: Float64, Y: Float64, W: Float64, random: np.random.Generator, keep: float, neighbours: int) -> Learned:
    """Induce and fit in turns from W, until the mean cosine of the induced pairs gains no more.

    With keep < 1 a round sees that share of the rows of either side, drawn anew; after stale rounds twice as many. The
    last rounds see all, and the best of them is returned.
    """
    best: Learned | None = None
    highest, stale = -np.inf, 0
    for done in range(MOST_ROUNDS):
        x_taken, y_taken = (_drawn(len(rows), keep, random) for rows in (X, Y))
        found = induced(X[x_taken] @ W, Y[y_taken], neighbours)
        gained = found.similarity >= highest + GAIN
        if gained:
            highest, stale = found.similarity, 0
        if keep >= 1:
            if best is not None and not gained:
                break
            best = Learned(W, found, done + 1)
        elif not gained:
            stale += 1
            if stale == STALE_ROUNDS:
                keep, highest, stale = min(1.0, 2 * keep), -np.inf, 0
        W = rotation(X[x_taken[found.rows]].T @ Y[y_taken[found.columns]])
    return best or Learned(W, induced(X @ W, Y, neighbours), MOST_ROUNDS)


def map_from(found: Learned, source: Side, target: Side, method: str, details: dict[str, Any]) -> TransferMap:
    """What was learned, as a map that takes the mean of one side to that of the other."""
    rows, columns, similarity = found.dictionary
    X, Y = source.rows[rows] @ found.W, target.rows[columns]
    told = {"similarity": similarity, "pairs": len(rows), "rounds": found.rounds, **details}
    return TransferMap(
        found.W.T,
        target.mean - source.mean @ found.W,
        method,
        int(np.linalg.matrix_rank(source.rows[rows])),
        float(np.linalg.norm(Y - X) / np.linalg.norm(Y)),
        told,
    )


def self_learning(
    A: ArrayLike,
    B: ArrayLike,
    center: bool,
    *,
    pairs: Any = None,
    keep: float = 1.0,
    neighbours: int = NEIGHBOURS,
    most_rows: int = MOST_ROWS,
    seed: int = 0,
) -> TransferMap:
    """Artetxe, Labaka and Agirre 2018, from a seed dictionary, with an orthogonal map."""
    source, target = both_prepared(A, B, most_rows, center)
    keep, neighbours = number("keep", keep, most=1.0), whole("neighbours", neighbours)
    if not keep:
        raise ValueError("keep must be above 0, got 0")
    given = _seed_pairs(pairs, len(source.rows), len(target.rows))
    W = rotation(source.rows[given[:, 0]].T @ target.rows[given[:, 1]])
    random = np.random.default_rng(whole("seed", seed, least=0))
    found = learned(source.rows, target.rows, W, random, keep, neighbours)
    return map_from(found, source, target, "self_learning", {"seed_pairs": len(given)})


def _seed_pairs(pairs: Any, m: int, n: int) -> Indices:
    if pairs is None:
        raise ValueError("pairs must be given with method='self_learning', got None; 'unsupervised' needs none")
    found = array_of("pairs", pairs)
    if found.ndim != 2 or found.shape[1] != 2 or not len(found):
        raise ValueError(f"pairs must have shape (p, 2) with p >= 1, got {found.shape}")
    if found.dtype.kind not in "iu":
        raise TypeError(f"pairs must be row numbers, got dtype {found.dtype}")
    for side, (name, count) in enumerate((("A", m), ("B", n))):
        worst = found[:, side].min() if found[:, side].min() < 0 else found[:, side].max()
        if not 0 <= worst < count:
            raise ValueError(f"pairs must name rows of {name} in 0..{count - 1}, got {worst}")
    return found.astype(np.int64)


def _drawn(count: int, keep: float, random: np.random.Generator) -> Indices:
    if keep >= 1:
        return np.arange(count)
    size = min(count, max(1, round(keep * count)))
    return np.sort(random.choice(count, size, replace=False))
