"""`topk` of whatever holds the numbers: order in memory, byte order, read-only, mapped files, lists, other stores."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import arrays
from crossmodal_fast.kernels.topk import reference as law
from grids import thinned
from stores import Store


class Own(np.ndarray):
    """A subclass that adds nothing."""


def spread(rows):
    wide = np.full((2 * rows.shape[0], 3 * rows.shape[1]), np.nan, rows.dtype)
    wide[::2, ::3] = rows
    return wide[::2, ::3]


def read_only(rows):
    rows = rows.copy()
    rows.flags.writeable = False
    return rows


def misaligned(rows):
    raw = np.zeros(rows.nbytes + 1, np.uint8)
    view = raw[1:].view(rows.dtype).reshape(rows.shape)
    view[...] = rows
    assert not view.flags.aligned
    return view


LAYOUTS = {
    "fortran": np.asfortranarray,
    "spread": spread,
    "reversed-rows": lambda rows: rows[::-1].copy()[::-1],
    "reversed-features": lambda rows: rows[:, ::-1].copy()[:, ::-1],
    "byte-swapped": lambda rows: rows.astype(rows.dtype.newbyteorder(">")),
    "read-only": read_only,
    "misaligned": misaligned,
    "list": lambda rows: rows.astype(np.float64).tolist(),
    "broadcast": lambda rows: np.broadcast_to(rows, (1, *rows.shape))[0],
    "store": Store,
    "subclass": lambda rows: rows.view(Own),
}


@pytest.mark.parametrize(
    ("layout", "name", "metric"),
    thinned(3, LAYOUTS, ["normal-9x31x8", "integers-float64"], ["euclidean", "cosine", "dot", "cityblock"]),
)
def test_layout_does_not_matter(layout, name, metric, backend):
    x, y = arrays(name)
    expected = law.topk(x, y, 6, metric)
    change = LAYOUTS[layout]
    for queries, gallery in ((change(x), y), (x, change(y)), (change(x), change(y))):
        answer = cmf.topk(queries, gallery, 6, metric, dtype=x.dtype, backend=backend)
        judge.same_bits(answer, expected, x.dtype)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "i1"])
def test_mapped_files(dtype, tmp_path, backend):
    x, y = arrays("integers-float64")
    for name, rows in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", rows.astype(dtype))
    x_map, y_map = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
    out = np.float64 if dtype == "<f8" else np.float32
    judge.same_bits(cmf.topk(x_map, y_map, 6, backend=backend), law.topk(x, y, 6), out)
    raw = np.memmap(tmp_path / "raw", np.dtype(dtype), "w+", shape=y.shape)
    raw[:] = y
    judge.same_bits(cmf.topk(x_map, raw, 6, "dot", backend=backend), law.topk(x, y, 6, "dot"), out)


def test_inputs_are_left_as_they_were(backend):
    x, y = arrays("mixed-scales-float32")
    before = x.copy(), y.copy()
    for metric in ("euclidean", "cosine", "correlation", "dot", "hellinger"):
        cmf.topk(np.abs(x), np.abs(y), 3, metric, backend=backend)
        cmf.topk(x, y, 3, "euclidean" if metric == "hellinger" else metric, backend=backend)
        cmf.pairwise_distances(x, y, "euclidean" if metric == "hellinger" else metric, backend=backend)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


@pytest.mark.parametrize("change", [np.asfortranarray, spread, lambda mask: mask.tolist(), read_only])
def test_layout_of_the_mask_does_not_matter(change, backend):
    x, y = arrays("normal-9x31x8")
    mask = np.random.default_rng(3).random((9, 31)) < 0.5
    if change is spread:
        wide = np.ones((18, 93), bool)
        wide[::2, ::3] = mask
        changed = wide[::2, ::3]
    else:
        changed = change(mask)
    judge.same_bits(cmf.topk(x, y, 4, mask=changed, backend=backend), law.topk(x, y, 4, mask=mask), np.float32)
