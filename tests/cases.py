"""Named inputs, shared by tests and benchmarks: `arrays(name)` gives (x, y), always the same for the same name."""

import zlib

import ml_dtypes
import numpy as np

METRICS = (
    "euclidean", "sqeuclidean", "cosine", "correlation", "dot", "cityblock", "chebyshev", "minkowski", "canberra",
    "braycurtis", "jensenshannon", "hamming", "jaccard", "hellinger",
)  # fmt: skip
GEMM_FAMILY = METRICS[:5]
NON_NEGATIVE = ("jensenshannon", "hellinger")
MINKOWSKI_P = 3.0
BFLOAT16 = ml_dtypes.bfloat16


def normal(m, n, d, dtype=np.float32, scale=1.0):
    def make(rng):
        return tuple((scale * rng.standard_normal((rows, d))).astype(dtype) for rows in (m, n))

    return make


def unit(m, n, d):
    def make(rng):
        x, y = normal(m, n, d)(rng)
        return tuple(rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))

    return make


def integers(m, n, d, dtype, low=-3, high=4):
    """Whole numbers from a small range: many exact ties."""

    def make(rng):
        return tuple(rng.integers(low, high, (rows, d)).astype(dtype) for rows in (m, n))

    return make


def duplicated(m, n, d, times, dtype=np.float32):
    """Every gallery row `times` times, far apart; the queries are gallery rows."""

    def make(rng):
        y = np.tile(rng.standard_normal((n, d)).astype(dtype), (times, 1))
        return y[rng.permutation(len(y))[:m]], y

    return make


def near_duplicates(m, n, d, gap, dtype=np.float32):
    """Gallery rows in a cloud of the width `gap` around each query."""

    def make(rng):
        x = rng.standard_normal((m, d)).astype(dtype)
        y = x[np.arange(n) % m] + gap * rng.standard_normal((n, d))
        return x, y.astype(dtype)

    return make


def offset(m, n, d, distance, dtype=np.float32):
    def make(rng):
        return tuple((rows + distance).astype(dtype) for rows in normal(m, n, d, np.float64)(rng))

    return make


def places(m, n, dtype):
    """Latitude and longitude, about a metre apart."""

    def make(rng):
        centre = np.array([37.7, -122.4])
        return tuple((centre + 1e-5 * rng.standard_normal((rows, 2))).astype(dtype) for rows in (m, n))

    return make


def all_equal(m, n, d, value):
    return lambda rng: (np.full((m, d), value, np.float32), np.full((n, d), value, np.float32))


def zero_rows(m, n, d, dtype=np.float32):
    def make(rng):
        x, y = normal(m, n, d, dtype)(rng)
        x[::2], y[::3] = 0, 0
        return x, y

    return make


def constant_rows(m, n, d, dtype=np.float32):
    """In float64 the mean of equal numbers need not be that number."""

    def make(rng):
        x, y = normal(m, n, d, dtype)(rng)
        x[::2], y[::3] = x[::2, :1], y[::3, :1]
        return x, y

    return make


def huge_row(m, n, d, size, dtype=np.float32):
    def make(rng):
        x, y = normal(m, n, d, dtype)(rng)
        y[n // 2] *= dtype(size)
        x[m - 1] *= dtype(size)
        return x, y

    return make


def mixed_scales(m, n, d, decades, dtype):
    """Norms over many decades, entries over some more."""

    def make(rng):
        def rows(count):
            exponent = rng.uniform(-decades, decades, (count, 1)) + rng.uniform(-3, 3, (count, d))
            return (rng.standard_normal((count, d)) * 10.0**exponent).astype(dtype)

        return rows(m), rows(n)

    return make


def mixed_dtypes(m, n, d, x_dtype, y_dtype):
    def make(rng):
        x, y = integers(m, n, d, np.float64, -100, 101)(rng)
        return (x / 8).astype(x_dtype), (y / 8).astype(y_dtype)

    return make


def sparse(m, n, d):
    """Mostly zeros, like bags of words: shared zeros, empty rows."""

    def make(rng):
        x, y = integers(m, n, d, np.float32, 0, 5)(rng)
        return x * (rng.random(x.shape) < 0.15), y * (rng.random(y.shape) < 0.15)

    return make


CASES = {
    "normal-20x50x1": normal(20, 50, 1),
    "normal-7x33x7": normal(7, 33, 7),
    "normal-9x31x8": normal(9, 31, 8),
    "normal-8x40x9": normal(8, 40, 9),
    "normal-17x130x64": normal(17, 130, 64),
    "normal-5x70x100": normal(5, 70, 100),
    "normal-1x1x5": normal(1, 1, 5),
    "one-gallery-row": normal(6, 1, 10),
    "one-query": normal(1, 90, 24),
    "no-query": normal(0, 12, 5),
    "wide-3x9x700": normal(3, 9, 700),
    "wide-float64-4x20x300": normal(4, 20, 300, np.float64),
    "normal-float64": normal(12, 60, 24, np.float64),
    "unit-15x120x48": unit(15, 120, 48),
    "integers-float32": integers(11, 80, 6, np.float32),
    "integers-float64": integers(11, 80, 6, np.float64),
    "integers-int64": integers(10, 60, 5, np.int64, -(2**40), 2**40),
    "ties-int32": integers(10, 60, 3, np.int32, 0, 2),
    "int8": integers(9, 70, 33, np.int8, -127, 128),
    "uint8": integers(9, 70, 33, np.uint8, 0, 256),
    "bool": integers(12, 70, 20, bool, 0, 2),
    "float16": normal(8, 64, 19, np.float16),
    "bfloat16": normal(8, 64, 19, BFLOAT16),
    "mixed-float16-float32": mixed_dtypes(7, 40, 12, np.float16, np.float32),
    "mixed-float32-float64": mixed_dtypes(7, 40, 12, np.float32, np.float64),
    "mixed-bfloat16-int8": mixed_dtypes(7, 40, 12, BFLOAT16, np.int8),
    "mixed-uint8-float64": mixed_dtypes(7, 40, 12, np.uint8, np.float64),
    "duplicates-12x20x16x5": duplicated(12, 20, 16, 5),
    "duplicates-float64": duplicated(12, 20, 16, 4, np.float64),
    "all-equal": all_equal(6, 70, 12, 0.1),
    "all-zero": all_equal(4, 30, 5, 0.0),
    "near-duplicates-1e-7": near_duplicates(6, 90, 16, 1e-7),
    "near-duplicates-1e-15": near_duplicates(6, 90, 16, 1e-15, np.float64),
    "offset-1e3": offset(8, 80, 12, 1e3),
    "offset-1e6": offset(8, 80, 12, 1e6),
    "offset-1e6-float64": offset(8, 80, 12, 1e6, np.float64),
    "places-float32": places(10, 100, np.float32),
    "places-float64": places(10, 100, np.float64),
    "zero-rows": zero_rows(9, 50, 10),
    "zero-rows-float64": zero_rows(9, 50, 10, np.float64),
    "constant-rows": constant_rows(9, 50, 10),
    "constant-rows-float64": constant_rows(9, 60, 11, np.float64),
    "huge-values-1e30": normal(7, 50, 12, np.float32, 1e30),
    "huge-values-1e200": normal(7, 50, 12, np.float64, 1e200),
    "huge-row-1e6": huge_row(8, 60, 12, 1e6),
    "huge-row-1e30": huge_row(8, 60, 12, 1e30),
    "huge-row-1e150": huge_row(8, 60, 12, 1e150, np.float64),
    "subnormal-1e-42": normal(7, 50, 12, np.float32, 1e-42),
    "subnormal-1e-310": normal(7, 50, 12, np.float64, 1e-310),
    "small-values-1e-25": normal(7, 50, 12, np.float32, 1e-25),
    "small-values-1e-170": normal(7, 50, 12, np.float64, 1e-170),
    "mixed-scales-float32": mixed_scales(8, 70, 12, 12, np.float32),
    "mixed-scales-float64": mixed_scales(8, 70, 12, 140, np.float64),
    "sparse": sparse(10, 80, 30),
}
SOME_QUERIES = tuple(name for name in CASES if name != "no-query")


def generator(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def arrays(name, metric="euclidean"):
    """(x, y) of the case, magnitudes only for metrics of non-negative rows."""
    x, y = CASES[name](generator(name))
    return (np.abs(x), np.abs(y)) if metric in NON_NEGATIVE else (x, y)


def output_dtype(*inputs):
    """Dtype of the distances: float32 where float32 holds every input exactly, else float64."""
    exact = {"float16", "bfloat16", "float32", "int8", "uint8", "bool"}
    return np.dtype(np.float32 if all(np.asarray(part).dtype.name in exact for part in inputs) else np.float64)


def metric_kwargs(metric):
    return {"p": MINKOWSKI_P} if metric == "minkowski" else None


def law_kwargs(metric):
    return {"p": MINKOWSKI_P} if metric == "minkowski" else {}
