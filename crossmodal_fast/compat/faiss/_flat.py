"""The flat indexes."""

from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _validate
from ..._arguments import number, whole
from ..._arrays import given_back
from ..._gallery import Gallery
from .._out import into
from ._metrics import METRIC_INNER_PRODUCT, METRIC_L2, METRIC_Lp, best_of, metric_of
from ._selectors import IDSelectorBatch, mask_of, members

Array = NDArray[Any]


def float32_rows(name: str, value: Any, d: int | None = None) -> Array:
    """(n, d) float32, C order, as FAISS makes them of anything: numbers beyond float32 are infinite."""
    read = _validate.flat(name, value)
    if d is not None and read.shape[1] != d:
        raise ValueError(f"{name} must have shape (n, {d}), as the index has d = {d}, got {tuple(read.shape)}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(read[:], np.float32)


def only_float32(numeric_type: Any) -> None:
    """Refuse what FAISS's flat indexes refuse as well."""
    if isinstance(numeric_type, np.ndarray) or numeric_type != 0:
        raise ValueError(f"numeric_type must be Float32 (0), which alone flat indexes take, got {numeric_type!r}")


class IndexFlat:
    """`faiss.IndexFlat`: vectors (ntotal, d) in float32, all of them searched, ids being their positions.

    Parameters
    ----------
    d : number of features
    metric : one of the `METRIC_` numbers; the p of METRIC_Lp is the attribute `metric_arg`

    Results are NumPy's, or of the type of the queries where those are tensors. Distances are squared for METRIC_L2 and
    have no root for METRIC_Lp; each is the float64 value of the float32 rows, rounded once. Where FAISS promises
    nothing: equal distances go by the lowest id, and a search does not depend on its batch or on threads. Codes of rows
    are made by the search that follows `add`, and again after `remove_ids`.

    >>> index = IndexFlatL2(2)
    >>> index.add([[0, 0], [0, 2]])
    >>> index.search([[0, 2]], 3)
    (array([[0.0000000e+00, 4.0000000e+00, 3.4028235e+38]], dtype=float32), array([[ 1,  0, -1]]))
    """

    is_trained = True

    def __init__(self, d: int, metric: int = METRIC_L2) -> None:
        self.d = whole("d", d)
        metric_of(metric, 1)
        self.metric_type, self._metric_arg = metric, 0.0
        self._waiting: list[Array] = []  # added, not yet in the gallery
        self._gallery: Gallery | None = None
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(d={self.d}, ntotal={self.ntotal}, metric_type={self.metric_type})"

    def __getstate__(self) -> dict[str, Any]:
        return {"d": self.d, "metric": self.metric_type, "metric_arg": self._metric_arg, "rows": self._rows()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        IndexFlat.__init__(self, state["d"], state["metric"])
        self._metric_arg = state["metric_arg"]
        self.add(state["rows"])

    @property
    def ntotal(self) -> int:
        return sum(map(len, self._waiting)) + (len(self._gallery) if self._gallery else 0)

    @property
    def metric_arg(self) -> float:
        """The p of METRIC_Lp."""
        return self._metric_arg

    @metric_arg.setter
    def metric_arg(self, value: float) -> None:
        found = number("metric_arg", value)
        self._hold(self._rows())
        self._metric_arg = found

    def train(self, x: Any, *, numeric_type: int = 0, xq_train: Any = None) -> None:
        """Nothing is learned of x (n, d), nor of the queries xq_train."""
        only_float32(numeric_type)
        float32_rows("x", x, self.d)

    def add(self, x: Any, numeric_type: int = 0) -> None:
        """Append rows (n, d), copied."""
        only_float32(numeric_type)
        rows = float32_rows("x", x, self.d)
        if len(rows):
            self._waiting.append(rows.copy() if np.may_share_memory(rows, x) else rows)

    def reset(self) -> None:
        """Remove all rows."""
        self._hold(np.zeros((0, self.d), np.float32))

    def remove_ids(self, x: Any) -> int:
        """Remove the rows of ids (n,), or of a selector; the others move up. Returns how many there were."""
        selector = x if hasattr(x, "is_member") else IDSelectorBatch(x)
        rows = self._rows()
        gone = members(selector, np.arange(len(rows)))
        if gone.any():
            self._hold(rows[~gone])
        return int(gone.sum())

    def search(
        self, x: Any, k: int, *, params: Any = None, D: Any = None, I: Any = None, numeric_type: int = 0  # noqa: E741 - FAISS's names
    ) -> Any:  # fmt: skip
        """The k best rows of each query: (distances (m, k) float32, ids (m, k) int64).

        x : (m, d) queries. params : `SearchParameters`. D, I : arrays (m, k) to write into.
        Slots without a neighbour, as for k > ntotal and for NaN, hold -1 and 3.4028235e38 (-3.4028235e38).
        """
        only_float32(numeric_type)
        queries, mask = float32_rows("x", x, self.d), mask_of(params, self.ntotal)

        def search(queries: Array, k: int, **given: Any) -> Any:
            return self._searchable().topk(queries, k, **given)

        found = best_of(search, queries, k, self.ntotal, self.metric_type, self._metric_arg, mask)
        return _written(x, found, (("D", D), ("I", I)))

    def assign(self, x: Any, k: int, labels: Any = None) -> Any:
        """The ids (m, k) of `search`."""
        return self.search(x, k, I=labels)[1]

    def search_and_reconstruct(
        self, x: Any, k: int, *, params: Any = None, D: Any = None, I: Any = None, R: Any = None  # noqa: E741 - FAISS's names
    ) -> Any:  # fmt: skip
        """`search`, and the rows found (m, k, d); NaN where there is none."""
        distances, ids = self.search(float32_rows("x", x, self.d), k, params=params)
        rows = np.full((*ids.shape, self.d), np.nan, np.float32)
        rows[ids >= 0] = self._rows()[ids[ids >= 0]]
        return _written(x, (distances, ids, rows), (("D", D), ("I", I), ("R", R)))

    def range_search(self, x: Any, thresh: float, *, params: Any = None) -> tuple[Any, Any, Any]:
        """All rows nearer than thresh, or of a larger inner product: lims (m + 1,) uint64, distances, ids, by id."""
        if self.metric_type == METRIC_Lp:
            raise ValueError("range_search must be of another metric than METRIC_Lp, whose root is not exact")
        queries, mask = float32_rows("x", x, self.d), mask_of(params, self.ntotal)
        if not self.ntotal:
            none = np.zeros(len(queries) + 1, np.uint64), np.zeros(0, np.float32), np.zeros(0, np.int64)
            return given_back(x, none)
        limit = float(np.float32(thresh))
        beyond = np.nextafter(limit, np.inf if self.metric_type == METRIC_INNER_PRODUCT else -np.inf)
        found = self._searchable().within(queries, beyond, mask=mask, check_finite=False)
        row = np.repeat(np.arange(len(queries)), np.diff(found.indptr))
        order = np.lexsort((found.indices, row))
        return given_back(x, (found.indptr.astype(np.uint64), found.distances[order], found.indices[order]))

    def reconstruct(self, key: int, x: Any = None) -> Any:
        """Row (d,) of an id."""
        return into("x", x, self.reconstruct_batch([key])[0])

    def reconstruct_n(self, n0: int = 0, ni: int = -1, x: Any = None) -> Any:
        """Rows (ni, d) from id n0 on, all of them with ni = -1."""
        last = self.ntotal if ni == -1 else n0 + ni
        return self.reconstruct_batch(np.arange(n0, last), x)

    def reconstruct_batch(self, key: Any, x: Any = None) -> Any:
        """Rows (n, d) of ids (n,)."""
        ids, rows = np.asarray(key, np.int64), self._rows()
        outside = ids[(ids < 0) | (ids >= len(rows))]
        if len(outside):
            raise ValueError(f"key must be in 0..{len(rows) - 1} (ntotal = {len(rows)}), got {outside[0]}")
        return into("x", x, rows[ids])

    def _hold(self, rows: Array) -> None:
        with self._lock:
            self._gallery, self._waiting = None, [rows] if len(rows) else []

    def _rows(self) -> Array:
        with self._lock:
            if self._gallery is None:
                self._waiting = [np.concatenate([np.zeros((0, self.d), np.float32), *self._waiting])]
                return self._waiting[0]
        return self._searchable().vectors

    def _searchable(self) -> Gallery:
        """The gallery of all rows. Searches may run beside each other, and only one of them makes it."""
        with self._lock:
            if self._gallery is None:
                name, keywords = metric_of(self.metric_type, self._metric_arg)
                rows = np.concatenate(self._waiting)
                self._gallery = Gallery(rows, name, copy=False, metric_kwargs=keywords, check_finite=False)
            elif self._waiting:
                self._gallery.add(np.concatenate(self._waiting))
            self._waiting = []
            return self._gallery


class IndexFlatL2(IndexFlat):
    """`faiss.IndexFlatL2(d)`: squared Euclidean distances, ascending."""

    def __init__(self, d: int) -> None:
        super().__init__(d, METRIC_L2)


class IndexFlatIP(IndexFlat):
    """`faiss.IndexFlatIP(d)`: inner products, descending."""

    def __init__(self, d: int) -> None:
        super().__init__(d, METRIC_INNER_PRODUCT)


def _written(like: Any, found: tuple[Array, ...], wanted: tuple[tuple[str, Any], ...]) -> Any:
    given = given_back(like, found)
    return tuple(into(name, out, one) for (name, out), one in zip(wanted, given, strict=True))
