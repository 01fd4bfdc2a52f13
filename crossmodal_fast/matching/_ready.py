"""Ready scores, read in blocks: a memory map may be larger than memory."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from .._arguments import rows_of, whole
from .._config import Control, resolve
from ..preprocess import result_dtype
from ._known import Known, settled
from ._results import Array, Best, Float64, Indices
from ._source import Bias, Part, filled

BLOCK_BYTES = 1 << 25  # of workspace at a time, less where max_bytes says so: 32 MiB
BYTES_PER_SCORE = 32  # of workspace while a block is searched: a float64 copy, its partition, an int32 sum, masks


class Precomputed:
    """Ready scores."""

    own_excluded = False

    def __init__(self, scores: Any, control: Control, name: str = "X", constant: float = 0.0) -> None:
        self.scores, self.name, self.constant = scores, name, constant
        self.control = without_precision(dict(control))
        self.shape = int(scores.shape[0]), int(scores.shape[1])
        self.dtype = result_dtype(scores.dtype)
        self.max_bytes = resolve(control).max_bytes
        self.width = BYTES_PER_SCORE * self.shape[1]
        if self.max_bytes < self.width:
            raise ValueError(
                f"max_bytes must be at least {self.width} (one row of {self.shape[1]} scores), got {self.max_bytes}"
            )

    def checked(self, k: Any, both: bool) -> int:
        most, side = (min(self.shape), "shorter side") if both else (self.shape[1], "columns")
        if not 1 <= whole("k", k, least=None) <= most:
            raise ValueError(f"k must be in 1..{most} (the {side} of X), got {k}")
        return int(k)

    def _blocks(self, bias: Bias | None) -> Iterator[tuple[int, Float64]]:
        step = max(1, min(BLOCK_BYTES, self.max_bytes) // self.width)
        for start in range(0, self.shape[0], step):
            block = np.asarray(self.scores[start : start + step])
            finite = np.isfinite(block)
            if not finite.all():
                row = int(np.argmin(finite.all(axis=1)))
                value = block[row][~finite[row]][0]
                raise ValueError(
                    f"{self.name} must hold finite scores, got {value} in row {start + row}; "
                    "rule a pair out by a low one"
                )
            block = block.astype(np.float64, copy=False)
            if bias is not None:
                shift = bias[0][start : start + step, None] + bias[1]
                block = np.add(block, shift, out=shift)
            yield start, block

    def by_rows(self, k: int, bias: Bias | None = None) -> Best:
        return _joined([best(block, k) for _, block in self._blocks(bias)])

    def by_both(self, k: tuple[int, int], bias: Bias | None = None) -> tuple[Best, Best]:
        of_rows = []
        rows, values = np.empty((self.shape[1], 0), np.int64), np.empty((self.shape[1], 0))
        for start, block in self._blocks(bias):
            of_rows.append(best(block, k[0]))
            more_rows, more_values = best(block.T, min(k[1], len(block)))
            rows, values = np.hstack([rows, more_rows + start]), np.hstack([values, more_values])
            order = np.argsort(-values, axis=1, kind="stable")[:, : k[1]]  # equal scores: earlier, so lower, rows first
            rows, values = np.take_along_axis(rows, order, axis=1), np.take_along_axis(values, order, axis=1)
        return _joined(of_rows), Best(rows, values)

    def near(self, k: tuple[int, int]) -> tuple[Best, Best, Known]:
        rows, columns = self.by_both(k)
        return rows, columns, Known(rows.partners, -rows.scores)

    def again(self, k: int, bias: Bias, known: Known) -> Best:
        found, certain = settled(known, k, bias, self.shape[1])
        best, rows = Best(found.partners, -found.values), np.flatnonzero(~certain)
        return filled(self, best, rows, k, bias) if len(rows) else best

    def log_sums(self, beta: float, axis: Any, bias: Bias | None = None) -> Any:
        from .._operations import logsumexp

        return logsumexp(self.scores, metric="precomputed", beta=beta, axis=axis, bias=bias, **self.control)

    def of_bank(self, bank: ArrayLike) -> "Precomputed":
        scores = rows_of("bank", bank)
        if scores.shape[1] != self.shape[1]:
            raise ValueError(
                f"bank must hold scores of {self.shape[1]} columns, as X does, got shape {tuple(scores.shape)}"
            )
        return Precomputed(scores, self.control, "bank", self.constant)

    def part(self, rows: Indices, columns: Indices) -> "Precomputed":
        return Precomputed(Part(self.scores, rows, columns), self.control, constant=self.constant)

    def at_least(self, rows: Indices, columns: Indices) -> Indices:
        order = np.argsort(rows, kind="stable")
        indptr = np.searchsorted(rows[order], np.arange(self.shape[0] + 1))
        counts = np.empty(len(rows), np.int64)
        for start, block in self._blocks(None):
            for row, scores in enumerate(block, start):
                pairs = order[indptr[row] : indptr[row + 1]]
                below = np.searchsorted(np.sort(scores), scores[columns[pairs]], side="left")
                counts[pairs] = self.shape[1] - below
        return counts

    def tiles(self) -> Iterator[tuple[slice, slice, Float64]]:
        for start, block in self._blocks(None):
            yield slice(start, start + len(block)), slice(0, self.shape[1]), block

    def turned(self) -> "Precomputed":
        return Precomputed(self.scores.T, self.control, constant=self.constant)

    def dense(self, dtype: npt.DTypeLike = np.float64) -> Array:
        return np.concatenate([block.astype(dtype, copy=False) for _, block in self._blocks(None)])

    def exact(self) -> Float64:
        return self.dense()


def _joined(found: list[Best]) -> Best:
    return Best(*(np.concatenate(part) for part in zip(*found, strict=True)))


def best(block: Float64, k: int) -> Best:
    """The k largest of each row, largest first, ties by lowest column: columns and values, (rows, k)."""
    n = block.shape[1]
    kth = np.partition(block, n - k, axis=1)[:, n - k, None]
    above, equal = block > kth, block == kth
    room = k - above.sum(axis=1, keepdims=True)
    equal &= equal.cumsum(axis=1, dtype=np.int32) <= room
    columns = np.nonzero(above | equal)[1].reshape(-1, k)
    values = np.take_along_axis(block, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return Best(np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1))


def without_precision(keywords: dict[str, Any]) -> Control:
    """The control arguments, but for that of searches: sums and distances choose their own."""
    known = Control.__annotations__.keys() - {"precision"}
    return cast(Control, {name: keywords[name] for name in known if name in keywords})
