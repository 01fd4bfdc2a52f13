"""Cross products of parameters, thinned: `make test` runs a rotation, `make test-all` everything."""

import itertools

import pytest

from cases import CASES, GEMM_FAMILY, METRICS

EDGES = ("all-zero", "zero-rows-float64", "bool", "one-gallery-row")  # where each metric has a rule of its own


def thinned(every, *axes, always=()):
    """Parameters of all combinations; off the rotation, which takes one in `every`, they are heavy.

    Any two values of different axes meet in the rotation where a third axis has `every` values or more; a value in
    `always` meets all others.
    """
    found = []
    for combination in itertools.product(*(enumerate(axis) for axis in axes)):
        place, values = zip(*combination, strict=True)
        light = sum(place) % every == 0 or set(values) & set(always)
        marks = () if light else (pytest.mark.heavy,)
        found.append(pytest.param(*values, marks=marks, id="-".join(map(str, values))))
    return found


def cases_by_metrics(names=tuple(CASES)):
    """(name, metric): all cases for the metrics that are scanned with a bound, a third of them for each other one."""
    return thinned(3, names, METRICS, always=(*GEMM_FAMILY, *EDGES))
