"""`ot.sinkhorn` of POT, in the log domain: no scaling overflows, whatever `reg`.

from crossmodal_fast.compat.ot import sinkhorn
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _validate
from .._arguments import number, numbers_of, whole
from .._arrays import given_back
from ._peer import peers_own

Array = NDArray[Any]
METHODS = ("sinkhorn", "sinkhorn_log", "sinkhorn_stabilized")  # one plan, and one way to it here
SAME_SUM = 1e-6  # of marginals, relative: those of float32 differ by so much, and are then brought to that of a


def sinkhorn(
    a: Any,
    b: Any,
    M: Any,
    reg: float,
    method: str = "sinkhorn",
    numItermax: int = 1000,
    stopThr: float = 1e-9,
    verbose: bool = False,
    log: bool = False,
    warn: bool = True,
    warmstart: Any = None,
    **kwargs: Any,
) -> Any:
    """`ot.sinkhorn`: the entropic plan (m, n) between weights a (m,) and b (n,) at costs M (m, n), of the type of M.

    Empty a or b are uniform. The plan's row sums are within stopThr of a (by the sum of absolute errors) and its column
    sums are those of b, where numItermax iterations suffice; a warning says where not. With log=True a dict beside it:
    err (the last), niter, u, v, and their logarithms log_u, log_v; the plan is u exp(-M / reg) v.

    Passed on to POT: other methods, several histograms (n, h) as b, sums of a and b that differ, infinite costs, a warm
    start, verbose, and tensors that require gradients.
    Cost: `crossmodal_fast.match(.., "sinkhorn")` with kept scores. Errors: its own.

    >>> sinkhorn([0.5, 0.5], [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], 1).round(8)
    array([[0.36552929, 0.13447071],
           [0.13447071, 0.36552929]])
    """

    def theirs() -> Any:
        there = peers_own("ot", "sinkhorn", f"method={method!r} with these arguments")
        return there(a, b, M, reg, method, numItermax, stopThr, verbose, log, warn, warmstart, **kwargs)

    if str(method).lower() not in METHODS or verbose or warmstart is not None or _elsewhere(a, b, M):
        return theirs()
    costs = np.asarray(_validate.flat("M", M))
    weights = [_weights(name, given, size) for name, given, size in zip("ab", (a, b), costs.shape, strict=True)]
    sums = [float(one.sum()) for one in weights]
    if not np.isfinite(costs).all() or abs(sums[0] - sums[1]) > SAME_SUM * max(sums):
        return theirs()
    weights[1] = weights[1] * (sums[0] / sums[1])
    reg = _validate.positive("reg", reg)
    f, g, error, done = _potentials(weights, costs, reg, whole("numItermax", numItermax), number("stopThr", stopThr))
    if warn and error > stopThr:
        warnings.warn(
            "Sinkhorn did not converge. You might want to increase the number of iterations `numItermax` or the "
            "regularization parameter `reg`.",
            stacklevel=2,
        )
    with np.errstate(over="ignore"):
        plan = np.exp((f[:, None] + g - costs) / reg)
        found = {"u": np.exp(f / reg), "v": np.exp(g / reg), "log_u": f / reg, "log_v": g / reg}
    dtype = costs.dtype if costs.dtype.kind == "f" else np.float64
    result = given_back(M, plan.astype(dtype, copy=False))
    if not log:
        return result
    arrays = {name: given_back(M, value.astype(dtype)) for name, value in found.items()}
    return result, {"err": [error], "niter": done, **arrays}


def _potentials(
    weights: list[Array], costs: Any, reg: float, most: int, least: float
) -> tuple[Array, Array, float, int]:
    """f (m,), g (n,), minus infinity where a weight is 0; the error and the number of iterations."""
    from ..matching import match

    there = [one > 0 for one in weights]
    scores = -np.asarray(costs, np.float64)[np.ix_(*there)]
    marginals = tuple(one[held] for one, held in zip(weights, there, strict=True))
    plan = match(
        scores, None, "sinkhorn", metric="precomputed", epsilon=reg, marginals=marginals, iterations=most,
        tolerance=least, levels=0, keep_scores=True,
    )  # fmt: skip
    f, g = (np.full(len(one), -np.inf) for one in weights)
    f[there[0]], g[there[1]] = plan.f, plan.g  # type: ignore[attr-defined]  # `match` sets them beside its tuple
    return f, g, plan.error, plan.iterations  # type: ignore[attr-defined]  # as above


def _weights(name: str, given: Any, size: int) -> Array:
    weights = numbers_of(name, given)
    if not weights.size:
        return np.full(size, 1 / size)
    if weights.shape != (size,) or not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise ValueError(f"{name} must be {size} numbers of at least 0, of a sum above 0, got shape {weights.shape}")
    return weights


def _elsewhere(a: Any, b: Any, M: Any) -> bool:
    return np.ndim(b) > 1 or any(getattr(one, "requires_grad", False) for one in (a, b, M))
