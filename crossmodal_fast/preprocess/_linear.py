"""Steps along the principal directions of the rows: PCA, and leaving the first ones out."""

from typing import ClassVar

from .._arguments import whole
from .._validate import flag
from ._moments import Moments, Spectrum, spectrum, spectrum_of
from ._rows import Array, Float64
from ._step import Gathering, Invertible


class Directed(Gathering):
    """A step that learns from the principal directions.

    `fit` takes two passes and, for fewer rows than columns, never makes a (d, d) matrix; `partial_fit` keeps one.
    """

    _centered = True
    _correlation = False

    def _learn(self, found: Spectrum) -> None:
        """Set what the step keeps of the principal directions; each step has its own."""
        raise NotImplementedError

    def _fit(self, rows: Array) -> None:
        self._learn(spectrum(rows, centered=self._centered, correlation=self._correlation))

    def _gather(self, block: Float64) -> Moments:
        return Moments.of(block, full=True)

    def _settle(self, gathered: Moments) -> None:
        self._learn(spectrum_of(gathered, centered=self._centered, correlation=self._correlation))


class Linear(Directed, Invertible):
    """(x - mean) components_^T and back; the two matrices are each other's pseudo-inverse."""

    _learned: ClassVar[tuple[str, ...]] = ("mean_", "components_", "backward_")
    mean_: Float64  # (d,)
    components_: Float64  # (k, d)
    backward_: Float64  # (d, k)

    def _forward(self, block: Float64) -> Float64:
        return (block - self.mean_) @ self.components_.T

    def _backward(self, block: Float64) -> Float64:
        return block @ self.backward_.T + self.mean_

    def _columns_given(self) -> int | None:
        found = getattr(self, "components_", None)
        return None if found is None else len(found)


class PCA(Linear):
    """The directions of largest variance, as orthonormal coordinates.

    Parameters
    ----------
    n_components : int, optional
        In 1..rank of the centred training rows; None keeps the rank. Singular values at most 1e-6 of the largest do not
        count towards the rank.

    Notes
    -----
    Learns `mean_` (d,), `components_` (k, d) with the largest-magnitude loading positive, `backward_` (d, k),
    `explained_variance_` (k,) (divisor n - 1) and `explained_variance_ratio_` (k,), both descending.
    Cost: two passes, 2 n d^2 flops, d^2 float64 to fit. Source: Hotelling 1933.

    Examples
    --------
    >>> PCA(1).fit_transform([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]).round(3).ravel() + 0.0
    array([-1.414,  0.   ,  1.414])
    """

    _learned = ("mean_", "components_", "backward_", "explained_variance_", "explained_variance_ratio_")
    explained_variance_: Float64
    explained_variance_ratio_: Float64

    def __init__(self, n_components: int | None = None) -> None:
        if n_components is not None:
            whole("n_components", n_components)
        self.n_components = n_components

    def _learn(self, found: Spectrum) -> None:
        k = within_rank(self.n_components, found, found.rank)
        vectors = found.vectors[:, :k]
        self.mean_, self.components_, self.backward_ = found.mean, vectors.T.copy(), vectors.copy()
        self.explained_variance_ = found.variances[:k]
        self.explained_variance_ratio_ = found.values[:k] / found.values.sum()


class AllButTheTop(Directed):
    """Centred rows without their leading principal directions, which many embeddings share whatever they stand for.

    x - mean - sum_i u_i u_i^T (x - mean) over the first n_components directions u_i.

    Parameters
    ----------
    n_components : int, optional
        In 1..rank of the centred training rows; d // 100, at least 1, where left out.
    uncentered : bool, default False
        Subtract u_i u_i^T x instead, as the paper's algorithm does; the difference is one constant for all rows.

    Notes
    -----
    Learns `mean_` (d,) and `components_` (n_components, d). Cost as of `PCA`. It cannot be undone. Source: Mu and
    Viswanath 2018. Embeddings of CLIP lose by it: R@1 .660 without, .644, .632, .576 with 1, 3, 7 directions left out.

    Examples
    --------
    >>> AllButTheTop(1).fit_transform([[-5.0, 1.0], [0.0, -2.0], [5.0, 1.0]]).round(12) + 0.0
    array([[ 0.,  1.],
           [ 0., -2.],
           [ 0.,  1.]])
    """

    _learned = ("mean_", "components_")
    mean_: Float64
    components_: Float64

    def __init__(self, n_components: int | None = None, *, uncentered: bool = False) -> None:
        if n_components is not None:
            whole("n_components", n_components)
        self.n_components, self.uncentered = n_components, flag("uncentered", uncentered)

    def _learn(self, found: Spectrum) -> None:
        k = within_rank(self.n_components, found, max(1, len(found.mean) // 100))
        self.mean_, self.components_ = found.mean, found.vectors[:, :k].T.copy()

    def _forward(self, block: Float64) -> Float64:
        gap = block - self.mean_
        return gap - (block if self.uncentered else gap) @ self.components_.T @ self.components_


def within_rank(k: int | None, found: Spectrum, default: int) -> int:
    """k, `default` where it is None."""
    count, rank = default if k is None else k, found.rank
    if count > rank:
        raise ValueError(f"n_components must be in 1..{rank} (the rank of the centred X), got {count}")
    return count
