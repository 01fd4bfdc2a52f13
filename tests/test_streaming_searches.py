"""`streaming.within` and `streaming.ranks`: the bits of those in memory, from and to every kind of file, resumed."""

import re
import tracemalloc

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import files, streaming
from crossmodal_fast.files import FileError
from crossmodal_fast.streaming import _inside, _ranked, _run
from stores import PairStore, Store
from test_streaming import GALLERY, QUERIES, WAYS, path_of, refused, same, small_parts  # noqa: F401 - a fixture

RANDOM = np.random.default_rng(11)
ONE = RANDOM.integers(0, 450, 30)
COUNTS = RANDOM.integers(0, 4, 30)
MANY = np.concatenate([[0], np.cumsum(COUNTS)]), RANDOM.integers(0, 450, COUNTS.sum())
RADIUS = {"euclidean": 3.5, "sqeuclidean": 12.0, "cosine": 0.7, "dot": 1.0, "cityblock": 8.0}
ROW = GALLERY.shape[1] * 4


@pytest.mark.parametrize("metric", RADIUS)
@pytest.mark.parametrize("way", WAYS)
def test_within_from_anywhere(way, metric, tmp_path, monkeypatch):
    expected = cmf.within(QUERIES, GALLERY, RADIUS[metric], metric)
    assert 30 < len(expected.indices) < 30 * 300
    same(streaming.within(WAYS[way](tmp_path, QUERIES), GALLERY, RADIUS[metric], metric), expected)
    monkeypatch.setitem(_run.SHARES, "queries", 1)  # a gallery that is read once
    same(streaming.within(QUERIES, WAYS[way](tmp_path, GALLERY), RADIUS[metric], metric), expected)


@pytest.mark.parametrize("metric", RADIUS)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "blocks"])
def test_ranks_from_anywhere(way, metric, tmp_path):
    expected = cmf.ranks(QUERIES, GALLERY, MANY, metric)
    queries, gallery = (WAYS[way](tmp_path / name, rows) for name, rows in folders(tmp_path))
    np.testing.assert_array_equal(streaming.ranks(queries, gallery, MANY, metric), expected)


def folders(tmp_path):
    for name, rows in (("queries", QUERIES), ("gallery", GALLERY)):
        (tmp_path / name).mkdir()
        yield name, rows


@pytest.mark.parametrize("ties", ["index", "optimistic", "pessimistic", "mean"])
@pytest.mark.parametrize("metric", ["euclidean", "dot"])
def test_ties_between_parts(ties, metric, tmp_path):
    queries, gallery = np.rint(QUERIES).astype(np.int8), np.rint(GALLERY).astype(np.int8)
    expected = cmf.ranks(queries, gallery, MANY, metric, ties=ties)
    found = streaming.ranks(queries, path_of(tmp_path, gallery), MANY, metric, ties=ties)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    same(streaming.within(queries, Store(gallery), 3, metric), cmf.within(queries, gallery, 3, metric))


def test_squares_of_equal_roots_are_told_apart():
    """sqrt(1 + 2**-52) is 1: both are inside, the nearer row first, though it comes in a later part."""
    gallery = np.array([[1.0, 2.0**-26], [1.0, 0.0]])
    found = streaming.within(np.zeros((1, 2)), iter([gallery[:1], gallery[1:]]), 1.0)
    assert (found.indices.tolist(), found.distances.tolist()) == ([1, 0], [1.0, 1.0])
    assert streaming.ranks(np.zeros((2, 2)), Store(gallery), [0, 1]).tolist() == [2, 1]


@pytest.mark.parametrize("metric", ["euclidean", "dot"])
def test_restrictions(metric, tmp_path):
    mask, bias = RANDOM.random((30, 450)) < 0.4, (np.linspace(-1, 1, 30), np.linspace(0, 3, 450))
    given = [{"mask": mask}, {"mask": PairStore(mask)}, {"mask": mask[4]}, {"bias": bias}, {"exclude": ONE},
             {"mask": mask, "bias": bias, "exclude": ONE}]  # fmt: skip
    for gallery in (path_of(tmp_path, GALLERY), Store(GALLERY)):
        for one in given:
            same(
                streaming.within(QUERIES, gallery, 3.5, metric, **one), cmf.within(QUERIES, GALLERY, 3.5, metric, **one)
            )
            found = streaming.ranks(QUERIES, gallery, MANY, metric, **one)
            np.testing.assert_array_equal(found, cmf.ranks(QUERIES, GALLERY, MANY, metric, **one))


@pytest.mark.parametrize("metric", ["seuclidean", "mahalanobis", "minkowski"])
def test_parameters_over_all_rows(metric):
    same(streaming.within(QUERIES, Store(GALLERY), 4.0, metric), cmf.within(QUERIES, GALLERY, 4.0, metric))
    np.testing.assert_array_equal(
        streaming.ranks(QUERIES, Store(GALLERY), ONE, metric), cmf.ranks(QUERIES, GALLERY, ONE, metric)
    )


@pytest.mark.parametrize("metric", ["seuclidean", "mahalanobis"])
@pytest.mark.parametrize("size", [1e200, 1e155])
def test_parameters_that_overflow(metric, size, tmp_path):
    """Made of rows that are too large they are not finite: answered as in memory, or refused as there."""
    x, y = QUERIES.astype(float) * size, GALLERY.astype(float) * size
    with np.errstate(all="ignore"):
        try:
            expected = cmf.topk(x, y, 3, metric)
        except ValueError as refused:
            with pytest.raises(ValueError, match=f"^{re.escape(str(refused))}$"):
                streaming.topk(x, Store(y), 3, metric)
            return
        assert np.isnan(expected.distances).any() or (expected.distances == 0).any()
        same(streaming.topk(x, Store(y), 3, metric), expected)
        same(streaming.within(x, Store(y), 1.0, metric), cmf.within(x, y, 1.0, metric))
        np.testing.assert_array_equal(streaming.ranks(x, Store(y), ONE, metric), cmf.ranks(x, y, ONE, metric))
        path, output = path_of(tmp_path, y), tmp_path / "o.npz"
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(streaming.WRITERS, ".npz", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                streaming.topk(x, path, 3, metric, output=output)
        assert streaming.topk(x, path, 3, metric, output=output, resume=True).resumed == 30


def test_on_numba(tmp_path):
    gallery = path_of(tmp_path, GALLERY)
    same(streaming.within(QUERIES, gallery, 3.5, backend="numba"), cmf.within(QUERIES, GALLERY, 3.5, backend="numba"))
    found = streaming.ranks(QUERIES, gallery, MANY, backend="numba")
    np.testing.assert_array_equal(found, cmf.ranks(QUERIES, GALLERY, MANY, backend="numba"))


def test_rows_that_are_not_finite():
    gallery = GALLERY.copy()
    gallery[[3, 200, 444]] = np.nan
    expected = cmf.ranks(QUERIES, gallery, np.full(30, 200), check_finite=False)
    found = streaming.ranks(QUERIES, Store(gallery), np.full(30, 200), check_finite=False)
    np.testing.assert_array_equal(found, expected)
    for search in (streaming.ranks, streaming.within):
        with pytest.raises(ValueError, match=r"^gallery must be finite, got nan in row 196; check_finite=False sorts"):
            search(QUERIES, Store(gallery[4:]), ONE % 400)


def test_no_queries_and_nothing_found(tmp_path):
    for output in (None, *(tmp_path / f"none{ending}" for ending in streaming.WRITERS)):
        empty, none = (streaming.within(QUERIES[:size], GALLERY, -1.0, output=output) for size in (0, 30))
        nobody = streaming.ranks(QUERIES[:0], GALLERY, [], output=output)
        if output is None:
            same(none, cmf.within(QUERIES, GALLERY, -1.0))
            same(empty, cmf.within(QUERIES[:0], GALLERY, -1.0))
            assert nobody.shape == (0,)
        else:
            assert empty.shape == none.shape == nobody.shape == (0,)


@pytest.fixture
def room(monkeypatch):
    """For 200 pairs."""
    monkeypatch.setitem(_run.SHARES, "results", 200 * _inside.PAIR_BYTES / 2**30)


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("way", ["path", "store", "array"])
def test_more_pairs_than_there_is_room_for(way, tmp_path, monkeypatch):
    """Queries are left to later blocks; no search is given parts whose pairs, as those before tell, do not fit."""
    sizes, search, end = [], _inside.search_within, _inside.Inside.end
    monkeypatch.setattr(_inside, "search_within", lambda *given: (sizes.append(len(given[1][1])), search(*given))[1])
    blocks = []
    monkeypatch.setattr(_inside.Inside, "end", lambda *given: (blocks.append(given[1].queries), end(*given))[1])
    same(streaming.within(QUERIES, WAYS[way](tmp_path, GALLERY), 3.5), cmf.within(QUERIES, GALLERY, 3.5))
    assert sum(blocks) == 30
    assert len(blocks) > 4
    assert sizes[0] == 200 // 8


@pytest.mark.usefixtures("room")
def test_one_query_with_more_pairs_than_there_is_room_for(tmp_path):
    told = []
    found = streaming.within(
        QUERIES, path_of(tmp_path, GALLERY), 1e9, output=tmp_path / "o.npy", progress=lambda *step: told.append(step)
    )
    assert found.shape == (30 * 450,)
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    same([np.load(tmp_path / f"o.{name}.npy") for name in ("indptr", "indices", "distances")],
         cmf.within(QUERIES, GALLERY, 1e9))  # fmt: skip


def test_positives_are_read_in_slices_of_the_gallery():
    gallery = Store(GALLERY)
    np.testing.assert_array_equal(streaming.ranks(QUERIES, gallery, ONE), cmf.ranks(QUERIES, GALLERY, ONE))
    assert gallery.read <= 100


@pytest.fixture
def kept(monkeypatch):
    monkeypatch.setattr(_run, "KEPT_SECONDS", -1.0)


class Stop(Exception):
    pass


SEARCHES = {
    "within": (_inside, "search_within", lambda *given, **more: streaming.within(*given, 3.5, **more)),
    "ranks": (_ranked, "counted", lambda *given, **more: streaming.ranks(*given, MANY, **more)),
}


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("calls", [1, 3, 5, 11])
@pytest.mark.parametrize("name", SEARCHES)
def test_goes_on_where_it_was_stopped(name, calls, tmp_path, monkeypatch):
    module, inner, search = SEARCHES[name]
    gallery, output, done, step = path_of(tmp_path, GALLERY), tmp_path / "o.npz", [], getattr(module, inner)

    def counted(*given):
        done.append(len(given[1][1]))
        if len(done) == calls + 1:
            raise Stop
        return step(*given)

    monkeypatch.setattr(module, inner, counted)
    with pytest.raises(Stop):
        search(QUERIES, gallery, output=output)
    told = search(QUERIES, gallery, output=output, resume=True)
    assert sum(done) == 4 * 450 + done[calls]  # of 4 blocks, none twice but the part that was stopped
    assert told.resumed == min(30, 8 * (calls // 3))
    whole = tmp_path / "whole.npz"
    search(QUERIES, gallery, output=whole)
    assert output.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("kept", "room")
def test_goes_on_after_queries_were_left_to_later_blocks(tmp_path, monkeypatch):
    gallery, output = path_of(tmp_path, GALLERY), tmp_path / "o.csv"
    search, left, most = _inside.search_within, [0], 0

    def counted(*given):
        left[0] -= 1
        if left[0] < 0:
            raise Stop
        return search(*given)

    monkeypatch.setattr(_inside, "search_within", counted)
    for most in range(2, 40, 3):
        left[0] = most
        try:
            streaming.within(QUERIES, gallery, 3.5, output=output, resume=True)
        except Stop:
            continue
        break
    assert most > 4
    expected, matches = cmf.within(QUERIES, GALLERY, 3.5), files.read_matches(output)
    np.testing.assert_array_equal(matches.columns, expected.indices)
    np.testing.assert_array_equal(matches.rows, np.repeat(np.arange(30), np.diff(expected.indptr)))


@pytest.mark.usefixtures("room")
def test_a_damaged_block_that_is_cut_elsewhere_when_it_is_made_anew(tmp_path):
    """The first block of a call has all queries, those behind it as many as it foretells."""
    gallery, output, journal = path_of(tmp_path, GALLERY), tmp_path / "o.npz", tmp_path / "o.npz.partial"
    queries = np.concatenate([QUERIES, QUERIES[::-1]])  # the number that is inside differs
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(streaming.WRITERS, ".npz", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            streaming.within(queries, gallery, 3.5, output=output)
    kept = {file.name: file.read_bytes() for file in journal.iterdir()}
    expected = cmf.within(queries, GALLERY, 3.5).indices
    for damaged in sorted(set(kept) - {"settings"}):
        journal.mkdir(exist_ok=True)
        for name, content in kept.items():
            (journal / name).write_bytes(content if name != damaged else content[:-1] + bytes([content[-1] ^ 1]))
        assert streaming.within(queries, gallery, 3.5, output=output, resume=True).resumed < 60
        np.testing.assert_array_equal(np.load(output)["gallery"], expected)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda: streaming.topk(QUERIES, GALLERY, 7, output="o.npy", resume=True), "search"),
        (lambda: streaming.within(QUERIES, GALLERY, 3.6, output="o.npy", resume=True), "radius"),
        (lambda: streaming.within(QUERIES, GALLERY, np.linspace(3, 4, 30), output="o.npy", resume=True), "radius"),
        (lambda: streaming.within(QUERIES, GALLERY, 3.5, dtype="float64", output="o.npy", resume=True), "dtype"),
    ],
)
def test_what_changed_is_refused(change, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setitem(streaming.WRITERS, ".npy", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            streaming.within(QUERIES, GALLERY, 3.5, output="o.npy")
    with pytest.raises(FileError, match=f"must be resumed with what it was begun with, got another {name}; "):
        change()


def test_a_mask_that_differs_in_one_row_is_refused(tmp_path):
    queries, output = np.tile(QUERIES, (20, 1)), tmp_path / "o.npy"
    mask = np.ones((600, 450), bool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(streaming.WRITERS, ".npy", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            streaming.topk(queries, GALLERY, 1, mask=mask, output=output)
    mask[1, 7] = False
    with pytest.raises(FileError, match="got another mask; "):
        streaming.topk(queries, GALLERY, 1, mask=mask, output=output, resume=True)


@pytest.mark.parametrize("whole", [1 << 28, 0])
def test_positives_are_looked_at_once(whole, monkeypatch):
    """They are two rows of numbers: a sample of 256 rows took 128 times their bytes."""
    monkeypatch.setattr(_run, "WHOLE_BYTES", whole)
    pairs = np.zeros((2, 50_000), np.int64)
    tracemalloc.start()
    try:
        _run._crc_of(pairs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * pairs.nbytes


def test_other_positives_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setitem(streaming.WRITERS, ".npy", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            streaming.ranks(QUERIES, GALLERY, ONE, output="o.npy")
    for positives, ties, name in ((ONE[::-1], "index", "positives"), (ONE, "mean", "ties")):
        with pytest.raises(FileError, match=f"got another {name}; "):
            streaming.ranks(QUERIES, GALLERY, positives, ties=ties, output="o.npy", resume=True)
    assert streaming.ranks(QUERIES, GALLERY, ONE, output="o.npy", resume=True).resumed == 30


def test_ids_of_a_saved_gallery(tmp_path):
    """Positives and excluded rows are named as the results are."""
    gallery = cmf.Gallery(GALLERY, ids=np.arange(450) * 10 + 3)
    gallery.save(tmp_path / "kept")
    gallery = cmf.Gallery.load(tmp_path / "kept", on_disk=True, writable=True)
    gallery.remove([3, 13])
    ids, path = gallery.ids[ONE % 448], tmp_path / "kept"
    indptr = np.arange(31)
    for exclude in (None, np.where(ONE % 2, ids, -1)):
        same(streaming.topk(QUERIES, path, 4, exclude=exclude), gallery.topk(QUERIES, 4, exclude=exclude))
        same(streaming.within(QUERIES, path, 3.5, exclude=exclude), gallery.within(QUERIES, 3.5, exclude=exclude))
        for positives in (ids, (indptr, ids)):
            found = streaming.ranks(QUERIES, path, positives, exclude=exclude)
            np.testing.assert_array_equal(found, gallery.ranks(QUERIES, positives, exclude=exclude))
    streaming.ranks(QUERIES, path, ids, output=tmp_path / "ranks.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "ranks.npz")["gallery"], ids)
    with pytest.raises(KeyError, match="ids must be in the gallery, got 13"):
        streaming.ranks(QUERIES, path, np.full(30, 13))


def read_back(path, names):
    if path.suffix == ".npy":
        return [np.load(path.with_suffix(f".{name}.npy")) for name in names]
    if path.suffix in (".h5", ".hdf5"):
        h5py = pytest.importorskip("h5py")
        with h5py.File(path) as file:
            return [file[name][:] for name in names]
    zarr = pytest.importorskip("zarr")
    return [zarr.open(path, mode="r")[name][:] for name in names]


def table(path):
    if path.suffix == ".npz":
        return dict(np.load(path))
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return {name: column.to_numpy() for name, column in zip(*columns(parquet.read_table(path)), strict=True)}
    lines = np.genfromtxt(path, delimiter=",", names=True)
    return {name: lines[name] for name in lines.dtype.names}


def columns(found):
    return found.column_names, found.columns


@pytest.mark.parametrize("ending", streaming.WRITERS)
def test_written_to_any_file(ending, tmp_path):
    path = tmp_path / f"found{ending}"
    inside, ranks = cmf.within(QUERIES, GALLERY, 3.5), cmf.ranks(QUERIES, GALLERY, MANY)
    row = np.repeat(np.arange(30), np.diff(inside.indptr))
    told = streaming.within(QUERIES, GALLERY, 3.5, output=path)
    assert told == (path, inside.indices.shape, 0)
    if ending in files.TABLE_WRITERS:
        found = table(path)
        np.testing.assert_array_equal(found["query"], row)
        np.testing.assert_array_equal(found["gallery"], inside.indices)
        np.testing.assert_array_equal(found["rank"], 1 + np.arange(len(row)) - inside.indptr[row])
        np.testing.assert_array_equal(found["distance"].astype(np.float32), inside.distances)
    else:
        same(read_back(path, ["indptr", "indices", "distances"]), inside)
    assert streaming.ranks(QUERIES, GALLERY, MANY, output=path) == (path, ranks.shape, 0)
    if ending in files.TABLE_WRITERS:
        found = table(path)
        np.testing.assert_array_equal(found["query"], np.repeat(np.arange(30), COUNTS))
        np.testing.assert_array_equal(found["gallery"], MANY[1])
        np.testing.assert_array_equal(found["rank"], ranks)
    else:
        same(read_back(path, ["ranks"]), [ranks])


SENTENCES = [
    (
        lambda: streaming.within(iter([QUERIES]), GALLERY, np.ones(30)),
        "radius must be a number where queries are an iterator, got shape (30,)",
    ),
    (lambda: streaming.within(QUERIES, GALLERY, np.nan), "radius must be a number, got nan for query 0"),
    (lambda: streaming.within(QUERIES, GALLERY, np.ones(3)), "radius must have shape (30,), got (3,)"),
    (
        lambda: streaming.ranks(QUERIES, iter([GALLERY]), ONE),
        "gallery must be a file, a store or an array in ranks, got an iterator",
    ),
    (
        lambda: streaming.ranks(iter([QUERIES]), GALLERY, ONE),
        "queries must be a file, a store or an array in ranks, got an iterator",
    ),
    (
        lambda: streaming.ranks(QUERIES, GALLERY, np.full(30, 450)),
        "positives must be gallery rows in 0..449, got 450",
    ),
    (
        lambda: streaming.ranks(QUERIES, GALLERY, ONE, ties="no"),
        "ties must be one of ['index', 'optimistic', 'pessimistic', 'mean'], got 'no'",
    ),
    (lambda: streaming.ranks(QUERIES, GALLERY, ONE, resume=True), "output must be given with resume=True, got None"),
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(SENTENCES)))
def test_sentences(at, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(*SENTENCES[at])


def test_other_arguments_are_named():
    with pytest.raises(TypeError, match=r"^search arguments must be among \['backend', .*'progress'\], got 'dtype'$"):
        streaming.ranks(QUERIES, GALLERY, ONE, dtype="float64")
