"""Many small matchings in one call: a ragged batch."""

from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from .. import _validate
from .._arguments import brief
from .._arrays import given_back
from .._config import Control, resolve
from .._search import canonical_distances
from ._match import method_of, threads_once
from ._ready import Precomputed
from ._results import Indices, Matches
from ._source import SIMILARITIES, scores_of
from ._sources import FILTERS, refuse_unknown


class SegmentMatches(NamedTuple):
    """CSR-like: segment b has pairs indptr[b]:indptr[b+1] of (p,); rows and columns count from the segment's start.

    Examples
    --------
    >>> found = match_segments(np.eye(3), np.eye(3), [0, 2, 3], [0, 2, 3], "mutual")
    >>> found.rows[found.indptr[1] : found.indptr[2]]
    array([0])
    """

    indptr: Any
    rows: Any
    columns: Any
    scores: Any


def match_segments(
    X: ArrayLike,
    Y: ArrayLike,
    x_offsets: ArrayLike,
    y_offsets: ArrayLike,
    method: str = "itermax",
    *,
    k: int | None = None,
    metric: str = "cosine",
    **keywords: Any,
) -> SegmentMatches:
    """Match each segment of X with the segment of Y of the same number, such as the words of sentence pairs.

    Parameters
    ----------
    X, Y : array_like, shape (m, d) and (n, d)
        The rows of all segments one after another.
    x_offsets, y_offsets : array_like of whole numbers, shape (b + 1,)
        Segment b has rows offsets[b]:offsets[b+1]; ascending from 0 to m and to n. Segments may be empty.
    method, k, metric, **keywords
        As in `match`, but for ready scores, banks, masks, exclusions and biases.

    Returns
    -------
    SegmentMatches
        indptr (b + 1,) int64; rows, columns (p,) int64 and scores (p,), as `match` returns them for the exact scores of
        each segment by itself, whatever the segments around it: row and column numbers count from its start.

    Raises
    ------
    ValueError, TypeError
        As `match`; offsets that do not ascend from 0 to the number of rows.

    Notes
    -----
    Cost: the float64 values of all pairs of a segment, which are held, and a matching of ready scores; one after
    another. Parameters of a metric that come from the rows (V, VI) come from those of all segments. Sources: those of
    the methods, in `match`; Jalili Sabet et al. 2020 for words.

    Examples
    --------
    >>> X, Y = np.eye(4), np.eye(4)[[1, 0, 3]]
    >>> match_segments(X, Y, [0, 2, 4], [0, 2, 3], method="mutual")[:3]
    (array([0, 2, 3]), array([0, 1, 1]), array([1, 0, 0]))
    """
    chosen, options = method_of(method, k, keywords)
    given = {**options, **keywords}
    for name in ("bank", *FILTERS):
        if given.get(name) is not None:
            raise TypeError(f"{name} must be left out where segments are matched, got {brief(given[name])}")
    refuse_unknown(keywords)
    _validate.metric_name(metric)
    x, y = _validate.flat("X", X), _validate.flat("Y", Y)
    _validate.same_features("X", x, "Y", y)
    sides = _offsets("x_offsets", x_offsets, len(x)), _offsets("y_offsets", y_offsets, len(y))
    if len(sides[0]) != len(sides[1]):
        raise ValueError(
            f"x_offsets and y_offsets must have equally many segments, got {len(sides[0]) - 1} and {len(sides[1]) - 1}"
        )
    found = [Matches(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    lengths = [0]
    constant = 1.0 if metric in SIMILARITIES else 0.0
    with threads_once(keywords):
        control = cast(Control, {name: keywords[name] for name in Control.__annotations__ if name in keywords})
        kwargs = keywords.get("metric_kwargs")
        distances = canonical_distances(("X", x), ("Y", y), metric, kwargs, resolve(control))
        for (left, right), (first, last) in zip(*(pairwise(side.tolist()) for side in sides), strict=True):
            lengths.append(0)
            if left < right and first < last:
                score = scores_of(distances(slice(left, right), slice(first, last)), metric)
                part = chosen.run(Precomputed(score, control, constant=constant), **options)
                found.append(part)
                lengths[-1] = len(part.rows)
    rows, columns, scores = (np.concatenate(part) for part in zip(*found, strict=True))
    dtype = _validate.output_dtype(keywords.get("dtype"), x, y)
    return given_back(X, SegmentMatches(np.cumsum(lengths), rows, columns, scores.astype(dtype)))


def _offsets(name: str, value: ArrayLike, rows: int) -> Indices:
    found = _validate.ids(name, value)
    if found.ndim != 1 or len(found) < 2 or found[0] != 0 or found[-1] != rows or (np.diff(found) < 0).any():
        raise ValueError(f"{name} must ascend from 0 to {rows} in one list, got {_validate.brief(value)}")
    return found
