"""How sure a mean over queries is, and a difference of two: by resampling, from a seed."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import number, numbers_of, whole

Float64 = NDArray[np.float64]

BLOCK_DRAWS = 1 << 22  # random numbers in work at a time: 32 MiB
ROUNDING = 1e-12  # of the difference: sums of the same numbers in another order differ by less


class Randomisation(NamedTuple):
    """Mean difference of two systems (m,), and how often chance gives one at least as large: of `randomisation_test`.

    Examples
    --------
    >>> Randomisation(0.25, 0.01).p_value
    0.01
    """

    difference: float
    p_value: float


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, *, samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over queries.

    Parameters
    ----------
    values : array_like, shape (m,)
        One value a query, such as those that per_query=True gives.
    level : float in 0..1, default 0.95
    samples : int, default 10000
    seed : int, default 0

    Returns
    -------
    (float, float)
        The (1 - level) / 2 and (1 + level) / 2 quantiles of the means of `samples` draws of m queries with
        replacement. Cost: m samples random numbers. Source: Efron 1979.

    Examples
    --------
    >>> bootstrap_interval([0.5, 0.5, 0.5])
    (0.5, 0.5)
    """
    each = _values("values", values)
    level = number("level", level, most=1.0)
    rng, means = np.random.default_rng(whole("seed", seed, least=0)), []
    for rows in _blocks(whole("samples", samples), len(each)):
        means.append(each[rng.integers(0, len(each), (rows, len(each)))].mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def randomisation_test(first: ArrayLike, second: ArrayLike, *, samples: int = 10_000, seed: int = 0) -> Randomisation:
    """Paired randomisation test of the difference of two means, two-sided.

    Parameters
    ----------
    first, second : array_like, shape (m,)
        Values of two systems for the same queries, in the same order.
    samples : int, default 10000
    seed : int, default 0

    Returns
    -------
    Randomisation
        difference, mean(first) - mean(second) = D, and p_value = (1 + #{|D*| >= |D|}) / (samples + 1), where each D*
        swaps the two values of every query or not, by a coin. Cost: m samples random numbers. Source: Fisher 1935;
        Smucker, Allan, Carterette 2007.

    Examples
    --------
    >>> randomisation_test([1.0, 0.5], [1.0, 0.5]).p_value
    1.0
    """
    one, other = _values("first", first), _values("second", second)
    if len(one) != len(other):
        raise ValueError(f"second must have a value for each of the {len(one)} queries of first, got {len(other)}")
    gap, rng = one - other, np.random.default_rng(whole("seed", seed, least=0))
    observed, as_large = abs(gap.sum()), 0
    slack = ROUNDING * np.abs(gap).sum()
    for rows in _blocks(whole("samples", samples), len(gap)):
        coins = rng.integers(0, 2, (rows, len(gap)), dtype=np.int8)
        as_large += int((np.abs((2.0 * coins - 1.0) @ gap) >= observed - slack).sum())
    return Randomisation(float(gap.mean()), (1 + as_large) / (samples + 1))


def _values(name: str, value: ArrayLike) -> Float64:
    found = numbers_of(name, value)
    if found.ndim != 1 or not found.size:
        raise ValueError(f"{name} must have shape (m,) with m >= 1, one value a query, got {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, got {found[~np.isfinite(found)][0]}")
    return found


def _blocks(samples: int, width: int) -> list[int]:
    rows = max(1, BLOCK_DRAWS // width)
    return [min(rows, samples - start) for start in range(0, samples, rows)]
