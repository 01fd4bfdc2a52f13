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

pytestmark = [pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle())), pytest.mark.heavy]
SHARED = '#include "bounds.cuh"'


def planted(file, old, new):
    """Kernels with a text in the place of another, in their own file or in the one that they share."""
    text = (simt.CUDA / file).read_text(encoding="utf-8")
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
    x = np.where(np.arange(d) % 2, 9000.0, -9000.0)
    x[0] += -8 * np.rint(3.984375 * d / 8) - 8  # what they leave out adds up to a little more than the codes lack
    x += 3.984375
    x[1] += -np.floor(x.sum()) + (0 if x.sum() % 1 else 0.0)
    return x.astype(np.float32)[None], np.stack([-np.ones(d), np.ones(d)]).astype(np.float32)


if __name__ == "__main__":
    x, y = one_code_each()
    print(x.sum(), (x @ y.T))
    rest = "to_float_up(__dsqrt_rn(rest_squares) * units)"
    with device({}):
        print(differing(x, y, "dot"), differing(y[1:], np.concatenate([x, -x]), "dot"))
    with device(planted("prepare.cu", rest, rest.replace("rest_squares)", "rest_squares) * 0.5"))):
        print(differing(x, y, "dot"), differing(y[1:], np.concatenate([x, -x]), "dot"))
