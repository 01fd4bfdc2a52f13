"""`compat.torch` against NumPy, and on tensors beside torch where that is installed."""

import numpy as np
import pytest

from crossmodal_fast import config_context
from crossmodal_fast.compat import patch
from crossmodal_fast.compat import torch as ours
from imported_peers import parameters, peer_or_none

torch = peer_or_none("torch")
needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
RANDOM = np.random.default_rng(16)
X, Y = RANDOM.standard_normal((2, 9, 5)), RANDOM.standard_normal((2, 31, 5))


@pytest.fixture(autouse=True)
def numpy_backend():
    with config_context(backend="numpy"):
        yield


def norms(x, y, p):
    gaps = np.abs(x[..., :, None, :] - y[..., None, :, :])
    if p == 0:
        return (gaps > 0).sum(-1).astype(float)
    return gaps.max(-1) if p == np.inf else (gaps**p).sum(-1) ** (1 / p)


@pytest.mark.parametrize("p", [0, 0.5, 1, 2, 2.0, 3, np.inf])
def test_distances(p):
    x, y = X.copy(), Y.copy()
    x[0, :3] = np.round(x[0, :3])
    y[0, :9] = np.round(y[0, :9])
    expected = norms(x, y, p)
    np.testing.assert_allclose(ours.cdist(x, y, p=p), expected, rtol=1e-12)
    np.testing.assert_allclose(ours.cdist(x[0], y, p), norms(x[:1], y, p), rtol=1e-12)
    if torch:
        theirs = torch.cdist(torch.from_numpy(x), torch.from_numpy(y), p=p)
        found = ours.cdist(torch.from_numpy(x), torch.from_numpy(y), p=p)
        assert (type(found), found.dtype, found.shape) == (type(theirs), theirs.dtype, theirs.shape)
        np.testing.assert_allclose(found.numpy(), theirs.numpy(), rtol=1e-6)


@pytest.mark.parametrize("p", [1, 2, 3, np.inf])
def test_nearest(p):
    values, indices = ours.cdist_topk(X, Y, 4, p)
    expected = norms(X, Y, p)
    np.testing.assert_array_equal(indices, np.argsort(expected, axis=-1)[..., :4])
    np.testing.assert_allclose(values, np.sort(expected, axis=-1)[..., :4], rtol=1e-12)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int8"])
def test_products(largest, dtype):
    x, other = (16 * X).astype(dtype), (16 * Y).astype(dtype).swapaxes(-1, -2)
    products = x.astype(float) @ other.astype(float)
    found = ours.matmul_topk(x, other, 4, largest=largest)
    order = np.argsort(-products if largest else products, axis=-1, kind="stable")[..., :4]
    np.testing.assert_allclose(found.values, np.take_along_axis(products, order, -1), rtol=1e-6)
    np.testing.assert_array_equal(
        np.take_along_axis(products, found.indices, -1), np.take_along_axis(products, order, -1)
    )
    assert found.indices.dtype == np.int64


@needs_torch
@pytest.mark.parametrize("largest", [True, False])
def test_products_of_tensors(largest):
    x, other = torch.from_numpy(X), torch.from_numpy(Y).mT
    expected = torch.topk(x @ other, 4, largest=largest)
    found = ours.matmul_topk(x, other, 4, largest)
    assert torch.equal(found.indices, expected.indices)
    torch.testing.assert_close(found.values, expected.values)


@needs_torch
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtypes_stay(dtype):
    kind = getattr(torch, dtype)
    x, y = torch.from_numpy(X).to(kind), torch.from_numpy(Y).to(kind)
    assert ours.cdist(x, y).dtype == kind
    assert ours.cdist_topk(x, y, 2).values.dtype == kind
    assert ours.matmul_topk(x, y.mT, 2).values.dtype == kind
    torch.testing.assert_close(ours.cdist(x, y), torch.cdist(x.float(), y.float()).to(kind))


@needs_torch
def test_gradients_and_what_is_empty_are_left_to_torch():
    x, y = torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y)
    ours.cdist(x, y).sum().backward()
    assert x.grad.shape == x.shape
    assert ours.cdist(y[:, :0], y).shape == (2, 0, 31)
    with pytest.raises(TypeError, match="must not require gradients"):
        ours.matmul_topk(x, y.mT, 2)


@needs_torch
def test_patched():
    before, x = torch.cdist, torch.tensor([[1e8, 0.0]]).repeat(30, 1).double()
    with patch("torch") as names:
        assert sorted(names) == ["torch.cdist", "torch.functional.cdist"]
        assert torch.cdist is ours.cdist
        assert torch.cdist(x, x + torch.tensor([0.0, 2**-10]))[0, 0] == 2**-10
        assert torch.cdist(x.clone().requires_grad_(), x).requires_grad
    assert torch.cdist is before


@needs_torch
def test_signature():
    assert parameters(ours.cdist) == parameters(torch.cdist)


def test_nan_gives_nan():
    x = X[0].copy()
    x[1, 1] = np.nan
    found = ours.cdist(x, Y[0])
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[2], ours.cdist(X[0], Y[0])[2])


REFUSED = [
    (lambda: ours.cdist(X, Y, p=-1), ValueError, "p must be a number of at least 0, got -1"),
    (lambda: ours.cdist(X, Y, p="2"), ValueError, "p must be a number of at least 0, got '2'"),
    (lambda: ours.cdist(X, Y, p=None), ValueError, "p must be a number of at least 0, got None"),
    (lambda: ours.cdist(X, Y, p=np.nan), ValueError, "p must be a number of at least 0, got nan"),
    (lambda: ours.cdist(X, Y, compute_mode="fast"), ValueError, "compute_mode must be one of"),
    (lambda: ours.cdist(X[0, 0], Y), ValueError, "x1 must have shape"),
    (lambda: ours.cdist(X, Y[..., :2]), ValueError, "features"),
    (
        lambda: ours.cdist_topk(X, Y, 2, p=0),
        ValueError,
        "p must be above 0 where the nearest are asked for, got 0; metric='hamming' of topk finds them",
    ),
    (lambda: ours.cdist_topk(X, Y, 32), ValueError, "k must be in 1..31"),
    (lambda: ours.matmul_topk(X, Y, 2), ValueError, "features"),
    (lambda: ours.matmul_topk(X, Y.swapaxes(-1, -2) * np.nan, 2), ValueError, "finite"),
    (lambda: ours.matmul_topk(X, Y.swapaxes(-1, -2), 2, largest="no"), ValueError, "largest must be"),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), REFUSED)
def test_what_is_refused(call, kind, sentence):
    with pytest.raises(kind) as caught:
        call()
    assert sentence in str(caught.value)


@pytest.mark.skipif(torch is not None, reason="torch is installed")
def test_what_is_left_to_an_absent_torch():
    with pytest.raises(ModuleNotFoundError, match="what is empty or requires gradients is left to torch, which"):
        ours.cdist(X[:, :0], Y)
