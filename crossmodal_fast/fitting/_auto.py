"""The method that finds best: all of them, and doing nothing, scored by retrieval on pairs they have not seen."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arguments import whole
from ._canonical import CCA, across, cca
from ._linear import RidgePath
from ._nothing import NOTHING, identity, mean_shift
from ._pairs import Pairs, Rows, gathered, informative, merged
from ._procrustes import procrustes
from ._scores import reciprocal_ranks
from ._solution import Solution

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]
Fold = tuple[Pairs, Float64]  # the pairs to learn from, the rows to predict
Judged = tuple[Float64, "Contender"]  # (j, d_out): what maps that have not seen a pair predict for it

FOLDS = 5  # of methods whose leave-one-out has no closed form
JUDGED = 2000  # pairs that are searched among each other, drawn with the seed where there are more
DECADES = 10.0 ** np.arange(-7, 3)  # penalties, times the largest eigenvalue of X^T X
SHRINKAGES = (0.01, 0.1, 1 / 3)  # of CCA; 1/3 is C + tr(C) / (2 d) I
COMPONENTS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)  # of CCA, and as many as there are


class Contender(NamedTuple):
    """A method with its options, and the map that it makes of all pairs."""

    method: str
    options: dict[str, Any]
    solve: Callable[[], Solution]


def auto(pairs: Pairs, *, metric: str = "cosine", seed: int = 0) -> Solution:
    """The contender with the highest mean reciprocal rank; doing nothing where no other is clearly better."""
    if pairs.rows is None:
        raise ValueError("method must not be 'auto' for TransferStatistics, which hold no rows to find; name another")
    whole("seed", seed, least=0)
    judged = np.flatnonzero(pairs.rows.weight > 0)
    if len(judged) < 2:
        raise ValueError(f"A must hold at least 2 pairs for method='auto', got {len(judged)}")
    informative(pairs)
    if len(judged) > JUDGED:
        judged = np.sort(np.random.default_rng(seed).choice(judged, JUDGED, replace=False))
    sample = Rows(*(np.asarray(part[judged], np.float64) for part in pairs.rows))
    field, ranked = [], []
    for predictions, entry in _contenders(pairs, sample, judged):
        field.append(entry)
        ranked.append(reciprocal_ranks(predictions, sample.target, metric))
    found = np.stack(ranked)
    chosen = _winner(field, found)
    solution = chosen.solve()
    nothing = chosen.method in NOTHING
    verdict = {
        "identity": "doing nothing wins: no method finds more than the rows as they are",
        "mean_shift": "doing nothing but moving the mean wins: no method finds more",
    }.get(chosen.method, f"{_told(chosen)} finds most")
    details = {
        "method": chosen.method,
        **chosen.options,
        "verdict": verdict,
        "doing_nothing_wins": nothing,
        "metric": metric,
        "judged": len(judged),
        "scores": [
            {"method": entry.method, **entry.options, "mrr": float(row.mean()), "hit_rate@1": float((row == 1).mean())}
            for entry, row in zip(field, found, strict=True)
        ],
    }
    name = f"auto: {_told(chosen)}" + " (doing nothing wins)" * nothing
    return Solution(solution.W, solution.sized, solution.bias, details, name)


def _told(entry: Contender) -> str:
    options = ", ".join(f"{name}={_short(value)}" for name, value in entry.options.items())
    return f"{entry.method}({options})" if options else entry.method


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _winner(field: list[Contender], reciprocal: Float64) -> Contender:
    """The best, the first of equals; doing nothing unless the best is clearly better.

    Clearly: by more than the standard error of the paired difference (the rule of Breiman et al. 1984 for trees).
    """
    best = int(np.argmax(reciprocal.mean(axis=1)))
    for entry, row in zip(field, reciprocal, strict=True):
        ahead = reciprocal[best] - row
        if entry.method in NOTHING and ahead.mean() <= ahead.std() / np.sqrt(max(1, len(ahead) - 1)):
            return entry
    return field[best]


def _contenders(pairs: Pairs, sample: Rows, judged: Indices) -> Iterator[Judged]:
    """Simplest first: doing nothing, one turn, ridge from the strongest penalty on, CCA from few components on."""
    square = pairs.shape[0] == pairs.shape[1]
    if square:
        yield sample.source, Contender("identity", {}, partial(identity, pairs))
        if pairs.centered:
            yield _shifted(pairs, sample), Contender("mean_shift", {}, partial(mean_shift, pairs))
    folds = _folds(pairs, sample, judged)
    if folds:
        turned = [procrustes(rest) for rest, _ in folds]
        yield _predicted(folds, turned, judged), Contender("procrustes", {}, partial(procrustes, pairs))
    for prior in ["identity", None] if square else [None]:
        yield from _ridges(pairs, sample, prior)
    if folds:
        yield from _canonical(pairs, folds, judged)


def _shifted(pairs: Pairs, sample: Rows) -> Float64:
    """Moved by the means of all other pairs."""
    source, target, weight = sample
    rest = pairs.total - weight[:, None]
    means = [
        (pairs.total * mean - weight[:, None] * rows) / rest
        for mean, rows in ((pairs.x_mean, source), (pairs.y_mean, target))
    ]
    found: Float64 = source + means[1] - means[0]
    return found


def _ridges(pairs: Pairs, sample: Rows, prior: str | None) -> Iterator[Judged]:
    path = RidgePath.of(pairs, prior)
    with np.errstate(over="ignore"):
        penalties = (path.largest_eigenvalue * DECADES)[::-1]
    if not (np.isfinite(penalties).all() and penalties.all()):
        return  # rows near 1e154 or 1e-154, whose squares no penalty can be named in
    for penalty in penalties.tolist():
        predictions = path.left_out(sample, penalty)
        if np.isfinite(predictions).all():
            options = {"regularization": penalty} | ({} if prior is None else {"prior": prior})
            yield predictions, Contender("ridge", options, partial(path.solution, penalty))


def _canonical(pairs: Pairs, folds: list[Fold], judged: Indices) -> Iterator[Judged]:
    for shrinkage in SHRINKAGES:
        fitted = [CCA(shrinkage=shrinkage) for _ in folds]
        for one, (rest, _) in zip(fitted, folds, strict=True):
            one.solve(rest)
        factors = [np.linalg.qr(one.projection_b_) for one in fitted]
        most = min(len(one.correlations_) for one in fitted)
        for k in [k for k in COMPONENTS if k < most] + [most]:
            maps = [
                Solution(across(one.projection_a_[:, :k], one.correlations_[:k], *factor))
                for one, factor in zip(fitted, factors, strict=True)
            ]
            options: dict[str, Any] = {"n_components": k, "shrinkage": shrinkage}
            yield _predicted(folds, maps, judged), Contender("cca", options, partial(cca, pairs, **options))


def _predicted(folds: list[Fold], maps: list[Solution], judged: Indices) -> Float64:
    """Of each fold's rows by its map, put where their pairs stand among the judged."""
    found = []
    for (rest, rows), one in zip(folds, maps, strict=True):
        size = rest.y_size if one.sized else rest.x_size
        found.append(rest.y_mean + ((rows - rest.x_mean) / rest.x_size @ one.W) * size)
    order = np.argsort(judged % len(folds), kind="stable")
    out = np.empty((len(judged), found[0].shape[1]))
    out[order] = np.concatenate(found)
    return out


def _folds(pairs: Pairs, sample: Rows, judged: Indices) -> list[Fold]:
    """Every FOLDS-th pair is held out in turn: all others merged, and the judged rows that are held out.

    None where what is left over holds nothing to learn from.
    """
    assert pairs.rows is not None
    count = min(FOLDS, len(pairs.rows.weight))
    parts = []
    for fold in range(count):
        part = Rows(*(values[fold::count] for values in pairs.rows))
        parts.append(gathered(part, pairs.centered) if part.weight.any() else None)
    found = []
    for fold in range(count):
        others = [part for at, part in enumerate(parts) if at != fold and part is not None]
        rest = merged(others) if others else None
        if rest is None or not (rest.X.any() and rest.Y.any()):
            return []
        found.append((rest, sample.source[judged % count == fold]))
    return found
