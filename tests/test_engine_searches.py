"""The Numba engine on small inputs: filters, stats, dtypes, stores, galleries, who is to run, progress."""

import itertools
import sys
import threading
import time

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import BFLOAT16, GEMM_FAMILY, arrays
from crossmodal_fast.kernels.ranks import reference as ranks_law
from crossmodal_fast.kernels.tiles import engine, packed, pool, sweep, worth
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.within import reference as within_law
from least import least_max_bytes
from searches import OPERATIONS, PRECISIONS, border, crowd, crowd_filters, everything, random, same
from stores import PairStore, Store
from test_near_ties import every_search

# ------------------------------------------------------------------------------------------------------------- filters


@pytest.mark.parametrize("size", [1e-45, 1e-9, 1.0, 1e6, 1e200])
@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine", "dot", "euclidean"])
def test_biases_of_all_sizes_and_both_signs(metric, size):
    rng = np.random.default_rng(206)
    x, y = random(7, 90, 11)
    y[50:] = y[10:50]
    for u, v in ((1, -1), (1e6, 1)):
        bias = u * size * rng.standard_normal(7), v * size * rng.standard_normal(90)
        every_search(x, y, 8, metric, "numba", bias=bias)


@pytest.mark.parametrize(("precision", "ranges"), [("int8", 3), ("int16", 3 * engine.JOBS_PER_THREAD)])
def test_few_queries_in_bytes_have_a_range_of_the_gallery_for_each_thread(precision, ranges, monkeypatch):
    """Beginnings of lists cost them more than a thread that waits."""
    x, y = random(3, 4000, 24)
    asked, plain = [], engine.Search.shares
    monkeypatch.setattr(engine.Search, "shares", lambda *given: asked.append(plain(*given)) or asked[-1])
    found, wanted = (cmf.topk(x, y, 5, **more) for more in (
        {"precision": precision, "n_threads": 3, "backend": "numba"}, {"backend": "numpy"}))  # fmt: skip
    for part, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(part, other)
    assert asked[-1][0] == ranges


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 16, 64])
def test_ranges_of_bytes_keep_the_threads_busy(threads):
    for jobs in range(1, 4 * threads):
        most = -(-4 * threads // jobs)
        ranges = engine._fewest(jobs, threads, most)
        busy = [jobs * some / (threads * -(-jobs * some // threads)) for some in range(1, most + 1)]
        assert 1 <= ranges <= most
        assert busy[ranges - 1] >= engine.BUSY or ranges == most
        assert all(share < engine.BUSY for share in busy[: ranges - 1])


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("shape", ["rows", "pairs"])
def test_masks_with_exclusions(shape, share):
    rng = np.random.default_rng(207)
    x, y = random(20, 333, 12)
    mask = rng.random(333 if shape == "rows" else (20, 333)) < share
    for exclude in (None, rng.integers(-1, 333, 20)):
        filters = {"mask": mask, "exclude": exclude}
        third = border(x, y, 11, **filters)
        answers = everything(x, y, third, backend="numba", **filters)
        judge.same_bits(answers[0], topk_law.topk(x, y, 11, **filters), np.float32)
        for side, law in zip(answers[1], topk_law.topk_both(x, y, 11, 11, **filters), strict=True):
            judge.same_bits(side, law, np.float32)
        judge.same_rows(answers[2], within_law.within(x, y, third["within"], **filters), np.float32)
        law = ranks_law.ranks(x, y, np.arange(20), third["ranks"], **filters)
        judge.same_ranks(answers[3], law, "index")


def test_a_mask_keeps_the_best_out_and_the_scan_does_not_widen():
    """Filters take part in the scan: thousands of better rows that may not match cost no candidate."""
    x, y = random(8, 4000, 20)
    y[:3000] = x[0]
    mask = np.arange(4000) >= 3000
    for filters in ({"mask": mask}, {"mask": np.tile(mask, (8, 1))}):
        answer = cmf.topk(x, y, 5, backend="numba", return_stats=True, **filters)
        judge.same_bits(answer[:2], topk_law.topk(x, y, 5, **filters), np.float32)
        assert not answer[2].widened.any()
        assert answer[2].candidates.max() < 30


@pytest.mark.parametrize("metric", GEMM_FAMILY)
@pytest.mark.parametrize("k", [1, 2, 130])
def test_one_neighbour_and_all(metric, k):
    x, y = arrays("normal-17x130x64")
    judge.same_bits(cmf.topk(x, y, k, metric, backend="numba"), topk_law.topk(x, y, k, metric), np.float32)
    k_columns = min(k, 17)
    both = cmf.topk_both(x, y, (k, k_columns), metric, backend="numba")
    for side, law in zip(both, topk_law.topk_both(x, y, k, k_columns, metric), strict=True):
        judge.same_bits(side, law, np.float32)


@pytest.mark.parametrize("positives", [1, 63, 64, 65, 150])
def test_more_positives_than_one_visit_counts(positives):
    """64 of a row at a time."""
    x, y = random(5, 160, 9)
    y[80:] = y[:80]
    rng = np.random.default_rng(208)
    counts = np.array([positives, 0, 1, positives, 2])
    positive = np.concatenate([rng.permutation(160)[:count] for count in counts])
    row = np.repeat(np.arange(5), counts)
    for ties in ("index", "pessimistic"):
        answer = cmf.ranks(x, y, (np.r_[0, np.cumsum(counts)], positive), ties=ties, backend="numba")
        judge.same_ranks(answer, ranks_law.ranks(x, y, row, positive, ties), ties)


# --------------------------------------------------------------------------------------------------------------- stats


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("n", "d", "k"), [(5000, 64, 10), (4000, 256, 1), (3000, 16, 50)])
def test_a_certificate_lets_few_through(n, d, k, precision):
    x, y = random(40, n, d)
    for metric in ("euclidean", "cosine", "dot"):
        distances, indices, stats = cmf.topk(x, y, k, metric, precision=precision, backend="numba", return_stats=True)
        same([distances, indices], cmf.topk(x, y, k, metric, backend="numpy"))
        assert stats.candidates.min() >= k
        least = {"int6": 0.3 * n, "int7": 0.1 * n, "int8": 4 * k + 90}.get(precision, k + 10)
        assert stats.candidates.max() < least, stats.candidates.max()
        assert precision == "int6" or not stats.widened.any()


def test_what_stats_say():
    x, y = random(30, 2000, 32)
    began = time.perf_counter()
    stats = cmf.topk(x, y, 4, backend="numba", return_stats=True)[2]
    took = time.perf_counter() - began
    assert stats.backend == "numba"
    assert stats.precision in ("int8", "int16")
    assert stats.candidates.shape == stats.widened.shape == (30,)
    assert (stats.candidates.dtype, stats.widened.dtype) == (np.int64, bool)
    assert 0 < stats.prepare_seconds < took
    assert 0 < stats.scan_seconds < took
    assert stats.prepare_seconds + stats.scan_seconds <= took
    for precision in PRECISIONS:
        found = cmf.topk(x, y, 4, precision=precision, backend="numba", return_stats=True)[2]
        assert found.precision == precision
    assert cmf.topk(x, y, 4, "cityblock", backend="numba", return_stats=True)[2].precision == "float64"


def test_candidates_are_counted_where_no_bound_exists():
    x, y = random(6, 50, 5)
    assert (cmf.topk(x, y, 4, "cityblock", backend="numba", return_stats=True)[2].candidates == 50).all()
    x[2] *= np.float32(1e20)  # of another order of magnitude: all its pairs by canonical value
    stats = cmf.topk(x, y, 4, "euclidean", backend="numba", return_stats=True)[2]
    assert stats.candidates[2] == 50
    assert stats.candidates[[0, 1, 3, 4, 5]].max() < 20


# ------------------------------------------------------------------------------------------------------ dtypes, stores


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.bool_, np.float16, BFLOAT16, np.float64, np.int32])
@pytest.mark.parametrize(
    "precision", ["int7", "int16", *(pytest.param(name, marks=pytest.mark.heavy) for name in ("int6", "int8"))]
)
def test_dtypes(dtype, precision, metric):
    rng = np.random.default_rng(209)
    low, high = {"uint8": (0, 256), "bool": (0, 2)}.get(np.dtype(dtype).name, (-128, 128))
    x, y = (rng.integers(low, high, (rows, 21)).astype(dtype) for rows in (7, 160))
    every_search(x, y, 6, metric, "numba", precision=precision)


@pytest.mark.parametrize("other", [np.int8, np.float64, BFLOAT16])
def test_sides_of_different_dtypes(other):
    x, y = random(6, 90, 15)
    x = (10 * x).astype(other)
    for precision in ("int7", "float64"):
        every_search(x, y, 6, "euclidean", "numba", precision=precision)
        every_search(y[:5], x, 3, "dot", "numba", precision=precision)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.bool_])
def test_whole_numbers_leave_no_more_candidates_than_ties(dtype):
    """Their codes are the rows themselves: nothing is left out, and the bound is as sharp as float32."""
    rng = np.random.default_rng(210)
    low, high = {"uint8": (0, 256), "bool": (0, 2)}.get(np.dtype(dtype).name, (-128, 128))
    x, y = (rng.integers(low, high, (rows, 64)).astype(dtype) for rows in (20, 3000))
    *_, stats = cmf.topk(x, y, 5, "dot", precision="int16", backend="numba", return_stats=True)
    value = x.astype(np.int64) @ y.astype(np.int64).T
    tied = (value >= -np.sort(-value, axis=1)[:, 4:5]).sum(axis=1)
    assert (stats.candidates <= tied + 5).all()


class Watched:
    """A store that notes how many read at once, it and its like."""

    readers, most, lock = 0, 0, threading.Lock()

    def __getitem__(self, part):
        with Watched.lock:
            Watched.readers += 1
            Watched.most = max(Watched.most, Watched.readers)
        try:
            time.sleep(0.0003)
            return super().__getitem__(part)
        finally:
            with Watched.lock:
                Watched.readers -= 1


class WatchedRows(Watched, Store):
    """One side of a search."""


class WatchedPairs(Watched, PairStore):
    """A mask of pairs."""


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("metric", "masked"), [("euclidean", False), ("dot", True), ("cityblock", False), ("cityblock", True)]
)
def test_stores_have_one_reader_at_a_time(metric, masked, operation, monkeypatch):
    """HDF5 bears no two, of different data sets either."""
    x, y = random(12, 80, 12)
    y[::7] *= np.float32(1e25)  # odd rows: by canonical value, from all threads
    mask = np.random.default_rng(211).random((12, 80)) < 0.7 if masked else None
    third = border(x, y, 5, metric, mask=mask)[operation]
    search = getattr(cmf, operation)
    expected = search(x, y, third, metric, mask=mask, backend="numpy")
    monkeypatch.setattr(Watched, "most", 0)
    monkeypatch.setattr(packed, "PIECE_BYTES", 1 << 10)
    mask = WatchedPairs(mask) if masked else None
    same(search(WatchedRows(x), WatchedRows(y), third, metric, mask=mask, n_threads=4, backend="numba"), expected)
    assert Watched.most == 1


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_mapped_files(metric, tmp_path):
    x, y = random(11, 500, 21)
    for name, rows in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", rows)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy"]
    every_search(*mapped, 6, metric, "numba")
    least = least_max_bytes(lambda max_bytes: cmf.topk(*mapped, 6, metric, max_bytes=max_bytes, backend="numba"))
    answer = cmf.topk(*mapped, 6, metric, max_bytes=least, backend="numba")
    judge.same_bits(answer, topk_law.topk(x, y, 6, metric), np.float32)


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cityblock"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_first_bad_row_is_named(operation, metric, monkeypatch):
    """In the order of the rows, whichever thread is first."""
    monkeypatch.setattr(packed, "PIECE_BYTES", 1 << 10)
    x, y = random(40, 300, 16)
    third = border(x, y, 3, metric)[operation]
    names = ("X", "Y") if operation == "topk_both" else ("queries", "gallery")
    for side, rows in ((1, [130, 131, 250, 299]), (0, [25, 39])):
        spoiled = [x.copy(), y.copy()]
        spoiled[side][rows, 3] = [np.nan, *[np.inf] * (len(rows) - 1)]
        for _ in range(3):
            with pytest.raises(ValueError, match=rf"^{names[side]} must be finite, got nan in row {rows[0]};"):
                getattr(cmf, operation)(*spoiled, third, metric, n_threads=4, backend="numba")


# ------------------------------------------------------------------------------------------------------------- gallery


PRECISIONS_OF_A_GALLERY = ("int6", "int7", "int8", "int16", "float64")


@pytest.mark.parametrize("metric", GEMM_FAMILY)
def test_a_gallery_that_grows_and_shrinks_across_chunks(metric, monkeypatch):
    monkeypatch.setattr(packed, "CHUNK_ROWS", 64)
    rng = np.random.default_rng(212)
    x, y = random(13, 400, 17)
    y[[3, 63, 64, 200]] *= np.float32(1e30)
    y[[5, 65, 199]] = 0
    y[300:330] = y[100:130]
    ids = rng.permutation(1000)[:400]
    gallery, held = cmf.Gallery(y[:150], metric, ids=ids[:150]), np.arange(150)

    precisions = itertools.cycle(PRECISIONS_OF_A_GALLERY)

    def check(times=2):
        kept, where = y[held], ids[held]
        value, index = topk_law.topk(x, kept, 9, metric)
        positive = index[:, 8]
        radius = np.where(np.isfinite(value[:, 8]), value[:, 8], 1.0)
        rank = ranks_law.ranks(x, kept, np.arange(13), positive, "index", metric)
        indptr, inside, distances = within_law.within(x, kept, radius, metric)
        for precision in itertools.islice(precisions, times):
            control = {"precision": precision, "backend": "numba"}
            judge.same_bits(gallery.topk(x, 9, **control), (value, where[index]), np.float32)
            judge.same_rows(gallery.within(x, radius, **control), (indptr, where[inside], distances), np.float32)
            judge.same_ranks(gallery.ranks(x, where[positive], **control), rank, "index")

    check(times=5)  # from here on the gallery holds codes of each, two of which are looked at after each change
    for add, remove in ((1, [0]), (41, [63, 64, 65]), (64, range(60, 70)), (144, [399, 128, 127]), (0, range(64))):
        start = held.max() + 1
        gallery.add(y[start : start + add], ids=ids[start : start + add]) if add else None
        held = np.r_[held, start : start + add].astype(int)
        check()
        gone = np.intersect1d(held, list(remove))
        gallery.remove(ids[gone])
        held = np.setdiff1d(held, gone)
        check()


def test_a_gallery_is_encoded_once_for_each_precision():
    x, y = random(5, 300, 16)
    gallery = cmf.Gallery(y, copy=False)
    sizes = [gallery.nbytes]
    for precision in ("int8", "int16", "int8", "int16"):
        gallery.topk(x, 3, precision=precision, backend="numba")
        sizes.append(gallery.nbytes)
    assert sizes[0] < sizes[1] < sizes[2] == sizes[3] == sizes[4]
    assert sizes[1] - sizes[0] >= 300 * 16
    assert sizes[2] - sizes[1] >= 300 * 32


def test_a_gallery_keeps_its_bits_under_filters():
    x, y = crowd(20, 500)
    gallery = cmf.Gallery(y)
    for filters in crowd_filters(20, 500).values():
        for precision in ("int16", "float32"):
            answer = gallery.topk(x, 7, precision=precision, backend="numba", **filters)
            judge.same_bits(answer, topk_law.topk(x, y, 7, **filters), np.float32)


# ------------------------------------------------------------------------------------------------------ who is to run


def objection(x, y, metric, prepared):
    return worth.objection("numba", "topk", x, y, metric, prepared=prepared, precision="auto")


class Sized:
    def __init__(self, n, d):
        self.n, self.shape = n, (n, d)

    def __len__(self):
        return self.n


def test_numpy_is_preferred_for_little_work():
    assert objection(Sized(1, 64), Sized(1 << 16, 64), None, None) is None
    reason = objection(Sized(10, 64), Sized(6000, 64), None, None)
    assert reason == "NumPy is through with 60000 pairs of 64 features before Numba is ready"


def test_numpy_is_preferred_for_more_work_while_numba_is_not_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "numba")
    assert objection(Sized(1, 64), Sized(1 << 22, 64), None, None) is not None
    assert objection(Sized(2, 64), Sized(1 << 22, 64), None, None) is None


def test_a_prepared_gallery_is_for_numba_where_it_is_large(monkeypatch):
    assert objection(Sized(1, 64), Sized(1 << 17, 64), None, object()) is None
    assert objection(Sized(1, 64), Sized((1 << 16) - 1, 64), None, object()) is not None


@pytest.mark.parametrize(("m", "backend"), [(5, "numpy"), (70, "numba")])
def test_auto_chooses_by_the_work(m, backend, monkeypatch):
    monkeypatch.delenv("CROSSMODAL_FAST_BACKEND", raising=False)
    x, y = random(m, 2000, 32)
    distances, indices, stats = cmf.topk(x, y, 3, return_stats=True)
    assert stats.backend == backend
    same([distances, indices], cmf.topk(x, y, 3, backend="numpy"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_precisions_that_numba_does_not_scan_in(operation):
    x, y = random(5, 20, 4)
    third = border(x, y, 3)[operation]
    sentence = r"it scans in int6, int7, int8, int16, float32, float64, not precision='float16'"
    name = operation.removesuffix("_both")  # one kernel for both
    with pytest.raises(
        cmf.BackendUnavailable, match=rf"^{name} cannot run with backend='numba' \(numba: {sentence}\)$"
    ):
        getattr(cmf, operation)(x, y, third, precision="float16", backend="numba")


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_a_precision_that_only_numba_has_is_no_small_problem(precision, monkeypatch):
    """What would rather not may not refuse, where nobody else can."""
    monkeypatch.delenv("CROSSMODAL_FAST_BACKEND", raising=False)
    x, y = random(5, 20, 4)
    distances, indices, stats = cmf.topk(x, y, 3, precision=precision, return_stats=True)
    assert (stats.backend, stats.precision) == ("numba", precision)
    judge.same_bits((distances, indices), topk_law.topk(x, y, 3), np.float32)


# --------------------------------------------------------------------------------------------------- progress and stop


@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_exception_in_progress_stops_the_call_and_nothing_else(operation, metric):
    x, y = crowd(30, 300)
    third = border(x, y, 5, metric)[operation]
    search, told = getattr(cmf, operation), []

    def refuse(done, total):
        told.append((done, total))
        raise LookupError("enough")

    for n_threads in (1, 3):
        with pytest.raises(LookupError, match=r"^enough$"):
            search(x, y, third, metric, progress=refuse, n_threads=n_threads, backend="numba")
        assert len(told) == 1
        told.clear()
    same(search(x, y, third, metric, backend="numba"), search(x, y, third, metric, backend="numpy"))


@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_progress_rises_to_the_end(operation, metric):
    x, y = crowd(30, 300)
    third, told = border(x, y, 5, metric)[operation], []
    call = getattr(cmf, operation)
    least = least_max_bytes(lambda max_bytes: call(x, y, third, metric, max_bytes=max_bytes, backend="numba"))
    call(x, y, third, metric, max_bytes=least, progress=lambda *share: told.append(share), backend="numba")
    assert len({total for _, total in told}) == 1
    shares = [done for done, _ in told]
    assert shares == sorted(shares)
    assert told[-1][0] == told[-1][1]
    assert len(told) > 1


def test_threads_end_with_their_work():
    """More threads than cores, and fewer afterwards: no call leaves threads of its own."""
    x, y = crowd(30, 300)
    for n_threads in (8, 1, 2, 8):
        cmf.topk(x, y, 5, n_threads=n_threads, backend="numba")
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("crossmodal_fast")]
    assert len(ours) <= max(8, pool.cores()) + pool.cores()


def test_blocks_are_as_long_as_these_tests_believe():
    assert sweep.BLOCK_BYTES == 1 << 14
