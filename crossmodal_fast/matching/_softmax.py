"""Corrections for hubs by softmaxes over the queries, over the gallery, or over both; on the log scale.

    inverted softmax    beta s_ij - L_j                        Smith et al. 2017
    dual softmax        2 beta s_ij - L_i - L_j                both softmaxes multiplied, Cheng et al. 2021
    softmax prior       s_ij exp(beta s_ij - L_j)              Cheng et al. 2021; not on the log scale
    QB-Norm             beta s_ij - L_j for some queries       dynamic inverted softmax over a bank, Bogolin et al. 2022

L_j is the log-sum-exp of beta s over the queries, L_i over the gallery (`logsumexp`). All but the prior are biases.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _validate
from .._arguments import whole
from ._neighbours import checked, retrieved, scaled
from ._results import Best, Indices, Matches, pairs_of
from ._source import Bias, Source
from ._wider import best_of, wider


def inverted_shift(source: Source, *, beta: float = 20.0, bank: ArrayLike | None = None) -> Bias:
    """What the inverted softmax takes off a score."""
    queries, beta = source if bank is None else source.of_bank(bank), _validate.positive("beta", beta)
    return np.zeros(source.shape[0]), -queries.log_sums(beta, "columns") / beta


def inverted_softmax(
    source: Source, *, k: int = 1, beta: float = 20.0, bank: ArrayLike | None = None, retrieval: str = "forward"
) -> Matches:
    """Softmax over the queries, or over a bank of others."""
    checked(source, k, retrieval)
    return scaled(retrieved(source, k, retrieval, inverted_shift(source, beta=beta, bank=bank)), beta)


def dual_shift(source: Source, *, beta: float = 20.0) -> Bias:
    """Half of what the dual softmax takes off a score."""
    rows, columns = source.log_sums(_validate.positive("beta", beta), "both")
    return -rows / (2 * beta), -columns / (2 * beta)


def dual_softmax(source: Source, *, k: int = 1, beta: float = 20.0, retrieval: str = "forward") -> Matches:
    """The product of the softmaxes over queries and gallery."""
    checked(source, k, retrieval)
    return scaled(retrieved(source, k, retrieval, dual_shift(source, beta=beta)), 2 * beta)


def qb_norm(
    source: Source, *, bank: ArrayLike | None = None, k: int = 1, beta: float = 20.0, activation: int = 1
) -> Matches:
    """The inverted softmax over a bank, for queries whose best column is among the best of the bank."""
    k, beta, activation = (
        source.checked(k, both=False),
        _validate.positive("beta", beta),
        whole("activation", activation),
    )
    if bank is None:
        raise ValueError("bank must be given with method='qb_norm', got None; bank=X takes the queries themselves")
    queries = source.of_bank(bank)
    hubs = queries.by_rows(min(activation, source.shape[1])).partners
    plain = source.by_rows(k)
    bias = np.zeros(source.shape[0]), -queries.log_sums(beta, "columns") / beta
    corrected = source.by_rows(k, bias)
    active = np.isin(plain.partners[:, :1], hubs)
    found = [np.where(active, *parts) for parts in zip(corrected, plain, strict=True)]
    return scaled(pairs_of(Best(*found)), beta)


def softmax_prior(source: Source, *, k: int = 1, beta: float = 20.0) -> Matches:
    """Scores times their softmax over the queries.

    log s <= log t + s / t - 1 for any t > 0 bounds the logarithm of a score by beta s + s / t + const - L_j, which a
    biased search orders. Its best are valued as they are; rows where what was left out could still enter search wider.
    """
    k, beta = source.checked(k, both=False), _validate.positive("beta", beta)
    shift = -source.log_sums(beta, "columns")
    m, n = source.shape
    touch = float(np.median(source.by_rows(1).scores)) if m else 1.0
    touch = touch if touch > 0 else 1.0
    slope = beta + 1 / touch

    def valued(rows: Indices, width: int) -> tuple[Best, NDArray[np.bool_]]:
        part = source if len(rows) == m else source.part(rows, np.arange(n))
        found = part.by_rows(width, (np.zeros(len(rows)), shift / slope))
        added = shift[found.partners]
        plain = found.scores - added / slope
        best = best_of(found.partners, plain * np.exp(beta * plain + added), k)
        with np.errstate(divide="ignore", invalid="ignore"):  # of scores that are not positive: nan, undecided
            least = np.log(best.scores[:, -1])
        bound = slope * found.scores[:, -1] + np.log(touch) - 1
        return best, (least > bound) | (width == n)

    return pairs_of(wider(source, k, valued))
