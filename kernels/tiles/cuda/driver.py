"""The narrow way to a GPU: memory, copies, kernels, products of codes. CuPy here, an emulator in the tests.

A driver has `xp` (NumPy's names on its arrays), `empty`, `array`, `put` and `host` (memory, and copies to the device
and back), `launch` and `gemm`, `room` (bytes that are free), `mark` (all that was asked for so far), `release`, and
`out_of_memory`. Nothing else of CuPy is used by the launchers.
"""

import contextlib
import re
from functools import cache
from pathlib import Path

import numpy as np

from . import staging

HERE = Path(__file__).resolve().parent
INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)
OPTIONS = ("-std=c++17", "-fmad=false")
FLOAT16, IN_FLOAT32 = 2, 68  # CUDA_R_16F, CUBLAS_COMPUTE_32F
WHOLE_SUMS = 16  # CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION: parts of a sum are not rounded to float16
KEPT_FREE = 64 << 20  # bytes of the device, for cuBLAS and other callers
_replacements = []


def current():
    """The driver that launchers use."""
    return _replacements[-1] if _replacements else Cupy()


@contextlib.contextmanager
def replaced(driver):
    """Another driver in its place, as the tests have one."""
    _replacements.append(driver)
    try:
        yield
    finally:
        _replacements.pop()


def obstacle():
    """Why no kernel can be launched here, in words; None if nothing is in the way."""
    return None if _replacements else _cupy_obstacle()


def _cupy_obstacle():
    import cupy

    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no CUDA driver answers ({error})"
    return None if count else "no CUDA device is visible"


@cache
def source(kernel):
    """The text of a kernel with its headers in place: CuPy keeps cubins by the text that it is given alone."""
    seen = set()

    def expanded(name):
        if name in seen:
            return ""
        seen.add(name)
        text = (HERE / name).read_text(encoding="utf-8").replace("#pragma once\n", "")
        return INCLUDE.sub(lambda found: expanded(found[1]), text)

    return expanded(f"{kernel}.cu")


class Cupy:
    """CuPy on its current device, stream and pool."""

    def __init__(self):
        import cupy

        self.xp = cupy

    @property
    def out_of_memory(self):
        return self.xp.cuda.memory.OutOfMemoryError

    @property
    def empty(self):
        return self.xp.empty

    @property
    def device(self):
        return self.xp.cuda.Device().id

    def array(self, host):
        if host.nbytes < staging.WORTH:
            return self.xp.asarray(host, order="C")
        made = self.empty(host.shape, host.dtype)
        self.put(made, host)
        return made

    def put(self, target, host, after=None):
        """Copy host rows to rows on the device, once all that came before the mark `after` is done."""
        if host.nbytes < staging.WORTH:
            target.set(np.ascontiguousarray(host))
        else:
            staging.copied(self.xp, target, host, after)

    def host(self, array):
        return self.xp.asnumpy(array)

    def mark(self):
        event = self.xp.cuda.Event(disable_timing=True)
        event.record()
        return event

    def room(self):
        """Bytes that an array may still take."""
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return max(0, free + self.xp.get_default_memory_pool().free_bytes() - KEPT_FREE)

    def release(self):
        """Give back what the pool keeps and nobody uses."""
        self.xp.get_default_memory_pool().free_all_blocks()

    def launch(self, kernel, grid, block, arguments, **macros):
        triple = (*((grid,) if isinstance(grid, int) else grid), 1, 1)[:3]
        values = [np.uint64(0) if value is None else value for value in arguments]  # a null pointer
        _function(kernel, tuple(sorted(macros.items())), self.device)(triple, (block,), values)

    def gemm(self, x_md, y_nd, score, scale):
        """score (m, stride)[:, :n] = scale x y^T of fp16 codes, summed in fp32, rounded once to fp16."""
        (m, d), n = x_md.shape, len(y_nd)
        cublas = self.xp.cuda.cublas
        handle = self.xp.cuda.device.get_cublas_handle()
        factors = np.array([scale, 0], np.float32)
        one, zero = factors.ctypes.data, factors.ctypes.data + 4
        mode = cublas.getMathMode(handle)
        cublas.setMathMode(handle, WHOLE_SUMS)
        try:
            cublas.gemmEx(
                handle, cublas.CUBLAS_OP_T, cublas.CUBLAS_OP_N, n, m, d, one, y_nd.data.ptr, FLOAT16, d,
                x_md.data.ptr, FLOAT16, d, zero, score.data.ptr, FLOAT16, score.shape[1], IN_FLOAT32, -1,
            )  # fmt: skip
        finally:
            cublas.setMathMode(handle, mode)


@cache
def _function(kernel, macros, device):
    import cupy

    options = (*OPTIONS, *(f"-D{name}={value}" for name, value in macros))
    return cupy.RawModule(code=source(kernel), options=options).get_function(kernel)
