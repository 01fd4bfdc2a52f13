"""What files hold is what is read: our own in every format, and what other programs wrote."""

import csv
import json

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from crossmodal_fast import files
from crossmodal_fast.files import read_embeddings, read_labels
from samples import ENDINGS, ROWS, leaves_nothing, safetensors, says

NUMBER_TYPES = ["float16", "float32", "float64", "int8", "uint8", "int64", "bool"]


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
