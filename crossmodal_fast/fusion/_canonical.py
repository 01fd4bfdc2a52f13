"""What several views of the same items have in common: generalised canonical correlation, averaged over the views."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import number, numbers_of, several, whole
from .._arrays import given_back
from ..preprocess import RANK_CUTOFF, column_means, mapped
from ._early import common_dtype, has_view, views_of

Array = NDArray[Any]
Float64 = NDArray[np.float64]


class GCCA:
    """Directions on which all views agree (MAXVAR), and the mean of what the views say there.

    With X_v the centred rows of view v and P_v = X_v (X_v^T X_v + c_v I)^+ X_v^T the projection on its columns, G holds
    the leading eigenvectors of sum_v P_v, each of variance 1. View v says P_v G of them, (x - mean_v) maps_[v] of any
    item; `transform` gives the mean over the views that an item has. Two views: canonical correlation analysis.

    Parameters
    ----------
    n_components : int
        In 1..the rank of all views together.
    regularization : float, default 0
        c_v = regularization * tr(X_v^T X_v) / d_v. With 0 and hardly more items than columns every direction agrees on
        the training items, whatever it is worth.

    Attributes
    ----------
    means_, maps_ : list of ndarray (d_v,) and (d_v, n_components)
        One of each view. The largest entry of a component over all maps is positive.
    eigenvalues_ : ndarray (n_components,)
        Of sum_v P_v, descending: the number of views where all agree; 1 + the canonical correlation for two.

    Notes
    -----
    Singular values of a view at most 1e-6 of its largest are noise and dropped. All items are needed at once: bases,
    not moments, keep small directions. Cost of `fit`: a singular value decomposition of each view and of their bases
    side by side; float64 copies of all views. Sources: Kettenring 1971 (MAXVAR); Hotelling 1936.

    Examples
    --------
    >>> common = np.array([[1.0], [2.0], [4.0], [3.0]])
    >>> views = [np.hstack([common, [[1], [0], [0], [1]]]), -2 * common]
    >>> found = GCCA(1).fit(views)
    >>> found.eigenvalues_.round(12)
    array([2.])
    >>> bool(np.allclose(found.transform([views[0], None]), found.transform([None, views[1]])))
    True
    """

    means_: list[Float64]
    maps_: list[Float64]
    eigenvalues_: Float64

    def __init__(self, n_components: int, *, regularization: float = 0.0) -> None:
        self.n_components = whole("n_components", n_components)
        self.regularization = number("regularization", regularization)

    def fit(self, views: Sequence[ArrayLike]) -> Self:
        """Learn from views, each (n, d_v): row i of every view describes item i.

        Items that lack a view (a zero row) are left out.

        Raises
        ------
        ValueError
            Fewer than 2 items have all views, a view does not vary, or there are fewer than n_components directions.
        """
        arrays = views_of(views)
        complete = np.all([has_view(array) for array in arrays], axis=0)
        if complete.sum() < 2:
            raise ValueError(f"views must have at least 2 items that lack none of them, got {complete.sum()}")
        arrays = [array[complete] for array in arrays]
        means = [column_means(f"views[{v}]", array) for v, array in enumerate(arrays)]
        whitenings, bases = [], []
        for v, (mean, array) in enumerate(zip(means, arrays, strict=True)):
            whitening, basis = self._basis(f"views[{v}]", np.asarray(array, dtype=np.float64) - mean)
            whitenings.append(whitening)
            bases.append(basis)
        _, singular, loadings = np.linalg.svd(np.hstack(bases), full_matrices=False)
        rank = int((singular > RANK_CUTOFF * singular[0]).sum())
        k = self.n_components
        if k > rank:
            raise ValueError(f"n_components must be in 1..{rank} (the rank of all views together), got {k}")
        turned = loadings[:k].T * singular[:k] * np.sqrt(len(arrays[0]) - 1)
        parts = np.split(turned, np.cumsum([basis.shape[1] for basis in bases])[:-1])
        maps = [whitening @ part for whitening, part in zip(whitenings, parts, strict=True)]
        stacked = np.vstack(maps)
        leading = stacked[np.abs(stacked).argmax(axis=0), np.arange(k)]
        self.means_, self.maps_ = means, [found * np.where(leading < 0, -1.0, 1.0) for found in maps]
        self.eigenvalues_ = singular[:k] ** 2
        return self

    def _basis(self, name: str, centred: Float64) -> tuple[Float64, Float64]:
        """(whitening (d, r), centred @ whitening): orthonormal columns, each shortened by the regularisation."""
        U, singular, Vt = np.linalg.svd(centred, full_matrices=False)
        if singular[0] == 0:
            raise ValueError(f"{name} must vary to agree with others, got {len(centred)} equal rows")
        share = singular / singular[0]
        kept = share > RANK_CUTOFF
        share, penalty = share[kept], self.regularization * np.sum(share**2) / centred.shape[1]
        length = share / np.sqrt(share**2 + penalty)
        with np.errstate(over="ignore"):
            whitening = Vt[kept].T * (length / singular[kept])
        if not np.isfinite(whitening).all():
            raise ValueError(f"{name} must vary by more than float64 needs to divide by it, got {singular[0]:g}")
        return whitening, U[:, kept] * length

    def transform(self, views: Sequence[ArrayLike | None]) -> Any:
        """Views, each (m, d_v) or None where no item has it -> (m, n_components).

        The mean over the views that the item has (a zero row says that it lacks one); zero where it has none. float32
        if float32 holds all views without loss, else float64.

        Raises
        ------
        RuntimeError
            Before `fit`.
        ValueError
            Not as many views as in `fit`, all None, or of other shapes.
        """
        if not hasattr(self, "maps_"):
            raise RuntimeError("GCCA must be fitted before it is applied: call fit(views) first")
        given = several("views", views)
        if len(given) != len(self.maps_):
            raise ValueError(
                f"views must be {len(self.maps_)}, as in fit, got {len(given)}; None stands for a missing one"
            )
        there = [v for v, view in enumerate(given) if view is not None]
        arrays = views_of([given[v] for v in there])
        total, count = np.zeros((len(arrays[0]), self.n_components)), np.zeros((len(arrays[0]), 1))
        for v, array in zip(there, arrays, strict=True):
            name, mean, turn = f"views[{v}]", self.means_[v], self.maps_[v]
            if array.shape[1] != len(mean):
                raise ValueError(f"{name} must have {len(mean)} columns, as fit saw, got shape {array.shape}")
            has = has_view(array)[:, None]
            total += np.where(has, mapped(name, array, partial(_projected, mean=mean, turn=turn)), 0.0)
            count += has
        return given_back(given[there[0]], (total / np.maximum(count, 1)).astype(common_dtype(arrays)))

    def fit_transform(self, views: Sequence[ArrayLike]) -> Any:
        """`fit(views)`, then `transform(views)`, (n, n_components)."""
        return self.fit(views).transform(views)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that this was made with."""
        return {"n_components": self.n_components, "regularization": self.regularization}

    def get_state(self) -> dict[str, Array]:
        """What `fit` learned, as named arrays; empty before it."""
        if not hasattr(self, "maps_"):
            return {}
        means = {f"mean.{v}": mean for v, mean in enumerate(self.means_)}
        return {"eigenvalues": self.eigenvalues_, **means, **{f"map.{v}": turn for v, turn in enumerate(self.maps_)}}

    def set_state(self, state: Mapping[str, ArrayLike]) -> Self:
        """Put back what `get_state` gave."""
        if state:
            count = sum(name.startswith("map.") for name in state)
            self.eigenvalues_ = numbers_of("eigenvalues", state["eigenvalues"])
            self.means_, self.maps_ = (
                [numbers_of(f"{kind}.{v}", state[f"{kind}.{v}"]) for v in range(count)] for kind in ("mean", "map")
            )
        return self

    def __repr__(self) -> str:
        return f"GCCA(n_components={self.n_components}, regularization={self.regularization})"


def _projected(block: Float64, mean: Float64, turn: Float64) -> Float64:
    return (block - mean) @ turn
