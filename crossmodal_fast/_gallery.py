"""The prepared side of a search: vectors encoded once, searched many times, grown and shrunk by id."""

import json
import os
from typing import Any, Literal, Self, Unpack, overload

import numpy as np
import numpy.typing as npt

from . import _validate
from ._config import Control, resolve
from ._search import Pairs, SearchStats, TopK, Within, search_ranks, search_within, select
from .files import FileError, atomic
from .kernels.tiles import metrics
from .kernels.tiles.prepared import prepare
from .kernels.tiles.rows import Rows

Array = npt.NDArray[Any]
FORMAT = 1  # of the file; a reader refuses what it does not know


class Gallery:
    """Vectors to search in again and again.

    Parameters
    ----------
    vectors : (n, d) numbers
    metric, metric_kwargs : as in `topk`; V and VI default to values over the vectors and each call's queries
    ids : (n,) distinct int64, returned in place of positions; default 0..n-1
    copy : False keeps a reference to the caller's array, which must then stay as it is
    check_finite : refuse NaN and infinity

    Ties go by position, the order in which rows were given. Memory: `nbytes` = the vectors (unless copy=False), and
    4 (d + 5) + 40 bytes of codes a row; encoding costs about 6 passes over the rows.

    >>> gallery = Gallery([[0.0, 0.0], [0.0, 1.0]], ids=[10, 20])
    >>> gallery.topk([[0.0, 0.9]], k=1)
    TopK(distances=array([[0.1]]), indices=array([[20]]))
    """

    def __init__(
        self,
        vectors: Any,
        metric: str = "euclidean",
        ids: Any = None,
        copy: bool = True,
        *,
        metric_kwargs: dict[str, Any] | None = None,
        check_finite: bool = True,
    ) -> None:
        vectors = _vectors("vectors", vectors)
        self.metric = _validate.metric_name(metric)
        self.metric_kwargs = _validate.metric_keywords(metric, metric_kwargs, vectors.shape[1])
        self._check_finite = check_finite
        self._copied = copy
        self._vectors = np.array(vectors[:]) if copy else vectors
        self._ids = _ids(ids, vectors.shape[0], np.zeros(0, np.int64))
        rows = Rows("vectors", self._vectors, check_finite)
        self._prepared = prepare(
            rows, metrics.metric(metric, vectors.shape[1], metrics.keywords(metric, metric_kwargs, rows))
        )

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> Array:
        """(n,) int64, in order of position; a copy."""
        return self._ids.copy()

    @property
    def vectors(self) -> Array:
        """(n, d), in order of position; read-only."""
        view: Array = np.asarray(self._vectors[:])
        view.flags.writeable = False
        return view

    @property
    def shape(self) -> tuple[int, int]:
        return (len(self._ids), int(self._vectors.shape[1]))

    @property
    def nbytes(self) -> int:
        """Bytes held: vectors if copied, ids and codes. `max_bytes` of a search comes on top."""
        return int(self._prepared.nbytes + self._ids.nbytes + (self._vectors.nbytes if self._copied else 0))

    @overload
    def topk(
        self, queries: Any, k: int, *, return_stats: Literal[False] = ..., exclude: Any = ..., mask: Any = ...,
        bias: tuple[Any, Any] | None = ..., dtype: npt.DTypeLike | None = ..., **control: Unpack[Control],
    ) -> TopK: ...  # fmt: skip
    @overload
    def topk(
        self, queries: Any, k: int, *, return_stats: Literal[True], exclude: Any = ..., mask: Any = ...,
        bias: tuple[Any, Any] | None = ..., dtype: npt.DTypeLike | None = ..., **control: Unpack[Control],
    ) -> tuple[Array, Array, SearchStats]: ...  # fmt: skip
    def topk(
        self,
        queries: Any,
        k: int,
        *,
        exclude: Any = None,
        mask: Any = None,
        bias: tuple[Any, Any] | None = None,
        dtype: npt.DTypeLike | None = None,
        return_stats: bool = False,
        **control: Unpack[Control],
    ) -> TopK | tuple[Array, Array, SearchStats]:
        """`crossmodal_fast.topk` in this gallery, to the bit, with ids for indices.

        exclude : (..., m) ids that each query may not match, -1 for none; mask (n,) or (m, n) and bias go by position.
        """
        queries = _validate.matrix("queries", queries)
        ((distances, positions),), stats = select(
            ("queries", queries), ("gallery", self._vectors),
            (_validate.neighbours("k", k, len(self), "gallery"), 0),
            self.metric, self.metric_kwargs, Pairs(False, self._positions("exclude", exclude), mask, bias), dtype,
            resolve(control), self._prepared,
        )  # fmt: skip
        ids = np.where(positions < 0, -1, self._ids[positions])
        return (distances, ids, stats) if return_stats else TopK(distances, ids)

    def within(
        self,
        queries: Any,
        radius: Any,
        *,
        exclude: Any = None,
        mask: Any = None,
        bias: tuple[Any, Any] | None = None,
        dtype: npt.DTypeLike | None = None,
        **control: Unpack[Control],
    ) -> Within:
        """`crossmodal_fast.within` in this gallery, with ids for indices; exclude holds ids."""
        found = search_within(
            ("queries", _validate.flat("queries", queries)), ("gallery", self._vectors), radius, self.metric,
            self.metric_kwargs, Pairs(False, self._positions("exclude", exclude), mask, bias), dtype, resolve(control),
            self._prepared,
        )  # fmt: skip
        return found._replace(indices=self._ids[found.indices])

    def ranks(
        self,
        queries: Any,
        positives: Any,
        *,
        ties: str = "index",
        exclude: Any = None,
        mask: Any = None,
        bias: tuple[Any, Any] | None = None,
        **control: Unpack[Control],
    ) -> Array:
        """`crossmodal_fast.ranks` in this gallery; positives and exclude hold ids."""
        if isinstance(positives, tuple) and len(positives) == 2:
            positives = positives[0], self._positions("positives", positives[1])
        else:
            positives = self._positions("positives", positives)
        return search_ranks(
            ("queries", _validate.flat("queries", queries)), ("gallery", self._vectors), positives, self.metric, ties,
            self.metric_kwargs, Pairs(False, self._positions("exclude", exclude), mask, bias), resolve(control),
            self._prepared,
        )  # fmt: skip

    def add(self, vectors: Any, ids: Any = None) -> None:
        """Append rows (p, d). ids default to the numbers after the largest; a refused call changes nothing."""
        vectors = _vectors("vectors", vectors)
        _validate.same_features("vectors", vectors, "gallery", self._vectors)
        new = _ids(ids, vectors.shape[0], self._ids)
        together = np.concatenate([self._vectors[:], vectors[:]])  # promotes: float64 rows make the gallery float64
        added = Rows("vectors", together[len(self._ids) :], self._check_finite)
        self._prepared.extend(added)
        self._vectors, self._ids, self._copied = together, np.concatenate([self._ids, new]), True

    def remove(self, ids: Any) -> None:
        """Drop the rows with these ids. An unknown id raises KeyError and nothing changes."""
        gone = np.atleast_1d(np.asarray(ids))
        kept = np.ones(len(self), bool)
        kept[self._located(gone)] = False
        if not kept.any():
            raise ValueError(f"ids must leave at least one row, got all {len(self)}")
        self._prepared.keep(kept)
        self._vectors, self._ids, self._copied = self._vectors[:][kept], self._ids[kept], True

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write vectors, ids and metric to an .npz file, whole or not at all; codes are made again by `load`."""
        about = json.dumps(
            {
                "format": FORMAT,
                "metric": self.metric,
                "dtype": self._vectors.dtype.name,
                "keywords": _plain(self.metric_kwargs),
            }
        )
        vectors = np.asarray(self._vectors[:])
        vectors = vectors.view(np.uint16) if vectors.dtype.name == "bfloat16" else vectors
        with atomic(path) as file:
            np.savez(file, about=np.array(about), vectors=vectors, ids=self._ids)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """A gallery that `save` wrote. Anything else is refused with FileError."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                about, vectors, ids = json.loads(str(stored["about"])), stored["vectors"], stored["ids"]
            known = about["format"] == FORMAT
            metric, dtype, keywords = about["metric"], about["dtype"], about["keywords"]
        except FileNotFoundError:
            raise
        except Exception as problem:  # np.load, zipfile and json raise many kinds for one fact
            raise FileError(f"{os.fspath(path)} must be a gallery written by Gallery.save, got {problem}") from problem
        if not known:
            raise FileError(f"{os.fspath(path)} must be a gallery of format {FORMAT}, got format {about['format']}")
        if dtype == "bfloat16":
            import ml_dtypes

            vectors = vectors.view(ml_dtypes.bfloat16)
        return cls(
            vectors, metric, ids, copy=False, metric_kwargs={name: _array(value) for name, value in keywords.items()}
        )

    def _positions(self, name: str, ids: Any) -> Array | None:
        """Positions of ids, -1 where the id is -1."""
        if ids is None:
            return None
        ids = np.asarray(ids)
        if ids.dtype.kind not in "iu":
            raise TypeError(f"{name} must be whole numbers, got dtype {ids.dtype}")
        positions = np.full(ids.shape, -1, np.int64)
        positions[ids != -1] = self._located(ids[ids != -1])
        return positions

    def _located(self, ids: Array) -> Array:
        order = np.argsort(self._ids)
        at = np.minimum(np.searchsorted(self._ids, ids, sorter=order), len(order) - 1)
        missing = self._ids[order[at]] != ids
        if missing.any():
            raise KeyError(f"ids must be in the gallery, got {ids[missing].flat[0]}")
        positions: Array = order[at]
        return positions


def _vectors(name: str, value: Any) -> Any:
    value = _validate.gallery(name, value)
    if len(value.shape) != 2:
        raise ValueError(f"{name} must have shape (n, d), got {tuple(value.shape)}")
    return value


def _ids(ids: Any, count: int, taken: Array) -> Array:
    if ids is None:
        first = int(taken.max()) + 1 if len(taken) else 0
        return np.arange(first, first + count)
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids must be whole numbers, got dtype {ids.dtype}")
    if ids.shape != (count,):
        raise ValueError(f"ids must have shape {(count,)}, one a row, got {ids.shape}")
    new: Array = ids.astype(np.int64)
    everything, counts = np.unique(np.concatenate([taken, new]), return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"ids must be distinct, got {everything[counts > 1][0]} twice")
    if len(new) and new.min() < 0:
        raise ValueError(f"ids must be 0 or above (-1 says that a slot is empty), got {new.min()}")
    return new


def _plain(keywords: dict[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in keywords.items()}


def _array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, list) else value
