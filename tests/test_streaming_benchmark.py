"""`benchmarks/streaming.py` over files of a few KB: its rows are complete, and of answers that agree."""

import json
import os
import sys

import pytest
import streaming  # of benchmarks

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the page cache is told what to forget")

ALWAYS = {"what", "gallery_bytes", "m", "met", "d", "k", "max_bytes", "machine", "versions", "commit", "date"}


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """What is kept of a run."""
    sizes = {"D": 6, "K": 3, "ROUNDS": 2, "FOLDER": tmp_path, "LARGE_BYTES": 24 * 500, "REAL_BYTES": 24 * 700}
    for name, value in sizes.items():
        monkeypatch.setattr(streaming, name, value)
    monkeypatch.setenv("CROSSMODAL_FAST_BACKEND", "numpy")  # nothing to compile in a process a row

    def run(what):
        monkeypatch.setattr(sys, "argv", ["streaming.py", what, "--folder", str(tmp_path), "--queries", "5"])
        streaming.main()
        return json.loads(next(tmp_path.glob("*-streaming-*.json")).read_text(encoding="utf-8"))

    return run


def test_memory(rows):
    found = rows("memory")
    assert [row["what"] for row in found] == [
        "peak memory of topk, gallery as path",
        "peak memory of topk, gallery as memmap",
        "peak memory of within, gallery as path",
        "peak memory of ranks, gallery as path",
    ]
    for row in found:
        assert row.keys() == ALWAYS | {"seconds", "peak_bytes"}
        assert (row["gallery_bytes"], row["m"], row["d"], row["k"], row["met"]) == (12_000, 5, 6, 3, True)
        assert 1 << 24 < row["peak_bytes"] < 1 << 30
        assert row["seconds"] > 0


@pytest.mark.parametrize(
    ("search", "old", "new"),
    [("within", "farthest=distances[:, -1]", "farthest=distances[:, 0]"), ("ranks", "answer[:, -1]", "answer[:, 0]")],
)
def test_memory_of_another_answer_is_no_row(search, old, new, rows, monkeypatch):
    assert streaming.PEAK.count(old) == 1
    monkeypatch.setattr(streaming, "PEAK", streaming.PEAK.replace(old, new))
    monkeypatch.setattr(streaming, "WAYS", [("topk", "path"), (search, "path")])
    with pytest.raises(AssertionError, match=f"{search} disagrees with topk"):
        rows("memory")


def test_rate(rows):
    (row,) = rows("rate")
    units = "bytes_per_second", "cpu_seconds"
    timed = {f"{name}_{unit}" for name in ("disk", "engine", "streamed") for unit in units}
    assert row.keys() == ALWAYS | timed | {"share", "target"}
    assert row["gallery_bytes"] == 24 * 700 + 128
    assert min(row[name] for name in timed if name.endswith("bytes_per_second")) > 0
    assert row["share"] > 0


def test_a_rate_of_another_answer_is_no_row(rows, monkeypatch):
    topk = streaming.streaming.topk
    monkeypatch.setattr(streaming.streaming, "topk", lambda *given, **more: [part + 1 for part in topk(*given, **more)])
    with pytest.raises(AssertionError):
        rows("rate")
