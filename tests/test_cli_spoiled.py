"""The command line on files with bytes changed, cut or added: done, or one sentence and nothing written. Never more."""

import json
import shutil

import numpy as np
import pytest

import crossmodal_fast as cmf
from command_line import SOURCE, TARGET
from crossmodal_fast import cli, files
from test_files_spoiled import spoiled

CHANGES, MORE = 1, 300
FAST = "--backend", "numpy"


def written(inputs):
    """Every kind of file that a command reads, by name."""
    for name, rows in (("a", SOURCE), ("b", TARGET)):
        for ending in files.ARRAY_WRITERS:
            files.write_array(f"{name}{ending}", rows)
    cmf.Gallery(TARGET).save("b.gallery")
    with pytest.importorskip("h5py").File("b.h5", "w") as file:
        file.create_dataset("rows", data=TARGET)
    for ending in files.TABLE_WRITERS:
        best = cmf.match(SOURCE, TARGET, k=3, backend="numpy")
        files.write_table(f"m{ending}", {"query": best.rows, "gallery": best.columns, "score": best.scores})
    cmf.fit_transfer(SOURCE, SOURCE + 1, method="ridge").save("map.npz")
    shutil.copy("map.npz", "prior.npz")
    for name, rows in (("la", SOURCE), ("lb", TARGET)):
        (inputs / f"{name}.csv").write_text("\n".join(f"kind {i % 4}" for i in range(len(rows))), encoding="utf-8")
        np.save(f"{name}.npy", np.arange(len(rows)) % 4)
    np.save("w.npy", SOURCE + 1)
    files.write_table("pairs.csv", {"query": np.arange(20), "gallery": np.arange(20)})
    (inputs / "t.csv").write_text("text\n" + "\n".join(f"text {i}" for i in range(len(SOURCE))), encoding="utf-8")
    (inputs / "t.json").write_text(json.dumps([{"text": f"text {i}"} for i in range(len(SOURCE))]), encoding="utf-8")
    np.savez("t.npz", text=np.array([f"text {i}" for i in range(len(SOURCE))]))


REPORT = "match", "a.npy", "b.npy", "-o", "out.csv", *FAST, "--report", "r.html", "--queries-table"
COMMANDS = {  # the file that is spoiled -> a command that reads it
    **{f"a{ending}": ("match", f"a{ending}", "b.npy", "-o", "out.csv", *FAST) for ending in files.ARRAY_WRITERS},
    "b.gallery": ("match", "a.npy", "b.gallery", "-o", "out.csv", *FAST),
    "b.h5": ("match", "a.npy", "b.h5", "-o", "out.csv", *FAST),
    **{f"m{ending}": ("fuse", f"m{ending}", "m.csv", "-o", "out.csv") for ending in (".parquet", ".npz")},
    "m.csv": ("fuse", "m.parquet", "m.csv", "--method", "combsum", "-o", "out.parquet"),
    "map.npz": ("transfer", "apply", "map.npz", "a.npy", "-o", "out.npy"),
    "pairs.csv": (*REPORT[:-1], "--pairs", "pairs.csv"),
    "prior.npz": ("transfer", "fit", "a.npy", "w.npy", "--method", "ridge", "--prior", "prior.npz", "-o", "out.npz"),
    "la.csv": ("evaluate", "a.npy", "b.npy", "--labels-a", "la.csv", "--labels-b", "lb.csv", *FAST),
    "la.npy": ("evaluate", "a.npy", "b.npy", "--labels-a", "la.npy", "--labels-b", "lb.npy", *FAST),
    "b.parquet": ("evaluate", "a.npy", "b.parquet", "--labels-a", "la.npy", "--labels-b", "lb.npy", *FAST),
    "w.npy": ("diagnose", "a.npy", "w.npy"),
    **{f"t{ending}": (*REPORT, f"t{ending}") for ending in (".csv", ".json", ".npz")},
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        written(folder)
    return folder


@pytest.mark.parametrize("changes", [CHANGES, pytest.param(MORE, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_with_a_spoiled_file_is_done_or_refused(name, changes, inputs, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pyarrow")
    shutil.copytree(inputs, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    path, before = tmp_path / "here" / name, sorted((tmp_path / "here").iterdir())
    content, rng = path.read_bytes(), np.random.default_rng(sum(map(ord, name)))
    assert cli.main(COMMANDS[name]) == 0
    capsys.readouterr()
    for number in range(changes):
        for left in set((tmp_path / "here").iterdir()) - set(before):
            left.unlink()
        path.unlink()
        path.write_bytes(spoiled(content, rng))
        code, told = cli.main(COMMANDS[name]), capsys.readouterr()
        assert code in (0, cli.BAD_INPUT), f"change {number}: {told.err}"
        if code:
            assert told.out == ""
            assert told.err.count("\n") == 1, f"change {number}: {told.err}"
            assert told.err.startswith("crossmodal-fast: ")
            assert sorted((tmp_path / "here").iterdir()) == before
