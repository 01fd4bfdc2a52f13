"""A gallery in shards, one for each chunk of its rows, searched where they lie."""

import sys
from typing import Any, Self, Unpack

from .. import _validate
from .._config import Control
from .._search import TopK, Within
from . import _shard
from ._blocks import Block, blocks, in_memory, rows_of
from ._needed import needed
from ._search import Search, given_to


class ShardedGallery:
    """Rows of a dask array to search in again and again, prepared chunk by chunk where the chunks lie.

    Parameters
    ----------
    vectors : dask array (n, d) of numbers; chunks along d are joined, each chunk of rows becomes a shard
    metric, metric_kwargs : as in `crossmodal_fast.topk`; V and VI have to be given
    check_finite : refuse NaN and infinity

    Lazy like all of Dask; `persist` brings the shards into the memory of the workers and keeps them there between
    calls. A worker that is lost costs its shards alone: they are made again from their chunks, elsewhere. A shard holds
    its rows and the codes of `crossmodal_fast.Gallery`.

    >>> import dask.array as da
    >>> gallery = ShardedGallery(da.from_array(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), chunks=(2, 2)))
    >>> gallery.topk(da.from_array(np.array([[0.0, 2.5]])), k=2).indices.compute()
    array([[2, 1]])
    """

    _name = "gallery"  # in sentences

    def __init__(
        self,
        vectors: Any,
        metric: str = "euclidean",
        *,
        metric_kwargs: dict[str, Any] | None = None,
        check_finite: bool = True,
    ) -> None:
        vectors = rows_of(self._name, vectors, filled=True)
        self.shape, self.dtype, self.chunks = vectors.shape, vectors.dtype, vectors.chunks[0]
        self._metric = _validate.metric_name(metric)
        self._given = given_to(metric, metric_kwargs, self.shape[1])
        check_finite = _validate.flag("check_finite", check_finite)
        prepare = needed("dask").delayed(_shard.shard_of_rows, pure=True)
        self._shards = [
            Block(part.start, part.stop, prepare(self._name, part.rows, part.start, check_finite))
            for part in blocks(self._name, vectors)
        ]

    def __repr__(self) -> str:
        return (
            f"ShardedGallery of {len(self)} rows, {self.shape[1]} features, {len(self._shards)} shards, "
            f"metric={self._metric!r}"
        )

    def __len__(self) -> int:
        return int(self.shape[0])

    @property
    def metric(self) -> str:
        return self._metric

    def persist(self, **keywords: Any) -> Self:
        """The same gallery with its shards in the memory of the workers, from now on; keywords as `dask.persist`'s."""
        if "distributed" in sys.modules:
            from ._homes import keep

            keep()
        held = needed("dask").persist(*(shard.rows for shard in self._shards), **keywords)
        kept = type(self).__new__(type(self))
        kept.__dict__.update(self.__dict__)
        kept._shards = [shard._replace(rows=rows) for shard, rows in zip(self._shards, held, strict=True)]
        return kept

    def topk(
        self,
        queries: Any,
        k: int,
        *,
        exclude_self: bool = False,
        exclude: Any = None,
        mask: Any = None,
        bias: tuple[Any, Any] | None = None,
        dtype: Any = None,
        **control: Unpack[Control],
    ) -> TopK:
        """`crossmodal_fast.dask.topk` in this gallery: TopK of dask arrays (m, k)."""
        search = Search(self, queries, (exclude_self, exclude, mask, bias), control)
        return search.topk(_validate.neighbours("k", k, len(self), "gallery"), dtype)

    def within(
        self,
        queries: Any,
        radius: Any,
        *,
        exclude_self: bool = False,
        exclude: Any = None,
        mask: Any = None,
        bias: tuple[Any, Any] | None = None,
        dtype: Any = None,
        **control: Unpack[Control],
    ) -> Within:
        """`crossmodal_fast.dask.within` in this gallery: indptr (m + 1,), indices (r,), distances (r,)."""
        search = Search(self, queries, (exclude_self, exclude, mask, bias), control)
        return search.within(_validate.radius(in_memory(radius), search.m), dtype)

    def ranks(
        self,
        queries: Any,
        positives: Any,
        *,
        ties: str = "index",
        exclude_self: bool = False,
        exclude: Any = None,
        mask: Any = None,
        bias: tuple[Any, Any] | None = None,
        **control: Unpack[Control],
    ) -> Any:
        """`crossmodal_fast.dask.ranks` in this gallery: (m,), or (p,) for CSR."""
        _validate.tie_policy(ties)
        search = Search(self, queries, (exclude_self, exclude, mask, bias), control)
        return search.ranks(*_validate.positives(in_memory(positives), search.m, len(self)), ties)
