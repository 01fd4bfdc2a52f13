"""Launches that are asked for together: a CUDA graph, and its like for where there is none.

Work    a search's launches and products, in the order in which they were asked for, its queries copied to the device
        before and its answer copied back behind them, between pinned memory and the arrays that they have
Shapes  queries (m, d), answer a block of bytes
Cost    7 us of an H100's host, whatever is inside; 1 ms to make
Sum     as launched

CuPy refuses cuBLAS while a stream is captured, so products are asked for at the library that CuPy has loaded. A
workspace of their own keeps them out of that of the handle, which products on other streams write to.
"""

import ctypes
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .staging import TO_DEVICE, TO_HOST

WORKSPACE_BYTES = 4 << 20  # of cuBLAS, for products of few rows
POINTER, INT, LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t


@dataclass(frozen=True)
class Product:
    """A product that was asked for, as a call that does it again."""

    gemm: Any
    arguments: tuple

    def __call__(self):
        self.gemm(*self.arguments)


class Singly:
    """One call after the other."""

    def __init__(self, driver, rows, block, calls):
        self.driver, self.rows, self.block, self.calls = driver, rows, block, calls

    def __call__(self, queries):
        """The answer to queries, on the host; waits for it."""
        self.driver.put(self.rows, queries)
        for call in self.calls:
            call()
        return self.driver.host(self.block)


class Graph:
    """All calls at once. What comes back is overwritten by the next."""

    def __init__(self, cupy, product, rows, block, calls):
        """product(call, library) is called for each `Product`, while the current stream is captured."""
        self.cupy, self.calls = cupy, calls  # which hold the arrays
        self.given, self.answer = _pinned(cupy, rows), _pinned(cupy, block)
        self.room = cupy.empty(WORKSPACE_BYTES, np.uint8)
        library, handle = cublas(cupy), cupy.cuda.device.get_cublas_handle()
        before, stream = cupy.cuda.cublas.getStream(handle), cupy.cuda.Stream(non_blocking=True)
        copy = cupy.cuda.runtime.memcpyAsync
        with stream:
            library.cublasSetStream_v2(handle, stream.ptr)
            library.cublasSetWorkspace_v2(handle, self.room.data.ptr, WORKSPACE_BYTES)
            try:
                stream.begin_capture()
                try:
                    copy(rows.data.ptr, self.given.ctypes.data, rows.nbytes, TO_DEVICE, stream.ptr)
                    for call in calls:
                        if isinstance(call, Product):
                            product(call, library)
                        else:
                            call()
                    copy(self.answer.ctypes.data, block.data.ptr, block.nbytes, TO_HOST, stream.ptr)
                finally:
                    self.graph = stream.end_capture()
            finally:
                library.cublasSetStream_v2(handle, before)  # and its usual workspace

    def __call__(self, queries):
        """The answer to queries, on the host; waits for it."""
        np.copyto(self.given, queries)
        stream = self.cupy.cuda.get_current_stream()
        try:
            self.graph.launch(stream)
        finally:  # after Ctrl-C too: pinned memory that is given back is another's
            stream.synchronize()
        return self.answer


@cache
def cublas(cupy):
    """The library that CuPy has loaded; OSError where it goes by another name."""
    version = cupy.cuda.cublas.getVersion(cupy.cuda.device.get_cublas_handle()) // 10_000
    library = ctypes.CDLL(f"cublas64_{version}.dll" if sys.platform == "win32" else f"libcublas.so.{version}")
    matrix = POINTER, INT, INT
    signatures = {
        "cublasSetStream_v2": (POINTER, POINTER),
        "cublasSetWorkspace_v2": (POINTER, POINTER, LONG),
        "cublasGemmEx": (POINTER, *[INT] * 5, POINTER, *matrix, *matrix, POINTER, *matrix, INT, INT),
    }
    for name, kinds in signatures.items():
        getattr(library, name).argtypes = kinds
        getattr(library, name).errcheck = _checked
    return library


def _checked(status, function, _):
    if status:
        raise RuntimeError(f"{function.__name__} must return 0, got {status}")


def _pinned(cupy, array):
    """Host memory for an array on the device."""
    memory = cupy.cuda.alloc_pinned_memory(array.nbytes)
    return np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)
