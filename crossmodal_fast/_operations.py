"""The operations: validate, choose a backend, call it once per problem of a batch. No arithmetic."""

from typing import Any, Literal, Unpack, overload

import numpy as np

from . import _validate
from ._arrays import given_back, taken
from ._config import Control, resolve
from ._search import (
    LogSums,
    Pairs,
    Search,
    SearchStats,
    TopK,
    Within,
    log_sums,
    metric_of,
    part,
    row_sets,
    run,
    running,
    search_ranks,
    search_within,
    select,
)
from .kernels.tiles.rows import Rows

SIMILARITIES = ("cosine", "dot", "correlation")


def pairwise_distances(
    X: Any,
    Y: Any = None,
    metric: str = "euclidean",
    *,
    metric_kwargs: dict[str, Any] | None = None,
    dtype: Any = None,
    out: Any = None,
    **control: Unpack[Control],
) -> Any:
    """Distances between all rows of X and all rows of Y.

    Parameters
    ----------
    X : (..., m, d) numbers, in an array or a table of any library that the README lists
    Y : (..., n, d) numbers, leading axes broadcast against those of X. None: X itself, for half the work; the result is
        then symmetric to the bit.
    metric : euclidean, sqeuclidean, cosine, correlation, dot (a similarity), cityblock, chebyshev, minkowski, canberra,
        braycurtis, jensenshannon, hellinger, hamming, jaccard, or another name of SciPy's `cdist`
    metric_kwargs : as in SciPy: p and w (minkowski), V (seuclidean), VI (mahalanobis), base (jensenshannon), w for most
        others. V and VI default to values over all rows of X and Y.
    dtype : of the result, NumPy's or a tensor's; default float64 if X or Y is float64 or an integer wider than 8 bits,
        else float32
    out : NumPy array, or torch tensor in the host's memory, of the result's shape and dtype to write into
    **control : see `Control`

    Returns
    -------
    (..., m, n) array of the type and on the device of X; NumPy's for lists, tables and stores. Against the canonical
    float64 value: relative 1e-6 for the L2 family, absolute 1e-6 |x||y| for dot, absolute 1e-6 for cosine and
    correlation in float32; 1e-13 max(1, d/256) on the same scales in float64. The other metrics are canonical values
    rounded once. Cancellation does not happen: entries that the expansion cannot give at that accuracy are computed
    directly.

    Raises
    ------
    ValueError, TypeError : one sentence, naming the argument and the value
    BackendUnavailable : a backend was named that cannot run

    Notes
    -----
    Cost: 2 m n d flops in float64, O(m n) memory for the result, `max_bytes` beside it.
    Source: direct from the definitions, as in `scipy.spatial.distance`.

    Examples
    --------
    >>> pairwise_distances([[0.0, 0.0], [3.0, 4.0]])
    array([[0., 5.],
           [5., 0.]])
    """
    settled, like = resolve(control), X
    _validate.metric_name(metric)
    alone = Y is None
    X = _validate.matrix("X", X)
    given = _validate.metric_keywords(metric, metric_kwargs, X.shape[-1])
    Y = X if alone else _validate.gallery("Y", Y)
    _validate.same_features("X", X, "Y", Y)
    lead = _validate.batch("X", X, "Y", Y)
    found = _validate.output_dtype(dtype, X, Y)
    result = _validate.output(out, (*lead, X.shape[-2], Y.shape[-2]), found, X=X, Y=Y)
    with running(settled, "computing distances") as tick:
        for at, x, y in row_sets((("X", X), ("Y", Y)), lead, settled):
            sides = (x,) if alone else (x, y)
            chosen = metric_of(metric, given, X.shape[-1], *sides)
            keywords = {"max_bytes": settled.max_bytes, "precision": control.get("precision") or "auto", "tick": tick}
            run("pairwise", settled, x, None if alone else y, chosen, out=result[at], **keywords)
    return given_back(like, result) if out is None else out


def similarity(X: Any, Y: Any = None, metric: str = "cosine", **control: Unpack[Control]) -> Any:
    """Similarities between all rows of X (..., m, d) and Y (..., n, d): higher is better.

    metric : cosine and correlation, 1 - distance in [-1, 1]; dot, the inner product. Returns (..., m, n); accuracy,
    cost and errors as in `pairwise_distances`.

    >>> similarity([[1.0, 0.0]], [[2.0, 0.0], [0.0, 1.0]])
    array([[1., 0.]])
    """
    distance = pairwise_distances(taken("X", X), Y, _validate.metric_name(metric, SIMILARITIES), **control)
    return given_back(X, distance if metric == "dot" else np.subtract(1, distance, out=distance))


@overload
def topk(
    queries: Any,
    gallery: Any,
    k: int,
    metric: str = ...,
    *,
    return_stats: Literal[False] = ...,
    **search: Unpack[Search],
) -> TopK: ...
@overload
def topk(
    queries: Any, gallery: Any, k: int, metric: str = ..., *, return_stats: Literal[True], **search: Unpack[Search]
) -> tuple[Any, Any, SearchStats]: ...
def topk(
    queries: Any,
    gallery: Any,
    k: int,
    metric: str = "euclidean",
    *,
    metric_kwargs: dict[str, Any] | None = None,
    exclude_self: bool = False,
    exclude: Any = None,
    mask: Any = None,
    bias: tuple[Any, Any] | None = None,
    dtype: Any = None,
    return_stats: bool = False,
    **control: Unpack[Control],
) -> TopK | tuple[Any, Any, SearchStats]:
    """The k best gallery rows of every query, exact: the same bits on every backend, thread count and block size.

    Parameters
    ----------
    queries : (..., m, d) numbers, in an array or a table of any library that the README lists
    gallery : (..., n, d) numbers, leading axes broadcast against those of queries; sparse matrices and two-dimensional
        stores (memmap, HDF5, zarr) on either side are read block by block
    k : 1 <= k <= n
    metric, metric_kwargs, dtype : as in `pairwise_distances`; dtype is that of the distances
    exclude_self : query i may not match gallery row i; needs m == n
    exclude : (..., m) int64, one gallery row per query that it may not match, -1 for none
    mask : (n,) or (..., m, n) bool, True = may match
    bias : (u, v), finite float64 (..., m) and (..., n): u_i + v_j is added to the value; order and ties use the sum
    return_stats : also return `SearchStats`
    **control : see `Control`

    Returns
    -------
    TopK(distances, indices) : (..., m, k) each, of the type of queries, best first; distances ascend (for dot,
        similarities descend). Ordered by the canonical float64 value, ties by lowest index, NaN last. Slots left empty
        hold index -1 and +inf (-inf).
    SearchStats : with return_stats=True, as a third element

    Raises
    ------
    ValueError, TypeError, BackendUnavailable : as in `pairwise_distances`

    Notes
    -----
    Cost: 2 m n d flops at the scan's precision; memory O(m k) for the result, `max_bytes` beside it.
    Source: direct from the definition; certificate: Higham (2002), section 3.1, and Cauchy-Schwarz.

    Examples
    --------
    >>> topk([[0.0, 1.0]], [[0.0, 0.0], [0.0, 1.0], [0.0, 3.0]], k=2)
    TopK(distances=array([[0., 1.]]), indices=array([[1, 0]]))
    """
    like, queries = queries, _validate.matrix("queries", queries)
    gallery = _validate.gallery("gallery", gallery)
    ((distances, indices),), stats = select(
        ("queries", queries), ("gallery", gallery),
        (_validate.neighbours("k", k, gallery.shape[-2], "gallery"), 0),
        metric, metric_kwargs, Pairs(exclude_self, exclude, mask, bias), dtype, resolve(control),
    )  # fmt: skip
    return given_back(like, (distances, indices, stats) if return_stats else TopK(distances, indices))


@overload
def topk_both(
    X: Any, Y: Any, k: int | tuple[int, int], metric: str = ..., *, return_stats: Literal[False] = ...,
    **search: Unpack[Search],
) -> tuple[TopK, TopK]: ...  # fmt: skip
@overload
def topk_both(
    X: Any,
    Y: Any,
    k: int | tuple[int, int],
    metric: str = ...,
    *,
    return_stats: Literal[True],
    **search: Unpack[Search],
) -> tuple[TopK, TopK, SearchStats]: ...
def topk_both(
    X: Any,
    Y: Any,
    k: int | tuple[int, int],
    metric: str = "euclidean",
    *,
    metric_kwargs: dict[str, Any] | None = None,
    exclude_self: bool = False,
    exclude: Any = None,
    mask: Any = None,
    bias: tuple[Any, Any] | None = None,
    dtype: Any = None,
    return_stats: bool = False,
    **control: Unpack[Control],
) -> tuple[TopK, TopK] | tuple[TopK, TopK, SearchStats]:
    """The best rows of Y for every row of X, and of X for every row of Y, from one pass over the scores.

    Parameters
    ----------
    X, Y : (..., m, d) and (..., n, d) numbers
    k : one number, or (k_rows, k_columns) with k_rows <= n and k_columns <= m
    other parameters : as in `topk`; exclude is per row of X, mask (n,) or (..., m, n); both hold in both directions

    Returns
    -------
    (TopK of the rows (..., m, k_rows), TopK of the columns (..., n, k_columns)), and `SearchStats` if return_stats.
    Each equals the `topk` of its direction to the bit. Cost: one `topk` rather than two.

    Examples
    --------
    >>> rows, columns = topk_both([[0.0], [5.0]], [[1.0], [4.0], [6.0]], k=1)
    >>> rows.indices.ravel(), columns.indices.ravel()
    (array([0, 1]), array([0, 1, 1]))
    """
    like, X, Y = X, _validate.gallery("X", X), _validate.gallery("Y", Y)
    directions, stats = select(
        ("X", X), ("Y", Y), _validate.both_neighbours(k, Y.shape[-2], X.shape[-2]),
        metric, metric_kwargs, Pairs(exclude_self, exclude, mask, bias), dtype, resolve(control),
    )  # fmt: skip
    rows, columns = (TopK(*direction) for direction in directions)
    return given_back(like, (rows, columns, stats) if return_stats else (rows, columns))


def within(
    queries: Any,
    gallery: Any,
    radius: Any,
    metric: str = "euclidean",
    *,
    metric_kwargs: dict[str, Any] | None = None,
    exclude_self: bool = False,
    exclude: Any = None,
    mask: Any = None,
    bias: tuple[Any, Any] | None = None,
    dtype: Any = None,
    **control: Unpack[Control],
) -> Within:
    """All gallery rows within a radius of every query, inclusive.

    Parameters
    ----------
    queries : (m, d) numbers
    gallery : (n, d) numbers
    radius : number or (m,): the largest canonical float64 distance that counts, bias included; for dot, the least
        similarity
    other parameters : as in `topk`

    Returns
    -------
    Within(indptr, indices, distances) : (m + 1,) int64, (r,) int64, (r,): row i has indices[indptr[i]:indptr[i+1]],
        ordered as in `topk`. Cost: one `topk`, and the result.

    Examples
    --------
    >>> within([[0.0]], [[2.0], [1.0], [5.0]], radius=2.0)
    Within(indptr=array([0, 2]), indices=array([1, 0]), distances=array([1., 2.]))
    """
    sides = ("queries", _validate.flat("queries", queries)), ("gallery", _validate.flat("gallery", gallery))
    found = search_within(
        *sides, radius, metric, metric_kwargs, Pairs(exclude_self, exclude, mask, bias), dtype, resolve(control)
    )
    return given_back(queries, found)


def ranks(
    queries: Any,
    gallery: Any,
    positives: Any,
    metric: str = "euclidean",
    *,
    ties: str = "index",
    metric_kwargs: dict[str, Any] | None = None,
    exclude_self: bool = False,
    exclude: Any = None,
    mask: Any = None,
    bias: tuple[Any, Any] | None = None,
    **control: Unpack[Control],
) -> Any:
    """The 1-based rank of given gallery rows in each query's order, by counting: no sort, no m x n.

    Parameters
    ----------
    queries : (m, d) numbers
    gallery : (n, d) numbers
    positives : (m,) gallery row per query, or CSR (indptr (m + 1,), indices (p,)) for several
    ties : "index", the position in `topk`'s order; "optimistic", before all of equal value; "pessimistic", after them;
        "mean" of the two
    other parameters : as in `topk`; a positive that is masked or excluded gets the rank that it would have

    Returns
    -------
    (m,), or (p,) for CSR, int64; float64 with ties="mean". Cost: one pass over the scores; one more reading of them for
    each further positive of a query.

    Examples
    --------
    >>> ranks([[0.0], [9.0]], [[2.0], [1.0], [5.0]], positives=[0, 0])
    array([2, 2])
    """
    sides = ("queries", _validate.flat("queries", queries)), ("gallery", _validate.flat("gallery", gallery))
    found = search_ranks(
        *sides, positives, metric, ties, metric_kwargs, Pairs(exclude_self, exclude, mask, bias), resolve(control)
    )
    return given_back(queries, found)


@overload
def logsumexp(
    X: Any, Y: Any = ..., metric: str = ..., *, beta: float = ..., bias: tuple[Any, Any] | None = ...,
    axis: Literal["rows", "columns"] = ..., metric_kwargs: dict[str, Any] | None = ..., **control: Unpack[Control],
) -> Any: ...  # fmt: skip
@overload
def logsumexp(
    X: Any, Y: Any = ..., metric: str = ..., *, axis: Literal["both"], beta: float = ...,
    bias: tuple[Any, Any] | None = ..., metric_kwargs: dict[str, Any] | None = ..., **control: Unpack[Control],
) -> LogSums: ...  # fmt: skip
def logsumexp(
    X: Any,
    Y: Any = None,
    metric: str = "cosine",
    *,
    beta: float = 1.0,
    bias: tuple[Any, Any] | None = None,
    axis: str = "rows",
    metric_kwargs: dict[str, Any] | None = None,
    **control: Unpack[Control],
) -> Any:
    """Logarithms of the sums of exp(beta * score) of every row, of every column, or of both from one pass.

    Parameters
    ----------
    X : (..., m, d) numbers; or ready scores (..., m, n) with metric="precomputed", stores being read in blocks
    Y : (..., n, d) numbers, leading axes broadcast against those of X; None with metric="precomputed"
    metric : as in `pairwise_distances`; scores are 1 - distance for cosine and correlation, inner products for dot, and
        -distance for the others; or "precomputed"
    beta : finite number above 0
    bias : (u, v), finite float64 (..., m) and (..., n), added to beta * score: v_j where rows are summed, u_i where
        columns are
    axis : "rows", "columns" or "both"
    metric_kwargs : as in `pairwise_distances`
    **control : see `Control`

    Returns
    -------
    rows (..., m) = log sum_j exp(beta s_ij + v_j), or columns (..., n) = log sum_i exp(beta s_ij + u_i), or both as
    LogSums(rows, columns); float64. Within beta E + (10 + log N) w of the exact value and a rounding of beta s and
    bias, E being the accuracy of `pairwise_distances` and w = 2**-24 where all inputs fit float32, else 2**-53; N terms
    in a sum. `kernels/softmax` has the bound in full.

    Raises
    ------
    ValueError, TypeError, BackendUnavailable : as in `pairwise_distances`

    Notes
    -----
    Cost: 2 m n d flops and m n exponentials for each axis; memory O(m + n), `max_bytes` beside it.
    Source: direct from the definition; running sums, Milakov and Gimelshein (2018).

    Examples
    --------
    >>> logsumexp([[0.0, 1.0]], [[0.0, 2.0], [3.0, 0.0]], beta=2.0)  # log(exp(2) + exp(0))
    array([2.12692801])
    """
    settled, beta, like = resolve(control), _validate.positive("beta", beta), X
    _validate.axis_name(axis)
    if _validate.ready_scores(X, Y, metric, metric_kwargs):
        X = _validate.matrix("X", X)
    else:
        X, Y = _validate.matrix("X", X), _validate.gallery("Y", Y)
    found = log_sums(X, Y, metric, metric_kwargs, beta, bias, axis, settled, control.get("precision") or "auto")
    return given_back(like, found if axis == "both" else found.rows if axis == "rows" else found.columns)


def transfer(
    E: Any,
    M: Any,
    bias: Any = None,
    *,
    which: Any = None,
    normalize: bool = False,
    out: Any = None,
    **control: Unpack[Control],
) -> Any:
    """Knowledge transfer by a matrix: rows e_j = M e_i (+ bias), of length 1 if wanted.

    Parameters
    ----------
    E : (..., n, d_in) numbers
    M : (..., d_out, d_in) numbers, leading axes broadcast against those of E
    bias : (..., d_out) numbers, broadcast like M
    which : (n,) whole numbers, for a ragged batch: row i is mapped by M[which[i]] (and bias[which[i]]); E is (n, d_in),
        M (g, d_out, d_in)
    normalize : divide each row of the result, the bias included, by its Euclidean length, while it is in a cache; a row
        of zeros stays
    out : as in `pairwise_distances`
    **control : see `Control`

    Returns
    -------
    (..., n, d_out) array of the type of E, float64 if E or M is float64 or an integer wider than 8 bits, else float32.
    With u the unit roundoff of that dtype and g = (d_in + 2) u / (1 - (d_in + 2) u), each entry is within
    w_r = g (sum_c |M_rc||e_c| + |bias_r|) of the exact value; with normalize, y being the exact row before it is
    divided, within (w_r + |w|) / |y| + u + (d_out + 4) 2**-53. Lengths neither overflow nor vanish; a row with entries
    that do not fit the dtype before it is divided becomes NaN.

    Raises
    ------
    ValueError, TypeError, BackendUnavailable : as in `pairwise_distances`

    Notes
    -----
    Cost: 2 n d_in d_out flops; `max_bytes` beside inputs and result.
    Source: direct from the definition; bound: Higham (2002), section 3.1.

    Examples
    --------
    >>> transfer([[1.0, 2.0]], [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    array([[2., 1., 3.]])
    >>> transfer([[3.0, 4.0]], [[1.0, 0.0], [0.0, 1.0]], normalize=True)
    array([[0.6, 0.8]])
    """
    settled, normalize, like = resolve(control), _validate.flag("normalize", normalize), E
    E, M, bias, which = _validate.maps(E, M, bias, which, settled.check_finite)
    lead = E.shape[:-2] if which is not None else _validate.batch("E", E, "M", M)
    found = _validate.output_dtype(None, E, M)
    result = _validate.output(out, (*lead, E.shape[-2], M.shape[-2]), found, E=E, M=M, bias=bias)
    with running(settled, "mapping") as tick:
        for at in np.ndindex(lead):
            e = Rows("E", part(E, lead, at), settled.check_finite)
            m = M if which is not None else part(M, lead, at)
            added = bias if bias is None or which is not None else bias[at]
            keywords = {"max_bytes": settled.max_bytes, "precision": control.get("precision") or "auto", "tick": tick}
            run("transfer", settled, e, m, added, which, normalize=normalize, out=result[at], **keywords)
    return given_back(like, result) if out is None else out
