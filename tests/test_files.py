import csv
import errno
import importlib.util
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from crossmodal_fast import files
from crossmodal_fast.files import FileError, MissingFileError, atomic, check_output, read_embeddings, read_labels

ROWS = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
ROWS[0, 0], ROWS[1, 1] = np.float32(0.1), np.float32(1e-42)
NUMBER_TYPES = ["float16", "float32", "float64", "int8", "uint8", "int64", "bool"]
ENDINGS = list(files.ARRAY_WRITERS)


def says(sentence, kind=FileError):
    """The whole sentence, word for word."""
    return pytest.raises(kind, match=f"^{re.escape(str(sentence))}$")


def leaves_nothing(folder, *expected):
    assert sorted(path.name for path in folder.iterdir()) == sorted(expected)


# ---- what is written is what is read


@pytest.mark.parametrize("dtype", NUMBER_TYPES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip(tmp_path, ending, dtype):
    rows = (ROWS * 20).astype(dtype)
    files.write_array(tmp_path / f"rows{ending}", rows)
    back = read_embeddings(tmp_path / f"rows{ending}")
    assert back.dtype == (np.float64 if ending == ".csv" else rows.dtype)
    np.testing.assert_array_equal(back.astype(dtype), rows)
    leaves_nothing(tmp_path, f"rows{ending}")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("rows", [ROWS[::-2, ::2], np.asfortranarray(ROWS), ROWS.astype(">f4"), ROWS[:1], ROWS[:, :1]])
def test_round_trip_of_any_layout(tmp_path, ending, rows):
    files.write_array(tmp_path / f"rows{ending}", rows)
    np.testing.assert_array_equal(read_embeddings(tmp_path / f"rows{ending}").astype(np.float32), rows)


@pytest.mark.parametrize("ending", ENDINGS)
def test_bfloat16_keeps_its_values(tmp_path, ending):
    rows = ROWS.astype(ml_dtypes.bfloat16)
    files.write_array(tmp_path / f"rows{ending}", rows)
    back = read_embeddings(tmp_path / f"rows{ending}")
    assert (back.dtype == rows.dtype) == (ending == ".safetensors")
    np.testing.assert_array_equal(back.astype(np.float32), rows.astype(np.float32))


@pytest.mark.parametrize("ending", [".npy", ".safetensors"])
def test_large_formats_are_mapped_and_read_only(tmp_path, ending):
    files.write_array(tmp_path / f"rows{ending}", ROWS)
    back = read_embeddings(tmp_path / f"rows{ending}")
    assert isinstance(back, np.memmap)
    assert not back.flags.writeable


def test_suffix_in_capitals(tmp_path):
    files.write_array(tmp_path / "ROWS.NPY", ROWS)
    np.testing.assert_array_equal(read_embeddings(str(tmp_path / "ROWS.NPY")), ROWS)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".npz"])
def test_table(tmp_path, ending):
    path = tmp_path / f"table{ending}"
    columns = {
        "file": np.arange(3),
        "distance": np.array([0.1, 1e-42, np.inf], np.float32),
        "id": np.array(["a,b", "ä", 'say "x"']),
    }
    files.write_table(path, columns)
    if ending == ".npz":
        with np.load(path) as archive:
            back = {name: archive[name] for name in archive.files}
    elif ending == ".parquet":
        back = {name: column.to_numpy() for name, column in zip(columns, pq.read_table(path).columns, strict=True)}
    else:
        header, *lines = csv.reader(path.read_text(encoding="utf-8").splitlines())
        back = {name: np.array(cells) for name, cells in zip(header, zip(*lines, strict=True), strict=True)}
        assert back["distance"].tolist() == ["0.1", "1e-42", "inf"]
    assert list(back) == list(columns)
    for name, column in columns.items():
        np.testing.assert_array_equal(back[name].astype(column.dtype), column)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".npz"])
def test_table_without_rows(tmp_path, ending):
    files.write_table(tmp_path / f"table{ending}", {"query": np.empty(0, np.int64), "distance": np.empty(0)})
    assert (tmp_path / f"table{ending}").stat().st_size > 0
    if ending == ".csv":
        assert (tmp_path / "table.csv").read_text() == "query,distance\n"


def test_csv_is_the_same_in_blocks(tmp_path, monkeypatch):
    files.write_array(tmp_path / "whole.csv", ROWS)
    monkeypatch.setattr("crossmodal_fast.files._csv.BLOCK_CELLS", 10)
    files.write_array(tmp_path / "blocks.csv", ROWS)
    assert (tmp_path / "blocks.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_columns_must_agree(tmp_path):
    with says("columns must be 1-D and of one length, got {'a': (2,), 'b': (3,)}", ValueError):
        files.write_table(tmp_path / "table.csv", {"a": np.zeros(2), "b": np.zeros(3)})
    with says("columns must be 1-D and of one length, got {'a': (2, 2)}", ValueError):
        files.write_table(tmp_path / "table.csv", {"a": np.zeros((2, 2))})
    leaves_nothing(tmp_path)


# ---- files that others wrote


def test_safetensors_of_the_package(tmp_path):
    path = tmp_path / "rows.safetensors"
    save_file({"rows": ROWS, "odd": np.arange(3, dtype=np.uint8)[None]}, path, metadata={"made": "here"})
    np.testing.assert_array_equal(read_embeddings(path, key="rows"), ROWS)
    np.testing.assert_array_equal(read_embeddings(path, key="odd"), [[0, 1, 2]])
    with says(f"key must be one of ['rows', 'odd'] in '{path}', got None"):
        read_embeddings(path)


def test_safetensors_for_the_package(tmp_path):
    files.write_array(tmp_path / "rows.safetensors", ROWS[:, ::-1])
    np.testing.assert_array_equal(load_file(tmp_path / "rows.safetensors")["embeddings"], ROWS[:, ::-1])


def safetensors(path, header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def test_safetensors_off_its_alignment(tmp_path):
    header = {"x": {"dtype": "F64", "shape": [1, 2], "data_offsets": [1, 17]}}
    path = safetensors(tmp_path / "x.safetensors", header, b"\0" + np.array([1.0, 2.0]).tobytes())
    back = read_embeddings(path)
    assert back.flags.aligned
    np.testing.assert_array_equal(back, [[1.0, 2.0]])


def test_npz_with_names(tmp_path):
    path = tmp_path / "two.npz"
    np.savez_compressed(path, image=ROWS, text=ROWS[:, :2])
    np.testing.assert_array_equal(read_embeddings(path, key="text"), ROWS[:, :2])
    with says(f"key must be one of ['image', 'text'] in '{path}', got 'sound'"):
        read_embeddings(path, key="sound")


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 5)])
def test_parquet_lists(tmp_path, kind):
    path = tmp_path / "lists.parquet"
    table = pa.table({"name": pa.array([str(i) for i in range(7)]), "vector": pa.array(ROWS.tolist(), kind)})
    pq.write_table(table, path, row_group_size=2)
    np.testing.assert_array_equal(read_embeddings(path), ROWS, strict=True)


def test_parquet_key(tmp_path):
    path = tmp_path / "lists.parquet"
    pq.write_table(pa.table({"n": [1, 2], "a": [[1.0, 2], [3, 4]], "b": [[5.0], [6]]}), path)
    np.testing.assert_array_equal(read_embeddings(path, key="b"), [[5], [6]])
    np.testing.assert_array_equal(read_embeddings(path, key="n"), [[1], [2]])
    with says(f"key must be one of ['a', 'b'] in '{path}', got None"):
        read_embeddings(path)


def test_parquet_columns_promote_and_the_index_of_pandas_stays_out(tmp_path):
    path = tmp_path / "wide.parquet"
    table = pa.table({"x": np.array([1.5, 2.5], np.float32), "y": np.array([1, 2], np.int8), "row": [40, 41]})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps({"index_columns": ["row"]})}), path)
    np.testing.assert_array_equal(read_embeddings(path), np.array([[1.5, 1], [2.5, 2]], np.float32), strict=True)


@pytest.mark.parametrize(
    "text",
    [
        "1,2.5\n-3e2,nan\n",
        "left, right\n1, 2.5\n-3e2,nan",
        "\ufeffa,b\r\n1,2.5\r\n\r\n-3e2,nan\r\n",
        '"1",2.5\n-3e2,NaN\n',
    ],
    ids=["plain", "header", "bom-crlf-blank", "quoted"],
)
def test_csv_dialects(tmp_path, text):
    (tmp_path / "x.csv").write_bytes(text.encode())
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.csv"), [[1, 2.5], [-300, np.nan]])


def test_csv_of_one_row_or_one_column(tmp_path):
    (tmp_path / "row.csv").write_text("1,2,3\n")
    (tmp_path / "column.csv").write_text("a\n1\n2\n3\n")
    assert read_embeddings(tmp_path / "row.csv").shape == (1, 3)
    assert read_embeddings(tmp_path / "column.csv").shape == (3, 1)


# ---- labels


def test_labels(tmp_path):
    np.save(tmp_path / "numbers.npy", np.arange(3))
    np.save(tmp_path / "words.npy", np.array([["cat"], ["dog"], ["owl"]]))
    (tmp_path / "words.csv").write_text("cat\ndog\n7\n")
    (tmp_path / "header.csv").write_text("label\n-3\n4\n5\n")
    assert read_labels(tmp_path / "numbers.npy", 3).tolist() == [0, 1, 2]
    assert read_labels(tmp_path / "words.npy", 3).tolist() == ["cat", "dog", "owl"]
    assert read_labels(tmp_path / "words.csv", 3).tolist() == ["cat", "dog", "7"]
    assert read_labels(tmp_path / "header.csv", 3).tolist() == [-3, 4, 5]
    for name, shape in [("numbers.npy", "(3,)"), ("words.csv", "(3,)"), ("words.npy", "(3, 1)")]:
        path = tmp_path / name
        with says(f"'{path}' must hold 5 labels, one per row of the embeddings, got shape {shape}"):
            read_labels(path, 5)


# ---- every sentence of the reader


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
    path.write_text(text)
    with says(f"'{path}' {sentence}"):
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


# ---- whole or not at all


def test_atomic_replaces_only_at_the_end(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with atomic(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        assert len(list(tmp_path.iterdir())) == 2
    assert path.read_bytes() == b"new"
    leaves_nothing(tmp_path, "x.bin")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError, MemoryError, SystemExit])
def test_atomic_leaves_nothing_behind(tmp_path, stop):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with pytest.raises(stop), atomic(path) as file:  # noqa: PT012
        file.write(b"half")
        raise stop
    assert path.read_bytes() == b"old"
    leaves_nothing(tmp_path, "x.bin")


def test_atomic_goes_through_a_link_and_heeds_the_umask(tmp_path):
    (tmp_path / "real.bin").write_bytes(b"old")
    (tmp_path / "link.bin").symlink_to("real.bin")
    before = os.umask(0o027)
    try:
        with atomic(tmp_path / "link.bin") as file:
            file.write(b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "link.bin").is_symlink()
    assert (tmp_path / "real.bin").read_bytes() == b"new"
    assert (tmp_path / "real.bin").stat().st_mode & 0o777 == 0o640


def test_atomic_takes_a_long_name(tmp_path):
    with atomic(tmp_path / ("x" * 250)) as file:
        file.write(b"new")
    leaves_nothing(tmp_path, "x" * 250)


def test_output_sentences(tmp_path, monkeypatch):
    path = tmp_path / "none" / "x.csv"
    with says(f"the folder of '{path}' must exist: make it first, mkdir -p '{path.parent}'", MissingFileError):
        check_output(path)
    with says(f"'{tmp_path / 'x.npy'}' must end in .parquet, .csv or .npz"):
        check_output(tmp_path / "x.npy", files.TABLE_WRITERS)
    with says(f"'{tmp_path / 'x.txt'}' must end in .npy, .npz, .parquet, .csv or .safetensors"):
        files.write_array(tmp_path / "x.txt", ROWS)
    (tmp_path / "x.csv").mkdir()
    for taken in (tmp_path / "x.csv", "/dev/null"):
        with says(f"'{taken}' must be a new or a regular file, got a folder or a device"):
            check_output(taken)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with says(f"the folder of '{tmp_path / 'y.csv'}' must be writable: choose another folder"):
        check_output(tmp_path / "y.csv")
    leaves_nothing(tmp_path, "x.csv")


BIG = np.random.default_rng(1).standard_normal((4000, 16))
WRITE = {
    **{ending: lambda path: files.write_array(path, BIG) for ending in ENDINGS},
    **{f"table{ending}": lambda path: files.write_table(path, {"a": BIG.ravel()}) for ending in files.TABLE_WRITERS},
}


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True).returncode
    ):
        pytest.skip("mount -t tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", WRITE)
def test_full_disk(small_disk, name):
    path = small_disk / f"x{name}"
    with says(f"'{path}' was not written (No space left on device): make room or choose another folder"):
        WRITE[name](path)
    leaves_nothing(small_disk)


LIMITED = """
import resource, sys, numpy as np
from crossmodal_fast import files
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    files.write_array(sys.argv[1], np.ones((4000, 16)))
except files.FileError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_file_limit(tmp_path):
    path = tmp_path / "x.npy"
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True)
    assert done.stdout == f"'{path}' was not written (File too large): make room or choose another folder\n"
    assert done.stderr == ""
    leaves_nothing(tmp_path)


@pytest.mark.parametrize("name", WRITE)
@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_stop_before_the_rename(tmp_path, monkeypatch, name, stop):
    """Where no tmpfs can be mounted, this stands in for the full disk."""

    def fail(_):
        raise stop

    monkeypatch.setattr(os, "fsync", fail)
    path = tmp_path / f"x{name}"
    with pytest.raises(FileError if isinstance(stop, OSError) else KeyboardInterrupt):
        WRITE[name](path)
    leaves_nothing(tmp_path)
