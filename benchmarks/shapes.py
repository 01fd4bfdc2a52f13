"""What is timed: the cases of `make bench`, the cross product of `make bench-full`, and the bars to reach."""

from dataclasses import dataclass, replace
from itertools import product


class NotTimed(Exception):
    """Why a contender is left out of a case, in words."""


@dataclass(frozen=True)
class Case:
    """m rows of x against n of y, or for transfer m rows mapped from d to n features by one of `maps` matrices.

    For cca m pairs of d and n features, and k components.
    """

    operation: str
    m: int
    n: int
    d: int
    k: int | None = None
    maps: int | None = None
    data: str = "normal"

    @property
    def name(self):
        sizes = "x".join(map(str, (self.m, self.n, self.d)))
        also = [f"k{self.k}" if self.k else "", f"{self.maps}maps" if self.maps else "", self.data.replace(" ", "_")]
        return "-".join([self.operation, sizes, *filter(None, also)])

    @property
    def products(self):
        """Floating-point operations of all inner products."""
        return 2 * self.m * self.n * self.d

    @property
    def operations(self):
        """Those that nobody who computes all products can avoid; None where that says little."""
        return None if self.operation in UNCOUNTED else self.products

    def bytes(self, width=4):
        """What has to be read, and for whole matrices written, at least once: the gallery in `width` bytes a number."""
        if self.operation == "transfer":
            return 4 * ((self.maps or 1) * self.n * self.d + self.m * (self.n + self.d))
        written = 4 * self.m * self.n if self.operation == "pairwise_distances" else 0
        return width * self.n * self.d + 4 * self.m * self.d + written

    @property
    def problem(self):
        """The case without what the data do not depend on."""
        operation = "transfer" if self.operation == "transfer" else "rows"
        return replace(self, operation=operation, k=None, m=max(self.m, 1))


def search(m, n, d, k=10, data="normal"):
    """Up to 200 queries meet a prepared Gallery, more of them a plain array: DESIGN section 6."""
    return Case("Gallery.topk" if m <= PREPARED else "topk", m, n, d, k, data=data)


PREPARED = 200  # queries
WITH_STATS = {"topk", "Gallery.topk", "topk_both"}
UNCOUNTED = {"prepare", "csls", "sinkhorn", "cca", "assignment"}
WIDE, MIDDLE, NARROW = search(2000, 100_000, 768), search(2000, 100_000, 256), search(10_000, 100_000, 64)
SENTENCES = search(2000, 108_000, 384, data="sentences, copied")
BATCHES = (*(search(m, 100_000, 256) for m in (16, 64, 200)), search(64, 100_000, 768))
SINGLE = search(1, 100_000, 768)
PAIRS = tuple(
    Case("pairwise_distances", *sizes) for sizes in ((1000, 10_000, 256), (4000, 4000, 64), (500, 10_000, 768))
)
MAPS = Case("transfer", 4000, 768, 768, maps=1000)

SHORT = (
    # one size after the other: queries, features, neighbours, gallery
    search(1, 100_000, 256),
    *BATCHES[:3],
    MIDDLE,
    *(search(2000, 10_000, d) for d in (64, 256, 1024)),
    *(search(500, 10_000, 256, k) for k in (1, 10, 100, 1000)),
    *(search(64, n, 128) for n in (10_000, 100_000, 1_000_000)),
    search(1, 1_000_000, 128, 100),
    search(16, 10_000, 1024, 1000),
    BATCHES[3],
    SINGLE,
    WIDE,
    NARROW,
    SENTENCES,
    Case("prepare", 0, 100_000, 256),
    Case("prepare", 0, 100_000, 768),
    Case("topk_both", 1000, 20_000, 256, k=10),
    *PAIRS,
    Case("pairwise_distances", 500, 5000, 768, data="near duplicates"),
    Case("transfer", 20_000, 512, 768),
    Case("transfer", 100_000, 64, 64),
    MAPS,
)
LONGER = (  # with --full, as is the cross product
    *(search(2000, 10_000, d) for d in (128, 384, 768)),
    *(search(2000, 10_000, 256, k) for k in (1, 100, 1000)),
    *(search(200, n, 128) for n in (10_000, 100_000, 1_000_000)),
    search(10_000, 10_000, 128, 1),
    Case("prepare", 0, 1_000_000, 128),
)
CROSSED = tuple(
    search(m, n, d, k)
    for n, d, m, k in product(
        (10_000, 100_000, 1_000_000),
        (64, 128, 256, 384, 768, 1024),
        (1, 16, 64, 200, 2000, 10_000),
        (1, 10, 100, 1000),
    )
    if n < 1_000_000 or d == 128  # 4 GB of float32 and one hour a contender would tell nothing new
)
FULL = tuple(
    sorted(dict.fromkeys((*SHORT, *LONGER, *CROSSED)), key=lambda case: str(case.problem))
)  # same data, one after another


CSLS_NEIGHBOURS, ITERATIONS = 10, 100
EPSILON = 0.005  # at 0.05 no iteration beyond the 12th changed a bit
LONG = 20_000  # rows whose plan nobody stores
CSLS, SINKHORN = Case("csls", 10_000, 10_000, 300), Case("sinkhorn", 3000, 3000, 512)
CCA = tuple(Case("cca", 4000, 64, 128, k) for k in (3, 20))
ASSIGNMENT = Case("assignment", 1000, 1000, 64)
TOOLKIT = (CSLS, SINKHORN, *CCA, ASSIGNMENT)
LARGE = (  # with --full: minutes a call
    Case("assignment", 4000, 4000, 64),
    Case("sinkhorn", 100_000, 100_000, 64),
    Case("ranks", 100_000, 100_000, 512),
)


@dataclass(frozen=True)
class Bar:
    """A figure to reach: the contender's time at least `ratio` times ours, or ours at most `seconds`."""

    what: str
    case: Case
    contender: str
    ratio: float | None = None
    seconds: float | None = None


def start(operation, data):
    """A case without arrays: what a fresh process waits for."""
    return Case(operation, 0, 0, 0, data=data)


OURS = "crossmodal_fast"
FLOORS = ("bare GEMM", "bare read", "two passes")  # no answers
IMPORT = start("import", "beyond NumPy")
FIRST_CALLS = {
    ("numpy", "warm"): start("first call", "numpy"),
    ("numba", "warm"): start("first call", "numba, warm cache"),
    ("numba", "cold"): start("first call", "numba, cold cache"),
}
RUNS = start("measures, cold", "2000 rankings of 100 documents")
BARS = (
    Bar("large batch", WIDE, "FAISS", ratio=1.7),
    Bar("large batch", WIDE, "bare GEMM", ratio=1.2),
    Bar("large batch", MIDDLE, "FAISS", ratio=2.0),
    Bar("large batch", MIDDLE, "bare GEMM", ratio=1.2),
    Bar("large batch", NARROW, "FAISS", ratio=3.0),
    Bar("large batch", NARROW, "bare GEMM", ratio=1.2),
    Bar("real embeddings", SENTENCES, "FAISS", ratio=3.0),
    *(Bar("mid-batch", case, "FAISS", ratio=3.0) for case in BATCHES),
    Bar("single query", SINGLE, "bare read", ratio=0.7),
    *(Bar("distances", case, "scikit-learn", ratio=1.5) for case in PAIRS),
    Bar("many maps", MAPS, "bare read", ratio=0.8),
    Bar("hubs", CSLS, "two passes", ratio=1 / 1.3),
    *(Bar("hubs", CSLS, peer, ratio=3.0) for peer in ("NumPy", "FAISS")),
    Bar("transport", SINKHORN, "POT log", ratio=20.0),
    Bar("transport", SINKHORN, "POT", ratio=1.0),
    *(Bar("correlations", case, "scikit-learn", ratio=50.0) for case in CCA),
    Bar("measures", RUNS, "ranx", ratio=100.0),
    Bar("import", IMPORT, OURS, seconds=0.25),
    Bar("first call, NumPy path", FIRST_CALLS["numpy", "warm"], OURS, seconds=0.3),
    Bar("first call, Numba", FIRST_CALLS["numba", "warm"], OURS, seconds=1.5),
    Bar("first call, Numba", FIRST_CALLS["numba", "cold"], OURS, seconds=4.0),
)


def has_bar(case, contender):
    return any(bar.case == case and bar.contender == contender for bar in BARS)
