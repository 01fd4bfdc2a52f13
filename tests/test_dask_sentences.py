"""What `crossmodal_fast.dask` refuses, at once where shapes and dtypes tell, else when it is computed."""

import numpy as np
import pytest

pytest.importorskip("dask.array", reason="Dask is not installed")

import dask
import dask.array as da

from crossmodal_fast import dask as cmd

LINE, TABLE = da.ones((6,)), da.ones((6, 5), chunks=(2, 5))
UNKNOWN = TABLE[da.from_array(np.arange(6) > 1, chunks=2)]
CUBE = np.ones((2, 3, 5))


@pytest.fixture(autouse=True)
def here():
    with dask.config.set(scheduler="synchronous"):
        yield


def topk(queries=TABLE, gallery=TABLE, k=1, metric="euclidean", **search):
    return cmd.topk(queries, gallery, k, metric, **search).indices


REFUSED = [
    (
        lambda: topk(np.ones((2, 5))),
        r"queries must be a dask array, got numpy.ndarray; dask.array.from_array\(queries,",
    ),
    (lambda: topk(TABLE, UNKNOWN), "gallery must have known chunk sizes, got shape .*; compute_chunk_sizes"),
    (lambda: topk(LINE), r"queries must have shape \(..., rows, features\), got \(6,\)"),
    (lambda: topk(TABLE, da.ones((2, 6, 5))), r"gallery must have shape \(rows, features\), got \(2, 6, 5\)"),
    (lambda: topk(TABLE, da.ones((0, 5))), "gallery must have at least one row"),
    (lambda: cmd.topk_both(TABLE, da.ones((0, 5)), 1), "Y must have at least one row"),
    (lambda: cmd.topk_both(da.ones((0, 5)), TABLE, 1), "X must have at least one row"),
    (lambda: topk(TABLE, TABLE.astype(complex)), "gallery must be bool, integer, .* got dtype complex128"),
    (lambda: topk(TABLE, da.ones((6, 4))), "queries and gallery must have the same number of features, got 5 and 4"),
    (lambda: topk(k=7), r"k must be in 1..6 \(the rows of gallery\), got 7"),
    (lambda: topk(metric="near"), "metric must be one of"),
    (lambda: topk(metric="seuclidean"), "metric_kwargs must give V for metric='seuclidean' of dask arrays, got None"),
    (
        lambda: topk(progress=True),
        "progress must be False with dask arrays, got True; dask.diagnostics and the dashboard",
    ),
    (lambda: topk(max_bytes=0), "max_bytes must be a whole number of bytes above 0"),
    (lambda: topk(bias=da.ones((2, 6))), "bias must be a pair"),
    (lambda: topk(bias=(LINE.compute(), None)), r"bias\[1\] must be numbers, got dtype object"),
    (lambda: topk(bias=(LINE, da.ones(5))), r"bias\[1\] must have shape \(6,\), got \(5,\)"),
    (lambda: topk(bias=(np.ones(5), LINE)), r"bias\[0\] must have shape \(6,\), got \(5,\)"),
    (lambda: topk(bias=(LINE * np.nan, LINE)).compute(), r"bias\[0\] must be finite, got nan"),
    (lambda: topk(exclude=da.full(6, 9)).compute(), r"exclude must be -1 \(none\) or a gallery row in 0..5, got 9"),
    (lambda: topk(exclude=[9] * 6), r"exclude must be -1 \(none\) or a gallery row in 0..5, got 9"),
    (lambda: topk(exclude=[0] * 6, exclude_self=True), "exclude_self must be False where exclude is given"),
    (lambda: topk(mask=da.ones((5, 6), dtype=bool)), r"mask must have shape \(6, 6\), got \(5, 6\)"),
    (lambda: topk(mask=LINE).compute(), "mask must be bool, got dtype float64"),
    (lambda: cmd.within(TABLE, TABLE, np.nan), "radius must be a number, got nan for query 0"),
    (lambda: cmd.ranks(TABLE, TABLE, [9] * 6), "positives must be gallery rows in 0..5, got 9"),
    (lambda: cmd.ranks(TABLE, TABLE, [0] * 6, ties="first"), "ties must be one of"),
    (
        lambda: cmd.transfer(TABLE, CUBE),
        r"M must have shape \(d_out, d_in\), got \(2, 3, 5\); dask arrays are no batches, which= maps by row",
    ),
    (lambda: cmd.transfer(TABLE, np.ones((3, 4))), "E and M must agree in d_in"),
    (
        lambda: cmd.transfer(TABLE, CUBE, which=LINE.astype(int) * 2).compute(),
        "which must name a matrix in 0..1, got 2",
    ),
    (
        lambda: cmd.fit_transfer(TABLE, da.ones((5, 5))),
        "A and B must have as many rows, row i of A paired with row i of B, got 6 and 5",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_refused(call, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        call()
