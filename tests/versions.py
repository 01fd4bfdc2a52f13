"""What files are written from, in two versions, and what it means to write and to read one."""

from typing import Any, NamedTuple

import numpy as np

RNG = np.random.default_rng(11)
QUERIES = RNG.standard_normal((12, 6)).astype(np.float32)
ROWS = [RNG.standard_normal((60, 6)).astype(np.float32) for _ in range(2)]  # of either version
BIG = [np.full((9000, 6), version, np.float64) for version in range(2)]  # several writes of a file


class Written(NamedTuple):
    write: Any  # (folder, version) -> exit code of a command, or None
    read: Any  # folder -> 0 or 1, or words where it is neither
    resumes: bool = False  # what was done so far may be left, for the next run to go on from


def one_of(found, versions):
    for version, expected in enumerate(versions):
        if np.shape(found) == np.shape(expected) and np.array_equal(found, expected):
            return version
    return f"neither the old nor the new, of shape {np.shape(found)}"
