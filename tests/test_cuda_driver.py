"""The driver on CuPy, as far as a machine without a GPU can tell: what is in the way, and what a launch hands over."""

import ctypes
import re
import sys
import types
from functools import partial

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import _dispatch
from crossmodal_fast.kernels.tiles.cuda import driver as drivers
from crossmodal_fast.kernels.tiles.cuda import obstacles


class NoDriver(RuntimeError):
    """Stands for CUDARuntimeError."""


def planted(monkeypatch, count):
    """A module in the place of CuPy whose runtime counts `count` devices, or raises it."""

    def devices():
        if isinstance(count, Exception):
            raise count
        return count

    compiled, launched = [], []

    def module(**keywords):
        compiled.append(keywords)
        kernel = types.SimpleNamespace(ptr=len(compiled) - 1)
        return types.SimpleNamespace(get_function=lambda name: types.SimpleNamespace(kernel=kernel))

    def launch(address, *sizes_stream_and_table):
        *sizes, table, _ = sizes_stream_and_table
        pointers = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))
        launched.append((compiled[address], sizes, pointers))

    cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(
            getDeviceCount=devices, CUDARuntimeError=NoDriver, runtimeGetVersion=lambda: 13020
        ),
        nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 2)),
        driver=types.SimpleNamespace(launchKernel=launch),
        Device=lambda: types.SimpleNamespace(id=0),
        get_current_stream=lambda: types.SimpleNamespace(ptr=77),
    )
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=cuda, RawModule=module, ndarray=Array))
    drivers._launcher.cache_clear()
    monkeypatch.setattr(drivers, "_cupy", drivers.Cupy)  # another one for each test
    return launched


class Array:
    """Stands for an array on the device."""

    def __init__(self, address):
        self.data = types.SimpleNamespace(ptr=address)


def held(pointers, *kinds):
    return [kind.from_address(pointers[number]).value for number, kind in enumerate(kinds)]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine where nothing is in the way, and what to put there."""
    drivers._of_this_machine.cache_clear()
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "not" / "yet"))
    monkeypatch.setattr(obstacles, "_version", lambda name: "14.2" if name == "cupy-cuda13x" else None)
    yield monkeypatch
    drivers._of_this_machine.cache_clear()


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (NoDriver("cudaErrorInsufficientDriver\nmore"), "no CUDA driver answers (cudaErrorInsufficientDriver)"),
        (0, "no CUDA device is visible"),
        (2, None),
    ],
)
def test_what_is_in_the_way(count, reason, machine):
    planted(machine, count)
    assert drivers.obstacle() == reason
    if reason is not None:  # and `backends` and a demand say so
        machine.setattr(_dispatch, "LIBRARY", {"numba": "numba"})
        assert cmf.backends()["cuda"] == reason
        with pytest.raises(cmf.BackendUnavailable, match=re.escape(f"(cuda: {reason})")):
            cmf.topk([[1.0]], [[2.0]], 1, backend="cuda")


def test_two_wheels_of_cupy(machine):
    planted(machine, 1)
    machine.setattr(obstacles, "_version", lambda name: "14.2" if name.startswith("cupy-cuda1") else None)
    assert drivers.obstacle() == (
        "cupy-cuda11x and cupy-cuda12x and cupy-cuda13x are installed and overwrite each other; uninstall all of them "
        "and install one"
    )


def test_a_cupy_that_cannot_be_imported(machine):
    machine.setitem(sys.modules, "cupy", None)
    assert drivers.obstacle().startswith("cupy cannot be imported (import of cupy halted")


@pytest.mark.parametrize("problem", [RuntimeError("libnvrtc.so.13: cannot open"), ImportError("no nvrtc"), OSError()])
def test_a_missing_compiler(problem, machine):
    planted(machine, 1)

    def version():
        raise problem

    cuda = sys.modules["cupy"].cuda
    machine.setattr(cuda.nvrtc, "getVersion", version)
    said = str(problem) or "OSError"
    assert drivers.obstacle() == f"NVRTC is missing ({said}); pip install 'cupy-cuda13x[ctk]'"


def test_a_folder_for_kernels_that_cannot_be_written(machine, tmp_path):
    planted(machine, 1)
    file = tmp_path / "file"
    file.write_text("")
    machine.setenv("CUPY_CACHE_DIR", str(file / "kernels"))
    said = f"CuPy's kernels cannot be written to {file / 'kernels'}; set CUPY_CACHE_DIR or CUPY_CACHE_IN_MEMORY=1"
    assert drivers.obstacle() == said
    drivers._of_this_machine.cache_clear()
    machine.setenv("CUPY_CACHE_IN_MEMORY", "1")
    assert drivers.obstacle() is None
    drivers._of_this_machine.cache_clear()
    machine.setenv("CUPY_CACHE_IN_MEMORY", "0")
    machine.delenv("CUPY_CACHE_DIR")

    def nowhere():
        raise RuntimeError

    machine.setattr(obstacles.Path, "home", nowhere)
    assert drivers.obstacle() == "there is no home folder for CuPy's kernels; set CUPY_CACHE_DIR"


def test_versions_are_those_of_installed_packages():
    assert obstacles._version("numpy")
    assert obstacles._version("cupy-cuda99x") is None


def test_a_launch_hands_over_text_macros_and_null_pointers(monkeypatch):
    launched = planted(monkeypatch, 1)
    driver = drivers.current()
    arguments = [np.int32(-3), None, np.float64(0.1), Array(1 << 40), np.uint32(9), np.int64(-(1 << 40)), np.float32(2)]
    driver.launch("rerank", 5, 64, arguments, METRIC=2, INPUT="double")
    compiled, (*sizes, stream), pointers = launched[0]
    kinds = ctypes.c_int, ctypes.c_uint64, ctypes.c_double, ctypes.c_uint64, ctypes.c_uint, ctypes.c_int64
    assert held(pointers, *kinds, ctypes.c_float) == [-3, 0, 0.1, 1 << 40, 9, -(1 << 40), 2]
    assert (sizes, stream) == ([5, 1, 1, 64, 1, 1, 0], 77)
    assert compiled["options"] == ("-std=c++17", "-fmad=false", "-DINPUT=double", "-DMETRIC=2")
    assert re.search(r"\brerank\(const INPUT\*", compiled["code"])
    driver.launch("rerank", (5, 2), 64, [np.int32(0), Array(8), *arguments[2:]], METRIC=2, INPUT="double")
    assert launched[1][0] is compiled
    assert launched[1][1][:3] == [5, 2, 1]
    assert held(launched[1][2], *kinds)[:2] == [0, 8]
    drivers._launcher.cache_clear()


def test_an_array_of_the_device_is_brought_into_c_order(monkeypatch):
    planted(monkeypatch, 1)
    given, made = Array(8), Array(16)
    sys.modules["cupy"].ascontiguousarray = {given: made}.get
    assert drivers.current().array(given) is made


def test_a_replacement_ends_with_its_context(monkeypatch):
    planted(monkeypatch, 0)
    with drivers.replaced("first"), drivers.replaced("second"):
        assert drivers.current() == "second"
        assert drivers.obstacle() is None
    assert isinstance(drivers.current(), drivers.Cupy)


class Placed:
    """An array as CuPy shows it: with an address."""

    def __init__(self, array):
        self.shape, self.strides, self.dtype, self.itemsize = array.shape, array.strides, array.dtype, array.itemsize
        self.data = types.SimpleNamespace(ptr=array.ctypes.data)

    def __len__(self):
        return self.shape[0]


class ColumnMajor:
    """gemm as cuBLAS has it, on host addresses, and its math mode, which somebody has set to TF32."""

    CUBLAS_OP_N, CUBLAS_OP_T = 0, 1

    def __init__(self):
        self.mode = 3

    def getMathMode(self, handle):
        return self.mode

    def setMathMode(self, handle, mode):
        self.mode = mode

    def __getattr__(self, name):
        dtype = np.dtype({"s": np.float32, "d": np.float64}[name[0]])
        return partial({"gemm": self._gemm, "gemmStridedBatched": self._batch}[name[1:]], dtype)

    def _matrix(self, dtype, address, rows, columns, leading):
        size = dtype.itemsize * (leading * (columns - 1) + rows)
        held = np.frombuffer((ctypes.c_char * size).from_address(address), dtype)
        return np.lib.stride_tricks.as_strided(held, (rows, columns), (dtype.itemsize, leading * dtype.itemsize))

    def _gemm(self, dtype, handle, of_a, of_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        assert (self.mode, of_a, of_b) == (0, self.CUBLAS_OP_T, self.CUBLAS_OP_N)
        left, right = self._matrix(dtype, a, k, m, lda), self._matrix(dtype, b, k, n, ldb)
        out = self._matrix(dtype, c, m, n, ldc)
        scale, kept = (self._matrix(dtype, number, 1, 1, 1)[0, 0] for number in (alpha, beta))
        out[...] = scale * (left.T @ right) + (kept * out if kept else 0)

    def _batch(self, dtype, *given):
        *head, alpha, a, lda, to_a, b, ldb, to_b, beta, c, ldc, to_c, count = given
        for at in range(count):
            places = (start + at * step * dtype.itemsize for start, step in ((a, to_a), (b, to_b), (c, to_c)))
            left, right, out = places
            self._gemm(dtype, *head, alpha, left, lda, right, ldb, beta, out, ldc)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_row_major_in_full_precision(dtype, monkeypatch):
    planted(monkeypatch, 1)
    library, driver = ColumnMajor(), drivers.current()
    driver.xp.cuda.cublas, driver.xp.cuda.device = library, types.SimpleNamespace(get_cublas_handle=lambda: 7)
    rng = np.random.default_rng(4)
    x, y, out = (rng.integers(-9, 10, shape).astype(dtype) for shape in ((3, 8), (5, 8), (3, 5)))
    before = out.copy()
    driver.product(*map(Placed, (x[:, 2:6], y[:, 2:6], out)), added=True)
    np.testing.assert_array_equal(out, before + x[:, 2:6] @ y[:, 2:6].T)
    driver.product(*map(Placed, (x[:1], y, out[:1])))
    np.testing.assert_array_equal(out[:1], x[:1] @ y.T)
    x, y, out = (rng.integers(-9, 10, shape).astype(dtype) for shape in ((4, 3, 8), (4, 5, 8), (4, 3, 5)))
    driver.products(*map(Placed, (x, y, out)))
    np.testing.assert_array_equal(out, x @ y.transpose(0, 2, 1))
    assert library.mode == 3
