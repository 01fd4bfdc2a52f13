"""Rows that lie in the memory of a GPU: CUDA kernels read them there."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._dispatch import loaded

Array = NDArray[Any]
CUDA = 2  # of DLPack's kinds of devices
KINDS = "biuf"


class OnDevice:
    """Rows as a store that CUDA kernels read where they are; all else copies the part that it asks for to the host."""

    def __init__(self, array: Any) -> None:
        self.on_device, self.shape, self.dtype = array, tuple(array.shape), np.dtype(array.dtype)

    def __getitem__(self, part: Any) -> Array:
        found: Array = self.on_device[part].get()
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype)


def on_device(value: Any) -> Any:
    """`OnDevice` of a CUDA array (n, d), without a copy; None for what is none, or what CuPy does not take over."""
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack_device__"):
        return None
    try:
        elsewhere = len(getattr(value, "shape", ())) != 2 or value.__dlpack_device__()[0] != CUDA
    except (RuntimeError, ValueError):  # nested tensors of torch have no shape, those on its device meta no device
        return None
    if elsewhere:
        return None
    if getattr(value, "requires_grad", False):
        return None
    cupy = loaded("cupy")
    if cupy is None:
        return None
    try:
        array = value if isinstance(value, cupy.ndarray) else cupy.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError):  # bfloat16, conjugated, of another runtime
        return None
    return OnDevice(array) if array.dtype.kind in KINDS else None
