"""Pay for first calls ahead of time."""

import numpy as np

from . import _dispatch, _operations


def warmup() -> None:
    """Run every operation once on a few rows, by every backend that is ready: imports, threads and compilations.

    On Numba the first time on a machine takes longest: kernels are compiled and kept.
    """
    rows = np.eye(2, 8, dtype=np.float32)
    for backend in (name for name, state in _dispatch.backends().items() if state == "ready"):
        for metric in ("euclidean", "cosine", "dot"):
            _operations.topk(rows, rows, 1, metric, backend=backend)
            _operations.topk_both(rows, rows, 1, metric, backend=backend)
            _operations.within(rows, rows, 1.0, metric, backend=backend)
            _operations.ranks(rows, rows, [0, 1], metric, backend=backend)
            _operations.pairwise_distances(rows, rows, metric, backend=backend)
            _operations.logsumexp(rows, rows, metric, axis="both", backend=backend)
        _operations.transfer(rows, rows, backend=backend)
