"""Arrays of other libraries at the boundary: what the engine reads of an argument, and results of the same kind.

    taken(name, value)      -> NumPy's view of its memory, without a copy where the host holds it; a store where it is
                               sparse; lists, NumPy's arrays and stores as they are
    on_device(value)        -> rows in the memory of a GPU as a store that CUDA kernels read where they are
    given_back(like, found) -> a result with its arrays in the type and on the device of the first argument

A library is known by the module of a value's type, which proves that it is loaded: none is imported here. A new library
is one function and a line in `READERS`, and in `MAKERS` where its arrays have no array namespace.
"""

from ._device import on_device
from ._readers import numpy_dtype, taken, written
from ._results import given_back
from ._sparse import SparseRows

__all__ = ["SparseRows", "given_back", "numpy_dtype", "on_device", "taken", "written"]
