"""Every file that is read, with bytes changed, cut or added at random: read, or refused by a sentence; never more."""

import tracemalloc

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import files
from crossmodal_fast.files import FileError
from crossmodal_fast.fitting import TransferStatistics
from samples import ROWS

CHANGES, MORE = 40, 3000
MOST_BYTES = 64 << 20  # that reading a spoiled file of a few KB may hold: sizes in it are checked before they count
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
    assert not [said for said in refused if str(path) not in said or "\n" in said]
    assert len(refused) > changes // 20
