"""Least squares and ridge: every penalty from one decomposition, towards a prior map, with exact leave-one-out."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import brief, number, numbers_of, one_of
from .._validate import metric_name
from ._map import TransferMap
from ._pairs import Pairs, Rows, informative
from ._procrustes import rotation
from ._scores import mean_reciprocal_rank
from ._solution import Solution, map_of
from ._sources import pairs_of

Float64 = NDArray[np.float64]

BLOCK_VALUES = 1 << 22  # float64 in work at a time: 32 MiB
DETERMINED = 1e-10  # 1 - leverage below which a pair alone decides its own prediction
PATH = 10.0 ** np.arange(-8, 2.5, 0.5)  # penalties of "path", times the largest eigenvalue of X^T X


class _Block(NamedTuple):
    """Rows of the pairs in the coordinates of the decomposition; nothing in it depends on the penalty."""

    taken: slice
    inside: Float64  # (b, k), rows of U
    outside: Float64  # (b, d_out), target less its projection on U
    leverage: Float64  # (b,), 1 - leverage of lstsq
    weight: Float64  # (b,)


class RidgePath:
    """All ridge maps of some pairs, W = W0 + (X^T X + lambda I)^-1 X^T (Y - X W0), from one decomposition.

    Parameters
    ----------
    A : array_like, shape (n, d_in), or TransferStatistics
        Source rows; statistics give maps and `gcv`, but no `loo`.
    B : array_like, shape (n, d_out)
        Target rows; None with statistics.
    center : bool, default True
        Fit an intercept, never penalised.
    prior : None, "identity", "procrustes", TransferMap or array_like (d_out, d_in)
        W0^T, what the map tends to as lambda grows; None stands for zeros. Of a TransferMap only M counts.
    sample_weight : array_like, shape (n,), optional

    Notes
    -----
    Penalties are in squared units of A, summed over the rows. Cost: one SVD; then 2 n d_in d_out flops for each penalty
    of `loo`, in blocks of 32 MiB. Source: Hoerl and Kennard 1970; Golub, Heath, Wahba 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from crossmodal_fast.fitting import RidgePath
    >>> path = RidgePath(np.arange(5.0)[:, None], 2 * np.arange(5.0)[:, None])
    >>> path.map(10.0).M, path.best([0.1, 1.0, 10.0])
    (array([[1.]]), 0.1)
    """

    def __init__(
        self,
        A: Any,
        B: ArrayLike | None = None,
        *,
        center: bool = True,
        prior: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> None:
        self._decompose(pairs_of(A, B, center, sample_weight), prior)

    @classmethod
    def of(cls, pairs: Pairs, prior: Any = None) -> "RidgePath":
        """The path of pairs that are gathered already."""
        made = cls.__new__(cls)
        made._decompose(pairs, prior)
        return made

    def _decompose(self, pairs: Pairs, prior: Any) -> None:
        self._pairs = informative(pairs)
        self._prior = prior_of(prior, pairs)
        left, self._singular, self._right = pairs.x_basis
        gap = pairs.Y - pairs.X @ self._prior
        self._inside = left.T @ gap
        with np.errstate(over="ignore"):  # a prior that is far too large
            self._outside = float(np.square(gap - left @ self._inside).sum())

    @property
    def default_regularizations(self) -> Float64:
        """21 penalties, 1e-8 to 100 times `largest_eigenvalue`."""
        return PATH * self.largest_eigenvalue

    @property
    def largest_eigenvalue(self) -> float:
        """Of X^T X, in squared units of A."""
        return float(np.square(self._singular[0])) * self._pairs.x_size * self._pairs.x_size

    def map(self, regularization: float) -> TransferMap:
        """The map of one penalty, lambda >= 0; 0 is least squares of least distance to the prior."""
        return map_of(self._pairs, self.solution(regularization), "ridge")

    def solution(self, regularization: float) -> Solution:
        """The map in the units of the pairs."""
        penalty = self._penalties([regularization])[0]
        return Solution(self._prior + (self._right * (self._singular / (self._singular**2 + penalty))) @ self._inside)

    def gcv(self, regularizations: ArrayLike) -> Float64:
        """Generalised cross-validation, n ||(I - H) Y||^2 / (n - tr H)^2 for each penalty: (l,), squared units of B.

        n is the number of pairs with a weight above 0; infinite where the map has as many degrees of freedom.
        """
        return self._in_units(self._gcv(self._penalties(regularizations)))

    def loo(self, regularizations: ArrayLike) -> Float64:
        """Mean of ||y_i - prediction without pair i||^2 for each penalty: (l,), weighted, squared units of B.

        Exact, as if each pair had been left out and all fitted anew, without doing it; infinite where a pair alone
        determines a direction.
        """
        return self._in_units(self._loo(self._penalties(regularizations)))

    def loo_predictions(self, regularization: float) -> Float64:
        """What each pair's target is predicted to be by the map of all other pairs: (n, d_out)."""
        found = self.left_out(self._rows(), regularization)
        if not np.isfinite(found).all():
            raise ValueError(
                "regularization must be above 0 where a pair alone determines a direction, "
                f"got {regularization} and such a pair in row {int(np.argmin(np.isfinite(found).all(axis=1)))}"
            )
        return found

    def left_out(self, rows: Rows, regularization: float) -> Float64:
        """`loo_predictions` of some of the pairs: (len(rows), d_out), infinite where a pair alone decides."""
        penalty = self._penalties([regularization])[0]
        found = np.empty((len(rows.target), self._pairs.shape[1]))
        for block in self._blocks(rows):
            target = np.asarray(rows.target[block.taken], np.float64)
            found[block.taken] = target - self._missed(block, penalty) * self._pairs.y_size
        return found

    def loo_retrieval(self, regularizations: ArrayLike, metric: str = "cosine") -> Float64:
        """Mean reciprocal rank of each target among all targets, searched by its leave-one-out prediction: (l,).

        By `ranks`, equal distances at the mean of their ranks; 0 where `loo` is infinite.
        """
        rows = self._rows()
        found = np.zeros(len(self._penalties(regularizations)))
        for at, regularization in enumerate(np.atleast_1d(regularizations)):
            predictions = self.left_out(rows, regularization)
            if np.isfinite(predictions).all():
                found[at] = mean_reciprocal_rank(predictions, rows.target, metric)
        return found

    def best(self, regularizations: ArrayLike | None = None, selection: str = "loo", metric: str = "cosine") -> float:
        """The penalty that a criterion prefers, the largest of equally good ones.

        Parameters
        ----------
        regularizations : array_like (l,), optional
            `default_regularizations` where left out.
        selection : {"loo", "gcv", "retrieval"}, default "loo"
        metric : str, default "cosine"
            Of "retrieval".
        """
        criterion = CRITERIA[one_of("selection", selection, CRITERIA)]
        metric_name(metric)
        given = self.default_regularizations if regularizations is None else regularizations
        self._penalties(given)
        regularizations = np.sort(np.atleast_1d(numbers_of("regularization", given)))[::-1]
        return float(regularizations[np.argmin(criterion(self, regularizations, metric))])

    def _penalties(self, regularizations: ArrayLike) -> Float64:
        given = np.atleast_1d(numbers_of("regularization", regularizations))
        if given.ndim != 1 or not given.size or not (np.isfinite(given) & (given >= 0)).all():
            raise ValueError(f"regularization must be finite and at least 0, got {brief(regularizations)}")
        with np.errstate(over="ignore"):
            return given / self._pairs.x_size / self._pairs.x_size

    def _shrunk(self, penalties: Float64) -> Float64:
        """1 - h of each direction: (l, k); 1 for penalties that the units of the pairs cannot hold."""
        penalty = np.minimum(penalties, np.finfo(np.float64).max / 4)[:, None]
        return penalty / (self._singular**2 + penalty)

    def _rows(self) -> Rows:
        if self._pairs.rows is None:
            raise ValueError("A must be rows to leave one out, got TransferStatistics; selection='gcv' takes them")
        return self._pairs.rows

    def _in_units(self, squares: Float64) -> Float64:
        with np.errstate(over="ignore"):
            return squares * self._pairs.y_size * self._pairs.y_size

    def _gcv(self, penalties: Float64) -> Float64:
        kept = self._shrunk(penalties)  # (l, k), 1 - h
        missed = self._outside + np.square(kept) @ np.square(self._inside).sum(axis=1)
        n = self._pairs.count
        freedom = n - (1 - kept).sum(axis=1) - self._pairs.centered
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(freedom > DETERMINED * n, n * missed / np.square(freedom), np.inf)

    def _loo(self, penalties: Float64) -> Float64:
        total = np.zeros(len(penalties))
        for block in self._blocks(self._rows()):
            for at, penalty in enumerate(penalties):
                total[at] += block.weight @ np.square(self._missed(block, penalty)).sum(axis=1)
        return total / self._pairs.total

    def _blocks(self, rows: Rows) -> Iterator[_Block]:
        source, target, weight = rows
        pairs = self._pairs
        step = max(1, BLOCK_VALUES // sum(pairs.shape))
        for start in range(0, len(source), step):
            taken = slice(start, start + step)
            X = (np.asarray(source[taken], np.float64) - pairs.x_mean) / pairs.x_size
            Y = (np.asarray(target[taken], np.float64) - pairs.y_mean) / pairs.y_size
            share = weight[taken]
            inside = X @ self._right / self._singular
            leverage = 1 - share * (np.square(inside).sum(axis=1) + pairs.centered / pairs.total)
            leverage[leverage < DETERMINED] = 0
            yield _Block(taken, inside, Y - X @ self._prior - inside @ self._inside, leverage, share)

    def _missed(self, block: _Block, penalty: float) -> Float64:
        """Target less its prediction by the other pairs, in units of y_size: (b, d_out)."""
        kept = self._shrunk(np.array([penalty]))[0]
        missed = block.outside + (block.inside * kept) @ self._inside
        free = block.leverage + block.weight * (np.square(block.inside) @ kept)
        free[free < DETERMINED**2] = 0
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(free[:, None] > 0, missed / free[:, None], np.inf)


CRITERIA: dict[str, Callable[[RidgePath, Float64, str], Float64]] = {
    "loo": lambda path, given, metric: path._loo(path._penalties(given)),
    "gcv": lambda path, given, metric: path._gcv(path._penalties(given)),
    "retrieval": lambda path, given, metric: -path.loo_retrieval(given, metric),
}


def prior_of(prior: Any, pairs: Pairs) -> Float64:
    """W0 (d_in, d_out) in the units of the pairs."""
    d_in, d_out = pairs.shape
    if prior is None:
        return np.zeros((d_in, d_out))
    if isinstance(prior, str):
        one_of("prior", prior, ("identity", "procrustes"))
        if prior == "identity" and d_in != d_out:
            raise ValueError(f"prior must not be 'identity' between spaces of {d_in} and {d_out} columns")
        M = np.eye(d_in) if prior == "identity" else rotation(pairs.X.T @ pairs.Y).T
    else:
        M = prior.M if isinstance(prior, TransferMap) else numbers_of("prior", prior)
    if M.shape != (d_out, d_in) or not np.isfinite(M).all():
        raise ValueError(f"prior must be finite of shape {(d_out, d_in)}, (d_out, d_in), got {brief(M)}")
    with np.errstate(over="ignore", invalid="ignore"):
        W = M.T * (pairs.x_size / pairs.y_size)
    if not np.isfinite(W).all():
        raise ValueError(
            f"A and B must be of sizes whose ratio float64 holds, got {pairs.x_size:g} and {pairs.y_size:g}"
        )
    return W


def lstsq(pairs: Pairs) -> Solution:
    """W = X^+ Y, of least norm; directions of X with singular values at most 1e-6 of the largest are left out."""
    return RidgePath.of(pairs).solution(0.0)


def ridge(
    pairs: Pairs,
    *,
    regularization: Any = 1.0,
    selection: str = "loo",
    prior: Any = None,
    metric: str = "cosine",
) -> Solution:
    """Ridge with one penalty, or the best of several by `selection`."""
    metric_name(metric)
    path = RidgePath.of(pairs, prior)
    one_of("selection", selection, CRITERIA)
    if np.ndim(regularization) == 0 and not isinstance(regularization, str):
        return path.solution(number("regularization", regularization))
    if isinstance(regularization, str):
        one_of("regularization", regularization, ("path",))
    given = None if isinstance(regularization, str) else regularization
    best = path.best(given, selection, metric)
    found = path.solution(best)
    return Solution(found.W, details={"regularization": best, "selection": selection})
