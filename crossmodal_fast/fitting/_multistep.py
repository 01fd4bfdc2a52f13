"""VecMap's steps: whiten, turn, weigh by correlation, undo the whitening, keep the first components."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .._arguments import number
from .._validate import flag
from ._pairs import Pairs
from ._solution import Solution
from ._views import TINY, TwoViews, components, optional_whole, turned

Float64 = NDArray[np.float64]


class MultiStep(TwoViews):
    """The multi-step framework of Artetxe, Labaka and Agirre 2018, both views mapped into one space.

    X1 = X W_a with W_a = (X^T X)^-1/2, Z1 likewise; X1^T Z1 = U S V^T; X2 = X1 U, Z2 = Z1 V; X3 = X2 S^p, Z3 = Z2 S^p;
    X4 = X3 U^T W_a^-1 U, Z4 = Z3 V^T W_b^-1 V; the first components are kept. The rows are taken as they are but for
    their mean: the paper makes them of unit length, centres them, and makes them of unit length again.

    Parameters
    ----------
    n_components : int, optional
        At most the lower rank of the two views, which is taken where left out.
    reweight : float, default 0.5
        p on each side; 0 leaves the weights out.
    dewhiten : bool, default True
        False leaves X4, Z4 out: the space is then that of `CCA`, weighed by rho^p.

    Attributes
    ----------
    weights_ : ndarray (k,), S, descending: the canonical correlations
    projection_a_, projection_b_ : ndarray (d_in, k), (d_out, k)
    mean_a_, mean_b_ : ndarray (d_in,), (d_out,)
    transfer_map : TransferMap
        To the common space and back to that of B, by the pseudo-inverse of its projection.

    Notes
    -----
    Directions with singular values at most 1e-6 of the largest are noise, left out of the whitening. Cost: one pass of
    QR and three SVDs.

    Examples
    --------
    >>> import numpy as np
    >>> from crossmodal_fast.fitting import MultiStep
    >>> A = np.random.default_rng(0).standard_normal((50, 3))
    >>> MultiStep().fit(A, A[:, ::-1]).transfer_map.M.round(6).clip(min=0)
    array([[0., 0., 1.],
           [0., 1., 0.],
           [1., 0., 0.]])
    """

    _learned: ClassVar[tuple[str, ...]] = (*TwoViews._learned, "weights_")
    weights_: Float64

    def __init__(self, n_components: int | None = None, *, reweight: float = 0.5, dewhiten: bool = True) -> None:
        optional_whole("n_components", n_components)
        number("reweight", reweight)
        flag("dewhiten", dewhiten)
        self.n_components, self.reweight, self.dewhiten = n_components, reweight, dewhiten

    def solve(self, pairs: Pairs) -> bool:
        left, right = pairs.x_basis, pairs.y_basis
        U, S, Vt = np.linalg.svd(left.left.T @ right.left, full_matrices=False)
        k = components(self.n_components, len(S), "the lower rank of A and B")
        weighed = S.clip(max=1.0) ** self.reweight
        sides = []
        for basis, turn in ((left, U), (right, Vt.T)):
            side = (basis.right / basis.singular) @ (turn * weighed)
            if self.dewhiten:
                side = side @ (turn.T * basis.singular) @ turn
            sides.append(side[:, :k])
        self.projection_a_, self.projection_b_ = turned(*sides)
        self.weights_ = S[:k].clip(max=1.0)
        return not self.dewhiten

    def across(self) -> Solution:
        W = self.projection_a_ @ np.linalg.pinv(self.projection_b_, rcond=TINY)
        return Solution(W, sized=not self.dewhiten)


def multistep(
    pairs: Pairs, *, n_components: int | None = None, reweight: float = 0.5, dewhiten: bool = True
) -> Solution:
    """The transfer map of `MultiStep`."""
    return MultiStep(n_components, reweight=reweight, dewhiten=dewhiten).fit_pairs(pairs)
