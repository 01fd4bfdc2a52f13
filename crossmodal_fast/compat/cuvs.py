"""cuVS's `neighbors.brute_force`: build, search, save, load, with its filters.

    from crossmodal_fast.compat import cuvs as brute_force

Arrays of NumPy, CuPy or torch in; distances float32 and ids int64 out, of the type and on the device of the queries.
Otherwise than there: rows may have any dtype, equal distances go by the lowest id, small distances are not made 0, and
what a filter leaves empty has id -1 and an infinite distance, not another row's id. `resources` are accepted and not
needed. Files are those of `crossmodal_fast.Gallery`.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _validate
from .._arguments import brief, number, one_of
from .._arrays import taken
from .._gallery import Gallery
from ._out import into

Array = NDArray[Any]
METRICS = {
    "sqeuclidean": "sqeuclidean",
    "euclidean": "euclidean",
    "l2": "euclidean",
    "l1": "cityblock",
    "cityblock": "cityblock",
    "inner_product": "dot",
    "cosine": "cosine",
    "correlation": "correlation",
    "chebyshev": "chebyshev",
    "canberra": "canberra",
    "lp": "minkowski",
    "minkowski": "minkowski",
}
"""The others, Jaccard and Kullback-Leibler among them, have other definitions there or none here."""


class Index:
    """What `build` makes and `search` takes: a `crossmodal_fast.Gallery`."""

    def __init__(self, gallery: Gallery | None = None) -> None:
        self.gallery = gallery

    @property
    def trained(self) -> bool:
        return self.gallery is not None

    def __repr__(self) -> str:
        return "Index(type=BruteForce)"


class Prefilter:
    """Bits of rows, or of pairs of a query and a row: 1 lets through."""

    def __init__(self, words: Any, of_pairs: bool) -> None:
        read = np.ascontiguousarray(taken("filter", words))
        if read.dtype != np.uint32 or read.ndim != 1:
            raise TypeError(f"a filter must be made of uint32 (words,), got {read.dtype} {read.shape}")
        self.bits = np.unpackbits(read.astype("<u4").view(np.uint8), bitorder="little")
        self.of_pairs = of_pairs

    def mask(self, m: int, n: int) -> Array:
        """(n,) or (m, n) bool."""
        count = m * n if self.of_pairs else n
        if len(self.bits) < count:
            raise ValueError(f"a filter must have {count} bits or more here, got {len(self.bits)}")
        bits = self.bits[:count].astype(bool)
        return bits.reshape(m, n) if self.of_pairs else bits


def from_bitset(bitset: Any) -> Prefilter:
    """`filters.from_bitset`: bit j of uint32 (words,), lowest first, lets row j through."""
    return Prefilter(bitset, of_pairs=False)


def from_bitmap(bitmap: Any) -> Prefilter:
    """`filters.from_bitmap`: bit i n + j of uint32 (words,) lets row j through for query i, of n rows."""
    return Prefilter(bitmap, of_pairs=True)


def build(dataset: Any, metric: str = "sqeuclidean", metric_arg: float = 2.0, resources: Any = None) -> Index:
    """`brute_force.build`: an index of rows (n, d), copied; metric_arg is the p of minkowski.

    >>> search(build([[0.0, 0.0], [0.0, 2.0]]), [[0.0, 2.0]], 2)
    (array([[0., 4.]], dtype=float32), array([[1, 0]]))
    """
    name = METRICS[one_of("metric", metric, METRICS)]
    keywords = {"p": number("metric_arg", metric_arg)} if name == "minkowski" else {}
    return Index(Gallery(dataset, name, metric_kwargs=keywords))


def search(
    index: Index,
    queries: Any,
    k: int,
    neighbors: Any = None,
    distances: Any = None,
    resources: Any = None,
    prefilter: Any = None,
) -> tuple[Any, Any]:
    """`brute_force.search`: (distances (m, k) float32, ids (m, k) int64) for queries (m, d), best first.

    neighbors, distances : arrays (m, k) to write into. prefilter : what `from_bitset` or `from_bitmap` made.
    Errors and cost of `crossmodal_fast.topk`; k is at most n.
    """
    if not isinstance(index, Index):
        raise TypeError(f"index must be what build or load made, got {brief(index)}")
    if not isinstance(prefilter, Prefilter | None):
        raise TypeError(f"prefilter must be what from_bitset or from_bitmap made, got {brief(prefilter)}")
    if index.gallery is None:
        raise ValueError("index must be built before it is searched, got one that is not")
    shape = _validate.flat("queries", queries).shape
    mask = None if prefilter is None else prefilter.mask(shape[0], len(index.gallery))
    found = index.gallery.topk(queries, k, mask=mask, dtype=np.float32)
    return into("distances", distances, found.distances), into("neighbors", neighbors, found.indices)


def save(filename: str | os.PathLike[str], index: Index, include_dataset: bool = True, resources: Any = None) -> None:
    """`brute_force.save`: an .npz file of the rows (n, d), whole or not at all; it is nothing without the dataset."""
    if index.gallery is None or not include_dataset:
        raise ValueError("index must be built and saved with its dataset, got one without")
    index.gallery.save(filename)


def load(filename: str | os.PathLike[str], resources: Any = None) -> Index:
    """`brute_force.load`: the index (n, d) that `save` wrote."""
    return Index(Gallery.load(filename))
