"""Corrections for hubs as biases, for every search that takes them."""

import inspect
from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from .._arguments import brief, one_of
from .._arrays import given_back
from ._hubness import csls_shift, nnn_shift
from ._match import OPTIONS, threads_once
from ._softmax import dual_shift, inverted_shift
from ._source import Bias
from ._sources import FILTERS, source_of

CORRECTIONS: dict[str, Callable[..., Bias]] = {
    "csls": csls_shift,
    "nnn": nnn_shift,
    "inverted_softmax": inverted_shift,
    "dual_softmax": dual_shift,
}


def correction(
    X: ArrayLike,
    Y: ArrayLike | None = None,
    method: str = "csls",
    *,
    metric: str = "cosine",
    **keywords: Any,
) -> tuple[Any, Any]:
    """A correction for hubs as biases, by which `topk`, `ranks` and `evaluate.retrieval` order as `match` does.

    Parameters
    ----------
    X, Y, metric
        As in `match`.
    method : {"csls", "nnn", "inverted_softmax", "dual_softmax"}, default "csls"
    **keywords
        Options of the method but for k and retrieval, and `**control`.

    Returns
    -------
    (u, v) : (m,) and (n,) float64
        The argument `bias` of searches, in units of the metric: of CSLS r_i / 2 and r_j / 2 for distances, the negative
        for dot and ready scores.

    Raises
    ------
    ValueError, TypeError
        As `match`.

    Notes
    -----
    Formulas and sources as in `match`; cost: one pass and O(m + n) memory. Transductive without a bank.

    Examples
    --------
    >>> X, Y = np.eye(3), np.eye(3)[::-1]
    >>> correction(X, Y, neighbours=1)
    (array([0.5, 0.5, 0.5]), array([0.5, 0.5, 0.5]))
    """
    shift = CORRECTIONS[one_of("method", method, CORRECTIONS)]
    takes = options_of(method)
    options = {name: keywords.pop(name) for name in sorted((OPTIONS | {"k"}) & keywords.keys())}
    for name in [*(name for name in options if name not in takes), *(name for name in FILTERS if name in keywords)]:
        value = {**options, **keywords}[name]
        raise TypeError(
            f"{name} must be left out of the correction {method!r}, which takes {', '.join(takes)}, got {brief(value)}"
        )
    with threads_once(keywords):
        u, v = shift(source_of(X, Y, metric, keywords, of_none=False), **options)
    sign = 1.0 if metric in ("dot", "precomputed") else -1.0
    return given_back(X, (sign * u + 0.0, sign * v + 0.0))  # no minus zeros


def options_of(method: str) -> tuple[str, ...]:
    """The options that a correction takes."""
    return tuple(inspect.signature(CORRECTIONS[method]).parameters)[1:]
