"""What the commands give, and what they leave behind on a full disk or after Ctrl-C."""

import contextlib
import errno
import importlib
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
from command_line import SOURCE, TARGET, refused
from crossmodal_fast import cli, evaluate, files

SCRIPT = Path(sys.executable).with_name("crossmodal-fast")

pytestmark = pytest.mark.usefixtures("folder")


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


@pytest.mark.parametrize("method", ["csls", "assignment"])
def test_match_by_other_methods(method):
    assert cli.main(["match", "a.npy", "b.npy", "--method", method, "-o", "m.npz"]) == 0
    found, expected = table("m.npz"), cmf.match(SOURCE, TARGET, method)
    for name, part in zip(found, expected, strict=True):
        np.testing.assert_array_equal(found[name], part)


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


@pytest.mark.parametrize("method", ["auto", "lstsq", "ridge", "procrustes"])
def test_transfer(capsys, method):
    np.save("half.npy", TARGET[:20, :5])
    chosen = ["--method", method, *(["--regularization", "0.5"] if method == "ridge" else [])]
    assert cli.main(["transfer", "fit", "a.npy", "half.npy", "-o", "map.npz", *chosen]) == 0
    options = {"regularization": 0.5} if method == "ridge" else {}
    expected = cmf.fit_transfer(SOURCE, TARGET[:20, :5], method, **options)
    told = capsys.readouterr().out
    assert f"relative error {expected.training_residual:.4f} on 20 training pairs" in told
    assert f"method={expected.method!r}" in told
    if method == "auto":
        ranks = {entry["method"]: [] for entry in expected.details["scores"]}
        for entry in expected.details["scores"]:
            ranks[entry["method"]].append(entry["mrr"])
        assert f"\n{expected.details['verdict']}; mean reciprocal rank on pairs left out: " in told
        assert all(f"{name} {max(found):.4f}" in told for name, found in ranks.items())
    np.testing.assert_array_equal(cmf.TransferMap.load("map.npz").M, expected.M)
    for path in ("out.npy", "out.csv"):
        assert cli.main(["transfer", "apply", "map.npz", "a.npy", "-o", path]) == 0
        np.testing.assert_array_equal(files.read_embeddings(path).astype(np.float32), expected.apply(SOURCE))
        assert capsys.readouterr().out == f"{path}: 20 rows of 5 numbers\n"


FITS = {
    "ridge": {"regularization": [0.1, 10.0], "selection": "gcv", "prior": "procrustes"},
    "procrustes": {"rotation_only": True, "scale": True},
    "cca": {"n_components": 3, "shrinkage": [0.1, 0.2], "shrink_to": "identity", "correlation_power": 2.0},
    "pls": {"n_components": 2, "mode": "canonical"},
    "multistep": {"n_components": 4, "reweight": 1.0, "dewhiten": False},
    "self_learning": {"pairs": [[0, 0], [3, 3], [4, 4], [7, 7]], "neighbours": 3, "most_rows": 15, "keep": 0.5},
    "unsupervised": {"clusters": 4, "runs": 1, "seed": 2},
}


def test_every_option_of_every_fit_has_a_flag():
    from crossmodal_fast.cli._fit_options import OPTIONS, TAKES

    assert set(OPTIONS) == {option for takes in TAKES.values() for option in takes}


@pytest.mark.parametrize("method", FITS)
def test_options_of_fits(method):
    np.save("c.npy", TARGET[:20])
    np.save("w.npy", np.linspace(1, 2, 20))
    seeds = np.array(FITS["self_learning"]["pairs"]).T
    files.write_table("pairs.csv", dict(zip(("query", "gallery"), seeds, strict=True)))
    words = {"pairs": ["pairs.csv"], "rotation_only": [], "scale": [], "dewhiten": []}
    given, weighted = [], {}
    for name, value in FITS[method].items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        given += [f"--{'no-' * (value is False)}{name.replace('_', '-')}", *words.get(name, [text])]
    if method not in ("self_learning", "unsupervised"):
        given += ["--weights", "w.npy", "--no-center"]
        weighted = {"sample_weight": np.linspace(1, 2, 20), "center": False}
    assert cli.main(["transfer", "fit", "a.npy", "c.npy", "-o", "map.npz", "--method", method, *given]) == 0
    expected = cmf.fit_transfer(SOURCE, TARGET[:20], method, **weighted, **FITS[method])
    np.testing.assert_array_equal(cmf.TransferMap.load("map.npz").M, expected.M)


def test_a_map_as_prior_and_a_path_of_penalties():
    prior = cmf.fit_transfer(SOURCE, TARGET[:20], "procrustes")
    prior.save("prior.npz")
    np.save("c.npy", TARGET[:20])
    command = ["transfer", "fit", "a.npy", "c.npy", "-o", "map.npz", "--method", "ridge", "--prior", "prior.npz"]
    assert cli.main([*command, "--regularization", "path"]) == 0
    expected = cmf.fit_transfer(SOURCE, TARGET[:20], "ridge", regularization="path", prior=prior)
    np.testing.assert_array_equal(cmf.TransferMap.load("map.npz").M, expected.M)


def test_bars_for_reading_work_and_writing(monkeypatch):
    labels = []

    @contextlib.contextmanager
    def bar(label):
        labels.append(label)
        yield lambda done, total: None

    for name in ("_options", "match", "transfer", "evaluate"):
        monkeypatch.setattr(importlib.import_module(f"crossmodal_fast.cli.{name}"), "bar", bar)
    assert cli.main(["match", "a.npy", "b.npy", "-o", "m.csv"]) == 0
    assert labels == ["reading a.npy", "reading b.npy", "matching", "writing m.csv"]
    labels.clear()
    cmf.fit_transfer(SOURCE, SOURCE).save("map.npz")
    assert cli.main(["transfer", "apply", "map.npz", "a.npy", "-o", "out.csv"]) == 0
    assert labels == ["reading a.npy", "applying the map", "writing out.csv"]
    labels.clear()
    np.save("labels.npy", np.arange(20))
    assert cli.main(["evaluate", "a.npy", "out.csv", "--labels-a", "labels.npy", "--labels-b", "labels.npy"]) == 0
    assert labels == ["reading a.npy", "reading out.csv", *["reading labels.npy"] * 2, "ranking"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_slow_file_shows_a_bar_on_a_terminal(monkeypatch, terminal):
    command, stream = importlib.import_module("crossmodal_fast.cli.match"), io.StringIO()
    stream.isatty = lambda: terminal
    monkeypatch.setattr("crossmodal_fast._progress.PATIENCE_S", 0.05)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    write = command.write_table
    monkeypatch.setattr(command, "write_table", lambda *table: (time.sleep(0.4), write(*table)))
    assert cli.main(["match", "a.npy", "b.npy", "-o", "m.csv"]) == 0
    assert ("writing m.csv" in stream.getvalue()) == terminal


def test_evaluate_by_row(capsys):
    np.save("c.npy", SOURCE + TARGET[:20])
    assert cli.main(["evaluate", "a.npy", "c.npy", "-k", "1, 3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("chance") == evaluate.chance(20, k=(1, 3))
    assert found == evaluate.retrieval(SOURCE, SOURCE + TARGET[:20], metric="cosine", k=(1, 3))


def test_evaluate_with_a_correction(capsys):
    np.save("c.npy", SOURCE + TARGET[:20])
    command = ["evaluate", "a.npy", "c.npy", "--metrics", "mrr", "--backend", "numpy", "--json"]
    assert cli.main([*command, "--correction", "csls", "--neighbours", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    sides = SOURCE, SOURCE + TARGET[:20]
    bias = cmf.matching.correction(*sides, "csls", neighbours=3, backend="numpy")
    assert found["mrr"] == evaluate.retrieval(*sides, metrics="mrr", bias=bias, backend="numpy")["mrr"]


def test_evaluate_by_name(capsys):
    np.save("c.npy", TARGET[:20])
    names = "hit_rate@2,ndcg@10,bpref,median_rank"
    assert cli.main(["evaluate", "a.npy", "c.npy", "--metrics", names, "--ties", "optimistic", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("chance") == evaluate.chance(20, metrics="hit_rate@2,ndcg@10")
    assert found == evaluate.retrieval(SOURCE, TARGET[:20], metrics=names, ties="optimistic")


def test_evaluate_a_ready_ranking(capsys):
    Path("run").write_text("q Q0 a 1 2.5 x\nq Q0 b 2 1.5 x\nr Q0 a 1 1 x\n")
    Path("qrels").write_text("q 0 b 1\nr 0 a 2\ns 0 a 1\n")
    command = ["evaluate", "--run", "run", "--qrels", "qrels", "--missing", "skip"]
    assert cli.main([*command, "--metrics", "P_1,mrr,num_ret", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"queries": 2, "P_1": 0.5, "mrr": 0.75, "num_ret": 3.0}
    assert cli.main(command) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mrr", "0.7500"] in rows
    assert ["queries", "2"] in rows
    assert not any("chance" in row for row in rows)


def test_diagnose(capsys):
    np.save("c.npy", SOURCE + TARGET[:20])
    command = ["diagnose", "a.npy", "c.npy", "-k", "3", "--seed", "1", "--backend", "numpy"]
    expected = cmf.diagnose(SOURCE, SOURCE + TARGET[:20], k=3, seed=1, backend="numpy")
    assert cli.main([*command, "--plot", "p.png"]) == 0
    assert capsys.readouterr().out == f"{expected}\n"
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(expected.to_dict()))
    assert cli.main(["diagnose", "a.npy", "b.npy", "--unpaired", "--sample", "15"]) == 0
    assert capsys.readouterr().out.startswith("15 and 15 rows of 8 and 8 columns, not paired")


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
    assert "GiB" in lines["memory"]  # the rest is in test_info.py


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

    monkeypatch.setattr("crossmodal_fast.cli.info.environment", fail)
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
        assert process.communicate(timeout=240) == ("", "crossmodal-fast: interrupted\n")
        assert process.returncode == cli.INTERRUPTED
    assert sorted(folder.rglob("*")) == before


def test_importing_the_command_line_loads_neither_typer_nor_rich():
    script = "import sys, crossmodal_fast.cli, crossmodal_fast.files, crossmodal_fast._progress; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"typer", "rich", "pyarrow", "ml_dtypes", "numba", "scipy"} & set(done.stdout.split())
