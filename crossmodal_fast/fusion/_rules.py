"""Late fusion: what becomes of the scores, or of the ranks, that several modalities give the same pair.

A rule is made by a function of its keywords, which checks them, and works on a `Table`. `METHODS` lists all.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._arguments import number
from ._normalizers import Float64, held, ranks
from ._tables import Rule, Table

BLOCK_PAIRS = 1 << 17  # of candidates compared at a time: 1500 took 23 ms in such blocks, 29 in one, 33 in smaller ones
SMALLEST_FACTOR = 1e-9  # of a product: one modality that gives 0 then does not wipe out what the others say


# ---------------------------------------------------------------------------------------------------- of scores


def _said(table: Table, values: Float64) -> Float64:
    """`values`, NaN where no modality has a score."""
    return np.where(table.voices > 0, values, np.nan)


def weighted_sum() -> Rule:
    def rule(table: Table) -> Float64:
        with np.errstate(invalid="ignore"):
            mean: Float64 = table.added(table.values) / table.share_asked
        return mean  # 0 / 0: NaN where no modality is asked

    return rule


def gmnz(gamma: float = 2.0) -> Rule:
    number("gamma", gamma)
    return lambda table: _said(table, table.voices**gamma * table.added(table.values))


def anz() -> Rule:
    def rule(table: Table) -> Float64:
        with np.errstate(invalid="ignore"):
            mean: Float64 = table.added(table.values) / table.share
        return mean

    return rule


def _extreme(method: str, chosen: Callable[[Float64], Float64]) -> Rule:
    """Of the scores in ascending order, what is missing last."""

    def rule(table: Table) -> Float64:
        counting = table.weight[table.weight > 0]
        if (counting != counting[0]).any():
            raise ValueError(
                f"weights must be equal, or 0 to leave a modality out, with method={method!r}, got {counting.tolist()}"
            )
        return chosen(np.sort(np.where(table.heard, table.values, np.nan), axis=0))

    return rule


def highest() -> Rule:
    return _extreme("max", lambda ascending: np.fmax.reduce(ascending, axis=0))


def lowest() -> Rule:
    return _extreme("min", lambda ascending: ascending[0])


def median() -> Rule:
    def middle(ascending: Float64) -> Float64:
        count = np.sum(~np.isnan(ascending), axis=0, keepdims=True)
        places = np.maximum(count - 1, 0) // 2, count // 2
        below, above = (np.take_along_axis(ascending, place, axis=0)[0] for place in places)
        found: Float64 = below / 2 + above / 2
        return found

    return _extreme("median", middle)


def product() -> Rule:
    def rule(table: Table) -> Float64:
        negative = table.heard & (table.values < 0)
        if negative.any():
            raise ValueError(
                "scores must be at least 0 with method='product', "
                f"got {table.values[negative][0]:g}; normalizer='minmax' makes them so"
            )
        with np.errstate(invalid="ignore"):
            logs = np.log(np.maximum(table.values, SMALLEST_FACTOR))
            mean: Float64 = np.exp(table.added(logs) / table.share)
        return mean

    return rule


# ---------------------------------------------------------------------------------------------------- of ranks


def reciprocal_rank(k: float = 60.0) -> Rule:
    number("k", k)
    return lambda table: table.added(1 / (k + ranks(table.values)))


def _inverse_square(factor: Callable[[Float64], Float64]) -> Rule:
    def rule(table: Table) -> Float64:
        return factor(np.maximum(table.voices, 1.0)) * table.added(ranks(table.values) ** -2.0)

    return rule


def isr() -> Rule:
    return _inverse_square(lambda voices: voices)


def log_isr() -> Rule:
    return _inverse_square(np.log)


def logn_isr(sigma: float = 0.01) -> Rule:
    number("sigma", sigma)
    return _inverse_square(lambda voices: np.log(voices + sigma))


def rbc(phi: float = 0.8) -> Rule:
    number("phi", phi, most=1.0)
    return lambda table: table.added((1 - phi) * phi ** (ranks(table.values) - 1))


def borda() -> Rule:
    def rule(table: Table) -> Float64:
        candidates = ~np.isnan(table.values).all(axis=0)
        among, count = candidates.sum(axis=-1, keepdims=True), held(table.values)
        points = np.where(np.isnan(table.values), (among - count + 1) / 2, among - ranks(table.values) + 1)
        return _said(table, np.sum(table.weight * points, axis=0, where=count > 0))

    return rule


def condorcet() -> Rule:
    def rule(table: Table) -> Float64:
        places = np.where(table.heard, ranks(table.values), table.values.shape[2] + 1.0)
        weight, candidates = table.weight.ravel(), table.voices > 0
        return np.stack([_wins(places[:, q], weight, candidates[q]) for q in range(len(candidates))])

    return rule


def _wins(places: Float64, weight: Float64, candidates: Any) -> Float64:
    """How many of the others each candidate beats by the majority of weights, a draw counting half (Copeland)."""
    rivals = np.flatnonzero(candidates)
    place = places[:, rivals].astype(np.int32)
    votes = weight if (weight != weight[0]).any() else np.ones(len(weight), np.int16)
    wins = np.full(places.shape[1], np.nan)
    for taken in np.array_split(np.arange(len(rivals)), max(1, len(rivals) ** 2 // BLOCK_PAIRS)):
        ahead = sum(
            vote * np.subtract((one > one[taken, None]).view(np.int8), (one < one[taken, None]).view(np.int8))
            for vote, one in zip(votes, place, strict=True)
        )
        beaten, beating = (np.count_nonzero(side, axis=1) for side in (ahead > 0, ahead < 0))
        wins[rivals[taken]] = (beaten - beating + len(rivals) - 1) / 2
    return wins


METHODS: dict[str, Callable[..., Rule]] = {
    "weighted_sum": weighted_sum,
    "sum": lambda: gmnz(0.0),
    "mnz": lambda: gmnz(1.0),
    "gmnz": gmnz,
    "anz": anz,
    "max": highest,
    "min": lowest,
    "median": median,
    "product": product,
    "reciprocal_rank": reciprocal_rank,
    "isr": isr,
    "log_isr": log_isr,
    "logn_isr": logn_isr,
    "rbc": rbc,
    "borda": borda,
    "condorcet": condorcet,
}
