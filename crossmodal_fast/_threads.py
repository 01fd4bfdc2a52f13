"""The threads of BLAS, which belong to the whole process, lent to calls that may overlap."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_wanted: list[int] = []  # by the calls that are inside
_found: list[tuple[Any, int]] = []  # libraries, and their threads before the first of these calls
_known: tuple[int, list[Any]] = (0, [])  # modules loaded when the libraries were looked up, and these


@contextmanager
def blas_threads(most: int | None) -> Iterator[None]:
    """At most `most` BLAS threads inside, None for as many as before. The least of overlapping wishes holds for all.

    threadpoolctl's own context restores what it found: with two callers that overlap, the limit of the first for good.
    """
    if most is None:
        yield
        return
    with _lock:
        if not _wanted:
            _found[:] = [(library, library.num_threads) for library in _libraries()]
        _wanted.append(int(most))
        _apply()
    try:
        yield
    finally:
        with _lock:
            _wanted.remove(int(most))
            _apply()


def _libraries() -> list[Any]:
    """Those of BLAS that are loaded, looked up again once more modules are.

    To look them up reads all mappings of the process: 1 ms, and after many compilations 0.4 MB, larger than some
    workspaces.
    """
    global _known
    from threadpoolctl import ThreadpoolController

    if _known[0] != len(sys.modules):
        _known = len(sys.modules), ThreadpoolController().select(user_api="blas").lib_controllers
    return _known[1]


def _apply() -> None:
    for library, threads in _found:
        library.set_num_threads(min([threads, *_wanted]))
