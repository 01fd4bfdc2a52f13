"""Searches in parts give the bits of `topk`, whatever is read from where, and go on where they were killed."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import streaming
from crossmodal_fast.files import FileError
from crossmodal_fast.streaming import _journal, _nearest, _reading, _restrictions, _run, _sources
from stores import PairStore, Store

RANDOM = np.random.default_rng(5)
QUERIES = RANDOM.standard_normal((30, 8)).astype(np.float32)
GALLERY = np.concatenate([RANDOM.standard_normal((400, 8)), np.zeros((20, 8)), QUERIES + 1e-3]).astype(np.float32)
K = 7


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Blocks of 8 queries, parts of 100 rows, stretches of 150, chunks of 64."""
    row = GALLERY.shape[1] * 4
    monkeypatch.setattr(
        _run, "SHARES", {"part": 100 * row / 2**30, "queries": 8 * row / 2**30, "results": 1, "engine": 0.5}
    )
    monkeypatch.setattr(_run, "STRETCH_BYTES", 150 * row)
    monkeypatch.setattr("crossmodal_fast.streaming._reading.CHUNK_BYTES", 64 * row)
    monkeypatch.setattr(_sources, "ROWS_BROUGHT", 50)
    with cmf.use_backend("numpy"):
        yield


def same(found, expected):
    for part, other in zip(found, expected, strict=True):
        assert part.dtype == other.dtype
        np.testing.assert_array_equal(part, other)


def mapped(folder, rows, mode="r"):
    np.save(folder / "mapped.npy", rows)
    return np.load(folder / "mapped.npy", mmap_mode=mode)


def path_of(folder, rows):
    np.save(folder / "rows.npy", rows)
    return folder / "rows.npy"


WAYS = {
    "path": path_of,
    "memmap": mapped,
    "private memmap": lambda folder, rows: mapped(folder, rows, "c"),
    "store": lambda folder, rows: Store(rows),
    "array": lambda folder, rows: rows,
    "blocks": lambda folder, rows: iter(np.array_split(rows, 7)),
}


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "cityblock"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_reading_gives_the_bits_of_topk(way, metric, tmp_path, monkeypatch):
    expected = cmf.topk(QUERIES, GALLERY, K, metric)
    same(streaming.topk(WAYS[way](tmp_path, QUERIES), GALLERY, K, metric), expected)
    monkeypatch.setitem(_run.SHARES, "queries", 1)  # a gallery that is read once
    same(streaming.topk(QUERIES, WAYS[way](tmp_path, GALLERY), K, metric), expected)


def test_on_numba(tmp_path):
    expected = cmf.topk(QUERIES, GALLERY, K, backend="numba")
    same(streaming.topk(QUERIES, path_of(tmp_path, GALLERY), K, backend="numba"), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.float64, np.int64])
def test_dtypes(dtype, tmp_path):
    queries, gallery = (10 * QUERIES).astype(dtype), (10 * GALLERY).astype(dtype)  # int8: ties between parts
    same(streaming.topk(queries, path_of(tmp_path, gallery), K), cmf.topk(queries, gallery, K))


def test_squares_that_tie_as_roots_are_told_apart():
    """Two float64 numbers whose float64 roots are equal: the nearer row comes first, though it is in a later part."""
    near = next(value for value in np.linspace(3.5, 3.9) if np.sqrt(value) == np.sqrt(np.nextafter(value, 4)))
    further = np.nextafter(near, 4)
    order = _restrictions.order_of("euclidean", {}, 8, False)
    best = _nearest.nothing(1, 2).with_others(np.array([[further]]), np.array([[0]]))
    best = best.with_others(np.array([[near]]), np.array([[500]]))
    assert best.indices.tolist() == [[500, 0]]
    assert (np.diff(order.distances(best.values, np.float64)) == 0).all()


def restricted():
    mask = np.random.default_rng(9).random((30, 450)) < 0.4
    mask[3] = False
    bias = np.linspace(-1, 1, 30), np.linspace(0, 3, 450)
    excluded = np.where(np.arange(30) % 3, np.arange(420, 450), -1)
    return {
        "exclude": {"exclude": excluded},
        "rows": {"mask": mask[5]},
        "pairs": {"mask": mask},
        "store": {"mask": PairStore(mask)},
        "bias": {"bias": bias},
        "all": {"bias": bias, "mask": mask, "exclude": excluded, "dtype": np.float64},
    }


@pytest.mark.parametrize("kind", restricted())
@pytest.mark.parametrize("metric", ["euclidean", "dot"])
def test_restrictions(kind, metric, tmp_path):
    for gallery in (path_of(tmp_path, GALLERY), Store(GALLERY)):
        found = streaming.topk(QUERIES, gallery, K, metric, **restricted()[kind])
        same(found, cmf.topk(QUERIES, GALLERY, K, metric, **restricted()[kind]))


def test_a_stored_mask_is_read_where_a_search_asks_for_it():
    pairs = np.random.default_rng(9).random((30, 450)) < 0.4
    mask = PairStore(pairs)
    found = _restrictions.Restrictions(None, mask, None).of(slice(2, 8), slice(100, 400)).mask
    assert found.shape == (6, 300)
    np.testing.assert_array_equal(found[1:3, 5:9], pairs[3:5, 105:109])
    np.testing.assert_array_equal(found[4:9, 290:999], pairs[6:8, 390:400])
    assert mask.read == 20


def test_more_wanted_than_a_part_has_and_rows_of_oneself(tmp_path):
    path = path_of(tmp_path, GALLERY)
    same(streaming.topk(QUERIES, path, 330), cmf.topk(QUERIES, GALLERY, 330))
    same(streaming.topk(path, path, 3, exclude_self=True), cmf.topk(GALLERY, GALLERY, 3, exclude_self=True))


@pytest.mark.parametrize(("metric", "given"), [
    ("minkowski", None), ("minkowski", {"p": 2}), ("minkowski", {"p": 3}), ("euclidean", {"w": np.arange(1.0, 9.0)}),
])  # fmt: skip
def test_metrics_that_keywords_make_another(metric, given, tmp_path):
    expected = cmf.topk(QUERIES, GALLERY, K, metric, metric_kwargs=given)
    same(streaming.topk(QUERIES, path_of(tmp_path, GALLERY), K, metric, metric_kwargs=given), expected)


@pytest.mark.parametrize("metric", ["seuclidean", "mahalanobis"])
def test_parameters_over_all_rows(metric):
    same(streaming.topk(QUERIES, Store(GALLERY), K, metric), cmf.topk(QUERIES, GALLERY, K, metric))


def test_no_queries():
    distances, indices = streaming.topk(QUERIES[:0], GALLERY, K)
    assert distances.shape == indices.shape == (0, K)


def test_nan_rows_sort_last_where_they_may(tmp_path):
    gallery = GALLERY.copy()
    gallery[[3, 200, 444]] = np.nan
    found = streaming.topk(QUERIES, path_of(tmp_path, gallery), 450, check_finite=False)
    same(found, cmf.topk(QUERIES, gallery, 450, check_finite=False))
    for rows in (path_of(tmp_path, gallery[4:]), Store(gallery[4:])):
        with pytest.raises(ValueError, match=r"^gallery must be finite, got nan in row 196; check_finite=False sorts"):
            streaming.topk(QUERIES, rows, K)
    queries = QUERIES.copy()
    queries[20] = np.inf
    with pytest.raises(ValueError, match=r"^queries must be finite, got inf in row 20; "):
        streaming.topk(queries, GALLERY, K)


def test_what_is_written_to_a_private_mapping_stays(tmp_path):
    private = mapped(tmp_path, GALLERY, "c")
    private[:] = GALLERY[::-1]
    same(streaming.topk(QUERIES, private, K), cmf.topk(QUERIES, GALLERY[::-1], K))


def test_progress_in_bytes_of_the_gallery(tmp_path):
    for rows in (path_of(tmp_path, GALLERY), Store(GALLERY)):
        told = []
        streaming.topk(QUERIES, rows, K, progress=lambda *step: told.append(step))  # noqa: B023 - called at once
        assert told == sorted(told)
        assert told[-1] == (4 * GALLERY.nbytes, 4 * GALLERY.nbytes)
        assert len(told) >= 4 * 3


SENTENCES = [
    (lambda: streaming.topk(QUERIES, GALLERY, K, resume=True), "output must be given with resume=True, got None"),
    (
        lambda: streaming.topk(QUERIES, iter([GALLERY]), K, resume=True, output="o.npy"),
        "resume must be False for an iterator, which cannot be read again, got True",
    ),
    (lambda: streaming.topk(QUERIES, iter([]), K), "gallery must have at least one block, got an iterator at its end"),
    (
        lambda: streaming.topk(QUERIES, iter([GALLERY, GALLERY[:, :4]]), K, max_bytes=2**34),
        "gallery must have blocks of 8 features of float32, got 4 of float32",
    ),
    (
        lambda: streaming.topk(QUERIES, iter([GALLERY]), K),
        "queries must fit into memory where gallery is an iterator, read once, got 30 of which 8 fit into max_bytes",
    ),
    (
        lambda: streaming.topk(iter([QUERIES]), iter([GALLERY]), K),
        "queries must fit into memory where gallery is an iterator, read once, got an iterator",
    ),
    (
        lambda: streaming.topk(QUERIES[:8], iter([GALLERY]), 451),
        "k must be in 1..450 (the rows of gallery), got 451",
    ),
    (
        lambda: streaming.topk(iter([QUERIES]), GALLERY, K, mask=np.ones(450, bool)),
        "mask must be left out where a side is an iterator, whose rows are not known beforehand",
    ),
    (
        lambda: streaming.topk(iter([QUERIES]), GALLERY, K, "seuclidean"),
        "metric_kwargs must have V where a side is an iterator, got metric='seuclidean' alone",
    ),
    (
        lambda: streaming.topk(QUERIES, ("a.npz", 3), K),
        "gallery must be (path, name of the array in it), got 3 for the name",
    ),
    (lambda: streaming.topk(QUERIES, GALLERY, 451), "k must be in 1..450 (the rows of gallery), got 451"),
    (
        lambda: streaming.topk(QUERIES, iter([[1.0]]), K),
        "a block of gallery must have shape (..., rows, features), got (1,)",
    ),
]  # fmt: skip


def refused(call, sentence):
    """A call is answered with the sentence, and leaves nothing in the working folder."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert str(caught.value) == sentence
    assert os.listdir() == []


@pytest.mark.parametrize("at", range(len(SENTENCES)))
def test_sentences(at, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(*SENTENCES[at])


def test_too_little_memory_names_what_is_enough():
    with pytest.raises(ValueError, match=r"^max_bytes must be at least (\d+) for .*, got 1$") as caught:
        streaming.topk(QUERIES, GALLERY, K, max_bytes=1)
    with pytest.raises(ValueError, match=r"^max_bytes must be at least (\d+) for .*, got 1000000$") as caught:
        streaming.topk(QUERIES, GALLERY, K, max_bytes=10**6)
    least = int(str(caught.value).split()[5])
    same(streaming.topk(QUERIES, GALLERY, K, max_bytes=least), cmf.topk(QUERIES, GALLERY, K))


@pytest.mark.parametrize(("given", "output"), [("rows.npz", "rows.npz"), ("o.distances.npy", "o.npy")])
def test_results_take_the_place_of_no_rows(given, output, tmp_path):
    path = tmp_path / given
    (np.savez if path.suffix == ".npz" else np.save)(path, GALLERY)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"^output must be another file than gallery, got '.*' for both$"):
        streaming.topk(QUERIES, path, K, output=tmp_path / output)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_arguments_are_named():
    with pytest.raises(
        TypeError, match=r"^search arguments must be among \['backend', .*'progress'\], got 'return_stats'$"
    ):
        streaming.topk(QUERIES, GALLERY, K, return_stats=True)


class Waiting(_sources.Source):
    """Rows whose first chunk takes until `gate` opens."""

    def read(self, start, stop):
        if start == 0:
            self.gate.wait()
        return super().read(start, stop)


def test_readers_far_from_each_other():
    """One who goes on behind what is read ahead takes nothing from those who wait for it."""
    source, far = Waiting("gallery", GALLERY), 13 * 32
    source.gate = threading.Event()
    with _reading.Ahead(source, 0, len(GALLERY), 16 * 32 * _reading.SHARE) as store, ThreadPoolExecutor(3) as readers:
        spans = [slice(0, 16), slice(16, 32), slice(far, far + 16)]
        assert store._step == 16
        found = []
        for span in spans:
            found.append(readers.submit(store.__getitem__, span))
            time.sleep(0.05)
        source.gate.set()
        for span, rows in zip(spans, found, strict=True):
            np.testing.assert_array_equal(rows.result(), GALLERY[span])


def test_a_part_is_told_what_those_before_it_found(tmp_path, monkeypatch):
    told, select = [], _nearest.select
    monkeypatch.setattr(
        _nearest, "select", lambda *a, limit, **more: (told.append(limit), select(*a, limit=limit, **more))[1]
    )
    same(streaming.topk(QUERIES[:8], path_of(tmp_path, GALLERY), K), cmf.topk(QUERIES[:8], GALLERY, K))
    law = np.sort(((QUERIES[:8, None].astype(np.float64) - GALLERY[:150]) ** 2).sum(axis=2))[:, K - 1]
    assert np.isinf(told[0]).all()
    np.testing.assert_allclose(told[1], law, rtol=1e-12)
    assert (told[2] <= told[1]).all()


# ----------------------------------------------------------------------------------------------------------- resuming


class Stop(Exception):
    pass


def stopped(path, gallery, calls, monkeypatch, **keywords):
    """A search that ends at its `calls`-th part as if it were killed."""
    search, left = _nearest.select, [calls]

    def counted(*arguments, **more):
        left[0] -= 1
        if left[0] < 0:
            raise Stop
        return search(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(_nearest, "select", counted)
        patch.setattr(_run, "KEPT_SECONDS", -1.0)
        with pytest.raises(Stop):
            streaming.topk(QUERIES, gallery, K, output=path, **keywords)


def resumed(path, gallery, monkeypatch, **keywords):
    """(results, parts searched, queries taken over)"""
    search, calls = _nearest.select, []
    with monkeypatch.context() as patch:
        patch.setattr(_nearest, "select", lambda *arguments, **more: (calls.append(1), search(*arguments, **more))[1])
        told = streaming.topk(QUERIES, gallery, K, output=path, resume=True, **keywords)
    assert sorted(file.name for file in path.parent.iterdir() if "o." in file.name) == [
        "o.distances.npy",
        "o.indices.npy",
    ]
    return (
        tuple(np.load(path.with_suffix(f".{name}.npy")) for name in ("distances", "indices")),
        len(calls),
        told.resumed,
    )


@pytest.mark.parametrize("calls", [1, 3, 5, 11])  # of 4 blocks x 3 stretches
def test_goes_on_where_it_was_stopped(calls, tmp_path, monkeypatch):
    gallery, output = path_of(tmp_path, GALLERY), tmp_path / "o.npy"
    stopped(output, gallery, calls, monkeypatch)
    results, searched, over = resumed(output, gallery, monkeypatch)
    same(results, cmf.topk(QUERIES, GALLERY, K))
    assert searched == 12 - calls
    assert over == min(30, 8 * (calls // 3))


def test_what_is_damaged_is_done_again(tmp_path, monkeypatch):
    gallery, output = path_of(tmp_path, GALLERY), tmp_path / "o.npy"
    stopped(output, gallery, 11, monkeypatch)
    kept = sorted((tmp_path / "o.npy.partial").iterdir())
    assert [file.name for file in kept] == ["block.0", "block.1", "block.2", "settings", "state.3"]
    for file in (kept[0], kept[4]):
        content = bytearray(file.read_bytes())
        content[8200] ^= 1
        file.write_bytes(content)
    kept[1].write_bytes(kept[1].read_bytes()[:-30])
    results, searched, over = resumed(output, gallery, monkeypatch)
    same(results, cmf.topk(QUERIES, GALLERY, K))
    assert (searched, over) == (9, 8)


def test_goes_on_where_all_rows_in_memory_had_been_searched(tmp_path, monkeypatch):
    monkeypatch.setattr(_run, "KEPT_SECONDS", -1)
    put = _journal.Journal.put

    def dying(journal, name, arrays):
        if name.startswith("block"):
            raise Stop
        put(journal, name, arrays)

    monkeypatch.setattr(_journal.Journal, "put", dying)
    with pytest.raises(Stop):
        streaming.topk(QUERIES, GALLERY, K, output=tmp_path / "o.npy", resume=True)
    monkeypatch.setattr(_journal.Journal, "put", put)
    results, searched, _ = resumed(tmp_path / "o.npy", GALLERY, monkeypatch)
    same(results, cmf.topk(QUERIES, GALLERY, K))
    assert searched == 3  # of four blocks


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_in_the_place_of_the_journal(resume, tmp_path):
    (tmp_path / "o.npy.partial").write_bytes(b"mine")
    with pytest.raises(FileError, match=r"must be free for what is done so far, got something else: move it away$"):
        streaming.topk(QUERIES, GALLERY, K, output=tmp_path / "o.npy", resume=resume)
    assert (tmp_path / "o.npy.partial").read_bytes() == b"mine"


def test_a_journal_without_its_settings_does_not_count(tmp_path, monkeypatch):
    gallery, output = path_of(tmp_path, GALLERY), tmp_path / "o.npy"
    stopped(output, gallery, 11, monkeypatch)
    (tmp_path / "o.npy.partial" / "settings").write_bytes(b"")
    results, searched, _ = resumed(output, gallery, monkeypatch)
    same(results, cmf.topk(QUERIES, GALLERY, K))
    assert searched == 12


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda rows: {"k": 3}, "k"),
        (lambda rows: {"metric": "cosine"}, "metric"),
        (lambda rows: {"max_bytes": 2**29}, "max_bytes"),
        (lambda rows: {"bias": (np.zeros(30), np.zeros(450))}, "bias"),
        (lambda rows: {"mask": np.ones((30, 450), bool)}, "mask"),
        (lambda rows: {"exclude": np.zeros(30, int)}, "exclude"),
        (lambda rows: {"dtype": np.float64}, "dtype"),
        (lambda rows: {"check_finite": False}, "check_finite"),
        (lambda rows: {"queries": QUERIES + 1}, "queries"),
        (lambda rows: np.save(rows, GALLERY[::-1]), "gallery"),
        (lambda rows: os.utime(rows, (1, 1)), "gallery"),
    ],
)
def test_what_changed_is_refused(change, name, tmp_path, monkeypatch):
    gallery, output = path_of(tmp_path, GALLERY), tmp_path / "o.npy"
    stopped(output, gallery, 4, monkeypatch)
    given = {"queries": QUERIES, "k": K} | (change(gallery) or {})
    told = f"'{output}' must be resumed with what it was begun with, got another {name}; without resume it begins anew"
    with pytest.raises(FileError) as caught:
        streaming.topk(gallery=gallery, output=output, resume=True, **given)
    assert str(caught.value) == told
    assert streaming.topk(gallery=gallery, output=output, **given).resumed == 0  # anew


def test_a_block_that_is_gone_when_results_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(_journal.Journal, "put", lambda *_: None)
    with pytest.raises(RuntimeError, match="of the results must stay while they are written, got none: resume"):
        streaming.topk(QUERIES, GALLERY, K, output=tmp_path / "o.npy")


KILLED = """
import sys, time, crossmodal_fast as cmf
from crossmodal_fast.streaming import _nearest, _run, topk
_run.KEPT_SECONDS, _run.STRETCH_BYTES = -1, 150 * 32
_run.SHARES |= {"queries": 8 * 32 / 2**30}
search = _nearest.select
_nearest.select = lambda *given, **more: (print("part", flush=True), time.sleep(0.03), search(*given, **more))[2]
topk(sys.argv[1], sys.argv[2], 7, output=sys.argv[3], resume=True, backend="numpy")
"""


def test_killed_and_killed_again(tmp_path):
    np.save(tmp_path / "queries.npy", QUERIES)
    gallery, output = path_of(tmp_path, GALLERY), tmp_path / "o.parquet"
    command = [sys.executable, "-c", KILLED, tmp_path / "queries.npy", gallery, output]
    done = 0
    for lines in (4, 4, 100):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            done += sum(1 for _, _ in zip(range(lines), process.stdout, strict=False))
            if lines < 100:
                time.sleep(0.01)
                process.send_signal(signal.SIGKILL)
            done += len(process.stdout.readlines())
    assert process.returncode == 0
    assert 12 <= done <= 14  # the two in which it was killed are done again, no others
    matches = cmf.files.read_matches(output)
    expected = cmf.topk(QUERIES, GALLERY, K)
    np.testing.assert_array_equal(matches.columns, expected.indices.ravel())
    np.testing.assert_array_equal(matches.scores, -expected.distances.ravel().astype(float))
    assert not (tmp_path / "o.parquet.partial").exists()


@pytest.mark.parametrize("kind", ["iterator", "file"])
def test_a_reader_ends_with_its_search_not_with_the_collector(kind, tmp_path):
    def broken():
        yield from np.array_split(GALLERY, 9)[:5]
        raise KeyboardInterrupt

    def stop(done, total):
        raise KeyboardInterrupt

    np.save(tmp_path / "y.npy", GALLERY)
    given = {"file": (tmp_path / "y.npy", stop), "iterator": (broken(), False)}[kind]
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(KeyboardInterrupt) as held:  # whose frames stay as long as it does
            streaming.topk(QUERIES[:8], given[0], K, progress=given[1])
        names = [thread.name for thread in threading.enumerate()]
    finally:
        gc.enable()
    assert held.value is not None
    assert not [name for name in names if name.startswith("crossmodal-fast-read")]
