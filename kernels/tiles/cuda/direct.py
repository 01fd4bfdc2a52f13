"""Metrics outside the GEMM family on CUDA: keys of a search and values of all pairs, by the canonical sum of each.

Work    rows that a metric does not compare as given are derived once (derive.cu), then all pairs visited (direct.cu)
Shapes  `Side`: rows (n, d) and stat (n,) on the device; keys, values (m, n) of two sides, into an array of the caller's
Cost    m n d terms in float64. Derived rows take 8 n d bytes on the device, others none
Sum     canonical; `keys` rounds the negated value up to float32, `values` rounds it once. Of minkowski and
        jensenshannon there are keys alone, of values that come near (`../nearness.py`)

Rows of 16-bit floats, of int8, uint8 and bool stay as they are on the device, and are widened where they are read.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nearness

METRIC = {  # of terms.cuh
    "sqeuclidean": 0, "dot": 1, "cosine": 2, "correlation": 2, "cityblock": 3, "chebyshev": 4, "canberra": 5,
    "braycurtis": 6, "hamming": 7, "jaccard": 8, "hellinger": 9, "euclidean": 10,
    "minkowski": 11, "jensenshannon": 12,
}  # fmt: skip
NEAR = ("minkowski", "jensenshannon")  # whose values come near (`../nearness.py`); NumPy's decide
TWICE_AS_MANY = ("braycurtis", "jaccard", *NEAR)  # threads
WAY = {"cosine": 0, "correlation": 1, "hellinger": 2, "jensenshannon": 3}  # of derive.cu
INPUT = {
    "float32": "float", "float64": "double", "float16": "float16", "bfloat16": "bfloat16", "int8": "signed char",
    "uint8": "unsigned char", "bool": "unsigned char",
}  # fmt: skip
TILE, THREADS = 32, 256  # of direct.cu
LANES = 8  # threads of a row in derive.cu


@dataclass(frozen=True)
class Side:
    """Rows on the device as their metric compares them."""

    rows: Any  # (n, d)
    stat: Any  # (n,) float64 where the metric has one
    kind: str  # of the rows, in device code

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, part):
        return Side(self.rows[part], None if self.stat is None else self.stat[part], self.kind)


def covers(metric):
    """Whether these kernels give the metric's canonical values."""
    return metric.scipy is None and metric.name in METRIC and metric.name not in NEAR


def bounds(metric):
    """Whether they give keys of the metric."""
    return covers(metric) or nearness.covers(metric)


def placed(driver, rows):
    """Host rows on the device, and what device code calls them."""
    kind = INPUT[rows.dtype.name]
    return driver.array(rows.view(np.uint16) if kind == "bfloat16" else rows), kind


def side(driver, metric, rows, kind):
    """`Side` of rows (n, d) that are on the device. Whether they are non-negative has been looked at before."""
    if metric.name not in WAY:
        return Side(rows, None, kind)
    (n, d), xp = rows.shape, driver.xp
    made, stat = xp.empty((n, d)), xp.empty(n)
    arguments = [rows, np.int32(n), np.int32(d), made, stat]
    driver.launch("derive", -(-n * LANES // THREADS), THREADS, arguments, INPUT=kind, WAY=WAY[metric.name])
    return Side(made, stat, "double")


def keys(driver, metric, x, y, out, bias=None):
    """Fill out (m, n or more) float32: no pair with a smaller key can precede one with a larger."""
    name, near, macros = metric.name, None, {}
    if metric.rooted and bias is None:
        name = "sqeuclidean"  # orders by the square
    if name in NEAR:
        relative, absolute = nearness.error(metric, x.rows.shape[1])
        near = driver.array(np.array([nearness.parameter(metric), relative, absolute, nearness.ceiling(metric),
                                      slack(metric, x.rows.shape[1])]))  # fmt: skip
        macros = {"TWICE": int(2 * nearness.products(metric))}
    _fill(driver, name, x, y, out, bias, near, KEY=1, OUT="float", **macros)


def slack(metric, d):
    """How far below its key, less 2^-20 of that, a negated canonical value may be."""
    return 5 * nearness.error(metric, d)[1] if metric.name in NEAR else 0.0


def values(driver, metric, x, y, out):
    """Fill out (m, n or more), float32 or float64, with what `metrics.returned` gives."""
    _fill(driver, metric.name, x, y, out, None, None, KEY=0, OUT=INPUT[out.dtype.name])


def _fill(driver, name, x, y, out, bias, near, **macros):
    (m, d), n = x.rows.shape, len(y)
    u, v = (None, None) if bias is None else bias
    driver.launch(
        "direct", (-(-n // TILE), -(-m // TILE)), THREADS * (1 + (name in TWICE_AS_MANY)),
        [x.rows, y.rows, *map(np.int32, (m, n, d)), x.stat, y.stat, u, v, near, out, np.int64(out.shape[1])],
        INPUT=x.kind, METRIC=METRIC[name], **macros,
    )  # fmt: skip
