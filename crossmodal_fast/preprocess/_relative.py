"""Rows by what they are near to, and rows by random directions."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import number, one_of, whole
from .._validate import flag
from ._rows import Array, Float64, row_blocks
from ._step import Step
from ._unit import unit


class Relative(Step):
    """Rows as their cosines with anchors: modalities whose anchors are pairs meet in one space without a map.

    r = top_k(max(cos(x, anchors), 0))^power, brought to length 1.

    Parameters
    ----------
    n_anchors : int, optional
        How many of the training rows are anchors, drawn by `seed`: the same rows in every modality with as many rows.
        All where left out.
    top_k : int, optional
        Only the nearest anchors count, ties by lowest index, the others are 0. All where left out.
    power : float, default 1
        Larger: the nearest anchors count for more.
    signed : bool, default False
        Keep negative cosines (as -|cos|^power).
    seed : int, default 0
        Of the draw.

    Notes
    -----
    Learns `anchors_` (anchors, d). The nearest anchors are those of `topk`, exact. Cost: a product with all anchors. It
    cannot be undone, nor gathered in parts. Sources: Moschella et al. 2023 (signed, all anchors); Norelli et al. 2023
    (ASIF: top_k and power).

    Examples
    --------
    >>> Relative().fit([[1.0, 0.0], [0.0, 1.0]]).transform([[3.0, 4.0], [5.0, 0.0]])
    array([[0.6, 0.8],
           [1. , 0. ]])
    """

    _learned = ("anchors_",)
    anchors_: Float64

    def __init__(
        self,
        n_anchors: int | None = None,
        *,
        top_k: int | None = None,
        power: float = 1.0,
        signed: bool = False,
        seed: int = 0,
    ) -> None:
        for name, value in (("n_anchors", n_anchors), ("top_k", top_k)):
            if value is not None:
                whole(name, value)
        self.n_anchors, self.top_k, self.power = n_anchors, top_k, number("power", power)
        self.signed, self.seed = flag("signed", signed), whole("seed", seed, least=0)

    def _fit(self, rows: Array) -> None:
        count = len(rows) if self.n_anchors is None else self.n_anchors
        if count > len(rows):
            raise ValueError(f"n_anchors must be in 1..{len(rows)} (the rows of X), got {count}")
        if self.top_k is not None and self.top_k > count:
            raise ValueError(f"top_k must be in 1..{count} (the anchors), got {self.top_k}")
        if count < len(rows):
            rows = rows[np.sort(np.random.default_rng(self.seed).choice(len(rows), count, replace=False))]
        self.anchors_ = np.concatenate([block for _, block in row_blocks("X", rows)])

    def _columns_in(self) -> int | None:
        found = getattr(self, "anchors_", None)
        return None if found is None else found.shape[1]

    def _columns_out(self) -> int:
        return len(self.anchors_)

    def _forward(self, block: Float64) -> Float64:
        near = (unit(block) @ unit(self.anchors_).T).clip(-1.0, 1.0)
        if self.top_k is not None and self.top_k < near.shape[1]:
            from .._operations import topk

            kept = np.zeros(near.shape, dtype=bool)
            np.put_along_axis(kept, np.asarray(topk(block, self.anchors_, self.top_k, "cosine")[1]), True, axis=1)
            near = np.where(kept, near, 0.0)
        if self.signed:
            return unit(np.sign(near) * np.abs(near) ** self.power)
        return unit(np.where(near > 0, near, 0.0) ** self.power * (near > 0))


def _gaussian(generator: np.random.Generator, shape: tuple[int, int]) -> Float64:
    return generator.standard_normal(shape)


def _signs(generator: np.random.Generator, shape: tuple[int, int]) -> Float64:
    return generator.integers(0, 2, shape).astype(np.float64) * 2.0 - 1.0


def _sparse(generator: np.random.Generator, shape: tuple[int, int]) -> Float64:
    drawn = generator.integers(0, 6, shape)
    signs: Float64 = (drawn == 0).astype(np.float64) - (drawn == 1)
    return float(np.sqrt(3.0)) * signs


DIRECTIONS = {"gaussian": _gaussian, "sign": _signs, "sparse": _sparse}


class RandomProjection(Step):
    """Rows x P^T / sqrt(n_components), P random: distances keep to a factor 1 +- O(sqrt(log n / n_components)).

    Parameters
    ----------
    n_components : int
        Columns out.
    kind : {"gaussian", "sign", "sparse"}, default "gaussian"
        Entries of P, of mean 0 and variance 1: normal; +-1; sqrt(3) times +1, 0, -1 with chances 1/6, 2/3, 1/6.
    seed : int, default 0
        Of P, which depends on nothing else but the number of columns: every fit on d columns gives the same.

    Notes
    -----
    Learns `components_` (n_components, d). It cannot be undone. Cost: 2 n d n_components flops. Source:
    Johnson and Lindenstrauss 1984; Achlioptas 2003 ("sign", "sparse").

    Examples
    --------
    >>> RandomProjection(3).fit_transform(np.eye(8)).shape
    (8, 3)
    """

    _learned = ("components_",)
    components_: Float64

    def __init__(self, n_components: int, *, kind: str = "gaussian", seed: int = 0) -> None:
        self.n_components, self.kind = whole("n_components", n_components), one_of("kind", kind, DIRECTIONS)
        self.seed = whole("seed", seed, least=0)

    def _fit(self, rows: Array) -> None:
        shape = (self.n_components, rows.shape[1])
        drawn = DIRECTIONS[self.kind](np.random.default_rng(self.seed), shape)
        self.components_ = drawn / np.sqrt(self.n_components)

    def partial_fit(self, X: ArrayLike) -> Self:
        """As `fit`: only the number of columns counts."""
        return self.fit(X)

    def merge(self, other: Any) -> Self:
        """Nothing is gathered that could be merged; the other must be of the same parameters."""
        self._same_kind(other)
        return self

    def _columns_in(self) -> int | None:
        found = getattr(self, "components_", None)
        return None if found is None else found.shape[1]

    def _columns_out(self) -> int:
        return self.n_components

    def _forward(self, block: Float64) -> Float64:
        return block @ self.components_.T
