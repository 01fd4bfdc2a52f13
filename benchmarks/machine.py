"""What the machine can do at best, measured in the same run, and the memory that a call takes."""

import ctypes
import gc
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from rows import THREADS

ACCUMULATORS = 12  # two units times a latency of 4 or 5 cycles want 8 to 10; AVX2 has 16 registers
PEAK_STEPS = 4_000_000  # a thread and try, about 12 ms
READ_TARGET = 1 << 28  # bytes of a try: an array smaller than that is read again and again
TRIES = 5
WORD = np.int64
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def lanes():
    """Float32 numbers in a vector register."""
    has = binding.get_host_cpu_features().get
    return 16 if has("avx512f") else 8 if has("avx") else 4


@intrinsic
def multiply_adds(typing, steps, factor):
    """`steps` times a fused multiply-add into each of the accumulators, in registers; their sum, so that they count.

    They start from different numbers: the compiler makes one of those that are equal.
    """

    def emit(context, builder, signature, given):
        vector, long = ir.VectorType(ir.FloatType(), lanes()), ir.IntType(64)
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes()}f32"
        )
        factor = ir.Constant(vector, ir.Undefined)
        for lane in range(lanes()):
            factor = builder.insert_element(factor, given[1], ir.IntType(32)(lane))
        before, loop, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        count, totals = builder.phi(long), [builder.phi(vector) for _ in range(ACCUMULATORS)]
        following = builder.add(count, long(1))
        added = [builder.call(fma, [total, factor, factor]) for total in totals]
        count.add_incoming(long(0), before)
        count.add_incoming(following, loop)
        for number, (total, later) in enumerate(zip(totals, added, strict=True)):
            total.add_incoming(ir.Constant(vector, [float(number)] * lanes()), before)
            total.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, given[0]), loop, after)
        builder.position_at_end(after)
        found = added[0]
        for total in added[1:]:
            found = builder.fadd(found, total)
        return builder.extract_element(found, ir.IntType(32)(0))

    return types.float32(types.int64, types.float32), emit


@njit(nogil=True)
def many_multiply_adds(steps, factor):
    return multiply_adds(steps, factor)


@njit(nogil=True)
def total(words, times):
    found = 0
    for turn in range(times):
        for word in words:
            found += word ^ turn
    return found


@cache
def executor():
    return ThreadPoolExecutor(THREADS, thread_name_prefix="benchmark")


def at_once(jobs):
    return [task.result() for task in [executor().submit(job) for job in jobs]]


def best_seconds(call):
    call()
    found = []
    for _ in range(TRIES):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return min(found)


_peaks = {}  # when it was measured: what


def peak_gflops(when=None):
    """Float32 multiply-adds of all threads, each two operations, in 10^9 a second: the best of all tries so far.

    Measured again for every new `when`, so that a moment at which others used the cores does not count for the run.
    """
    if when not in _peaks:
        many_multiply_adds(1, np.float32(0.5))
        jobs = [partial(many_multiply_adds, PEAK_STEPS, np.float32(0.5))] * THREADS
        seconds = best_seconds(lambda: at_once(jobs))
        _peaks[when] = 2 * lanes() * ACCUMULATORS * PEAK_STEPS * THREADS / seconds / 1e9
    return max(_peaks.values())


def reader(array, times=1):
    """The call that reads each byte of an array on all threads, and does nothing else worth the name."""
    words = np.frombuffer(array, WORD, array.nbytes // WORD().itemsize)
    jobs = [partial(total, part, times) for part in np.array_split(words, THREADS)]

    def read():
        at_once(jobs)

    read.bytes = times * words.nbytes
    return read


@cache
def read_gbs(size):
    """10^9 bytes a second when an array of about `size` bytes is read again and again: small ones stay in a cache."""
    array = np.ones(max(size // WORD().itemsize, THREADS), WORD)
    times = max(1, READ_TARGET // array.nbytes)
    return times * array.nbytes / best_seconds(reader(array, times)) / 1e9


def comparable(size):
    """A size like it that others share, so that few have to be measured: a power of two, at most 1 GiB."""
    return 1 << min(max(size, 1 << 12).bit_length() - 1, 30)


@cache
def settle(modules):
    """Once for so many modules: what imports have made is not looked through again. Beside torch and scikit-learn to
    collect took 0.15 s, minutes of `make bench`."""
    gc.collect()
    gc.freeze()


@contextmanager
def peak_memory(found):
    """Put into `found["memory"]` by how many bytes the resident memory grew inside at most; None where unknown.

    Freed memory that malloc keeps would hide what a call takes, so it is returned first.
    """
    found["memory"] = None
    settle(len(sys.modules))
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR.write_text("5")  # the high-water mark becomes what is resident now
        before = resident("VmRSS")
    except (OSError, AttributeError, TypeError):
        yield
        return
    yield
    found["memory"] = max(0, resident("VmHWM") - before)


def resident(name):
    """Bytes that /proc says of this process."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])
