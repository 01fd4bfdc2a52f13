"""Files that searches in parts read and write: HDF5, zarr, Parquet, safetensors, saved galleries; the command line."""

import errno
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import crossmodal_fast as cmf
from command_line import SOURCE, TARGET, refused
from crossmodal_fast import cli, files, streaming
from crossmodal_fast.files import FileError, MissingFileError
from crossmodal_fast.streaming import _hdf5, _run, _stores

pytestmark = pytest.mark.usefixtures("folder")
EXPECTED = cmf.topk(SOURCE, TARGET, 4, backend="numpy")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(
        _run, "SHARES", {"part": 7 * 32 / 2**30, "queries": 8 * 32 / 2**30, "results": 1, "engine": 0.5}
    )


def hdf5(rows, name="rows.h5"):
    h5py = pytest.importorskip("h5py")
    with h5py.File(name, "w") as file:
        file["deep/rows"] = rows
        file["labels"] = np.arange(3)
    return name


def zarr(rows, name="rows.zarr"):
    library = pytest.importorskip("zarr")
    library.open_group(name, mode="w").create_array("rows", data=rows, chunks=(7, 8))
    return name


def parquet(rows, name="rows.parquet"):
    import pyarrow
    from pyarrow import parquet

    column = pyarrow.FixedSizeListArray.from_arrays(rows.ravel(), rows.shape[1])
    parquet.write_table(pyarrow.table({"rows": column}), name, row_group_size=9)
    return name


def columns(rows, name="columns.parquet"):
    files.write_table(name, {f"x{number}": column for number, column in enumerate(rows.T)})
    return name


def safetensors(rows, name="rows.safetensors"):
    files.write_array(name, rows)
    return name


def saved(rows, name="rows.gallery"):
    cmf.Gallery(rows, ids=np.arange(len(rows))).save(name)
    return name


def fortran(rows, name="fortran.npy"):
    np.save(name, np.asfortranarray(rows))
    return name


def csv(rows, name="rows.csv"):
    files.write_array(name, rows)
    return name


@pytest.mark.parametrize("write", [hdf5, zarr, parquet, columns, safetensors, saved, fortran, csv])
def test_read_from_any_file(write):
    found = streaming.topk(SOURCE, write(TARGET), 4, backend="numpy")
    expected = EXPECTED if write is not csv else cmf.topk(SOURCE, files.read_embeddings("rows.csv"), 4, backend="numpy")
    both = streaming.topk(write(SOURCE), TARGET, 4, backend="numpy")
    for part, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, other)
    np.testing.assert_array_equal(both.indices, EXPECTED.indices)


@pytest.mark.parametrize("write", [hdf5, zarr, parquet, columns, safetensors, saved, fortran])
def test_ranks_and_ranges_of_any_file(write):
    """Positives are read by their numbers, of files that are read in slices too."""
    path, positives = write(TARGET), np.arange(20) * 7 % 30
    found = streaming.ranks(SOURCE, path, positives, backend="numpy")
    np.testing.assert_array_equal(found, cmf.ranks(SOURCE, TARGET, positives, backend="numpy"))
    inside, expected = (
        search(SOURCE, rows, 3.5, backend="numpy") for search, rows in ((streaming.within, path), (cmf.within, TARGET))
    )
    for part, other in zip(inside, expected, strict=True):
        np.testing.assert_array_equal(part, other)


def test_data_sets_and_arrays_by_name():
    pytest.importorskip("zarr")
    for path, key in ((hdf5(TARGET), "deep/rows"), (zarr(TARGET), "rows")):
        found = streaming.topk(SOURCE, (path, key), 4, backend="numpy")
        np.testing.assert_array_equal(found.indices, EXPECTED.indices)
        with pytest.raises(FileError, match=r"key must be one of \[.*\] in"):
            streaming.topk(SOURCE, (path, "other"), 4)
    with pytest.raises(FileError, match="must be 2-D, one row per item"):
        streaming.topk(SOURCE, ("rows.h5", "labels"), 4)


@pytest.mark.parametrize("key", ["/deep/rows", "deep//rows", "deep/rows/"])
def test_a_name_from_the_root(key):
    library = pytest.importorskip("zarr")
    library.open_group("deep.zarr", mode="w").create_group("deep").create_array("rows", data=TARGET)
    for path in (hdf5(TARGET), "deep.zarr"):
        found = streaming.topk(SOURCE, (path, key), 4, backend="numpy")
        np.testing.assert_array_equal(found.indices, EXPECTED.indices)


@pytest.mark.parametrize("fill", [0.0, 2.5])
def test_chunks_that_were_never_written_hold_the_fill_value(fill):
    """As h5py and zarr read them, in one piece or in chunks."""
    h5py, library = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    given = {"shape": (40, 8), "dtype": "f4"}
    whole = np.full((40, 8), fill, np.float32)
    with h5py.File("chunks.h5", "w") as file:
        file.create_dataset("rows", chunks=(10, 8), fillvalue=fill, **given)[:10] = TARGET[:10]
    with h5py.File("none.h5", "w") as file:
        file.create_dataset("rows", fillvalue=fill, **given)
    array = library.create_array("chunks.zarr", chunks=(10, 8), fill_value=fill, **given)
    array[:10] = TARGET[:10]
    some = whole.copy()
    some[:10] = TARGET[:10]
    for path, rows in (("chunks.h5", some), ("chunks.zarr", some), ("none.h5", whole)):
        found = streaming.topk(SOURCE, path, 12, backend="numpy")
        for part, other in zip(found, cmf.topk(SOURCE, rows, 12, backend="numpy"), strict=True):
            np.testing.assert_array_equal(part, other)


def test_a_zip_file_of_zarr_is_refused():
    library = pytest.importorskip("zarr")
    with library.storage.ZipStore("zip.zarr", mode="w") as store:
        library.create_array(store, data=TARGET)
    with pytest.raises(FileError) as caught:
        streaming.topk(SOURCE, "zip.zarr", 4)
    told = "must be a folder, got a file; a store in a zip file must be unpacked first"
    assert str(caught.value) == f"'zip.zarr' {told}"


def test_ids_of_a_saved_gallery():
    gallery = cmf.Gallery(TARGET, ids=np.arange(30) * 10 + 3)
    gallery.save("kept")
    gallery = cmf.Gallery.load("kept", on_disk=True, writable=True)
    gallery.remove([3, 13])
    gallery.add(SOURCE[:2] + 0.1)
    for part, other in zip(
        streaming.topk(SOURCE, "kept", 4, backend="numpy"), gallery.topk(SOURCE, 4, backend="numpy"), strict=True
    ):
        np.testing.assert_array_equal(part, other)


def read_back(path):
    if path.endswith(".npy"):
        return [np.load(path.replace(".npy", f".{name}.npy")) for name in ("distances", "indices")]
    if path.endswith(".h5"):
        import h5py

        with h5py.File(path) as file:
            return [file[name][:] for name in ("distances", "indices")]
    if path.endswith(".zarr"):
        import zarr

        return [zarr.open(path, mode="r")[name][:] for name in ("distances", "indices")]
    matches = files.read_matches(path)
    np.testing.assert_array_equal(matches.rows, np.repeat(np.arange(20), 4))
    return [-matches.scores.reshape(20, 4).astype(np.float32), matches.columns.reshape(20, 4)]


@pytest.mark.parametrize("ending", streaming.WRITERS)
@pytest.mark.parametrize("again", [False, True])
def test_written_to_any_file(ending, again):
    library = {".h5": "h5py", ".hdf5": "h5py", ".zarr": "zarr"}.get(ending)
    if library:
        pytest.importorskip(library)
    path = f"found{ending}".replace(".hdf5", ".h5")
    for _ in range(1 + again):  # in the place of an older one
        told = streaming.topk(SOURCE, TARGET, 4, output=path, backend="numpy")
    assert (str(told.output), told.shape, told.resumed) == (path, (20, 4), 0)
    for part, other in zip(read_back(path), EXPECTED, strict=True):
        assert part.dtype == other.dtype
        np.testing.assert_array_equal(part, other)
    streaming.topk(SOURCE[:0], TARGET, 4, output=path, backend="numpy")  # no lines, but a file


def test_files_that_are_refused(tmp_path, monkeypatch):
    (tmp_path / "text.h5").write_text("text")
    (tmp_path / "text.zarr").mkdir()
    (tmp_path / "text.parquet").write_text("text")
    for name in ("text.h5", "text.zarr", "text.parquet"):
        with pytest.raises(FileError, match=r"must be a whole .* file, got other or damaged content"):
            streaming.topk(SOURCE, name, 4)
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"x": pyarrow.array([], pyarrow.float32())}), "none.parquet")
    with pytest.raises(FileError, match="must have at least one row and one column, got none"):
        streaming.topk(SOURCE, "none.parquet", 4)
    (tmp_path / "rows.txt").write_text("1")
    with pytest.raises(FileError, match=r"'rows.txt' must be a gallery that was saved, or end in \.npy"):
        streaming.topk(SOURCE, "rows.txt", 4)
    with pytest.raises(MissingFileError, match="must be an existing file: there is none of this name"):
        streaming.topk(SOURCE, "none.npy", 4)
    for output, told in {
        "found.txt": r"must end in \.npy, ",
        "none/found.zarr": "the folder of 'none/found.zarr' must exist: make it first, mkdir -p 'none'",
        "text.zarr": "must be a new folder or one of zarr, got another: choose another name",
    }.items():
        with pytest.raises(FileError, match=told):
            streaming.topk(SOURCE, TARGET, 4, output=output)
    monkeypatch.setitem(sys.modules, "h5py", None)
    for call in (
        lambda: streaming.topk(SOURCE, "text.h5", 4),
        lambda: streaming.topk(SOURCE, TARGET, 4, output="o.h5"),
    ):
        with pytest.raises(FileError) as caught:
            call()
        assert str(caught.value).endswith(".h5' needs h5py: pip install 'crossmodal-fast[stores]'")
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


@pytest.mark.parametrize("version", [2, 3])
def test_words_and_links_beside_the_rows_of_zarr(version):
    library = pytest.importorskip("zarr")
    array = library.create_array("words.zarr", data=TARGET, attributes={"from": "rows.pickle"}, zarr_format=version)
    Path("words.zarr/dangling").symlink_to("nowhere")
    found = streaming.topk(SOURCE, "words.zarr", 4, backend="numpy")
    for part, other in zip(found, cmf.topk(SOURCE, array[:], 4, backend="numpy"), strict=True):
        np.testing.assert_array_equal(part, other)


def test_a_data_set_of_nothing():
    h5py = pytest.importorskip("h5py")
    with h5py.File("empty.h5", "w") as file:
        file["empty"] = h5py.Empty("f4")
    with pytest.raises(
        FileError, match=r"^'empty' in 'empty.h5' must be 2-D, one row per item, got nothing: write rows"
    ):
        streaming.topk(SOURCE, ("empty.h5", "empty"), 4)


def test_a_row_group_with_gaps():
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"x": [1.0, None]}), "gap.parquet", row_group_size=1)
    with pytest.raises(FileError, match=r"column 'x' of row group 1 of 'gap.parquet' must have a value in every row"):
        streaming.topk([[1.0]], "gap.parquet", 1)


def test_a_failing_write_keeps_the_old_file_and_the_work(monkeypatch):
    streaming.topk(SOURCE, TARGET, 4, output="found.csv", backend="numpy")
    with open("found.csv") as file:
        before = file.read()
    with monkeypatch.context() as patch:
        patch.setitem(streaming.WRITERS, ".csv", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            streaming.topk(SOURCE, TARGET, 3, output="found.csv", resume=True, backend="numpy")
    with open("found.csv") as file:
        assert file.read() == before
    assert streaming.topk(SOURCE, TARGET, 3, output="found.csv", resume=True, backend="numpy").resumed == 20


# --------------------------------------------------------------------------------------------------- the command line


def test_match_with_resume_writes_what_match_writes(capsys):
    assert cli.main(["match", "a.npy", "b.npy", "-k", "4", "--backend", "numpy", "-o", "plain.csv"]) == 0
    assert cli.main(["match", "a.npy", "b.npy", "-k", "4", "--backend", "numpy", "-o", "parts.csv", "--resume"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith("parts.csv: 80 matches by cosine in ")
    with open("plain.csv") as plain, open("parts.csv") as parts:
        assert plain.read() == parts.read()


def test_match_goes_on(capsys, monkeypatch):
    arguments = ["match", "a.npy", "b.npy", "-k", "4", "--metric", "euclidean", "-o", "parts.npz", "--resume"]
    with monkeypatch.context() as patch:
        patch.setitem(streaming.WRITERS, ".npz", lambda *_: (_ for _ in ()).throw(FileError("'x' must be there")))
        assert cli.main(arguments) != 0
    capsys.readouterr()
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.endswith(", 20 of 20 rows taken over\n")
    np.testing.assert_array_equal(files.read_matches("parts.npz").columns, EXPECTED.indices.ravel())


def test_match_of_files_that_are_read_in_parts():
    saved(TARGET)
    arguments = ["match", hdf5(SOURCE), "rows.gallery", "--key", "deep/rows", "--key", "", "--metric", "euclidean"]
    assert cli.main([*arguments, "-k", "4", "-o", "found.npy"]) == 0
    np.testing.assert_array_equal(np.load("found.indices.npy"), EXPECTED.indices)


def test_match_refuses_what_needs_all_rows(capsys):
    saved(TARGET)
    told = "--method must be topk, without --report, where rows are read in parts, got another"
    assert refused(capsys, "match", "a.npy", "rows.gallery", "--method", "csls", "-o", "m.csv") == told
    assert refused(capsys, "match", "a.npy", "b.npy", "--resume", "--report", "m.html", "-o", "m.csv") == told
    np.save("bad.npy", np.full((3, 8), np.nan))
    told = "'bad.npy' must be finite, got nan in row 0 (counted from 0): remove or fill such rows first"
    assert refused(capsys, "match", "a.npy", "bad.npy", "--resume", "-k", "1", "-o", "m.csv") == told


def test_stores_are_those_that_only_parts_can_be_read_of():
    assert [ending for ending in _stores.STORES if ending not in files.READERS] == [".h5", ".hdf5", ".zarr"]


@pytest.mark.parametrize("stop", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_hdf5_tells_of_each_write_that_stops(tmp_path, monkeypatch, stop):
    """h5py writes from destructors, which lose what is raised there: a file with other numbers, or a crash."""
    pytest.importorskip("h5py")
    write = _hdf5.Target.write
    seen = {"writes": 0, "stops at": 0}

    def failing(self, content):
        seen["writes"] += 1
        at = seen["writes"] == seen["stops at"]
        file = self.file
        if at and isinstance(stop, KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)  # from a thread, and the main thread gets it
        if at and isinstance(stop, OSError):
            self.file = SimpleNamespace(write=lambda content: (_ for _ in ()).throw(stop))
        written = write(self, content)
        self.file = file
        return written

    monkeypatch.setattr(_hdf5.Target, "write", failing)
    streaming.topk(SOURCE, TARGET, 4, output=tmp_path / "whole.h5", backend="numpy")
    writes = seen["writes"]
    assert writes > 5
    for at in range(1, writes + 1):
        seen |= {"writes": 0, "stops at": at}
        with pytest.raises(FileError if isinstance(stop, OSError) else KeyboardInterrupt):
            streaming.topk(SOURCE, TARGET, 4, output=tmp_path / "o.h5", backend="numpy")
        assert not list(tmp_path.glob("*o.h5"))
        assert not list(tmp_path.glob(".*.partial"))
