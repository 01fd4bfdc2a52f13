"""Which reader takes a value: that of its library, else the array interface or DLPack."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ._sparse import scipy
from ._tables import pandas, pyarrow
from ._tensors import cupy, exported, jax, kind_of, readable, tensorflow, torch


def taken(name: str, value: Any) -> Any:
    """What the engine reads of an argument; refused in one sentence where its library holds what cannot be read."""
    if isinstance(value, np.ndarray | np.generic):
        return value
    library = library_of(value)
    # Arrays of a device pass here, before a reader copies them to the host: a backend that reads them takes them here.
    return READERS[library](name, value) if library else readable(name, value, exported)


def written(out: Any) -> Any:
    """What results are written into: the memory of a torch tensor, or `out` itself."""
    if library_of(out) != "torch":
        return out
    found = taken("out", out)
    if isinstance(found, np.ndarray) and found.ctypes.data != out.data_ptr():
        raise ValueError(f"out must be in the memory of the host, got a tensor on {out.device}")
    return found


def numpy_dtype(dtype: Any) -> Any:
    """NumPy's for a dtype of torch or TensorFlow; what else stands for one as it is."""
    library = library_of(dtype)
    if library == "torch":
        return str(dtype).rpartition(".")[2]
    return dtype.as_numpy_dtype if library == "tensorflow" else dtype


def library_of(value: Any) -> str:
    """The library that a value's type belongs to or is derived from, if that is one with a reader."""
    roots = (kind.__module__.partition(".")[0] for kind in type(value).__mro__)
    return next((root for root in roots if root in READERS), "")


def _elsewhere(way: str) -> Callable[[str, Any], Any]:
    """Arrays that have to be made first, by a call that is the caller's to make."""

    def refuse(name: str, value: Any) -> Any:
        if hasattr(value, "shape"):
            raise TypeError(f"{name} must be dense and in memory, got {kind_of(value)}; {name}.{way} makes it so")
        return value

    return refuse


READERS: dict[str, Callable[[str, Any], Any]] = {
    "torch": torch,
    "jax": jax,
    "jaxlib": jax,
    "tensorflow": tensorflow,
    "cupy": cupy,
    "pandas": pandas,
    "pyarrow": pyarrow,
    "scipy": scipy,
    "dask": _elsewhere("compute()"),
    "sparse": _elsewhere("todense()"),
    "cupyx": _elsewhere("get()"),
}
