"""The driver on CuPy, as far as a machine without a GPU can tell: what is in the way, and what a launch hands over."""

import re
import sys
import types

import numpy as np
import pytest

from crossmodal_fast.kernels.tiles.cuda import driver as drivers


class NoDriver(RuntimeError):
    """Stands for CUDARuntimeError."""


def planted(monkeypatch, count):
    """A module in the place of CuPy whose runtime counts `count` devices, or raises it."""

    def devices():
        if isinstance(count, Exception):
            raise count
        return count

    launched = []

    def module(**keywords):
        def function(name):
            return lambda *given: launched.append((name, keywords, given))

        return types.SimpleNamespace(get_function=function)

    runtime = types.SimpleNamespace(getDeviceCount=devices, CUDARuntimeError=NoDriver)
    cuda = types.SimpleNamespace(runtime=runtime, Device=lambda: types.SimpleNamespace(id=0))
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=cuda, RawModule=module))
    drivers._function.cache_clear()
    return launched


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (NoDriver("cudaErrorInsufficientDriver"), "no CUDA driver answers (cudaErrorInsufficientDriver)"),
        (0, "no CUDA device is visible"),
        (2, None),
    ],
)
def test_what_is_in_the_way(count, reason, monkeypatch):
    planted(monkeypatch, count)
    assert drivers.obstacle() == reason


def test_a_launch_hands_over_text_macros_and_null_pointers(monkeypatch):
    launched = planted(monkeypatch, 1)
    driver = drivers.current()
    driver.launch("rerank", 5, 64, [np.int32(3), None], INPUT="double", METRIC=2)
    driver.launch("filter", (5, 2), 256, [])
    (name, compiled, (grid, block, values)), (_, _, (wide, _, _)) = launched
    assert (name, grid, block, wide) == ("rerank", (5, 1, 1), (64,), (5, 2, 1))
    assert [(value.dtype.itemsize, int(value)) for value in values] == [(4, 3), (8, 0)]
    assert compiled["options"] == ("-std=c++17", "-fmad=false", "-DINPUT=double", "-DMETRIC=2")
    assert re.search(r"\brerank\(const INPUT\*", compiled["code"])
    drivers._function.cache_clear()


def test_a_replacement_ends_with_its_context(monkeypatch):
    planted(monkeypatch, 0)
    with drivers.replaced("first"), drivers.replaced("second"):
        assert drivers.current() == "second"
        assert drivers.obstacle() is None
    assert isinstance(drivers.current(), drivers.Cupy)
