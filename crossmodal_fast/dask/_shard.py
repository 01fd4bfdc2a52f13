"""A part of a gallery on a worker, and what its searches send: float64 keys, and positions in the whole.

Keys are `metrics.ordered` values, what all backends sort by: of euclidean the square, so that two distances that are
equal only after the root stay apart. Whatever merges them, on however many workers, gives the order of one machine.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _keys, _validate
from .._search import Pairs, counted, search_within, select
from ..kernels.tiles import metrics
from ..kernels.tiles.prepared import Prepared
from ..kernels.tiles.rows import Rows
from ._worker import settled

Array = npt.NDArray[Any]
CODE_BYTES = 2, 64  # of a row, a feature and beside them: int16 on Numba; int8 takes half, NumPy's float32 twice


class Way(NamedTuple):
    """How pairs are compared, the same for all shards."""

    metric: str
    given: dict[str, Any]
    rows: int  # of the whole gallery
    control: dict[str, Any]

    def keyed(self, biased: bool) -> tuple[str, dict[str, Any]]:
        """The metric whose float64 results are the keys: that of the squares where roots are not biased."""
        rooted = self.compared(1).rooted and not biased
        return ("sqeuclidean", {}) if rooted else (self.metric, self.given)

    def compared(self, d: int) -> metrics.Metric:
        return metrics.metric(self.metric, d, self.given)


@dataclass(frozen=True, eq=False)
class Shard:
    """Rows start.. of a gallery, and the codes that searches made of them here. What travels is the rows."""

    vectors: Any
    start: int
    prepared: Prepared = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prepared", Prepared(Rows("gallery", self.vectors, False)))

    def __reduce__(self) -> Any:
        return Shard, (self.vectors, self.start)

    def __sizeof__(self) -> int:
        """With the codes of the searches to come: Dask asks once, before the first."""
        n, d = self.vectors.shape
        feature, row = CODE_BYTES
        return int(n * d * self.vectors.dtype.itemsize + n * (feature * d + row))

    def __len__(self) -> int:
        return int(self.vectors.shape[0])


class Found(NamedTuple):
    """Pairs of the rows of a block: (m, w) keys and positions in the whole, -1 (and +inf) behind the last."""

    key: Array
    position: Array


class Inside(NamedTuple):
    """Pairs inside a radius, row by row: (m,) counts, (r,) keys and positions in the whole."""

    counts: Array
    key: Array
    position: Array


def shard_of_rows(name: str, vectors: Any, start: int, check_finite: bool) -> Shard:
    """A shard of a chunk of rows."""
    vectors = _validate.matrix(name, vectors)
    Rows(name, vectors, check_finite, start).refuse_unfinite()
    plain = isinstance(vectors, np.ndarray) and not vectors.flags.c_contiguous
    return Shard(np.ascontiguousarray(vectors) if plain else vectors, start)


def nearest(shard: Shard, queries: Any, k: int, way: Way, held: dict[str, Any], limit: Array | None = None) -> Found:
    """The k best of a shard; with limit (m,) only those whose keys are not above it."""
    name, given = way.keyed("u" in held)
    ((value, index),), _ = select(
        ("queries", _validate.matrix("queries", queries)), ("gallery", shard.vectors), (min(k, len(shard)), 0),
        name, given, _pairs(shard, way, held, len(queries)), "float64", settled(way.control), shard.prepared, limit,
    )  # fmt: skip
    found = Found(_key(way, value), np.where(index < 0, -1, index + shard.start))
    return found if limit is None else _trimmed(found, limit)


def nearest_both(
    shard: Shard, rows: Any, start: int, k: tuple[int, int], way: Way, held: dict[str, Any]
) -> tuple[Found, Found]:
    """The best of a shard for each of the rows from `start` on, and of these for each row of the shard."""
    name, given = way.keyed("u" in held)
    wanted = min(k[0], len(shard)), min(k[1], len(rows))
    both, _ = select(
        ("X", _validate.matrix("X", rows)), ("Y", shard.vectors), wanted,
        name, given, _pairs(shard, way, held, len(rows)), "float64", settled(way.control),
    )  # fmt: skip
    firsts = shard.start, start
    found = [Found(_key(way, value), np.where(index < 0, -1, index + first))
             for (value, index), first in zip(both, firsts, strict=True)]  # fmt: skip
    return found[0], found[1]


def inside(shard: Shard, queries: Any, radius: Array, way: Way, held: dict[str, Any]) -> Inside:
    """The rows of a shard inside a radius (m,)."""
    name, given = way.keyed("u" in held)
    if name != way.metric:
        radius = _keys.square_of(radius)
    indptr, index, value = search_within(
        ("queries", _validate.matrix("queries", queries)), ("gallery", shard.vectors), radius,
        name, given, _pairs(shard, way, held, len(queries)), "float64", settled(way.control), shard.prepared,
    )  # fmt: skip
    return Inside(np.diff(indptr), _key(way, value), index + shard.start)


def keys_of(shard: Shard, queries: Any, row: Array, positive: Array, way: Way, held: dict[str, Any]) -> Array:
    """(e,) keys of the pairs of rows of a block with rows of a shard, by their positions in the whole."""
    name, given = way.keyed("u" in held)
    x, y = (Rows("", rows, False) for rows in (_validate.matrix("queries", queries), shard.vectors))
    metric, column = metrics.metric(name, x.shape[1], given), positive - shard.start
    return _keys.keys_of(metric, x, y, row, column, _bias(held, len(x), len(y)))


def counts_of(
    shard: Shard, queries: Any, row: Array, positive: Array, target: Array, way: Way, held: dict[str, Any]
) -> Array:
    """(3, e): rows of a shard that are better than each positive, wherever that is, equal and before it, and equal."""
    name, given = way.keyed("u" in held)
    return np.stack(
        counted(
            ("queries", _validate.matrix("queries", queries)), ("gallery", shard.vectors),
            (row, positive - shard.start), target, name, given, _pairs(shard, way, held, len(queries)),
            settled(way.control), shard.prepared,
        )
    )  # fmt: skip


def _key(way: Way, value: Array) -> Array:
    """What float64 results are ordered by."""
    return -value if way.compared(1).descending else value


def _trimmed(found: Found, limit: Array) -> Found:
    """Without what is above the limit, and without columns that nobody needs: less to send."""
    known = limit[:, None]  # NaN comes after every limit but the one that is none
    kept = (found.position >= 0) & ((found.key <= known) | (known == np.inf))
    width = int(kept.sum(axis=1).max(initial=0))
    return Found(np.where(kept, found.key, np.inf)[:, :width], np.where(kept, found.position, -1)[:, :width])


def _pairs(shard: Shard, way: Way, held: dict[str, Any], m: int) -> Pairs:
    """Filters of a block of queries against a shard, positions counted from its first row."""
    exclude = _validate.exclusion(False, held.get("exclude"), (), m, way.rows)
    if exclude is not None:
        here = (exclude >= shard.start) & (exclude < shard.start + len(shard))
        exclude = np.where(here, exclude - shard.start, -1)
    return Pairs(False, exclude, held.get("mask"), _bias(held, m, len(shard)))


def _bias(held: dict[str, Any], m: int, n: int) -> tuple[Array, Array] | None:
    return _validate.biases((held["u"], held["v"]) if "u" in held else None, (), m, n)
