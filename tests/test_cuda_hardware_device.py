"""Arrays that lie on a real GPU, galleries in parts, several streams: the bits of NumPy."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from test_cuda_hardware import pytestmark  # noqa: F401 - skips where there is no GPU

RNG = np.random.default_rng(28)
X, Y = (RNG.standard_normal((rows, 48)).astype(np.float32) for rows in (300, 6000))


def equal(found, wanted):
    for part, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(part.get() if hasattr(part, "get") else part, other)


@pytest.fixture(params=["cupy", "torch"])
def placed(request):
    """Puts rows on the GPU, as arrays of a library."""
    pytest.importorskip("array_api_compat", reason="a checkout that is not installed may lack it")
    cupy = pytest.importorskip("cupy")
    if request.param == "cupy":
        return cupy.asarray
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    return lambda rows: torch.from_numpy(rows).cuda()


def on_host(result):
    return [np.asarray(part.get() if hasattr(part, "get") else part.cpu()) for part in result]


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine", "cityblock"])
def test_searches_of_rows_on_the_device(metric, placed):
    x, y = placed(X), placed(Y)
    found = cmf.topk(x, y, 7, metric)
    assert type(found.distances) is type(x)
    equal(on_host(found), cmf.topk(X, Y, 7, metric, backend="numpy"))
    found = cmf.topk(X, y, 7, metric, backend="cuda")  # queries on the host
    equal(found, cmf.topk(X, Y, 7, metric, backend="numpy"))


def test_distances_of_rows_on_the_device(placed):
    found = cmf.pairwise_distances(placed(X), placed(Y), backend="cuda")
    judge.pairwise_within_bound(on_host([found])[0], X, Y, "euclidean")


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cityblock"])
def test_a_gallery_in_parts(metric):
    y = RNG.standard_normal((60_000, 48)).astype(np.float32)
    wanted = cmf.topk(X, y, 7, metric, backend="numpy")
    for max_bytes in (1 << 23, 1 << 24):
        equal(cmf.topk(X, y, 7, metric, backend="cuda", max_bytes=max_bytes), wanted)


def test_a_gallery_that_several_streams_use():
    cupy = pytest.importorskip("cupy")
    gallery, several = cmf.Gallery(Y), [RNG.standard_normal((1 + n % 3, 48)).astype(np.float32) for n in range(60)]

    def searched(x):
        with cupy.cuda.Stream(non_blocking=True):
            return gallery.topk(x, 5, backend="cuda")

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(searched, several))
    for x, answer in zip(several, found, strict=True):
        equal(answer, gallery.topk(x, 5, backend="numpy"))
