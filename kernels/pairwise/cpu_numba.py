"""`pairwise` on Numba: tiles that finish their distances, canonical values where the bound exceeds the promise.

Work    by products (`tiles/expansion.py`) or, without them, pair by pair (`tiles/distances.py`), on threads of the pool
Shapes  x (m, d), y (n, d) or None for x itself -> out (m, n)
Cost    2 m n d flops in float32 for float32 results, in float64 else; out is written once; scratch at most max_bytes
Sum     of the one or of the other
"""

from ..tiles import distances
from ..tiles.expansion import Filling
from . import cpu_numpy

PRECISIONS = ("auto", "float32", "float64")


def declines(x, y, metric, *, precision, **_):
    if precision not in PRECISIONS:
        return f"it computes in float32 or float64, not precision={precision!r}"
    if metric.form is None and precision == "float32":
        return f"it computes metric={metric.name!r} in float64, not precision='float32'"
    return None


def pairwise(x, y, metric, *, out, max_bytes, precision, tick=None):
    """Fill out (m, n)."""
    if metric.form is not None:
        Filling(x, y, metric, out, max_bytes, precision).run(tick)
    elif not distances.filled(x, y, metric, out, max_bytes, tick):
        cpu_numpy.pairwise(x, y, metric, out=out, max_bytes=max_bytes, precision="auto", tick=tick)
