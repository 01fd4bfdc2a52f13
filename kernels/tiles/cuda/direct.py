"""Metrics by the sums of their own terms on CUDA: keys of a search and values of all pairs.

Work    rows that a metric does not compare as given are derived once (derive.cu), then all pairs visited (direct.cu)
Shapes  `Compared`: rows (n, d) and stat (n,) on the device; keys, values (m, n) of two, into an array of the caller's
Cost    m n d terms in float64. Derived rows take 8 n d bytes on the device, others none
Sum     canonical; `keys` rounds the negated value up to float32, `values` rounds it once. Of minkowski and
        jensenshannon there are keys alone, of values that come near (`../nearness.py`)

Rows of 16-bit floats, of int8, uint8 and bool stay as they are on the device: they are widened where they are read.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from .. import nearness
from .derived import BLOCK, INPUT, WAY, derived
from .resident import ALIGNED, settled, step_for, turned, uploaded
from .workspace import Spare

METRIC = {  # of terms.cuh
    "sqeuclidean": 0, "dot": 1, "cosine": 2, "correlation": 2, "cityblock": 3, "chebyshev": 4, "canberra": 5,
    "braycurtis": 6, "hamming": 7, "jaccard": 8, "hellinger": 9, "euclidean": 10, "minkowski": 11, "jensenshannon": 12,
}  # fmt: skip
NEAR = ("minkowski", "jensenshannon")  # whose values come near; those of NumPy decide
TWICE_AS_MANY = ("braycurtis", "jaccard", *NEAR)  # threads
SIGNED = ("hellinger", "jensenshannon")  # metrics that refuse negative numbers
TILE = 32  # rows and columns of a block of direct.cu
LOWEST, SMALLEST = np.finfo(np.float32).min, np.finfo(np.float32).smallest_normal
WEIGHT = 2.0**-100  # w of a query's bound: above 0, and of no weight


def covers(metric):
    """Whether these kernels give the metric's canonical values."""
    return metric.scipy is None and metric.name in METRIC and metric.name not in NEAR


def bounds(metric):
    """Whether they give keys of the metric."""
    return covers(metric) or nearness.covers(metric)


def key(metric):
    """The name of kept galleries."""
    return "direct"


def row_bytes(metric, d, itemsize):
    """Of a row on the device while it is made, its bounds included."""
    return d * (itemsize + 8 * (metric.name in WAY)) + 40


def slack(metric, d):
    """How far below its key, less 2^-20 of that, a negated canonical value may be."""
    return 5 * nearness.error(metric, d)[1] if metric.name in NEAR else 0.0


@dataclass(frozen=True)
class Compared:
    """Rows on a device as their metric compares them. Place p is that of row p `step` modulo their number."""

    driver: Any
    metric: Any
    step: int
    rows: Any  # (n, d)
    stat: Any  # (n,) float64 where the metric has one, else None
    said: Any  # (2,) int32: the first row that is not finite, the first with a negative number
    spare: Spare = field(default_factory=Spare, compare=False)  # workspaces of searches among these rows

    macros = {"SCORE": "float"}  # noqa: RUF012 - of kernels that read the keys
    largest = centre = square = exponent = None  # keys have one unit in all galleries

    def __len__(self):
        return len(self.rows)

    @property
    def nbytes(self):
        """What they take on the device."""
        return len(self) * (self.rows.shape[1] * self.rows.dtype.itemsize + 8)

    @property
    def kind(self):
        """The rows in device code."""
        return INPUT[self.rows.dtype]

    @cached_property
    def turn(self):
        """The inverse of the step: row i is at the place i `turn`."""
        return turned(self.step, len(self))

    def straight(self):
        """With places in the order of rows."""
        return replace(self, step=1, spare=Spare())

    def __getitem__(self, part):
        return self.of(part)

    def of(self, index):
        """Some of the rows, in the order of `index`."""
        return replace(self, rows=self.rows[index], stat=None if self.stat is None else self.stat[index])

    def extended(self, rows, start):
        """With the rows from `start` on behind those already here."""
        new = on_device(self.driver, uploaded(self.driver, rows, start, len(rows)), self.metric)
        refused(self.metric, rows, start, len(rows), self.driver.host(new.said))
        if new.rows.dtype != self.rows.dtype:
            return settled(on_device(self.driver, uploaded(self.driver, rows, 0, len(rows)), self.metric))
        xp = self.driver.xp
        stat = None if self.stat is None else xp.concatenate([self.stat, new.stat])
        both = xp.concatenate([self.rows, new.rows])
        return settled(replace(self, rows=both, stat=stat, step=step_for(len(both)), spare=Spare()))

    def kept(self, rows, kept):
        """Without the rows where `kept` (n,) is False."""
        left = self.of(self.driver.array(np.flatnonzero(kept)))
        return settled(replace(left, step=step_for(len(left)), spare=Spare()))

    @cached_property
    def plain(self):
        """`columns` without bias or mask, which other streams may read as soon as they are here."""
        made = self.columns()
        self.driver.host(made[:1])
        return made

    def columns(self, bias=None, allowed=None):
        """(n, 4) float32 of every row as one of a gallery, by place: its keys as they are, or none."""
        xp, usual = self.driver.xp, self.driver.array(np.array([[1, 0, 0, 0]], np.float32))
        if allowed is None:
            return xp.repeat(usual, len(self), axis=0)
        place = xp.arange(len(self), dtype=np.int64) * self.step % len(self)
        none = self.driver.array(np.array([[0, 0, 0, -np.inf]], np.float32))
        return xp.where(allowed[place][:, None], usual, none)

    def scores(self, queries, make, first, width, bias):
        """(m, stride) float32: keys of queries with the rows at `width` places from the first on."""
        score = make("score", (len(queries), -(-width // ALIGNED) * ALIGNED), np.float32)
        keys(queries, self, score, first, width, bias)
        return score

    def form(self, biased):
        """METRIC of rerank.cu for these rows."""
        return METRIC["sqeuclidean" if self.metric.rooted and not biased else self.metric.name]

    def interval(self, lists, value, owner):
        """(low, high) of goals, ordered values: no pair with that value has a key outside, but an infinite one."""
        with np.errstate(all="ignore"):
            nearest = (-value).astype(np.float32)
            key = np.where(nearest < -value, np.nextafter(nearest, np.float32(np.inf)), nearest)
            key = np.maximum(key, LOWEST)
            apart = np.float32(slack(self.metric, self.rows.shape[1])) * (1 + 2.0**-20)
            low, high = np.nextafter(key, np.float32(-np.inf)), np.nextafter(key + apart, np.float32(np.inf))
        small = np.abs(key) < SMALLEST  # a device may take it for zero
        low, high = np.where(small, np.minimum(low, -SMALLEST), low), np.where(small, np.maximum(high, SMALLEST), high)
        none = np.isnan(value)
        low, high = np.where(none, -np.inf, low), np.where(none, np.inf, high)
        return self.driver.array(low.astype(np.float32)), self.driver.array(high.astype(np.float32))

    def bounded(self, gallery, make, bias=None, before=None, threshold=None):
        """(own, slack, threshold, count, lost) of every row as a query; thresholds go on."""
        m = len(self)
        own, room = make("own", (m, 4), np.float32), make("slack", (m,), np.float32)
        count, lost = make("count", (m,), np.int32), make("lost", (m,), np.int32)
        own[:, :2], own[:, 2], own[:, 3] = 0, WEIGHT, 1
        room[:] = slack(self.metric, self.rows.shape[1]) * (1 + 2.0**-20)
        count[:], lost[:] = 0, 0
        if threshold is None:
            threshold = make("threshold", (m,), np.float32)
            threshold[:] = LOWEST
        return own, room, threshold, count, lost


def refused(metric, rows, start, stop, said):
    """Raise what is wrong with the first of rows start to stop that a metric refuses, or a search."""
    bad, negative = (start + int(first) for first in said)
    if rows.check_finite and bad < stop:
        rows.block(bad, bad + 1)
    if metric.name in SIGNED and negative < stop:
        metric.rows(rows.unchecked(negative, negative + 1).astype(np.float64))


def on_device(driver, rows, metric, centre=None, step=None, make=None):
    """`Compared` of rows (n, d) on the device; `make` is the `Workspace` of queries."""
    step = step_for(len(rows)) if step is None else step
    return Compared(driver, metric, step, *derived(driver, metric, rows, make))


def keys(x, y, out, first=0, width=None, bias=None):
    """Fill out (m, width or more) float32 for `width` places from the first on.

    No pair with a smaller key precedes one with a larger; of near values it is known how far the truth may be. bias:
    float64 per row of x and per row of y, on the device.
    """
    metric, d = x.metric, x.rows.shape[1]
    name, near, macros = metric.name, None, {}
    if metric.rooted and bias is None:
        name = "sqeuclidean"  # orders by the square
    if name in NEAR:
        near = x.driver.array(np.array([nearness.parameter(metric), *nearness.error(metric, d),
                                        nearness.ceiling(metric), slack(metric, d)]))  # fmt: skip
        macros = {"TWICE": int(2 * nearness.products(metric))}
    _fill(name, x, y, out, (first, len(y) if width is None else width), bias, near, KEY=1, OUT="float", **macros)


def values(x, y, out):
    """Fill out (m, n or more), float32 or float64, with what `metrics.returned` gives, by rows."""
    _fill(x.metric.name, x, y.straight(), out, (0, len(y)), None, None, KEY=0, OUT=INPUT[out.dtype])


class Values:
    """All distances by values, a tile at a time: what `expansion.Expansion` is where a metric has products."""

    def __init__(self, driver, metric, dtype):
        """dtype: of the rows."""
        self.driver, self.metric, self.dtype = driver, metric, dtype

    def side(self, rows):
        """`Compared` of host rows (r, d)."""
        rows = rows.astype(self.dtype, copy=False)
        held = on_device(self.driver, self.driver.array(rows), self.metric, step=1)
        if self.metric.name in SIGNED and (negative := int(self.driver.host(held.said)[1])) < len(rows):
            self.metric.rows(rows[negative : negative + 1].astype(np.float64))  # says what is wrong with it
        return held

    def distances(self, x, y, dtype, *, mirrored=False):
        """(r, c) of this dtype, float32 or float64; equal both ways round."""
        out = self.driver.empty((len(x), len(y)), dtype)
        values(x, y, out)
        return out


def _fill(name, x, y, out, places, bias, near, **macros):
    (m, d), (first, n) = x.rows.shape, places
    u, v = (None, None) if bias is None else bias
    x.driver.launch(
        "direct", (-(-n // TILE), -(-m // TILE)), BLOCK * (1 + (name in TWICE_AS_MANY)),
        [x.rows, y.rows, *map(np.int32, (m, n, d)), *map(np.uint32, (first, y.step, len(y))), x.stat, y.stat, u, v,
         near, out, np.int64(out.shape[1])],
        INPUT=x.kind, GALLERY=y.kind, METRIC=METRIC[name], **macros,
    )  # fmt: skip
