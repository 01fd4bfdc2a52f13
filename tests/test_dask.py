"""`crossmodal_fast.dask` has the bits of one machine, whatever the chunks, and stays lazy."""

import math
import subprocess
import sys

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import _keys

pytest.importorskip("dask.array", reason="Dask is not installed")

import dask
import dask.array as da

from crossmodal_fast import dask as cmd
from crossmodal_fast.dask import _shard

M, N, D = 30, 90, 5
CHUNKS = [((30,), (40, 0, 50)), ((10, 1, 19), (30, 60)), ((9, 9, 9, 3), (90,))]  # fewer blocks than shards, more, none
CASES = [(chunks, "euclidean") for chunks in CHUNKS]
CASES += [(CHUNKS[1], metric) for metric in ("dot", "cosine", "cityblock", "minkowski")]


@pytest.fixture(autouse=True)
def here():
    """Tasks run one after another in this thread."""
    with dask.config.set(scheduler="synchronous"), cmf.use_backend("numpy"):
        yield


def rows(dtype=np.float32):
    """Whole numbers, so that many distances are equal."""
    random = np.random.default_rng(3)
    return random.integers(-2, 3, (M, D)).astype(dtype), random.integers(-2, 3, (N, D)).astype(dtype)


def filters():
    """Every argument that leaves pairs out or adds to them, in memory."""
    random = np.random.default_rng(4)
    return {
        "exclude": random.integers(-1, N, M),
        "mask": random.random((M, N)) < 0.8,
        "bias": (random.standard_normal(M), np.round(random.standard_normal(N), 1)),
    }


def lazily(value, chunks):
    """The same argument as dask arrays."""
    if isinstance(value, tuple):
        return tuple(lazily(part, chunks) for part in value)
    return da.from_array(value, chunks=(7,) * value.ndim)


def same(found, expected):
    for lazy, plain in zip(found, expected, strict=True):
        assert lazy.dtype == plain.dtype
        np.testing.assert_array_equal(lazy.compute(), plain)


@pytest.mark.parametrize(("chunks", "metric"), CASES, ids=str)
def test_searches_have_the_bits_of_one_machine(chunks, metric):
    x, y = rows()
    given = {"metric_kwargs": {"p": 2.0}} if metric == "minkowski" else {}
    queries, gallery = da.from_array(x, chunks=(chunks[0], 2)), da.from_array(y, chunks=(chunks[1], 3))
    plain = cmf.topk(x, y, 6, metric, **given)
    same(cmd.topk(queries, gallery, 6, metric, **given), plain)
    found = cmd.topk_both(queries, gallery, (6, 4), metric, **given)
    for lazy, expected in zip(found, cmf.topk_both(x, y, (6, 4), metric, **given), strict=True):
        same(lazy, expected)
    radius = plain.distances[:, -1].astype(np.float64)  # where pairs are as far as the radius says
    same(cmd.within(queries, gallery, radius, metric, **given), cmf.within(x, y, radius, metric, **given))
    positives = np.arange(M) * 2
    for ties in ("index", "optimistic", "pessimistic", "mean"):
        same(
            [cmd.ranks(queries, gallery, positives, metric, ties=ties, **given)],
            [cmf.ranks(x, y, positives, metric, ties=ties, **given)],
        )


@pytest.mark.parametrize("left_out", [(), ("bias",)], ids=str)
@pytest.mark.parametrize("as_dask", [False, True])
def test_filters_are_cut_with_the_rows(as_dask, left_out):
    x, y = rows(np.float64)
    queries, gallery = da.from_array(x, chunks=(11, D)), da.from_array(y, chunks=(40, D))
    given = {name: value for name, value in filters().items() if name not in left_out}
    cut = {name: lazily(value, 7) if as_dask else value for name, value in given.items()}
    same(cmd.topk(queries, gallery, 60, "euclidean", dtype=np.float16, **cut),
         cmf.topk(x, y, 60, "euclidean", dtype=np.float16, **given))  # fmt: skip
    for lazy, plain in zip(cmd.topk_both(queries, gallery, 9, **cut), cmf.topk_both(x, y, 9, **given), strict=True):
        same(lazy, plain)
    same(cmd.within(queries, gallery, 3.0, **cut), cmf.within(x, y, 3.0, **given))
    indptr, positives = np.arange(0, 2 * M + 1, 2), np.arange(2 * M)
    same([cmd.ranks(queries, gallery, (indptr, positives), "dot", **cut)],
         [cmf.ranks(x, y, (indptr, positives), "dot", **given)])  # fmt: skip


def test_a_mask_of_rows_and_oneself():
    _, y = rows()
    gallery, mask = da.from_array(y, chunks=(40, D)), np.arange(N) % 3 > 0
    same(cmd.topk(gallery, gallery, 5, exclude_self=True, mask=mask), cmf.topk(y, y, 5, exclude_self=True, mask=mask))
    same(cmd.topk(gallery, gallery, 5, mask=np.zeros(N, bool)), cmf.topk(y, y, 5, mask=np.zeros(N, bool)))


def test_keys_decide_where_roots_are_equal():
    """sqrt(1 + 2**-52) is 1: by distances the first shard would win the tie."""
    gallery = da.from_array(np.array([[1.0, 2.0**-26], [1.0, 0.0]]), chunks=(1, 2))
    queries = da.zeros((1, 2))
    found = cmd.topk(queries, gallery, 2)
    assert found.distances.compute().tolist() == [[1.0, 1.0]]
    assert found.indices.compute().tolist() == [[1, 0]]
    inside = cmd.within(queries, gallery, 1.0)
    assert inside.indices.compute().tolist() == [1, 0]


@pytest.mark.parametrize("radius", [0.0, 1e-170, 2.3e-162, 1.0, 3.3, 1e200, np.inf, -1.0])
def test_squares_of_radii(radius):
    square = float(_keys.square_of(np.array([radius]))[0])
    if radius < 0:
        assert square == radius
        return
    assert math.sqrt(square) <= radius
    assert square == radius == np.inf or math.sqrt(math.nextafter(square, np.inf)) > radius


def test_rows_that_are_not_finite_come_last():
    x, y = rows()
    x[3], y[50, 2], y[80, 0] = np.nan, np.nan, np.inf
    queries, gallery = da.from_array(x, chunks=(7, D)), da.from_array(y, chunks=(40, D))
    same(cmd.topk(queries, gallery, N, check_finite=False), cmf.topk(x, y, N, check_finite=False))
    positives = np.full(M, 50)
    same([cmd.ranks(queries, gallery, positives, check_finite=False)],
         [cmf.ranks(x, y, positives, check_finite=False)])  # fmt: skip


def test_bad_rows_are_named_by_their_number():
    x, y = rows()
    bad = y.copy()
    bad[85, 1] = np.inf
    queries, gallery = da.from_array(x, chunks=(7, D)), da.from_array(bad, chunks=(40, D))
    with pytest.raises(ValueError, match=r"^gallery must be finite, got inf in row 85; check_finite=False"):
        cmd.topk(queries, gallery, 2).indices.compute()
    with pytest.raises(ValueError, match=r"^queries must be finite, got inf in row 85"):
        cmd.topk(gallery, queries, 2).indices.compute()
    with pytest.raises(ValueError, match=r"^Y must be finite, got inf in row 85"):
        cmd.topk_both(queries, gallery, 2)[0].indices.compute()
    with pytest.raises(ValueError, match=r"^X must be finite, got inf in row 85"):
        cmd.pairwise_distances(gallery).compute()
    with pytest.raises(ValueError, match=r"^E must be finite, got inf in row 85"):
        cmd.transfer(gallery, np.eye(D)).compute()
    with pytest.raises(ValueError, match=r"^A must be finite, got inf in row 85; remove or fill such rows first"):
        cmd.fit_transfer(gallery, gallery)


def test_nothing_is_computed_early():
    calls = []
    x, y = rows()
    gallery = da.from_array(y, chunks=(40, D)).map_blocks(lambda block: calls.append(1) or block, dtype=y.dtype,
                                                          meta=y[:0])  # fmt: skip
    found = cmd.topk(da.from_array(x, chunks=(7, D)), gallery, 4)
    held = cmd.ShardedGallery(gallery)
    assert not calls
    assert (found.distances.shape, found.distances.dtype, found.indices.dtype) == ((M, 4), np.float32, np.int64)
    assert found.indices.chunks == ((7, 7, 7, 7, 2), (4,))
    held = held.persist()
    assert (len(calls), repr(held), held.metric) == (
        3, "ShardedGallery of 90 rows, 5 features, 3 shards, metric='euclidean'", "euclidean",
    )  # fmt: skip
    queries = da.from_array(x, chunks=(7, D))
    same(held.topk(queries, 4), cmf.topk(x, y, 4))
    same(held.within(queries, 2.0), cmf.within(x, y, 2.0))
    same([held.ranks(queries, da.arange(M))], [cmf.ranks(x, y, np.arange(M))])
    assert len(calls) == 3


def test_a_limit_lets_other_shards_send_less():
    random = np.random.default_rng(0)
    shard, way = _shard.Shard(random.standard_normal((50, 3)), 100), _shard.Way("euclidean", {}, 200, {})
    queries, limit = random.standard_normal((4, 3)), np.array([0.0, 0.0, 0.5, 0.5])
    found = _shard.nearest(shard, queries, 10, way, {}, limit)
    everything = _shard.nearest(shard, queries, 10, way, {})
    assert found.key.shape[1] < 10
    np.testing.assert_array_equal(found.key[found.position >= 0], everything.key[everything.key <= limit[:, None]])


def test_empty_queries():
    _, y = rows()
    found = cmd.topk(da.zeros((0, D)), da.from_array(y, chunks=(40, D)), 3)
    assert found.indices.compute().shape == (0, 3)
    inside = cmd.within(da.zeros((0, D)), da.from_array(y, chunks=(40, D)), 1.0)
    assert [part.compute().tolist() for part in inside] == [[0], [], []]
    assert cmd.ranks(da.zeros((0, D)), da.from_array(y, chunks=(40, D)), []).compute().shape == (0,)
    assert cmd.pairwise_distances(da.zeros((0, D)), da.from_array(y, chunks=(40, D))).compute().shape == (0, N)
    assert cmd.transfer(da.zeros((0, D)), np.eye(D)).compute().shape == (0, D)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "hamming"])
def test_pairwise_distances(metric):
    x, y = rows()
    queries, gallery = da.from_array(x, chunks=(11, 2)), da.from_array(y, chunks=(40, D))
    plain = cmf.pairwise_distances(x, y, metric)
    found = cmd.pairwise_distances(queries, gallery, metric)
    assert (found.shape, found.dtype, found.chunks) == ((M, N), plain.dtype, ((11, 11, 8), (40, 40, 10)))
    np.testing.assert_allclose(found.compute(), plain, rtol=1e-6, atol=1e-6)
    alone = cmd.pairwise_distances(gallery, metric=metric, dtype=np.float64).compute()
    np.testing.assert_array_equal(alone, alone.T)
    np.testing.assert_allclose(
        alone, cmf.pairwise_distances(y, metric=metric, dtype=np.float64), rtol=1e-13, atol=1e-13
    )


def test_transfer():
    x, _ = rows()
    random = np.random.default_rng(0)
    M_, bias, which = random.standard_normal((4, 3, D)), random.standard_normal((4, 3)), random.integers(0, 4, M)
    E = da.from_array(x, chunks=(11, 2))
    for one, two in ((M_[0], bias[0]), (da.from_array(M_[0]), da.from_array(bias[0]))):
        found = cmd.transfer(E, one, two, normalize=True)
        assert (found.shape, found.dtype, found.chunks[0]) == ((M, 3), np.float64, (11, 11, 8))
        np.testing.assert_allclose(found.compute(), cmf.transfer(x, M_[0], bias[0], normalize=True), rtol=1e-13)
    for rows_of in (which, da.from_array(which, chunks=4)):
        found = cmd.transfer(E, M_, bias, which=rows_of).compute()
        np.testing.assert_allclose(found, cmf.transfer(x, M_, bias, which=which), rtol=1e-13)


def test_fit_transfer():
    random = np.random.default_rng(1)
    A = random.standard_normal((60, 4))
    B = A @ random.standard_normal((4, 3)) + 0.1 * random.standard_normal((60, 3))
    weight = np.where(np.arange(60) < 20, 0.0, random.random(60))  # a chunk without any
    for method, options in (("lstsq", {}), ("ridge", {"regularization": 0.5}), ("procrustes", {}), ("cca", {})):
        found = cmd.fit_transfer(da.from_array(A, chunks=(20, 2)), da.from_array(B, chunks=(7, 3)), method,
                                 sample_weight=weight, **options)  # fmt: skip
        plain = cmf.fit_transfer(A, B, method, sample_weight=weight, **options)
        np.testing.assert_allclose(found.M, plain.M, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.bias, plain.bias, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="auto"):
        cmd.fit_transfer(da.from_array(A), da.from_array(B), "auto")


def test_a_missing_dask_is_one_sentence():
    code = (
        "import sys; sys.modules['dask'] = None\n"
        "import crossmodal_fast as cmf\n"
        "try:\n    cmf.dask.topk(1, 2, 3)\n"
        "except ModuleNotFoundError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "crossmodal_fast.dask needs Dask, which is not installed: pip install 'crossmodal-fast[dask]'"
    )


def test_the_folder_hides_nothing():
    assert cmf.dask is cmd
    assert dask.__file__ != cmd.__file__
