"""Doing nothing, which is hard to beat where two modalities share a space already."""

import numpy as np
from numpy.typing import NDArray

from ._pairs import Pairs
from ._solution import Solution

Float64 = NDArray[np.float64]

NOTHING = ("identity", "mean_shift")


def identity(pairs: Pairs) -> Solution:
    """The rows as they are."""
    return Solution(_unchanged(pairs), sized=False, bias=np.zeros(pairs.shape[1]))


def mean_shift(pairs: Pairs) -> Solution:
    """The rows, moved by the difference of the means."""
    return Solution(_unchanged(pairs), sized=False)


def _unchanged(pairs: Pairs) -> Float64:
    d_in, d_out = pairs.shape
    if d_in != d_out:
        raise ValueError(f"method must be another one between spaces of {d_in} and {d_out} columns, got doing nothing")
    return np.eye(d_in)
