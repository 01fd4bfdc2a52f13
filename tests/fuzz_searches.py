"""Random searches: every operation that promises the same bits, on everything it takes, judged by the law."""

from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from unittest.mock import patch

import numpy as np

import crossmodal_fast as cmf
import judge
from cases import GEMM_FAMILY, METRICS, NON_NEGATIVE, output_dtype
from crossmodal_fast.kernels.ranks import reference as ranks_law
from crossmodal_fast.kernels.tiles import packed
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.within import reference as within_law
from emulated import emulated
from fuzz_rows import FAMILIES, dtypes, not_finite, program, shape, size, two_sides
from least import least_max_bytes
from stores import PairStore, Store

OPERATIONS = ("topk", "topk_both", "within", "ranks")
TIES = ("index", "optimistic", "pessimistic", "mean")
MOST, HUGE = (40, 300, 70), 3000  # rows of x, rows of y, features; features of few rows
LAW_PAIRS = 3000  # that the law of ranks counts, in plain Python
POWERS = (1.0, 2.0, np.inf, 3.0, 1.5)  # of minkowski
SCANS = {"numpy": ("auto", "float32", "float64"), "cuda": ("auto",)}  # precisions, where not all
PRECISIONS = ("auto", "int6", "int7", "int8", "int16", "float32", "float64")
MOST_SHOWN = 4000  # numbers in a program


@dataclass
class Search:
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
        told = (
            f"{self.operation} of {self.family}: x {self.x.shape} {self.x.dtype}, y {self.y.shape} {self.y.dtype}, "
            f"{self.metric} p={self.p} k={self.k} k_columns={self.k_columns} ties={self.ties} dtype={self.dtype}\n"
            f"on {self.backend}, as {self.how}, {self.room} x the least max_bytes, chunks of {self.chunk_rows} rows, "
            f"pieces of {self.piece_bytes} bytes, {self.control}"
        )
        return f"{told}\n{self.code()}" if self.x.size + self.y.size < MOST_SHOWN else told

    # ------------------------------------------------------------------------------------------------------- judging

    def answer(self, **control):
        """What the package says."""
        x, y, keywords, about = self.x, self.y, self._keywords() | control, self._about()
        if self.how == "stores":
            x, y, mask = Store(x), Store(y), self.mask
            keywords["mask"] = PairStore(mask) if mask is not None and mask.ndim == 2 else mask
        if self.how == "gallery":
            gallery = grown(y, about | {"check_finite": keywords["check_finite"]}, keywords)
            return getattr(gallery, self.operation)(x, self.third(), **keywords)
        return getattr(cmf, self.operation)(x, y, self.third(), **about, **keywords)

    def _about(self):
        return {"metric": self.metric, "metric_kwargs": {"p": self.p} if self.metric == "minkowski" else None}

    def _keywords(self):
        own = {"ties": self.ties} if self.operation == "ranks" else {"dtype": self.dtype}
        given = {"mask": self.mask, "exclude": self.exclude, "bias": self.bias, "backend": self.backend}
        return given | own | self.control

    def third(self):
        """What the search is for: numbers of neighbours, radii or positives."""
        if self.operation == "ranks":
            return np.searchsorted(self.row, np.arange(len(self.x) + 1)), self.positive
        both = (self.k, self.k_columns)
        return {"topk": self.k, "topk_both": both, "within": self.radius}[self.operation]

    def judged(self):
        """Raises AssertionError where the answer is not the law's."""
        with ExitStack() as stack:
            stack.enter_context(patch.object(packed, "CHUNK_ROWS", self.chunk_rows))
            stack.enter_context(patch.object(packed, "PIECE_BYTES", self.piece_bytes))
            if self.backend == "cuda":
                stack.enter_context(emulated(seed=len(self.x) + len(self.y)))
            looked_at = len(self.x) or self.how == "gallery"  # without queries nobody else looks
            if self.control.get("check_finite") and not self.finite() and looked_at:
                self._refused()
                return
            max_bytes = None
            if self.room is not None and len(self.x):
                max_bytes = int(self.room * least_max_bytes(lambda max_bytes: self.answer(max_bytes=max_bytes)))
            given = self.answer(max_bytes=max_bytes)
        self._compared(given)

    def finite(self):
        return all(np.isfinite(np.asarray(rows).astype(float)).all() for rows in (self.x, self.y))

    def _refused(self):
        """Rows that are not finite are refused with the number of one, the first of its side."""
        bad = [np.flatnonzero(~np.isfinite(np.asarray(rows).astype(float)).all(axis=1)) for rows in (self.x, self.y)]
        said = "nothing"
        try:
            self.answer()
        except ValueError as refusal:
            said = str(refusal)
        rows = {f"in row {rows[0]}" for rows in bad if len(rows)}
        named = any(row in said for row in rows) or self.how == "gallery"  # which counts the rows that come
        if not ("must be finite, got" in said and named):
            raise AssertionError(f"of rows that are not finite it says {said!r}, must name one {rows}")

    def _compared(self, given):
        about = {"metric": self.metric, "p": self.p, "mask": self.mask, "exclude": self.exclude, "bias": self.bias}
        dtype = output_dtype(self.x, self.y) if self.dtype is None else self.dtype
        if self.operation == "topk":
            judge.same_bits(given, topk_law.topk(self.x, self.y, self.k, **about), dtype)
        elif self.operation == "topk_both":
            law = topk_law.topk_both(self.x, self.y, self.k, self.k_columns, **about)
            for side, expected in zip(given, law, strict=True):
                judge.same_bits(side, expected, dtype)
        elif self.operation == "within":
            judge.same_rows(given, within_law.within(self.x, self.y, self.radius, **about), dtype)
        else:
            law = ranks_law.ranks(self.x, self.y, self.row, self.positive, self.ties, **about)
            dtype = np.float64 if self.ties == "mean" else np.int64
            judge.same_ranks(given, law.astype(dtype) if not len(law) else law, self.ties)

    # ----------------------------------------------------------------------------------------------------- shrinking

    def part(self, rows, columns, features):
        """The case of some rows of x, rows of y and features, given as ascending positions."""
        m, n = len(self.x), len(self.y)
        changed = {"x": self.x[rows][:, features], "y": self.y[columns][:, features],
                   "k": min(self.k, len(columns)), "k_columns": min(self.k_columns, len(rows))}  # fmt: skip
        moved = np.full(n + 1, -1)
        moved[columns] = np.arange(len(columns))
        if self.mask is not None:
            changed["mask"] = self.mask[columns] if self.mask.ndim == 1 else self.mask[np.ix_(rows, columns)]
        if self.exclude is not None:
            changed["exclude"] = moved[self.exclude[rows]]
        if self.bias is not None:
            changed["bias"] = self.bias[0][rows], self.bias[1][columns]
        if self.radius is not None:
            changed["radius"] = self.radius[rows]
        if self.row is not None:
            at = np.full(m, -1)
            at[rows] = np.arange(len(rows))
            stays = (at[self.row] >= 0) & (moved[self.positive] >= 0)
            changed["row"], changed["positive"] = at[self.row[stays]], moved[self.positive[stays]]
        return replace(self, **changed)

    def sizes(self):
        return len(self.x), len(self.y), self.x.shape[1]

    def simpler(self):
        """The same with less of what is asked for."""
        for name in ("mask", "exclude", "bias", "dtype", "room"):
            if getattr(self, name) is not None:
                yield replace(self, **{name: None})
        for name, simple in (("k", 1), ("k_columns", 1), ("how", "arrays"), ("chunk_rows", packed.CHUNK_ROWS),
                             ("piece_bytes", packed.PIECE_BYTES), ("ties", "index")):  # fmt: skip
            if getattr(self, name) != simple:
                yield replace(self, **{name: simple})
        for name, simple in (("n_threads", 1), ("precision", "auto" if self.backend in SCANS else "int16")):
            if self.control.get(name) != simple:
                yield replace(self, control=self.control | {name: simple})

    def on(self, backend):
        """The same case on a backend, in a precision that it has."""
        precision = self.control["precision"]
        precision = precision if precision in SCANS.get(backend, (precision,)) else "auto"
        return replace(self, backend=backend, control=self.control | {"precision": precision})

    # ------------------------------------------------------------------------------------------------------- as code

    def code(self):
        """A program with this search: a call of the package where that shows it, else what the fuzzer does."""
        plain = self.how == "arrays" and self.room is None and self.backend != "cuda"
        if plain and (self.chunk_rows, self.piece_bytes) == (packed.CHUNK_ROWS, packed.PIECE_BYTES):
            named = {"x": self.x, "y": self.y, "third": self.third()} | self._about() | self._keywords()
            words = ", ".join(f"{name}={name}" for name in named if name not in ("x", "y", "third"))
            return program(named, f"answer = cmf.{self.operation}(x, y, third, {words})", "print(answer)")
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        words = ", ".join(f"{name}={name}" for name in named)
        return program(named, "from fuzz_searches import Search  # in tests/", f"Search({words}).judged()")


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


# -------------------------------------------------------------------------------------------------------------- drawing


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


def case(rng, nearby=False):
    """A search."""
    operation, family = str(rng.choice(OPERATIONS)), FAMILIES[int(rng.integers(len(FAMILIES)))]
    metric = str(rng.choice(GEMM_FAMILY if rng.random() < 0.65 else METRICS))
    m, n, d = shape(rng, MOST, HUGE)
    x_dtype, y_dtype = dtypes(rng)
    p = float(rng.choice(POWERS)) if metric == "minkowski" else 2.0
    if nearby:
        operation, x_dtype, y_dtype, p = _near(operation, metric, x_dtype, p)
    m = 0 if rng.random() < 0.01 and operation != "topk_both" else m
    finite = family is not not_finite
    x, y = two_sides(rng, family, x_dtype, y_dtype, (m, n, d), finite, magnitudes=metric in NON_NEGATIVE)
    found = Search(operation, x, y, metric, p, family.__name__, **filters(rng, m, n))
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
    precision = str(rng.choice(PRECISIONS))
    if nearby and operation != "topk":
        precision = precision.replace("float32", "int8").replace("float64", "int16")
    found.control = {
        "precision": precision,
        "n_threads": (None, 1, 2, 3)[int(rng.integers(4))],
        "check_finite": finite or rng.random() < 0.2,
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
