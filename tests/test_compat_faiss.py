"""`compat.faiss`: what is said of FAISS holds for ours, and for FAISS itself where it is installed."""

import pickle
import re

import numpy as np
import pytest

from crossmodal_fast.compat import faiss as ours
from crossmodal_fast.files import FileError
from imported_peers import parameters, peer_or_none, with_peer

LARGEST = np.finfo(np.float32).max
RANDOM = np.random.default_rng(11)
WHOLE = RANDOM.integers(1, 6, (46, 4)) * RANDOM.choice([-1, 1], (46, 4))  # exact in float32, in FAISS as well
QUERIES, ROWS = WHOLE[:6].astype(np.float32), np.unique(WHOLE[6:], axis=0).astype(np.float32)
PEER = peer_or_none("faiss")
both = pytest.mark.parametrize("faiss", with_peer(ours, "faiss"))
needs_peer = pytest.mark.skipif(PEER is None, reason="faiss is not installed")


def gaps():
    return np.abs(QUERIES[:, None].astype(float) - ROWS[None])


DEFINITIONS = {
    "METRIC_L2": lambda: (gaps() ** 2).sum(2),
    "METRIC_INNER_PRODUCT": lambda: QUERIES.astype(float) @ ROWS.T,
    "METRIC_L1": lambda: gaps().sum(2),
    "METRIC_Linf": lambda: gaps().max(2),
    "METRIC_Lp": lambda: (gaps() ** 3).sum(2),
    "METRIC_BrayCurtis": lambda: gaps().sum(2) / np.abs(QUERIES[:, None] + ROWS[None]).sum(2),
    "METRIC_Canberra": lambda: (gaps() / (np.abs(QUERIES[:, None]) + np.abs(ROWS[None]))).sum(2),
}


@both
@pytest.mark.parametrize("name", DEFINITIONS)
def test_distances_are_those_of_the_definition(faiss, name):
    metric, argument = getattr(faiss, name), 3.0 if name == "METRIC_Lp" else 0.0
    expected = DEFINITIONS[name]()
    found = faiss.pairwise_distances(QUERIES, ROWS, metric, argument)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32
    distances, ids = faiss.knn(QUERIES, ROWS, 7, metric, argument)
    order = np.sort(expected, axis=1)
    order = order[:, ::-1] if name == "METRIC_INNER_PRODUCT" else order
    np.testing.assert_allclose(distances, order[:, :7], rtol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(expected, ids, 1), order[:, :7], rtol=1e-6)
    assert (distances.dtype, ids.dtype) == (np.float32, np.int64)


@both
@pytest.mark.parametrize("kind", ["IndexFlatL2", "IndexFlatIP"])
def test_an_index_finds_what_knn_finds(faiss, kind):
    index = getattr(faiss, kind)(4)
    assert (index.d, index.ntotal, index.is_trained) == (4, 0, True)
    index.train(ROWS)
    index.add(ROWS[:10])
    index.add(ROWS[10:])
    metric = index.metric_type
    assert metric == (faiss.METRIC_L2 if kind == "IndexFlatL2" else faiss.METRIC_INNER_PRODUCT)
    distances, ids = index.search(QUERIES, 3)
    np.testing.assert_array_equal(distances, faiss.knn(QUERIES, ROWS, 3, metric)[0])
    np.testing.assert_array_equal(index.assign(QUERIES, 3), ids)
    nearest, labels, rows = index.search_and_reconstruct(QUERIES, 3)
    np.testing.assert_array_equal(nearest, distances)
    np.testing.assert_array_equal(rows, ROWS[labels])
    index.reset()
    assert index.ntotal == 0


@both
def test_slots_without_a_neighbour(faiss):
    index = faiss.IndexFlatL2(4)
    np.testing.assert_array_equal(index.search(QUERIES[:1], 2), [[[LARGEST, LARGEST]], [[-1, -1]]])
    index.add(ROWS[:2])
    distances, ids = index.search(QUERIES, 4)
    assert (distances[:, 2:] == LARGEST).all()
    assert (ids[:, 2:] == -1).all()
    assert (ids[:, :2] >= 0).all()
    assert (faiss.knn(QUERIES, ROWS[:2], 3, faiss.METRIC_INNER_PRODUCT)[0][:, 2] == -LARGEST).all()
    assert faiss.knn(QUERIES, ROWS[:0], 2)[1].tolist() == [[-1, -1]] * 6


@both
@pytest.mark.parametrize("metric", [0, 1])
def test_nan_is_no_neighbour(faiss, metric):
    spoilt, queries = ROWS[:3].copy(), QUERIES[:2].copy()
    spoilt[1, 2], queries[0, 0] = np.nan, np.nan
    filler = LARGEST if metric else -LARGEST
    distances, ids = faiss.knn(queries, spoilt, 3, metric)
    assert ids[0].tolist() == [-1, -1, -1]
    assert distances[0].tolist() == [filler] * 3
    assert sorted(ids[1].tolist()) == [-1, 0, 2]
    assert ids[1, 2] == -1
    assert distances[1, 2] == filler


@both
def test_infinite_distances_are_none_and_infinite_products_are_the_best(faiss):
    far, queries = ROWS[:3].copy(), np.ones((1, 4), np.float32)
    far[0, 1] = np.inf
    assert faiss.knn(queries, far, 3)[1][0, 2] == -1
    distances, ids = faiss.knn(queries, far, 1, faiss.METRIC_INNER_PRODUCT)
    assert (distances[0, 0], ids[0, 0]) == (np.inf, 0)
    assert faiss.knn(queries, np.full((1, 4), 1e30, np.float32), 1)[1][0, 0] == -1  # 4e60 is beyond float32


@both
@pytest.mark.parametrize("kind", ["IndexFlatL2", "IndexFlatIP"])
def test_a_range_is_open_and_in_order_of_ids(faiss, kind):
    index = getattr(faiss, kind)(4)
    index.add(ROWS)
    expected = DEFINITIONS["METRIC_L2" if kind == "IndexFlatL2" else "METRIC_INNER_PRODUCT"]()
    limit = float(np.sort(expected, axis=None)[expected.size // 2])  # one of the values
    limits, distances, ids = index.range_search(QUERIES, limit)
    inside = expected < limit if kind == "IndexFlatL2" else expected > limit
    assert (expected == limit).any()
    np.testing.assert_array_equal(limits, [0, *np.cumsum(inside.sum(1))])
    np.testing.assert_array_equal(ids, np.nonzero(inside)[1])
    np.testing.assert_array_equal(distances, expected[inside])
    assert (limits.dtype, distances.dtype, ids.dtype) == (np.uint64, np.float32, np.int64)


@both
def test_ranges_of_nothing(faiss):
    index = faiss.IndexFlatL2(4)
    assert index.range_search(QUERIES, 5.0)[0].tolist() == [0] * 7
    index.add(ROWS)
    assert index.range_search(QUERIES, 0.0)[0][-1] == 0
    assert index.range_search(QUERIES, -1.0)[0][-1] == 0
    assert index.range_search(np.full((1, 4), np.nan, np.float32), 1e9)[0].tolist() == [0, 0]


SELECTORS = {
    "all": lambda f: (f.IDSelectorAll(), lambda i: i >= 0),
    "range": lambda f: (f.IDSelectorRange(3, 9), lambda i: (i >= 3) & (i < 9)),
    "batch": lambda f: (f.IDSelectorBatch(np.array([1, 5, 7])), lambda i: np.isin(i, [1, 5, 7])),
    "array": lambda f: (f.IDSelectorArray(np.array([1, 5, 7])), lambda i: np.isin(i, [1, 5, 7])),
    "bitmap": lambda f: (f.IDSelectorBitmap(np.array([0b10010, 0b1], np.uint8)), lambda i: np.isin(i, [1, 4, 8])),
    "not": lambda f: (f.IDSelectorNot(f.IDSelectorRange(3, 9)), lambda i: (i < 3) | (i >= 9)),
    "and": lambda f: (f.IDSelectorAnd(f.IDSelectorRange(3, 9), f.IDSelectorRange(5, 30)), lambda i: (i > 4) & (i < 9)),
    "or": lambda f: (f.IDSelectorOr(f.IDSelectorRange(0, 2), f.IDSelectorRange(1, 3)), lambda i: i < 3),
    "xor": lambda f: (f.IDSelectorXOr(f.IDSelectorRange(0, 2), f.IDSelectorRange(1, 3)), lambda i: (i == 0) | (i == 2)),
}


@both
@pytest.mark.parametrize("name", SELECTORS)
def test_selectors(faiss, name):
    selector, rule = SELECTORS[name](faiss)
    index = faiss.IndexFlatL2(4)
    index.add(ROWS)
    allowed = rule(np.arange(len(ROWS)))
    assert [selector.is_member(i) for i in range(12)] == allowed[:12].tolist()
    parameters = faiss.SearchParameters(sel=selector)
    _, ids = index.search(QUERIES, len(ROWS), params=parameters)
    for row in ids:
        assert sorted(row[row >= 0].tolist()) == np.flatnonzero(allowed).tolist()
    assert set(index.range_search(QUERIES, 1e9, params=parameters)[2].tolist()) == set(np.flatnonzero(allowed).tolist())
    assert index.remove_ids(selector) == allowed.sum()
    assert index.ntotal == (~allowed).sum()
    np.testing.assert_array_equal(index.reconstruct_n(), ROWS[~allowed])


def test_a_mask_and_a_selector_of_ones_own():
    class Even(ours.IDSelector):
        def is_member(self, id):
            return id % 2 == 0

    index = ours.IndexFlatL2(4)
    index.add(ROWS)
    even = np.arange(len(ROWS)) % 2 == 0
    for selector in (Even(), even):
        _, ids = index.search(QUERIES, 3, params=ours.SearchParameters(sel=selector))
        assert (ids % 2 == 0).all()


@both
def test_rows_come_back_and_go(faiss):
    index = faiss.IndexFlat(4, faiss.METRIC_L1)
    index.add(ROWS)
    np.testing.assert_array_equal(index.reconstruct(3), ROWS[3])
    np.testing.assert_array_equal(index.reconstruct_n(2, 5), ROWS[2:7])
    np.testing.assert_array_equal(index.reconstruct_batch(np.array([4, 0])), ROWS[[4, 0]])
    with pytest.raises((ValueError, RuntimeError)):
        index.reconstruct(len(ROWS))
    index.search(QUERIES, 1)
    assert index.remove_ids(np.array([0, 2, 2, 999])) == 2
    index.add(ROWS[:1])
    kept = np.concatenate([ROWS[1:2], ROWS[3:], ROWS[:1]])
    np.testing.assert_array_equal(index.reconstruct_n(), kept)
    np.testing.assert_array_equal(index.search(QUERIES, 4)[0], faiss.knn(QUERIES, kept, 4, faiss.METRIC_L1)[0])


@both
def test_results_are_written_where_asked(faiss):
    index = faiss.IndexFlatL2(4)
    index.add(ROWS)
    D, I = np.empty((6, 2), np.float32), np.empty((6, 2), np.int64)  # noqa: E741 - FAISS's names
    found = index.search(QUERIES, 2, D=D, I=I)
    assert found[0] is D
    assert found[1] is I
    np.testing.assert_array_equal(D, faiss.knn(QUERIES, ROWS, 2)[0])


@both
def test_the_power_of_lp_is_an_attribute(faiss):
    index = faiss.IndexFlat(4, faiss.METRIC_Lp)
    index.add(ROWS[:9])
    index.metric_arg = 3.0
    index.add(ROWS[9:])
    np.testing.assert_allclose(index.search(QUERIES, 1)[0][:, 0], DEFINITIONS["METRIC_Lp"]().min(1), rtol=1e-6)


@both
def test_rows_of_any_dtype_and_order_are_read_as_float32(faiss):
    found = faiss.knn(np.asfortranarray(QUERIES), ROWS.astype(np.float64), 2)
    np.testing.assert_array_equal(found, faiss.knn(QUERIES, ROWS, 2))
    index = faiss.IndexFlatL2(4)
    index.add(ROWS.astype(np.int32))
    given = ROWS.copy()
    index.add(given)
    given[:] = 0  # what is added is copied
    np.testing.assert_array_equal(index.reconstruct_n(), np.concatenate([ROWS, ROWS]))


@both
def test_rows_are_normalised_in_place(faiss):
    rows = np.array([[3, 4], [0, 0]], np.float32)
    assert faiss.normalize_L2(rows) is None
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("metric", ["METRIC_L2", "METRIC_INNER_PRODUCT", "METRIC_L1", "METRIC_Lp"])
def test_files_come_back(metric, tmp_path):
    index = ours.IndexFlat(4, getattr(ours, metric))
    index.metric_arg = 3.0 if metric == "METRIC_Lp" else 0.0
    index.add(ROWS)
    ours.write_index(index, tmp_path / "x.index")
    for back in (ours.read_index(tmp_path / "x.index"), pickle.loads(pickle.dumps(index))):
        np.testing.assert_array_equal(back.search(QUERIES, 3), index.search(QUERIES, 3))
        assert (back.metric_arg, back.ntotal) == (index.metric_arg, index.ntotal)


@needs_peer
@pytest.mark.parametrize("metric", ["METRIC_L2", "METRIC_INNER_PRODUCT", "METRIC_L1"])
def test_files_are_those_of_faiss(metric, tmp_path):
    paths, number = [str(tmp_path / name) for name in "ab"], getattr(ours, metric)
    assert number == getattr(PEER, metric)
    mine, theirs = ours.IndexFlat(4, number), PEER.IndexFlat(4, number)
    mine.add(ROWS)
    theirs.add(ROWS)
    ours.write_index(mine, paths[0])
    PEER.write_index(theirs, paths[1])
    np.testing.assert_array_equal(PEER.read_index(paths[0]).search(QUERIES, 3), theirs.search(QUERIES, 3))
    np.testing.assert_array_equal(ours.read_index(paths[1]).search(QUERIES, 3)[0], theirs.search(QUERIES, 3)[0])


@needs_peer
def test_what_is_not_flat_is_left_to_faiss(tmp_path):
    graph = PEER.IndexHNSWFlat(4, 4)
    graph.add(ROWS)
    ours.write_index(graph, str(tmp_path / "graph"))
    assert type(ours.read_index(str(tmp_path / "graph"))) is PEER.IndexHNSWFlat


@needs_peer
def test_a_selector_of_faiss_is_asked():
    index = ours.IndexFlatL2(4)
    index.add(ROWS)
    selector = PEER.IDSelectorRange(3, 9)
    _, ids = index.search(QUERIES, 3, params=PEER.SearchParameters(sel=selector))
    assert ((ids >= 3) & (ids < 9)).all()
    assert index.remove_ids(selector) == 6


@needs_peer
@pytest.mark.parametrize("name", ["knn", "pairwise_distances"])
def test_signatures_of_functions(name):
    assert parameters(getattr(ours, name)) == parameters(getattr(PEER, name))


@needs_peer
@pytest.mark.parametrize("name", [name for name in vars(ours.IndexFlat) if name[0] != "_"])
def test_signatures_of_methods(name):
    mine, theirs = getattr(ours.IndexFlat, name), getattr(PEER.IndexFlat, name, None)
    if not callable(mine):
        assert hasattr(PEER.IndexFlatL2(4), name)
    else:
        known = parameters(theirs)
        assert [one for one in parameters(mine) if one not in known] == []
        if name in ("add", "search", "train") and "numeric_type" in known:
            assert parameters(mine) == known


@needs_peer
def test_numeric_types():
    """Flat indexes take float32 alone, there as here, whatever the dtype of the rows."""
    assert [getattr(PEER, name) for name in ("Float32", "Float16", "Int8")] == [ours.Float32, ours.Float16, ours.Int8]


def test_the_numeric_type_of_flat_indexes():
    index = ours.IndexFlatL2(4)
    index.train(ROWS, numeric_type=ours.Float32)
    index.add(ROWS, ours.Float32)
    same = index.search(QUERIES, 3, numeric_type=ours.Float32)
    np.testing.assert_array_equal(same[1], index.search(QUERIES, 3)[1])
    for kind in (ours.Float16, ours.Int8, "x"):
        for call in (index.train, index.add, lambda x, **given: index.search(x, 3, **given)):
            told = "numeric_type must be Float32 (0), which alone flat indexes take, got"
            with pytest.raises(ValueError, match=re.escape(f"{told} {kind!r}")):
                call(QUERIES, numeric_type=kind)


REFUSED = [
    (lambda: ours.knn(QUERIES, ROWS, 1, "L2"), ValueError, "in FAISS's numbers, got L2"),
    (lambda: ours.knn(QUERIES, ROWS, 0), ValueError, "k must be at least 1, got 0"),
    (lambda: ours.knn(QUERIES, ROWS[:, :2], 1), ValueError, "xq must have shape (n, 2)"),
    (lambda: ours.knn(QUERIES, ROWS, 1, 23), ValueError, "in FAISS's numbers, got 23"),
    (
        lambda: ours.IndexFlat(4, 22),
        ValueError,
        "the others, Jaccard and Jensen-Shannon among them, are defined otherwise here",
    ),
    (lambda: ours.IndexFlat(0), ValueError, "d must be at least 1, got 0"),
    (lambda: ours.IndexFlatL2(3).add(ROWS), ValueError, "x must have shape (n, 3), as the index has d = 3, got ("),
    (lambda: ours.IndexFlatL2(4).add(ROWS[0]), ValueError, "x must have shape"),
    (lambda: ours.IndexFlatL2(4).add([["a", "b"]]), TypeError, "x must be"),
    (lambda: ours.IndexFlatL2(4).reconstruct(0), ValueError, "key must be in 0..-1 (ntotal = 0), got 0"),
    (lambda: ours.IndexFlatL2(4).search(QUERIES, 1, D=np.empty((1, 1))), ValueError, "D must have shape (6, 1), got"),
    (
        lambda: ours.IndexFlat(4, 4).range_search(QUERIES, 1),
        ValueError,
        "range_search must be of another metric than METRIC_Lp, whose root is not exact",
    ),
    (
        lambda: ours.normalize_L2([[1.0]]),
        TypeError,
        "x must be an (n, d) array of float32 to be normalised in place, got list",
    ),
    (lambda: ours.normalize_L2(np.ones((2, 2))), TypeError, "array of float32 to be normalised in place"),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), REFUSED)
def test_what_is_refused(call, kind, sentence):
    with pytest.raises(kind) as caught:
        call()
    assert sentence in str(caught.value)


def test_files_that_are_cut_or_foreign(tmp_path):
    index = ours.IndexFlatL2(4)
    index.add(ROWS)
    ours.write_index(index, tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    for length in (6, 40, len(content) - 3):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(FileError, match="must be a whole flat index, got"):
            ours.read_index(tmp_path / "cut")


@pytest.mark.skipif(PEER is not None, reason="faiss is installed")
def test_what_is_left_to_an_absent_faiss(tmp_path):
    (tmp_path / "graph").write_bytes(b"IHNf....")
    with pytest.raises(ModuleNotFoundError, match=r"is left to faiss, which is not installed"):
        ours.read_index(tmp_path / "graph")
    with pytest.raises(ModuleNotFoundError, match="an index that is not flat is left to faiss"):
        ours.write_index(object(), tmp_path / "b")


def test_queries_of_no_rows():
    index = ours.IndexFlatL2(4)
    index.add(ROWS)
    distances, ids = index.search(QUERIES[:0], 2)
    assert distances.shape == ids.shape == (0, 2)
    assert repr(index) == f"IndexFlatL2(d=4, ntotal={len(ROWS)}, metric_type=1)"
