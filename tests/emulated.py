"""The emulator of tests/simt in the place of a GPU, for whole calls and for single kernels."""

import contextlib
import tracemalloc
from unittest import mock

import pytest

import simt
from crossmodal_fast import _dispatch
from crossmodal_fast.kernels.tiles.cuda import driver as drivers
from least import least_max_bytes
from simt.driver import Emulated

FLAVOURS = [
    ("plain", 0), ("race", 3), ("address", 4),
    *(pytest.param((flavour, seed), marks=pytest.mark.heavy) for flavour in ("plain", "race") for seed in (5, 6, 7)),
]  # fmt: skip
BESIDE, LAUNCH_BYTES = 1 << 15, 300  # that a call takes whatever its sizes; that ctypes leaves of a launch


@contextlib.contextmanager
def emulated(**options):
    """A driver on the emulator, which `backend="cuda"` then finds."""
    driver = Emulated(**options)
    with mock.patch.object(_dispatch, "LIBRARY", {"numba": "numba"}), drivers.replaced(driver):
        yield driver


def launcher(flavour, seed):
    """Launches a kernel of a file in one of the builds, with one seed."""

    def launch(kernel, grid, arguments, block=256, **macros):
        library = simt.build(simt.CUDA / f"{kernel}.cu", flavour, **macros)
        library.launch(kernel, grid, block, arguments, seed=seed)

    return launch


def runs_in_its_least(driver, call):
    """The answer of `call(max_bytes=...)` with the least that it asks for: it allocates no more, nor takes less."""
    least = least_max_bytes(call)
    with pytest.raises(ValueError, match=f"max_bytes must be at least {least} "):
        call(max_bytes=least - 1)
    call(max_bytes=least)  # builds kernels
    driver.launched.clear()
    tracemalloc.start()
    try:
        answer = call(max_bytes=least)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    held = sum(part.nbytes for part in (answer if isinstance(answer, tuple) else (answer,)))
    most = least + BESIDE + LAUNCH_BYTES * len(driver.launched)
    assert peak - held <= most, f"{peak - held} bytes were allocated beside the answer, {least} are allowed"
    return answer
