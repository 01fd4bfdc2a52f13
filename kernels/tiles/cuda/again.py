"""A small search like the one before it: one graph of its launches, without the Python that led to them.

Work    launches and products of a search of one block in a gallery that stays are noted, their arguments packed; the
        next of the same kind copies its queries to where those were, asks for all of it, and reads the answer
Shapes  as `kernels/topk/gpu_cuda.py`
Cost    of an H100's host, for 10 of 100,000 x 128: 0.40 ms on the way through plan, parts and lists with the launches
        one by one (4 us a launch, 20 a product); a graph is asked for in 7 us
Sum     as noted
"""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from .. import metrics
from ..filters import Stats
from . import driver as drivers
from . import resident
from .resident import held_as
from .workspace import KEPT_BYTES


@dataclass
class Noted:
    """Of one workspace: what a search must be like to be the same, where its queries lie, and all that was asked."""

    kind: tuple
    rows: Any
    calls: tuple
    replay: Any = None  # made when a second search comes


def calls_of(search):
    """An empty list, to be filled with the calls of a search that can be done again; None for others."""
    small = search.kept and search.way is resident and search.lane.tiles == 1
    one = len(search.sizes.blocks(len(search.x), len(search.y))) == 1
    filters, x = search.filters, search.x
    plain = filters.mask is filters.exclude is filters.bias is None
    given = held_as(x) == x.store.dtype  # not so of bfloat16, which lies there as the bits that uint16 has
    return [] if small and one and plain and given else None


def note(search, queries, answer, max_bytes):
    """`Again`, and the calls with the workspace; None if something was repaired or what they hold is much."""
    make, derived = queries.make, queries.held.rows is not queries.given and queries.held.rows.nbytes
    held = make.nbytes + search.ring.nbytes + derived
    if search.calls is None or answer["lost"].any() or held > KEPT_BYTES:
        return None
    again = Again(search, queries.given, max_bytes)
    make.noted = Noted(again.kind, queries.given, tuple(search.calls))
    return again


class Again:
    """Does searches like one that was noted. It knows the device, not what is in the way of a backend."""

    def __init__(self, search, rows, max_bytes):
        self.driver, self.device, self.metric = search.driver, search.driver.device, search.metric
        self.held, self.shape, self.dtype = search.part.held, rows.shape, rows.dtype
        self.kind = rows.dtype, search.metric.name, max_bytes

    def __call__(self, X, distances, indices):
        """Fill them, (m, k); returns `Stats`, or None where this search is another or needs more."""
        if type(X) is not np.ndarray or X.shape != self.shape or X.dtype != self.dtype:
            return None
        driver, (m, k) = self.driver, distances.shape
        if drivers.current() is not driver or driver.device != self.device:
            return None
        began, spare = perf_counter(), self.held.spare
        make = spare.noted(m, k)
        if make is None:
            return None
        noted = make.noted
        if noted.kind != self.kind:
            spare.back(make, m, k)
            return None
        try:
            if noted.replay is None:
                noted.replay = driver.replay(noted.rows, make.block, noted.calls)
            answer = make.split(noted.replay(X))
        except driver.out_of_memory:
            return None
        if answer["said"][0] < m:
            return None  # and what the workspace holds is lost with it
        lost = answer["lost"].any()
        if not lost:
            indices[...] = answer["index"]
            with np.errstate(all="ignore"):
                distances[...] = metrics.returned(self.metric, answer["value"], distances.dtype, False)
            stats = Stats(answer["count"].astype(np.int64), np.zeros(m, bool), "float16")
        spare.back(make, m, k)  # not before all is read: the next answer comes to the same place
        if lost:
            return None
        stats.scan_seconds = perf_counter() - began
        return stats
