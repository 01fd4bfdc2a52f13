"""`fit_transfer`: one entry to every method.

A new method is a function (pairs, *, options) -> Solution and a line in `METHODS`; one of rows that are not paired is a
function (A, B, center, *, options) -> TransferMap and a line in `UNPAIRED`.
"""

import inspect
from collections.abc import Callable
from typing import Any, cast

from numpy.typing import ArrayLike

from .._arguments import brief, one_of
from .._config import CHECKS, Control, config_context, resolve
from .._threads import blas_threads
from .._validate import flag
from ._auto import auto
from ._canonical import cca
from ._linear import lstsq, ridge
from ._map import TransferMap
from ._multistep import multistep
from ._nothing import NOTHING, identity, mean_shift
from ._pairs import informative
from ._partial import pls
from ._procrustes import procrustes
from ._selflearning import self_learning
from ._solution import Solution, map_of
from ._sources import pairs_of
from ._unsupervised import unsupervised

METHODS: dict[str, Callable[..., Solution]] = {
    "auto": auto,
    "lstsq": lstsq,
    "ridge": ridge,
    "procrustes": procrustes,
    "cca": cca,
    "pls": pls,
    "multistep": multistep,
    "identity": identity,
    "mean_shift": mean_shift,
}
UNPAIRED: dict[str, Callable[..., TransferMap]] = {"self_learning": self_learning, "unsupervised": unsupervised}


def fit_transfer(
    A: Any,
    B: ArrayLike | None = None,
    method: str = "auto",
    *,
    center: bool = True,
    sample_weight: ArrayLike | None = None,
    **options: Any,
) -> TransferMap:
    """Learn the map that takes the rows of A to the rows of B: b_i = M a_i + bias.

    Parameters
    ----------
    A : array_like, shape (p, d_in), or TransferStatistics
        Source rows; row i is paired with row i of B. Memory maps are read in blocks.
    B : array_like, shape (p, d_out)
        Target rows; None with statistics. "self_learning" and "unsupervised" take two sets of rows that are not paired
        and need not be equally many.
    method : str, default "auto"
        A line of the table below.
    center : bool, default True
        Fit an intercept, never penalised: both sides are centred by their (weighted) means. False: bias is zero.
    sample_weight : array_like, shape (p,), optional
        Non-negative weight of each pair.
    **options
        Those of the method, and of `**control` backend, max_bytes, n_threads and the others.

    Returns
    -------
    TransferMap
        M (d_out, d_in) and bias (d_out,), float64 whatever the dtype of A and B.

    Raises
    ------
    ValueError
        Unequal numbers of rows, non-finite rows, a constant A, an unknown method, an option of another method, weights
        that are negative or all zero.
    TypeError
        Rows that are no real numbers, an option that no method has.

    Notes
    -----
    ============== ===================================================================================================
    method         what it gives, and its options
    ============== ===================================================================================================
    auto           The contender that finds most pairs by leave-one-out retrieval; see below. metric="cosine", seed=0
                   (draws 2,000 of more pairs to be judged).
    lstsq          Least squares of least norm, rank-revealing: directions of A with singular values at most 1e-6 of the
                   largest are noise, left out.
    ridge          Least squares plus `regularization` ||M - prior||_F^2 (Hoerl and Kennard 1970). regularization=1.0:
                   lambda >= 0, in squared units of A summed over the rows, so it means less the more rows there are;
                   or several, or "path" (1e-8 to 100 times the largest eigenvalue of X^T X), of which
                   selection="loo" (squared error), "gcv" or "retrieval" (with its metric="cosine") takes one.
                   prior=None: "identity", "procrustes", a TransferMap or a matrix (d_out, d_in).
    procrustes     The orthogonal map that fits best, semi-orthogonal where d_in != d_out (Schönemann 1966); directions
                   that the pairs leave open, as with p < d, stay as near to the identity as they can.
                   rotation_only=False: determinant +1, needs d_in == d_out (Kabsch 1976). scale=False: times the one
                   factor that fits best.
    cca            By way of `CCA`, whose options it takes.
    pls            By way of `PLS`, whose options it takes.
    multistep      By way of `MultiStep`, whose options it takes.
    identity       M = I and no bias: doing nothing.
    mean_shift     M = I, and the bias that takes mean to mean.
    self_learning  Orthogonal, from the seed dictionary pairs (p, 2), rows of A and B: induce pairs by CSLS in both
                   directions, fit, and again while the mean cosine gains 1e-6 (Artetxe et al. 2018). neighbours=10;
                   most_rows=20000, the first of each side; keep=1.0: share of the rows a round sees, doubled when
                   stale, drawn with seed=0.
    unsupervised   Orthogonal, without any pair, drawn with seed=0: self-learning from several starts, of which the one
                   whose induced pairs are most alike wins. The starts: rows matched by their sorted similarities to
                   their own set (after Artetxe et al. 2018); runs=5 times clusters=20 matched by how they lie to one
                   another (mini-vec2vec, arXiv 2510.02348). neighbours=10, most_rows=20000. Sets that hold unlike
                   things are beyond it: look at the similarity in `details`.
    ============== ===================================================================================================

    "auto" lets these compete: identity and mean_shift (d_in == d_out), ridge to nothing and to the identity with 10
    penalties each, procrustes, and cca with 3 shrinkages and 4, 8, 16, .. components. Each target is searched among all
    targets by a prediction that has not seen its pair: exact leave-one-out for doing nothing and ridge, 5 folds (every
    fifth pair) for the others. The highest mean reciprocal rank wins, doing nothing unless it is behind by more than
    the standard error of the paired difference. `details` of the map hold every score and a verdict in words; `method`
    names the winner, and says so where doing nothing wins.

    Cost: about 2 p (d_in + d_out)^2 flops in float64 and two passes over the rows; some 10 (d_in + d_out)^2 float64 of
    memory. "auto": twice that, some 20 decompositions and 50 rankings of at most 2,000 pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from crossmodal_fast import fit_transfer
    >>> fit_transfer([[0.0], [1.0], [2.0]], [[1.0], [3.0], [5.0]], "lstsq").M
    array([[2.]])
    >>> rows = np.random.default_rng(0).standard_normal((50, 4))
    >>> fit_transfer(rows, rows + 0.1).method
    'auto: identity (doing nothing wins)'
    """
    one_of("method", method, METHODS | UNPAIRED)
    center = flag("center", center)
    control = {name: options.pop(name) for name in list(options) if name in CHECKS}
    _check_options(method, options)
    settled = resolve(cast(Control, control))
    given = {name: value for name, value in control.items() if value is not None}
    with config_context(**given), blas_threads(settled.n_threads):
        if method in UNPAIRED:
            if sample_weight is not None:
                raise ValueError(f"sample_weight must be left out with method={method!r}, got {brief(sample_weight)}")
            if B is None:
                raise ValueError(f"B must be given with method={method!r}, got None")
            return UNPAIRED[method](A, B, center, **options)
        pairs = pairs_of(A, B, center, sample_weight)
        if method not in NOTHING:
            informative(pairs)
        return map_of(pairs, METHODS[method](pairs, **options), method)


def options_of(method: str) -> list[str]:
    """The names of a method's options."""
    parameters = inspect.signature((METHODS | UNPAIRED)[method]).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def _check_options(method: str, options: dict[str, Any]) -> None:
    known = options_of(method)
    for name, value in options.items():
        if name in known:
            continue
        owners = [other for other in METHODS | UNPAIRED if name in options_of(other)]
        if not owners:
            raise TypeError(f"options must be among {', '.join(known) or 'none'} with method={method!r}, got {name!r}")
        raise ValueError(
            f"{name} must be left out with method={method!r}, got {brief(value)}; it belongs to {', '.join(owners)}"
        )
