import errno
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer

import crossmodal_fast as cmf
from crossmodal_fast import _progress, cli, evaluate, files

SOURCE = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
TARGET = np.random.default_rng(1).standard_normal((30, 8)).astype(np.float32)
SCRIPT = Path(sys.executable).with_name("crossmodal-fast")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with a.npy and b.npy in it."""
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", SOURCE)
    np.save("b.npy", TARGET)
    return tmp_path


def refused(capsys, *arguments):
    """The sentence with which the command line turns the arguments down; nothing may have been written."""
    before = sorted(Path().rglob("*"))
    assert cli.main(arguments) == cli.BAD_INPUT
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
    return told.err.removeprefix("crossmodal-fast: ").rstrip("\n")


# ---- what the commands give


def table(path):
    if path.endswith(".npz"):
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    if path.endswith(".parquet"):
        return {name: column.to_numpy() for name, column in zip(*_columns(pq.read_table(path)), strict=True)}
    lines = [line.split(",") for line in Path(path).read_text().splitlines()]
    return {name: np.array(cells, float) for name, cells in zip(lines[0], zip(*lines[1:], strict=True), strict=True)}


def _columns(found):
    return found.column_names, found.columns


@pytest.mark.parametrize("path", ["m.npz", "m.parquet", "m.csv"])
def test_match(capsys, path):
    assert cli.main(["match", "a.npy", "b.npy", "-k", "3", "--metric", "euclidean", "-o", path]) == 0
    distances, indices = cmf.topk(SOURCE, TARGET, 3, "euclidean")
    found = table(path)
    assert list(found) == ["query", "gallery", "rank", "distance"]
    np.testing.assert_array_equal(found["query"].reshape(20, 3), np.arange(20)[:, None] + np.zeros(3, int))
    np.testing.assert_array_equal(found["gallery"].reshape(20, 3), indices)
    np.testing.assert_array_equal(found["rank"].reshape(20, 3), [[1, 2, 3]] * 20)
    np.testing.assert_array_equal(found["distance"].reshape(20, 3).astype(np.float32), distances)
    told = capsys.readouterr()
    assert told.out.startswith(f"{path}: 60 matches by euclidean on ")
    assert told.err == ""


def test_match_takes_ten_unless_told(capsys):
    assert cli.main(["match", "a.npy", "b.npy", "-o", "m.npz"]) == 0
    assert len(table("m.npz")["query"]) == 200


@pytest.mark.parametrize("k", [None, 2])
def test_match_mutual(k):
    chosen = [] if k is None else ["-k", str(k)]
    assert cli.main(["match", "a.npy", "b.npy", "--method", "mutual", "-o", "m.npz", *chosen]) == 0
    rows, columns, scores = cmf.match(SOURCE, TARGET, "mutual", k=k or 1, metric="cosine")
    found = table("m.npz")
    assert list(found) == ["query", "gallery", "score"]
    for name, expected in zip(found, (rows, columns, scores), strict=True):
        np.testing.assert_array_equal(found[name], expected, strict=True)


def test_control_arguments():
    control = ["--backend", "numpy", "--max-bytes", "64MiB", "--threads", "1"]
    assert cli.main(["match", "a.npy", "b.npy", "-o", "m.npz", *control]) == 0
    assert cli.main(["match", "a.npy", "b.npy", "-o", "n.npz"]) == 0
    assert Path("m.npz").read_bytes() == Path("n.npz").read_bytes()


@pytest.mark.parametrize(
    ("text", "size"),
    [("256MiB", 1 << 28), ("1.5 gb", 1_500_000_000), ("4096", 4096), ("2k", 2000), ("1Gi", 1 << 30)],
)
def test_sizes(text, size):
    from crossmodal_fast.cli._options import size as size_of

    assert size_of(text) == size


def test_keys():
    np.savez("two.npz", image=SOURCE, text=TARGET)
    assert cli.main(["match", "two.npz", "two.npz", "--key", "image", "--key", "text", "-o", "m.npz"]) == 0
    assert cli.main(["match", "a.npy", "two.npz", "--key", "", "--key", "text", "-o", "n.npz"]) == 0
    assert Path("m.npz").read_bytes() == Path("n.npz").read_bytes()


@pytest.mark.parametrize("method", ["lstsq", "ridge", "procrustes"])
def test_transfer(capsys, method):
    np.save("half.npy", TARGET[:20, :5])
    chosen = ["--method", method, *(["--regularization", "0.5"] if method == "ridge" else [])]
    assert cli.main(["transfer", "fit", "a.npy", "half.npy", "-o", "map.npz", *chosen]) == 0
    options = {"regularization": 0.5} if method == "ridge" else {}
    expected = cmf.fit_transfer(SOURCE, TARGET[:20, :5], method, **options)
    assert f"relative error {expected.training_residual:.4f} on 20 training pairs" in capsys.readouterr().out
    np.testing.assert_array_equal(cmf.TransferMap.load("map.npz").M, expected.M)
    for path in ("out.npy", "out.csv"):
        assert cli.main(["transfer", "apply", "map.npz", "a.npy", "-o", path]) == 0
        np.testing.assert_array_equal(files.read_embeddings(path).astype(np.float32), expected.apply(SOURCE))
        assert capsys.readouterr().out == f"{path}: 20 rows of 5 numbers\n"


def test_evaluate_by_row(capsys):
    np.save("c.npy", SOURCE + TARGET[:20])
    assert cli.main(["evaluate", "a.npy", "c.npy", "-k", "1, 3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("chance") == evaluate.chance(20, k=(1, 3))
    assert found == evaluate.retrieval(SOURCE, SOURCE + TARGET[:20], metric="cosine", k=(1, 3))


def test_evaluate_by_label(capsys):
    first, second = np.arange(20) % 3, np.arange(30) % 3
    np.savez("labels.npz", digit=first)
    Path("labels.csv").write_text("digit\n" + "\n".join(map(str, second)))
    command = ["evaluate", "a.npy", "b.npy", "--labels-a", "labels.npz", "--labels-b", "labels.csv"]
    assert cli.main([*command, "--metric", "dot", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("chance")["hit_rate@1"] == pytest.approx(1 / 3)
    assert found == evaluate.retrieval(SOURCE, TARGET, labels=(first, second), metric="dot")
    assert cli.main(command) == 0
    told = capsys.readouterr()
    rows = {line.split()[0]: line.split()[1:] for line in told.out.splitlines() if line.split()}
    assert rows["queries"] == ["20"]
    assert rows["hit_rate@1"][1] == "0.3333"
    assert rows["map"][0] == f"{evaluate.retrieval(SOURCE, TARGET, labels=(first, second))['map']:.4f}"
    assert told.err == ""


def test_info(capsys):
    assert cli.main(["info"]) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines() if not line.startswith("backend"))
    assert lines["numpy"] == np.__version__
    assert lines["crossmodal-fast"] == metadata.version("crossmodal-fast")
    assert "GiB" in lines["memory"]
    assert cli.main(["info"]) == 0
    told = capsys.readouterr().out
    for name, state in cmf.backends().items():
        assert f"backend {name}".ljust(18) + state + "\n" in told


def test_demo_is_given_the_folder(monkeypatch):
    import crossmodal_fast.demo

    asked = []
    monkeypatch.setattr(crossmodal_fast.demo, "run", asked.append, raising=False)
    assert cli.main(["demo"]) == 0
    assert cli.main(["demo", "--output", "here"]) == 0
    assert asked == [Path("demo-output"), Path("here")]


def test_help_where_nothing_is_asked(capsys):
    assert cli.main([]) == 0
    told = capsys.readouterr().out
    assert all(command in told for command in ("demo", "match", "evaluate", "info", "transfer"))


# ---- bad input: exit code 2, one sentence, nothing written

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
    "key": (("a.npy", "b.npy", *OUT, "--key", "x"), "key must be left out for 'a.npy', which holds one array, got 'x'"),
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
        "Invalid value for '-k': must be a whole number, got 'ten'; see crossmodal-fast match --help",
    ),
    "option": (("a.npy", "b.npy", "--colour"), "No such option: --colour; see crossmodal-fast match --help"),
}
# The words are the core's, and tested with it.
BAD_FOR_THE_CORE = {
    "features": (("a.npy", "narrow.npy", *OUT), ("8", "5")),
    "k-0": (("a.npy", "b.npy", *OUT, "-k", "0"), ("k must be in 1..30", "got 0")),
    "k-31": (("a.npy", "b.npy", *OUT, "-k", "31"), ("k must be in 1..30", "got 31")),
    "metric": (("a.npy", "b.npy", *OUT, "--metric", "taxicab"), ("metric must be one of", "got 'taxicab'")),
    "method": (("a.npy", "b.npy", *OUT, "--method", "luck"), ("method must be one of", "got 'luck'")),
    "backend": (("a.npy", "b.npy", *OUT, "--backend", "gpu"), ("backend must be", "got 'gpu'")),
    "max-bytes-1": (("a.npy", "b.npy", *OUT, "--max-bytes", "1"), ("max_bytes must be at least", "got 1")),
    "threads-0": (("a.npy", "b.npy", *OUT, "--threads", "0"), ("n_threads must be", "got 0")),
    "nan": (("nan.npy", "b.npy", *OUT), ("queries", "row 4")),
    "inf": (("a.npy", "inf.csv", *OUT), ("gallery", "row 1")),
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
        (("dance",), "No such command 'dance'; see crossmodal-fast --help"),
        (("transfer",), "Missing command; see crossmodal-fast transfer --help"),
        (
            ("transfer", "fit", "a.npy", "b.npy", "-o", "map.npz", "--regularization", "1"),
            "--regularization must come with --method ridge, got --method lstsq",
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
    assert "20" in refused(capsys, "evaluate", "a.npy", "b.npy")


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
        (OSError(errno.EIO, "Input/output error", "a.npy"), "'a.npy': Input/output error"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (MemoryError(), "MemoryError"),
        (ValueError("two\n  lines"), "two lines"),
    ],
)
def test_other_errors(capsys, monkeypatch, error, sentence):
    def fail():
        raise error

    monkeypatch.setattr("crossmodal_fast.cli.info.backends", fail)
    assert cli.main(["info"]) == cli.BAD_INPUT
    assert capsys.readouterr().err == f"crossmodal-fast: {sentence}\n"


@pytest.mark.parametrize("error", [KeyError("x"), ImportError("cannot import name", name="crossmodal_fast.demo")])
def test_our_own_mistakes_keep_their_traceback(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr("crossmodal_fast.cli.info.backends", fail)
    with pytest.raises(type(error)):
        cli.main(["info"])


# ---- full disk, Ctrl-C

WRITING = [
    ("match", "a.npy", "b.npy", "-o", "m.parquet"),
    ("match", "a.npy", "b.npy", "-o", "m.csv"),
    ("match", "a.npy", "b.npy", "-o", "m.npz"),
    ("transfer", "fit", "a.npy", "c.npy", "-o", "map.npz"),
    ("transfer", "apply", "made.npz", "a.npy", "-o", "out.npy"),
]


@pytest.fixture
def made_map(folder):
    np.save("c.npy", TARGET[:20])
    cmf.fit_transfer(SOURCE, TARGET[:20]).save("made.npz")


@pytest.mark.usefixtures("made_map")
@pytest.mark.parametrize("arguments", WRITING)
def test_disk_full(capsys, monkeypatch, arguments):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    told = f"'{arguments[-1]}' was not written (No space left on device): make room or choose another folder"
    assert refused(capsys, *arguments) == told


@pytest.mark.usefixtures("made_map")
@pytest.mark.parametrize("arguments", WRITING)
def test_control_c_while_writing(capsys, monkeypatch, folder, arguments):
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    assert cli.main(arguments) == cli.INTERRUPTED
    assert capsys.readouterr() == ("", "crossmodal-fast: interrupted\n")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt, typer.Abort])
def test_control_c_in_any_version_of_typer(capsys, monkeypatch, stop):
    def fail():
        raise stop

    monkeypatch.setattr("crossmodal_fast.cli.info.backends", fail)
    assert cli.main(["info"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "crossmodal-fast: interrupted\n"


def test_disk_full_in_earnest(folder):
    disk = folder / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=16k", "none", disk], capture_output=True).returncode
    ):
        pytest.skip("mount -t tmpfs is not allowed here")
    try:
        np.save("long.npy", np.tile(SOURCE, (100, 1)))
        done = subprocess.run(
            [SCRIPT, "match", "long.npy", "b.npy", "-o", "disk/m.csv"], capture_output=True, text=True
        )
        assert done.returncode == cli.BAD_INPUT
        told = "'disk/m.csv' was not written (No space left on device): make room or choose another folder"
        assert done.stderr == f"crossmodal-fast: {told}\n"
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


# ---- in a process of its own


@pytest.mark.parametrize("program", [[SCRIPT], [sys.executable, "-m", "crossmodal_fast"]])
def test_the_two_ways_to_start_it(program):
    done = subprocess.run(
        [*program, "match", "a.npy", "b.npy", "-o", "m.csv", "-k", "1"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(Path("m.csv").read_text().splitlines()) == 21
    done = subprocess.run(
        [*program, "match", "a.npy", "b.npy", "-o", "n.csv", "-k", "0"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "crossmodal-fast: k must be in 1..30 (the rows of gallery), got 0\n"
    assert not Path("n.csv").exists()


ENDLESS = """
import sys, time
import crossmodal_fast.cli.match as command
from crossmodal_fast.cli import main

def search(*_, **__):
    print("searching", flush=True)
    time.sleep(60)

command.topk = search
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent the POSIX way")
def test_control_c(folder):
    Path("endless.py").write_text(ENDLESS)
    before = sorted(folder.rglob("*"))
    command = [sys.executable, "-B", "endless.py", "match", "a.npy", "b.npy", "-o", "m.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "searching\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "crossmodal-fast: interrupted\n")
        assert process.returncode == cli.INTERRUPTED
    assert sorted(folder.rglob("*")) == before


def test_importing_the_command_line_loads_neither_typer_nor_rich():
    script = "import sys, crossmodal_fast.cli, crossmodal_fast.files, crossmodal_fast._progress; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"typer", "rich", "pyarrow", "ml_dtypes", "numba", "scipy"} & set(done.stdout.split())


# ---- the progress bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, seconds, steps=((1, 2),)):
    monkeypatch.setattr(_progress, "PATIENCE_S", 0.05)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with _progress.bar("matching") as progress:
        for done, total in steps:
            progress(done, total)
        time.sleep(seconds)
    return stream.getvalue()


def test_a_bar_on_a_terminal(monkeypatch):
    told = shown(monkeypatch, Terminal(), 0.4)
    assert "matching" in told
    assert "50%" in told


def test_a_bar_without_steps(monkeypatch):
    assert "matching" in shown(monkeypatch, Terminal(), 0.4, ())


def test_no_bar_for_what_is_quick(monkeypatch):
    assert "matching" not in shown(monkeypatch, Terminal(), 0)


def test_no_bar_off_a_terminal(monkeypatch):
    assert shown(monkeypatch, io.StringIO(), 0.2) == ""


def test_no_bar_without_rich(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert shown(monkeypatch, Terminal(), 0.2) == ""


def test_the_bar_is_gone_after_an_error(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(_progress, "PATIENCE_S", 0.05)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")

    def search():
        with _progress.bar("matching"):
            time.sleep(0.3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search()
    assert stream.getvalue().endswith("\x1b[2K")  # the line is erased
    assert "\x1b[?25h" in stream.getvalue()  # the cursor is back
