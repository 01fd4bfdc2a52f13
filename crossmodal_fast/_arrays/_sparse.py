"""SciPy's sparse matrices, read in blocks."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def scipy(name: str, value: Any) -> Any:
    """A matrix as a store; what is sparse in one or in three dimensions and more is made dense as a whole."""
    if not hasattr(value, "tocsr"):
        return value
    return SparseRows(value) if value.ndim == 2 else value.toarray()


class SparseRows:
    """A sparse matrix as a store: what is asked for is made dense. CSR is read as it is, of others a CSR is made."""

    ndim = 2

    def __init__(self, matrix: Any) -> None:
        self.matrix = sys.modules["scipy.sparse"].csr_array(matrix)  # row i of a csr_matrix has two axes
        self.shape, self.dtype = tuple(map(int, matrix.shape)), np.dtype(matrix.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: Any) -> Array:
        found: Array = self.matrix[part].toarray()
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype)
