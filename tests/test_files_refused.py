"""Every sentence of the readers, word for word; damage gives a sentence or does no harm."""

import errno
import importlib.util
import io
import re
import struct
import zipfile

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmodal_fast import files
from crossmodal_fast.files import FileError, MissingFileError, check_output, read_embeddings, read_labels
from samples import ENDINGS, ROWS, leaves_nothing, safetensors, says


def test_path_sentences(tmp_path):
    path = tmp_path / "x.npy"
    with says(f"'{path}' must be an existing file: there is none of this name", MissingFileError):
        read_embeddings(path)
    assert issubclass(MissingFileError, FileNotFoundError)
    with says(f"'{tmp_path}' must be a file, got a folder or a device: name one file"):
        read_embeddings(tmp_path)
    path.touch()
    with says(f"'{path}' must not be empty, got 0 bytes: write it again"):
        read_embeddings(path)
    other = tmp_path / "x.txt"
    other.write_text("1")
    with says(f"'{other}' must end in .npy, .npz, .parquet, .csv or .safetensors"):
        read_embeddings(other)


def test_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    np.save(path, ROWS)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with says(f"'{path}' could not be read (Permission denied)"):
        read_embeddings(path)


@pytest.mark.parametrize("ending", [".npy", ".csv"])
def test_no_key_where_there_is_one_array(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    files.write_array(path, ROWS)
    for read in (read_embeddings, lambda path, key: read_labels(path, 7, key=key)):
        with says(f"key must be left out for '{path}', which holds one array, got 'a'"):
            read(path, key="a")


@pytest.mark.parametrize("ending", [".npy", ".npz"])
@pytest.mark.parametrize("shape", [(3,), (), (2, 3, 4)])
def test_wrong_shapes(tmp_path, ending, shape):
    path = tmp_path / f"x{ending}"
    (np.save if ending == ".npy" else np.savez)(path, np.zeros(shape))
    with says(f"'{path}' must be 2-D, one row per item, got shape {shape}: reshape it"):
        read_embeddings(path)


@pytest.mark.parametrize("ending", [".npy", ".npz"])
@pytest.mark.parametrize(
    ("dtype", "named"),
    [("c16", "complex128"), ("U1", "<U1"), ("m8[s]", "timedelta64[s]"), (ml_dtypes.bfloat16, "|V2"), ("g", "float128")],
)
def test_wrong_dtypes(tmp_path, ending, dtype, named):
    if dtype == "g" and np.dtype("g").itemsize == 8:
        pytest.skip("long double is float64 here")
    path = tmp_path / f"x{ending}"
    (np.save if ending == ".npy" else np.savez)(path, np.zeros((2, 3), dtype))
    with says(f"'{path}' must hold real numbers of at most 64 bits, got {named}: convert it to float32"):
        read_embeddings(path)


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_no_rows_and_no_pickles(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    name = f"'{path}'" if ending == ".npy" else f"'arr_0.npy' in '{path}'"
    save = np.save if ending == ".npy" else np.savez
    save(path, np.zeros((0, 8)))
    with says(f"{name} must have at least one row and one column, got shape (0, 8)"):
        read_embeddings(path)
    save(path, np.array([[1, None]], object))
    with says(f"{name} must hold plain numbers, got Python objects, which are never unpickled: save float32"):
        read_embeddings(path)


def test_writer_refuses_what_the_reader_would(tmp_path):
    with says("array must be 2-D, one row per item, got shape (3,): reshape it"):
        files.write_array(tmp_path / "x.npy", np.zeros(3))
    with says("array must have at least one row and one column, got shape (0, 3)"):
        files.write_array(tmp_path / "x.npy", np.zeros((0, 3)))
    with says("array must hold real numbers of at most 64 bits, got object: convert it to float32"):
        files.write_array(tmp_path / "x.npy", np.array([[None]]))
    leaves_nothing(tmp_path)


def npy_bytes(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("change", [-1, -100, +1])
def test_npy_of_a_wrong_length(tmp_path, change):
    path = tmp_path / "x.npy"
    whole = npy_bytes(ROWS)
    path.write_bytes(whole[:change] if change < 0 else whole + b"\0")
    with says(
        f"'{path}' must hold the 140 bytes that its header states (shape (7, 5), float32), "
        f"got {140 + change}: write it again"
    ):
        read_embeddings(path)


@pytest.mark.parametrize("shape", [(2**40, 2**40), (-7, -5), (10**30, 5)])
def test_npy_with_a_mad_shape(tmp_path, shape):
    path = tmp_path / "x.npy"
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for content in (file.getvalue() + b"\0" * 140,):
        path.write_bytes(content)
        with pytest.raises(FileError, match=re.escape(f"that its header states (shape {shape}, float32), got 140")):
            read_embeddings(path)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", file.getvalue() + b"\0" * 140)
    with pytest.raises(FileError, match=re.escape(f"that its header states (shape {shape}, float32), got 140")):
        read_embeddings(tmp_path / "x.npz")


def test_npz_that_unpacks_to_more_than_it_could(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=ROWS)
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 2**31)
    path.write_bytes(content)
    with says(f"'a.npy' in '{path}' must fit into its file, got {2**31} bytes stated: write it again"):
        read_embeddings(path)


@pytest.mark.parametrize(
    ("ending", "content", "reason"),
    [
        (
            ".npy",
            b"PK and so on",
            r"the magic string is not correct; expected b'\x93NUMPY', got b'PK and'",
        ),
        (".npz", npy_bytes(ROWS), "File is not a zip file"),
        (".parquet", b"not a table at all", None),
        (".csv", b"\x89PNG\r\n\x1a\n", "'utf-8' codec can't decode byte 0x89 in position 0: invalid start byte"),
        (".safetensors", b"abc", "unpack requires a buffer of 8 bytes"),
        (".safetensors", b"\xff" * 20, "a header of 18446744073709551615 bytes in a file of 20"),
        (".safetensors", struct.pack("<Q", 2) + b"[]", None),
    ],
)
def test_foreign_content(tmp_path, ending, content, reason):
    path = tmp_path / f"x{ending}"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_embeddings(path)
    start = f"'{path}' must be a whole {ending} file, got other or damaged content ("
    assert str(caught.value).startswith(start)
    if reason is not None:
        assert str(caught.value) == f"{start}{reason})"


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 12]},
            "'x' in '{path}' must hold the 16 bytes that its header states (shape (2, 2), float32), got 12: "
            "write it again",
        ),
        (
            {"dtype": "F32", "shape": [2, 2], "data_offsets": [8, 24]},
            "'x' in '{path}' must hold the 16 bytes that its header states (shape (2, 2), float32), got 8: "
            "write it again",
        ),
        (
            {"dtype": "F32", "shape": [2, -2], "data_offsets": [0, 16]},
            "'{path}' must be a whole .safetensors file, got other or damaged content (shape (2, -2) at bytes 0 to 16)",
        ),
        (
            {"dtype": "F32", "shape": [0, 4], "data_offsets": [0, 0]},
            "'x' in '{path}' must have at least one row and one column, got shape (0, 4)",
        ),
        (
            {"dtype": "F8_E4M3", "shape": [4, 4], "data_offsets": [0, 16]},
            "'x' in '{path}' must be of dtype BF16, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64, BOOL, "
            "got F8_E4M3: convert it to F32",
        ),
    ],
)
def test_safetensors_sentences(tmp_path, entry, sentence):
    path = safetensors(tmp_path / "x.safetensors", {"x": entry}, b"\0" * 16)
    with says(sentence.format(path=path)):
        read_embeddings(path)


NO_NUMBERS = "must hold numbers, got {}: drop it, or name the column to read by key"


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"a": [1.0, 2], "b": ["x", "y"]}, f"column 'b' of @ {NO_NUMBERS.format('string')}"),
        ({"a": [["x"], ["y"]]}, f"column 'a' of @ {NO_NUMBERS.format('list<element: string>')}"),
        ({"a": [1.0, None]}, "column 'a' of @ must have a value in every row, got none in row 1 (counted from 0)"),
        ({"a": [[1], None]}, "column 'a' of @ must have a value in every row, got none in row 1 (counted from 0)"),
        ({"a": [[1.0, 2], [3.0]]}, "column 'a' of @ must hold lists of one length, got 2 in row 0 and 1 in row 1"),
        ({"a": [[1.0, 2], [3.0, None]]}, "column 'a' of @ must hold lists without gaps, got an empty value in one"),
        ({"a": pa.array([], pa.float32())}, "@ must have at least one row and one column, got shape (0, 1)"),
        (
            {"a": pa.array([[], []], pa.list_(pa.int8()))},
            "@ must have at least one row and one column, got shape (2, 0)",
        ),
    ],
)
def test_parquet_sentences(tmp_path, columns, sentence):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path)
    with says(sentence.replace("@", f"'{path}'")):
        read_embeddings(path)


def test_parquet_with_one_name_twice(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["a", "a"]), path)
    with says(f"'{path}' must have columns of different names, got ['a', 'a']"):
        read_embeddings(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,2\n3,x\n", "must hold comma-separated numbers, got 'x' in row 2, column 2 (counted from 1)"),
        ("a,b\n\n1,2\n3,\n", "must hold comma-separated numbers, got '' in row 4, column 2 (counted from 1)"),
        ("a,b\n1;2\n", "must hold comma-separated numbers, got '1;2' in row 2, column 1 (counted from 1)"),
        ("1,b\n1,2\n", "must hold comma-separated numbers, got 'b' in row 1, column 2 (counted from 1)"),
        ("1,1_000\n", "must hold comma-separated numbers, got '1_000' in row 1, column 2 (counted from 1)"),
        (
            f"1\n{'y' * 99}\n",
            f"must hold comma-separated numbers, got '{'y' * 40}' in row 2, column 1 (counted from 1)",
        ),
        (
            "a,b\n\n1,2\n\uff13,4\n",
            "must hold comma-separated numbers, got '\uff13' in row 4, column 1 (counted from 1)",
        ),
        ("1,2\n  \n3,x\n", "must hold comma-separated numbers, got 'x' in row 3, column 2 (counted from 1)"),
        ("1,2\n3\n", "must have 2 numbers in every row, got 1 in row 2"),
        ("a,b\n", "must have at least one row of numbers, got only 'a,b'"),
        ("\n\n", "must have at least one row of numbers, got only ''"),
        (
            "0,1,2\n0.5,1.5,2.5\n",
            "must not begin with the row 0, 1, .. 2, which may be column numbers or data: "
            "name the columns, or write it as 0.0, 1.0 ..",
        ),
    ],
)
def test_csv_sentences(tmp_path, text, sentence):
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    with says(f"'{path}' {sentence}"):
        read_embeddings(path)


def test_csv_that_only_numpy_refuses(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("a reason of its own")

    path = tmp_path / "x.csv"
    path.write_text("1,2\n")
    monkeypatch.setattr(np, "loadtxt", refuse)
    with says(f"'{path}' must be a whole .csv file, got other or damaged content (a reason of its own)"):
        read_embeddings(path)


def test_csv_that_begins_with_a_blank_line_has_no_header(tmp_path):
    (tmp_path / "x.csv").write_text("  \n1,2\n \n3,4\n")
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.csv"), [[1, 2], [3, 4]])


@pytest.mark.parametrize("path", [None, 3])
def test_a_path_that_is_none(path):
    for call in (read_embeddings, check_output, lambda path: files.write_array(path, ROWS)):
        with says(f"path must be the name of a file, got {path}", TypeError):
            call(path)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_no_array_at_all(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    if ending == ".npz":
        np.savez(path)
    else:
        safetensors(path, {})
    with says(f"'{path}' must hold at least one array, got none: write it again"):
        read_embeddings(path)


def test_csv_of_whole_numbers_may_begin_with_a_count(tmp_path):
    (tmp_path / "x.csv").write_text("0,1,2\n3,4,5\n")
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.csv"), [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("ending", "package", "sentence"),
    [
        (".parquet", "pyarrow", "'{path}' needs pyarrow: pip install 'crossmodal-fast[cli]'"),
        (
            ".safetensors",
            "ml_dtypes",
            "'embeddings' in '{path}' is bfloat16 and needs ml_dtypes: pip install 'crossmodal-fast[bf16]'",
        ),
    ],
)
def test_missing_packages(tmp_path, monkeypatch, ending, package, sentence):
    path = tmp_path / f"x{ending}"
    files.write_array(path, ROWS.astype(ml_dtypes.bfloat16))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with says(sentence.format(path=path)):
        read_embeddings(path)
    if ending == ".parquet":
        with says(sentence.format(path=path)):
            check_output(path, files.TABLE_WRITERS)


@pytest.fixture(scope="module", params=ENDINGS)
def whole(request, tmp_path_factory):
    """(path, its good content) of each format."""
    path = tmp_path_factory.mktemp("damage") / f"x{request.param}"
    files.write_array(path, ROWS)
    return path, path.read_bytes()


@settings(max_examples=120, deadline=None, derandomize=True)
@given(data=st.data())
def test_damage_is_a_sentence_or_harmless(whole, data):
    path, content = whole
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, min(len(content) - 1, 400)) | st.integers(0, len(content) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.just(len(content)) | st.integers(1, len(content)))])
    try:
        array = read_embeddings(path)
    except FileError as refused:
        sentence = str(refused)
    else:
        sentence = str(path)
        assert array.ndim == 2
        assert array.nbytes <= 64 * len(content)
        np.array(array)  # every page is there: a bus error would end the process
    assert "\n" not in sentence
    assert str(path) in sentence
