"""What a method of the toolkit needs to be timed, and the rows that most of them take: see `toolkit`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

import cases

SAMPLED = 16  # rows, spread evenly


@dataclass(frozen=True)
class Tool:
    """`judge(case, answer)` gives the worst error and the number of wrong partners; ours must not err by `promise`."""

    data: Callable
    ours: Callable
    peers: dict[str, Callable]
    judge: Callable
    promise: float


def sampled(count):
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLED)).astype(np.int64))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@lru_cache(maxsize=1)
def rows_of(case):
    """(x, y) float32, each normal."""
    rng = cases.generator(case.name)
    return tuple(rng.standard_normal((size, case.d), dtype=np.float32) for size in (case.m, case.n))
