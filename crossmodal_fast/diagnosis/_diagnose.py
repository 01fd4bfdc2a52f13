"""From two sides to a `Diagnosis`: measure the spaces, try each remedy on pairs held out, recommend one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import number, rows_of, whole
from .._config import Control, resolve
from .._validate import flag
from ..evaluate import (
    bootstrap_interval,
    cka,
    hubness,
    modality_gap,
    mutual_neighbours,
    occurrences,
    randomisation_test,
    singular_values,
)
from ..evaluate._geometry import entropy_rank
from ..preprocess import unit_rows
from ._advice import recommendation
from ._remedies import REMEDIES, Space, Split, mean_reciprocal, pair_ranks
from ._report import Contender, Curves, Diagnosis

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Ranks = tuple[Float64, Float64]  # there and back

LEAST_PAIRS = 20  # 10 to learn from and 10 to hold out: the penalty of ridge is chosen on a fifth of the former
LEVEL = 0.05  # of the test by which a remedy must win, divided by the number of remedies
SAMPLES = 2000  # of the tests and intervals: p-values down to 0.0005


def diagnose(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    paired: bool = True,
    k: int = 10,
    holdout: float = 0.5,
    sample: int = 10_000,
    seed: int = 0,
    **control: Any,
) -> Diagnosis:
    """Say what is wrong between two embedding spaces and what would help, as measured on pairs held out.

    Parameters
    ----------
    X : array_like, shape (m, d)
    Y : array_like, shape (n, e)
        Row i belongs to row i of X, and m == n, unless paired is False.
    paired : bool, default True
        False: the rows do not belong together. No retrieval, no CKA, no gains; only what each side and their
        neighbourhoods show.
    k : int, default 10
        Neighbours of hubness, of mutual neighbours and of CSLS; at most the rows there are.
    holdout : float in 0..1, default 0.5
        Share of the pairs that the remedies are tried on; they learn from the others. At least 10 pairs each.
    sample : int, default 10000
        Rows (pairs) used at most, drawn by the seed.
    seed : int, default 0
        Of the sample, the split, the unmatched pairs, the tests and intervals.
    **control
        As in `topk`: backend, max_bytes, n_threads ..

    Returns
    -------
    Diagnosis
        Readable as text; `to_dict()` and `plot(path)` give the rest.

    Raises
    ------
    ValueError
        Unequal numbers of rows where they are paired, fewer than 20 pairs, non-finite rows.
    TypeError
        Rows that are no real numbers.

    Notes
    -----
    Rows are compared by cosine. Gains are those of the mean MRR of both directions, on the same pairs held out, without
    the other pairs in the gallery. A remedy is recommended if its MRR beats that of the simpler ones with a p-value
    (paired randomisation) of at most 0.05 over the number of remedies. CSLS is transductive: it knows all queries.
    Cost: of p pairs some 20 passes over (p/2)^2 scores and two over p^2, and 5 fits; nothing p x p is stored.

    Examples
    --------
    >>> import numpy as np
    >>> from crossmodal_fast import diagnose
    >>> x = np.random.default_rng(0).standard_normal((200, 8))
    >>> diagnose(x, x[:, ::-1]).choice
    'procrustes'
    """
    x, y = rows_of("X", X), rows_of("Y", Y)
    paired, k, seed = flag("paired", paired), whole("k", k), whole("seed", seed, least=0)
    sample, share = whole("sample", sample), number("holdout", holdout, most=1.0)
    resolve(cast(Control, control))
    if paired and len(x) != len(y):
        raise ValueError(
            f"Y must have one row for each of the {len(x)} rows of X, got {len(y)}; paired=False takes any number"
        )
    rng = np.random.default_rng(seed)
    kept_x = _drawn(rng, len(x), sample)
    kept_y = kept_x if paired else _drawn(rng, len(y), sample)
    x, y = unit_rows("X", x[kept_x]), unit_rows("Y", y[kept_y])
    test = _held_out(rng, len(x), share) if paired else None
    shared, spectra = x.shape[1] == y.shape[1], (singular_values(x), singular_values(y))
    hubs, counts = _hubs(x, y, k, control) if shared else (None, None)
    everything = pair_ranks(Space(x, y), control) if paired and shared else None
    contenders, choice = ((), "") if test is None else _tried(x, y, test, min(k, int(test.sum())), seed, control)
    alike = paired and spectra[0].any() and spectra[1].any()
    found = Diagnosis(
        rows=(len(x), len(y)),
        columns=(x.shape[1], y.shape[1]),
        paired=paired,
        neighbours=min(k, len(x), len(y)),
        held_out=0 if test is None else int(test.sum()),
        modality_gap=modality_gap(x, y) if shared else None,
        effective_rank=(entropy_rank(spectra[0]), entropy_rank(spectra[1])),
        cka=cka(x, y) if alike else None,
        mutual_neighbours=mutual_neighbours(x, y, min(k, len(x) - 1), **control) if paired else None,
        hubness=hubs,
        contenders=contenders,
        choice=choice,
        recommendation="",
        curves=Curves(everything, spectra, counts, _similarities(rng, x, y, paired) if shared else (None, None)),
    )
    return replace(found, recommendation=recommendation(found))


def _drawn(rng: np.random.Generator, count: int, sample: int) -> NDArray[np.int64] | slice:
    return slice(None) if count <= sample else np.sort(rng.choice(count, sample, replace=False))


def _held_out(rng: np.random.Generator, count: int, share: float) -> NDArray[np.bool_]:
    if count < LEAST_PAIRS:
        raise ValueError(
            f"X and Y must have at least {LEAST_PAIRS} pairs, half to learn from and half to hold out, got {count}; "
            "paired=False measures fewer rows"
        )
    half = LEAST_PAIRS // 2
    test = np.zeros(count, dtype=np.bool_)
    test[rng.permutation(count)[: min(max(round(share * count), half), count - half)]] = True
    return test


def _hubs(
    x: Array, y: Array, k: int, control: dict[str, Any]
) -> tuple[tuple[dict[str, float], dict[str, float]], tuple[Array, Array]]:
    """Of Y among the neighbours of X, and of X among those of Y."""
    from .._operations import topk_both

    near = topk_both(x, y, (min(k, len(y)), min(k, len(x))), "cosine", **control)
    of_y, of_x = (np.asarray(side.indices) for side in near)
    return (hubness(of_y, len(y)), hubness(of_x, len(x))), (occurrences(of_y, len(y)), occurrences(of_x, len(x)))


def _similarities(rng: np.random.Generator, x: Array, y: Array, paired: bool) -> tuple[Float64 | None, Float64]:
    """Cosines of matched rows, and of as many that are not."""
    if not paired:
        return None, _cosines(x, y[rng.integers(0, len(y), len(x))])
    return _cosines(x, y), _cosines(x, np.roll(y, rng.integers(1, len(y)), axis=0))


def _cosines(x: Array, y: Array) -> Float64:
    return np.asarray(np.einsum("ij,ij->i", x, y, dtype=np.float64))


def _tried(
    x: Array, y: Array, test: NDArray[np.bool_], k: int, seed: int, control: dict[str, Any]
) -> tuple[tuple[Contender, ...], str]:
    split = Split((x[~test], y[~test]), (x[test], y[test]), k, control)
    differ = all(np.ptp(side, axis=0).any() for side in split.train)
    found = {
        name: pair_ranks(remedy.apply(split), control)
        for name, remedy in REMEDIES.items()
        if (split.shared or not remedy.shared) and (differ or not remedy.learns)
    }
    each = {name: mean_reciprocal(ranks) for name, ranks in found.items()}
    base = found.get("nothing")
    tried = tuple(_contender(name, ranks, base if name != "nothing" else None, seed) for name, ranks in found.items())
    return tried, _choice(each, seed)


def _choice(each: dict[str, Float64], seed: int) -> str:
    """The simplest, unless a later one beats it, and so on: by the table's order, beyond what chance explains."""
    names = list(each)
    if not names:
        return ""
    best, limit = names[0], LEVEL / max(len(names) - 1, 1)
    for name in names[1:]:
        gain, p_value = randomisation_test(each[name], each[best], samples=SAMPLES, seed=seed)
        best = name if gain > 0 and p_value <= limit else best
    return best


def _contender(name: str, ranks: Ranks, base: Ranks | None, seed: int) -> Contender:
    hit_rate, mrr = _both(ranks, lambda rank: rank <= 1), _both(ranks, lambda rank: 1 / rank)
    if base is None:
        return Contender(name, hit_rate, mrr, None, None, None, None)
    each, others = mean_reciprocal(ranks), mean_reciprocal(base)
    gain, p_value = randomisation_test(each, others, samples=SAMPLES, seed=seed)
    interval = bootstrap_interval(each - others, samples=SAMPLES, seed=seed)
    hits = np.mean(hit_rate) - np.mean(_both(base, lambda rank: rank <= 1))
    return Contender(name, hit_rate, mrr, float(hits), gain, interval, p_value)


def _both(ranks: Ranks, value: Callable[[Float64], Array]) -> tuple[float, float]:
    """The mean value there and back."""
    return float(np.mean(value(ranks[0]))), float(np.mean(value(ranks[1])))
