"""A gallery in a file of sections: rows in the order in which they were given, without those that were removed.

Sections: of every change that added rows, vectors.<number> (p, d), and ids.<number> (p,) int64 where they do not count
on from a first one; of every change that removed some, gone.<number>: positions among all rows that were ever added;
keyword.<name>: arrays of `metric_kwargs`. `about` has the metric, whether rows are finite, and the first id, or null,
of each vectors.<number>.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _validate
from .files import FileError
from .files._append import Appending, changing
from .files._sections import Sections, create, picked

Array = NDArray[Any]
KIND = "Gallery"
KEYWORD = "keyword."  # before the names of metric_kwargs


class GalleryRows:
    """Vectors of an open file as a sliceable store (n, d): `topk` and the other searches read it in blocks.

    Blocks are checked against their checksums when they are first read. Rows are in the widest dtype of the parts.
    """

    def __init__(self, file: Sections, parts: list[Any], kept: Array | None) -> None:
        self.file, self._parts, self._kept = file, parts, kept
        self.ends = np.cumsum([len(part) for part in parts])
        rows = int(self.ends[-1]) if kept is None else len(kept)
        self.shape: tuple[int, int] = (rows, parts[0].shape[1])
        self.dtype: np.dtype[Any] = np.result_type(*(part.dtype for part in parts))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """In the file."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __getitem__(self, part: Any) -> Array:
        if isinstance(part, slice):
            start, stop, step = part.indices(len(self))
            if step == 1 and self._kept is None:
                return self._rows(start, max(start, stop))
            part = np.arange(start, stop, step)
        at = np.asarray(part)
        return picked(self._rows, at if self._kept is None else self._kept[at], self.shape, self.dtype)

    def _rows(self, start: int, stop: int) -> Array:
        """Of all rows that were ever added."""
        starts = self.ends - [len(part) for part in self._parts]
        first, last = np.searchsorted(self.ends, start, "right"), np.searchsorted(starts, stop, "left")
        inside: list[Array] = [
            self._parts[number].rows(max(0, start - begin), min(stop - begin, len(self._parts[number])))
            for number, begin in zip(range(first, last), starts[first:last].tolist(), strict=True)
        ]
        if len(inside) == 1 and inside[0].dtype == self.dtype:
            return inside[0]
        return np.concatenate([np.empty((0, self.shape[1]), self.dtype), *inside]).astype(self.dtype, copy=False)


class GalleryFile:
    """What a file says: rows, ids (n,), metric, metric_kwargs, finite."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.file = Sections(path, KIND)
        about = self.file.about
        try:
            self.metric, self.finite, firsts = str(about["metric"]), bool(about["finite"]), list(about["firsts"])
            parts = [self.file.array(f"vectors.{number}") for number in range(len(firsts))]
            ids = [self._ids(*one) for one in zip(count(), firsts, parts)]
            gone = [self.file.array(name).whole() for name in self._names("gone.")]
            everything = np.concatenate(ids)
            kept = np.ones(len(everything), bool)
            kept[np.concatenate([np.zeros(0, np.int64), *gone])] = False
            live = None if kept.all() else np.flatnonzero(kept)
            self.rows = GalleryRows(self.file, parts, live)
            self.ids = everything if live is None else everything[live]
            self.positions = np.arange(len(everything)) if live is None else live
            keywords = {name: self.file.array(name).whole() for name in self._names(KEYWORD)}
            given = {
                name.removeprefix(KEYWORD): array if array.ndim else array.item() for name, array in keywords.items()
            }
            self.metric_kwargs = _validate.metric_keywords(
                _validate.metric_name(self.metric), given, self.rows.shape[1]
            )
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            if isinstance(error, FileError):
                raise
            raise self.file.foreign(f"without {error}" if isinstance(error, KeyError) else error) from error

    def _names(self, start: str) -> list[str]:
        return [name for name in self.file.entries if name.startswith(start)]

    def _ids(self, number: int, first: int | None, vectors: Any) -> Array:
        ids: Array = self.file.array(f"ids.{number}")[:] if first is None else first + np.arange(len(vectors))
        if len(vectors.shape) != 2 or ids.shape != vectors.shape[:1] or vectors.shape[1] != self._width():
            raise self.file.foreign(f"vectors of shape {vectors.shape} and ids of shape {ids.shape}")
        return ids

    def _width(self) -> int:
        return int(self.file.entries["vectors.0"].shape[1])


def write(
    path: str | os.PathLike[str], rows: Any, ids: Array, metric: str, metric_kwargs: Mapping[str, Any], finite: bool
) -> None:
    """A new file, whole or not at all; `rows` may be a store, which is read in parts."""
    about = {"metric": metric, "finite": finite, "firsts": [_first(ids)]}
    keywords = {f"{KEYWORD}{name}": np.asarray(value) for name, value in metric_kwargs.items()}
    create(path, about, {"vectors.0": rows, **_listed(0, ids), **keywords})


def append(known: GalleryFile, rows: Any, ids: Array) -> None:
    """Rows behind those of the file, which must be in the state that is known; they count when all are on the disk."""
    with _changing(known) as (before, change):
        number = len(before.about["firsts"])
        for name, array in {f"vectors.{number}": rows, **_listed(number, ids)}.items():
            change.add(name, array)
        change.commit(before.about | {"firsts": [*before.about["firsts"], _first(ids)]})


def remove(known: GalleryFile, gone: Array) -> None:
    """The rows where `gone` (n,) is True no longer count; their bytes stay."""
    with _changing(known) as (before, change):
        change.add(f"gone.{len(before.entries)}", known.positions[gone])
        change.commit(before.about)


@contextmanager
def _changing(known: GalleryFile) -> Iterator[tuple[Sections, Appending]]:
    with changing(known.file.path, KIND) as (before, change):
        if before.slot != known.file.slot:
            raise FileError(f"'{before.path}' must be as it was when it was loaded, got a later state: load it again")
        yield before, change


def _first(ids: Array) -> int | None:
    """The id that the others count on from."""
    return int(ids[0]) if len(ids) and (ids - ids[0] == np.arange(len(ids))).all() else None


def _listed(number: int, ids: Array) -> dict[str, Array]:
    return {} if _first(ids) is not None else {f"ids.{number}": ids}
