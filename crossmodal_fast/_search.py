"""What the searches share: problems of a batch, the choice of a backend, results put together. No arithmetic."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _validate
from ._config import Config, Control
from ._dispatch import implementation
from ._threads import blas_threads
from .kernels.tiles import metrics, pool, rectangle
from .kernels.tiles.devices import devices
from .kernels.tiles.encode import Space
from .kernels.tiles.filters import Filters
from .kernels.tiles.rows import Rows

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None] | None


class TopK(NamedTuple):
    """The k best of every row, best first: distances (..., m, k) and int64 indices (..., m, k)."""

    distances: Any
    indices: Any


class Search(Control, total=False):
    """Keyword arguments of every search beside k, metric and return_stats: see `topk`."""

    metric_kwargs: dict[str, Any] | None
    exclude_self: bool
    exclude: Any
    mask: Any
    bias: tuple[Any, Any] | None
    dtype: Any


class Within(NamedTuple):
    """CSR-like: row i has indices[indptr[i]:indptr[i+1]] and distances, best first."""

    indptr: Any
    indices: Any
    distances: Any


class LogSums(NamedTuple):
    """Log-sum-exps over the scores of every row and of every column: rows (..., m) and columns (..., n), float64."""

    rows: Any
    columns: Any


@dataclass(frozen=True)
class SearchStats:
    """How a search went.

    candidates : (..., m) int64, canonical float64 values computed per query: k is the least possible
    widened : (..., m) bool, queries for which the scan's precision could not decide
    precision : dtype of the scan
    backend : which one ran
    prepare_seconds, scan_seconds : encoding of both sides; everything else
    """

    candidates: Array
    widened: Array
    precision: str
    backend: str
    prepare_seconds: float
    scan_seconds: float


class Pairs(NamedTuple):
    """Which pairs may match and what is added to them, as the caller gave it."""

    exclude_self: bool
    exclude: Any
    mask: Any
    bias: Any


Side = tuple[str, Any]  # name of the argument, matrix


def select(
    x_side: Side,
    y_side: Side,
    k: tuple[int, int],
    metric: str,
    metric_kwargs: dict[str, Any] | None,
    pairs: Pairs,
    dtype: Any,
    settled: Config,
    prepared: Any = None,
    limit: Array | None = None,
) -> tuple[list[tuple[Array, Array]], SearchStats]:
    """`topk` of the rows and, for k[1] > 0, of the columns, over all problems of a batch.

    limit (m,): the ordered value from which on other rows than these are known to fill the k best of a query.
    """
    (_, X), (_, Y) = x_side, y_side
    found = _validate.output_dtype(dtype, X, Y)
    like = None if prepared is None or limit is not None else _like(k, metric, pairs, found, settled)
    if like is not None and prepared.again is not None:
        answer = _again(prepared.again, like, X, k[0])
        if answer is not None:
            return answer
    problems, lead = problems_of(x_side, y_side, metric, metric_kwargs, pairs, settled)
    m, n = X.shape[-2], Y.shape[-2]
    sizes = [(m, k[0])] + [(n, k[1])] * (k[1] > 0)
    results = [(np.empty((*lead, *size), found), np.empty((*lead, *size), np.int64)) for size in sizes]
    candidates, widened = np.zeros((*lead, m), np.int64), np.zeros((*lead, m), bool)
    seconds, precision, backend = np.zeros(2), settled.precision, settled.backend
    with running(settled, "matching") as tick:
        for at, *problem, keywords in problems:
            keywords |= {"prepared": prepared, "tick": tick, "limit": limit}
            keywords["out"] = [(distances[at], indices[at]) for distances, indices in results]
            backend, stats = run("topk", settled, *problem, **keywords)
            candidates[at], widened[at], precision = stats.candidates, stats.widened, stats.precision
            seconds += stats.prepare_seconds, stats.scan_seconds
            if like is not None and stats.again is not None:
                prepared.again = like, backend, stats.again
    return results, SearchStats(candidates, widened, precision, backend, float(seconds[0]), float(seconds[1]))


def _like(k: tuple[int, int], metric: str, pairs: Pairs, dtype: np.dtype[Any], settled: Config) -> Any:
    """What a search in a gallery must share with another to be done as that was; None where it tells, or leaves out."""
    plain = pairs.exclude is pairs.mask is pairs.bias is None and not pairs.exclude_self
    if not plain or settled.progress or settled.devices is not None:
        return None
    return k, metric, dtype, settled.backend, settled.precision, settled.max_bytes, settled.check_finite


def _again(before: Any, like: Any, X: Any, k: int) -> tuple[list[tuple[Array, Array]], SearchStats] | None:
    """The answer of `select`, as a search before it was done; None where that was another, or this needs more."""
    asked, backend, again = before
    if asked != like:
        return None
    distances, indices = (np.empty((X.shape[-2], k), kind) for kind in (like[2], np.int64))
    stats = again(X, distances, indices)
    if stats is None:
        return None
    found = SearchStats(stats.candidates, stats.widened, stats.precision, backend, 0.0, stats.scan_seconds)
    return [(distances, indices)], found


def search_within(
    x_side: Side,
    y_side: Side,
    radius: Any,
    metric: str,
    metric_kwargs: dict[str, Any] | None,
    pairs: Pairs,
    dtype: Any,
    settled: Config,
    prepared: Any = None,
) -> Within:
    """`within` for checked matrices."""
    (_, X), (_, Y) = x_side, y_side
    problems, _ = problems_of(x_side, y_side, metric, metric_kwargs, pairs, settled)
    ((_, *problem, keywords),) = problems
    keywords |= {"radius": _validate.radius(radius, X.shape[0]), "dtype": _validate.output_dtype(dtype, X, Y)}
    with running(settled, "searching") as tick:
        _, (counts, indices, distances, _) = run("within", settled, *problem, prepared=prepared, tick=tick, **keywords)
    return Within(np.concatenate([[0], np.cumsum(counts)]), indices, distances)


def search_ranks(
    x_side: Side,
    y_side: Side,
    positives: Any,
    metric: str,
    ties: str,
    metric_kwargs: dict[str, Any] | None,
    pairs: Pairs,
    settled: Config,
    prepared: Any = None,
) -> Array:
    """`ranks` for checked matrices."""
    _validate.tie_policy(ties)
    pair = _validate.positives(positives, x_side[1].shape[0], y_side[1].shape[0])
    return ranked(ties, counted(x_side, y_side, pair, None, metric, metric_kwargs, pairs, settled, prepared))


def counted(
    x_side: Side,
    y_side: Side,
    pair: tuple[Array, Array],
    target: Array | None,
    metric: str,
    metric_kwargs: dict[str, Any] | None,
    pairs: Pairs,
    settled: Config,
    prepared: Any = None,
) -> tuple[Array, Array, Array]:
    """How many rows are better than each positive, equal and before it, and equal; pair: (row (e,), positive (e,)).

    target (e,): the ordered values of the positives, which may then be outside 0..n-1: behind all rows, or before.
    """
    problems, _ = problems_of(x_side, y_side, metric, metric_kwargs, pairs, settled)
    ((_, *problem, keywords),) = problems
    keywords |= {"row": pair[0], "positive": pair[1], "target": target}
    with running(settled, "ranking") as tick:
        _, (better, before, equal, _) = run("ranks", settled, *problem, prepared=prepared, tick=tick, **keywords)
    return better, before, equal


def ranked(ties: str, counts: tuple[Array, Array, Array]) -> Array:
    """The ranks that counts make."""
    better, before, equal = counts
    behind = {"index": before, "optimistic": 0, "pessimistic": equal, "mean": equal / 2}
    rank: Array = 1 + better + behind[ties]
    return rank


def log_sums(
    X: Any,
    Y: Any,
    metric: str,
    metric_kwargs: dict[str, Any] | None,
    beta: float,
    bias: Any,
    axis: str,
    settled: Config,
    precision: str,
) -> LogSums:
    """`logsumexp` for checked matrices; what `axis` leaves out is empty."""
    ready = Y is None
    if not ready:
        _validate.same_features("X", X, "Y", Y)
    given = {} if ready else _validate.metric_keywords(metric, metric_kwargs, X.shape[-1])
    lead = X.shape[:-2] if ready else _validate.batch("X", X, "Y", Y)
    sizes = X.shape[-2], X.shape[-1] if ready else Y.shape[-2]
    added = _validate.biases(bias, lead, *sizes) or tuple(np.zeros((*lead, size)) for size in sizes)
    result = [np.empty((*lead, size)) if axis in (name, "both") else None
              for name, size in zip(LogSums._fields, sizes, strict=True)]  # fmt: skip
    sides = [("X", X)] if ready else [("X", X), ("Y", Y)]
    with running(settled, "summing") as tick:
        for at, *rows in row_sets(sides, lead, settled):
            x, y = rows[0], None if ready else rows[1]
            chosen = None if ready else metric_of(metric, given, X.shape[-1], *rows)
            out = {name: None if part is None else part[at] for name, part in zip(LogSums._fields, result, strict=True)}
            keywords = {"max_bytes": settled.max_bytes, "precision": precision, "tick": tick, **out}
            run("softmax", settled, x, y, chosen, beta=beta, bias=(added[0][at], added[1][at]), **keywords)
    return LogSums(*(np.empty(0) if part is None else part for part in result))


def canonical_distances(
    x_side: Side, y_side: Side, metric: str, metric_kwargs: dict[str, Any] | None, settled: Config
) -> Callable[[slice, slice], Array]:
    """What gives the distances of some rows with some others, float64, as `topk` has them: for many small parts."""
    (_, X), (_, Y) = x_side, y_side
    given = _validate.metric_keywords(_validate.metric_name(metric), metric_kwargs, X.shape[-1])
    ((_, x, y),) = row_sets((x_side, y_side), (), settled)
    x.refuse_unfinite()
    y.refuse_unfinite()
    chosen = metric_of(metric, given, X.shape[-1], x, y)
    direct = Space(metrics.unbounded(chosen))

    def distances(rows: slice, columns: slice) -> Array:
        left, right = (np.asarray(side[part]).astype(np.float64) for side, part in ((X, rows), (Y, columns)))
        value = metrics.ordered(chosen, rectangle.values(direct, left, right, None, None))
        found: Array = metrics.returned(chosen, value, np.dtype(np.float64))
        return found

    return distances


def problems_of(
    x_side: Side,
    y_side: Side,
    metric: str,
    metric_kwargs: dict[str, Any] | None,
    pairs: Pairs,
    settled: Config,
) -> tuple[Iterator[Any], tuple[int, ...]]:
    """The two-dimensional searches of a batch, (position, x, y, metric, keywords) each, and the batch's shape."""
    (x_name, X), (y_name, Y) = x_side, y_side
    _validate.metric_name(metric)
    given = _validate.metric_keywords(metric, metric_kwargs, X.shape[-1])
    _validate.same_features(x_name, X, y_name, Y)
    lead = _validate.batch(x_name, X, y_name, Y)
    m, n = X.shape[-2], Y.shape[-2]
    exclude = _validate.exclusion(pairs.exclude_self, pairs.exclude, lead, m, n)
    mask = _validate.allowance(pairs.mask, lead, m, n)
    bias = _validate.biases(pairs.bias, lead, m, n)

    def problems() -> Iterator[Any]:
        for at, x, y in row_sets((x_side, y_side), lead, settled):
            filters = Filters(
                None if exclude is None else exclude[at],
                mask if mask is None or mask.shape == (n,) or not lead else mask[at],
                None if bias is None else (bias[0][at], bias[1][at]),
            )
            chosen = metric_of(metric, given, X.shape[-1], x, y)
            yield at, x, y, chosen, {"filters": filters, "max_bytes": settled.max_bytes, "precision": settled.precision}

    return problems(), lead


def run(operation: str, settled: Config, *arguments: Any, **keywords: Any) -> tuple[str, Any]:
    """Backend that ran, and what it returned."""
    name, run = implementation(operation, settled.backend, *arguments, **keywords)
    return name, run(*arguments, **keywords)


def row_sets(sides: Iterable[Side], lead: tuple[int, ...], settled: Config) -> Iterator[Any]:
    """(position, rows of each side) of the problems of a batch."""
    for at in np.ndindex(lead) if lead else ((),):
        where = f"[{', '.join(map(str, at))}]" if at else ""
        yield at, *(Rows(name + where, part(side, lead, at), settled.check_finite) for name, side in sides)


def part(side: Any, lead: tuple[int, ...], at: tuple[int, ...]) -> Any:
    if len(side.shape) == 2:
        return side
    return np.broadcast_to(np.asarray(side[:]), (*lead, *side.shape[-2:]))[at]


def metric_of(name: str, given: dict[str, Any], d: int, *sides: Rows) -> metrics.Metric:
    """The metric on d features, its parameters from all rows of all sides where they are not given."""
    with blas_threads(1) if name == "mahalanobis" else nullcontext():
        return metrics.metric(name, d, metrics.keywords(name, given, *sides))


@contextmanager
def running(settled: Config, label: str) -> Iterator[Progress]:
    """Threads of BLAS and ours limited, GPUs chosen, NumPy's warnings off; yields whom to tell of progress, or None."""
    with ExitStack() as stack:
        if settled.n_threads is not None:
            stack.enter_context(blas_threads(settled.n_threads))
            stack.enter_context(pool.at_most(settled.n_threads))
        if settled.devices is not None:
            stack.enter_context(devices(settled.devices))
        stack.enter_context(np.errstate(all="ignore"))
        if settled.progress is True:
            from ._progress import bar

            yield stack.enter_context(bar(label))
        else:
            yield settled.progress or None
