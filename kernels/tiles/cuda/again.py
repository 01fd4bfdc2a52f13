"""A small search like the one before it: the same launches, without the Python that led to them.

Work    launches and products of a search of one block in a gallery that stays are noted, their arguments packed; the
        next of the same kind copies its queries to where those were, launches, and reads the answer
Shapes  as `kernels/topk/gpu_cuda.py`
Cost    4 us a launch and 10 a product, where the way through plan, parts and lists takes a search of an H100 0.5 ms
Sum     as noted
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..filters import Stats
from . import resident
from .resident import held_as, uploaded
from .workspace import KEPT_BYTES


@dataclass(frozen=True)
class Noted:
    """Of one workspace: what a search must be like to be the same, where its queries lie, and all that was asked."""

    kind: tuple
    rows: Any
    calls: tuple


def _kind(x, metric, max_bytes):
    return held_as(x), metric.name, max_bytes


def _plain(filters):
    return filters.mask is filters.exclude is filters.bias is None


def calls_of(search):
    """An empty list, to be filled with the calls of a search that can be done again; None for others."""
    small = search.kept and search.way is resident and search.lane.tiles == 1
    one = len(search.sizes.blocks(len(search.x), len(search.y))) == 1
    return [] if small and one and _plain(search.filters) else None


def note(search, queries, answer, max_bytes):
    """Keep the calls with the workspace of the queries, if nothing was repaired and all that they hold is little."""
    make, derived = queries.make, queries.held.rows is not queries.given and queries.held.rows.nbytes
    held = make.nbytes + search.ring.nbytes + derived
    if search.calls is not None and not answer["lost"].any() and held <= KEPT_BYTES:
        make.noted = Noted(_kind(search.x, search.metric, max_bytes), queries.given, tuple(search.calls))


def searched(driver, x, part, metric, k, max_bytes, keep):
    """`Stats` of a search whose like is noted; None where none is, or where this one needs more."""
    if part.prepared is None or metric.form is None or not _plain(part.filters):
        return None
    held, m = part.prepared.kept_as(f"cuda {driver.device} {resident.key(metric)}"), len(x)
    make = None if held is None else held.spare.noted(m, k)
    if make is None:
        return None
    noted = make.noted
    if noted.kind != _kind(x, metric, max_bytes):
        held.spare.back(make, m, k)
        return None
    uploaded(driver, x, 0, m, noted.rows)
    for call in noted.calls:
        call()
    answer = make.answer()
    if answer["said"][0] < m:
        return None  # and what the workspace holds is lost with it
    held.spare.back(make, m, k)
    if answer["lost"].any():
        return None
    keep(slice(0, m), answer["value"], answer["index"])
    return Stats(answer["count"].astype(np.int64), np.zeros(m, bool), "float16", 0.0)
