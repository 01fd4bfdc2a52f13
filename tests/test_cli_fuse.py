"""`crossmodal-fast fuse`: ranked tables in, one out, and what it refuses."""

import errno
import os
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as pq
import pytest

import crossmodal_fast as cmf
from command_line import SOURCE, TARGET, refused
from crossmodal_fast import cli, files, fusion
from crossmodal_fast.cli.fuse import ALIASES

pytestmark = pytest.mark.usefixtures("folder")

OUT = ("-o", "fused.npz")


@pytest.fixture
def lists(folder):
    """Two lists of the same rows, one with scores (.parquet), one with distances (.csv)."""
    assert cli.main(["match", "a.npy", "b.npy", "--method", "csls", "-k", "4", "-o", "s.parquet"]) == 0
    assert cli.main(["match", "a.npy", "b.npy", "--metric", "euclidean", "-k", "6", "-o", "d.csv"]) == 0
    scored = cmf.match(SOURCE, TARGET, "csls", k=4)
    near = cmf.match(SOURCE, TARGET, "topk", k=6, metric="euclidean")
    return scored, near


def table(path):
    with np.load(path) as archive:
        assert archive.files == ["query", "gallery", "score"]
        return [archive[name] for name in archive.files]


def test_reciprocal_ranks_by_hand(lists, capsys):
    assert cli.main(["fuse", "s.parquet", "d.csv", "--weights", "2,1", "-k", "10", *OUT]) == 0
    expected = {}
    for found, weight in zip(lists, (2, 1), strict=True):
        for row in range(20):
            for rank, column in enumerate(found.columns[found.rows == row], start=1):
                expected[row, column] = expected.get((row, column), 0) + weight / (10 + rank)
    rows, columns, scores = table("fused.npz")
    assert dict(zip(zip(rows, columns, strict=True), scores, strict=True)) == pytest.approx(expected)
    assert (np.lexsort((columns, -scores, rows)) == np.arange(len(rows))).all()
    assert capsys.readouterr().out.endswith(f"fused.npz: {len(rows)} matches of 2 tables by reciprocal_rank\n")


@pytest.mark.parametrize(("told", "method"), [("combsum", "sum"), ("rrf", "reciprocal_rank"), ("borda", "borda")])
def test_rules_and_normalizers(lists, told, method):
    assert cli.main(["fuse", "s.parquet", "d.csv", "--method", told, "--normalizer", "minmax", *OUT]) == 0
    expected = fusion.fuse(list(lists), method=method, normalizer="minmax")
    for found, part in zip(table("fused.npz"), expected, strict=True):
        np.testing.assert_allclose(found, part, atol=1e-6)  # a .csv holds the decimals of float32


def test_every_alias_is_of_a_method():
    assert set(ALIASES.values()) <= fusion.METHODS.keys()
    assert not ALIASES.keys() & fusion.METHODS.keys()


@pytest.mark.usefixtures("lists")
def test_top_keeps_the_best_of_each_query():
    assert cli.main(["fuse", "s.parquet", "d.csv", "-o", "all.npz"]) == 0
    assert cli.main(["fuse", "s.parquet", "d.csv", "--top", "2", "--gamma", "1", "--method", "gmnz", *OUT]) == 0
    assert cli.main(["fuse", "s.parquet", "d.csv", "--top", "2", *OUT]) == 0
    everything, best = table("all.npz"), table("fused.npz")
    for row in range(20):
        for whole, part in zip(everything, best, strict=True):
            np.testing.assert_array_equal(part[best[0] == row], whole[everything[0] == row][:2])


@pytest.mark.usefixtures("lists")
@pytest.mark.parametrize("path", ["again.csv", "again.parquet", "again.npz"])
def test_what_was_fused_can_be_read_again(path):
    assert cli.main(["fuse", "s.parquet", "d.csv", "-o", path]) == 0
    assert cli.main(["fuse", "s.parquet", "d.csv", *OUT]) == 0
    for found, part in zip(files.read_matches(path), table("fused.npz"), strict=True):
        np.testing.assert_array_equal(found, part)


@pytest.mark.usefixtures("lists")
@pytest.mark.parametrize("path", ["fused.parquet", "fused.csv", "fused.npz"])
def test_a_full_disk_leaves_nothing(capsys, monkeypatch, path):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    capsys.readouterr()
    monkeypatch.setattr(os, "fsync", fail)
    assert refused(capsys, "fuse", "s.parquet", "d.csv", "-o", path) == (
        f"'{path}' was not written (No space left on device): make room or choose another folder"
    )


HEAD = "query,gallery,score\n"
BAD = {
    "no-column": ("query,score\n0,1\n", "'bad.csv' must have the columns query, gallery, score, got query, score"),
    "numbers": ("0,1,0.5\n", "'bad.csv' must begin with a row of column names, got '0,1,0.5'"),
    "names": ("query,gallery\n0,1,0.5\n", "'bad.csv' must name its 3 columns in the first row, got 2 names"),
    "nan": (f"{HEAD}0,1,0.5\n0,2,nan\n", "column 'score' of 'bad.csv' must be finite, got nan in row 1"),
    "half": (f"{HEAD}0.5,1,0.5\n", "column 'query' of 'bad.csv' must hold row numbers from 0, got 0.5 in row 0"),
    "negative": (f"{HEAD}0,-1,1\n", "column 'gallery' of 'bad.csv' must hold row numbers from 0, got -1 in row 0"),
    "twice": (f"{HEAD}0,1,1\n0,1,2\n", "scores[1] must hold each pair once, got row 0 with column 1 twice"),
    "empty": (HEAD, "'bad.csv' must have at least one row of numbers, got only 'query,gallery,score'"),
    "words": (
        f"{HEAD}0,1,high\n",
        "'bad.csv' must hold comma-separated numbers, got 'high' in row 2, column 3 (counted from 1)",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("lists")
@pytest.mark.parametrize("case", BAD)
def test_bad_tables(capsys, case):
    capsys.readouterr()
    content, sentence = BAD[case]
    Path("bad.csv").write_text(content)
    assert refused(capsys, "fuse", "s.parquet", "bad.csv", *OUT) == sentence


@pytest.mark.usefixtures("lists")
def test_bad_columns_of_other_formats(capsys):
    capsys.readouterr()
    np.savez("bad.npz", query=[0, 1], gallery=[0, 1], score=[1.0])
    shapes = "{'query': (2,), 'gallery': (2,), 'score': (1,)}"
    told = f"'bad.npz' must have 1-D columns of one length, at least 1, got shapes {shapes}"
    assert refused(capsys, "fuse", "bad.npz", *OUT) == told
    names = pyarrow.table({"query": ["x"], "gallery": [1], "score": [0.5]})
    pq.write_table(names, "bad.parquet")
    told = "column 'query' of 'bad.parquet' must hold numbers without gaps, got object"
    assert refused(capsys, "fuse", "bad.parquet", *OUT) == told
    Path("bad.parquet").write_bytes(b"PAR1 and no more")
    assert "'bad.parquet' must be a whole .parquet file" in refused(capsys, "fuse", "bad.parquet", *OUT)
    Path("bad.npz").write_bytes(Path("bad.npz").read_bytes()[:-40])
    assert "'bad.npz' must be a whole .npz file" in refused(capsys, "fuse", "bad.npz", *OUT)


@pytest.mark.usefixtures("lists")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--method", "luck"), "method must be one of weighted_sum, sum,"),
        (("--normalizer", "luck"), "normalizer must be one of none, minmax,"),
        (("--weights", "1,x"), "--weights must be numbers by commas, such as 2,1, got '1,x'"),
        (("--weights", "1"), "weights must be 2 finite numbers, at least 0 and not all 0, one for each modality"),
        (("--top", "0"), "--top must be at least 1, got 0"),
        (("--phi", "0.5"), "keywords of method='reciprocal_rank' must be among: k, got phi"),
        (("-k", "-1"), "k must be finite and at least 0, got -1.0"),
        (("--gamma", "much"), "Invalid value for '--gamma': must be a number, got 'much'; see crossmodal-fast fuse"),
        (("-o", "m.xlsx"), "'m.xlsx' must end in .parquet, .csv or .npz"),
    ],
)  # fmt: skip
def test_bad_arguments(capsys, arguments, sentence):
    capsys.readouterr()
    assert refused(capsys, "fuse", "s.parquet", "d.csv", *OUT, *arguments).startswith(sentence)


def test_pairs_need_no_scores():
    Path("p.csv").write_text("query,gallery\n0,1\n3,2\n")
    np.testing.assert_array_equal(files.read_pairs("p.csv"), [[0, 1], [3, 2]])
