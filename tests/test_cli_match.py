"""`crossmodal-fast match`: the options of its methods, and the page of --report."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

import crossmodal_fast as cmf
from command_line import SOURCE, TARGET, refused
from crossmodal_fast import cli
from crossmodal_fast.cli._method_options import OPTIONS, flag_of
from crossmodal_fast.matching import METHODS
from crossmodal_fast.report import Items, page_of

pytestmark = pytest.mark.usefixtures("folder")

OUT = ("-o", "m.npz")
APART = {"k"}  # an argument of the command
BANK = np.random.default_rng(2).standard_normal((12, 8)).astype(np.float32)
CASES = {
    "csls": {"k": 2, "neighbours": 4, "retrieval": "intersect"},
    "margin": {"margin": "distance", "neighbours": 3, "k": 2},
    "nnn": {"bank": BANK, "alpha": 0.5, "neighbours": 5},
    "inverted_softmax": {"beta": 5.0},
    "qb_norm": {"bank": BANK, "beta": 3.0, "activation": 2},
    "greedy": {"candidates": 5},
    "assignment": {"solver": "sparse", "candidates": 4},
    "sinkhorn": {"epsilon": 0.2, "rho": 1.0, "iterations": 50, "tolerance": 1e-3, "levels": 1, "keep_scores": True},
    "itermax": {"rounds": 3, "alpha": 0.8},
    "nicdm": {"neighbours": 3, "k": 2},
    "mutual_proximity": {"distribution": "empirical", "retrieval": "max"},
}


def test_every_option_of_every_method_has_a_flag():
    known = {option for method in METHODS.values() for option in method.options}
    assert OPTIONS.keys() == known - APART


@pytest.mark.parametrize("method", CASES)
def test_options_of_methods(method):
    options = CASES[method]
    np.save("bank.npy", BANK)
    words = {"bank": ["bank.npy"], "keep_scores": []}
    given = [word for name, value in options.items() for word in (flag_of(name), *words.get(name, [str(value)]))]
    assert cli.main(["match", "a.npy", "b.npy", "--method", method, "--backend", "numpy", *given, *OUT]) == 0
    expected = cmf.match(SOURCE, TARGET, method, backend="numpy", **options)
    plain = {name: value for name, value in options.items() if name in ("k", "bank")}
    default = cmf.match(SOURCE, TARGET, method, backend="numpy", **plain)
    with np.load("m.npz") as found:
        for name, part in zip(("query", "gallery", "score"), expected, strict=True):
            np.testing.assert_array_equal(found[name], part)
    if method not in ("greedy", "assignment"):  # whose options change the way, not the answer
        assert not (expected.scores.shape == default.scores.shape and (expected.scores == default.scores).all())


@pytest.mark.parametrize("method", sorted(METHODS.keys() - CASES.keys()))
def test_methods_without_options(method):
    metric = "euclidean" if method == "dissim_local" else "cosine"
    command = ["match", "a.npy", "b.npy", "--method", method, "--metric", metric, "--backend", "numpy", "-k", "1"]
    assert cli.main([*command, *OUT]) == 0
    expected = cmf.match(SOURCE, TARGET, method, k=1, metric=metric, backend="numpy")
    with np.load("m.npz") as found:
        np.testing.assert_array_equal(found["gallery"], expected.columns)


def test_marginals():
    """A file for each side, of any format that holds a column of numbers."""
    a, b = np.linspace(1, 2, 20), np.linspace(3, 1, 30)
    b *= a.sum() / b.sum()
    np.save("rows.npy", a)
    Path("columns.csv").write_text("weight\n" + "\n".join(map(repr, b.tolist())))
    given = ["--marginals", "rows.npy", "--marginals", "columns.csv"]
    assert cli.main(["match", "a.npy", "b.npy", "--method", "sinkhorn", "--backend", "numpy", *given, *OUT]) == 0
    expected = cmf.match(SOURCE, TARGET, "sinkhorn", marginals=(a, b), backend="numpy")
    with np.load("m.npz") as found:
        np.testing.assert_array_equal(found["score"], expected.scores)


REFUSED = {
    "marginals-once": (
        ("--method", "sinkhorn", "--marginals", "a.npy"),
        "--marginals must be given twice, for the rows of A and of B, got 1 times",
    ),
    "marginals-words": (
        ("--method", "sinkhorn", "--marginals", "words.csv", "--marginals", "b.npy"),
        "'words.csv' must hold a number for each of 20 rows, got text",
    ),
    "topk": (("--epsilon", "0.1"), "--epsilon must be left out with --method topk, which takes -k, got 0.1"),
    "k": (
        ("--method", "greedy", "-k", "2"),
        "-k must be left out with --method greedy, which takes --candidates, got 2",
    ),
    "keep": (
        ("--method", "csls", "--keep-scores"),
        "--keep-scores must be left out with --method csls, which takes -k, --neighbours, --retrieval, got True",
    ),
    "number": (
        ("--method", "sinkhorn", "--epsilon", "x"),
        "Invalid value for '--epsilon': must be a number, got 'x'; see crossmodal-fast match --help",
    ),
    "no-bank": (("--method", "nnn", "--bank", "x.npy"), "'x.npy' must be an existing file: there is none of this name"),
    "value": (("--method", "sinkhorn", "--epsilon", "0"), "epsilon must be a finite number above 0, got 0.0"),
    "no-report": (("--queries-table", "q.csv"), "--queries-table must come with --report, got none"),
    "suffix": (("--report", "r.pdf"), "'r.pdf' must end in .html or .htm"),
    "one-label": (
        ("--report", "r.html", "--labels-a", "a.npy"),
        "--labels-a and --labels-b must be given together, got one of them",
    ),
    "pairs": (
        ("--report", "r.html", "--labels-a", "a.npy", "--labels-b", "b.npy", "--pairs", "p.csv"),
        "--pairs must be left out with --labels-a and --labels-b, got all of them",
    ),
    "rows": (("--report", "r.html", "--report-rows", "0"), "--report-rows must be at least 1, got 0"),
    "count": (
        ("--report", "r.html", "--queries-table", "q.csv"),
        "'q.csv' must have 20 rows, one per row of the embeddings, got 2",
    ),
    "no-table": (
        ("--report", "r.html", "--gallery-table", "none.csv"),
        "'none.csv' must be an existing file: there is none of this name",
    ),
    "no-picture": (
        ("--report", "r.html", "--gallery-table", "g.csv"),
        "image of gallery row 11 must be an existing file, got 'none.png'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(capsys, case):
    Path("q.csv").write_text("text\na\nb\n")
    Path("words.csv").write_text("a\n" * 20)
    Path("g.csv").write_text("image\n" + "none.png\n" * 30)
    arguments, sentence = REFUSED[case]
    told = refused(capsys, "match", "a.npy", "b.npy", *OUT, *arguments)
    assert told.replace(f"row {cmf.match(SOURCE, TARGET).columns[0]} ", "row 11 ") == sentence


@pytest.fixture
def described(folder):
    """Tables of what a.npy and b.npy are, labels, and right pairs."""
    texts, names = [f"<i>{row}</i>" for row in range(20)], [f"name {row}" for row in range(30)]
    Path("q.csv").write_text("text\n" + "\n".join(texts))
    np.savez("g.npz", text=np.array(names), image=np.arange(30.0)[:, None, None] + np.eye(4))
    np.save("la.npy", np.arange(20) % 3)
    np.save("lb.npy", np.arange(30) % 3)
    Path("p.csv").write_text("query,gallery\n" + "".join(f"{row},{row}\n" for row in range(20)))
    return Items(text=texts), Items(text=names, image=np.arange(30.0)[:, None, None] + np.eye(4))


TABLES = ("--report", "r.html", "--queries-table", "q.csv", "--gallery-table", "g.npz")


def test_a_page_by_labels(capsys, described):
    labels = ("--labels-a", "la.npy", "--labels-b", "lb.npy")
    assert cli.main(["match", "a.npy", "b.npy", "--method", "csls", "-k", "3", *OUT, *TABLES, *labels]) == 0
    expected = page_of(
        cmf.match(SOURCE, TARGET, "csls", k=3), *described, labels=(np.arange(20) % 3, np.arange(30) % 3),
        title="a.npy against b.npy: csls by cosine",
    )  # fmt: skip
    assert Path("r.html").read_bytes() == expected.html
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("m.npz: 60 matches by cosine in ")
    assert told[1] == f"r.html: {expected.told}"


def test_a_page_of_topk_by_pairs(described):
    command = ["match", "a.npy", "b.npy", "-k", "3", "--report-rows", "7", *OUT, *TABLES, "--pairs", "p.csv"]
    assert cli.main(command) == 0
    pairs = np.arange(20)[:, None] + np.zeros(2, int)
    distances, indices = cmf.topk(SOURCE, TARGET, 3, "cosine")
    matches = cmf.Matches(np.repeat(np.arange(20), 3), indices.ravel(), 1 - distances.ravel())
    expected = page_of(
        matches, *described, pairs=pairs, rows=7,
        title="a.npy against b.npy: topk by cosine",
    )  # fmt: skip
    assert Path("r.html").read_bytes() == expected.html
    assert "7 of 20 queries, the first ones, with their matches; 13 were left out" in expected.told


@pytest.mark.usefixtures("described")
@pytest.mark.parametrize(("fatal", "path"), [(1, "r.html"), (2, "m.npz")])
def test_a_full_disk_leaves_nothing(capsys, monkeypatch, fatal, path):
    """Whether the page meets it or the table, neither of them stays."""
    calls = []

    def fail(_):
        calls.append(1)
        if len(calls) == fatal:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    told = refused(capsys, "match", "a.npy", "b.npy", *OUT, *TABLES)
    assert told == f"'{path}' was not written (No space left on device): make room or choose another folder"
