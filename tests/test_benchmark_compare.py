"""`make bench-compare`: the revision, the cases, the turns and the words. One real run is heavy."""

import shutil
import subprocess
import sys
from contextlib import nullcontext

import compare
import numpy as np
import pytest
import revision
import shapes

from git_alone import alone
from project import ROOT


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone with one commit of one source file."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    alone(monkeypatch, tmp_path)
    folder = tmp_path / "clone"
    (folder / "kernels").mkdir(parents=True)
    (folder / "kernels" / "one.py").write_text("x = 1\n", encoding="utf-8")
    for words in (["init", "--quiet"], ["add", "."], [*compare.ANYBODY, "commit", "--quiet", "-m", "one"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    monkeypatch.setattr(compare, "ROOT", folder)
    return folder


@pytest.mark.parametrize("base", ["nonsense", "", "--all", "--help", "HEAD HEAD", "HEAD~7"])
def test_an_unknown_revision_is_named(clone, base):
    sentence = f"BASE must name a commit of this clone, such as HEAD~1, a tag or a branch, got {base!r}"
    with pytest.raises(SystemExit) as stopped:
        compare.commit_of(base)
    assert str(stopped.value) == sentence
    with pytest.raises(SystemExit) as stopped:
        compare.main(["--cases=", "--", base])
    assert str(stopped.value) == sentence


def test_the_working_tree_is_compared_as_it_is_and_stays_so(clone):
    head = compare.commit_of("HEAD")
    assert compare.working_tree() == (head, head[:9])
    (clone / "kernels" / "one.py").write_text("x = 2\n", encoding="utf-8")
    changed, says = compare.working_tree()
    assert says == f"{head[:9]} with changes that are not committed"
    assert compare.git("show", f"{changed}:kernels/one.py") == b"x = 2\n"
    assert compare.git("stash", "list") == b""
    assert (clone / "kernels" / "one.py").read_text(encoding="utf-8") == "x = 2\n"


def test_files_that_git_does_not_know_are_not_left_out_silently(clone):
    (clone / "kernels" / "two.py").write_text("", encoding="utf-8")
    sentence = "all files of crossmodal_fast and kernels must be known to git, got kernels/two.py; `git add` them first"
    with pytest.raises(SystemExit) as stopped:
        compare.working_tree()
    assert str(stopped.value) == sentence


def test_what_git_complains_of_is_passed_on(clone):
    with pytest.raises(SystemExit, match=r"git archive failed: .+"):
        compare.git("archive", "nonsense")


@pytest.mark.heavy  # pip takes seconds to say so
def test_a_revision_that_does_not_install_is_named(clone, tmp_path):
    head = compare.commit_of("HEAD")
    with pytest.raises(SystemExit, match=f"^{head[:9]} must install, got: .+"):  # it has no setup.py
        compare.installed(head, tmp_path / "base")


def test_without_git_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr(compare.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="a comparison needs git, which is not installed"):
        compare.main(["HEAD"])


def test_cases_are_chosen_by_parts_of_their_names():
    assert compare.chosen([]) == list(compare.USUAL)
    assert {*compare.USUAL} <= {*shapes.FULL}
    assert shapes.CSLS in compare.chosen(["csls"])
    assert {case.operation for case in compare.chosen(["transfer", "csls"])} == {"transfer", "csls"}
    with pytest.raises(SystemExit, match=r"CASES must be parts of names of cases, such as topk-500\S+, got 'frob'"):
        compare.chosen(["csls", "frob"])


class Told:
    """Stands for a Side: says what it is told to, and notes in which order it was asked."""

    def __init__(self, name, seconds, asked, **state):
        self.name, self.seconds, self.asked = name, iter(seconds), asked
        self.state = {"seconds": 0.5, "bits": "a"} | state

    def ask(self, **order):
        self.asked.append(self.name)
        return {"seconds": next(self.seconds)} if "time" in order else self.state


def test_calls_take_turns_and_ratios_are_of_neighbours():
    """The machine is ten times slower in the third round: neither ratio nor verdict changes."""
    asked = []
    slow = [1, 1, 10, 1, 1]
    sides = [Told("base", [0.2 * by for by in slow], asked), Told("tree", [0.1 * by for by in slow], asked)]
    found = compare.turns(shapes.SINGLE, sides)
    assert asked == ["base", "tree"] + ["base", "tree", "tree", "base"] * 2 + ["base", "tree"]
    assert found["ratio"] == found["low"] == found["high"] == pytest.approx(2)
    assert (found["base_ms"], found["tree_ms"], found["rounds"]) == (pytest.approx(200), pytest.approx(100), 5)
    assert compare.cells(found)[3:] == ("2.000", "2.000 to 2.000", "5", "same", "faster")


@pytest.mark.parametrize(("base", "tree", "word"), [("a", "a", "same"), ("a", "b", "differ"), (None, None, "")])
def test_bits_are_the_same_or_differ_or_are_not_known(base, tree, word):
    sides = [Told(name, [1.0] * 5, [], bits=digest) for name, digest in (("base", base), ("tree", tree))]
    assert compare.cells(compare.turns(shapes.SINGLE, sides))[6] == word


def test_a_wrong_answer_is_not_timed():
    asked = []
    wrong = Told("tree", [], asked, failed="AssertionError: index at (0, 0)")
    found = compare.turns(shapes.SINGLE, [Told("base", [], asked), wrong])
    assert compare.cells(found) == (shapes.SINGLE.name, "tree: AssertionError: index at (0, 0)")
    assert asked == ["base", "tree"]


def test_a_case_that_failed_is_an_exit_code_and_a_sentence(clone, monkeypatch, capsys):
    cases = {True: shapes.SINGLE.name, False: shapes.CSLS.name}
    monkeypatch.setattr(compare, "installed", lambda commit, folder: folder)
    monkeypatch.setattr(compare, "started", lambda name, site, cache: nullcontext(name))
    timed = {"base_ms": 1.0, "tree_ms": 1.0, "ratio": 1.0, "low": 1.0, "high": 1.0, "rounds": 5, "same": True}

    def turns(case, sides):
        return {"case": case.name} | ({"failed": "tree: AssertionError: no"} if case == shapes.CSLS else timed)

    monkeypatch.setattr(compare, "turns", turns)
    words = [f"--cases={cases[True]},{cases[False]}", "--", "HEAD"]
    with pytest.raises(SystemExit) as stopped:
        compare.main(words)
    assert stopped.value.code == f"1 of 2 cases failed and were not timed: {cases[False]}"
    assert "AssertionError: no" in capsys.readouterr().out
    assert compare.main([f"--cases={cases[True]}", "--", "HEAD"]) is None


@pytest.mark.parametrize(
    ("low", "high", "word"), [(1.1, 1.2, "faster"), (0.8, 0.9, "slower"), (0.9, 1.2, ""), (1.01, 1.02, "")]
)
def test_a_verdict_needs_most_of_the_rounds(low, high, word):
    assert compare.verdict({"low": low, "high": high}) == word


def test_a_process_that_ended_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "__file__", str(tmp_path / "compare.py"))
    (tmp_path / "revision.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    with (
        compare.started("base", tmp_path, tmp_path) as side,
        pytest.raises(SystemExit, match="the process of base ended, with exit code 3"),
    ):
        side.ask(case="any")


def test_a_process_that_ended_before_it_was_asked_is_named(tmp_path, monkeypatch):
    """What was written to it then cannot be sent, neither now nor when the pipe is closed."""
    monkeypatch.setattr(compare, "__file__", str(tmp_path / "compare.py"))
    (tmp_path / "revision.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    with compare.started("base", tmp_path, tmp_path) as side:
        side.process.wait()
        with pytest.raises(SystemExit, match="the process of base ended, with exit code 3"):
            side.ask(case="any")


def test_ctrl_c_ends_the_processes_and_removes_the_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(compare.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(compare, "__file__", str(tmp_path / "compare.py"))
    (tmp_path / "revision.py").write_text("import sys\nfor line in sys.stdin:\n    pass\n", encoding="utf-8")
    seen = []

    def installed(commit, folder):
        (folder / "site").mkdir(parents=True)
        return folder / "site"

    def stopped(case, sides):
        seen.extend(side.process for side in sides)
        assert list((tmp_path / "temporary").iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "installed", installed)
    monkeypatch.setattr(compare, "turns", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare.compare({"base": "a", "tree": "b"}, [shapes.SINGLE])
    assert len(seen) == 2
    assert all(process.returncode is not None for process in seen)
    assert not list((tmp_path / "temporary").iterdir())


def test_kernels_are_kept_apart_and_each_side_imports_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "__file__", str(tmp_path / "compare.py"))
    telling = (
        "import json, os, sys\nfor line in sys.stdin:\n"
        "    print(json.dumps([os.environ['PYTHONPATH'], os.environ['CROSSMODAL_FAST_CACHE_DIR']]), flush=True)\n"
    )
    (tmp_path / "revision.py").write_text(telling, encoding="utf-8")
    told = []
    for name in ("base", "tree"):
        (tmp_path / name).mkdir()
        with compare.started(name, tmp_path / name, tmp_path / name / "cache") as side:
            told.append(side.ask(case="any"))
    assert told == [[str(tmp_path / name), str(tmp_path / name / "cache")] for name in ("base", "tree")]


def test_answers_are_the_same_to_the_bit_or_not():
    one = np.arange(3.0), (np.arange(3),)
    assert revision.bits(one) == revision.bits((np.arange(3.0), (np.arange(3),)))
    assert revision.bits(one) != revision.bits((np.nextafter(np.arange(3.0), 9), (np.arange(3),)))
    zeros = np.zeros((2, 3), np.float32)
    for other in (zeros.reshape(3, 2), np.zeros((2, 3), np.int32), np.zeros(3), (zeros,)):
        assert revision.bits(zeros) != revision.bits(other)
    with pytest.raises(TypeError, match="an answer must be of numbers, got list"):
        revision.bits([object()])


@pytest.mark.heavy
def test_a_revision_is_compared_with_the_tree(monkeypatch, tmp_path):
    """Installs twice and compiles twice."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    words = [sys.executable, str(ROOT / "benchmarks" / "compare.py"), "HEAD", "--cases", "topk-1x10000x64-k1-normal"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    first, _, line = done.stdout.strip().splitlines()
    assert first.startswith("base: ")
    assert line.startswith("Gallery.topk-1x10000x64-k1-normal")
    assert "same" in line
    assert list(tmp_path.iterdir()) == []
