"""Entropic optimal transport by Sinkhorn's iterations in the log domain, without the plan and without its costs.

    f_i = lambda (epsilon log a_i - epsilon LSE_j((g_j - C_ij) / epsilon)),  g likewise,  lambda = rho / (rho + epsilon)
    log P_ij = (f_i + g_j - C_ij) / epsilon

lambda = 1 without rho. Each half step is one `logsumexp`; kept scores take one reading of a kept kernel for both, but
for a few steps (`kernels/scaling`). The plan's best pairs are one search with the biases f, g.
Source: Cuturi 2013; log domain and scaling of epsilon: Schmitzer 2019; unbalanced: Chizat et al. 2018.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from .. import _validate
from .._arguments import brief, number, numbers_of, whole
from .._config import Control, resolve
from .._search import run
from .._validate import flag
from ..kernels.tiles.scalings import missed
from ._neighbours import checked, retrieved
from ._results import Float64, Matches, finite
from ._sources import Precomputed, Source

Pair = tuple[Float64, Float64]  # of the rows, of the columns
Steps = Callable[..., tuple[int, float, bool]]  # iterations done but for a half step, error, whether to stop

COARSE = 10  # iterations at most with each larger epsilon
MOST_LEVELS = 64  # 2**64 times epsilon spreads any plan evenly
COARSE_ERROR = 0.05  # of the row sums, at which the next smaller one begins


class Plan(Matches):
    """The plan's best pairs with log P_ij, and the potentials that make all of it.

    f : (m,), g : (n,) float64, log P_ij = (f_i + g_j - C_ij) / epsilon; C is the distance, but minus the score for dot
        and ready scores
    error : sum_i |sum_j P_ij - a_i|; unbalanced, of what one more step would change, the same
    iterations : steps taken, each of both sides

    Examples
    --------
    >>> from crossmodal_fast import match
    >>> cost = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> plan = match(-cost, method="sinkhorn", metric="precomputed", epsilon=1.0)
    >>> np.exp(plan.f[:, None] + plan.g - cost).sum(axis=1).round(6)
    array([0.5, 0.5])
    """

    f: Float64
    g: Float64
    error: float
    iterations: int


def sinkhorn(
    source: Source, *, k: int = 1, epsilon: float = 0.05, marginals: tuple[ArrayLike, ArrayLike] | None = None,
    rho: float | None = None, iterations: int = 1000, tolerance: float = 1e-6, levels: int = 4,
    keep_scores: bool = False, retrieval: str = "forward",
) -> Plan:  # fmt: skip
    """The best pairs of the entropic plan."""
    epsilon, tolerance = _validate.positive("epsilon", epsilon), number("tolerance", tolerance)
    iterations, levels = whole("iterations", iterations), whole("levels", levels, least=0)
    if levels > MOST_LEVELS:
        raise ValueError(f"levels must be at most {MOST_LEVELS}, got {levels}")
    weight = np.inf if rho is None else _validate.positive("rho", rho)
    checked(source, k, retrieval)
    a, b = _weights(marginals, source.shape, balanced=rho is None)
    source.control = cast(Control, {**source.control, "progress": False})  # not a bar for each half step
    scores, rows = _kept(source, a) if flag("keep_scores", keep_scores) else (source, _rows(source, a))
    f, g = np.zeros(source.shape[0]), np.zeros(source.shape[1])  # in units of the current epsilon
    done, error = 0, np.inf
    for level in range(levels, -1, -1):
        current = epsilon * 2.0**level
        f, g = 2 * f, 2 * g
        share = 1 / (1 + current / weight)
        goals = np.log(a) + source.constant / current, np.log(b) + source.constant / current
        last = min(done + COARSE, iterations) if level else iterations
        least = COARSE_ERROR if level else tolerance
        while True:
            more, error, stop = rows(1 / current, goals, share, (f, g), least, last - done)
            done += more
            finite(f)
            if stop:
                break
            g = share * (goals[1] - finite(scores.log_sums(1 / current, "columns", (f, np.zeros(len(b))))))
    f, g = epsilon * f, epsilon * g
    found = retrieved(source, k, retrieval, (f - source.constant, g))
    plan = Plan(found.rows, found.columns, found.scores / epsilon)
    plan.f, plan.g, plan.error, plan.iterations = f, g, error, done
    return plan


def _weights(marginals: Any, shape: tuple[int, int], balanced: bool) -> list[Float64]:
    """(a, b): positive, of sum 1 or of equal sums; uniform where left out."""
    if marginals is None:
        return [np.full(size, 1 / size) for size in shape]
    if not isinstance(marginals, tuple | list) or len(marginals) != 2:
        raise TypeError(f"marginals must be a pair (of the rows, of the columns), got {brief(marginals)}")
    found = []
    for at, (given, size) in enumerate(zip(marginals, shape, strict=True)):
        weights = numbers_of(f"marginals[{at}]", given)
        if weights.shape != (size,):
            raise ValueError(f"marginals[{at}] must have shape ({size},), got {weights.shape}")
        if not (np.isfinite(weights) & (weights > 0)).all():
            worst = weights[~(np.isfinite(weights) & (weights > 0))][0]
            raise ValueError(f"marginals[{at}] must be finite and above 0, got {worst}; leave such rows out")
        found.append(weights)
    sums = [float(weights.sum()) for weights in found]
    if balanced and abs(sums[0] - sums[1]) > 1e-9 * max(sums):
        raise ValueError(f"marginals must have equal sums without rho, got {sums[0]:.9g} and {sums[1]:.9g}")
    return found


def _rows(scores: Source, weights: Float64) -> Steps:
    """A half step of the rows by sums of exponentials."""

    def rows(
        beta: float, goals: Pair, share: float, potentials: Pair, tolerance: float, iterations: int
    ) -> tuple[int, float, bool]:
        f, g = potentials
        ahead = share * (goals[0] - finite(scores.log_sums(beta, "rows", (np.zeros(len(f)), g))))
        error = missed(weights, f, ahead)
        if error <= tolerance or not iterations:
            return 0, error, True
        f[:] = ahead
        return 1, error, False

    return rows


def _kept(source: Source, weights: Float64) -> tuple[Source, Steps]:
    """The scores as a matrix, for who asked for it, and iterations on a kernel beside it where there is room."""
    needed, most = int(source.dtype.itemsize) * source.shape[0] * source.shape[1], resolve(source.control).max_bytes
    roomy = 3 * needed <= most
    if isinstance(source, Precomputed) and not roomy:
        return source, _rows(source, weights)
    if 2 * needed > most:
        raise ValueError(f"max_bytes must be at least {2 * needed} with keep_scores=True, got {most}")
    left = most - (2 if roomy else 1) * needed
    scores = source.dense(source.dtype)
    kept = Precomputed(scores, cast(Control, {**source.control, "max_bytes": left, "check_finite": False}))
    if not roomy:
        return kept, _rows(kept, weights)
    finite(scores)
    settled, kernel = resolve(source.control), np.empty_like(scores)

    def rows(
        beta: float, goals: Pair, share: float, potentials: Pair, tolerance: float, iterations: int
    ) -> tuple[int, float, bool]:
        keywords = {"weights": weights, "tolerance": tolerance, "iterations": iterations}
        _, found = run(
            "scaling", settled, scores, kernel, beta=beta, goals=goals, share=share, potentials=potentials, **keywords
        )
        return cast(tuple[int, float, bool], found)

    return kept, rows
