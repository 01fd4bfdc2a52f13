"""Whole matrices and mapped rows of dask arrays, chunk by chunk."""

from typing import Any, Unpack, cast

import numpy as np

from .. import _operations, _validate
from .._config import Control, resolve
from ._blocks import beside, blocks, in_memory, rows_of, whole
from ._needed import needed
from ._search import given_to
from ._worker import asked, travelling


def pairwise_distances(
    X: Any,
    Y: Any = None,
    metric: str = "euclidean",
    *,
    metric_kwargs: dict[str, Any] | None = None,
    dtype: Any = None,
    **control: Unpack[Control],
) -> Any:
    """`crossmodal_fast.pairwise_distances` of all pairs of chunks.

    Parameters
    ----------
    X : dask array (m, d) of numbers
    Y : dask array (n, d) of numbers. None: X itself, for half the work; the result is then symmetric to the bit.
    metric, metric_kwargs, dtype, **control : as in `crossmodal_fast.pairwise_distances`; V and VI have to be given

    Returns
    -------
    dask array (m, n), chunked as X and Y, within the accuracy stated there. Cost: a task for each pair of chunks.

    Examples
    --------
    >>> import dask.array as da
    >>> pairwise_distances(da.from_array([[0.0, 0.0], [3.0, 4.0]], chunks=(1, 2))).compute()
    array([[0., 5.],
           [5., 0.]])
    """
    alone, X = Y is None, rows_of("X", X)
    Y = X if alone else rows_of("Y", Y, filled=True)
    _validate.same_features("X", X, "Y", Y)
    given, found = given_to(metric, metric_kwargs, X.shape[1]), _validate.output_dtype(dtype, X, Y)
    check, sent = resolve(control).check_finite, travelling(control)
    delayed = needed("dask").delayed
    distances, turned = delayed(_distances, pure=True), delayed(np.transpose, pure=True)
    rows = blocks("X", X, check)
    columns = rows if alone else blocks("Y", Y, check)
    made: list[list[Any]] = []
    for i, x in enumerate(rows):
        made.append([])
        for j, y in enumerate(columns):
            mirrored = alone and j < i
            other = None if alone and i == j else y.rows
            made[i].append(turned(made[j][i]) if mirrored else distances(x.rows, other, metric, given, found, sent))
    array = needed("dask.array")
    return array.concatenate([
        array.concatenate([array.from_delayed(part, (x.size, y.size), found)
                           for part, y in zip(line, columns, strict=True)], axis=1)
        for line, x in zip(made, rows, strict=True)
    ])  # fmt: skip


def transfer(
    E: Any, M: Any, bias: Any = None, *, which: Any = None, normalize: bool = False, **control: Unpack[Control]
) -> Any:
    """`crossmodal_fast.transfer` of every chunk of rows: e_j = M e_i (+ bias).

    Parameters
    ----------
    E : dask array (n, d_in) of numbers
    M : (d_out, d_in) numbers, or (g, d_out, d_in) with which; in memory, or a dask array that a worker can hold
    bias : as in `crossmodal_fast.transfer`
    which : (n,) whole numbers, may be a dask array
    normalize, **control : as there

    Returns
    -------
    dask array (n, d_out), chunked as E, within the accuracy that is stated there. Cost: M is sent to each worker once.

    Examples
    --------
    >>> import dask.array as da
    >>> transfer(da.from_array([[1.0, 2.0]]), [[0.0, 1.0], [1.0, 0.0]]).compute()
    array([[2., 1.]])
    """
    E, M, bias, normalize = rows_of("E", E), in_memory(M), in_memory(bias), _validate.flag("normalize", normalize)
    check, sent = resolve(control).check_finite, travelling(control)
    some = np.broadcast_to(np.zeros((), E.dtype), E.shape)
    numbers = None if which is None else np.zeros(E.shape[0], np.int8)
    _, M, _, _ = _validate.maps(some, M, bias, numbers if _lazy(which) else which, check)
    if M.ndim != 2 + (which is not None):
        raise ValueError(
            f"M must have shape (d_out, d_in), got {M.shape}; dask arrays are no batches, which= maps by row"
        )
    found, delayed = _validate.output_dtype(None, E, M), needed("dask").delayed
    maps, mapped = delayed((M, bias), pure=True, traverse=False), delayed(_mapped, pure=True)
    numbers = beside("which", which, (E.chunks[0],), np.asarray)
    own = [None] * len(E.chunks[0]) if numbers is None else numbers.to_delayed()
    rows = blocks("E", E, check)
    made = [mapped(part.rows, maps, at, normalize, check, sent) for part, at in zip(rows, own, strict=True)]
    return whole(made, [(part.size, M.shape[-2]) for part in rows], found)


def _lazy(value: Any) -> bool:
    return isinstance(value, needed("dask.array").Array)


def _distances(x: Any, y: Any, metric: str, given: dict[str, Any], dtype: Any, sent: dict[str, Any]) -> Any:
    return _operations.pairwise_distances(x, y, metric, metric_kwargs=given, dtype=dtype, **cast(Control, asked(sent)))


def _mapped(rows: Any, maps: Any, which: Any, normalize: bool, check: bool, sent: dict[str, Any]) -> Any:
    control = cast(Control, asked(sent) | {"check_finite": check})
    return _operations.transfer(rows, *maps, which=which, normalize=normalize, **control)
