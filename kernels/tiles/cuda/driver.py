"""The narrow way to a GPU: memory, copies, kernels, products of codes. CuPy here, an emulator in the tests.

A driver has `xp` (NumPy's names on its arrays), `array` and `host` (copies to the device and back), `launch` and
`gemm`. Nothing else of CuPy is used by the launchers.
"""

import contextlib
import re
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)
OPTIONS = ("-std=c++17", "-fmad=false")
FLOAT16, FLOAT32, IN_FLOAT32 = 2, 0, 68  # CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F
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

    def array(self, host):
        return self.xp.asarray(host, order="C")

    def host(self, array):
        return self.xp.asnumpy(array)

    def launch(self, kernel, grid, block, arguments, **macros):
        triple = (*((grid,) if isinstance(grid, int) else grid), 1, 1)[:3]
        values = [np.uint64(0) if value is None else value for value in arguments]  # a null pointer
        _function(kernel, tuple(sorted(macros.items())), self.xp.cuda.Device().id)(triple, (block,), values)

    def gemm(self, x_md, y_nd, out_mn):
        """out = x y^T of fp16 codes, summed in fp32 by the tensor cores."""
        (m, d), n = x_md.shape, len(y_nd)
        cublas = self.xp.cuda.cublas
        handle = self.xp.cuda.device.get_cublas_handle()
        one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
        cublas.gemmEx(
            handle, cublas.CUBLAS_OP_T, cublas.CUBLAS_OP_N, n, m, d, one.ctypes.data, y_nd.data.ptr, FLOAT16, d,
            x_md.data.ptr, FLOAT16, d, zero.ctypes.data, out_mn.data.ptr, FLOAT32, n, IN_FLOAT32, -1,
        )  # fmt: skip


@cache
def _function(kernel, macros, device):
    import cupy

    options = (*OPTIONS, *(f"-D{name}={value}" for name, value in macros))
    return cupy.RawModule(code=source(kernel), options=options).get_function(kernel)
