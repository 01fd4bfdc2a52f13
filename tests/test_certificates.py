"""Certificates fail closed: any number in a bound of Numba's scan, made too small, makes an answer wrong that is right.

What NumPy's scan leans on is in `faults.py` and test_bounds_float.py, CUDA's in test_cuda_certificates.py. The searches
are made for it: rows whose errors are as large as the bound allows for, so that no luck is left for a bound that is
smaller.
"""

from functools import partial
from unittest import mock

import numpy as np
import pytest

import crossmodal_fast as cmf
import test_near
from crossmodal_fast.kernels.ranks import reference as ranks_law
from crossmodal_fast.kernels.tiles import nearness, sides
from crossmodal_fast.kernels.topk import reference as law
from crossmodal_fast.kernels.within import reference as within_law
from test_bounds_numba import far_from_the_origin, rounded_against_it
from test_near_ties import shell

WHOLE_CODES = ("int6", "int7", "int8", "int16")


def differing(x, y, metric, precision, bias=None):
    """The operations whose answers on Numba are not the law's, at the nearest neighbour."""
    control = {"bias": bias, "backend": "numba", "precision": precision, "n_threads": 1}
    value, index = law.topk(x, y, 1, metric, bias=bias)
    columns = law.topk_both(x, y, 1, 1, metric, bias=bias)[1]
    radius, at = value[:, 0], np.arange(len(x))
    both = cmf.topk_both(x, y, (1, 1), metric, **control)
    found = {
        "topk": (cmf.topk(x, y, 1, metric, **control).indices, index),
        "topk_both": (np.concatenate([side.indices for side in both]), np.concatenate([index, columns[1]])),
        "within": (
            cmf.within(x, y, radius, metric, **control).indices, within_law.within(x, y, radius, metric, bias=bias)[1]
        ),
        "ranks": (
            cmf.ranks(x, y, index[:, 0], metric, **control),
            ranks_law.ranks(x, y, at, index[:, 0], "index", metric, bias=bias),
        ),
    }  # fmt: skip
    return {name for name, (answer, lawful) in found.items() if not np.array_equal(answer, lawful)}


def query_against(precision):
    """The roundings of a query along rows that codes hold."""
    return *rounded_against_it(precision, 16 if precision == "int16" else 64), "dot", precision


def gallery_against(precision):
    """The other way round: two rows whose roundings point along the query and against it."""
    x, y, *how = query_against(precision)
    return y[1:], np.concatenate([x, -x]), *how


def circle(centre=(20000, 15000), square=5 * 13 * 17 * 29 * 37 * 41, room=40):
    """A whole point, and whole points around it whose squared distances differ by a few of millions: codes hold them,
    float32 holds neither their totals nor their offsets. As many lie on the other side of the origin, so that nothing
    is subtracted."""
    reach = int(square**0.5) + 2
    across = np.arange(-reach, reach + 1)
    up = np.rint(np.sqrt(np.maximum(0, square - across**2))).astype(np.int64)
    points = np.concatenate([np.stack([across, sign * up], axis=1) for sign in (-1, 1)])
    points = points[np.abs((points**2).sum(axis=1) - square) <= room] + np.array(centre)
    return np.array([centre]), np.concatenate([points, -points]), "sqeuclidean", "int16"


def sphere(seed=5, d=8):
    """Queries all around one row, as far from it as float32 has it, and a gallery of that row alone, the centre."""
    rng = np.random.default_rng(seed)
    row = rng.standard_normal(d).astype(np.float32)
    way = rng.standard_normal((500, d))
    x = row + 7 * way / np.sqrt((way**2).sum(axis=1, keepdims=True))
    return x.astype(np.float32), np.tile(row, (3, 1)), "sqeuclidean", "int16"


def afar(seed=6, d=4):
    """A query so far away that canonical values are equal where keys are not: the first of equal ones is wanted."""
    rng = np.random.default_rng(seed)
    x = np.zeros((1, d))
    x[0, 0] = 2.0**35.9
    y = rng.standard_normal((300, d))
    y[:, 0] = 1 + 2.0**-19 * rng.random(300)
    return x, np.concatenate([y, -y]), "sqeuclidean", "float64"


def around():
    """Rows at nearly one distance around each of three queries."""
    return *shell(3, 100, 24, 1e-4, np.float32), "sqeuclidean", "int16"


def cancelled():
    """A query in the centre of the gallery, and biases that take away the squares of its distances."""
    rng, x, y = far_from_the_origin(5)
    bias = np.zeros(1), 1e-9 * rng.standard_normal(len(y)) - ((x.astype(np.float64) - y) ** 2).sum(axis=1)
    return x, y, "sqeuclidean", "int16", bias


def patched(name, change):
    """`sides.<name>` whose side is changed."""
    plain = getattr(sides, name)

    def made(*given, **more):
        found = plain(*given, **more)
        return found._replace(side=change(found.side))

    return mock.patch.object(sides, name, made)


def less(column, share):
    """A part of the margin times a share."""

    def change(side):
        margin = side.margin.copy()
        margin[:, column] *= margin.dtype.type(share)
        return side._replace(margin=margin)

    return change


def scaled(side):
    """One column in two with a step that is too long by a thousandth."""
    scale = side.scale.copy()
    scale[1::2] *= 1 + 2.0**-10
    return side._replace(scale=scale)


def of_codes(name, side, column, attack):
    return {
        f"{name} ({precision})": (partial(patched, side, less(column, 0.5)), partial(attack, precision),
                                  {"topk", "ranks"})
        for precision in WHOLE_CODES
    }  # fmt: skip


FAULTS = {  # what is too small -> how it is made so, the search, the operations that it spoils
    **of_codes("half of what the codes of a query leave out", "queries", 0, query_against),
    **of_codes("half the length of a row of the gallery", "columns", 0, query_against),
    **of_codes("half of what the codes of the gallery leave out", "columns", 1, gallery_against),
    **of_codes("half the length of a query", "queries", 1, gallery_against),
    "nothing for the roundings of a score": (
        lambda: mock.patch.dict(sides.SLACK, {np.float32: 0.0}), circle, {"topk"},
    ),
    "nothing for the roundings of an offset": (partial(patched, "columns", less(2, 0.0)), cancelled, {"topk", "ranks"}),
    "nothing for what float64 loses of a query": (partial(patched, "queries", less(2, 0.0)), afar, {"topk"}),
    "nothing for any step in float64": (lambda: mock.patch.object(sides, "growth", return_value=0.0), afar, {"topk"}),
    "nothing for a centre in float32": (
        lambda: mock.patch.object(sides, "CENTRED", 0.0), sphere, {"within", "ranks"},
    ),
    "the step of a code off by a thousandth": (partial(patched, "columns", scaled), around, {"topk"}),
}  # fmt: skip


SELDOM = [fault for fault in FAULTS if "int6" in fault or "int7" in fault]


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=pytest.mark.heavy) if fault in SELDOM else fault for fault in FAULTS]
)
def test_a_bound_that_is_too_small_is_caught(fault):
    plant, attack, spoiled = FAULTS[fault]
    assert differing(*attack()) == set()
    with plant():
        assert differing(*attack()) >= spoiled


@pytest.mark.parametrize("name", ["minkowski-3", "jensenshannon"])
def test_near_values_without_their_error_are_caught(name):
    x, y = test_near.permuted(4, 300, 10)
    with mock.patch.object(nearness, "error", return_value=(0.0, 0.0)), pytest.raises(AssertionError):
        test_near.as_numpy_says(x, y, 150, name)
