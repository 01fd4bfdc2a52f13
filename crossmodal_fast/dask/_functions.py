"""The searches on dask arrays."""

from typing import Any, Unpack

from .. import _validate
from .._config import Control, resolve
from .._search import TopK, Within
from ._blocks import rows_of
from ._gallery import ShardedGallery
from ._search import Search


class Filtered(Control, total=False):
    """Keyword arguments of every search: see `topk`."""

    exclude_self: bool
    exclude: Any
    mask: Any
    bias: tuple[Any, Any] | None


class Keywords(Filtered, total=False):
    """The same, and the dtype of the distances."""

    dtype: Any


def topk(
    queries: Any,
    gallery: Any,
    k: int,
    metric: str = "euclidean",
    *,
    metric_kwargs: dict[str, Any] | None = None,
    **search: Unpack[Keywords],
) -> TopK:
    """`crossmodal_fast.topk` over shards: the same bits as on one machine, whatever the chunks and the workers.

    Parameters
    ----------
    queries : dask array (m, d) of numbers; a task for each chunk of rows and each shard
    gallery : dask array (n, d) of numbers; a shard for each chunk of rows
    k : 1 <= k <= n
    metric, metric_kwargs, **search : as in `crossmodal_fast.topk`. exclude, mask and bias may be dask arrays; V and VI
        have to be given; there are no leading axes and no stats. `max_bytes` and `n_threads` are for each task: by
        default an eighth of its share of the worker's memory, and its share of the worker's threads.

    Returns
    -------
    TopK(distances, indices) : dask arrays (m, k), chunked as the queries

    Raises
    ------
    ValueError, TypeError, ModuleNotFoundError : one sentence, at once where shapes and dtypes tell, else when computed

    Notes
    -----
    Cost: `crossmodal_fast.topk` for each pair of chunks. A task sends at most 16 k bytes a query. Where there are as
    many chunks of queries as shards, each begins at another shard, whose k-th best key lets the next seven skip and
    send less, and so on. Keys are merged eight shards at a time.

    Examples
    --------
    >>> import dask.array as da
    >>> rows = da.from_array([[0.0, 0.0], [0.0, 1.0], [0.0, 3.0]], chunks=(2, 2))
    >>> topk(rows, rows, k=1, exclude_self=True).indices.compute().ravel()
    array([1, 0, 1])
    """
    check_finite = resolve({"check_finite": search.get("check_finite")}).check_finite
    return ShardedGallery(gallery, metric, metric_kwargs=metric_kwargs, check_finite=check_finite).topk(
        queries, k, **search
    )


def topk_both(
    X: Any,
    Y: Any,
    k: int | tuple[int, int],
    metric: str = "euclidean",
    *,
    metric_kwargs: dict[str, Any] | None = None,
    exclude_self: bool = False,
    exclude: Any = None,
    mask: Any = None,
    bias: tuple[Any, Any] | None = None,
    dtype: Any = None,
    **control: Unpack[Control],
) -> tuple[TopK, TopK]:
    """`crossmodal_fast.topk_both` over pairs of chunks.

    Parameters
    ----------
    X, Y : dask arrays (m, d) and (n, d) of numbers
    other parameters : as in `crossmodal_fast.topk_both` and `crossmodal_fast.dask.topk`

    Returns
    -------
    (TopK of the rows (m, k_rows), TopK of the columns (n, k_columns)) of dask arrays, chunked as X and as Y. Cost: each
    pair of chunks is scanned once, and encoded for it.

    Examples
    --------
    >>> import dask.array as da
    >>> rows, columns = topk_both(da.from_array([[0.0], [5.0]]), da.from_array([[1.0], [4.0], [6.0]]), k=1)
    >>> rows.indices.compute().ravel(), columns.indices.compute().ravel()
    (array([0, 1]), array([0, 1, 1]))
    """
    check_finite = resolve({"check_finite": control.get("check_finite")}).check_finite
    X = rows_of("X", X, filled=True)
    columns = _Columns(Y, metric, metric_kwargs=metric_kwargs, check_finite=check_finite)
    k = _validate.both_neighbours(k, len(columns), X.shape[0])
    return Search(columns, X, (exclude_self, exclude, mask, bias), control, "X").both(k, dtype)


def within(
    queries: Any,
    gallery: Any,
    radius: Any,
    metric: str = "euclidean",
    *,
    metric_kwargs: dict[str, Any] | None = None,
    **search: Unpack[Keywords],
) -> Within:
    """`crossmodal_fast.within` over shards: the same bits as on one machine.

    Parameters
    ----------
    queries, gallery : dask arrays (m, d) and (n, d) of numbers
    radius : number or (m,), as in `crossmodal_fast.within`; a dask array is computed at once
    metric, metric_kwargs, **search : as in `crossmodal_fast.dask.topk`

    Returns
    -------
    Within(indptr, indices, distances) : dask arrays (m + 1,), (r,), (r,); the sizes of the last two are unknown until
        they are computed

    Examples
    --------
    >>> import dask.array as da
    >>> found = within(da.from_array([[0.0]]), da.from_array([[2.0], [1.0], [5.0]], chunks=(2, 1)), radius=2.0)
    >>> found.indptr.compute(), found.indices.compute()
    (array([0, 2]), array([1, 0]))
    """
    check_finite = resolve({"check_finite": search.get("check_finite")}).check_finite
    return ShardedGallery(gallery, metric, metric_kwargs=metric_kwargs, check_finite=check_finite).within(
        queries, radius, **search
    )


def ranks(
    queries: Any,
    gallery: Any,
    positives: Any,
    metric: str = "euclidean",
    *,
    ties: str = "index",
    metric_kwargs: dict[str, Any] | None = None,
    **search: Unpack[Filtered],
) -> Any:
    """`crossmodal_fast.ranks` over shards: the same numbers as on one machine.

    Parameters
    ----------
    queries, gallery : dask arrays (m, d) and (n, d) of numbers
    positives, ties : as in `crossmodal_fast.ranks`; dask arrays of positives are computed at once
    metric, metric_kwargs, **search : as in `crossmodal_fast.dask.topk`; no dtype

    Returns
    -------
    dask array (m,), or (p,) for CSR, int64; float64 with ties="mean". Cost: besides the counts of each pair of chunks,
    a task for each chunk of queries and each shard that holds positives of it.

    Examples
    --------
    >>> import dask.array as da
    >>> gallery = da.from_array([[2.0], [1.0], [5.0]], chunks=(2, 1))
    >>> ranks(da.from_array([[0.0], [9.0]]), gallery, positives=[0, 0]).compute()
    array([2, 2])
    """
    check_finite = resolve({"check_finite": search.get("check_finite")}).check_finite
    return ShardedGallery(gallery, metric, metric_kwargs=metric_kwargs, check_finite=check_finite).ranks(
        queries, positives, ties=ties, **search
    )


class _Columns(ShardedGallery):
    """The second side of `topk_both`."""

    _name = "Y"
