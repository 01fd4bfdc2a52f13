"""`python benchmarks/growth.py [--results FOLDER]`: how our time grows with m, n, d and k, as fitted exponents.

One size after the other is doubled from the middle on while the others stay. Every answer is held against float64
before its time counts. A round goes through all sizes of a sweep, so that what slows the machine down for a while slows
all of them. The exponent is the slope of a least-squares line through log(median) against log(size), with its 95 %
interval: it speaks of these sizes, where fixed costs count too, not of the limit.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import exponents
import numpy as np
import rows
from scipy.special import stdtrit
from threadpoolctl import threadpool_limits

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # cases and judge, where this is run as a script

from answers import must_keep_promise
from columns import timed
from contenders import OUR_CALLS
from data import arguments
from shapes import Case

PAUSE = 0.02  # seconds between calls: threads of a BLAS spin after their work
ROUNDS = 7
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Sweep:
    """The sizes that `axis` of a case takes, and the exponent that its definition has."""

    case: Case
    axis: str
    sizes: tuple[int, ...]
    expected: float

    def cases(self):
        return [replace(self.case, **{self.axis: size}) for size in self.sizes]


def doubled(first, times):
    return tuple(first << step for step in range(times))


SEARCH = Case("topk", 1000, 20_000, 128, 10)
DISTANCES = Case("pairwise_distances", 1000, 4000, 128)
MAP = Case("transfer", 4000, 256, 256)
SWEEPS = (
    Sweep(SEARCH, "m", doubled(500, 5), 1),
    Sweep(SEARCH, "n", doubled(10_000, 5), 1),
    Sweep(SEARCH, "d", doubled(64, 5), 1),
    Sweep(SEARCH, "k", doubled(2, 8), 0),
    Sweep(DISTANCES, "m", doubled(500, 5), 1),
    Sweep(DISTANCES, "n", doubled(1000, 5), 1),
    Sweep(DISTANCES, "d", doubled(64, 5), 1),
    Sweep(MAP, "m", doubled(2000, 5), 1),
    Sweep(MAP, "d", doubled(64, 5), 1),
)


def fitted(sizes, seconds):
    """(exponent, its lower and its upper bound)."""
    x, y = np.log(sizes), np.log(seconds)
    slope, start = np.polyfit(x, y, 1)
    freedom = len(x) - 2
    deviation = np.sqrt(((y - slope * x - start) ** 2).sum() / freedom / ((x - x.mean()) ** 2).sum())
    away = stdtrit(freedom, (1 + CONFIDENCE) / 2) * deviation
    return slope, slope - away, slope + away


def calls(sweep):
    """Our call for each size, its answer found right, and called once more: what is compiled or encoded once is."""
    made = []
    for case in sweep.cases():
        call = OUR_CALLS[case.operation](*arguments(case), backend="auto")
        must_keep_promise(case, call())
        call()
        made.append(call)
    return made


def measured(sweep, rounds=ROUNDS):
    """The row of a sweep."""
    ready = calls(sweep)
    seconds = np.empty((rounds, len(ready)))
    for turn in seconds:
        for place, call in enumerate(ready):
            time.sleep(PAUSE)
            began = time.perf_counter()
            call()
            turn[place] = time.perf_counter() - began
    columns = [timed(series) for series in seconds.T]
    exponent, low, high = fitted(sweep.sizes, np.median(seconds, axis=0))
    others = {name: getattr(sweep.case, name) for name in ("m", "n", "d", "k")} | {sweep.axis: None}
    return {
        "operation": sweep.case.operation,
        "axis": sweep.axis,
        "fixed": {name: size for name, size in others.items() if size},
        "sizes": list(sweep.sizes),
        "ms": [column["ms"] for column in columns],
        "spread": [column["spread"] for column in columns],
        "rounds": rounds,
        "exponent": exponent,
        "low": low,
        "high": high,
        "expected": sweep.expected,
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=rows.FOLDER)
    chosen = parser.parse_args(arguments)
    facts = {"machine": rows.machine(), "versions": rows.versions(), "commit": rows.commit(), "date": rows.today()}
    with threadpool_limits(rows.THREADS):
        grown = [{name: rows.rounded(value) for name, value in measured(sweep).items()} for sweep in SWEEPS]
    target = chosen.results / f"{rows.slug(facts['machine'])}-growth-{facts['date']}.json"
    chosen.results.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(facts | {"rows": grown}, indent=1) + "\n", encoding="utf-8")
    print(exponents.table(grown))


if __name__ == "__main__":
    main()
