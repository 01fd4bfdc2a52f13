"""`compat.ot` against plain iterations in float64, and beside POT where that is installed."""

import warnings

import numpy as np
import pytest

from crossmodal_fast import config_context
from crossmodal_fast.compat import ot as ours
from crossmodal_fast.compat import patch
from imported_peers import parameters, peer_or_none

PEER = peer_or_none("ot")
needs_peer = pytest.mark.skipif(PEER is None, reason="ot is not installed")
RANDOM = np.random.default_rng(19)
M = RANDOM.random((8, 6))
A, B = (weights / weights.sum() for weights in (RANDOM.random(8) + 0.1, RANDOM.random(6) + 0.1))


@pytest.fixture(autouse=True)
def numpy_backend():
    with config_context(backend="numpy"):
        yield


def iterated(a, b, costs, reg):
    kernel, v = np.exp(-costs / reg), np.ones(len(b))
    for _ in range(5000):
        u = a / (kernel @ v)
        v = b / (kernel.T @ u)
    return u[:, None] * kernel * v


@pytest.mark.parametrize("method", ours.METHODS)
@pytest.mark.parametrize("reg", [1.0, 0.1])
def test_the_plan(method, reg):
    plan = ours.sinkhorn(A, B, M, reg, method)
    np.testing.assert_allclose(plan, iterated(A, B, M, reg), atol=1e-8)
    assert np.abs(plan.sum(1) - A).sum() <= 1e-9
    np.testing.assert_allclose(plan.sum(0), B, rtol=1e-12)
    if PEER:
        np.testing.assert_allclose(plan, PEER.sinkhorn(A, B, M, reg, method), atol=1e-8)


def test_uniform_weights_lists_and_dtypes():
    plan = ours.sinkhorn([], [], M.tolist(), 1)
    np.testing.assert_allclose(plan.sum(1), 1 / 8, rtol=1e-8)
    narrow = ours.sinkhorn(A.astype(np.float32), B.astype(np.float32), M.astype(np.float32), 1.0)
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, ours.sinkhorn(A, B, M, 1.0), rtol=1e-5)


def test_weights_of_zero():
    a, b = A.copy(), B.copy()
    a[2], b[3] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    plan = ours.sinkhorn(a, b, M, 0.5)
    assert (plan[2] == 0).all()
    assert (plan[:, 3] == 0).all()
    np.testing.assert_allclose(plan, iterated(a, b, M, 0.5), atol=1e-8)


def test_the_log():
    plan, log = ours.sinkhorn(A, B, M, 0.5, log=True)
    np.testing.assert_allclose(log["u"][:, None] * np.exp(-M / 0.5) * log["v"], plan, rtol=1e-12)
    np.testing.assert_allclose(np.exp(log["log_u"]), log["u"])
    assert log["err"][-1] <= 1e-9
    assert 0 < log["niter"] < 1000


def test_a_small_regularisation_does_not_overflow():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = ours.sinkhorn([0.5, 0.5], [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], 1e-4)
    np.testing.assert_array_equal(plan, [[0.5, 0], [0, 0.5]])


def test_too_few_iterations_are_said():
    with pytest.warns(UserWarning, match="Sinkhorn did not converge"):
        ours.sinkhorn(A, B, M, 0.01, numItermax=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.sinkhorn(A, B, M, 0.01, numItermax=2, warn=False)


REFUSED = [
    (lambda: ours.sinkhorn(A, B, M, -1), "reg must be"),
    (lambda: ours.sinkhorn(A[:3], B, M, 1), "a must be 8 numbers of at least 0, of a sum above 0, got shape (3,)"),
    (lambda: ours.sinkhorn(-A, B, M, 1), "a must be 8 numbers of at least 0"),
    (lambda: ours.sinkhorn(A, B * np.nan, M, 1), "b must be 6 numbers of at least 0"),
    (lambda: ours.sinkhorn(A, B, M[0], 1), "M must have shape"),
    (lambda: ours.sinkhorn(A, B, M, 1, numItermax=0), "numItermax must be at least 1"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_is_refused(call, sentence):
    with pytest.raises(ValueError, match=r".") as caught:
        call()
    assert sentence in str(caught.value)


PASSED_ON = [
    {"method": "greenkhorn"},
    {"method": "sinkhorn_epsilon_scaling"},
    {"b": np.column_stack([B, B[::-1]])},
    {"b": 2 * B},
    {"M": np.where(M > 0.9, np.inf, M)},
    {"warmstart": (np.zeros(8), np.zeros(6))},
]


@needs_peer
@pytest.mark.parametrize("given", PASSED_ON)
@pytest.mark.filterwarnings("ignore:Sinkhorn did not")
def test_what_is_left_to_pot(given):
    given = {"a": A, "b": B, "M": M, "reg": 0.5, **given}
    np.testing.assert_array_equal(ours.sinkhorn(**given), PEER.sinkhorn(**given))


@pytest.mark.skipif(PEER is not None, reason="ot is installed")
@pytest.mark.parametrize("given", PASSED_ON)
def test_what_is_left_to_an_absent_pot(given):
    with pytest.raises(ModuleNotFoundError, match="with these arguments is left to POT, which is not installed"):
        ours.sinkhorn(**{"a": A, "b": B, "M": M, "reg": 0.5, **given})


@needs_peer
def test_patched():
    before = PEER.sinkhorn
    with patch("ot") as names:
        assert sorted(names) == ["ot.bregman.sinkhorn", "ot.sinkhorn"]
        np.testing.assert_allclose(PEER.sinkhorn(A, B, M, 0.5), before(A, B, M, 0.5), atol=1e-8)
        np.testing.assert_array_equal(PEER.sinkhorn(A, B, M, 0.5, "greenkhorn"), before(A, B, M, 0.5, "greenkhorn"))
    assert PEER.sinkhorn is before


@needs_peer
def test_signature():
    assert parameters(ours.sinkhorn) == parameters(PEER.sinkhorn)
