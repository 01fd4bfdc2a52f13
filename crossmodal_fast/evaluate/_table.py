"""The measures by name: functions of a `Listing` and a parameter that give (m,) values, and `MEASURES`, their table."""

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ._listing import Listing

Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]

LEVELS = tuple(level / 10 for level in range(11))  # of recall, for interpolated precision


def _reciprocal(rank: Float64) -> Float64:
    return 1 / rank


def _discount(rank: Float64) -> Float64:
    return 1 / np.log2(rank + 1)


def _shares(part: Float64, whole: Float64 | Indices) -> Float64:
    return part / np.maximum(whole, 1)


# ---------------------------------------------------------------------------------------------------- first k items


def _hit_rate(listing: Listing, k: float | None) -> Float64:
    return listing.first_slots(np.ones_like, k)


def _precision(listing: Listing, k: float | None) -> Float64:
    return listing.found(k) / cast(float, k)


def _recall(listing: Listing, k: float | None) -> Float64:
    return _shares(listing.found(k), listing.positives)


def _capped_recall(listing: Listing, k: float | None) -> Float64:
    return _shares(listing.found(k), np.minimum(listing.positives, cast(float, k)))


def _hits(listing: Listing, k: float | None) -> Float64:
    return listing.found(k)


def _area(listing: Listing, _: float | None) -> Float64:
    """Of pairs of a relevant and another listed item those in the right order, equal scores half (Mann and Whitney)."""
    others = (listing.retrieved - listing.found(None))[listing.query]
    ahead = listing.before - listing.found_before + (listing.size - listing.relevant) / 2
    behind = np.where(others > 0, (others - ahead) / np.maximum(others, 1), 1.0)
    return _shares(listing.total(listing.relevant * behind), listing.positives)


def _f1(listing: Listing, k: float | None) -> Float64:
    return 2 * listing.found(k) / (listing.positives + cast(float, k))


def _r_precision(listing: Listing, factor: float | None) -> Float64:
    cut = np.floor((1.0 if factor is None else factor) * listing.positives + 0.9).astype(np.int64)
    return _shares(listing.found(cut), cut)


# ---------------------------------------------------------------------------------------------------- first relevant


def _reciprocal_rank(listing: Listing, k: float | None) -> Float64:
    return listing.first_slots(_reciprocal, k)


def _first_rank(listing: Listing, _: float | None) -> Float64:
    out = np.full(len(listing.retrieved), np.inf)
    queries, firsts = listing.first
    out[queries] = listing.before[firsts] + (listing.size[firsts] + 1) / (listing.relevant[firsts] + 1)
    return out


# ---------------------------------------------------------------------------------------------------- precision


def _precision_sum(listing: Listing, k: float | None) -> Float64:
    """Sum of precision over the relevant items among the first k. McSherry and Najork 2008, the inner sum closed."""
    inside, size, relevant = listing.inside(k), listing.size, listing.relevant
    harmonic = listing.slots(_reciprocal, k)
    others = np.where(size > 1, (relevant - 1) / np.maximum(size - 1, 1), 0.0)  # more found for each slot before
    later = others * (inside - (listing.before + 1) * harmonic)
    return listing.total(relevant / size * ((listing.found_before + 1) * harmonic + later))


def _average_precision(listing: Listing, k: float | None) -> Float64:
    return _shares(_precision_sum(listing, k), listing.positives)


def _capped_average_precision(listing: Listing, k: float | None) -> Float64:
    return _shares(_precision_sum(listing, k), np.minimum(listing.positives, cast(float, k)))


def _best_precision(listing: Listing, needed: Float64) -> Float64:
    """Largest precision from the first rank on where `needed` (m,) of the relevant items are found."""
    out = np.zeros(len(listing.retrieved))
    queries, firsts = listing.first
    ends = np.append(firsts[1:], len(listing.query))
    starts = firsts + np.maximum(needed[queries].astype(np.int64) - 1, 0)
    reached = starts < ends
    precision = (listing.found_before + 1) / (listing.before + 1)
    if reached.any():
        bounds = np.stack([starts[reached], ends[reached]], axis=1).ravel()
        out[queries[reached]] = np.maximum.reduceat(np.append(precision, 0.0), bounds)[::2]
    return out


def _interpolated_precision(listing: Listing, level: float | None) -> Float64:
    return _best_precision(listing, np.floor(cast(float, level) * listing.positives + 0.5))  # half away from zero


def _mean_interpolated_precision(listing: Listing, _: float | None) -> Float64:
    return cast(Float64, np.mean([_interpolated_precision(listing, level) for level in LEVELS], axis=0))


def _eleven_point(listing: Listing, _: float | None) -> Float64:
    """Each level of recall must be reached: rounding as trec_eval does gave .2821 for .2812 on Wikipedia's CM."""
    needed = [np.ceil(tenths * listing.positives / 10) for tenths in range(11)]
    return cast(Float64, np.mean([_best_precision(listing, one) for one in needed], axis=0))


def _bpref(listing: Listing, _: float | None) -> Float64:
    above = listing.before - listing.found_before if listing.above is None else listing.above
    most = np.minimum(listing.positives, listing.nonrelevant)[listing.query]
    return _shares(listing.total(1 - np.minimum(above, most) / np.maximum(most, 1)), listing.positives)


def _rank_biased(listing: Listing, patience: float | None) -> Float64:
    p = cast(float, patience)
    return (1 - p) * listing.total(listing.relevant / listing.size * listing.slots(lambda rank: p ** (rank - 1), None))


# ---------------------------------------------------------------------------------------------------- graded


def _linear(grade: Float64) -> Float64:
    return grade


def _exponential(grade: Float64) -> Float64:
    return cast(Float64, np.exp2(grade) - 1)


def _gained(listing: Listing, k: float | None, gain: Callable[[Float64], Float64]) -> Float64:
    in_group = np.bincount(listing.group, weights=gain(listing.grade), minlength=len(listing.query))
    return listing.total(in_group / listing.size * listing.slots(_discount, k))


def _ideal(listing: Listing, k: float | None, gain: Callable[[Float64], Float64]) -> Float64:
    start = np.cumsum(listing.positives) - listing.positives
    place = np.arange(len(listing.ideal_query)) - start[listing.ideal_query] + 1.0
    gains = np.where(place <= (np.inf if k is None else k), gain(listing.ideal_grade) * _discount(place), 0.0)
    return np.bincount(listing.ideal_query, weights=gains, minlength=len(listing.retrieved)).astype(np.float64)


def _normalised(listing: Listing, k: float | None, gain: Callable[[Float64], Float64]) -> Float64:
    best = _ideal(listing, k, gain)
    return _gained(listing, k, gain) / np.where(best > 0, best, 1.0)


# ---------------------------------------------------------------------------------------------------- the whole set


def _set_precision(listing: Listing, _: float | None) -> Float64:
    return _shares(listing.found(None), listing.retrieved)


def _set_f1(listing: Listing, _: float | None) -> Float64:
    return _shares(2 * listing.found(None), listing.positives + listing.retrieved)


def _set_map(listing: Listing, _: float | None) -> Float64:
    return _set_precision(listing, None) * _recall(listing, None)


def _set_capped_recall(listing: Listing, _: float | None) -> Float64:
    return _shares(listing.found(None), np.minimum(listing.positives, listing.retrieved))


def _utility(listing: Listing, _: float | None) -> Float64:
    return 2 * listing.found(None) - listing.retrieved


# ---------------------------------------------------------------------------------------------------- the table


class Measure(NamedTuple):
    """One line of the table."""

    of: Callable[[Listing, float | None], Float64]
    parameter: str = ""  # "" none, "k" needed, "[k]" may be left out, or the name of a number
    aggregate: str = "mean"
    worst: float = 0.0  # of a query without relevant items under the policy "neg"
    ties: bool = True  # has an expected value over the orders of ties


MEASURES: dict[str, Measure] = {
    "hit_rate": Measure(_hit_rate, "k"),
    "success": Measure(_hit_rate, "k"),
    "precision": Measure(_precision, "k"),
    "hits": Measure(_hits, "k"),
    "recall": Measure(_recall, "k"),
    "recall_cap": Measure(_capped_recall, "k"),
    "f1": Measure(_f1, "k"),
    "r_precision": Measure(_r_precision, "[factor]"),
    "mrr": Measure(_reciprocal_rank, "[k]"),
    "mean_rank": Measure(_first_rank, worst=math.inf),
    "median_rank": Measure(_first_rank, aggregate="median", worst=math.inf),
    "map": Measure(_average_precision, "[k]"),
    "map_cap": Measure(_capped_average_precision, "k"),
    "gm_map": Measure(_average_precision, aggregate="geometric mean"),
    "map_11pt": Measure(_eleven_point, ties=False),
    "iprec_11pt": Measure(_mean_interpolated_precision, ties=False),
    "iprec": Measure(_interpolated_precision, "level", ties=False),
    "bpref": Measure(_bpref, ties=False),
    "gm_bpref": Measure(_bpref, aggregate="geometric mean", ties=False),
    "auroc": Measure(_area),
    "rbp": Measure(_rank_biased, "patience"),
    "dcg": Measure(lambda listing, k: _gained(listing, k, _linear), "[k]"),
    "dcg_exp": Measure(lambda listing, k: _gained(listing, k, _exponential), "[k]"),
    "ndcg": Measure(lambda listing, k: _normalised(listing, k, _linear), "[k]"),
    "ndcg_exp": Measure(lambda listing, k: _normalised(listing, k, _exponential), "[k]"),
    "set_precision": Measure(_set_precision),
    "set_recall": Measure(lambda listing, _: _recall(listing, None)),
    "set_recall_cap": Measure(_set_capped_recall),
    "set_f1": Measure(_set_f1),
    "set_map": Measure(_set_map),
    "utility": Measure(_utility),
    "num_ret": Measure(lambda listing, _: listing.retrieved.astype(np.float64), aggregate="sum"),
    "num_rel": Measure(lambda listing, _: listing.positives.astype(np.float64), aggregate="sum"),
    "num_rel_ret": Measure(lambda listing, _: listing.found(None), aggregate="sum"),
}
