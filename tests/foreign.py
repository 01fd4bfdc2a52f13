"""Arrays that are none of NumPy's: stand-ins, one for each way of handing memory over, and those of libraries."""

import numpy as np
import pytest
from scipy import sparse

CPU, GPU = 1, 2  # DLPack's numbers of devices


class Interface:
    """Memory by the array interface alone."""

    def __init__(self, rows):
        self.__array_interface__, self._rows = rows.__array_interface__, rows


class Convertible:
    """What NumPy's own conversion asks for."""

    def __init__(self, rows):
        self._rows = rows

    def __array__(self, dtype=None, copy=None):
        return self._rows if dtype is None else self._rows.astype(dtype)


class Exporter:
    """Memory of the host by DLPack alone."""

    def __init__(self, rows):
        self._rows = rows

    def __dlpack_device__(self):
        return CPU, 0

    def __dlpack__(self, **wanted):
        return self._rows.__dlpack__(**wanted)


class OnDevice:
    """Memory that the host gets by a copy through DLPack and in no other way; `copies` counts them.

    It has an array namespace, as CuPy's and torch's have: results are to be of it.
    """

    def __init__(self, rows, device="gpu:0"):
        self._rows, self.device, self.copies = rows, device, 0
        self.shape, self.dtype, self.ndim = rows.shape, rows.dtype, rows.ndim

    def __array_namespace__(self, api_version=None):
        return Namespace

    def __dlpack_device__(self):
        return GPU, 0

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if dl_device != (CPU, 0):
            raise BufferError("memory of a device")
        self.copies += 1
        return self._rows.copy().__dlpack__(max_version=max_version)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("memory of a device")

    def __getitem__(self, part):
        raise TypeError("memory of a device")

    def fetched(self):
        return self._rows


class Namespace:
    """The one function that results need."""

    @staticmethod
    def asarray(rows, device=None):
        return OnDevice(rows, device)


class CudaOnly:
    """Memory of a GPU that only CuPy and Numba can take over."""

    __cuda_array_interface__ = None


def library(name):
    return pytest.importorskip(name, reason=f"{name} is not installed")


def spread(rows):
    wide = np.zeros(tuple(2 * size for size in rows.shape), rows.dtype)
    wide[tuple(slice(None, None, 2) for _ in rows.shape)] = rows
    return wide[tuple(slice(None, None, 2) for _ in rows.shape)]


def read_only(rows):
    rows = rows.copy()
    rows.flags.writeable = False
    return rows


def arrow_lists(rows):
    arrow = library("pyarrow")
    if rows.ndim == 1 or rows.dtype == bool:
        return arrow.array(rows) if rows.ndim == 1 else rows
    return arrow.FixedSizeListArray.from_arrays(arrow.array(rows.ravel()), rows.shape[1])


def arrow_table(rows):
    return library("pyarrow").table({f"c{at}": column for at, column in enumerate(np.atleast_2d(rows.T))}) \
        if rows.ndim == 2 else arrow_lists(rows)  # fmt: skip


def frame(rows):
    pandas = library("pandas")
    return pandas.DataFrame(rows) if rows.ndim == 2 else pandas.Series(rows)


def tensorflow(rows):
    return library("tensorflow").convert_to_tensor(rows)


MATRICES = {  # how a matrix, or a list of numbers where it can be one, is handed over
    "fortran": np.asfortranarray,
    "spread": spread,
    "backwards": lambda rows: np.flip(np.flip(rows).copy()),
    "byte-swapped": lambda rows: rows.astype(rows.dtype.newbyteorder()),
    "read-only": read_only,
    "list": lambda rows: rows.tolist(),
    "interface": Interface,
    "dlpack": Exporter,
    "convertible": Convertible,
    "device": OnDevice,
    "csr": lambda rows: sparse.csr_array(rows) if rows.ndim == 2 else rows,
    "csc": lambda rows: sparse.csc_matrix(rows) if rows.ndim == 2 else rows,
    "arrow-lists": arrow_lists,
    "arrow-table": arrow_table,
    "pandas": frame,
    "torch": lambda rows: library("torch").from_numpy(rows),
    "jax": lambda rows: library("jax").numpy.asarray(rows),
    "tensorflow": tensorflow,
}
