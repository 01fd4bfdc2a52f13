"""Flat indexes in FAISS's own file format.

Little-endian: four letters, d int32, ntotal int64, two unused int64, is_trained byte, metric int32, its argument
float32 where the metric is above 1, number of float32 values uint64, values.
"""

import os
import struct
from typing import Any

import numpy as np

from ...files import FileError, atomic
from .._peer import peers_own
from ._flat import IndexFlat, IndexFlatIP, IndexFlatL2
from ._metrics import METRIC_INNER_PRODUCT, METRIC_L2

LETTERS = {METRIC_L2: b"IxF2", METRIC_INNER_PRODUCT: b"IxFI"}
OTHERS = b"IxFl"
HEADER = struct.Struct("<4siqqq?i")
UNUSED = 1 << 20  # what FAISS writes there


def write_index(index: Any, fname: str | os.PathLike[str]) -> None:
    """Write a flat index (ntotal, d) so that FAISS reads it; whole or not at all. Other indexes are FAISS's own."""
    if not isinstance(index, IndexFlat):
        peers_own("faiss", "write_index", "an index that is not flat")(index, fname)
        return
    rows, letters = index.reconstruct_n(), LETTERS.get(index.metric_type, OTHERS)
    with atomic(fname) as file:
        file.write(HEADER.pack(letters, index.d, index.ntotal, UNUSED, UNUSED, True, index.metric_type))
        if index.metric_type > 1:
            file.write(struct.pack("<f", index.metric_arg))
        file.write(struct.pack("<Q", rows.size))
        file.write(rows.astype("<f4").tobytes())


def read_index(fname: str | os.PathLike[str], io_flags: int = 0) -> Any:
    """A flat index (ntotal, d) that FAISS or `write_index` wrote; what else FAISS wrote is left to it."""
    with open(fname, "rb") as file:
        content = file.read()
    if content[:4] not in (*LETTERS.values(), OTHERS):
        what = f"a file that begins with {content[:4]!r} rather than a flat index"
        return peers_own("faiss", "read_index", what)(os.fspath(fname), io_flags)
    try:
        _, d, rows, _, _, _, metric = HEADER.unpack_from(content)
        at = HEADER.size
        argument = 0.0
        if metric > 1:
            (argument,) = struct.unpack_from("<f", content, at)
            at += 4
        (count,) = struct.unpack_from("<Q", content, at)
        if min(rows, d - 1) < 0 or rows * d != count:
            raise ValueError(f"{rows} rows of {d} numbers, {count} in all")
        values = np.frombuffer(content, "<f4", count, at + 8).reshape(rows, d)
    except (struct.error, ValueError, OverflowError) as problem:
        raise FileError(f"'{os.fspath(fname)}' must be a whole flat index, got {len(content)} bytes") from problem
    kinds = {METRIC_L2: IndexFlatL2, METRIC_INNER_PRODUCT: IndexFlatIP}
    index = kinds[metric](d) if metric in kinds else IndexFlat(d, metric)
    index.metric_arg = argument
    index.add(values.astype(np.float32))
    return index
