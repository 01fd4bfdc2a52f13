"""A gallery spread over several devices: each searches its share of the rows, all at once.

Work    a thread a device, with the whole search of a share in it; what they find is merged on the host by canonical
        value, so that the answer is that of one device
Shapes  n rows -> a stretch of them for each device, as even as can be
Cost    that of the largest share, and the merge; `max_bytes` holds for each device
Sum     none
"""

import threading
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from .. import devices, pool
from ..filters import Filters
from ..prepared import Share
from .resident import lying


@dataclass(frozen=True, eq=False)
class Portion:
    """Rows of a gallery that one device searches, numbered from `start` on; the current device where it is None."""

    device: Any
    start: int
    y: Any  # `Rows`
    filters: Filters
    prepared: Any = None

    def of(self, rows):
        """The same for some of the queries."""
        return replace(self, filters=self.filters.of(rows))


def of(driver, x, y, filters, prepared):
    """One `Portion` for each device that has a share of the gallery; rows that lie on a device are searched there."""
    wanted = devices.wanted()
    if wanted is None or any(lying(rows) is not None for rows in (x, y)):
        return [Portion(None, 0, y, filters, prepared)]
    count = driver.devices()
    numbers = range(count) if wanted == "all" else wanted
    if max(numbers) >= count:
        raise ValueError(f"devices must be numbers of those that are visible, below {count}, got {max(numbers)}")
    if len(numbers) == 1:
        return [Portion(numbers[0], 0, y, filters, prepared)]
    edges, reading = [len(y) * at // len(numbers) for at in range(len(numbers) + 1)], threading.Lock()
    return [
        _portion(device, start, stop, y.part(start, stop, reading), filters.among(start, stop, reading), prepared)
        for device, (start, stop) in zip(numbers, pairwise(edges), strict=True)
        if start < stop
    ]


def _portion(device, start, stop, y, filters, prepared):
    return Portion(device, start, y, filters, prepared and Share(prepared, y, start, stop))


def each(driver, parts, search, tick=None):
    """[search(part, told)] of all parts, each on its device, at once; tick(done) hears the sum of what they tell."""
    done, telling = dict.fromkeys(parts, 0), threading.Lock()
    found = {}

    def job(part):
        def told(count, _=None):
            if len(parts) > 1:
                pool.go_on()
            with telling:
                done[part] = count
                if tick is not None:
                    tick(sum(done.values()))

        with driver.on(part.device):
            found[part] = search(part, told)

    if len(parts) == 1:
        job(parts[0])
    else:
        _together(parts, job)
    return [found[part] for part in parts]


def _together(parts, job):
    try:
        with pool.at_most(len(parts)):  # threads that mostly wait for their devices
            pool.run([lambda part=part: job(part) for part in parts])
    except ValueError:
        for part in parts:  # the first row that is not finite is named, whoever was first to see one
            part.y.refuse_unfinite()
        raise
