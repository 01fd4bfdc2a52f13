"""The canonical float64 value of a pair of rows, for every metric: what all backends order by.

Work    `pairs`: row p of x with row p of y; `block`: every row of x with every row of y
Shapes  x (p, d), y (p, d) -> (p,);  x (a, d), y (b, d) -> (a, b); float64, rows already through `Metric.rows`
Cost    3 to 10 elementwise passes, 2 to 4 ns a term; scratch: `pairs` 4 p d, `block` 24 a b + (a + b) d float64
Sum     term i goes to lane i mod 8, lanes start at +0.0 and add in order of i, multiply and add rounded separately;
        total = ((l0+l1)+(l2+l3))+((l4+l5)+(l6+l7)). Elementwise operations only: np.sum and @ do not fix an order

`block` puts the eight lanes first so that the inner loop of NumPy runs along y; `pairs` forms all terms of a row in one
contiguous pass first. pow and log only ever see contiguous arrays: NumPy's strided loops may round them differently.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

LANES = 8
STATISTIC_BYTES = 1 << 20  # of rows at a time for the parameters of a metric
FORMS = {"euclidean": "l2", "sqeuclidean": "l2", "cosine": "cosine", "correlation": "cosine", "dot": "dot"}


@dataclass(frozen=True)
class Metric:
    """How one metric is computed. `form` names the GEMM bound that covers it, None where there is none."""

    name: str
    terms: Callable[..., tuple]
    finish: Callable[..., Any] = lambda totals, stat_x, stat_y: totals[0]
    rows: Callable[[np.ndarray], np.ndarray] = lambda rows: rows
    stat: Callable[[np.ndarray], np.ndarray] | None = None
    fold: Callable[..., np.ndarray] = np.add
    form: str | None = None
    descending: bool = False  # larger is better: dot
    rooted: bool = False  # orders by the square, returns its root: euclidean
    scipy: Mapping[str, Any] | None = field(default=None, compare=False)  # keywords of SciPy's cdist, which computes it


# ---------------------------------------------------------------------------------------------------- sums in lanes


def _padded(rows):
    """Rows with zeros up to a multiple of eight features: a zero term leaves a lane as it is."""
    short = -rows.shape[1] % LANES
    return np.pad(rows, ((0, 0), (0, short))) if short else np.ascontiguousarray(rows)


def _total(lanes, fold):
    return fold(fold(fold(lanes[0], lanes[1]), fold(lanes[2], lanes[3])),
                fold(fold(lanes[4], lanes[5]), fold(lanes[6], lanes[7])))  # fmt: skip


def _fold_pairs(term_pd, fold):
    steps = term_pd.reshape(term_pd.shape[0], -1, LANES)
    lanes = np.zeros((steps.shape[0], LANES))
    for step in range(steps.shape[1]):
        fold(lanes, steps[:, step], out=lanes)
    return _total(lanes.T, fold)


def row_sum(rows_pd):
    """Canonical sum of every row."""
    return _fold_pairs(_padded(rows_pd), np.add)


def _square_sum(rows_pd):
    return row_sum(rows_pd * rows_pd)


def pairs(metric, x_pd, y_pd):
    """Canonical value of row p of x with row p of y: the square for euclidean (see `returned`)."""
    if metric.scipy is not None:  # its cdist knows blocks only: of small ones, the diagonal
        starts = range(0, len(x_pd), LANES)
        parts = [np.diagonal(block(metric, x_pd[at : at + LANES], y_pd[at : at + LANES])) for at in starts]
        return np.concatenate([np.zeros(0), *parts])
    with np.errstate(all="ignore"):
        x_pd, y_pd = metric.rows(x_pd), metric.rows(y_pd)
        stats = (metric.stat(x_pd), metric.stat(y_pd)) if metric.stat else (None, None)
        totals = [_fold_pairs(term, metric.fold) for term in metric.terms(_padded(x_pd), _padded(y_pd))]
        return metric.finish(totals, *stats)


def block(metric, x_ad, y_bd):
    """Canonical value of every row of x with every row of y."""
    if metric.scipy is not None:
        from scipy.spatial.distance import cdist

        with np.errstate(all="ignore"):
            return cdist(x_ad, y_bd, metric.name, **metric.scipy)
    with np.errstate(all="ignore"):
        x_ad, y_bd = metric.rows(x_ad), metric.rows(y_bd)
        stat_x, stat_y = (metric.stat(x_ad)[:, None], metric.stat(y_bd)[None]) if metric.stat else (None, None)
        x_sla = np.ascontiguousarray(_padded(x_ad).T).reshape(-1, LANES, x_ad.shape[0], 1)
        y_slb = np.ascontiguousarray(_padded(y_bd).T).reshape(-1, LANES, 1, y_bd.shape[0])
        lanes = None
        for x_la, y_lb in zip(x_sla, y_slb, strict=True):
            terms = metric.terms(x_la, y_lb)
            if lanes is None:
                lanes = [np.zeros((LANES, x_ad.shape[0], y_bd.shape[0])) for _ in terms]
            for lane, term in zip(lanes, terms, strict=True):
                metric.fold(lane, term, out=lane)
        return metric.finish([_total(lane, metric.fold) for lane in lanes], stat_x, stat_y)


# ----------------------------------------------------------------------------------------------- rows before the sum


def _power_of_two(rows):
    """Rows times the power of two that brings their largest magnitude into [0.5, 1)."""
    exponent = np.frexp(np.max(np.abs(rows), axis=1, initial=0.0))[1][:, None]
    if np.abs(exponent).max(initial=0) > 1000:  # the factor itself would leave float64; ldexp is 5x slower than *
        return np.ldexp(rows, -exponent)
    return rows * np.ldexp(1.0, -exponent)


def _deviations(rows):
    scaled = _power_of_two(rows)
    gaps = scaled - (row_sum(scaled) / rows.shape[1])[:, None]
    gaps[(scaled == scaled[:, :1]).all(axis=1)] = 0.0  # the mean of equal numbers need not round to them
    return gaps


def _non_negative(rows, name):
    negative = rows[(rows < 0) & (rows > -np.inf)]  # -inf has its own policy, check_finite
    if len(negative):
        raise ValueError(f"rows must be non-negative for metric={name!r}, got {negative.min()}")
    return rows


def _shares(rows):
    mass = row_sum(_non_negative(rows, "jensenshannon"))[:, None]
    return np.divide(rows, mass, out=np.zeros_like(rows), where=mass != 0)


# ------------------------------------------------------------------------------------------------- terms and endings


def _square_gap(x, y):
    gap = x - y
    gap *= gap
    return (gap,)


def _product(x, y):
    return (x * y,)


def _gap(x, y):
    gap = x - y
    return (np.abs(gap, out=gap),)


def _power_gap(x, y, p):
    (gap,) = _gap(x, y)
    return (np.power(gap, p, out=gap),)


def _relative_gap(x, y):
    (gap,) = _gap(x, y)
    size = np.abs(x) + np.abs(y)
    return (np.divide(gap, size, out=gap, where=size != 0),)  # 0/0 stays the gap, 0


def _gap_and_sum(x, y):
    return np.abs(x - y), np.abs(x + y)


def _relative_entropies(x, y):
    middle = (x + y) / 2

    def relative_entropy(share):
        term = share / middle
        np.log(term, out=term)
        term *= share
        term[np.broadcast_to(share == 0, term.shape)] = 0.0
        return term

    return relative_entropy(x), relative_entropy(y)


def _differs(x, y):
    return ((x != y).astype(np.float64),)


def _differs_and_counts(x, y):
    return (x != y).astype(np.float64), np.maximum(x, y)


def _cosine_distance(totals, square_x, square_y):
    with np.errstate(all="ignore"):
        cosine = np.where((square_x == 0) | (square_y == 0), 0.0, totals[0] / np.sqrt(square_x * square_y))
    return 1.0 - np.clip(cosine, -1.0, 1.0)


def _ratio(totals, stat_x, stat_y):
    return totals[0] / totals[1]


def _ratio_or_zero(totals, stat_x, stat_y):
    return np.where(totals[1] == 0, 0.0, totals[0] / totals[1])


def _truth(rows):
    return (rows != 0).astype(np.float64)


def _massless(rows):
    return ~rows.any(axis=1)


def _jensen_shannon(totals, massless_x, massless_y, base=np.e):
    half = (totals[0] + totals[1]) / 2 / np.log(base)
    half = np.where(half < 0, 0.0, half)  # a rounding below zero; NaN stays
    return np.where(massless_x | massless_y, np.inf, np.sqrt(half))  # 0/0 in every share: inf, as in SciPy's cdist


def _root_of_half(totals, stat_x, stat_y):
    return np.sqrt(0.5 * totals[0])


# ---------------------------------------------------------------------------------------------------------- by name

_cosine = partial(Metric, terms=_product, stat=_square_sum, finish=_cosine_distance, form="cosine")
_METRICS = {
    metric.name: metric
    for metric in (
        Metric("euclidean", _square_gap, form="l2", rooted=True),
        Metric("sqeuclidean", _square_gap, form="l2"),
        _cosine("cosine", rows=_power_of_two),
        _cosine("correlation", rows=_deviations),
        Metric("dot", _product, form="dot", descending=True),
        Metric("cityblock", _gap),
        Metric("chebyshev", _gap, fold=np.maximum),
        Metric("canberra", _relative_gap),
        Metric("braycurtis", _gap_and_sum, finish=_ratio),
        Metric("jensenshannon", _relative_entropies, finish=_jensen_shannon, rows=_shares, stat=_massless),
        Metric(
            "hellinger", _square_gap, finish=_root_of_half, rows=lambda rows: np.sqrt(_non_negative(rows, "hellinger"))
        ),
        Metric("hamming", _differs),
        Metric("jaccard", _differs_and_counts, finish=_ratio_or_zero, rows=_truth),  # of truth values, as SciPy 1.15
    )
}
MINKOWSKI = {1.0: "cityblock", 2.0: "euclidean", np.inf: "chebyshev"}
BY_SCIPY = ("seuclidean", "mahalanobis", "dice", "rogerstanimoto", "russellrao", "sokalsneath", "yule")
NAMES = (*_METRICS, "minkowski", *BY_SCIPY)


def metric(name, d, keywords=None):
    """The metric `name` on d features; keywords as in SciPy (p, w, V, VI, base)."""
    keywords = dict(keywords or {})
    if name == "minkowski" and not keywords.keys() - {"p"}:
        p = float(keywords.pop("p", 2.0))
        if p not in MINKOWSKI:
            return Metric(name, partial(_power_gap, p=p), finish=lambda totals, *_: np.power(totals[0], 1 / p))
        name = MINKOWSKI[p]
    if "base" in keywords:
        return replace(_METRICS[name], finish=partial(_jensen_shannon, base=keywords["base"]))
    if keywords or name in BY_SCIPY:
        return Metric(name, _gap, scipy=keywords)
    found = _METRICS[name]
    if name == "hamming":
        found = Metric(name, _differs, finish=lambda totals, *_: totals[0] / d)
    return found


def ordered(metric, value, bias=None):
    """What `topk` sorts ascending: the canonical value, biased, and negated where larger is better."""
    if bias is not None:
        value = (np.sqrt(value) if metric.rooted else value) + bias
    return -value if metric.descending else value


def returned(metric, order, dtype, biased=False):
    """`ordered` values as the caller sees them: the root of a square taken, rounded once to dtype."""
    with np.errstate(over="ignore", invalid="ignore"):
        value = np.sqrt(order) if metric.rooted and not biased else order
        return (0.0 - value if metric.descending else value).astype(dtype, copy=False)


def unbounded(metric):
    """The metric without its GEMM bound: every pair by canonical value."""
    return replace(metric, form=None)


def keywords(name, given, *sides):
    """The keywords of a metric; V and VI, where not given, from all rows of all sides at once, in float64 blocks.

    VI takes products and an inverse: their bits depend on the threads that BLAS may use.
    """
    given = dict(given or {})
    wanted = {"seuclidean": "V", "mahalanobis": "VI"}.get(name)
    if wanted is None or wanted in given:
        return given
    count = sum(map(len, sides))
    if count < 2:
        raise ValueError(
            f"metric={name!r} must have two rows or more to know {wanted}, got {count}; give metric_kwargs"
        )
    mean = sum(_over_blocks(rows, lambda block: block.sum(axis=0)) for rows in sides) / count
    if name == "seuclidean":
        square = sum(_over_blocks(rows, lambda block: ((block - mean) ** 2).sum(axis=0)) for rows in sides)
        return given | {"V": square / (count - 1)}
    scatter = sum(_over_blocks(rows, lambda block: (block - mean).T @ (block - mean)) for rows in sides)
    try:
        return given | {"VI": np.linalg.inv(scatter / (count - 1)).T}
    except np.linalg.LinAlgError:
        found = f"{count} rows of {sides[0].shape[1]} features with a singular covariance"
        raise ValueError(f"metric='mahalanobis' must have rows of full rank, got {found}; give metric_kwargs") from None


def _over_blocks(rows, statistic):
    step = max(1, STATISTIC_BYTES // (8 * rows.shape[1]))
    return sum(statistic(rows.block(start, stop).astype(np.float64)) for start, stop in rows.blocks(step))
