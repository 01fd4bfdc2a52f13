"""The test suites of peers, with ours in the place of their functions: `peers/run.py`, and that it can say no."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "peers" / "run.py"


def script():
    spec = spec_from_file_location("peers_run", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RUN = script()


@pytest.mark.heavy
@pytest.mark.parametrize("suite", RUN.SUITES)
def test_a_suite_passes(suite):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--backend", "numpy", suite], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on our kernels" in done.stdout or "is not installed" in done.stdout


FAULT = """
from crossmodal_fast.compat import scipy

own = scipy.distances
scipy.distances = lambda *arguments: own(*arguments) * (1 + 1e-5)
"""


@pytest.mark.heavy
def test_a_planted_fault_is_found(tmp_path):
    (tmp_path / "planted.py").write_text(FAULT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTEST_ADDOPTS": "-p planted"}
    command = [sys.executable, SCRIPT, "--backend", "numpy", "scipy-distance"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stdout.count("  failed: test_cdist") > 5


@pytest.mark.parametrize("suite", RUN.SUITES)
def test_exclusions_are_few_and_have_reasons(suite):
    excluded = RUN.SUITES[suite].excluded
    assert len(excluded) <= RUN.MOST
    assert all(test.startswith("test_") and len(reason) > 20 for test, reason in excluded.items())


@pytest.mark.parametrize(
    ("counted", "sentence"),
    [
        ({"passed": 3, "ours": 2, "failures": []}, None),
        ({"passed": 3, "ours": 2, "failures": ["test_a"]}, "failed: test_a"),
        ({"passed": 3, "ours": 2, "failures": [], "unused": ["test_b"]}, "excluded, but there is no such test: test_b"),
        ({"passed": 3, "failures": []}, "no test reached one of our kernels"),
    ],
)
def test_what_is_wrong_is_said(counted, sentence):
    assert list(RUN.wrong("scipy-distance", counted)) == ([] if sentence is None else [sentence])


def test_too_many_exclusions(monkeypatch):
    many = RUN.SUITES["scipy-distance"].__class__("module", (), excluded={f"test_{i}": "why" for i in range(6)})
    monkeypatch.setitem(RUN.SUITES, "scipy-distance", many)
    assert list(RUN.wrong("scipy-distance", {"ours": 1, "failures": []})) == ["6 exclusions, at most 5 are allowed"]


def test_a_suite_that_is_not_shipped(monkeypatch, capsys):
    absent = RUN.SUITES["scipy-distance"].__class__("scipy_without.tests", ())
    monkeypatch.setitem(RUN.SUITES, "scipy-distance", absent)
    assert RUN.main(["scipy-distance"]) == 0
    assert capsys.readouterr().out == "scipy-distance: scipy_without.tests is not installed\n"
    with pytest.raises(SystemExit):
        RUN.main(["nonsense"])
    assert "suite must be one of scipy-distance, sklearn-reductions" in capsys.readouterr().err
