"""The operations on dask arrays: a gallery in shards over many workers, and the bits of one machine.

    import dask.array as da
    from crossmodal_fast import dask as cmd

    gallery = cmd.ShardedGallery(da.from_zarr("gallery.zarr"), metric="cosine").persist()
    distances, indices = gallery.topk(da.from_zarr("queries.zarr"), k=10)     # dask arrays, nothing computed yet

`topk`, `topk_both`, `within` and `ranks` are equal to those of `crossmodal_fast` to the bit, for all chunks, workers
and schedulers; `pairwise_distances`, `transfer` and `fit_transfer` keep their stated accuracy. Needs the extra: pip
install 'crossmodal-fast[dask]'. docs/distributed.md has the recipe for a cluster and what one needs for a billion rows.
"""

from ._fit import fit_transfer
from ._functions import ranks, topk, topk_both, within
from ._gallery import ShardedGallery
from ._matrices import pairwise_distances, transfer

__all__ = [
    "ShardedGallery",
    "fit_transfer",
    "pairwise_distances",
    "ranks",
    "topk",
    "topk_both",
    "transfer",
    "within",
]
