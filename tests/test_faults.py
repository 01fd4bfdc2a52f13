"""The tests on trial: each planted fault makes the tests named beside it fail; without it they pass."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import crossmodal_fast
from crossmodal_fast.kernels.tiles import reference
from faults import FAULTS
from project import ROOT

SOME_FAILED = 1  # exit code of pytest; 2 and above say that it could not run them


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A folder with the package, kernels and all, and its tests: what Python imports there is the copy."""
    folder = tmp_path_factory.mktemp("copy")
    bytecode = shutil.ignore_patterns("__pycache__")
    for source, name in (
        (Path(crossmodal_fast.__file__).parent, "crossmodal_fast"),
        (Path(reference.__file__).parents[1], "crossmodal_fast/kernels"),
        (ROOT / "tests", "tests"),
        (ROOT / "benchmarks", "benchmarks"),  # where conftest.py looks for a checkout
    ):
        shutil.copytree(source, folder / name, ignore=bytecode, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    names = "crossmodal_fast", "crossmodal_fast.kernels.tiles.loop", "crossmodal_fast.kernels.topk.cpu_numpy"
    script = f"import importlib; print(*(importlib.import_module(name).__file__ for name in {names}), sep='\\n')"
    for place in python(folder, "-c", script).stdout.splitlines():
        assert Path(place).is_relative_to(folder), f"{place} is not of the copy"
    return folder


def python(folder, *arguments):
    alone = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "CROSSMODAL_FAST_BACKEND": "numpy"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ | alone, capture_output=True, text=True, check=False)


def failures(folder, *names):
    """(exit code, the tests that failed, all that was said)."""
    paths = [f"tests/{name}" for name in names]
    done = python(folder, "-m", "pytest", "--exitfirst", "--tb=line", "-r", "fE", "-k", "not numba", *paths)
    return done.returncode, re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE), done.stdout + done.stderr


@pytest.mark.heavy
def test_without_a_fault_they_pass(copy):
    code, _, told = failures(copy, *sorted({fault.caught_by for fault in FAULTS}))
    assert code == 0, told


@pytest.mark.heavy
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_caught(fault, copy):
    path = copy / "crossmodal_fast" / "kernels" / fault.file
    sound = path.read_text(encoding="utf-8")
    path.write_text(sound.replace(fault.text, fault.spoiled), encoding="utf-8")
    try:
        code, failed, told = failures(copy, fault.caught_by)
    finally:
        path.write_text(sound, encoding="utf-8")
    assert code == SOME_FAILED, f"no test of {fault.caught_by} failed: {told[-2000:]}"
    assert failed, told
    print(f"{fault.name}: {failed[0]}")  # -rP shows it


def test_faults_are_of_different_places():
    for fault in FAULTS:
        text = (Path(reference.__file__).parents[1] / fault.file).read_text(encoding="utf-8")
        assert text.count(fault.text) == 1, f"{fault.file} must hold {fault.text!r} once"
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert len({(fault.file, fault.spoiled) for fault in FAULTS}) == len(FAULTS)
