"""Bad input to the command line: exit code 2, one sentence, nothing written."""

import errno
import importlib.util

import numpy as np
import pytest

import crossmodal_fast as cmf
from command_line import SOURCE, TARGET, refused
from crossmodal_fast import cli

pytestmark = pytest.mark.usefixtures("folder")

OUT = ("-o", "m.csv")
BAD_MATCH = {
    "no-such-file": (("x.npy", "b.npy", *OUT), "'x.npy' must be an existing file: there is none of this name"),
    "folder": (("inside.npy", "b.npy", *OUT), "'inside.npy' must be a file, got a folder or a device: name one file"),
    "foreign-suffix": (("a.txt", "b.npy", *OUT), "'a.txt' must end in .npy, .npz, .parquet, .csv or .safetensors"),
    "empty": (("empty.csv", "b.npy", *OUT), "'empty.csv' must not be empty, got 0 bytes: write it again"),
    "objects": (
        ("objects.npy", "b.npy", *OUT),
        "'objects.npy' must hold plain numbers, got Python objects, which are never unpickled: save float32",
    ),
    "one-axis": (("line.npy", "b.npy", *OUT), "'line.npy' must be 2-D, one row per item, got shape (8,): reshape it"),
    "no-rows": (("none.npy", "b.npy", *OUT), "'none.npy' must have at least one row and one column, got shape (0, 8)"),
    "bad-cell": (
        ("cell.csv", "b.npy", *OUT),
        "'cell.csv' must hold comma-separated numbers, got 'seven' in row 3, column 2 (counted from 1)",
    ),
    "key": (
        ("a.npy", "b.npy", *OUT, "--key", "x"),
        "--key must be left out for 'a.npy', which holds one array, got 'x'",
    ),
    "no-array": (("empty.npz", "b.npy", *OUT), "'empty.npz' must hold at least one array, got none: write it again"),
    "two-arrays": (("a.npy", "two.npz", *OUT), "--key must be one of ['x', 'y'] in 'two.npz', got None"),
    "nan": (
        ("nan.npy", "b.npy", *OUT),
        "'nan.npy' must be finite, got nan in row 4 (counted from 0): remove or fill such rows first",
    ),
    "nan-mutual": (
        ("b.npy", "nan.npy", *OUT, "--method", "mutual"),
        "'nan.npy' must be finite, got nan in row 4 (counted from 0): remove or fill such rows first",
    ),
    "inf": (
        ("a.npy", "inf.csv", *OUT),
        "'inf.csv' must be finite, got inf in row 1 (counted from 0): remove or fill such rows first",
    ),
    "features": (
        ("a.npy", "narrow.npy", *OUT),
        "'a.npy' and 'narrow.npy' must have the same number of features, got 8 and 5: transfer fit and "
        "transfer apply map one to the other",
    ),
    "three-keys": (
        ("a.npy", "b.npy", *OUT, "--key", "x", "--key", "y", "--key", "z"),
        "--key must be given once or twice (for A and B), got 3 times",
    ),
    "max-bytes": (
        ("a.npy", "b.npy", *OUT, "--max-bytes", "lots"),
        "Invalid value for '--max-bytes': must be a size such as 256MiB, 1.5GB or 1000000, got 'lots'; "
        "see crossmodal-fast match --help",
    ),
    "no-output-folder": (
        ("a.npy", "b.npy", "-o", "out/m.csv"),
        "the folder of 'out/m.csv' must exist: make it first, mkdir -p 'out'",
    ),
    "output-suffix": (("a.npy", "b.npy", "-o", "m.xlsx"), "'m.xlsx' must end in .parquet, .csv or .npz"),
    "output-device": (
        ("a.npy", "b.npy", "-o", "inside.csv"),
        "'inside.csv' must be a new or a regular file, got a folder or a device",
    ),
    "no-output": (("a.npy", "b.npy"), "Missing option '-o' / '--output'; see crossmodal-fast match --help"),
    "no-b": (("a.npy", *OUT), "Missing argument 'B'; see crossmodal-fast match --help"),
    "k-word": (
        ("a.npy", "b.npy", *OUT, "-k", "ten"),
        "Invalid value for '-k' / '--k': must be a whole number, got 'ten'; see crossmodal-fast match --help",
    ),
    "option": (("a.npy", "b.npy", "--xyzzy"), "No such option: --xyzzy; see crossmodal-fast match --help"),
}
# The words are the core's, and tested with it.
BAD_FOR_THE_CORE = {
    "k-0": (("a.npy", "b.npy", *OUT, "-k", "0"), ("k must be in 1..30", "got 0")),
    "k-31": (("a.npy", "b.npy", *OUT, "-k", "31"), ("k must be in 1..30", "got 31")),
    "metric": (("a.npy", "b.npy", *OUT, "--metric", "taxicab"), ("metric must be one of", "got 'taxicab'")),
    "method": (("a.npy", "b.npy", *OUT, "--method", "luck"), ("method must be one of", "got 'luck'")),
    "backend": (("a.npy", "b.npy", *OUT, "--backend", "gpu"), ("backend must be", "got 'gpu'")),
    "max-bytes-1": (("a.npy", "b.npy", *OUT, "--max-bytes", "1"), ("max_bytes must be at least", "got 1")),
    "threads-0": (("a.npy", "b.npy", *OUT, "--threads", "0"), ("n_threads must be", "got 0")),
}


@pytest.fixture
def bad_files(folder):
    (folder / "inside.npy").mkdir()
    (folder / "inside.csv").mkdir()
    (folder / "empty.csv").touch()
    (folder / "a.txt").write_text("1,2\n")
    (folder / "cell.csv").write_text("a,b\n1,2\n3,seven\n")
    (folder / "inf.csv").write_text("1,2,3,4,5,6,7,8\n1,2,3,4,5,inf,7,8\n" + "1,2,3,4,5,6,7,8\n" * 10)
    np.save("objects.npy", np.array([[1, None]], object))
    np.savez("empty.npz")
    np.savez("two.npz", x=SOURCE, y=TARGET)
    np.save("line.npy", np.zeros(8))
    np.save("none.npy", np.zeros((0, 8)))
    np.save("narrow.npy", TARGET[:, :5])
    np.save("nan.npy", np.where(np.arange(20)[:, None] == 4, np.nan, SOURCE))


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize("case", BAD_MATCH)
def test_bad_input(capsys, case):
    arguments, sentence = BAD_MATCH[case]
    assert refused(capsys, "match", *arguments) == sentence


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize("case", BAD_FOR_THE_CORE)
def test_bad_input_that_the_core_refuses(capsys, case):
    arguments, parts = BAD_FOR_THE_CORE[case]
    sentence = refused(capsys, "match", *arguments)
    assert all(part in sentence for part in parts), sentence


def test_a_backend_that_cannot_run(capsys):
    reasons = [name for name, state in cmf.backends().items() if state != "ready"]
    if not reasons:
        pytest.skip("every backend runs here")
    sentence = refused(capsys, "match", "a.npy", "b.npy", *OUT, "--backend", reasons[0])
    assert sentence.startswith(f"topk cannot run with backend='{reasons[0]}' (")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("zzz",), "No such command 'zzz'; see crossmodal-fast --help"),
        (("transfer",), "Missing command; see crossmodal-fast transfer --help"),
        (
            ("transfer", "fit", "a.npy", "b.npy", "-o", "map.npz", "--regularization", "1"),
            "--regularization must be left out with --method auto, which takes --metric, --seed, got 1.0",
        ),
        (
            ("transfer", "fit", "a.npy", "b.npy", "-o", "map.npz", "--method", "ridge", "--regularization", "much"),
            "Invalid value for '--regularization': must be a number, got 'much'; "
            "see crossmodal-fast transfer fit --help",
        ),
        (("transfer", "fit", "a.npy", "b.npy", "-o", "map.npy"), "'map.npy' must end in .npz"),
        (
            ("transfer", "fit", "a.npy", "b.npy", "-o", "map.npz"),
            "B must have one row for each of the 20 rows of A, got 30",
        ),
        (
            ("transfer", "apply", "map.npz", "a.npy", "-o", "out.npy"),
            "'map.npz' must be an existing file: there is none of this name",
        ),
        (
            ("evaluate", "a.npy", "b.npy", "-k", "1,x"),
            "-k must be whole numbers above 0, by commas, such as 1,5,10, got '1,x'",
        ),
        (("diagnose", "a.npy", "a.npy", "--plot", "p.txt"), "'p.txt' must end in .png, .pdf or .svg"),
        (
            ("diagnose", "a.npy", "b.npy"),
            "Y must have one row for each of the 20 rows of X, got 30; paired=False takes any number",
        ),
        (
            ("transfer", "fit", "a.npy", "b.npy", "-o", "map.npz", "--method", "ridge", "--prior", "none.npz"),
            "'none.npz' must be an existing file: there is none of this name",
        ),
        (
            ("evaluate", "a.npy", "b.npy", "--correction", "qb_norm"),
            "correction must be one of csls, nnn, inverted_softmax, dual_softmax, got 'qb_norm'",
        ),
        (
            ("evaluate", "a.npy", "b.npy", "--correction", "csls", "--beta", "3"),
            "--beta must be left out with --correction csls, which takes --neighbours, got 3.0",
        ),
        (("evaluate", "a.npy", "b.npy", "--beta", "3"), "--beta must come with --correction, got none"),
        (
            ("evaluate", "--run", "x", "--qrels", "y", "--correction", "csls"),
            "--correction must be left out with --run, which is ranked already, got csls",
        ),
        (("evaluate", "a.npy"), "A and B must be given, or --run and --qrels, got A"),
        (("evaluate",), "A and B must be given, or --run and --qrels, got none"),
        (
            ("evaluate", "a.npy", "b.npy", "--run", "x", "--qrels", "y"),
            "A and B must be given, or --run and --qrels, got A, B, --run, --qrels",
        ),
        (("evaluate", "--run", "none.txt", "--qrels", "none.txt"), "'none.txt': No such file or directory"),
        (
            ("evaluate", "a.npy", "a.npy", "--metrics", "bpref", "--ties", "expected"),
            "ties must be settled for bpref, which has no expected value, got 'expected'",
        ),
        (
            ("evaluate", "a.npy", "b.npy", "--labels-a", "a.npy"),
            "--labels-a and --labels-b must be given together, got one of them",
        ),
        (
            ("evaluate", "a.npy", "b.npy", "--labels-a", "a.npy", "--labels-b", "b.npy"),
            "'a.npy' must hold 20 labels, one per row of the embeddings, got shape (20, 8)",
        ),
    ],
)
def test_bad_input_elsewhere(capsys, arguments, sentence):
    assert refused(capsys, *arguments) == sentence


def test_a_file_that_is_no_map(capsys):
    np.savez("other.npz", x=SOURCE)
    assert "'other.npz'" in refused(capsys, "transfer", "apply", "other.npz", "a.npy", "-o", "out.npy")


def test_rows_that_cannot_be_paired(capsys):
    assert refused(capsys, "evaluate", "a.npy", "b.npy") == (
        "--labels-a and --labels-b must be given where 'a.npy' and 'b.npy' have not equally many rows, got 20 and 30"
    )


@pytest.mark.usefixtures("bad_files")
def test_rows_that_the_other_commands_refuse(capsys):
    unfinite = "'nan.npy' must be finite, got nan in row 4 (counted from 0): remove or fill such rows first"
    assert refused(capsys, "evaluate", "a.npy", "nan.npy") == unfinite
    assert refused(capsys, "transfer", "fit", "nan.npy", "a.npy", "-o", "map.npz") == unfinite
    cmf.fit_transfer(SOURCE, SOURCE).save("map.npz")
    assert refused(capsys, "transfer", "apply", "map.npz", "nan.npy", "-o", "out.npy") == unfinite
    assert refused(capsys, "transfer", "apply", "map.npz", "narrow.npy", "-o", "out.npy") == (
        "'narrow.npy' must have the 8 columns that 'map.npz' maps, got 5"
    )
    labels = "--labels-a", "two.npz", "--labels-b", "two.npz"
    assert refused(capsys, "evaluate", "a.npy", "a.npy", *labels) == (
        "--labels-key must be one of ['x', 'y'] in 'two.npz', got None"
    )


def test_a_bad_output_is_told_before_the_work(capsys, monkeypatch):
    monkeypatch.setattr("crossmodal_fast.cli.match.topk", lambda *_, **__: pytest.fail("it began to search"))
    monkeypatch.setattr("crossmodal_fast.cli.match.read_pair", lambda *_: pytest.fail("it began to read"))
    assert "must exist" in refused(capsys, "match", "a.npy", "b.npy", "-o", "nowhere/m.csv")


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_extra(capsys, monkeypatch, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    sentence = refused(capsys, "info")
    assert sentence == f"the command line needs {package}: pip install 'crossmodal-fast[cli]'"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ModuleNotFoundError(name="sklearn"), "sklearn is not installed: pip install 'crossmodal-fast[demo]'"),
        (ImportError("cannot load", name="scipy"), "a library cannot be imported (cannot load): install it anew"),
        (OSError(errno.EIO, "Input/output error", "a.npy"), "'a.npy': Input/output error"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (MemoryError(), "MemoryError"),
        (ValueError("two\n  lines"), "two lines"),
    ],
)
def test_other_errors(capsys, monkeypatch, error, sentence):
    def fail():
        raise error

    monkeypatch.setattr("crossmodal_fast.cli.info.environment", fail)
    assert cli.main(["info"]) == cli.BAD_INPUT
    assert capsys.readouterr().err == f"crossmodal-fast: {sentence}\n"


@pytest.mark.parametrize("error", [KeyError("x"), ImportError("cannot import name", name="crossmodal_fast.demo")])
def test_our_own_mistakes_keep_their_traceback(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr("crossmodal_fast.cli.info.environment", fail)
    with pytest.raises(type(error)):
        cli.main(["info"])
