"""Files made to do harm: headers that state 2**60 rows, bombs, pickles, files that name others. One sentence each.

A process with little memory to spare reads them all, so that what is set aside before it is checked shows.
"""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import files, streaming
from crossmodal_fast.files import _layout

SECONDS = 120  # after which all of them together count as hung
SPARE_BYTES = 1 << 30  # of address space
# Each thread takes 8 MB of it for its stack and 64 MB for its arena: on 64 cores more than all of it
FEW_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
HUGE = 2**60
ROWS = np.random.default_rng(3).standard_normal((40, 4)).astype(np.float32)
HOSTILE = {}


class Runs:
    """Unpickled, it leaves a file behind."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return Path.touch, (Path(self.folder, "ran"),)


def hostile(read, suffix, needs=None):
    """Registers a file: make(path) writes it, `read` must refuse it."""

    def register(make):
        HOSTILE[make.__name__.replace("_", " ")] = (make, read, suffix, needs)
        return make

    return register


def search(path):
    return streaming.topk(ROWS[:1], path, 1, backend="numpy")


def searched_on_disk(path):
    return cmf.Gallery.load(path, on_disk=True).topk(ROWS[:1], 1, backend="numpy")


# ------------------------------------------------------------------------------------------------------------ npy, npz


def npy(shape, descr="'<f4'", body=64, version=1):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(118) + "\n"
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + bytes(body)


for _name, _content in {
    "npy of 2 to the 60 rows": npy((HUGE, 4)),
    "npy whose bytes overflow": npy((2**33, 2**33)),
    "npy of 2 to the 60 rows version 2": npy((HUGE, 4), version=2),
    "npy of rows of a gigabyte": npy((4,), "('<f4', (1073741824,))"),
    "npy of no bytes a row": npy((HUGE, 4), "'|S0'", 0),
    "npy of less than no rows": npy((-1, 4)),
    "npy of objects": npy((4, 4), "'|O'"),
    "npy of a long header": b"\x93NUMPY\x03\x00" + struct.pack("<I", 2**32 - 1) + b"x" * 99,
}.items():
    HOSTILE[_name] = (lambda path, content=_content: path.write_bytes(content), files.read_embeddings, ".npy", None)
    HOSTILE[f"{_name} streamed"] = (HOSTILE[_name][0], search, ".npy", None)
    HOSTILE[f"{_name} as labels"] = (HOSTILE[_name][0], lambda path: files.read_labels(path, 40), ".npy", None)


@hostile(files.read_embeddings, ".npy")
def npy_that_is_a_pickle(path):
    path.write_bytes(pickle.dumps(Runs(path.parent)))


@hostile(files.read_embeddings, ".npy")
def npy_of_pickled_objects(path):
    array = np.empty((2, 2), object)
    array[:] = Runs(str(path.parent))
    np.save(path, array, allow_pickle=True)


@hostile(files.read_embeddings, ".npz")
def npz_of_pickled_objects(path):
    array = np.empty((2, 2), object)
    array[:] = Runs(str(path.parent))
    np.savez(path, embeddings=array)


def archive(path, members, stated=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    if stated is not None:  # in the directory of the archive and before the member
        content = path.read_bytes()
        length = struct.pack("<I", len(next(iter(members.values()))))
        path.write_bytes(content.replace(length, struct.pack("<I", stated)))


@hostile(files.read_embeddings, ".npz")
def npz_of_2_to_the_60_rows(path):
    archive(path, {"embeddings": npy((HUGE, 4), body=999)})


@hostile(files.read_embeddings, ".npz")
def npz_whose_member_states_four_gigabytes(path):
    archive(path, {"embeddings": npy((2**28 - 33, 4), body=999)}, 2**32 - 1)


def overlapping(path):
    """A thousand members of the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", npy((1 << 20, 4), body=1 << 24))
    content = buffer.getvalue()
    begin = content.index(b"PK\x01\x02")
    entry, end = content[begin : content.index(b"PK\x05\x06")], content[content.index(b"PK\x05\x06") :]
    count = 1000
    names = [entry[:46] + b"%05d" % number + entry[51:] for number in range(count)]
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(entry) * count, begin, 0)
    assert len(tail) == len(end)
    path.write_bytes(content[:begin] + b"".join(names) + tail)


for _name, _read in {
    "npz of members that share their bytes": files.read_matches,
    "map of members that share their bytes": cmf.TransferMap.load,
    "gallery of members that share their bytes": cmf.Gallery.load,
    "pipeline of members that share their bytes": cmf.CrossModalPipeline.load,
}.items():
    HOSTILE[_name] = (overlapping, _read, ".npz", None)


# ---------------------------------------------------------------------------------------------- safetensors, galleries


def tensors(entry):
    header = json.dumps({"x": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(640)


for _name, _content in {
    "safetensors of 2 to the 60 rows": tensors({"dtype": "F32", "shape": [HUGE, 4], "data_offsets": [0, HUGE * 16]}),
    "safetensors of more rows than bytes": tensors({"dtype": "F32", "shape": [HUGE, 4], "data_offsets": [0, 640]}),
    "safetensors whose bytes overflow": tensors({"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}),
    "safetensors of another file's bytes": tensors({"dtype": "F32", "shape": [9, 4], "data_offsets": [-144, 0]}),
    "safetensors of a long header": struct.pack("<Q", 2**63) + bytes(99),
    "safetensors of deep JSON": struct.pack("<Q", 100_000) + b"[" * 100_000,
}.items():
    HOSTILE[_name] = (
        lambda path, content=_content: path.write_bytes(content), files.read_embeddings, ".safetensors", None
    )  # fmt: skip
    HOSTILE[f"{_name} streamed"] = (HOSTILE[_name][0], search, ".safetensors", None)


def stated_gallery(path):
    cmf.Gallery(ROWS).save(path)
    whole = bytearray(path.read_bytes())
    slot = _layout.current(_layout.slots_of(bytes(whole)))
    directory = json.loads(whole[slot.offset : slot.end])
    directory["arrays"]["vectors.0"]["shape"] = [HUGE, 4]
    content = json.dumps(directory).encode()
    whole[slot.offset :] = content
    slot = _layout.Slot(slot.generation, slot.offset, len(content), zlib.crc32(content))
    for place in _layout.SLOT_PLACES:
        whole[place : place + len(slot.packed())] = slot.packed()
    path.write_bytes(whole)


for _name, _read in {
    "gallery of 2 to the 60 rows": cmf.Gallery.load,
    "gallery of 2 to the 60 rows on disk": searched_on_disk,
    "gallery of 2 to the 60 rows streamed": search,
}.items():
    HOSTILE[_name] = (stated_gallery, _read, "", None)


@hostile(cmf.Gallery.load, "")
def gallery_that_is_a_pickle(path):
    path.write_bytes(pickle.dumps(Runs(path.parent)))


@hostile(cmf.TransferMap.load, "")
def map_of_pickled_objects(path):
    array = np.empty(1, object)
    array[0] = Runs(str(path.parent))
    with open(path, "wb") as file:
        np.savez(file, **(cmf.fit_transfer(ROWS, ROWS).to_arrays() | {"M": array}))


# -------------------------------------------------------------------------------------------------------------- Parquet


def varint(number):
    number, content = 2 * number if number >= 0 else -2 * number - 1, bytearray()  # zigzag
    while number > 127:
        content.append(number & 127 | 128)
        number >>= 7
    return bytes([*content, number])


def footer_of(count, path):
    """Every number of rows in the footer is another."""
    files.write_array(path, np.ones((70_001, 2), np.float32))
    content = path.read_bytes()
    (length,) = struct.unpack("<I", content[-8:-4])
    footer = content[-8 - length : -8]
    for true in (70_001, 140_002):
        footer = footer.replace(varint(true), varint(count))
    path.write_bytes(content[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1")


for _name, _read in {"": files.read_embeddings, " streamed": search, " of matches": files.read_matches}.items():
    HOSTILE[f"parquet of 2 to the 60 rows{_name}"] = (partial(footer_of, HUGE), _read, ".parquet", "pyarrow")
    HOSTILE[f"parquet of less than no rows{_name}"] = (partial(footer_of, -1), _read, ".parquet", "pyarrow")
    HOSTILE[f"parquet of minus 2 to the 60 rows{_name}"] = (partial(footer_of, -HUGE), _read, ".parquet", "pyarrow")


# ----------------------------------------------------------------------------------------------------------- HDF5, zarr


def data_set(**keywords):
    def make(path):
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset("x", dtype="f4", **keywords)

    return make


@hostile(search, ".h5", "h5py")
def hdf5_whose_rows_are_another_file(path):
    secret = path.with_name("secret")
    secret.write_bytes(ROWS.tobytes())
    data_set(shape=(40, 4), external=[(str(secret), 0, ROWS.nbytes)])(path)


@hostile(search, ".h5", "h5py")
def hdf5_whose_rows_are_of_another_file(path):
    import h5py

    layout = h5py.VirtualLayout((40, 4), "f4")
    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["x"] = ROWS
        layout[:] = h5py.VirtualSource(file["x"])
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("x", layout)


@hostile(search, ".h5", "h5py")
def hdf5_linked_to_another_file(path):
    import h5py

    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["x"] = ROWS
    with h5py.File(path, "w") as file:
        file["x"] = h5py.ExternalLink("other.h5", "x")


@hostile(search, ".h5", "h5py")
def hdf5_of_objects(path):
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("x", (2, 2), h5py.string_dtype())[:] = pickle.dumps(Runs(path.parent), 0).decode()


@hostile(search, ".h5", "h5py")
def hdf5_packed_a_million_times(path):
    """A chunk of 1 GiB that is a few KB."""
    import h5py

    with h5py.File(path, "w") as file:
        packed = zlib.compress(zlib.compress(bytes(1 << 20), 9), 9)
        item = file.create_dataset("x", (1 << 26, 4), "f4", chunks=(1 << 26, 4), compression="gzip")
        item.id.write_direct_chunk((0, 0), packed)


HOSTILE["hdf5 of 2 to the 60 rows"] = (data_set(shape=(HUGE, 4), chunks=(1024, 4)), search, ".h5", "h5py")
HOSTILE["hdf5 of 2 to the 58 rows in one piece"] = (data_set(shape=(2**58, 4)), search, ".h5", "h5py")


def zarray(name="x", **changes):
    """An array of the earlier format, whose metadata say what they like."""

    def make(path):
        about = {"zarr_format": 2, "shape": [40, 4], "chunks": [40, 4], "dtype": "<f4", "compressor": None,
                 "fill_value": 0, "order": "C", "filters": None}  # fmt: skip
        path.mkdir()
        (path / ".zarray").write_text(json.dumps(about | changes))
        (path / "0.0").write_bytes(pickle.dumps(Runs(str(path.parent))))

    return make


PICKLE = {"id": "pickle", "protocol": 5}
for _name, _changes in {
    "zarr of 2 to the 60 rows": {"shape": [HUGE, 4]},
    "zarr of a chunk of 2 to the 60 rows": {"chunks": [HUGE, 4]},
    "zarr of a chunk of 16 gigabytes": {"shape": [2**30, 4], "chunks": [2**30, 4]},
    "zarr of pickles": {"filters": [PICKLE]},
    "zarr of packed pickles": {"compressor": PICKLE},
    "zarr of objects": {"dtype": "|O", "filters": [PICKLE]},
}.items():
    HOSTILE[_name] = (zarray(**_changes), search, ".zarr", "zarr")


# ------------------------------------------------------------------------------------------------- indexes, pictures


def faiss_index(d, rows, count):
    def make(path):
        path.write_bytes(struct.pack("<4siqqq?iQ", b"IxF2", d, rows, 1 << 20, 1 << 20, True, 1, count) + bytes(640))

    return make


def read_index(path):
    from crossmodal_fast.compat import faiss

    return faiss.read_index(path)


for _name, _numbers in {
    "index of 2 to the 60 rows": (4, HUGE, HUGE * 4),
    "index of fewer numbers than rows": (4, HUGE, 160),
    "index of less than no rows": (4, -1, 160),
    "index of less than no columns": (-4, -40, 160),
    "index of no columns": (0, HUGE, 0),
}.items():
    HOSTILE[_name] = (faiss_index(*_numbers), read_index, ".index", None)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@hostile(lambda path: shown(path), ".png", "PIL")
def picture_of_a_hundred_thousand_pixels_a_side(path):
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(10_000))), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@hostile(lambda path: shown(path), ".png", "PIL")
def picture_of_a_block_of_two_gib(path):
    pixels = chunk(b"IDAT", b"damaged" + zlib.compress(bytes(28)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 3, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + b"\x80" + pixels[1:])


@hostile(lambda path: shown(path), ".eps", "PIL")
def picture_that_is_a_program(path):
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ran) (w) file closefile showpage\n%%EOF\n")


def shown(path):
    from crossmodal_fast.report import Items, page_of

    page_of(cmf.match(ROWS[:1], ROWS[:1]), Items(image=[str(path)]), Items(image=[str(path)]))


# ---------------------------------------------------------------------------------------------------------------- trial


class Kept:
    """What a file was found to be; whatever is raised goes no further, and is judged."""

    found, said = "read", ""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if error is not None:
            self.found = "refused" if isinstance(error, files.FileError) else kind.__name__
            self.said = str(error)
        return True


def main():
    """A line for each: what it raised, and whether something ran."""
    import importlib.util
    import resource
    import warnings

    warnings.simplefilter("ignore")
    for module in ("h5py", "zarr", "pyarrow.parquet", "PIL.Image", "crossmodal_fast.report"):  # not counted
        if importlib.util.find_spec(module.partition(".")[0]):
            importlib.import_module(module)
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (make, read, suffix, needs)) in enumerate(HOSTILE.items()):
            if needs and importlib.util.find_spec(needs) is None:
                print(json.dumps([name, "absent", needs]))
                continue
            place = Path(folder, str(number))
            place.mkdir()
            path = place / f"file{suffix}"
            make(path)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, hard))
            with Kept() as kept:
                kept.said = repr(read(path))
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
            ran = [file.name for file in place.rglob("ran")]
            print(json.dumps([name, kept.found if not ran else "ran", kept.said[:400]]), flush=True)


@pytest.fixture(scope="module")
def told():
    if sys.platform != "linux":
        pytest.skip("only Linux limits the address space")
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=SECONDS, check=False,
                          env=os.environ | FEW_THREADS)  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
    return {name: (found, said) for name, found, said in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_in_one_sentence_before_memory_is_set_aside(name, told):
    found, said = told[name]
    if found == "absent":
        pytest.skip(f"{said} is not installed")
    assert found == "refused", f"{found}: {said}"
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("parquet of 2 to the 60 rows", "' must fit into its file, got "),
        ("hdf5 whose rows are another file", "must have its rows in the file itself, got rows in others"),
        ("hdf5 of 2 to the 60 rows", "' must fit into its file, got "),
        (
            "npz of members that share their bytes",
            " must fit into its file, got 16777345000 bytes stated: write it again",
        ),
    ],
)
def test_sentences(name, sentence, told):
    if told[name][0] != "absent":
        assert sentence in told[name][1]


def test_a_codec_that_unpickles(tmp_path, monkeypatch):
    """zarr refuses it itself; versions before 3.1 did not, and numcodecs before 0.16.4 did as it was told."""
    library = pytest.importorskip("zarr")
    path = tmp_path / "file.zarr"
    path.mkdir()
    metadata = SimpleNamespace(to_dict=lambda: {"filters": [PICKLE]})
    node = SimpleNamespace(metadata=metadata, shape=(40, 4), chunks=(40, 4), ndim=2, dtype=ROWS.dtype)
    monkeypatch.setattr(library, "open", lambda *_, **__: node)
    with pytest.raises(files.FileError, match="must hold plain numbers, got a codec that unpickles: save float32"):
        search(path)


if __name__ == "__main__":
    main()
