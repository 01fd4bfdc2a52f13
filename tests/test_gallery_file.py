"""Galleries in files: searched where they lie, changed without a moment at which they are neither old nor new."""

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import zlib

import ml_dtypes
import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import arrays, law_kwargs, metric_kwargs
from crossmodal_fast.files import FileError, MissingFileError, _append, _layout, _sections
from crossmodal_fast.kernels.topk import reference as law

ROWS = np.random.default_rng(7).standard_normal((40, 6)).astype(np.float32)
IDS = np.arange(40)[::-1] * 3 + 1


def saved(path, rows=ROWS, ids=IDS, metric="euclidean", **keywords):
    cmf.Gallery(rows, metric, ids, **keywords).save(path)
    return path


def same(gallery, other):
    assert (gallery.metric, gallery.ids.tolist()) == (other.metric, other.ids.tolist())
    assert gallery.vectors.dtype == other.vectors.dtype
    np.testing.assert_array_equal(gallery.vectors, other.vectors)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "minkowski"])
@pytest.mark.parametrize("name", ["normal-9x31x8", "bfloat16", "int8", "normal-float64", "bool"])
def test_searched_on_disk_as_in_memory(name, metric, tmp_path):
    x, y = arrays(name)
    path = saved(tmp_path / "gallery", y, np.arange(len(y))[::-1] + 5, metric, metric_kwargs=metric_kwargs(metric))
    stored = cmf.Gallery.load(path, on_disk=True)
    assert stored.nbytes == 8 * len(y)
    value, index = law.topk(x, y, 4, metric, **law_kwargs(metric))
    found = stored.topk(x, 4, backend="numpy", dtype=np.float64)
    judge.same_bits(found, (value, stored.ids[index]), np.float64)
    same(stored, cmf.Gallery.load(path))


def test_every_search_on_disk(tmp_path, backend):
    x, y = arrays("normal-17x130x64")
    memory, stored = cmf.Gallery(y), cmf.Gallery.load(saved(tmp_path / "gallery", y, None), on_disk=True)
    for call in (
        lambda gallery: gallery.topk(x, 5, backend=backend, exclude=np.arange(len(x))),
        lambda gallery: gallery.within(x, 10.5, backend=backend),
        lambda gallery: (gallery.ranks(x, np.arange(len(x)), backend=backend),),
    ):
        for part, other in zip(call(stored), call(memory), strict=True):
            np.testing.assert_array_equal(part, other)


def changes(gallery):
    """One after the other, with the gallery after each."""
    yield lambda: gallery.add(ROWS[:5] + 1)
    yield lambda: gallery.remove([1, 4, 118])
    yield lambda: gallery.add(ROWS[:1].astype(np.float64) + 1e-9, ids=[7000])
    yield lambda: gallery.remove(gallery.ids[::2])


def test_changed_on_disk_as_in_memory(tmp_path):
    path = saved(tmp_path / "gallery")
    memory, stored = cmf.Gallery(ROWS, ids=IDS), cmf.Gallery.load(path, on_disk=True, writable=True)
    reader = cmf.Gallery.load(path, on_disk=True)
    for change, other in zip(changes(stored), changes(memory), strict=True):
        change()
        other()
        for gallery in (stored, cmf.Gallery.load(path), cmf.Gallery.load(path, on_disk=True)):
            same(gallery, memory)
        for part, expected in zip(stored.topk(ROWS, 3), memory.topk(ROWS, 3), strict=True):
            np.testing.assert_array_equal(part, expected)
        cmf.Gallery.verify(path)
    same(reader, cmf.Gallery(ROWS, ids=IDS))  # what it was when it was opened
    before = path.stat().st_size
    stored.save(path)
    assert path.stat().st_size < before
    same(cmf.Gallery.load(path), memory)
    with pytest.raises(FileError, match="must be as it was when it was loaded, got a later state: load it again"):
        stored.remove(stored.ids[:1])


def test_refused_changes_leave_the_file_as_it_was(tmp_path):
    path = saved(tmp_path / "gallery")
    stored, before = cmf.Gallery.load(path, on_disk=True, writable=True), path.read_bytes()
    for change in (
        lambda: stored.add(ROWS[:1], ids=[1]),
        lambda: stored.add(np.full((1, 6), np.nan)),
        lambda: stored.add(ROWS[:, :3]),
        lambda: stored.remove([2]),
        lambda: stored.remove(stored.ids),
    ):
        with pytest.raises((ValueError, KeyError)):
            change()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "ids", [None, np.arange(40) + 9, IDS.astype(np.uint32), IDS.tolist(), [2**62 + i for i in IDS]]
)
def test_ids_of_every_kind(ids, tmp_path):
    stored = cmf.Gallery.load(saved(tmp_path / "gallery", ids=ids), on_disk=True)
    assert stored.ids.dtype == np.int64
    assert stored.ids.tolist() == list(range(40) if ids is None else map(int, ids))


def test_the_largest_id(tmp_path):
    with np.errstate(all="raise"):
        path = saved(tmp_path / "gallery", ROWS[:1], [2**63 - 1])
    assert cmf.Gallery.load(path).ids.tolist() == [2**63 - 1]


def test_rows_of_a_store_and_keywords_of_every_shape(tmp_path):
    for metric, keywords in {"mahalanobis": {"VI": np.eye(6)}, "minkowski": {"p": 3, "w": np.arange(6) + 1.0}}.items():
        path = saved(tmp_path / metric, ROWS.astype(">f4"), metric=metric, metric_kwargs=keywords)
        found = cmf.Gallery.load(path).metric_kwargs
        assert found.keys() == keywords.keys()
        for name, value in keywords.items():
            np.testing.assert_array_equal(found[name], value)


def outcomes(path, content):
    """'old' for a file that gives the rows of the module, else what refused it."""
    path.write_bytes(content)
    try:
        gallery = cmf.Gallery.load(path)
        same(gallery, cmf.Gallery(ROWS, ids=IDS))
        return "old"
    except FileError as error:
        return str(error)


def test_any_byte_flipped_is_refused_or_does_not_count(tmp_path):
    whole = saved(tmp_path / "whole").read_bytes()
    begin = _layout.FIRST_SECTION
    counts = [*range(begin, begin + ROWS.nbytes, 4), *range(begin + ROWS.nbytes, len(whole))]
    headers = [place + at for place in _layout.SLOT_PLACES for at in range(_layout.SLOT.size + 4)]
    flipped = {at: outcomes(tmp_path / "flipped", spoiled(whole, at)) for at in [*headers, *counts, 100, 5000]}
    assert {flipped[at] for at in headers} == {"old"}  # the other slot says the same
    padding = [at for at in counts if flipped[at] == "old"]
    assert all(whole[at] == 0 for at in padding)
    assert len(padding) <= 63 * 6
    vectors = [at for at in counts if "in rows 0 to 39 of 'vectors.0': restore it from a copy" in flipped[at]]
    assert len(vectors) == ROWS.size
    told = "got other content (its header is damaged)"
    assert told in outcomes(tmp_path / "flipped", spoiled(whole, 20, 4096 + 20))


def spoiled(content, *places):
    spoiled = bytearray(content)
    for at in places:
        spoiled[at] ^= 1 << (at % 8)
    return bytes(spoiled)


def test_cut_anywhere(tmp_path):
    whole = saved(tmp_path / "whole").read_bytes()
    for length in [*range(60), *range(60, len(whole), 61), len(whole) - 1]:
        told = outcomes(tmp_path / "cut", whole[:length])
        assert "must be a whole file that Gallery.save wrote, got other content (" in told
    assert f"({len(whole) - 1} bytes of {len(whole)})" in told
    assert outcomes(tmp_path / "cut", whole + b"left over from a change that did not end") == "old"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an .npz archive"),
        (b"\x80\x04N.", "not an .npz archive"),
        (b"\x93NUMPY" + bytes(9000), "not an .npz archive"),
        (_layout.MAGIC + bytes(9000), "its header is damaged"),
    ],
)
def test_other_files(content, reason, tmp_path):
    assert f"got other content ({reason})" in outcomes(tmp_path / "other", content)
    with pytest.raises(FileError, match=r"its first bytes are of another format|its header is damaged"):
        cmf.Gallery.verify(tmp_path / "other")


def crafted(path, version=2, **changes):
    """A file whose checksums are right and whose directory is not."""
    whole = bytearray(saved(path).read_bytes())
    slot = _layout.current(_layout.slots_of(bytes(whole)))
    directory = json.loads(whole[slot.offset : slot.end])
    for place, value in changes.items():
        if place in ("offset", "nbytes"):
            slot = _layout.Slot(**(vars(slot) | {place: value}))
        elif place == "about":
            directory["about"] |= value
        else:
            directory["arrays"]["vectors.0"][place] = value
    if not {"offset", "nbytes"} & changes.keys():
        content = json.dumps(directory).encode()
        whole[slot.offset :] = content
        slot = _layout.Slot(2, slot.offset, len(content), zlib.crc32(content))
    packed = bytearray(slot.packed())
    packed[8:12] = version.to_bytes(4, "little")
    packed[-4:] = zlib.crc32(packed[:-4]).to_bytes(4, "little")
    for place in _layout.SLOT_PLACES:
        whole[place : place + len(packed)] = packed
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 3}, "of format 3, not 2"),
        ({"shape": [2**50, 6]}, "'vectors.0' of 27021597764222976 bytes at byte 8192 of"),
        ({"shape": [40, 2**62]}, "'vectors.0' of"),
        ({"shape": [-1, 6]}, "its directory has impossible numbers for 'vectors.0'"),
        ({"shape": [40.0, 6]}, "its directory has impossible numbers for 'vectors.0'"),
        ({"shape": None}, "its directory has other entries"),
        ({"shape": [39, 6]}, "the table of its checksums"),
        ({"shape": [60, 4]}, "vectors of shape (60, 4) and ids of shape (40,)"),
        ({"offset": 2**63}, "bytes of"),
        ({"offset": 64}, "a directory of"),
        ({"nbytes": 2**40}, "bytes of"),
        ({"rows_per_block": 0}, "its directory has impossible numbers for 'vectors.0'"),
        ({"sums": 2**40}, "'vectors.0' of 4 bytes at byte"),
        ({"sums": 0}, "'vectors.0' of 4 bytes at byte 0"),
        ({"dtype": "object"}, "its directory has other entries for 'vectors.0'"),
        ({"color": 3}, "its directory has other entries"),
        ({"about": {"firsts": [0, 0]}}, "without 'vectors.1'"),
        ({"about": {"firsts": 3}}, "'int' object is not iterable"),
        ({"about": {"firsts": [2**63]}}, "too large"),
        ({"about": {"metric": "later"}}, "metric must be one of"),
    ],
)
def test_directories_that_state_what_is_not_there(changes, reason, tmp_path):
    path = crafted(tmp_path / "crafted", **changes)
    for load in (cmf.Gallery.load, lambda path: cmf.Gallery.load(path, on_disk=True)):
        if changes == {"shape": [39, 6]}:
            continue  # one block either way: what it holds is met when it is read
        with pytest.raises(FileError) as caught:
            load(path)
        assert reason in str(caught.value)


def test_damage_is_met_where_it_is_read_and_by_verify(tmp_path):
    rows = np.random.default_rng(8).standard_normal((3000, 64)).astype(np.float32)
    whole = saved(tmp_path / "gallery", rows, None).read_bytes()
    (tmp_path / "gallery").write_bytes(spoiled(whole, _layout.FIRST_SECTION + 1000 * 256))
    stored = cmf.Gallery.load(tmp_path / "gallery", on_disk=True)
    reads = stored._held.vectors
    np.testing.assert_array_equal(reads[:256], rows[:256])
    np.testing.assert_array_equal(reads[np.array([3, 4, 300, 2999])], rows[[3, 4, 300, 2999]])
    told = r"must hold the bytes that were written, got others in rows 768 to 1023 of 'vectors\.0': restore it from"
    for read in (lambda: reads[900:901], lambda: stored.topk(rows[:2], 3), lambda: cmf.Gallery.verify(reads.file.path)):
        with pytest.raises(FileError, match=told):
            read()


def writes_of(path, change, monkeypatch):
    """(place, bytes) of all writes to the file, in their order."""
    seen = []

    class Watched:
        def __init__(self, file):
            self.file, self.fileno, self.flush = file, file.fileno, file.flush

        def seek(self, place):
            self.place = place
            self.file.seek(place)

        def write(self, content):
            seen.append((self.place, bytes(content)))
            self.file.write(content)

    opened = _append.Appending.__init__
    with monkeypatch.context() as patch:
        patch.setattr(_append.Appending, "__init__", lambda self, file, *more: opened(self, Watched(file), *more))
        change()
    return seen


@pytest.mark.parametrize("number", range(2))
def test_a_power_cut_after_any_write_leaves_the_old_or_the_new(number, tmp_path, monkeypatch):
    path = saved(tmp_path / "gallery")
    before = path.read_bytes()
    stored = cmf.Gallery.load(path, on_disk=True, writable=True)
    writes = writes_of(path, list(changes(stored))[number], monkeypatch)
    sizes = set()
    for count in range(len(writes) + 1):
        for share in (0.0, 0.5):
            content = bytearray(before)
            for at, (place, written) in enumerate(writes[: count + 1]):
                part = written if at < count else written[: int(share * len(written))]
                content += bytes(max(0, place + len(part) - len(content)))
                content[place : place + len(part)] = part
            path.write_bytes(content)
            gallery = cmf.Gallery.load(path, on_disk=True, writable=True)
            sizes.add(len(gallery))
            cmf.Gallery.verify(path)
            gallery.add(ROWS[:1] + 2, ids=[9000])  # goes on from there
            same(cmf.Gallery.load(path), gallery)
            assert len(gallery) - 1 in sizes
    assert sizes == {40, 45 if number == 0 else 37}


APPENDS = """
import sys, numpy as np, crossmodal_fast as cmf
gallery = cmf.Gallery.load(sys.argv[1], on_disk=True, writable=True)
print("begun", flush=True)
for number in range(100000):
    gallery.add(np.full((50, 6), number, np.float32))
    if number % 3 == 0:
        gallery.remove(gallery.ids[:20])
"""


def test_killed_while_it_changes_the_file(tmp_path):
    path = saved(tmp_path / "gallery", ids=None)
    for seconds in (0.02, 0.05, 0.1):
        with subprocess.Popen([sys.executable, "-c", APPENDS, path], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        cmf.Gallery.verify(path)
        gallery = cmf.Gallery.load(path, on_disk=True, writable=True)
        assert len(np.unique(gallery.ids)) == len(gallery)
        gallery.add(ROWS[:1])
        same(cmf.Gallery.load(path), gallery)


READS = """
import sys, numpy as np, crossmodal_fast as cmf
gallery = cmf.Gallery.load(sys.argv[1], on_disk=True)
print(gallery.topk(np.zeros((1, 6)), 1, backend="numpy").indices[0, 0], flush=True)
sys.stdin.readline()
print(gallery.topk(np.zeros((1, 6)), 1, backend="numpy").indices[0, 0], flush=True)
"""


def test_one_process_reads_while_another_changes(tmp_path):
    path = saved(tmp_path / "gallery")
    with subprocess.Popen(
        [sys.executable, "-c", READS, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        first = process.stdout.readline()
        gallery = cmf.Gallery.load(path, on_disk=True, writable=True)
        gallery.add(np.zeros((1, 6)), ids=[777])
        gallery.save(path)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == first
    assert gallery.topk(np.zeros((1, 6)), 1, backend="numpy").indices[0, 0] == 777


def test_changed_by_one_process_at_a_time(tmp_path, monkeypatch):
    path = saved(tmp_path / "gallery")
    with (
        _append.changing(path, "Gallery"),
        pytest.raises(FileError, match="must be changed by one process at a time, got a second"),
        _append.changing(path, "Gallery"),
    ):
        pass
    saved(tmp_path / "other")
    opening = _sections.Sections.__init__
    monkeypatch.setattr(
        _sections.Sections, "__init__", lambda self, path, kind: opening(self, tmp_path / "other", kind)
    )  # as if it were saved anew in between
    with (
        pytest.raises(FileError, match="must be changed by one process at a time, got a second"),
        _append.changing(path, "Gallery"),
    ):
        pass


def test_files_that_cannot_be_opened_or_filled(tmp_path, monkeypatch):
    with pytest.raises(MissingFileError, match="must be an existing file: there is none of this name"):
        cmf.Gallery.load(tmp_path / "none", on_disk=True)
    with pytest.raises(MissingFileError, match="must be an existing file: there is none of this name"):
        cmf.Gallery.verify(tmp_path / "none")
    path = saved(tmp_path / "gallery")
    stored = cmf.Gallery.load(path, on_disk=True, writable=True)
    os.truncate(path, 8200)
    with pytest.raises(FileError, match=r"must stay as it is while it is read, got its end at 8200"):
        stored.topk(ROWS, 3)
    saved(path)
    stored = cmf.Gallery.load(path, on_disk=True, writable=True)
    monkeypatch.setattr(_append.os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(FileError, match=r"was not changed \(No space left on device\): make room or choose another"):
        stored.add(ROWS[:1])


def test_a_directory_that_grew_too_long_and_a_file_that_is_read_only(tmp_path, monkeypatch):
    path = saved(tmp_path / "gallery")
    stored = cmf.Gallery.load(path, on_disk=True, writable=True)
    with monkeypatch.context() as patch:
        patch.setattr(_layout, "DIRECTORY_BYTES", stored._held.file.file.slot.nbytes)
        with pytest.raises(FileError, match="the parts of a file must be fewer, got 3: save the gallery anew"):
            stored.add(ROWS[:1], ids=[5])
    same(cmf.Gallery.load(path), stored)
    refusing = PermissionError(13, "Permission denied")
    monkeypatch.setattr(_append, "open", lambda *_: (_ for _ in ()).throw(refusing), raising=False)
    with pytest.raises(FileError, match="must be writable, got Permission denied"):
        stored.add(ROWS[:1])


@pytest.mark.parametrize("on_disk", [False, True])
def test_rows_that_no_dtype_holds_with_the_others(on_disk, tmp_path):
    path = saved(tmp_path / "gallery", ROWS.astype(ml_dtypes.bfloat16))
    gallery = cmf.Gallery.load(path, on_disk=on_disk, writable=on_disk)
    with pytest.raises(
        TypeError, match=r"^vectors must have a dtype that goes with bfloat16, got float16: convert them"
    ):
        gallery.add(ROWS.astype(np.float16))
    assert len(gallery) == len(ROWS)


def test_what_lies_in_a_file_is_not_copied(tmp_path):
    gallery = cmf.Gallery.load(saved(tmp_path / "gallery", ROWS), on_disk=True)
    for copied in (copy.deepcopy, pickle.dumps):
        with pytest.raises(
            TypeError, match=r"^a gallery on disk must be loaded where it is used, got a copy or a pickle"
        ):
            copied(gallery)


def test_a_copy_of_one_in_memory_has_all_attributes():
    class Named(cmf.Gallery):
        __slots__ = ("name",)

    gallery = Named(ROWS)
    gallery.name, gallery.note = "rows", 3
    copied = copy.copy(gallery)
    assert (copied.name, copied.note, len(copied)) == ("rows", 3, len(ROWS))


def test_bfloat16_needs_its_library(tmp_path, monkeypatch):
    path = saved(tmp_path / "gallery", ROWS.astype(ml_dtypes.bfloat16))
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(FileError, match=r"is bfloat16 and needs ml_dtypes: pip install 'crossmodal-fast\[bf16\]'"):
        cmf.Gallery.load(path)


@pytest.mark.parametrize("path", [None, 3, b"gallery"])
def test_what_names_no_file(path):
    for read in (cmf.Gallery.load, cmf.Gallery.verify):
        with pytest.raises(TypeError, match=r"^path must be the name of a file, got "):
            read(path)


def test_an_older_npz_still_loads(tmp_path):
    about = {"format": 1, "metric": "minkowski", "dtype": "float32", "finite": True}
    older = tmp_path / "older.npz"
    np.savez(older, about=np.array(json.dumps(about)), vectors=ROWS, ids=IDS, **{"keyword.p": np.array(3)})
    gallery = cmf.Gallery.load(older)
    gallery.save(older)
    stored = cmf.Gallery.load(older, on_disk=True)
    same(stored, cmf.Gallery(ROWS, "minkowski", IDS))
    assert stored.metric_kwargs == {"p": 3}
