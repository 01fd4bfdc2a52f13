"""A second queue of launches: tiles are looked at on it while the current stream makes the next scores.

Work    events order the two: what is launched on the lane after `follow` finds all that the current stream was asked
        for before; the current stream goes on at once, but where it waits for a mark of the lane
Shapes  none
Cost    two events a tile, 6 us of Python. On an H100 products and filters of 10,000 x 1,000,000 x 768 took 23 and 10 ms
        one after the other
Sum     none

The lane has the higher priority: its blocks are small, wait for memory, and start as soon as a processor is free, while
cuBLAS fills all the rest. They still take most of their time from the products: 57 ms of a search became 40 because the
device no longer waits for the host. A filter that was held to a third of the processors made it 44.

Memory stays that of the current stream, which must wait for the lane (`join`) before any is given back that the lane
may still read.
"""

from functools import cache

TILES = 2  # one is written while the other is read
HIGHEST = -5  # of a stream's priorities; a device that has fewer takes its own highest


@cache
def _stream(device):
    import cupy

    return cupy.cuda.Stream(non_blocking=True, priority=HIGHEST)


class Beside:
    """Launches on a stream of ours, beside the current one of this thread."""

    tiles = TILES

    def __init__(self, cupy, launched):
        self.cupy, self.launched = cupy, launched
        self.stream = _stream(cupy.cuda.Device().id)
        self.join()  # what an interrupted search left here is done before memory is taken

    def launch(self, kernel, grid, block, arguments, **macros):
        self.launched(self.stream, kernel, grid, block, arguments, macros)

    def follow(self):
        """What is launched here from now on waits for all that the current stream was asked for."""
        self.stream.wait_event(_recorded(self.cupy, self.cupy.cuda.get_current_stream()))

    def mark(self):
        """All that was launched here so far."""
        return _recorded(self.cupy, self.stream)

    def join(self, mark=None):
        """The current stream goes on when the lane has come to a mark, or to where it is now."""
        self.cupy.cuda.get_current_stream().wait_event(self.mark() if mark is None else mark)


class Same:
    """No second queue: launches on the current stream, where all is in order."""

    tiles = 1

    def __init__(self, driver):
        self.launch = driver.launch

    def follow(self):
        pass

    def mark(self):
        pass

    def join(self, mark=None):
        pass


def _recorded(cupy, stream):
    event = cupy.cuda.Event(disable_timing=True)
    event.record(stream)
    return event
