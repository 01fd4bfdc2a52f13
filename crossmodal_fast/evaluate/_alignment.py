"""Alignments, such as those of words, against sure and possible links."""

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import array_of


def alignment_error_rate(found: ArrayLike, sure: ArrayLike, possible: ArrayLike | None = None) -> dict[str, float]:
    """Precision, recall and alignment error rate of found links.

    Parameters
    ----------
    found, sure : array_like of int, (p, 2)
        Links (i, j) of the alignment A, and those S that must be found. A link given twice counts once.
    possible : array_like of int, (p, 2), optional
        Links P that may be found, sure ones or not; the sure ones belong to it in any case.

    Returns
    -------
    dict
        precision = |A & P| / |A|, recall = |A & S| / |S|, aer = 1 - (|A & S| + |A & P|) / (|A| + |S|). A precision of
        no links is 0. Cost: a set of the links. Source: Och and Ney 2003.

    Examples
    --------
    >>> alignment_error_rate([[0, 0], [1, 2]], sure=[[0, 0]], possible=[[1, 2]])
    {'precision': 1.0, 'recall': 1.0, 'aer': 0.0}
    """
    a, s = _links("found", found), _links("sure", sure)
    p = s if possible is None else s | _links("possible", possible)
    if not s:
        raise ValueError("sure must hold at least one link, got none")
    in_s, in_p = len(a & s), len(a & p)
    return {
        "precision": in_p / max(len(a), 1),
        "recall": in_s / len(s),
        "aer": 1 - (in_s + in_p) / (len(a) + len(s)),
    }


def _links(name: str, value: ArrayLike) -> set[tuple[int, int]]:
    links = array_of(name, value)
    if links.size == 0:
        return set()
    if links.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold whole numbers, got dtype {links.dtype}")
    if links.ndim != 2 or links.shape[1] != 2:
        raise ValueError(f"{name} must have shape (p, 2), a row (i, j) for each link, got {links.shape}")
    return set(map(tuple, np.asarray(links).tolist()))
