"""The cases of the benchmarks made small, and rows of results as if they had been timed."""

from dataclasses import replace

import rows
import shapes

SMALL = {"m": 12, "n": 40, "d": 9}  # of every case
LITTLE = {"m": 200, "n": 30, "d": 9}  # of those of the toolkit: more pairs than features
SHRUNK = [replace(case, **SMALL, k=case.k and 3, maps=case.maps and 4) for case in shapes.SHORT]
SHRUNK += [replace(case, **LITTLE, k=case.k and 3) for case in (*shapes.TOOLKIT, *shapes.LARGE)]
CASES = {f"{case.operation}, {case.data}, {case.maps}": case for case in SHRUNK}


def row(contender, case=CASES["topk, normal, None"], **columns):
    """A row that was timed, or that was not if `skipped` says why."""
    backend = "numpy" if contender == shapes.OURS else None
    timed = {
        "ms": 12.5,
        "spread": 0.05,
        "ratio": 1.0,
        "ratio_low": 0.9,
        "ratio_high": 1.1,
        "error": 3.2e-8,
        "wrong": 0,
        "others": 0.014,
        "rounds": 7,
        "gflops": 10.0,
        **columns,
    }
    return rows.described(case, contender, backend, "call") | (columns if "skipped" in columns else timed)
