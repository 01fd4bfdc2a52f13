"""What may be done to two spaces before they are searched. A new remedy is a function of a `Split`, and its line.

A remedy learns from the pairs of `Split.train` and gives the held-out rows of both sides in the space that cosine is to
compare them in, and the bias to add to its distances.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]

PENALTIES = (1e-3, 1e-1, 1e1)  # of ridge, in units of the mean eigenvalue of X^T X
INNER_SHARE = 5  # every 5th training pair chooses the penalty


class Space(NamedTuple):
    """Rows to compare by cosine distance, plus u_i + v_j where there is a bias."""

    x: Array
    y: Array
    bias: tuple[Float64, Float64] | None = None


@dataclass(frozen=True)
class Split:
    """Unit rows of paired sides, learned from and held out."""

    train: tuple[Array, Array]
    test: tuple[Array, Array]
    k: int  # neighbours of CSLS
    control: dict[str, Any]

    @property
    def shared(self) -> bool:
        """Whether the sides have as many columns, so that they can be compared without a map."""
        return bool(self.test[0].shape[1] == self.test[1].shape[1])

    @property
    def centred(self) -> "Split":
        """Both sides without the mean of their training rows."""
        means = [side.mean(axis=0, dtype=np.float64).astype(side.dtype) for side in self.train]
        train, test = ((sides[0] - means[0], sides[1] - means[1]) for sides in (self.train, self.test))
        return Split(train, test, self.k, self.control)


def pair_ranks(space: Space, control: dict[str, Any]) -> tuple[Float64, Float64]:
    """Where its pair comes for each row of x among y, and for each row of y among x, (m,) each, ties by index."""
    from .._operations import ranks

    pairs = np.arange(len(space.x))
    forward = ranks(space.x, space.y, pairs, "cosine", bias=space.bias, **control)
    backward = ranks(space.y, space.x, pairs, "cosine", bias=space.bias and space.bias[::-1], **control)
    return forward.astype(np.float64), backward.astype(np.float64)


def mean_reciprocal(found: tuple[Float64, Float64]) -> Float64:
    """(m,) reciprocal rank of each pair, mean of both directions."""
    return (1 / found[0] + 1 / found[1]) / 2


def _nothing(split: Split) -> Space:
    return Space(*split.test)


def _centring(split: Split) -> Space:
    return Space(*split.centred.test)


def _mean_shift(split: Split) -> Space:
    """Half of the gap from each side, which closes it. Liang et al. 2022."""
    x_mean, y_mean = (side.mean(axis=0, dtype=np.float64) for side in split.train)
    half = ((x_mean - y_mean) / 2).astype(split.test[0].dtype)
    return Space(split.test[0] - half, split.test[1] + half)


def with_csls(space: Space, split: Split) -> Space:
    """Conneau et al. 2018."""
    from ..matching import correction

    return space._replace(bias=correction(space.x, space.y, "csls", neighbours=split.k, **split.control))


def _csls(split: Split) -> Space:
    return with_csls(_nothing(split), split)


def _centred_csls(split: Split) -> Space:
    return with_csls(_centring(split), split)


def _mapped(split: Split, method: str, **options: Any) -> Space:
    from ..fitting import fit_transfer

    found = fit_transfer(*split.train, method, center=False, **options)
    return Space(found.apply(split.test[0], **split.control), split.test[1])


def _procrustes(split: Split) -> Space:
    return _mapped(split.centred, "procrustes")


def _ridge(split: Split) -> Space:
    """Of `PENALTIES` the one that ranks every 5th training pair best, when fitted on the others."""
    centred = split.centred
    x, y = centred.train
    unit = float(np.square(x, dtype=np.float64).sum()) / x.shape[1]
    inner = np.arange(len(x)) % INNER_SHARE == 0
    choice = Split((x[~inner], y[~inner]), (x[inner], y[inner]), split.k, split.control)
    scores = [
        mean_reciprocal(pair_ranks(_mapped(choice, "ridge", regularization=penalty * unit), split.control)).mean()
        for penalty in PENALTIES
    ]
    best = PENALTIES[int(np.argmax(scores))]
    return _mapped(centred, "ridge", regularization=best * unit)


class Remedy(NamedTuple):
    """What it is called, what it does and what it needs."""

    apply: Callable[[Split], Space]
    advice: str
    shared: bool  # needs sides of equal width
    learns: bool  # fits a map, which needs training rows that differ


REMEDIES: dict[str, Remedy] = {
    "nothing": Remedy(_nothing, "Do nothing", shared=True, learns=False),
    "centring": Remedy(_centring, "Subtract the mean of each side", shared=True, learns=False),
    "mean shift": Remedy(_mean_shift, "Move each side by half of the gap", shared=True, learns=False),
    "CSLS": Remedy(_csls, "Rank by CSLS, which needs all queries at once", shared=True, learns=False),
    "centring, CSLS": Remedy(
        _centred_csls, "Subtract the mean of each side, then rank by CSLS, which needs all queries at once",
        shared=True, learns=False,
    ),
    "procrustes": Remedy(_procrustes, "Centre, and turn one side onto the other", shared=False, learns=True),
    "ridge": Remedy(_ridge, "Centre, and map one side to the other by ridge", shared=False, learns=True),
}  # fmt: skip
