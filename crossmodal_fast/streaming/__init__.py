"""Searches over rows that memory does not hold: read ahead in parts, results written in blocks, resumed after a kill.

    topk(queries, gallery, k, ..., output="best.parquet", resume=True)

Either side is a file, an HDF5 data set, a zarr array, any other store with shape, dtype and slices, or an iterator of
blocks of rows.
"""

from ._destinations import WRITERS
from ._sources import read_in_parts
from ._topk import Streamed, topk

__all__ = ["WRITERS", "Streamed", "read_in_parts", "topk"]
