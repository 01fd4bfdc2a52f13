"""A prepared gallery searches as `topk` does, to the bit, through every growth, shrinking, saving and loading."""

import copy
import pickle

import ml_dtypes
import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import arrays, law_kwargs, metric_kwargs, output_dtype
from crossmodal_fast.kernels.topk import reference as law
from grids import cases_by_metrics, thinned
from least import least_max_bytes
from test_topk import FILTERED_CASES, MANY_TILES, filters


def check(gallery, x, y, k, metric, backend, ids=None, room=1.0, **keywords):
    value, index = law.topk(x, y, k, metric, **law_kwargs(metric), **keywords)
    ids = np.arange(len(y)) if ids is None else np.asarray(ids)
    expected = value, np.where(index < 0, -1, ids[index])
    if "exclude" in keywords:
        keywords["exclude"] = np.where(keywords["exclude"] < 0, -1, ids[keywords["exclude"]])

    def call(**more):
        return gallery.topk(x, k, backend=backend, **keywords, **more)

    for max_bytes in (None, int(room * least_max_bytes(call))):
        judge.same_bits(call(max_bytes=max_bytes), expected, output_dtype(x, y))


@pytest.mark.parametrize(("name", "metric"), cases_by_metrics("gallery"))
def test_equals_the_law(name, metric, backend):
    x, y = arrays(name, metric)
    gallery = cmf.Gallery(y, metric, metric_kwargs=metric_kwargs(metric))
    check(gallery, x, y, min(len(y), 9), metric, backend)


@pytest.mark.parametrize(
    ("kind", "name", "metric"),
    thinned(4, filters(1, 1, 0), FILTERED_CASES, ["euclidean", "cosine", "dot", "cityblock"]),
)
def test_filters_with_ids(kind, name, metric, backend):
    x, y = arrays(name)
    ids = np.random.default_rng(71).permutation(10 * len(y))[: len(y)]
    check(cmf.Gallery(y, metric, ids), x, y, 6, metric, backend, ids, **filters(len(x), len(y), 9)[kind])


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation", "dot", "cityblock"])
@pytest.mark.parametrize(
    "name", ["normal-17x130x64", "huge-row-1e30", "offset-1e6", "zero-rows-float64", "integers-float32"]
)
def test_grown_and_shrunk(name, metric, backend):
    x, y = arrays(name)
    n = len(y)
    gallery = cmf.Gallery(y[: n // 3], metric)
    gallery.add(y[n // 3 : n // 2])
    gallery.add(y[n // 2 :])
    assert gallery.shape == y.shape
    assert gallery.ids.tolist() == list(range(n))
    np.testing.assert_array_equal(gallery.vectors, y)
    check(gallery, x, y, 9, metric, backend)
    gone = np.arange(0, n, 3)
    gallery.remove(gone)
    kept = np.setdiff1d(np.arange(n), gone)
    assert gallery.ids.tolist() == kept.tolist()
    check(gallery, x, y[kept], 9, metric, backend, kept)
    gallery.add(y[gone], ids=gone + 1000)
    everyone = np.concatenate([kept, gone + 1000])
    check(gallery, x, np.concatenate([y[kept], y[gone]]), 9, metric, backend, everyone)


def test_ties_go_by_position_not_by_id(backend):
    y = np.zeros((4, 3), np.float32)
    gallery = cmf.Gallery(y, ids=[40, 10, 30, 20])
    assert gallery.topk(y[:1], 4, backend=backend).indices.tolist() == [[40, 10, 30, 20]]
    gallery.remove([10])
    gallery.add(y[:1], ids=[5])
    assert gallery.topk(y[:1], 4, backend=backend).indices.tolist() == [[40, 30, 20, 5]]


def test_rows_of_a_wider_dtype_widen_the_gallery(backend):
    x, y = arrays("normal-9x31x8")
    more = y.astype(np.float64) + 1e-12
    gallery = cmf.Gallery(y)
    gallery.add(more)
    check(gallery, x, np.concatenate([y, more]), 40, "euclidean", backend)


def test_default_ids_follow_the_largest(backend):
    _, y = arrays("normal-9x31x8")
    gallery = cmf.Gallery(y[:3], ids=[7, 100, 3])
    gallery.add(y[3:5])
    assert gallery.ids.tolist() == [7, 100, 3, 101, 102]


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "minkowski"])
@pytest.mark.parametrize("name", ["normal-9x31x8", "bfloat16", "int8", "normal-float64", "float16", "bool"])
def test_saved_and_loaded(name, metric, tmp_path, backend):
    x, y = arrays(name)
    ids = np.arange(len(y))[::-1] + 5
    cmf.Gallery(y, metric, ids, metric_kwargs=metric_kwargs(metric)).save(tmp_path / "gallery.npz")
    gallery = cmf.Gallery.load(tmp_path / "gallery.npz")
    assert gallery.metric == metric
    assert gallery.vectors.dtype == y.dtype
    check(gallery, x, y, 9, metric, backend, ids)


def test_copy_or_reference(backend):
    x, y = arrays("normal-9x31x8")
    kept = y.copy()
    copied, referring = cmf.Gallery(y), cmf.Gallery(y, copy=False)
    assert copied.nbytes - referring.nbytes == y.nbytes
    y[:] = 0
    check(copied, x, kept, 5, "euclidean", backend)
    with pytest.raises(ValueError, match="read-only"):
        copied.vectors[0] = 1


def test_mapped_vectors_stay_in_their_file(tmp_path, backend):
    x, y = arrays("integers-float32")
    np.save(tmp_path / "y.npy", y)
    mapped = np.load(tmp_path / "y.npy", mmap_mode="r")
    gallery = cmf.Gallery(mapped, copy=False)
    assert np.shares_memory(gallery.vectors, mapped)
    check(gallery, x, y, 9, "euclidean", backend)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, ml_dtypes.bfloat16])
def test_nbytes_is_what_it_holds(dtype, backend):
    y = np.random.default_rng(72).integers(-5, 6, (1000, 64)).astype(dtype)
    gallery = cmf.Gallery(y)
    assert gallery.nbytes == y.nbytes + 8 * 1000
    gallery.topk(y[:3], 1, backend=backend)
    code = 4 if backend == "numpy" else 1  # bytes at the least
    assert y.nbytes + 8 * 1000 + code * 64 * 1000 <= gallery.nbytes <= y.nbytes + 8 * 1000 + 4 * 69 * 1000 + 64 * 1000
    gallery.remove(np.arange(500))
    assert gallery.nbytes <= (y.nbytes + 8 * 1000 + 4 * 69 * 1000 + 64 * 1000) / 2 + 8192


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_batches_of_queries(metric, backend):
    x, y = arrays("normal-17x130x64")
    queries = np.stack([x, x[::-1]])
    distances, indices = cmf.Gallery(y, metric).topk(queries, 4, backend=backend)
    for at in range(2):
        judge.same_bits((distances[at], indices[at]), law.topk(queries[at], y, 4, metric), np.float32)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_many_tiles(metric, backend):
    rng = np.random.default_rng(73)
    x, y = (rng.standard_normal((rows, 12)).astype(np.float32) for rows in (530, 2500))
    y[2000:2500] = y[:500]
    gallery = cmf.Gallery(y[:2200], metric)
    gallery.add(y[2200:])
    check(gallery, x, y, 30, metric, backend, room=MANY_TILES)
    _, _, stats = gallery.topk(x, 30, return_stats=True, backend=backend)
    assert stats.candidates.shape == (530,)
    assert (stats.candidates >= 30).all()


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "cityblock"])
def test_rows_that_are_not_finite_sort_last_if_not_refused(metric, backend):
    x, y = arrays("normal-9x31x8")
    y = y.copy()
    y[[3, 20]] = np.nan
    gallery = cmf.Gallery(y, metric, check_finite=False)
    answer = gallery.topk(x, 31, check_finite=False, backend=backend)
    judge.same_bits(answer, law.topk(x, y, 31, metric), np.float32)


def test_a_bad_row_far_behind_leaves_nothing_of_its_call(backend):
    x, y = arrays("normal-9x31x8")
    gallery = cmf.Gallery(y)
    many = np.ones((5000, 8), np.float32)
    many[-1, 2] = np.inf
    with pytest.raises(ValueError, match="finite"):
        gallery.add(many)
    check(gallery, x, y, 9, "euclidean", backend)
    gallery.add(many[:-1])
    check(gallery, x, np.concatenate([y, many[:-1]]), 40, "euclidean", backend)


def refusals(gallery, y):
    bad = y[:2].copy()
    bad[1, 0] = np.nan
    return [
        (ValueError, lambda: gallery.add(bad)),
        (ValueError, lambda: gallery.add(y[:, :-1])),
        (ValueError, lambda: gallery.add(y[:2], ids=[500, 500])),
        (ValueError, lambda: gallery.add(y[:2], ids=[500, 3])),
        (ValueError, lambda: gallery.add(y[:2], ids=[500])),
        (ValueError, lambda: gallery.add(y[:2], ids=[500, -1])),
        (TypeError, lambda: gallery.add(y[:2], ids=[500.0, 501.0])),
        (KeyError, lambda: gallery.remove([3, 4711])),
        (ValueError, lambda: gallery.remove(np.arange(len(y)))),
    ]


@pytest.mark.parametrize("case", range(9))
def test_a_refused_change_changes_nothing(case, backend):
    x, y = arrays("normal-9x31x8")
    gallery = cmf.Gallery(y)
    before = gallery.nbytes
    problem, change = refusals(gallery, y)[case]
    with pytest.raises(problem):
        change()
    assert gallery.ids.tolist() == list(range(31))
    assert gallery.nbytes == before
    check(gallery, x, y, 9, "euclidean", backend)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda gallery: pickle.loads(pickle.dumps(gallery))])
def test_copies_answer_alike_after_a_search(copied):
    x, y = arrays("normal-9x31x8")
    gallery = cmf.Gallery(y, "cosine", ids=np.arange(31) * 3)
    for backend in ("numpy", "numba"):
        found = gallery.topk(x, 4, backend=backend)
        for one, other in zip(copied(gallery).topk(x, 4, backend=backend), found, strict=True):
            np.testing.assert_array_equal(one, other)
    alone = copied(gallery)
    alone.add(y[:1], ids=[1])
    assert (len(gallery), len(alone)) == (31, 32)
