"""The narrow way to a GPU: memory, copies, kernels, products of codes. CuPy here, an emulator in the tests.

A driver has `xp` (NumPy's names on its arrays), `empty`, `view`, `array`, `put`, `host` and `into` (memory, and copies
to the device and back), `launch`, `gemm`, `product` and `products`, `replay` (what was noted of those, once more),
`room` (bytes that are free), `mark` (all that was asked for so far), `lane` (a second queue of launches), `release`,
`out_of_memory`, and `device`, `devices` and `on` (which one, how many, another one inside a block). Nothing else of
CuPy is used by the launchers.
"""

import contextlib
import ctypes
import re
import struct
import threading
from functools import cache
from pathlib import Path

import numpy as np

from . import obstacles, staging
from .graph import Graph, Product, Singly
from .lanes import Beside, Same

HERE = Path(__file__).resolve().parent
INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)
OPTIONS = ("-std=c++17", "-fmad=false")
FLOAT16, IN_FLOAT32 = 2, 68  # CUDA_R_16F, CUBLAS_COMPUTE_32F
WHOLE_SUMS = 16  # CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION: parts of a sum are not rounded to float16
KEPT_FREE = 64 << 20  # bytes of the device, for cuBLAS and other callers
CODES = {np.dtype(name): code for name, code in (("i4", "i"), ("u4", "I"), ("i8", "q"), ("f8", "d"), ("f4", "f"))}
DEFAULT_MATH = 0  # CUBLAS_DEFAULT_MATH: float32 is float32
LETTER = {"float32": "s", "float64": "d"}  # of a name in cuBLAS
_replacements = []
_noting = threading.local()  # .calls: where launches of this thread are noted


def current():
    """The driver that launchers use."""
    return _replacements[-1] if _replacements else _cupy()


@cache
def _cupy():
    return Cupy()


@contextlib.contextmanager
def replaced(driver):
    """Another driver in its place, as the tests have one."""
    _replacements.append(driver)
    try:
        yield
    finally:
        _replacements.pop()


@contextlib.contextmanager
def noted(calls):
    """Keep every launch and product of this thread in a list, as calls that do the same again with the same arrays.

    None for a list keeps nothing. Nobody else's code may run inside: what it launches would be kept as well.
    """
    before, _noting.calls = getattr(_noting, "calls", None), calls
    try:
        yield
    finally:
        _noting.calls = before


def note(made):
    """For drivers: made() is a call that does once more what has just been asked for."""
    calls = getattr(_noting, "calls", None)
    if calls is not None:
        calls.append(made())


def obstacle():
    """Why no kernel can be launched here, in words; None if nothing is in the way."""
    return None if _replacements else _of_this_machine()


@cache
def _of_this_machine():
    return obstacles.found()


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

    def devices(self):
        return self.xp.cuda.runtime.getDeviceCount()

    def on(self, device):
        """Makes a device the current one of this thread; None changes nothing."""
        return contextlib.nullcontext() if device is None else self.xp.cuda.Device(device)

    def view(self, block, at, shape, dtype):
        """Part of a block of bytes, as another array."""
        return self.xp.ndarray(shape, dtype, block.data + at)

    def array(self, host):
        if isinstance(host, self.xp.ndarray):  # it lies there; kernels want C order
            return self.xp.ascontiguousarray(host)
        if not staging.worth(host):
            return self.xp.asarray(host, order="C")
        made = self.empty(host.shape, host.dtype)
        self.put(made, host)
        return made

    def put(self, target, host, after=None):
        """Copy host rows to rows on the device, once all that came before the mark `after` is done."""
        if staging.worth(host) or (after is not None and staging.fits(host)):
            staging.copied(self.xp, target, host, after)
        else:
            target.set(np.ascontiguousarray(host))

    def host(self, array, after=None):
        """On the host, as all that came before the mark `after` leaves it, or all that was asked for so far."""
        if after is None and not staging.worth(array):
            return self.xp.asnumpy(array)
        found = np.empty(array.shape, array.dtype)
        staging.brought(self.xp, found, array, after)
        return found

    def into(self, target, array, after=None):
        """Copy a device array into a host array of its shape, once all that came before the mark `after` is done."""
        if target.dtype == array.dtype and staging.worth(array):
            staging.brought(self.xp, target, array, after)
        elif target.flags.c_contiguous and target.dtype == array.dtype:
            array.get(out=target)
        else:
            target[...] = array.get()

    def mark(self):
        event = self.xp.cuda.Event(disable_timing=True)
        event.record()
        return event

    def lane(self, beside):
        """A second queue of launches beside the current stream, or that stream itself."""
        return Beside(self.xp, self._launched) if beside else Same(self)

    def room(self):
        """Bytes that an array may still take."""
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return max(0, free + self.xp.get_default_memory_pool().free_bytes() - KEPT_FREE)

    def release(self):
        """Give back what the pool keeps and nobody uses."""
        self.xp.get_default_memory_pool().free_all_blocks()

    def launch(self, kernel, grid, block, arguments, **macros):
        """Run a kernel of a file: `grid` one or two sizes, arguments arrays, None for null, scalars of NumPy's."""
        launcher = self._launched(self.xp.cuda.get_current_stream(), kernel, grid, block, arguments, macros)
        note(lambda: launcher.again(self.xp, grid, block, arguments))

    def _launched(self, stream, kernel, grid, block, arguments, macros):
        launcher = _launcher(kernel, tuple(macros.items()), self.device)
        launcher(self.xp, stream, grid, block, arguments)
        return launcher

    def gemm(self, x_md, y_nd, score, scale):
        """score (m, stride)[:, :n] = scale x y^T of fp16 codes, summed in fp32, rounded once to fp16."""
        self._gemm(self.xp.cuda.cublas.gemmEx, x_md, y_nd, score, scale)
        note(lambda: Product(self.gemm, (x_md, y_nd, score, scale)))

    def _gemm(self, gemm_ex, x_md, y_nd, score, scale):
        (m, d), n = x_md.shape, len(y_nd)
        cublas = self.xp.cuda.cublas
        handle = self.xp.cuda.device.get_cublas_handle()
        one = _factors(scale).ctypes.data
        zero = one + 4
        mode = cublas.getMathMode(handle)
        cublas.setMathMode(handle, WHOLE_SUMS)
        try:
            gemm_ex(
                handle, cublas.CUBLAS_OP_T, cublas.CUBLAS_OP_N, n, m, d, one, y_nd.data.ptr, FLOAT16, d,
                x_md.data.ptr, FLOAT16, d, zero, score.data.ptr, FLOAT16, score.shape[1], IN_FLOAT32, -1,
            )  # fmt: skip
        finally:
            cublas.setMathMode(handle, mode)

    def replay(self, rows, block, calls):
        """replay(queries): copy them to rows, do the noted calls again, and return what is in the block then."""
        try:
            return Graph(self.xp, self._captured, rows, block, calls)
        except (OSError, RuntimeError):  # cuBLAS goes by another name, or CUDA is too old
            return Singly(self, rows, block, calls)

    def _captured(self, product, library):
        self._gemm(library.cublasGemmEx, *product.arguments)

    def product(self, x_md, y_nd, out_mn, *, added=False):
        """out = x y^T (added: out + that), all float32 or all float64; x and y may be columns of wider rows."""
        (m, d), n = x_md.shape, len(y_nd)
        with self._full_precision() as (cublas, handle):
            dtype = out_mn.dtype
            one, kept = np.ones(1, dtype), np.full(1, added, dtype)
            getattr(cublas, f"{LETTER[dtype.name]}gemm")(
                handle, cublas.CUBLAS_OP_T, cublas.CUBLAS_OP_N, n, m, d, one.ctypes.data, y_nd.data.ptr,
                _leading(y_nd), x_md.data.ptr, _leading(x_md), kept.ctypes.data, out_mn.data.ptr, _leading(out_mn),
            )  # fmt: skip

    def products(self, x_bmd, y_bnd, out_bmn):
        """out_b = x_b y_b^T for every b, of one dtype, C order."""
        (b, m, d), n = x_bmd.shape, y_bnd.shape[1]
        with self._full_precision() as (cublas, handle):
            dtype = out_bmn.dtype
            one, zero = np.ones(1, dtype), np.zeros(1, dtype)
            getattr(cublas, f"{LETTER[dtype.name]}gemmStridedBatched")(
                handle, cublas.CUBLAS_OP_T, cublas.CUBLAS_OP_N, n, m, d, one.ctypes.data, y_bnd.data.ptr, d, n * d,
                x_bmd.data.ptr, d, m * d, zero.ctypes.data, out_bmn.data.ptr, n, m * n, b,
            )  # fmt: skip

    @contextlib.contextmanager
    def _full_precision(self):
        """cuBLAS and its handle, which others may have allowed TF32: it is theirs again afterwards."""
        cublas = self.xp.cuda.cublas
        handle = self.xp.cuda.device.get_cublas_handle()
        before = cublas.getMathMode(handle)
        cublas.setMathMode(handle, DEFAULT_MATH)
        try:
            yield cublas, handle
        finally:
            cublas.setMathMode(handle, before)


@cache
def _factors(scale):
    return np.array([scale, 0], np.float32)


def _leading(matrix):
    """Elements from a row to the next; of one row alone, as many as it has."""
    return max(matrix.strides[0] // matrix.itemsize, matrix.shape[1])


@cache
def _launcher(kernel, macros, device):
    import cupy

    options = (*OPTIONS, *(f"-D{name}={value}" for name, value in sorted(macros)))
    return _Launcher(cupy.RawModule(code=source(kernel), options=options).get_function(kernel).kernel.ptr)


class _Launcher:
    """One kernel of one device, and cells for its arguments: 9 us a launch, of which CuPy's own way takes 25."""

    def __init__(self, address):
        self.address, self.of_thread = address, threading.local()

    def __call__(self, cupy, stream, grid, block, arguments):
        try:
            layout, cells, table = self.of_thread.known
        except AttributeError:
            layout, cells, table = self.of_thread.known = _cells(arguments)
        layout.pack_into(cells, 0, *_numbers(cupy, arguments))
        wide, high = (grid, 1) if isinstance(grid, int) else grid
        cupy.cuda.driver.launchKernel(
            self.address, wide, high, 1, block, 1, 1, 0, stream.ptr, ctypes.addressof(table), 0
        )

    def again(self, cupy, grid, block, arguments):
        """The same launch as a call, its arguments packed for good."""
        layout, cells, table = _cells(arguments)
        layout.pack_into(cells, 0, *_numbers(cupy, arguments))
        wide, high = (grid, 1) if isinstance(grid, int) else grid
        before, where = (self.address, wide, high, 1, block, 1, 1, 0), ctypes.addressof(table)
        current, launch = cupy.cuda.get_current_stream, cupy.cuda.driver.launchKernel

        def launched(_alive=(cells, table, arguments)):
            launch(*before, current().ptr, where, 0)

        return launched


def _numbers(cupy, arguments):
    return [value.data.ptr if isinstance(value, cupy.ndarray) else value or 0 for value in arguments]


def _cells(arguments):
    """Layout of the arguments, memory for them, and where each lies: the driver copies them before it returns."""
    codes = [CODES[value.dtype] if isinstance(value, np.generic) else "Q" for value in arguments]
    layout = struct.Struct("@" + "".join(codes))
    cells = ctypes.create_string_buffer(layout.size)
    start, places = ctypes.addressof(cells), []
    for number in range(len(codes)):
        before = struct.calcsize("@" + "".join(codes[: number + 1])) - struct.calcsize(codes[number])
        places.append(start + before)
    return layout, cells, (ctypes.c_void_p * len(places))(*places)
