"""The call sites of examples/dropin: with ours in a library's place they say the same. Skipped where it is absent."""

import importlib.util
import json
import sys

import dropin  # of benchmarks
import numpy as np
import pytest

from crossmodal_fast import config_context
from project import ROOT

FOLDER = ROOT / "examples" / "dropin"
MOST_LINES = 80


def imported(name, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"dropin_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(monkeypatch):
    """A script's `main` with its arguments."""

    def started(name, *words):
        module = imported(name, monkeypatch)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words, "--rounds", "1"])
        with config_context(backend="numpy"):
            return module.main()

    return started


def test_a_flat_index(run, capsys):
    pytest.importorskip("faiss")
    assert min(run("flat_index", "--rows", "2000", "--queries", "20", "--features", "32")) > 0
    assert "200 of 200 neighbours are the same" in capsys.readouterr().out


def test_semantic_search(run, shared_file, capsys):
    pytest.importorskip("sentence_transformers")
    folder = shared_file("minilm/docstrings_20k_x384.npy").parent
    assert min(run("semantic_search", "--data", str(folder), "--queries", "20")) > 0
    assert "200 of 200 neighbours are the same" in capsys.readouterr().out


def test_semantic_search_without_its_data(run, tmp_path, capsys):
    assert run("semantic_search", "--data", str(tmp_path)) is None
    assert "name the folder of the stored embeddings by --data" in capsys.readouterr().out


def test_digits_are_classified_alike(run, capsys):
    pytest.importorskip("crossmodal_fast.estimators")
    assert min(run("classify_digits", "--copies", "1")) > 0
    assert "all 899 digits are the same" in capsys.readouterr().out


def test_the_readme_says_what_the_newest_rows_say():
    newest = max(dropin.FOLDER.glob("*-dropin-*.json"), key=lambda path: path.stem[-10:])
    stored, said = json.loads(newest.read_text(encoding="utf-8")), dropin.README.read_text(encoding="utf-8")
    assert [row["site"] for row in stored["rows"]] == [
        " ".join([f"{site}.py", *words]) for site, _, words in dropin.SITES
    ]
    assert said == dropin.told(said, stored), "benchmarks/dropin.py writes what the rows say into the README"
    assert dropin.table(stored) in said
    stored["rows"][0]["seconds after"] *= 2
    assert said != dropin.told(said, stored)


@pytest.fixture
def side_by_side(monkeypatch):
    return imported("side_by_side", monkeypatch)


def test_ties_of_float32_are_no_difference(side_by_side):
    scores, ids = np.array([[3.0, 2.0, 2.0]]), np.array([[4, 7, 9]])
    told = side_by_side.searches_agree((scores, ids), (scores + 1e-7, ids[:, [0, 2, 1]]))
    assert told == "1 of 3 neighbours are the same, the rest are ties of float32"


@pytest.mark.parametrize("other", [np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 2.0]]), np.array([[3.0, 2.0, np.nan]])])
def test_other_scores_are_found(side_by_side, other):
    scores, ids = np.array([[3.0, 2.0, 2.0]]), np.array([[4, 7, 9]])
    with pytest.raises(AssertionError, match="differ by more than float32 explains"):
        side_by_side.searches_agree((scores, ids), (other, ids))


def test_both_are_timed_in_turn(side_by_side, capsys):
    calls = []
    side_by_side.compare("two", lambda: calls.append(1), lambda: calls.append(2), lambda *_: "same", 3)
    assert calls == [1, 2] * 4
    told = capsys.readouterr().out
    assert told.startswith("two: same\n  before ")
    assert "median of 3 pairs" in told


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_call_sites_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
