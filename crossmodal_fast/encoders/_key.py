"""The name under which embeddings are kept: a hash of everything that they depend on."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from .._arguments import array_of, brief

FORMAT = "embeddings of crossmodal_fast, 1"  # a new number where an adapter gives other results than before
KEY_BYTES = 20  # 40 hexadecimal signs: two of 2^80 sets of embeddings share a name


def key_of(*parts: Iterable[Any]) -> str:
    """A hexadecimal name; items are texts, numbers, None, or what NumPy makes arrays of numbers or texts of."""
    told = hashlib.blake2b(FORMAT.encode(), digest_size=KEY_BYTES)
    for part in parts:
        told.update(b"part;")
        for item in part:
            _tell(told, item)
    return told.hexdigest()


def plain(value: Any) -> str:
    """Nested settings as one text, the same in every process: keys in order, and of what is no plain value its repr."""
    return json.dumps(value, sort_keys=True, default=repr)


def _tell(told: Any, item: Any) -> None:
    """Kind and length go first, so that no two lists of items are told alike."""
    if isinstance(item, str | bytes):
        data = item.encode(errors="surrogatepass") if isinstance(item, str) else item
        told.update(f"{type(item).__name__} {len(data)};".encode() + data)
    elif item is None or isinstance(item, bool | int | float):
        told.update(f"{type(item).__name__} {item!r};".encode())
    else:
        array = array_of("inputs", item)
        if array.dtype.kind not in "biufcSU":
            raise TypeError(f"inputs must be texts or arrays of numbers to be kept in a cache, got {brief(item)}")
        mode = getattr(item, "mode", "")  # of PIL images: a palette and grey levels may hold the same bytes
        told.update(f"array {mode} {array.dtype.str} {array.shape};".encode())
        told.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
