"""Random matrices: distances, transfers and log-sums of all kinds of rows, judged by the bounds that they state."""

from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace

import numpy as np

import crossmodal_fast as cmf
import judge
from cases import GEMM_FAMILY, METRICS, NON_NEGATIVE, output_dtype
from emulated import emulated
from fuzz_rows import FAMILIES, dtypes, not_finite, program, shape, two_sides
from least import least_max_bytes

OPERATIONS = ("pairwise_distances", "transfer", "logsumexp")
MOST, HUGE = (40, 90, 70), 3000
POWERS = (1.0, 2.0, np.inf, 3.0, 1.5)
REACH = {
    "pairwise_distances": None,
    "transfer": 60,
    "logsumexp": 8,
}  # exponents: products and terms that no float holds
MOST_SHOWN = 4000


@dataclass
class Matrices:
    """One call. transfer: x is E and maps (g, d_out, d_in) is M; logsumexp: metric "precomputed" takes x for scores."""

    operation: str
    x: np.ndarray
    y: np.ndarray | None
    metric: str = "euclidean"
    p: float = 2.0
    family: str = ""
    maps: np.ndarray | None = None
    which: np.ndarray | None = None
    bias: object = None
    normalize: bool = False
    beta: float = 1.0
    dtype: type | None = None
    room: float | None = None
    backend: str = "numba"
    control: dict = field(default_factory=dict)

    def __str__(self):
        told = f"{self.operation} of {self.family}, {self.metric} on {self.backend}: x {self.x.shape} {self.x.dtype}"
        size = sum(np.size(part) for part in (self.x, self.y, self.maps))
        return f"{told}\n{self.code()}" if size < MOST_SHOWN else told

    # ------------------------------------------------------------------------------------------------------- judging

    def arguments(self):
        """(what is given by place, what by name)."""
        kwargs = {"p": self.p} if self.metric == "minkowski" else None
        if self.operation == "pairwise_distances":
            return (self.x, self.y), {"metric": self.metric, "metric_kwargs": kwargs, "dtype": self.dtype}
        if self.operation == "transfer":
            return (self.x, self.maps), {"bias": self.bias, "which": self.which, "normalize": self.normalize}
        about = {"metric": self.metric, "metric_kwargs": kwargs, "beta": self.beta, "bias": self.bias, "axis": "both"}
        return (self.x, self.y), about

    def answer(self, **control):
        places, names = self.arguments()
        return getattr(cmf, self.operation)(*places, **names, backend=self.backend, **self.control, **control)

    def judged(self):
        """Raises AssertionError where the answer is further from the law than its bound."""
        with ExitStack() as stack:
            if self.backend == "cuda":
                stack.enter_context(emulated(seed=len(self.x)))
            if self.backend == "cuda" and self.metric not in (*GEMM_FAMILY, "precomputed", ""):
                return  # direct.py has the searches by these, not all of their matrices
            max_bytes = None
            if self.room is not None and len(self.x):
                max_bytes = int(self.room * least_max_bytes(lambda max_bytes: self.answer(max_bytes=max_bytes)))
            given = self.answer(max_bytes=max_bytes)
        with np.errstate(all="ignore"):
            {"pairwise_distances": self._distances, "transfer": self._mapped, "logsumexp": self._sums}[self.operation](
                given
            )

    def _distances(self, given):
        y = self.x if self.y is None else self.y
        dtype = output_dtype(self.x, y) if self.dtype is None else self.dtype
        assert given.dtype == dtype, f"distances are {given.dtype}, must be {np.dtype(dtype)}"
        judge.pairwise_within_bound(given, self.x, y, self.metric, self.p)
        if self.y is None:
            np.testing.assert_array_equal(given, given.T)

    def _mapped(self, given):
        within = judge.unit_transfer_within_bound if self.normalize else judge.transfer_within_bound
        if self.which is None:
            within(given, self.x, self.maps, self.bias)
            return
        for number in np.unique(self.which):
            rows = self.which == number
            within(given[rows], self.x[rows], self.maps[number], None if self.bias is None else self.bias[number])

    def _sums(self, given):
        u, v = self.bias if self.bias is not None else (np.zeros(1), np.zeros(1))
        wide = np.float64 in [output_dtype(part) for part in (self.x, self.y) if part is not None]
        dtype = np.dtype(np.float64 if wide else np.float32)
        judge.log_sums_within_bound(
            given, self.x, self.y, self.metric, dtype, beta=self.beta, u=u, v=v, p=self.p
        )  # fmt: skip

    # ----------------------------------------------------------------------------------------------------- shrinking

    def sizes(self):
        columns = 1 if self.maps is None else self.maps.shape[-2]
        return len(self.x), columns if self.y is None else len(self.y), self.x.shape[1]

    def part(self, rows, columns, features):
        """Some of the rows of x, of the rows of y (or of the matrices), and of the features."""
        changed = {"x": self.x[rows][:, features]}
        if self.operation == "transfer":
            changed["maps"] = self.maps[..., columns, :][..., features]
            changed["which"] = None if self.which is None else self.which[rows]
            changed["bias"] = None if self.bias is None else self.bias[..., columns]
            return replace(self, **changed)
        if self.y is not None:
            changed["y"] = self.y[columns][:, features]
        if self.bias is not None:
            changed["bias"] = self.bias[0][rows], self.bias[1][columns if self.y is not None else features]
        return replace(self, **changed)

    def simpler(self):
        for name in ("bias", "dtype", "room"):
            if getattr(self, name) is not None:
                yield replace(self, **{name: None})
        for name, simple in (("normalize", False), ("beta", 1.0)):
            if getattr(self, name) != simple:
                yield replace(self, **{name: simple})
        if self.which is not None and len(self.which):
            bias = None if self.bias is None else self.bias[self.which[0]]
            yield replace(self, maps=self.maps[self.which[0]], which=None, bias=bias)
        if self.control.get("n_threads") != 1:
            yield replace(self, control=self.control | {"n_threads": 1})

    def on(self, backend):
        return replace(self, backend=backend)

    # ------------------------------------------------------------------------------------------------------- as code

    def code(self):
        """A program with this call."""
        if self.room is None and self.backend != "cuda":
            places, names = self.arguments()
            named = {"x": places[0], "other": places[1]} | names | {"backend": self.backend} | self.control
            words = ", ".join(f"{name}={name}" for name in named if name not in ("x", "other"))
            return program(named, f"answer = cmf.{self.operation}(x, other, {words})", "print(answer)")
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        words = ", ".join(f"{name}={name}" for name in named)
        return program(named, "from fuzz_matrices import Matrices  # in tests/", f"Matrices({words}).judged()")


# -------------------------------------------------------------------------------------------------------------- drawing


def case(rng, nearby=False):
    """A call of one of the operations."""
    operation, family = str(rng.choice(OPERATIONS)), FAMILIES[int(rng.integers(len(FAMILIES)))]
    if family is not_finite and operation != "pairwise_distances":
        family = FAMILIES[0]
    metric = str(rng.choice(METRICS))
    m, n, d = shape(rng, MOST, HUGE)
    x_dtype, y_dtype = (np.float32, np.float32) if nearby else dtypes(rng)
    if nearby and metric == "minkowski":
        metric = "euclidean"
    p = float(rng.choice(POWERS)) if metric == "minkowski" else 2.0
    finite = family is not not_finite
    x, y = two_sides(rng, family, x_dtype, y_dtype, (m, n, d), finite, REACH[operation], metric in NON_NEGATIVE)
    found = Matrices(operation, x, y, metric, p, family.__name__)
    found.room = (None, None, 1.0, 1.3)[int(rng.integers(4))]
    found.control = {"n_threads": (None, 1, 2, 3)[int(rng.integers(4))], "check_finite": finite}
    {"pairwise_distances": _distances, "transfer": _mapped, "logsumexp": _sums}[operation](rng, found)
    return found


def _distances(rng, found):
    found.dtype = (None, None, np.float32, np.float64)[int(rng.integers(4))]
    if rng.random() < 0.2:
        found.y = None


def _mapped(rng, found):
    """M are the rows of y, as one matrix or cut into several."""
    found.maps, found.y, found.metric, found.p = found.y, None, "", 2.0
    if rng.random() < 0.5:
        matrices = int(rng.integers(1, 1 + min(5, len(found.maps))))
        height = len(found.maps) // matrices
        found.maps = found.maps[: matrices * height].reshape(matrices, height, -1)
        found.which = rng.integers(0, matrices, len(found.x))
    if rng.random() < 0.5:
        found.bias = rng.standard_normal(found.maps.shape[:-1]) * 10.0 ** rng.integers(-3, 4)
    found.normalize = bool(rng.random() < 0.4)


def _sums(rng, found):
    if rng.random() < 0.2:
        found.y, found.metric, found.p = None, "precomputed", 2.0
    columns = found.x.shape[1] if found.y is None else len(found.y)
    if rng.random() < 0.5:
        found.bias = rng.standard_normal(len(found.x)), rng.standard_normal(columns) * 10.0 ** rng.integers(-3, 3)
    found.beta = float(rng.choice([1.0, 0.01, 20.0, 1000.0]))
