"""The footer of a Parquet file as we read it: what pyarrow reads there, and a sentence for whatever else is."""

import numpy as np
import pytest

from crossmodal_fast import files
from crossmodal_fast.files import FileError, _footer
from samples import ROWS, says

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

COLUMNS = {
    "number": np.arange(1000), "a name.with a point": np.ones(1000, np.float32), "list": [[1.0, 2.0]] * 1000,
    "text": ["x"] * 1000, "structure": [{"inner": 1}] * 1000, "truth": [True] * 1000, "nothing": [None] * 1000,
}  # fmt: skip
LAYOUTS = [
    {}, {"row_group_size": 100, "compression": "zstd"}, {"write_page_index": True, "write_page_checksum": True},
    {"version": "1.0", "store_schema": False}, {"use_dictionary": False, "write_statistics": False},
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_what_pyarrow_reads(layout, tmp_path):
    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table(COLUMNS), path, **layout)
    found, law = _footer.footer_of(path), parquet.ParquetFile(path).metadata
    assert found.rows == law.num_rows == 1000
    assert len(found.groups) == law.num_row_groups
    for at, group in enumerate(found.groups):
        one = law.row_group(at)
        assert group.rows == one.num_rows
        columns = [one.column(place) for place in range(one.num_columns)]
        assert sum(group.values.values()) == sum(column.num_values for column in columns)
        assert list(group.values) == list(COLUMNS)
        assert group.values["list"] == 2 * group.rows


def test_changed_bytes_are_read_or_refused(tmp_path):
    """Each byte of a footer, as all ones and as one more: pyarrow aborts at some when it is asked for the columns."""
    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"a": np.arange(3)}), path, store_schema=False)
    content = path.read_bytes()
    begin = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    seen = set()
    for at in range(begin, len(content) - 4):
        for value in (255, (content[at] + 1) % 256):
            path.write_bytes(content[:at] + bytes([value]) + content[at + 1 :])
            try:
                seen.add(_footer.footer_of(path).rows)
            except ValueError as error:
                seen.add(str(error).partition(" ")[0])
    assert {3, "a", "its"} <= seen


def test_sentences(tmp_path):
    path = tmp_path / "x.parquet"
    files.write_array(path, ROWS)
    content = path.read_bytes()
    path.write_bytes(content[:-8] + (1 << 20).to_bytes(4, "little") + content[-4:])
    with pytest.raises(ValueError, match=r"^a footer of 1048576 bytes is more than the file$"):
        _footer.footer_of(path)
    for footer in (b"", b"\0", b"\x19\xfc" + b"\xff" * 11, b"\x1c" * 40, b"\x18\x7f", b"\x1f", b"\x1b\x01\x33aa\0"):
        path.write_bytes(footer + len(footer).to_bytes(4, "little") + b"PAR1")
        with pytest.raises(ValueError, match=r"^its footer has no row groups where they belong$"):
            _footer.footer_of(path)


def test_a_footer_that_is_none_is_named(tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    files.write_array(path, ROWS)
    monkeypatch.setattr(_footer, "ROW_GROUPS", 99)
    with says(
        f"'{path}' must be a whole .parquet file, got other or damaged content "
        "(its footer has no row groups where they belong)",
        FileError,
    ):
        files.read_embeddings(path)
