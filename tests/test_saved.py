"""Objects as .npz files: whole or not at all, nothing unpickled, and one sentence for any other content."""

import re

import numpy as np
import pytest

from crossmodal_fast import TransferMap, _saved, fit_transfer
from crossmodal_fast.files import FileError, MissingFileError
from modalities import TRAIN


def fitted():
    return fit_transfer(TRAIN["image"], TRAIN["audio"])


def refused(path, reason):
    sentence = f"'{path}' must be a whole file that TransferMap.save wrote, got other content {reason}"
    with pytest.raises(FileError, match=f"^{re.escape(sentence)}$"):
        TransferMap.load(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x80\x04N."])
def test_what_is_no_archive(content, tmp_path):
    (tmp_path / "other").write_bytes(content)
    refused(tmp_path / "other", "(not an .npz archive)")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"M": np.array([None, 1])},
            "('M.npy' in 'PATH' must hold plain numbers, got Python objects, which are never unpickled: save float32)",
        ),
        ({"M": None}, "without 'M'"),
        ({"M": np.array([["x"]])}, "(M must hold numbers, got dtype <U1)"),
        ({"bias": np.full(9, np.nan)}, "(M and bias must be finite, got NaN or infinity in them)"),
        ({"training": np.ones(1)}, "(not enough values to unpack (expected 2, got 1))"),
    ],
)
def test_an_archive_of_other_arrays(changes, reason, tmp_path):
    arrays = fitted().to_arrays() | changes
    np.savez(tmp_path / "other.npz", **{name: array for name, array in arrays.items() if array is not None})
    refused(tmp_path / "other.npz", reason.replace("PATH", str(tmp_path / "other.npz")))


def test_a_cut_or_spoiled_file(tmp_path):
    fitted().save(tmp_path / "map.npz")
    whole = (tmp_path / "map.npz").read_bytes()
    for kept in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "map.npz").write_bytes(whole[:kept])
        with pytest.raises(FileError, match="must be a whole file that"):
            TransferMap.load(tmp_path / "map.npz")
    at = whole.index(b"M.npy") + 300  # among the numbers
    (tmp_path / "map.npz").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(FileError, match="CRC"):
        TransferMap.load(tmp_path / "map.npz")


def test_a_folder_and_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match="Is a directory"):
        TransferMap.load(tmp_path)
    sentence = re.escape(f"'{tmp_path / 'none'}' must be an existing file: there is none of this name")
    with pytest.raises(MissingFileError, match=f"^{sentence}$"):
        TransferMap.load(tmp_path / "none")
    with pytest.raises(MissingFileError, match=r"^the folder of '.*map\.npz' must exist: make it first, mkdir -p '"):
        fitted().save(tmp_path / "none" / "map.npz")


def test_any_name_will_do(tmp_path):
    fitted().save(tmp_path / "map")
    assert [path.name for path in tmp_path.iterdir()] == ["map"]
    np.testing.assert_array_equal(TransferMap.load(str(tmp_path / "map")).M, fitted().M)


def test_a_failing_write_leaves_nothing_and_keeps_the_old_file(tmp_path, monkeypatch):
    found = fitted()
    found.save(tmp_path / "map.npz")
    before = (tmp_path / "map.npz").read_bytes()
    monkeypatch.setattr(_saved, "write_table", lambda file, arrays: file.write(b"half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        found.save(tmp_path / "map.npz")
    assert (tmp_path / "map.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["map.npz"]
