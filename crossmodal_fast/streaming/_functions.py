"""`topk`, `within` and `ranks` over rows that memory does not hold."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Unpack, overload

import numpy as np

from .. import _validate
from .._config import CHECKS, Control, resolve
from .._search import Search, TopK, Within
from ._destinations import WRITERS, check_destination, written_to
from ._inside import Inside
from ._journal import Journal, Memory
from ._nearest import Nearest
from ._ranked import Ranked
from ._run import Run
from ._search import Epilogue
from ._sources import Source

LARGEST = int(np.iinfo(np.int64).max)


class Streamed(NamedTuple):
    """Results that were written: where, their shape, and how many of the queries an earlier run had done.

    shape : (m, k) of `topk`, (r,) of the pairs of `within`, (e,) of `ranks`
    """

    output: Path
    shape: tuple[int, ...]
    resumed: int


class Counting(Control, total=False):
    """Keyword arguments of `ranks` beside metric and ties: those of `topk` but for dtype."""

    metric_kwargs: dict[str, Any] | None
    exclude_self: bool
    exclude: Any
    mask: Any
    bias: tuple[Any, Any] | None


@overload
def topk(
    queries: Any, gallery: Any, k: int, metric: str = ..., *, output: None = ..., resume: bool = ...,
    **search: Unpack[Search],
) -> TopK: ...  # fmt: skip
@overload
def topk(
    queries: Any, gallery: Any, k: int, metric: str = ..., *, output: str | os.PathLike[str], resume: bool = ...,
    **search: Unpack[Search],
) -> Streamed: ...  # fmt: skip
def topk(
    queries: Any,
    gallery: Any,
    k: int,
    metric: str = "euclidean",
    *,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    **search: Unpack[Search],
) -> TopK | Streamed:
    """`crossmodal_fast.topk`, to the bit, over files, stores and iterators, in parts that are read ahead.

    Parameters
    ----------
    queries, gallery : rows (m, d) and (n, d): a path (.npy, .safetensors, .parquet, .h5, .zarr, what `Gallery.save`
        wrote, ...), (path, name) where a file holds several arrays, a store with shape, dtype and slices, or an
        iterator of blocks of rows, at most one of them. Of a saved gallery the vectors and ids are taken
    output : a file to write to instead of returning the results. .parquet, .csv and .npz: columns query, gallery, rank
        and distance. .h5 and .zarr: distances and indices (m, k). .npy: two files, <name>.distances.npy and
        <name>.indices.npy. It appears whole or not at all
    resume : keep what an earlier call with the same arguments had done when it was stopped or killed. It lies in
        <output>.partial; of what is there only what has the right checksums counts. Other arguments and changed inputs
        are refused: files of another size or time, arrays of other bits, of large arrays and stores in 256 rows
    **search : as for `crossmodal_fast.topk`; `max_bytes` covers parts, blocks and workspace

    Returns
    -------
    TopK (m, k) of NumPy arrays, or Streamed where there is an output

    Raises
    ------
    ValueError, TypeError, FileError : one sentence

    Notes
    -----
    The gallery is read once for every block of queries: at most max_bytes / 16 of rows and max_bytes / 8 of results.
    What can be read at random (.npy, .safetensors, saved galleries) is searched in stretches of 2 GiB, whose chunks a
    thread reads ahead; other files, stores and iterators in parts of max_bytes / 8. A kill costs at most the stretch or
    part that it falls into and 20 s of work; an array in memory is one stretch. Files are read, or their
    mappings given back: they do not count as memory.

    Examples
    --------
    >>> topk(iter([[[0.0, 0.9]], [[2.0, 0.0]]]), [[0.0, 0.0], [0.0, 1.0]], k=1).indices
    array([[1],
           [0]])
    """

    def epilogue(x: Source, y: Source, dtype: Any, room: int) -> Epilogue:
        return Nearest(_validate.neighbours("k", k, LARGEST if y.once else y.shape[0], "gallery"), dtype)

    found: TopK | Streamed = _answer(queries, gallery, metric, epilogue, output, resume, dict(search), Search)
    return found


@overload
def within(
    queries: Any, gallery: Any, radius: Any, metric: str = ..., *, output: None = ..., resume: bool = ...,
    **search: Unpack[Search],
) -> Within: ...  # fmt: skip
@overload
def within(
    queries: Any, gallery: Any, radius: Any, metric: str = ..., *, output: str | os.PathLike[str], resume: bool = ...,
    **search: Unpack[Search],
) -> Streamed: ...  # fmt: skip
def within(
    queries: Any,
    gallery: Any,
    radius: Any,
    metric: str = "euclidean",
    *,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    **search: Unpack[Search],
) -> Within | Streamed:
    """`crossmodal_fast.within`, to the bit, over files, stores and iterators, in parts that are read ahead.

    Parameters
    ----------
    queries, gallery, resume, **search : as in `topk`
    radius : number or (m,), as in `crossmodal_fast.within`; a number where queries are an iterator
    output : as in `topk`. .parquet, .csv and .npz: a line for each pair, of the same columns. .h5 and .zarr: indptr
        (m + 1,), indices and distances (r,). .npy: three files, <name>.indptr.npy and so on

    Returns
    -------
    Within(indptr, indices, distances) of NumPy arrays, or Streamed where there is an output

    Raises
    ------
    ValueError, TypeError, FileError : one sentence

    Notes
    -----
    Cost: as `topk`. What a block of queries has found is in memory until all of the gallery has been read. Where that
    outgrows max_bytes / 8 (64 bytes a pair), its last queries are left to the next block, which reads the gallery
    again; parts begin short and grow as far as what they hold allows. The pairs of a single query always stay, and all
    of them where the gallery is an iterator.

    Examples
    --------
    >>> within([[0.0]], iter([[[2.0], [1.0]], [[5.0]]]), radius=2.0)
    Within(indptr=array([0, 2]), indices=array([1, 0]), distances=array([1., 2.]))
    """

    def epilogue(x: Source, y: Source, dtype: Any, room: int) -> Epilogue:
        if x.once and np.ndim(radius):
            raise ValueError(f"radius must be a number where queries are an iterator, got shape {np.shape(radius)}")
        checked = _validate.radius(radius, 1 if x.once else x.shape[0])
        return Inside(checked[0] if x.once else checked, dtype, room, y.once)

    found: Within | Streamed = _answer(queries, gallery, metric, epilogue, output, resume, dict(search), Search)
    return found


@overload
def ranks(
    queries: Any, gallery: Any, positives: Any, metric: str = ..., *, ties: str = ..., output: None = ...,
    resume: bool = ..., **search: Unpack[Counting],
) -> Any: ...  # fmt: skip
@overload
def ranks(
    queries: Any, gallery: Any, positives: Any, metric: str = ..., *, ties: str = ..., output: str | os.PathLike[str],
    resume: bool = ..., **search: Unpack[Counting],
) -> Streamed: ...  # fmt: skip
def ranks(
    queries: Any,
    gallery: Any,
    positives: Any,
    metric: str = "euclidean",
    *,
    ties: str = "index",
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    **search: Unpack[Counting],
) -> Any:
    """`crossmodal_fast.ranks`, to the bit, over files and stores, in parts that are read ahead.

    Parameters
    ----------
    queries, gallery, resume, **search : as in `topk`, without iterators and dtype
    positives, ties : as in `crossmodal_fast.ranks`; ids where the gallery is a saved one that has them
    output : as in `topk`. .parquet, .csv and .npz: columns query, gallery and rank, a line for each positive. .h5 and
        .zarr: ranks, (m,) or (p,). .npy: <name>.ranks.npy

    Returns
    -------
    (m,), or (p,) for CSR, int64; float64 with ties="mean"; or Streamed where there is an output

    Raises
    ------
    ValueError, TypeError, FileError : one sentence

    Notes
    -----
    Rows are counted that are better than a value, which has to be known: the gallery is read twice for each block of
    queries. First its positives, by their numbers, of HDF5, zarr, Parquet and stores in slices of at most 8 MiB; then
    all of it, as in `topk`. An iterator can be read once only, and is refused.

    Examples
    --------
    >>> ranks([[0.0], [9.0]], [[2.0], [1.0], [5.0]], positives=[0, 0])
    array([2, 2])
    """

    def epilogue(x: Source, y: Source, dtype: Any, room: int) -> Epilogue:
        for side in (x, y):
            if side.once:
                raise ValueError(f"{side.name} must be a file, a store or an array in ranks, got an iterator")
        _validate.tie_policy(ties)
        csr = _validate.csr_of(positives)
        found = y.positions("positives", csr[1] if csr else positives)
        return Ranked(*_validate.positives((csr[0], found) if csr else found, x.shape[0], y.shape[0]), ties, y)

    return _answer(queries, gallery, metric, epilogue, output, resume, dict(search), Counting)


def _answer(
    queries: Any,
    gallery: Any,
    metric: str,
    epilogue: Callable[[Source, Source, Any, int], Epilogue],
    output: str | os.PathLike[str] | None,
    resume: bool,
    given: dict[str, Any],
    allowed: Any,
) -> Any:
    """The result of a search, or where it was written."""
    for name in given:
        if name not in allowed.__annotations__:
            raise TypeError(f"search arguments must be among {sorted(allowed.__annotations__)}, got {name!r}")
    control: Any = {name: given.pop(name) for name in CHECKS if name in given}
    settled = resolve(control)
    target = None if output is None else check_destination(output)
    if _validate.flag("resume", resume) and target is None:
        raise ValueError("output must be given with resume=True, got None")
    x, y = Source("queries", queries), Source("gallery", gallery)
    if resume and (x.once or y.once):
        raise ValueError("resume must be False for an iterator, which cannot be read again, got True")
    run = Run(x, y, metric, settled, epilogue, **given)
    if target is None:
        memory = Memory()
        return run.returned(memory, list(run.blocks(memory)))
    for side in (x, y):
        if side.path is not None and os.path.realpath(side.path) in written_to(target, run.epilogue.arrays):
            raise ValueError(f"output must be another file than {side.name}, got '{side.path}' for both")
    journal = Journal(target, {} if x.once or y.once else run.settings(), resume)
    with journal:
        done = list(run.blocks(journal))
        layouts = run.layouts(done)
        WRITERS[target.suffix.lower()](target, run.results(journal, done), layouts)
    journal.remove()
    return Streamed(target, layouts[list(layouts)[-1]].shape, run.resumed)
