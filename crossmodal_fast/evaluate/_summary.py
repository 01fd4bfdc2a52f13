"""From one value a query to one value: means, policies for queries without positives, groups of queries."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import labels_of
from ._chosen import Chosen
from ._listing import Listing
from ._measures import filled

Float64 = NDArray[np.float64]

SMALLEST = 1e-5  # a value below it counts as this in a geometric mean (trec_eval)
AGGREGATES: dict[str, Callable[[Float64], Any]] = {
    "mean": np.mean,
    "median": np.median,
    "sum": np.sum,
    "geometric mean": lambda values: np.exp(np.mean(np.log(np.maximum(values, SMALLEST)))),
}


def columns_of(listings: Iterable[Listing], chosen: Sequence[Chosen]) -> tuple[dict[str, Float64], NDArray[np.bool_]]:
    """Values of all queries of some listings by measure, each (m,), and which queries have no relevant item."""
    parts = [([one.values(listing) for one in chosen], listing.positives == 0) for listing in listings]
    values = {one.name: np.concatenate([part[0][at] for part in parts]) for at, one in enumerate(chosen)}
    return values, np.concatenate([missing for _, missing in parts])


def settle_empty(
    values: dict[str, Float64], missing: NDArray[np.bool_], chosen: Sequence[Chosen], empty: str
) -> dict[str, Float64]:
    """The policy for queries without positives, of every measure; counts stay what they are."""
    settled = {}
    for one in chosen:
        counts = one.measure.aggregate == "sum" and empty != "skip"
        column = values[one.name]
        kept = filled(column, missing, empty, one.measure.worst)
        settled[one.name] = column if counts else kept
    return settled


def summary(values: dict[str, Float64], chosen: Sequence[Chosen], groups: Any = None) -> dict[str, float]:
    """One number a measure; with groups (m,), the mean over groups of the number of each."""
    inverse = None if groups is None else np.unique(groups, return_inverse=True)[1]
    out = {}
    for one in chosen:
        aggregate, column = AGGREGATES[one.measure.aggregate], values[one.name]
        if inverse is None or one.measure.aggregate == "sum":
            out[one.name] = float(aggregate(column))
        else:
            order = np.argsort(inverse, kind="stable")
            parts = np.split(column[order], np.cumsum(np.bincount(inverse))[:-1])
            out[one.name] = float(np.mean([aggregate(part) for part in parts]))
    return out


def group_labels(groups: ArrayLike | None, m: int) -> NDArray[Any] | None:
    """(m,) a label for each query, or None."""
    if groups is None:
        return None
    labels = labels_of("groups", groups)
    if len(labels) != m:
        raise ValueError(f"groups must have shape ({m},), one for each query, got {labels.shape}")
    return labels
