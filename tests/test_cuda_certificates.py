"""Certificates of the CUDA scan fail closed: a kernel that bounds too little makes an answer wrong that is right.

On the emulator, with tensor cores at their worst. What of bounds.cuh is made too small is so in every kernel.
"""

import contextlib
from unittest import mock

import numpy as np
import pytest

import crossmodal_fast as cmf
import simt
from crossmodal_fast import _dispatch
from crossmodal_fast.kernels.ranks import reference as ranks_law
from crossmodal_fast.kernels.tiles.cuda import driver as drivers
from crossmodal_fast.kernels.topk import reference as law
from crossmodal_fast.kernels.within import reference as within_law
from tensor_cores import TensorCores
from test_near_ties import shell

pytestmark = [pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle())), pytest.mark.heavy]
SHARED = '#include "bounds.cuh"'


def planted(file, *changes):
    """Kernels with texts in the place of others, in their own file or in the one that they share."""
    text = (simt.CUDA / file).read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, f"{file} must hold {old!r} once"
        text = text.replace(old, new)
    if file.endswith(".cu"):
        return {file.removesuffix(".cu"): text}
    whole = {source.stem: source.read_text(encoding="utf-8") for source in simt.CUDA.glob("*.cu")}
    text = text.replace("#pragma once", "")
    return {name: source.replace(SHARED, text) for name, source in whole.items() if SHARED in source}


@contextlib.contextmanager
def device(kernels):
    driver = TensorCores()
    driver.planted = kernels
    with mock.patch.object(_dispatch, "LIBRARY", {"numba": "numba"}), drivers.replaced(driver):
        yield


def differing(x, y, metric, bias=None):
    """The operations whose answers are not the law's, at the nearest neighbour."""
    value, index = law.topk(x, y, 1, metric, bias=bias)
    columns = law.topk_both(x, y, 1, 1, metric, bias=bias)[1][1]
    radius, control = value[:, 0], {"bias": bias, "backend": "cuda"}
    both = cmf.topk_both(x, y, (1, 1), metric, **control)
    found = {
        "topk": (cmf.topk(x, y, 1, metric, **control).indices, index),
        "topk_both": (np.concatenate([side.indices for side in both]), np.concatenate([index, columns])),
        "within": (
            cmf.within(x, y, radius, metric, **control).indices, within_law.within(x, y, radius, metric, bias=bias)[1]
        ),
        "ranks": (
            cmf.ranks(x, y, index[:, 0], metric, **control),
            ranks_law.ranks(x, y, np.arange(len(x)), index[:, 0], "index", metric, bias=bias),
        ),
    }  # fmt: skip
    return {name for name, (answer, lawful) in found.items() if not np.array_equal(answer, lawful)}


def one_code_each(d=64):
    """A query whose codes leave out half of their last place, all above them, and rows that are codes along it."""
    left = 3.984375
    x = np.where(np.arange(d) % 2, 9000.0, -9000.0)
    x[0] -= 8 * np.floor(left * d / 8)  # what they leave out adds up to a little more than the codes lack
    x += left
    return x.astype(np.float32)[None], np.stack([-np.ones(d), np.ones(d)]).astype(np.float32), "dot"


def other_way_round():
    x, y, metric = one_code_each()
    return y[1:], np.concatenate([x, -x]), metric


def cut_off(d=1024):
    """Rows that are codes, whose products are cut off behind the first; the last features take away the first, and the
    sum of what was cut off but for a little."""
    x, y = np.full(d, 4.0), np.full(d, 4 - 2.0**-9)
    x[0] = y[0] = y[-1] = 8192
    x[-1] = -8192
    lost = (d - 34) * x[1] * y[1]
    x[-33:-1], y[-33:-1] = -64, np.floor(lost / 32 / 64 * 8) / 8
    return x.astype(np.float32)[None], np.stack([-y, y]).astype(np.float32), "dot"


def half_way():
    """Codes again. The score of the first row is rounded down by half of its last place, that of the second is not; the
    biases leave the first the better by a little."""
    x = np.zeros((1, 8))
    x[0, :2] = 8192, 128
    y = np.zeros((2, 8))
    y[0, :2], y[1, :2] = (8192, 256), (8192, 0)
    return x.astype(np.float32), y.astype(np.float32), "dot", (np.zeros(1), np.array([0.0, 2.0**15 - 1]))


def afar(seed=6, d=4):
    """A query so far away that canonical values are equal where keys are not: the first of equal ones is wanted."""
    rng = np.random.default_rng(seed)
    x = np.zeros((1, d))
    x[0, 0] = 2.0**50
    y = rng.standard_normal((300, d))
    y[:, 0] = 1 + 2.0**-5 * rng.random(300)
    return x, np.concatenate([y, -y]), "sqeuclidean"


def turned(attack):
    """The same rows with the sides changed: the columns among the rows of the gallery."""

    def columns():
        x, y, *rest = attack()
        return y, x, *rest

    columns.__name__ = f"columns_of_{attack.__name__}"
    return columns


def around():
    """Rows at nearly one distance around each of three queries."""
    return *shell(3, 100, 24, 1e-3, np.float32), "sqeuclidean"


COLUMNS_OF_ONE_CODE, COLUMNS_AROUND = turned(one_code_each), turned(around)
ALL = {"topk", "topk_both", "within", "ranks"}
REST = "to_float_up(__dsqrt_rn(rest_squares) * units)"
CODE = "const double code = widen(code_norm[i]) * ROOM;"
FAULTS = {  # what is too small -> the search, the operations that it spoils, the file, what becomes what
    "half of what the codes of a query leave out": (
        one_code_each, ALL, "prepare.cu", (REST, REST.replace("units", "units * 0.5")),
    ),
    "half of what the codes of the gallery leave out": (
        other_way_round, ALL, "prepare.cu", (REST, REST.replace("units", "units * 0.5")),
    ),
    "half the length of a row of the gallery": (
        one_code_each, ALL, "bound.cu", ("to_float_up(length * scale * ROOM)", "to_float_up(length * scale * 0.5)"),
    ),
    "half the length of the codes of a query": (other_way_round, ALL, "bound.cu", (CODE, CODE.replace("ROOM", "0.5"))),
    "nothing for the sums of tensor cores": (
        cut_off, ALL, "bound.cu", ("loss * widen(code_norm[i])", "0 * widen(code_norm[i])"),
    ),
    "nothing for the rounding of a score": (
        half_way, {"topk", "within"}, "bounds.cuh",
        ("? 0x1.004p-11f : 0", "? 0x1p-30f : 0"), ("? 0x1.01p-10f : 0", "? 0x1p-30f : 0"),
    ),
    "a lower bound one margin below the upper": (
        one_code_each, {"topk", "topk_both", "ranks"}, "bounds.cuh", ("2.000001f * margin", "1.000001f * margin"),
    ),
    "nothing for what float64 loses of a query": (
        afar, {"topk"}, "bound.cu", ("apart *= 4 * (d + 16) * 0x1p-53;", "apart *= 0;"),
    ),
    "a goal without its interval": (
        afar, {"ranks"}, "goal.cu", ("widen(slack[i]) + ROUNDINGS * parts;", "0 * parts;"),
    ),
    "the unit of a score off by a hundredth": (
        around, {"topk"}, "bound.cu", ("to_float_up(scale * score_unit)", "to_float_up(scale * score_unit * 1.01)"),
    ),
    "half the offset of a row of the gallery": (
        around, {"topk"}, "bound.cu",
        ("scale * power_of_two(2 * CODE_BITS - 1)", "scale * power_of_two(2 * CODE_BITS - 2)"),
    ),
    "a lower bound of a column one margin below the upper": (
        COLUMNS_OF_ONE_CODE, {"topk_both"}, "bounds.cuh",
        ("low = reached - x.w * below(upper, x, y)", "low = reached - 0.5f * x.w * below(upper, x, y)"),
    ),
    "half the offset of a row where columns are compared": (
        COLUMNS_AROUND, {"topk_both"}, "bound.cu",
        ("square[i] * q * q * units", "square[i] * q * q * units / 2"),
    ),
    "the scale of a row off by a hundredth where columns are compared": (
        COLUMNS_AROUND, {"topk_both"}, "bound.cu", ("made[p].w = to_float(q)", "made[p].w = to_float(1.01 * q)"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", sorted({fault[0] for fault in FAULTS.values()}, key=str), ids=lambda it: it.__name__)
def test_without_a_fault_the_answers_are_the_law(attack):
    with device({}):
        assert differing(*attack()) == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bound_that_is_too_small_is_caught(fault):
    attack, spoiled, *texts = FAULTS[fault]
    with device(planted(*texts)):
        assert differing(*attack()) >= spoiled
