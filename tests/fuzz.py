"""Random searches against the law: each from its number alone, the smallest that fails is printed.

    python tests/fuzz.py [--first N] [--last N] [--seconds S] [--backends numba,numpy,cuda] [--nearby]

Without --first the numbers begin at a time; without --last they go on for --seconds (300). CUDA runs on the emulator of
tests/simt, and takes a case in EMULATED. --nearby keeps to the kernels of the normal run, which compile in a minute.
"""

import argparse
import itertools
import sys
import time
import traceback
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import numpy as np

import crossmodal_fast as cmf
import judge
import simt
from cases import BFLOAT16, GEMM_FAMILY, METRICS, NON_NEGATIVE, output_dtype
from crossmodal_fast.kernels.ranks import reference as ranks_law
from crossmodal_fast.kernels.tiles import packed
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.within import reference as within_law
from emulated import emulated
from least import least_max_bytes
from stores import PairStore, Store

OPERATIONS = ("topk", "topk_both", "within", "ranks")
TIES = ("index", "optimistic", "pessimistic", "mean")
MOST_ROWS, MOST_COLUMNS, MOST_FEATURES = 40, 300, 70
LAW_PAIRS = 3000  # that the law of ranks counts, in plain Python
DTYPES = (np.float32, np.float64, np.float16, BFLOAT16, np.int8, np.uint8, np.bool_, np.int64)
SHARES = (0.4, 0.25, 0.07, 0.06, 0.07, 0.05, 0.05, 0.05)
EXPONENTS = {"float16": 13, "bfloat16": 125, "float32": 125, "float64": 1020}  # of normal numbers, either way
POWERS = (1.0, 2.0, np.inf, 3.0, 1.5)  # of minkowski
MOST_SHRINKS = 400
BACKENDS, EMULATED = ("numba", "numpy", "cuda"), 20
SCANS = {"numpy": ("auto", "float32", "float64"), "cuda": ("auto",)}  # precisions, where not all


@dataclass
class Case:
    """One search. `how`: the rows as arrays, as stores, or as a `Gallery` that grew and shrank."""

    operation: str
    x: np.ndarray
    y: np.ndarray
    metric: str
    p: float
    family: str
    k: int = 1
    k_columns: int = 1
    radius: np.ndarray | None = None  # (m,)
    row: np.ndarray | None = None  # (e,) ascending
    positive: np.ndarray | None = None  # (e,)
    ties: str = "index"
    mask: np.ndarray | None = None
    exclude: np.ndarray | None = None
    bias: tuple | None = None
    dtype: type | None = None
    how: str = "arrays"
    room: float | None = None  # times the least max_bytes
    chunk_rows: int = packed.CHUNK_ROWS
    piece_bytes: int = packed.PIECE_BYTES
    backend: str = "numba"
    control: dict = field(default_factory=dict)

    def __str__(self):
        lines = [
            f"{self.operation} of {self.family}: x {self.x.shape} {self.x.dtype}, y {self.y.shape} {self.y.dtype}, "
            f"{self.metric} p={self.p} k={self.k} k_columns={self.k_columns} ties={self.ties} dtype={self.dtype}",
            f"on {self.backend}, as {self.how}, {self.room} x the least max_bytes, chunks of {self.chunk_rows} rows, "
            f"pieces of {self.piece_bytes} bytes, {self.control}",
        ]
        parts = ("x", "y", "radius", "row", "positive", "mask", "exclude", "bias")
        shown = {name: getattr(self, name) for name in parts if getattr(self, name) is not None}
        if sum(np.size(part) for name, part in shown.items() if name != "bias") < 400:
            lines += [f"{name} = {part!r}" for name, part in shown.items()]
        return "\n".join(lines)


# -------------------------------------------------------------------------------------------------------------- drawing


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


def filters(rng, m, n):
    found = {}
    if rng.random() < 0.3:
        shape = (n,) if rng.random() < 0.5 else (m, n)
        found["mask"] = rng.random(shape) < rng.choice([0.0, 0.05, 0.5, 0.95, 1.0])
    if rng.random() < 0.3:
        found["exclude"] = rng.integers(-1, n, m)
    if rng.random() < 0.3:
        scale = 10.0 ** rng.choice([-45.0, -9.0, -3.0, 0.0, 0.0, 3.0, 20.0, 200.0])
        draw = (lambda rows: rng.integers(-2, 3, rows) * 1.0, rng.standard_normal)[int(rng.integers(2))]
        u, v = scale * draw(m), scale * draw(n)
        v = np.where(rng.random(n) < rng.choice([0.0, 0.2]), v * 1e6, v)
        found["bias"] = u * rng.choice([0.0, 1.0]), v
    return found


def case(number, nearby=False):
    """The case of a number."""
    rng = np.random.default_rng([number, 20261])
    operation, family = str(rng.choice(OPERATIONS)), FAMILIES[int(rng.integers(len(FAMILIES)))]
    metric = str(rng.choice(GEMM_FAMILY if rng.random() < 0.65 else METRICS))
    m, n, d = size(rng, MOST_ROWS), size(rng, MOST_COLUMNS), size(rng, MOST_FEATURES)
    x_dtype = DTYPES[int(rng.choice(len(DTYPES), p=SHARES))]
    y_dtype = x_dtype if rng.random() < 0.8 else DTYPES[int(rng.choice(len(DTYPES), p=SHARES))]
    p = float(rng.choice(POWERS)) if metric == "minkowski" else 2.0
    if nearby:
        operation, x_dtype, y_dtype, p = _near(operation, metric, x_dtype, p)
    m = 0 if rng.random() < 0.01 and operation != "topk_both" else m
    reach = min(EXPONENTS.get(np.dtype(dtype).name, 100) for dtype in (x_dtype, y_dtype))
    with np.errstate(all="ignore"):
        rows = np.array(family(rng, m + n, d, reach), float)[rng.permutation(m + n)]
    if rng.random() < 0.1:
        rows[:, rng.random(d) < 0.5] = 0
    rows = np.abs(rows) if metric in NON_NEGATIVE else rows
    finite = family is not not_finite
    x, y = (as_dtype(rng, part, dtype, finite) for part, dtype in ((rows[:m], x_dtype), (rows[m:], y_dtype)))
    if rng.random() < 0.1:
        x, y = np.asfortranarray(x), y[::-1]
    found = Case(operation, x, y, metric, p, family.__name__, **filters(rng, m, n))
    found.k, found.k_columns = size(rng, n), size(rng, max(1, m))
    if rng.random() < 0.1:
        found.k, found.k_columns = n, max(1, m)
    if operation == "within":
        found.radius = _radius(rng, found)
    if operation == "ranks":
        each = rng.integers(0, 1 + min(n, max(1, LAW_PAIRS // max(1, m * n))), m)
        found.row = np.repeat(np.arange(m), each)
        found.positive = rng.integers(0, n, len(found.row))
        found.ties = str(rng.choice(TIES))
    else:
        found.dtype = (None, None, np.float32, np.float64)[int(rng.integers(4))]
    found.how = str(rng.choice(["arrays", "stores", "gallery"], p=[0.6, 0.2, 0.2]))
    if operation == "topk_both" and found.how == "gallery":
        found.how = "arrays"
    found.room = (None, None, 1.0, 1.0, 1.3)[int(rng.integers(5))]
    found.chunk_rows = int(rng.choice([packed.CHUNK_ROWS, 100, 33, 7]))
    found.piece_bytes = int(rng.choice([packed.PIECE_BYTES, 1 << 12]))
    precision = str(rng.choice(["auto", "int6", "int7", "int8", "int16", "float32", "float64"]))
    if nearby and operation != "topk":
        precision = precision.replace("float32", "int8").replace("float64", "int16")
    found.control = {
        "precision": precision,
        "n_threads": (None, 1, 2, 3)[int(rng.integers(4))],
        "check_finite": finite,
    }
    return found


def _near(operation, metric, dtype, p):
    """Another case of the same kind, whose kernels compile in a minute: float64 for two metrics, an operation each for
    those without a bound."""
    wide = output_dtype(np.zeros(1, dtype)) == np.float64
    if metric not in GEMM_FAMILY:
        at = METRICS.index(metric)
        return OPERATIONS[at % len(OPERATIONS)], np.float32, np.float32, min(p, 3.0)
    if wide and (metric not in ("euclidean", "dot") or operation == "topk_both"):
        return operation, np.float32, np.float32, p
    return operation, dtype, dtype, p


def _radius(rng, found):
    """Values that occur, or one for all, or limits that nothing and everything reaches."""
    m, n = len(found.x), len(found.y)
    value, _ = topk_law.topk(found.x, found.y, n, found.metric, found.p, bias=found.bias)
    radius = value[np.arange(m), rng.integers(0, size(rng, n), m)]
    radius = np.where(np.isnan(radius), 1.0, radius)
    if rng.random() < 0.2:
        radius = np.full(m, radius[0] if m else 1.0)
    if rng.random() < 0.2:
        radius = radius * (1 + 2.0**-52 * rng.integers(-2, 3, m))
    if rng.random() < 0.1:
        radius = rng.choice([np.inf, -np.inf, 0.0, -1.0, 1e300], m)
    return radius


# -------------------------------------------------------------------------------------------------------------- judging


def answer(found, **control):
    """What the package says."""
    x, y, mask = found.x, found.y, found.mask
    keywords = {"mask": mask, "exclude": found.exclude, "bias": found.bias, **found.control, **control}
    about = {"metric": found.metric, "metric_kwargs": {"p": found.p} if found.metric == "minkowski" else None}
    if found.operation != "ranks":
        keywords["dtype"] = found.dtype
    else:
        keywords["ties"] = found.ties
    keywords["backend"] = found.backend
    if found.how == "stores":
        x, y = Store(x), Store(y)
        keywords["mask"] = PairStore(mask) if mask is not None and mask.ndim == 2 else mask
    if found.how == "gallery":
        gallery = grown(y, about | {"check_finite": keywords["check_finite"]}, keywords)
        return getattr(gallery, found.operation)(x, _third(found), **keywords)
    return getattr(cmf, found.operation)(x, y, _third(found), **about, **keywords)


def _third(found):
    if found.operation == "ranks":
        return np.searchsorted(found.row, np.arange(len(found.x) + 1)), found.positive
    both = (found.k, found.k_columns)
    return {"topk": found.k, "topk_both": both, "within": found.radius}[found.operation]


def grown(y, about, keywords):
    """A gallery of y: half of it, searched and so encoded, then more than the rest, then without what was too much."""
    half = max(1, len(y) // 2)
    gallery = cmf.Gallery(y[:half], copy=False, **about)
    if half == len(y):
        return gallery
    gallery.topk(y[:1], 1, **{name: keywords[name] for name in ("backend", "check_finite", "precision")})
    spare = np.arange(len(y), len(y) + half)
    gallery.add(y[:half], ids=spare)
    gallery.add(y[half:], ids=np.arange(half, len(y)))
    gallery.remove(spare)
    return gallery


def judged(found):
    """Raises AssertionError where the answer is not the law's."""
    about = {"metric": found.metric, "p": found.p, "mask": found.mask, "exclude": found.exclude, "bias": found.bias}
    dtype = output_dtype(found.x, found.y) if found.dtype is None else found.dtype
    with ExitStack() as stack:
        stack.enter_context(patch.object(packed, "CHUNK_ROWS", found.chunk_rows))
        stack.enter_context(patch.object(packed, "PIECE_BYTES", found.piece_bytes))
        if found.backend == "cuda":
            stack.enter_context(emulated(seed=len(found.x) + len(found.y)))
        max_bytes = None
        if found.room is not None and len(found.x):
            max_bytes = int(found.room * least_max_bytes(lambda max_bytes: answer(found, max_bytes=max_bytes)))
        given = answer(found, max_bytes=max_bytes)
    if found.operation == "topk":
        judge.same_bits(given, topk_law.topk(found.x, found.y, found.k, **about), dtype)
    elif found.operation == "topk_both":
        law = topk_law.topk_both(found.x, found.y, found.k, found.k_columns, **about)
        for side, expected in zip(given, law, strict=True):
            judge.same_bits(side, expected, dtype)
    elif found.operation == "within":
        judge.same_rows(given, within_law.within(found.x, found.y, found.radius, **about), dtype)
    else:
        law = ranks_law.ranks(found.x, found.y, found.row, found.positive, found.ties, **about)
        dtype = np.float64 if found.ties == "mean" else np.int64
        judge.same_ranks(given, law.astype(dtype) if not len(law) else law, found.ties)


def failure(found):
    """What went wrong, None if nothing did."""
    try:
        judged(found)
    except AssertionError as difference:
        return str(difference)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError):
        return traceback.format_exc()
    return None


# ------------------------------------------------------------------------------------------------------------ shrinking


def part_of(found, rows, columns, features):
    """The case of some rows of x, rows of y and features, given as ascending positions."""
    m, n = len(found.x), len(found.y)
    changed = {"x": found.x[rows][:, features], "y": found.y[columns][:, features], "k": min(found.k, len(columns)),
               "k_columns": min(found.k_columns, len(rows))}  # fmt: skip
    moved = np.full(n + 1, -1)
    moved[columns] = np.arange(len(columns))
    if found.mask is not None:
        changed["mask"] = found.mask[columns] if found.mask.ndim == 1 else found.mask[np.ix_(rows, columns)]
    if found.exclude is not None:
        changed["exclude"] = moved[found.exclude[rows]]
    if found.bias is not None:
        changed["bias"] = found.bias[0][rows], found.bias[1][columns]
    if found.radius is not None:
        changed["radius"] = found.radius[rows]
    if found.row is not None:
        at = np.full(m, -1)
        at[rows] = np.arange(len(rows))
        stays = (at[found.row] >= 0) & (moved[found.positive] >= 0)
        changed["row"], changed["positive"] = at[found.row[stays]], moved[found.positive[stays]]
    return replace(found, **changed)


def smaller(found):
    """Simpler cases, the much simpler first."""
    sizes = len(found.x), len(found.y), found.x.shape[1]
    everything = [np.arange(size) for size in sizes]
    for pieces in (2, 4, 8, 1 << 30):
        for axis, count in enumerate(sizes):
            step = max(1, -(-count // pieces))
            if count <= 1 or (pieces > 8 and count > 24):
                continue
            for start in range(0, count, step):
                parts = list(everything)
                parts[axis] = np.delete(everything[axis], slice(start, start + step))
                if len(parts[axis]):
                    yield part_of(found, *parts)
    for name in ("mask", "exclude", "bias", "dtype", "room"):
        if getattr(found, name) is not None:
            yield replace(found, **{name: None})
    for name, simple in (("k", 1), ("k_columns", 1), ("how", "arrays"), ("chunk_rows", packed.CHUNK_ROWS),
                         ("piece_bytes", packed.PIECE_BYTES), ("ties", "index")):  # fmt: skip
        if getattr(found, name) != simple:
            yield replace(found, **{name: simple})
    for name, simple in (("n_threads", 1), ("precision", "auto" if found.backend in SCANS else "int16")):
        if found.control.get(name) != simple:
            yield replace(found, control=found.control | {name: simple})


def shrunk(found, fails=failure):
    """The smallest case like this that still fails, and how."""
    said, tries = fails(found), 0
    progress = True
    while progress and tries < MOST_SHRINKS:
        progress = False
        for candidate in smaller(found):
            tries += 1
            if (told := fails(candidate)) is not None:
                found, said, progress = candidate, told, True
                break
            if tries >= MOST_SHRINKS:
                break
    return found, said


def on(found, backend):
    """The same case on a backend, in a precision that it has."""
    precision = found.control["precision"]
    precision = precision if precision in SCANS.get(backend, (precision,)) else "auto"
    return replace(found, backend=backend, control=found.control | {"precision": precision})


def check(first, last, nearby=False, backends=("numba",)):
    """Every case from first to last - 1; raises AssertionError with the number and the smallest case that fails."""
    for number in range(first, last):
        for backend in backends:
            if backend == "cuda" and number % EMULATED:
                continue
            found = on(case(number, nearby), backend)
            if failure(found) is not None:
                least, said = shrunk(found)
                raise AssertionError(f"case {number} (nearby={nearby}) fails\n{least}\n{said}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--first", type=int, default=int(time.time()))
    parser.add_argument("--last", type=int)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--backends", default=",".join(BACKENDS), type=lambda names: names.split(","))
    parser.add_argument("--nearby", action="store_true")
    given = parser.parse_args(arguments)
    if "cuda" in given.backends and simt.obstacle():
        print(f"without cuda: {simt.obstacle()}")
        given.backends.remove("cuda")
    end, failed, number = time.monotonic() + given.seconds, 0, given.first
    for number in itertools.count(given.first):
        if number == given.last or (given.last is None and time.monotonic() > end):
            break
        try:
            check(number, number + 1, given.nearby, given.backends)
        except AssertionError as found:
            failed += 1
            print(found, flush=True)
        if (number + 1) % 1000 == 0:
            print(f"{number + 1 - given.first} cases, {failed} failed", flush=True)
    print(f"{number - given.first} cases from {given.first} on {', '.join(given.backends)}: {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
