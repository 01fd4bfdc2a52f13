"""Where an extra is missing, what needs it says how to install it: all extras of setup.py, their modules hidden."""

import importlib
import sys

import ml_dtypes
import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import _usable, cli, files
from project import extras

ROWS = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
FOR_DEVELOPERS = {"bench", "docs", "peers", "test"}


@pytest.fixture
def hide(monkeypatch):
    """Makes modules as if they were not installed; those of ours that have them are imported anew."""

    def hidden(names, ours):
        for name in [*sys.modules]:
            if name.partition(".")[0] in names or any(name == one or name.startswith(f"{one}.") for one in ours):
                monkeypatch.delitem(sys.modules, name)
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)
        _usable.found.cache_clear()

    yield hidden
    monkeypatch.undo()
    _usable.found.cache_clear()


def plot(folder):
    cmf.diagnose(ROWS, ROWS, backend="numpy").plot(folder / "picture.png")


def brain(folder):
    files.read_embeddings(folder / "rows.safetensors")


def command_line(folder):
    assert cli.main(["info"]) == cli.BAD_INPUT


def streamed(path):
    cmf.streaming.topk(ROWS, ROWS, 1, output=path)


def peer(name):
    def patched(folder):
        with cmf.compat.patch(name):
            pass

    return patched


CASES = [  # extra, modules that it brings, what needs them, modules of ours to be imported anew
    ("bf16", ["ml_dtypes"], brain, []),
    ("cli", ["typer", "rich"], command_line, []),
    ("cli", ["pyarrow"], lambda folder: files.write_array(folder / "rows.parquet", ROWS), []),
    ("cuda12", ["cupy"], lambda _: cmf.topk(ROWS, ROWS, 1, backend="cuda"), []),
    ("cuda13", ["cupy"], lambda _: cmf.topk(ROWS, ROWS, 1, backend="cuda"), []),
    ("dask", ["dask", "distributed"], lambda _: cmf.dask.topk(ROWS, ROWS, 1).distances.compute(), []),
    ("demo", ["sklearn"], lambda folder: importlib.import_module("crossmodal_fast.demo").run(folder), []),
    ("demo", ["matplotlib"], lambda folder: importlib.import_module("crossmodal_fast.demo").run(folder), []),
    ("encoders", ["sentence_transformers", "torch"], lambda _: cmf.encoders.SentenceTransformer("a"), []),
    ("encoders", ["transformers", "torch"], lambda _: cmf.encoders.TransformersText("a"), []),
    ("encoders", ["torch"], lambda _: cmf.encoders.TorchModule(None), []),
    ("encoders", ["sentence_transformers"], peer("sentence_transformers"), []),
    ("plot", ["matplotlib"], plot, []),
    ("sklearn", ["sklearn"], lambda _: cmf.preprocess.HashedText().fit_transform(["a"]), []),
    ("sklearn", ["sklearn"], lambda _: importlib.import_module("crossmodal_fast.estimators"),
     ["crossmodal_fast.estimators"]),
    ("sklearn", ["sklearn"], peer("sklearn"), []),
    ("stores", ["h5py"], lambda folder: streamed(folder / "best.h5"), []),
    ("stores", ["zarr"], lambda folder: streamed(folder / "best.zarr"), []),
    ("torch", ["torch"], peer("torch"), []),
]  # fmt: skip


@pytest.mark.parametrize(("extra", "modules", "use", "ours"), CASES)
def test_what_is_missing_says_how_to_get_it(extra, modules, use, ours, hide, tmp_path, capsys):
    rows = ROWS.astype(ml_dtypes.bfloat16)
    header = b'{"rows": {"dtype": "BF16", "shape": [20, 4], "data_offsets": [0, 160]}}'
    (tmp_path / "rows.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + rows.tobytes())
    hide(modules, ours)
    if use is command_line:
        use(tmp_path)
        told = capsys.readouterr().err
    else:
        with pytest.raises((ImportError, ValueError, cmf.BackendUnavailable)) as caught:
            use(tmp_path)
        told = str(caught.value)
    assert f"crossmodal-fast[{extra}]" in told, told
    assert "pip install" in told
    assert "\n" not in told.strip()


def test_every_extra_is_tried():
    assert {extra for extra, *_ in CASES} == extras() - FOR_DEVELOPERS
