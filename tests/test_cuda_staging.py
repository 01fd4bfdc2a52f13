"""Large copies from the device by pinned buffers, on host memory: what comes, in which order, and no buffer twice."""

import ctypes
import threading
import types

import numpy as np
import pytest

from crossmodal_fast.kernels.tiles.cuda import driver as drivers
from crossmodal_fast.kernels.tiles.cuda import staging


class Stream:
    """Copies wait until an event of theirs is synchronised, as late as CUDA may do them, or are done at once."""

    ptr = 5

    def __init__(self, **_):
        self.waiting, self.waited = [], []

    def record(self, event=None):
        return len(self.waiting)

    def wait_event(self, event):
        self.waited.append(event)

    def upto(self, count):
        for copy in self.waiting[:count]:
            copy()
        self.waiting[:count] = [lambda: None] * count


class Event:
    def __init__(self, **_):
        self.stream, self.count = None, 0

    def record(self, stream):
        self.stream, self.count = stream, len(stream.waiting)

    def synchronize(self):
        if self.stream is not None:
            self.stream.upto(self.count)


@pytest.fixture(params=["late", "at-once"])
def cupy(request, monkeypatch):
    """As much of CuPy as staging.py needs, and small buffers."""
    monkeypatch.setattr(staging, "BUFFER", 1 << 10)
    monkeypatch.setattr(staging, "LEAST", 1 << 8)
    monkeypatch.setattr(staging, "WORTH", 1 << 11)
    stream, current = Stream(), Stream()
    memory = [(np.zeros(1 << 10, np.uint8), Event()) for _ in range(2)]
    monkeypatch.setattr(staging, "_made", lambda device: (threading.Lock(), stream, memory))

    def copy(target, source, count, kind, where):
        assert (kind, where) == (2, stream.ptr)
        stream.waiting.append(lambda: ctypes.memmove(target, source, count))
        if request.param == "at-once":
            stream.upto(len(stream.waiting))

    runtime = types.SimpleNamespace(memcpyAsync=copy)
    device = types.SimpleNamespace(id=0)
    cuda = types.SimpleNamespace(runtime=runtime, get_current_stream=lambda: current, Device=lambda: device)
    return types.SimpleNamespace(cuda=cuda, stream=stream)


class Placed:
    """A device array in host memory."""

    def __init__(self, array):
        self.held, self.nbytes, self.dtype, self.shape = array, array.nbytes, array.dtype, array.shape
        self.data = types.SimpleNamespace(ptr=array.ctypes.data)

    def __len__(self):
        return len(self.held)

    def get(self, out=None):
        if out is None:
            return self.held.copy()
        out[...] = self.held
        return out


@pytest.mark.parametrize("rows", [1, 8, 30, 33])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("strided", [False, True])
def test_rows_come_whole_and_in_their_places(rows, dtype, strided, cupy):
    given = np.random.default_rng(2).standard_normal((rows, 30)).astype(dtype)
    out = np.full((2 * rows, 90), np.nan, dtype)[::2, ::3] if strided else np.full((rows, 30), np.nan, dtype)
    driver = drivers.Cupy.__new__(drivers.Cupy)
    driver.xp = cupy
    for after in (None, 17):
        driver.into(out, Placed(given), after)
        np.testing.assert_array_equal(out, given)
        out[...] = np.nan
    staged = given.nbytes >= staging.WORTH
    assert cupy.stream.waited == ([0, 17] if staged else [])
    assert bool(cupy.stream.waiting) == staged


def test_what_waits_for_a_mark_takes_no_place_in_the_current_stream(cupy):
    driver = drivers.Cupy.__new__(drivers.Cupy)
    driver.xp = cupy
    given = np.arange(50, dtype=np.uint8)
    np.testing.assert_array_equal(driver.host(Placed(given), 17), given)
    assert cupy.stream.waited == [17]


def test_rows_of_another_dtype_or_too_wide_come_at_once(cupy):
    driver = drivers.Cupy.__new__(drivers.Cupy)
    driver.xp = cupy
    for shape, dtype in (((40, 30), np.float32), ((3, 900), np.float64)):
        given, out = np.arange(np.prod(shape), dtype=np.float64).reshape(shape), np.zeros(shape, dtype)
        driver.into(out, Placed(given))
        np.testing.assert_array_equal(out, given)
    assert not cupy.stream.waiting
