"""`scaling` on NumPy: blocks of the kernel's rows in float64.

Work    blocks of rows; no BLAS, whose sums would depend on the threads
Shapes  scores, kernel (m, n) of one dtype; goals, potentials: pairs of (m,), (n,); weights (m,)
Cost    one reading of the kernel an iteration, three passes over each block in a cache; scratch of 2 blocks
Sum     float64, those of columns block by block
"""

import numpy as np

from ..tiles.running import NEGLIGIBLE
from ..tiles.scalings import iterate

BLOCK = 1 << 15  # entries at a time, 256 KiB of float64


def scaling(scores, kernel, *, beta, goals, share, potentials, weights, tolerance, iterations):
    """(iterations done, error, whether to stop); `kernel` is room for what is made of the scores."""
    m, n = scores.shape
    step = max(1, BLOCK // n)
    blocks = [slice(start, start + step) for start in range(0, m, step)]

    def build(shift):
        top = np.empty(m)
        for rows in blocks:
            term = beta * scores[rows].astype(np.float64) + shift
            top[rows] = term.max(axis=1)
            term -= top[rows, None]
            np.exp(np.maximum(term, -NEGLIGIBLE, out=term).astype(kernel.dtype), out=kernel[rows])
        return top

    def sweep(v, lead):
        log_w, sums = np.empty(m), np.zeros(n)
        for rows in blocks:
            block = kernel[rows].astype(np.float64)
            log_w[rows] = lead[rows] - share * np.log(np.einsum("ij,j->i", block, v))
            sums += np.einsum("i,ij->j", np.exp(log_w[rows]), block)
        return log_w, sums

    return iterate(
        build, sweep, goals=goals, share=share, potentials=potentials, weights=weights, tolerance=tolerance,
        iterations=iterations,
    )  # fmt: skip
