"""Rows on the device: as given, their fp16 codes, and what prepare.cu measured of them.

Work    one launch of prepare.cu for all rows; a gallery's codes lie in the order of multiples of a step that is coprime
        to their number and near its golden section, so that any stretch of them is a sample of all: rows sorted by
        class or time meet a search as if they were shuffled
Shapes  rows (n, d) float32 or float64 -> code (n, pitch) float16 and six vectors
Cost    n (d (itemsize + 2) + 24) bytes of device memory
Sum     square: canonical
"""

import math
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from ..rows import holding
from . import bounds
from .derived import BLOCK, INPUT, LANES, derived
from .workspace import Spare

SAFE_BITS = 400  # as bound.cu: exponents of rows that float32 can bound
GOLDEN = (math.sqrt(5) - 1) / 2
FORM = {"l2": 0, "dot": 1, "cosine": 2}  # of bound.cu and rerank.cu
NARROW = ("float16", "int8", "uint8", "bool")
ALIGNED, CODES = 64, 8  # scores, and numbers of codes, that the starts of two rows are multiples of apart
READ_BYTES = 1 << 28  # of host rows at a time


def key(metric):
    """The name of kept galleries."""
    return metric.name if metric.name == "correlation" else metric.form


def row_bytes(metric, d, itemsize):
    """Of a row on the device, its bounds included."""
    return d * (itemsize + 8 * (metric.name == "correlation")) + 2 * pitch(d) + 72


def pitch(d):
    """Numbers between the codes of two rows."""
    return -(-d // CODES) * CODES


def step_for(count):
    """The step between rows whose codes are neighbours, coprime to their number."""
    step = max(1, round(count * GOLDEN))
    while math.gcd(step, count) != 1:
        step += 1
    return step


def turned(step, count):
    """The inverse of a step modulo the number of rows."""
    return pow(step, -1, count) if count > 1 else 0


@dataclass(frozen=True)
class Resident:
    """Rows on a device. Code p is that of row p `step` modulo their number; all else goes by row."""

    driver: Any
    metric: Any
    centre: Any  # (d,) float64 on the device, or None
    step: int
    rows: Any
    code: Any
    exponent: Any
    norm: Any
    code_norm: Any
    rest: Any
    square: Any
    said: Any  # (2,) int32: the first row that is not finite, and
    largest: Any  # the exponent of the largest
    spare: Spare = field(default_factory=Spare, compare=False)  # workspaces of searches among these rows

    macros = {}  # noqa: RUF012 - of kernels that read the scores

    def __len__(self):
        return len(self.exponent)

    @property
    def nbytes(self):
        """What they take on the device."""
        return len(self) * (self.rows.shape[1] * (self.rows.dtype.itemsize + 2) + 72)

    @cached_property
    def turn(self):
        """The inverse of the step: row i has its code at i `turn`."""
        return turned(self.step, len(self))

    def of(self, index):
        """Some of the rows, in the order of `index`; for rows whose codes are in order."""
        taken = {
            name: getattr(self, name)[index]
            for name in ("rows", "code", "exponent", "norm", "code_norm", "rest", "square")
        }
        return replace(self, **taken)

    def extended(self, rows, start):
        """With the rows from `start` on behind those already here."""
        new = _compared(self.driver, uploaded(self.driver, rows, start, len(rows)), self.metric)
        if new.dtype != self.rows.dtype:
            return settled(on_device(self.driver, uploaded(self.driver, rows, 0, len(rows)), self.metric, self.centre))
        return settled(_measured(self.driver, self.driver.xp.concatenate([self.rows, new]), self.metric, self.centre))

    def kept(self, rows, kept):
        """Without the rows where `kept` (n,) is False."""
        left = self.rows[self.driver.array(np.flatnonzero(kept))]
        return settled(_measured(self.driver, left, self.metric, self.centre))

    @cached_property
    def plain(self):
        """`columns` without bias or mask, which other streams may read as soon as they are here."""
        made = self.columns()
        self.driver.host(made[:1])
        return made

    def columns(self, bias=None, allowed=None):
        """(n, 4) float32 of every row as one of a gallery, in the order of codes."""
        made = self.driver.empty((len(self), 4), np.float32)
        self._bound(1, made, self.largest, None, bias, allowed, [None] * 4)
        return made

    def scores(self, queries, make, first, width, bias):
        """(m, stride) float16 of queries with the rows at `width` places from the first on; bounds have the bias."""
        score = make("score", (len(queries), -(-width // ALIGNED) * ALIGNED), np.float16)
        scale = 2.0 ** -bounds.score_bits(self.rows.shape[1])
        self.driver.gemm(queries.code, self.code[first : first + width], score, scale)
        return score

    @property
    def kind(self):
        """The rows in device code."""
        return INPUT[self.rows.dtype]

    def form(self, biased):
        """METRIC of rerank.cu for these rows."""
        return FORM[self.metric.form]

    def bounded(self, gallery, make, bias=None, before=None, threshold=None):
        """(own, slack, threshold, count, lost) of every row as a query; thresholds go on from those among `before`."""
        m = len(self)
        made, slack = make("own", (m, 4), np.float32), make("slack", (m,), np.float32)
        threshold = make("threshold", (m,), np.float32) if threshold is None else threshold
        count, lost = make("count", (m,), np.int32), make("lost", (m,), np.int32)
        self._bound(0, made, gallery.largest, before, bias, None, [slack, threshold, count, lost])
        return made, slack, threshold, count, lost

    def interval(self, lists, value, owner):
        """(low, high) of goals of these queries, ordered values: no pair with that value has a key outside."""
        driver, goals = self.driver, len(owner)
        low, high = driver.empty(goals, np.float32), driver.empty(goals, np.float32)
        if goals:
            driver.launch("goal", -(-goals // BLOCK), BLOCK, [
                np.int32(goals), driver.array(value), driver.array(owner.astype(np.int32)), lists.own, lists.slack,
                self.square, self.exponent, lists.queries.bias, lists.part.held.largest, low, high,
            ], FORM=FORM[self.metric.form])  # fmt: skip
        return low, high

    def turned(self, gallery, step, bias):
        """(own, offset) of every row as a partner of the gallery's; place p is for row p `step` modulo their number."""
        made, offset = self.driver.empty((len(self), 4), np.float32), self.driver.empty(len(self), np.float32)
        more = [None] * 4 + [self.largest, offset]
        self._bound(0, made, gallery.largest, None, bias, None, more, step, TURNED=1)
        return made, offset

    def _bound(self, side, made, largest, before, bias, allowed, more, step=None, **macros):
        d = self.rows.shape[1]
        losses = np.float64(bounds.loss(d)), np.float64(2.0 ** bounds.score_bits(d))
        self.driver.launch("bound", -(-len(self) // BLOCK), BLOCK, [
            np.int32(len(self)), largest, before, *losses, np.int32(d), self.exponent, self.norm, self.code_norm,
            self.rest, self.square, bias, allowed, np.uint32(self.step if step is None else step), made, *more,
        ], FORM=FORM[self.metric.form], SIDE=side, **macros)  # fmt: skip


def _compared(driver, rows, metric):
    """Rows whose products a metric is made of: for correlation, those less their mean, of which it is the cosine."""
    return derived(driver, metric, rows)[0] if metric.name == "correlation" else rows


def on_device(driver, rows, metric, centre=None, step=None, make=None):
    """`Resident` of rows (n, d) on the device, float32 or float64; `make` is the `Workspace` of queries."""
    return _measured(driver, _compared(driver, rows, metric), metric, centre, step, make)


def _measured(driver, rows, metric, centre=None, step=None, make=None):
    (n, d), kept = rows.shape, make is not None
    make = make or (lambda name, shape, dtype: driver.empty(shape, dtype))
    step = step_for(n) if step is None else step
    code, exponent = make("code", (n, pitch(d)), np.float16), make("exponent", (n,), np.int32)
    norms = [make(name, (n,), np.float32) for name in ("norm", "code_norm", "rest")]
    square, said = make("square", (n,), np.float64), make("said", (2,), np.int32)
    if not (kept and make.ready):  # of a workspace that was used before nothing was bad
        driver.put(said, np.array([n, -SAFE_BITS], np.int32))
    made = Resident(driver, metric, centre, step, rows, code, exponent, *norms, square, said, said[1:])
    driver.launch("prepare", -(-n * LANES // BLOCK), BLOCK, [
        rows, np.int32(n), np.int32(d), centre, np.uint32(made.turn), np.int32(code.shape[1]), code, exponent, *norms,
        square, said[:1], said[1:],
    ], INPUT=INPUT[rows.dtype])  # fmt: skip
    return made


def held_as(rows):
    """The dtype of `Rows` on a device: 16-bit floats, int8, uint8 and bool as they are, bfloat16 as its bits."""
    return _held_as(rows.store.dtype)


@cache
def _held_as(dtype):
    given = np.dtype(dtype)
    if given.name == "bfloat16":
        return np.dtype(np.uint16)
    return given if given.name in NARROW and given.isnative else holding(given)


def lying(rows):
    """The array on the device that `Rows` stand for, None where they are on the host."""
    return getattr(rows.store, "on_device", None)


def uploaded(driver, rows, start, stop, target=None, after=None):
    """`Rows` start to stop, unchecked, on the device; `target` may be filled once the mark `after` has passed.

    Rows that lie there already are not copied unless they are wanted in the target, or of another dtype.
    """
    if (there := lying(rows)) is not None:
        given = driver.xp.ascontiguousarray(there[start:stop].astype(held_as(rows), copy=False))
        if target is not None:
            target[: stop - start] = given
        return given if target is None else target[: stop - start]
    dtype, read = held_as(rows), rows.unchecked if held_as(rows) == rows.dtype else rows.given
    made = driver.empty((stop - start, rows.shape[1]), dtype) if target is None else target[: stop - start]
    step = max(1, READ_BYTES // (dtype.itemsize * rows.shape[1]))
    for first in range(start, stop, step):
        last = min(first + step, stop)
        driver.put(made[first - start : last - start], read(first, last).view(dtype), after)
    return made


def settled(held):
    """Rows that stay, once the device is through with them: their next search may be on another stream."""
    held.driver.host(held.said)
    return held


def refused(metric, rows, start, stop, said):
    """Raise what `Rows` say of the first of start to stop that is not finite, where they are to be checked."""
    bad = start + int(said[0])
    if rows.check_finite and bad < stop:
        rows.block(bad, bad + 1)
