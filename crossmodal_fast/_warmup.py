"""Pay for first calls ahead of time."""

import numpy as np

from . import _operations


def warmup() -> None:
    """Run every operation once on a few rows, so that imports, thread pools and compilations are behind the caller."""
    rows = np.eye(2, 8, dtype=np.float32)
    for metric in ("euclidean", "cosine", "dot"):
        _operations.topk_both(rows, rows, 1, metric)
        _operations.within(rows, rows, 1.0, metric)
        _operations.ranks(rows, rows, [0, 1], metric)
        _operations.pairwise_distances(rows, rows, metric)
    _operations.transfer(rows, rows)
