"""Large copies between host and device: by pinned buffers, which threads fill or empty while others are under way.

Cost: an H100 took pageable memory at 17 GB/s and pinned memory at 46; one thread moves 10 GB/s in host memory.
"""

import contextlib
import threading
from functools import cache

import numpy as np

from .. import pool

WORTH = 8 << 20  # bytes; less is copied as it is: a search with 6 MB of queries took 2.7 ms, by buffers 2.9 to 3.2
LEAST, BUFFER, BUFFERS = 4 << 20, 32 << 20, 3
TO_DEVICE, TO_HOST = 1, 2  # cudaMemcpyKind
_making = threading.Lock()


@cache
def _made(device):
    import cupy

    stream = cupy.cuda.Stream(non_blocking=True)
    memory = [cupy.cuda.alloc_pinned_memory(BUFFER) for _ in range(BUFFERS)]
    buffers = [(np.frombuffer(part, np.uint8, BUFFER), cupy.cuda.Event(disable_timing=True)) for part in memory]
    return threading.Lock(), stream, buffers


@contextlib.contextmanager
def _buffers(device):
    """Stream and buffers of a device, for one caller at a time."""
    with _making:
        busy, stream, buffers = _made(device)
    with busy:
        yield stream, buffers


def fits(array):
    """Whether it has rows, and they fit a buffer."""
    return 0 < array.nbytes <= len(array) * BUFFER


def worth(array):
    """Whether there is enough of it, too."""
    return array.nbytes >= WORTH and fits(array)


def _pieces(array):
    """(start, stop) of rows: four pieces or more, so that they overlap."""
    row_bytes = max(1, array.nbytes // len(array))
    step = max(1, min(BUFFER, max(LEAST, array.nbytes // 4)) // row_bytes)
    return [(start, min(start + step, len(array)), start * row_bytes) for start in range(0, len(array), step)]


def copied(cupy, target, host, after=None):
    """Fill rows on the device from host rows of the same shape and dtype; what is launched later waits for them.

    The target may be filled once the mark `after` has passed; without one, once all that was launched before is done.
    """
    current = cupy.cuda.get_current_stream()
    with _buffers(cupy.cuda.Device().id) as (stream, buffers):
        stream.wait_event(current.record() if after is None else after)
        for number, (start, stop, offset) in enumerate(_pieces(target)):
            part, (buffer, done) = host[start:stop], buffers[number % len(buffers)]
            done.synchronize()
            _moved(buffer[: part.nbytes].view(part.dtype).reshape(part.shape), part)
            address = target.data.ptr + offset
            cupy.cuda.runtime.memcpyAsync(address, buffer.ctypes.data, part.nbytes, TO_DEVICE, stream.ptr)
            done.record(stream)
        current.wait_event(stream.record())


def brought(cupy, target, array, after=None):
    """Fill host rows, however they lie, from device rows of the same shape and dtype in C order; waits for them.

    They are there once the mark `after` has passed; without one, once all that was launched before is done.
    """
    current, waiting = cupy.cuda.get_current_stream(), []
    with _buffers(cupy.cuda.Device().id) as (stream, buffers):
        stream.wait_event(current.record() if after is None else after)
        for number, (start, stop, offset) in enumerate(_pieces(array)):
            if len(waiting) == len(buffers):
                _emptied(*waiting.pop(0))
            part, (buffer, done) = target[start:stop], buffers[number % len(buffers)]
            address = array.data.ptr + offset
            cupy.cuda.runtime.memcpyAsync(buffer.ctypes.data, address, part.nbytes, TO_HOST, stream.ptr)
            done.record(stream)
            waiting.append((part, buffer, done))
        for piece in waiting:
            _emptied(*piece)


def _emptied(part, buffer, done):
    done.synchronize()
    _moved(part, buffer[: part.nbytes].view(part.dtype).reshape(part.shape))


def _moved(target, source):
    """Copy rows with all threads."""
    pool.over(len(source), source.nbytes, lambda start, stop: np.copyto(target[start:stop], source[start:stop]))
