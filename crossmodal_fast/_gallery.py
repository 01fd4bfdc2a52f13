"""The prepared side of a search: vectors encoded once, searched many times, grown and shrunk by id."""

import json
import os
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self, Unpack, overload

import numpy as np
import numpy.typing as npt

from . import _gallery_file, _validate
from ._arrays import given_back
from ._config import Control, resolve
from ._gallery_file import GalleryFile
from ._saved import read_saved
from ._search import Pairs, SearchStats, TopK, Within, search_ranks, search_within, select
from .files import FileError
from .files._sections import Sections, begun_by_us
from .kernels.tiles.prepared import Prepared
from .kernels.tiles.rows import Rows

Array = npt.NDArray[Any]
FORMAT = 1  # of the .npz that galleries were saved in before `_gallery_file`
LARGEST_ID = np.iinfo(np.int64).max


class Gallery:
    """Vectors to search in again and again.

    Parameters
    ----------
    vectors : (n, d) numbers
    metric, metric_kwargs : as in `topk`; V and VI default to values over the vectors and each call's queries
    ids : (n,) distinct int64, returned in place of positions; default 0..n-1
    copy : False keeps a reference to the caller's array, which must then stay as it is
    check_finite : refuse NaN and infinity

    Ties go by position, the order in which rows were given. Each backend encodes the vectors at its first search, in
    one to six passes over them. Memory: `nbytes` = the vectors (unless copy=False), ids, and the codes made so far: a
    row takes 4 (d + 5) + 40 bytes on NumPy, d (int6, int7, int8) or 2 d (int16) + 64 on Numba.

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
        self._metric = _validate.metric_name(metric)
        self._metric_kwargs = _validate.metric_keywords(metric, metric_kwargs, vectors.shape[1])
        self._writable = False  # a file; what is in memory always is
        self._check_finite, copy = _validate.flag("check_finite", check_finite), _validate.flag("copy", copy)
        held = np.array(vectors[:]) if copy else vectors
        rows = Rows("vectors", held, self._check_finite)
        rows.refuse_unfinite()
        self._held = _Held(held, _ids(ids, vectors.shape[0], np.zeros(0, np.int64)), Prepared(rows), copy)

    def __repr__(self) -> str:
        return f"Gallery of {len(self)} rows, {self.shape[1]} features, metric={self.metric!r}"

    def __len__(self) -> int:
        return len(self._held.ids)

    @property
    def metric(self) -> str:
        return self._metric

    @property
    def metric_kwargs(self) -> dict[str, Any]:
        return deepcopy(self._metric_kwargs)

    @property
    def ids(self) -> Array:
        """(n,) int64, in order of position; a copy."""
        return self._held.ids.copy()

    @property
    def vectors(self) -> Array:
        """(n, d), in order of position; read-only."""
        view: Array = np.asarray(self._held.vectors[:])
        view.flags.writeable = False
        return view

    @property
    def shape(self) -> tuple[int, int]:
        return (len(self), int(self._held.vectors.shape[1]))

    @property
    def nbytes(self) -> int:
        """Bytes held: vectors if copied, ids and codes. `max_bytes` of a search comes on top.

        A search on CUDA keeps up to 68 MiB of the device beside, for the next one like it, and room for its queries and
        answers in page-locked memory.
        """
        held = self._held
        codes = held.prepared.nbytes if held.prepared else 0
        return int(codes + held.ids.nbytes + (held.vectors.nbytes if held.copied else 0))

    @overload
    def topk(
        self, queries: Any, k: int, *, return_stats: Literal[False] = ..., exclude: Any = ..., mask: Any = ...,
        bias: tuple[Any, Any] | None = ..., dtype: Any = ..., **control: Unpack[Control],
    ) -> TopK: ...  # fmt: skip
    @overload
    def topk(
        self, queries: Any, k: int, *, return_stats: Literal[True], exclude: Any = ..., mask: Any = ...,
        bias: tuple[Any, Any] | None = ..., dtype: Any = ..., **control: Unpack[Control],
    ) -> tuple[Any, Any, SearchStats]: ...  # fmt: skip
    def topk(
        self,
        queries: Any,
        k: int,
        *,
        exclude: Any = None,
        mask: Any = None,
        bias: tuple[Any, Any] | None = None,
        dtype: Any = None,
        return_stats: bool = False,
        **control: Unpack[Control],
    ) -> TopK | tuple[Any, Any, SearchStats]:
        """`crossmodal_fast.topk` in this gallery, to the bit, with ids for indices.

        exclude : (..., m) ids that each query may not match, -1 for none; mask (n,) or (m, n) and bias go by position.
        """
        like, queries, held = queries, _validate.matrix("queries", queries), self._held
        ((distances, positions),), stats = select(
            ("queries", queries), ("gallery", held.vectors),
            (_validate.neighbours("k", k, len(held.ids), "gallery"), 0),
            self._metric, self._metric_kwargs, Pairs(False, held.positions("exclude", exclude), mask, bias), dtype,
            resolve(control), held.prepared,
        )  # fmt: skip
        ids = held.named(positions)
        return given_back(like, (distances, ids, stats) if return_stats else TopK(distances, ids))

    def within(
        self,
        queries: Any,
        radius: Any,
        *,
        exclude: Any = None,
        mask: Any = None,
        bias: tuple[Any, Any] | None = None,
        dtype: Any = None,
        **control: Unpack[Control],
    ) -> Within:
        """`crossmodal_fast.within` in this gallery, with ids for indices; exclude holds ids."""
        held = self._held
        found = search_within(
            ("queries", _validate.flat("queries", queries)), ("gallery", held.vectors), radius, self._metric,
            self._metric_kwargs, Pairs(False, held.positions("exclude", exclude), mask, bias), dtype, resolve(control),
            held.prepared,
        )  # fmt: skip
        return given_back(queries, found._replace(indices=held.named(found.indices)))

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
    ) -> Any:
        """`crossmodal_fast.ranks` in this gallery; positives and exclude hold ids."""
        held = self._held
        csr = _validate.csr_of(positives)
        positives = held.positions("positives", csr[1] if csr else positives)
        positives = (csr[0], positives) if csr else positives
        found = search_ranks(
            ("queries", _validate.flat("queries", queries)), ("gallery", held.vectors), positives, self._metric, ties,
            self._metric_kwargs, Pairs(False, held.positions("exclude", exclude), mask, bias), resolve(control),
            held.prepared,
        )  # fmt: skip
        return given_back(queries, found)

    def __getstate__(self) -> Any:
        if self._held.file is not None:
            raise TypeError(
                "a gallery on disk must be loaded where it is used, got a copy or a pickle of it: send its path"
            )
        return super().__getstate__()

    def add(self, vectors: Any, ids: Any = None) -> None:
        """Append rows (p, d). ids default to the numbers after the largest; a refused call changes nothing."""
        vectors, held = _vectors("vectors", vectors), self._held
        _validate.same_features("vectors", vectors, "gallery", held.vectors)
        _validate.joined("vectors", vectors.dtype, held.vectors.dtype)
        new = _ids(ids, vectors.shape[0], held.ids)
        if held.file is not None:
            Rows("vectors", vectors, self._check_finite).refuse_unfinite()
            self._changed(_gallery_file.append, vectors, new)
            return
        together = np.concatenate([held.vectors[:], vectors[:]])  # promotes: float64 rows make the gallery float64
        Rows("vectors", together[len(held.ids) :], self._check_finite).refuse_unfinite()
        with np.errstate(all="ignore"):
            prepared = held.prepared.extended(Rows("vectors", together, False), len(held.ids))
        self._held = _Held(together, np.concatenate([held.ids, new]), prepared, True)

    def remove(self, ids: Any) -> None:
        """Drop the rows with these ids. An unknown id raises KeyError and nothing changes."""
        held = self._held
        kept = np.ones(len(held.ids), bool)
        kept[held.located(np.atleast_1d(_validate.ids("ids", ids)))] = False
        if not kept.any():
            raise ValueError(f"ids must leave at least one row, got all {len(kept)}")
        if held.file is not None:
            self._changed(_gallery_file.remove, ~kept)
            return
        left = held.vectors[:][kept]
        prepared = held.prepared.kept(Rows("vectors", left, False), kept)
        self._held = _Held(left, held.ids[kept], prepared, True)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write vectors, ids and metric to a file, whole or not at all; codes are made again by `load`.

        The file has a checksum for every 64 KiB. docs/gallery-files.md has its layout.
        """
        held = self._held
        _gallery_file.write(path, held.vectors, held.ids, self.metric, self._metric_kwargs, self._check_finite)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, on_disk: bool = False, writable: bool = False) -> Self:
        """A gallery that `save` wrote. Anything else is refused with FileError.

        Parameters
        ----------
        path : path
        on_disk : leave the vectors in the file: searches read them in blocks within `max_bytes` and keep no codes. Any
            number of processes may do so. A block that is not as it was written raises FileError when it is read
        writable : `add` and `remove` change the file, with on_disk=True: at any moment it holds the old or the new
            state whole, whatever becomes of the process. One process at a time. What was removed takes its room until
            the gallery is saved anew

        >>> Gallery([[0.0, 0.0], [0.0, 1.0]]).save("two.gallery")  # doctest: +SKIP
        >>> Gallery.load("two.gallery", on_disk=True, writable=True).add([[1.0, 1.0]])  # doctest: +SKIP
        """
        if _validate.flag("writable", writable) and not _validate.flag("on_disk", on_disk):
            raise ValueError("on_disk must be True with writable=True, got False; save writes what is in memory")
        if not begun_by_us(path):
            found = read_saved(path, "Gallery", cls._made)
            if on_disk:
                raise FileError(f"'{path}' must be saved anew to be read on disk, got an older .npz: load and save it")
            return found
        file = GalleryFile(path)
        gallery = cls.__new__(cls)
        gallery._metric, gallery._check_finite, gallery._writable = file.metric, file.finite, writable
        gallery._metric_kwargs = file.metric_kwargs
        if on_disk:
            gallery._held = _Held(file.rows, file.ids, None, False, file)
        else:
            vectors = file.rows[:]
            gallery._held = _Held(vectors, file.ids, Prepared(Rows("vectors", vectors, file.finite)), False)
        return gallery

    @staticmethod
    def verify(path: str | os.PathLike[str]) -> None:
        """Read the whole of a file that `save` wrote and compare its checksums; FileError says what is damaged."""
        Sections(path, "Gallery").verify()
        GalleryFile(path)

    def _changed(self, change: Any, *arguments: Any) -> None:
        """Change the file, and be what it is then."""
        if not self._writable:
            raise ValueError("writable must be True in load for a gallery on disk to be changed, got False")
        change(self._held.file, *arguments)
        file = GalleryFile(self._held.file.file.path)
        self._held = _Held(file.rows, file.ids, None, False, file)

    @classmethod
    def _made(cls, arrays: dict[str, Array]) -> Self:
        about, vectors = json.loads(str(arrays["about"])), arrays["vectors"]
        if about["format"] != FORMAT:
            raise ValueError(f"of format {about['format']}, not {FORMAT}")
        if about["dtype"] == "bfloat16":
            import ml_dtypes

            vectors = vectors.view(ml_dtypes.bfloat16)
        begin = _gallery_file.KEYWORD
        keywords = {name.removeprefix(begin): value for name, value in arrays.items() if name.startswith(begin)}
        given = {name: value if value.ndim else value.item() for name, value in keywords.items()}
        return cls(
            vectors, about["metric"], arrays["ids"], copy=False, metric_kwargs=given, check_finite=about["finite"]
        )


@dataclass(frozen=True)
class _Held:
    """What a gallery holds, replaced as one: a search that runs meanwhile keeps to the one that it began with."""

    vectors: Any
    ids: Array
    prepared: Any  # None where the vectors stay in a file
    copied: bool
    file: Any = None

    @cached_property
    def numbered(self) -> bool:
        """Whether the ids are the positions: a million answers then need no look-up, which takes 10 ms."""
        return bool((self.ids == np.arange(len(self.ids))).all())

    def named(self, positions: Array) -> Array:
        """Ids of positions, -1 where a slot is empty."""
        return positions if self.numbered else np.where(positions < 0, -1, self.ids[positions])

    def positions(self, name: str, ids: Any) -> Array | None:
        """Positions of ids, -1 where the id is -1."""
        if ids is None:
            return None
        ids = _validate.ids(name, ids)
        positions = np.full(ids.shape, -1, np.int64)
        positions[ids != -1] = self.located(ids[ids != -1])
        return positions

    def located(self, ids: Array) -> Array:
        order = np.argsort(self.ids)
        at = np.minimum(np.searchsorted(self.ids, ids, sorter=order), len(order) - 1)
        missing = self.ids[order[at]] != ids
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
        if first + count > LARGEST_ID:
            raise ValueError(f"ids must be given behind an id as large as {first - 1}, got none for {count} rows")
        return np.arange(first, first + count)
    new = _validate.ids("ids", ids)
    if new.shape != (count,):
        raise ValueError(f"ids must have shape {(count,)}, one a row, got {new.shape}")
    everything, counts = np.unique(np.concatenate([taken, new]), return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"ids must be distinct, got {everything[counts > 1][0]} twice")
    if len(new) and new.min() < 0:
        raise ValueError(f"ids must be 0 or above (-1 says that a slot is empty), got {new.min()}")
    return new
