"""Launches asked for together, on a CuPy of host memory: what is captured and in which order, and what is put back."""

import ctypes
import types

import numpy as np
import pytest

from crossmodal_fast.kernels.tiles.cuda import driver as drivers
from crossmodal_fast.kernels.tiles.cuda import graph

HANDLE, USUAL = 5, 77


class Device:
    """An array as CuPy shows it, in host memory."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.size, self.nbytes = (
            array, array.shape, array.dtype, array.size, array.nbytes,
        )  # fmt: skip
        self.data = types.SimpleNamespace(ptr=array.ctypes.data)

    def __len__(self):
        return self.shape[0]


class Recorded:
    """A CuPy whose streams keep what they are asked for while they are captured, and do it at each launch."""

    def __init__(self, spoiled=False):
        self.held, self.told, self.spoiled = None, [], spoiled
        recorder = self

        class Stream:
            ptr = 42

            def __init__(self, non_blocking):
                assert non_blocking

            def __enter__(self):
                recorder.told.append("enter")

            def __exit__(self, *_):
                recorder.told.append("exit")

            def begin_capture(self):
                recorder.held = []

            def end_capture(self):
                calls, recorder.held = recorder.held, None
                if recorder.spoiled:
                    raise RuntimeError("the capture was invalidated")
                return types.SimpleNamespace(launch=lambda stream: [call() for call in calls])

        def copied(target, source, size, kind, stream):
            self.held.append(lambda: ctypes.memmove(target, source, size))
            self.told.append(("copy", kind, stream))

        self.empty = lambda size, dtype: Device(np.empty(size, dtype))
        self.cuda = types.SimpleNamespace(
            Stream=Stream,
            cublas=types.SimpleNamespace(getStream=lambda handle: USUAL),
            runtime=types.SimpleNamespace(memcpyAsync=copied),
            device=types.SimpleNamespace(get_cublas_handle=lambda: HANDLE),
            alloc_pinned_memory=lambda size: bytearray(size),
            get_current_stream=lambda: types.SimpleNamespace(synchronize=lambda: self.told.append("waited")),
        )

    def library(self, _):
        def stream_of(handle, stream):
            self.told.append(("stream", stream))

        def room_of(handle, address, size):
            self.told.append(("room", size))

        return types.SimpleNamespace(cublasSetStream_v2=stream_of, cublasSetWorkspace_v2=room_of)


def made(cupy, monkeypatch):
    """A graph of a product and a launch: the block is the sums of rows, twice, then plus one."""
    monkeypatch.setattr(graph, "cublas", cupy.library)
    rows, block = Device(np.zeros((3, 2), np.float32)), Device(np.zeros(3, np.float32))

    def doubled():
        np.multiply(2, rows.array.sum(axis=1), out=block.array)

    def product(call, library):
        assert call.arguments == ("x", "y")
        cupy.held.append(doubled)

    def plus():
        cupy.held.append(lambda: np.add(block.array, 1, out=block.array))

    return graph.Graph(cupy, product, rows, block, (graph.Product(None, ("x", "y")), plus))


def test_queries_go_there_and_the_answer_comes_back(monkeypatch):
    cupy = Recorded()
    replay = made(cupy, monkeypatch)
    assert cupy.told == [
        "enter", ("stream", 42), ("room", graph.WORKSPACE_BYTES), ("copy", graph.TO_DEVICE, 42),
        ("copy", graph.TO_HOST, 42), ("stream", USUAL), "exit",
    ]  # fmt: skip
    for x in (np.ones((3, 2), np.float32), np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]):
        np.testing.assert_array_equal(replay(x), 2 * x.sum(axis=1) + 1)
        assert cupy.told[-1] == "waited"


def test_what_cannot_be_captured_goes_one_by_one(monkeypatch):
    """And the handle is on its stream again."""
    cupy = Recorded(spoiled=True)
    with pytest.raises(RuntimeError):
        made(cupy, monkeypatch)
    assert cupy.told[-2:] == [("stream", USUAL), "exit"]
    driver = drivers.Cupy.__new__(drivers.Cupy)
    driver.xp, asked = cupy, []
    driver.put, driver.host = (lambda rows, x: asked.append((rows, x))), (lambda block: block)
    rows = Device(np.zeros(1))
    for refused in (cupy.library, lambda _: (_ for _ in ()).throw(OSError("no libcublas"))):
        monkeypatch.setattr(graph, "cublas", refused)
        found = driver.replay(rows, rows, (lambda: asked.append("call"),))
        assert isinstance(found, graph.Singly)
        assert found("x") is rows
        assert asked[-2:] == [(rows, "x"), "call"]


def test_a_refusal_of_the_library_is_told():
    with pytest.raises(RuntimeError, match="cublasGemmEx must return 0, got 15"):
        graph._checked(15, types.SimpleNamespace(__name__="cublasGemmEx"), ())
    graph._checked(0, None, ())
