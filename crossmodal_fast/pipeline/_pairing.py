"""Which rows belong together, by pairs, labels or row number: to learn a map from, and to measure a search by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..matching import Indices

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Pairs = Mapping[tuple[str, str], Indices]
Labels = Mapping[str, Array]


def training_rows(
    source: str, target: str, embeddings: Mapping[str, Array], pairs: Pairs, labels: Labels
) -> tuple[Array, Array, Float64 | None]:
    """Rows of source, the row of target that each is to be mapped to, and their weights."""
    left, right = embeddings[source], embeddings[target]
    given = _pairs_between(source, target, pairs)
    if given is not None:
        return left[given[:, 0]], right[given[:, 1]], None
    if source in labels and target in labels and not np.array_equal(labels[source], labels[target]):
        return _paired_by_label(left, labels[source], right, labels[target])
    if len(left) != len(right):
        raise ValueError(
            f"pairs or labels must be loaded for {len(left)} rows of {source!r} and {len(right)} of {target!r}, "
            "got neither"
        )
    return left, right, None


def right_answers(
    source: str, target: str, data: Mapping[str, Array], pairs: Pairs, labels: Labels
) -> dict[str, Any] | None:
    """`positives` or `labels` for `evaluate.retrieval`; empty where row i belongs to row i, None where nothing says."""
    if source in labels and target in labels:
        return {"labels": (labels[source], labels[target])}
    given = _pairs_between(source, target, pairs)
    if given is not None:
        given = np.unique(given, axis=0)
        counts = np.bincount(given[:, 0], minlength=len(data[source]))
        return {"positives": (np.concatenate([[0], counts.cumsum()]), given[:, 1])}
    return {} if len(data[source]) == len(data[target]) else None


def _pairs_between(source: str, target: str, pairs: Pairs) -> Indices | None:
    if (source, target) in pairs:
        return pairs[source, target]
    return pairs[target, source][:, ::-1] if (target, source) in pairs else None


def _paired_by_label(
    left: Array, left_labels: Array, right: Array, right_labels: Array
) -> tuple[Array, Array, Float64]:
    """Each row of left with each row of right that has its label.

    The mean of a row's partners, weighted by their number, gives the same map as the pairs themselves, which may be
    millions: on one core the 54,360 pairs of the demo's images and utterances took 0.4 to 0.6 s, the 906 means 0.01 s.
    Weights have mean 1, so that a ridge penalty means what it means with one partner each.
    """
    labels, owner, counts = np.unique(right_labels, return_inverse=True, return_counts=True)
    place = np.searchsorted(labels, left_labels).clip(max=len(labels) - 1)
    known = labels[place] == left_labels
    if not known.any():
        raise ValueError("labels must have at least one value on both sides, got none in common")
    order = np.argsort(owner, kind="stable")
    sums = np.add.reduceat(right[order].astype(np.float64), np.cumsum(counts) - counts, axis=0)
    taken = place[known]
    return left[known], (sums / counts[:, None])[taken], counts[taken] / counts[taken].mean()
