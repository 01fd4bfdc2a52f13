"""A pytest plugin, `-p interpreted`: kernels on Numba run as the Python they are written in, a line at a time.

So coverage sees their lines, and a changed line counts at once. LLVM IR stays compiled: an intrinsic called from Python
is one compiled function of it. Arithmetic is NumPy's, which gives Numba's bits but where float32 meets a number
of Python: the bounds may come out wider or narrower by a rounding, which their slack covers.
"""

import importlib
import signal
import threading
from functools import cache, wraps

import numba
import numpy as np
import pytest
from numba.core.extending import _Intrinsic

from crossmodal_fast.kernels.tiles import jit, memory

SECONDS = 15  # of a core, for one test


def kernel(*made_for, **options):
    def decorate(function):
        @wraps(function)
        def run(*arguments):
            with np.errstate(all="ignore"):  # as the machine's own arithmetic
                return function(*arguments)

        return run

    return decorate


@cache
def compiled(intrinsic, count):
    """A function of so many arguments that is the intrinsic."""
    names, space = ", ".join(f"a{at}" for at in range(count)), {"intrinsic": intrinsic}
    exec(f"def call({names}):\n    return intrinsic({names})", space)
    return numba.njit(space["call"])


entries = {}


def entry(function, arguments):
    """In place of an address: a number that `called` knows."""
    entries[id(function)] = function
    return id(function)


jit.kernel = kernel
jit.part = lambda **options: lambda function: function
jit.plain = lambda array, dtype=None: np.ascontiguousarray(array, dtype)
jit.borrowed = lambda value: value
jit.address_of = lambda array: array.ctypes.data
jit.entry = entry
jit.called = lambda address, arguments: entries[address](*arguments)
canonical = importlib.import_module("crossmodal_fast.kernels.tiles.canonical")  # after all that it takes from `jit`
far = canonical.far


@cache
def kept(term, elements):
    """`canonical.far`, whose totals lie on the stack of the kernel: copied while they are there."""
    intrinsic, number = far(term, elements), memory.number

    @numba.njit
    def copied(d, x, table, totals):
        at = intrinsic(d, x, table)
        for position in range(totals.size):
            totals[position] = number(at, position)

    def added(d, x, table):
        totals = stacks.setdefault(
            (term.name, elements, threading.get_ident()), np.empty((term.totals, canonical.COLUMNS))
        )
        copied(d, x, table, totals.reshape(-1))
        return totals.ctypes.data

    return added


stacks = {}
canonical.far = kept
_Intrinsic.__call__ = lambda intrinsic, *arguments: compiled(intrinsic, len(arguments))(*arguments)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Tests with inputs for machine code end, skipped, after SECONDS: what they ran has been seen."""

    def enough(*_):
        pytest.skip(f"not through after {SECONDS} s of Python")

    before = signal.signal(signal.SIGPROF, enough)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
