"""Searches over rows that memory does not hold: read ahead in parts, results written in blocks, resumed after a kill.

    topk(queries, gallery, k, ..., output="best.parquet", resume=True)
    within(queries, gallery, radius, ..., output="near.h5")
    ranks(queries, gallery, positives, ..., output="ranks.csv")

Either side is a file, an HDF5 data set, a zarr array, any other store with shape, dtype and slices, or an iterator of
blocks of rows.
"""

from ._destinations import WRITERS
from ._functions import Streamed, ranks, topk, within
from ._sources import read_in_parts

__all__ = ["WRITERS", "Streamed", "ranks", "read_in_parts", "topk", "within"]
