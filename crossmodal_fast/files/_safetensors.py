"""``.safetensors``, memory-mapped. Not by the package of that name, which copies what it reads."""

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ._checks import FileError, check_size, choose, foreign

HEADER_BYTES = 100_000_000  # at most, says the format
DTYPES = {
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    "BOOL": "?",
}


def read(source: Path, key: str | None) -> NDArray[Any]:
    file_bytes = source.stat().st_size
    try:
        with open(source, "rb") as stream:
            (header_bytes,) = struct.unpack("<Q", stream.read(8))
            if header_bytes > min(file_bytes - 8, HEADER_BYTES):
                raise ValueError(f"a header of {header_bytes} bytes in a file of {file_bytes}")
            header = json.loads(stream.read(header_bytes))
        header.pop("__metadata__", None)
        key = choose(source, key, header)
        shape, (begin, end) = tuple(header[key]["shape"]), header[key]["data_offsets"]
        if not all(type(number) is int and 0 <= number < 2**63 for number in (*shape, begin, end)):
            raise ValueError(f"shape {shape} at bytes {begin} to {end}")
        kind = str(header[key]["dtype"])
    except FileError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, struct.error) as error:
        raise foreign(source, error) from error
    name, start = f"{key!r} in '{source}'", 8 + header_bytes
    dtype = _dtype(name, kind)
    check_size(name, shape, dtype, min(start + end, file_bytes) - (start + begin))
    array = np.memmap(source, dtype, "r", offset=start + begin, shape=shape)
    return array if array.flags.aligned else array.copy()


def _dtype(name: str, kind: str) -> np.dtype[Any]:
    if kind == "BF16":
        if importlib.util.find_spec("ml_dtypes") is None:
            raise FileError(f"{name} is bfloat16 and needs ml_dtypes: pip install 'crossmodal-fast[bf16]'")
        import ml_dtypes

        brain: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return brain
    if kind not in DTYPES:
        raise FileError(f"{name} must be of dtype BF16, {', '.join(DTYPES)}, got {kind}: convert it to F32")
    return np.dtype(DTYPES[kind])


def write(file: BinaryIO, array: NDArray[Any]) -> None:
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    kinds = {np.dtype(dtype).name: kind for kind, dtype in DTYPES.items()} | {"bfloat16": "BF16"}
    entry = {"dtype": kinds[little.dtype.name], "shape": array.shape, "data_offsets": [0, little.nbytes]}
    header = json.dumps({"embeddings": entry}).encode()
    header += b" " * (-len(header) % 8)  # so that the numbers begin aligned
    file.write(struct.pack("<Q", len(header)) + header)
    file.write(little.view(np.uint8).data)
