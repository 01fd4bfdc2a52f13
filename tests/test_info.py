"""`crossmodal-fast info`: what it reports, as text and as JSON, on this machine and on planted ones."""

import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import cli
from crossmodal_fast.cli import _environment, info

PLACES = {
    "version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC: 12\n",
    "gpus/0000:01:00.0/information": "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 40\nGPU UUID: \t GPU-1\n",
}


@pytest.fixture
def nvidia(tmp_path, monkeypatch):
    """A machine with a driver and one GPU."""
    for name, text in PLACES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(_environment, "NVIDIA", tmp_path)


def told(capsys, *words):
    assert cli.main(["info", *words]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_text_and_json_say_the_same(capsys):
    found = json.loads(told(capsys, "--json"))
    assert list(found) == [
        "system", "python", "packages", "processor", "simd", "cores", "memory_gib", "blas", "backends", "gpus", "cache",
        "config", "variables",
    ]  # fmt: skip
    assert found["packages"]["numpy"] == np.__version__
    assert found["backends"] == cmf.backends()
    assert found["cores"]["used"] <= found["cores"]["machine"] == os.cpu_count()
    assert found["config"]["max_bytes"] == cmf.config.max_bytes
    found["memory_gib"] = None  # changes from one look to the next
    expected = [line for line in info._written(found) if line[0] != "memory"]
    lines = [line for line in told(capsys).splitlines() if not line.startswith("memory ")]
    assert lines == [f"{name:<26}{value}" for name, value in expected]


def test_what_numba_runs_on_is_said(capsys):
    from crossmodal_fast.kernels.tiles import simd

    found = json.loads(told(capsys, "--json"))
    assert found["simd"]["kernels"] == simd.runnable()[0].name
    assert set(found["simd"]["features"]) == set(simd.runnable()[0].needs)


def test_nobodys_name_is_in_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "kernels"))
    text = told(capsys)
    assert str(tmp_path) not in text
    assert f"CUPY_CACHE_DIR            ~{os.sep}kernels" in text


def test_a_bad_setting_is_shown(capsys, monkeypatch):
    monkeypatch.setenv("CROSSMODAL_FAST_BACKEND", "gpu")
    assert "CROSSMODAL_FAST_BACKEND   gpu" in told(capsys)


def test_a_gpu_without_cupy(nvidia, capsys):
    assert _environment._gpus(ready=False) == [{"name": "NVIDIA H100 80GB HBM3", "driver": "580.65.06"}]
    if cmf.backends()["cuda"] != "ready":
        assert "gpu                       NVIDIA H100 80GB HBM3, driver 580.65.06\n" in told(capsys)


def test_a_gpu_with_cupy(nvidia, monkeypatch):
    properties = {"name": b"NVIDIA H100", "major": 9, "minor": 0, "totalGlobalMem": 85 << 30}
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 1, getDeviceProperties=lambda _: properties, driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13020,
    )  # fmt: skip
    monkeypatch.setattr(
        _environment._dispatch, "loaded", lambda name: SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    )
    (found,) = _environment._gpus(ready=True)
    assert info._gpu(found) == (
        "NVIDIA H100, compute capability 9.0, memory gib 85.0, driver 580.65.06, cuda driver 13.0, cuda runtime 13.2"
    )


def test_no_driver_no_proc(monkeypatch, tmp_path, capsys):
    for name in ("NVIDIA", "CPU", "MEMORY"):
        monkeypatch.setattr(_environment, name, tmp_path / "none")
    assert _environment._gpus(ready=False) == []
    text = told(capsys)
    assert "gpu                       none that a driver names\n" in text
    assert "memory                    unknown here\n" in text
    assert "processor   " in text


def test_without_numba(monkeypatch, capsys):
    monkeypatch.setattr(_environment._dispatch, "loaded", lambda name: None)
    text = told(capsys)
    assert "\nsimd " not in text
    assert "\ncache " not in text
    assert _environment._simd() is None is _environment._cache()


posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are those of POSIX")


@posix
@pytest.mark.parametrize(("mode", "state"), [(0o700, "writable"), (0o777, "not used: others may write it")])
def test_the_state_of_a_cache_folder(tmp_path, mode, state):
    folder = tmp_path / "kept"
    assert _environment._usable(folder) == "will be made"
    folder.mkdir()
    folder.chmod(mode)
    assert _environment._usable(folder).startswith(state)


@posix
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "kept").mkdir(mode=0o700)
    monkeypatch.setattr(_environment.os, "access", lambda *_: False)  # root may write everywhere
    assert _environment._usable(tmp_path / "kept").startswith("read-only")
    assert _environment._usable(tmp_path / "other").startswith("cannot be made")


def test_kernels_are_counted_and_no_home_is_said(monkeypatch, tmp_path):
    from crossmodal_fast.kernels.tiles import jit

    (tmp_path / "one.nbc").touch()
    monkeypatch.setattr(jit, "folder", lambda: tmp_path)
    assert _environment._cache()["kernels"] == 1
    monkeypatch.setattr(jit, "folder", lambda: None)
    assert _environment._cache()["state"].startswith("there is no home folder")


def test_a_bound_method_of_progress_is_a_word():
    assert _environment._plain(print) == "a callable"
    assert _environment._plain(False) is False


@pytest.mark.parametrize(("quota", "said"), [(1 << 20, None), (3, 3)])
def test_a_share_of_the_container(monkeypatch, quota, said):
    monkeypatch.setattr(_environment.pool, "quota", lambda: quota)
    assert _environment._cores()["quota"] == said


def test_it_is_for_people_with_pipes(capsys):
    text = told(capsys)
    assert all(len(line.split(None, 1)) == 2 for line in text.splitlines())
    assert sys.version.split()[0] in text
