"""Cross products of parameters, thinned: `make test` runs a rotation, `make test-all` everything."""

import itertools

import pytest

from cases import CASES, METRICS

OPERATIONS = ("topk", "topk_both", "within", "ranks", "gallery", "pairwise")
EDGES = (  # where each metric has a rule of its own
    "all-zero", "zero-rows", "constant-rows-float64", "bool", "one-gallery-row",
)  # fmt: skip


def thinned(every, *axes, always=(), shift=0):
    """Parameters of all combinations; off the rotation, which takes one in `every`, they are heavy.

    Any two values of different axes meet in the rotation where a third axis has `every` values or more; a value in
    `always` meets all others.
    """
    found = []
    for combination in itertools.product(*(enumerate(axis) for axis in axes)):
        place, values = zip(*combination, strict=True)
        light = (sum(place) + shift) % every == 0 or set(values) & set(always)
        if light or all_are_wanted():
            marks = () if light else (pytest.mark.heavy,)
            found.append(pytest.param(*values, marks=marks, id="-".join(map(str, values))))
    return found


def all_are_wanted():
    """Whether this run is of heavy tests too: half of all are, and a worker takes 2 s to collect what it leaves out."""
    return wanted["marks"] != "not heavy"


wanted = {"marks": None}  # conftest.py writes what `-m` says into it


def cases_by_metrics(operation, names=tuple(CASES)):
    """(name, metric): each pair for one of the six operations, and of each operation a sixth of all pairs."""
    return thinned(len(OPERATIONS), names, METRICS, always=EDGES, shift=OPERATIONS.index(operation))


class naming:
    """For a test of many cases: what fails inside says which case it was."""

    def __init__(self, *case):
        self.case = case

    def __enter__(self):
        return self

    def __exit__(self, kind, failure, trace):
        if failure is not None:
            failure.add_note(f"in the case {', '.join(map(str, self.case))}")
