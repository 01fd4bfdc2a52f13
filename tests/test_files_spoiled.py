"""Every file that is read, with bytes changed, cut or added at random: read, or refused by a sentence; never more."""

import json
import shutil
import tracemalloc
from unittest import mock

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import files, report
from crossmodal_fast.compat import faiss as compat_faiss
from crossmodal_fast.files import FileError
from crossmodal_fast.fitting import TransferStatistics
from crossmodal_fast.report._media import Media, wav
from crossmodal_fast.streaming._journal import Journal
from samples import ROWS

CHANGES, MORE = 6, 3000
MOST_BYTES = 64 << 20  # that reading a spoiled file of a few KB may hold: sizes in it are checked before they count
NEVER_REFUSED = "sound", "journal_settings", "journal_block.0"  # goes into the page as it is; is done anew
KINDS = {}


def kind(write):
    """Registers a kind of file: write(path) -> how to read it."""
    KINDS[write.__name__] = write
    return write


def embeddings(ending):
    def write(path):
        path = path.with_suffix(ending)
        files.write_array(path, ROWS)
        return path, files.read_embeddings

    write.__name__ = ending.removeprefix(".")
    return kind(write)


for _ending in files.ARRAY_WRITERS:
    embeddings(_ending)


def matches(ending):
    def write(path):
        path = path.with_suffix(ending)
        found = cmf.match(ROWS, ROWS[::-1])
        files.write_table(path, {"query": found.rows, "gallery": found.columns, "score": found.scores})
        return path, files.read_pairs

    write.__name__ = f"pairs_in_{ending.removeprefix('.')}"
    return kind(write)


for _ending in files.TABLE_WRITERS:
    matches(_ending)


@kind
def gallery(path):
    held = cmf.Gallery(ROWS, "cosine", ids=np.arange(len(ROWS)) * 3)
    held.save(path)
    return path, lambda path: cmf.Gallery.load(path).topk(ROWS[:2], 1)


@kind
def gallery_on_disk(path):
    gallery(path)
    return path, lambda path: cmf.Gallery.load(path, on_disk=True).topk(ROWS[:2], 1)


@kind
def transfer_map(path):
    cmf.fit_transfer(ROWS, ROWS[:, ::-1] + 1.0, method="ridge").save(path)
    return path, lambda path: cmf.TransferMap.load(path).apply(ROWS)


@kind
def transfer_statistics(path):
    TransferStatistics().partial_fit(ROWS, ROWS).save(path)
    return path, TransferStatistics.load


@kind
def pipeline(path):
    path = path.with_suffix(".npz")
    cmf.CrossModalPipeline(preprocess=["center", "normalize"], transfer="ridge").fit(
        {"a": ROWS, "b": ROWS[:, ::-1]}
    ).save(path)
    return path, cmf.CrossModalPipeline.load


# ---- labels, and what a report shows

WORDS = [f"word {row % 3}" for row in range(len(ROWS))]


def labels(ending):
    def write(path):
        path = path.with_suffix(ending)
        if ending == ".csv":
            path.write_text("label\n" + "\n".join(WORDS) + "\n", encoding="utf-8")
        elif ending == ".npy":
            np.save(path, np.array(WORDS))
        else:
            files.write_table(path, {"label": np.arange(len(ROWS))})
        return path, lambda path: files.read_labels(path, len(ROWS))

    write.__name__ = f"labels_in_{ending.removeprefix('.')}"
    return kind(write)


for _ending in (".csv", ".npy", ".npz", ".parquet"):
    labels(_ending)


def items(ending):
    def write(path):
        path = path.with_suffix(ending)
        if ending == ".csv":
            path.write_text("text,image\n" + "\n".join(f"{word},a.png" for word in WORDS), encoding="utf-8")
        elif ending == ".json":
            path.write_text(json.dumps([{"text": word, "audio": "a.wav"} for word in WORDS]), encoding="utf-8")
        else:
            np.savez(
                path,
                text=np.array(WORDS),
                image=np.zeros((len(WORDS), 3, 4)),
                audio=np.zeros((len(WORDS), 9)),
                rate=8000,
            )
        return path, report.read_items

    write.__name__ = f"items_in_{ending.removeprefix('.')}"
    return kind(write)


for _ending in (".csv", ".json", ".npz"):
    items(_ending)


def picture(ending):
    def write(path):
        from PIL import Image

        path = path.with_suffix(ending)
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(path)
        return path, lambda path: Media().add("image", "queries", 0, str(path), None, 16_000)

    write.__name__ = ending.removeprefix(".")
    return kind(write)


for _ending in (".png", ".jpg", ".gif", ".bmp", ".tiff", ".webp"):
    picture(_ending)


@kind
def sound(path):
    path = path.with_suffix(".wav")
    path.write_bytes(wav("a", np.linspace(-1, 1, 900), 8000))
    return path, lambda path: Media().add("audio", "queries", 0, str(path), None, 16_000)


# ---- what is read in slices


def searched(path):
    return cmf.streaming.topk(ROWS[:2], path, k=1, backend="numpy")


def streamed(ending):
    def write(path):
        path = path.with_suffix(ending)
        if ending == ".h5":
            with pytest.importorskip("h5py").File(path, "w") as file:
                file.create_dataset("rows", data=ROWS, chunks=(3, 5), compression="gzip")
        elif ending == ".cmf":
            cmf.Gallery(ROWS).save(path)
        else:
            files.write_array(path, ROWS)
        return path, searched

    write.__name__ = f"streamed_{ending.removeprefix('.')}"
    return kind(write)


for _ending in (".npy", ".safetensors", ".parquet", ".h5", ".cmf"):
    streamed(_ending)


def zarr_file(name, described):
    def write(path):
        path = path.with_suffix(".zarr")
        pytest.importorskip("zarr").create_array(str(path), data=ROWS, chunks=(3, 5))
        files_of = sorted(
            file for file in path.rglob("*") if file.is_file() and (file.name == "zarr.json") == described
        )
        return files_of[0], lambda _: searched(path)

    write.__name__ = name
    return kind(write)


zarr_file("zarr_description", True)
zarr_file("zarr_chunk", False)


def journal(file):
    """A search goes on from what it has done, or begins anew."""

    def write(path):
        return journal_of(path, file)

    write.__name__ = f"journal_{file}"
    return kind(write)


for _file in ("settings", "block.0"):
    journal(_file)


def journal_of(path, file):
    output = path.with_suffix(".csv")
    kept, remove = path.parent / "kept", Journal.remove

    def copied(self):
        shutil.copytree(self.folder, kept)
        remove(self)

    np.save(path.parent / "gallery.npy", ROWS)
    with mock.patch.object(Journal, "remove", copied):
        cmf.streaming.topk(ROWS[:2], path.parent / "gallery.npy", k=1, output=output, resume=True, backend="numpy")
    whole = output.read_bytes()

    def resumed(_):
        output.unlink()
        shutil.copytree(kept, output.with_name(f"{output.name}.partial"))
        cmf.streaming.topk(ROWS[:2], path.parent / "gallery.npy", k=1, output=output, resume=True, backend="numpy")
        assert output.read_bytes() == whole

    return kept / file, resumed


@kind
def kept_embeddings(path):
    """Of an encoder, in its cache."""
    encoder = cmf.encoders.Function(lambda texts: [[len(text), text.count("r")] for text in texts], "letters, 1")
    folder = path.with_name("file-cache")
    encoder.encode(WORDS, cache=folder)
    return next(folder.iterdir()), lambda _: encoder.encode(WORDS, cache=folder)


@kind
def faiss_index(path):
    index = compat_faiss.IndexFlatL2(ROWS.shape[1])
    index.add(ROWS)
    compat_faiss.write_index(index, path)

    def read(path):
        try:
            compat_faiss.read_index(path)
        except (ModuleNotFoundError, RuntimeError) as error:  # begins with other letters: an index which is FAISS's own
            raise FileError(f"'{path}': {error}") from error

    return path, read


def spoiled(content, rng):
    """A copy with one to three changes."""
    content = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at, how = int(rng.integers(0, len(content) + 1)), rng.integers(0, 5)
        if how == 0:
            del content[at:]
        elif how == 1:
            content[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif how == 2:
            del content[at : at + int(rng.integers(1, 9))]
        elif how == 3:
            content[at : at + 8] = (2 ** int(rng.integers(0, 64)) - 1).to_bytes(8, "little")
        elif at < len(content):
            content[at] ^= 1 << int(rng.integers(0, 8))
    return bytes(content)


@pytest.mark.parametrize("changes", [CHANGES, pytest.param(MORE, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("name", KINDS)
def test_a_spoiled_file_is_read_or_refused(name, changes, tmp_path):
    pytest.importorskip("pyarrow")
    path, read = KINDS[name](tmp_path / "file")
    content, rng = path.read_bytes(), np.random.default_rng(sum(map(ord, name)))
    read(path)
    refused = []
    for number in range(changes):
        path.unlink()
        path.write_bytes(spoiled(content, rng))
        tracemalloc.start()
        try:
            read(path)
        except FileError as error:
            refused.append(str(error))
        except ValueError as error:  # rows that are read, and are no numbers to search with
            refused.append(f"'{path}': {error}" if "must" in str(error) else "")
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < MOST_BYTES, f"change {number} made it hold {peak} bytes"
    named = str(tmp_path / "file")  # of a store, or of a file in it
    assert not [said for said in refused if named not in said or "\n" in said]
    assert len(refused) > changes // 20 or name in NEVER_REFUSED


def overwritten(path, at, data):
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


def h5_chunk(path):
    with pytest.importorskip("h5py").File(path, "r") as file:
        overwritten(path, file["rows"].id.get_chunk_info(0).byte_offset, b"damaged")


DAMAGED = {  # a kind -> what is done to its file
    "streamed_parquet": lambda path: overwritten(path, 4, b"\xff" * 30),
    "streamed_h5": h5_chunk,
    "zarr_chunk": lambda path: path.write_bytes(b"damaged"),
    "zarr_description": lambda path: path.write_text(path.read_text().replace('"separator"', '"separatoB"')),
    "faiss_index": lambda path: overwritten(path, 37, (2**64 - 1).to_bytes(8, "little")),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_that_a_library_meets_is_told_in_our_words(name, tmp_path):
    """The library's own error came out: OSError, RuntimeError, TypeError or OverflowError, in several lines."""
    pytest.importorskip("pyarrow")
    path, read = KINDS[name](tmp_path / "file")
    DAMAGED[name](path)
    with pytest.raises(FileError, match=r"^'[^']*file[^']*' must be a whole [^\n]*$"):
        read(path)


def test_a_picture_is_not_given_the_memory_that_its_lengths_ask_for(tmp_path):
    """Pillow read what a block of a PNG was said to have left, in one piece of 2 GiB."""
    path, read = KINDS["png"](tmp_path / "file")
    overwritten(path, path.read_bytes().index(b"IDAT") - 4, b"\x80")
    tracemalloc.start()
    try:
        assert read(path).key  # its pixels are whole
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES
