"""Cross products of parameters, thinned: `make test` runs a rotation, `make test-all` everything."""

import itertools

import numpy as np
import pytest

from cases import CASES, GEMM_FAMILY, METRICS, arrays, output_dtype

OPERATIONS = ("topk", "topk_both", "within", "ranks", "gallery", "pairwise")
EDGES = (  # where each metric has a rule of its own
    "all-zero", "zero-rows", "constant-rows-float64", "bool", "one-gallery-row",
)  # fmt: skip
WIDE = {name for name in CASES if output_dtype(*arrays(name)) == np.float64}
ALL_DTYPES = ("topk", "gallery", "pairwise")  # for metrics without a bound, a kernel of a second for each of two dtypes


def thinned(every, *axes, always=(), shift=0, never=lambda *values: False):
    """Parameters of all combinations; off the rotation, which takes one in `every`, they are heavy.

    Any two values of different axes meet in the rotation where a third axis has `every` values or more; a value in
    `always` meets all others. What `never` says is heavy in any case.
    """
    found = []
    for combination in itertools.product(*(enumerate(axis) for axis in axes)):
        place, values = zip(*combination, strict=True)
        light = (sum(place) + shift) % every == 0 or set(values) & set(always)
        marks = () if light and not never(*values) else (pytest.mark.heavy,)
        found.append(pytest.param(*values, marks=marks, id="-".join(map(str, values))))
    return found


def cases_by_metrics(operation, names=tuple(CASES)):
    """(name, metric): each pair for two of the six operations, and of each operation a third of all pairs.

    Wide dtypes of a metric without a bound are for one in three of the operations not in ALL_DTYPES: there a kernel is
    one loop of `tiles/direct.py`, which test_direct.py judges for all dtypes, and one epilogue.
    """
    shift = OPERATIONS.index(operation)

    def dear(name, metric):
        unbounded = metric not in GEMM_FAMILY and operation not in ALL_DTYPES
        return unbounded and name in WIDE and (METRICS.index(metric) + shift) % 3 != 0

    return thinned(3, names, METRICS, always=EDGES, shift=shift, never=dear)


class naming:
    """For a test of many cases: what fails inside says which case it was."""

    def __init__(self, *case):
        self.case = case

    def __enter__(self):
        return self

    def __exit__(self, kind, failure, trace):
        if failure is not None:
            failure.add_note(f"in the case {', '.join(map(str, self.case))}")
