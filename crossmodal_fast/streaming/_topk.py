"""`topk` over rows that memory does not hold."""

import os
from pathlib import Path
from typing import Any, NamedTuple, Unpack, overload

import numpy as np

from .. import _validate
from .._config import CHECKS, resolve
from .._search import Search, TopK
from ._destinations import WRITERS, check_destination, written_to
from ._journal import Journal, Memory
from ._run import Run
from ._sources import Source


class Streamed(NamedTuple):
    """Results that were written: where, their shape (m, k), and how many of the m an earlier run had done."""

    output: Path
    shape: tuple[int, int]
    resumed: int


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
    given: dict[str, Any] = dict(search)
    for name in given:
        if name not in Search.__annotations__:
            raise TypeError(f"search arguments must be among {sorted(Search.__annotations__)}, got {name!r}")
    control: Any = {name: given.pop(name) for name in CHECKS if name in given}
    settled = resolve(control)
    target = None if output is None else check_destination(output)
    if _validate.flag("resume", resume) and target is None:
        raise ValueError("output must be given with resume=True, got None")
    x, y = Source("queries", queries), Source("gallery", gallery)
    if resume and (x.once or y.once):
        raise ValueError("resume must be False for an iterator, which cannot be read again, got True")
    for side in (x, y):
        if target is not None and side.path is not None and os.path.realpath(side.path) in written_to(target):
            raise ValueError(f"output must be another file than {side.name}, got '{side.path}' for both")
    run = Run(x, y, k, metric, settled, **given)
    if target is None:
        memory = Memory()
        found = [run.empty(), *(run.written(number, memory) for number, _ in run.blocks(memory))]
        return TopK(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    journal = Journal(target, {} if x.once or y.once else run.settings(), resume)
    with journal:
        done = list(run.blocks(journal))
        shape = sum(rows for _, rows in done), run.k
        WRITERS[target.suffix.lower()](target, run.results(journal, len(done)), shape, run.dtype)
    journal.remove()
    return Streamed(target, shape, run.resumed)
