"""Rows to search and to multiply, of every kind that has been trouble: what the fuzzer draws from."""

import numpy as np

from cases import BFLOAT16

DTYPES = (np.float32, np.float64, np.float16, BFLOAT16, np.int8, np.uint8, np.bool_, np.int64)
SHARES = (0.4, 0.25, 0.07, 0.06, 0.07, 0.05, 0.05, 0.05)
EXPONENTS = {"float16": 13, "bfloat16": 125, "float32": 125, "float64": 1020}  # of normal numbers, either way


def normal(rng, rows, d, reach):
    return rng.standard_normal((rows, d)) * 10.0 ** rng.uniform(-2, 2)


def ties(rng, rows, d, reach):
    return rng.integers(-2, 3, (rows, d)).astype(float)


def sparse(rng, rows, d, reach):
    return rng.integers(0, 5, (rows, d)) * (rng.random((rows, d)) < rng.uniform(0, 0.5))


def duplicates(rng, rows, d, reach):
    held = rng.standard_normal((int(rng.integers(1, 8)), d))
    return held[rng.integers(0, len(held), rows)]


def near_duplicates(rng, rows, d, reach):
    return duplicates(rng, rows, d, reach) + 10.0 ** rng.uniform(-17, -4) * rng.standard_normal((rows, d))


def shell(rng, rows, d, reach):
    """Rows of nearly one length: distances to the centre that only the last bits tell apart."""
    found = rng.standard_normal((rows, d))
    length = np.sqrt((found * found).sum(axis=1, keepdims=True)) + 1e-300
    return found / length * (1 + 10.0 ** rng.uniform(-17, -5) * rng.standard_normal((rows, 1)))


def offset(rng, rows, d, reach):
    return rng.standard_normal((rows, d)) + 10.0 ** rng.uniform(0, 8) * rng.standard_normal(d)


def exponents(rng, rows, d, reach):
    """Norms over part of the range of the dtype, and entries of a row over part of it."""
    wide, deep = (rng.choice([0.0, 0.1, 0.5, 1.0]) * reach for _ in range(2))
    exponent = rng.uniform(-wide, wide, (rows, 1)) + rng.uniform(-deep, deep, (rows, d))
    return rng.standard_normal((rows, d)) * 2.0 ** np.clip(exponent, -reach, reach - 3)


def subnormals(rng, rows, d, reach):
    found = rng.standard_normal((rows, d)) * 2.0 ** -(reach + rng.uniform(0, 0.06 * reach))
    return np.where(rng.random((rows, 1)) < rng.choice([0.0, 0.3]), rng.standard_normal((rows, d)), found)


def one_huge(rng, rows, d, reach):
    found = rng.standard_normal((rows, d))
    found[rng.integers(0, rows, 1 + rows // 50)] *= 2.0 ** rng.uniform(3, reach - 3)
    return found


def constant(rng, rows, d, reach):
    """Rows of one number, zero among them."""
    found = rng.standard_normal((rows, d))
    some, none = rng.random(rows) < 0.5, rng.random(rows) < 0.3
    found[some], found[none] = found[some, :1], 0
    return found


def all_equal(rng, rows, d, reach):
    return np.broadcast_to(rng.standard_normal(d) * rng.choice([0.0, 1.0, 1e3]), (rows, d))


def not_finite(rng, rows, d, reach):
    found = normal(rng, rows, d, reach)
    rate = rng.choice([0.3, 2.0 / d, 0.2 / d])
    at = rng.random((rows, d)) < rate
    found[at] = rng.choice([np.nan, np.inf, -np.inf], int(at.sum()))
    return found


FAMILIES = (
    normal, ties, sparse, duplicates, near_duplicates, shell, offset, exponents, subnormals, one_huge, constant,
    all_equal, not_finite,
)  # fmt: skip


def as_dtype(rng, rows, dtype, finite):
    dtype = np.dtype(dtype)
    with np.errstate(all="ignore"):
        if dtype.kind in "iu":
            least, most = (-(2**40), 2**40) if dtype.itemsize == 8 else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            factor = rng.choice([1.0, 30.0, most / 3])
            return np.clip(np.rint(np.nan_to_num(rows * factor)), least, most).astype(dtype)
        if dtype.kind == "b":
            return np.asarray(rows) > 0.5
        found = np.asarray(rows).astype(dtype)
    return np.where(np.isfinite(found.astype(float)), found, dtype.type(1)) if finite else found


def size(rng, most):
    """From 1 to most, small ones as likely as large ones."""
    return int(min(most, np.exp(rng.uniform(0, np.log(most + 1)))))


def shape(rng, most, huge):
    """(rows of x, rows of y, features): within `most`, or few rows of up to `huge` features."""
    if rng.random() < 0.02:
        return size(rng, 4), size(rng, 12), int(rng.integers(most[2], huge))
    return tuple(size(rng, each) for each in most)


def two_sides(rng, family, x_dtype, y_dtype, sizes, finite=True, reach=None, magnitudes=False):
    """(x, y) of a family in their dtypes, in some order of memory."""
    m, n, d = sizes
    most = min(EXPONENTS.get(np.dtype(dtype).name, 100) for dtype in (x_dtype, y_dtype))
    with np.errstate(all="ignore"):
        rows = np.array(family(rng, m + n, d, most if reach is None else min(reach, most)), float)
        rows = rows[rng.permutation(m + n)]
    if rng.random() < 0.1:
        rows[:, rng.random(d) < 0.5] = 0
    rows = np.abs(rows) if magnitudes else rows
    x, y = (as_dtype(rng, part, dtype, finite) for part, dtype in ((rows[:m], x_dtype), (rows[m:], y_dtype)))
    return (np.asfortranarray(x), y[::-1]) if rng.random() < 0.1 else (x, y)


def dtypes(rng):
    first = DTYPES[int(rng.choice(len(DTYPES), p=SHARES))]
    return first, first if rng.random() < 0.8 else DTYPES[int(rng.choice(len(DTYPES), p=SHARES))]


# -------------------------------------------------------------------------------------------------------------- as code


def written(value):
    """An array, or anything else, as Python; nan and inf are names."""
    if isinstance(value, tuple):
        return "(" + ", ".join(map(written, value)) + ")"
    if isinstance(value, type):
        return f"np.{np.dtype(value).name}"
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.ndim and value.strides[0] < 0:
        return written(value[::-1]) + "[::-1]"
    if value.flags.f_contiguous and not value.flags.c_contiguous:
        return f"np.asfortranarray({written(np.ascontiguousarray(value))})"
    shaped = "" if value.size else f".reshape({value.shape})"
    if value.dtype == BFLOAT16:
        return f"np.array({value.astype(float).tolist()}).astype(bfloat16){shaped}"
    return f"np.array({value.tolist()}, '{value.dtype}'){shaped}"


HEAD = """import numpy as np
from ml_dtypes import bfloat16

import crossmodal_fast as cmf

nan, inf = float("nan"), float("inf")"""


def program(values, *lines):
    """A program of values by name, then lines."""
    return "\n".join([HEAD, *(f"{name} = {written(value)}" for name, value in values.items()), *lines])
