"""A Numba that is broken, too old, or hidden: "auto" goes on with NumPy, a demand and `backends` say what is wrong."""

import os
import subprocess
import sys

import pytest

from project import ROOT

HIDDEN = "hidden"
NUMBAS = {
    'raise ImportError("Numba needs NumPy 2.4 or less. Got NumPy 3.0.")\n':
        "numba cannot be imported (Numba needs NumPy 2.4 or less. Got NumPy 3.0.)",
    "raise SystemError\n": "numba cannot be imported (SystemError)",
    '__version__ = "0.60.9"\n': "numba 0.60.9 is too old; pip install 'numba>=0.61'",
    "": "numba of no version is too old; pip install 'numba>=0.61'",
    HIDDEN: "numba is not installed; pip install numba",
}  # fmt: skip
CODE = """
import sys
import numpy as np
if sys.argv[1:]:
    sys.modules["numba"] = None
import crossmodal_fast as cmf
from crossmodal_fast.kernels.tiles import worth
worth.LOADING = worth.LOADED = 0  # "auto" would take Numba
x = np.eye(3, 4)
print(cmf.topk(x, x, 1).indices.tolist())
*_, stats = cmf.topk(x, x, 1, return_stats=True)
print(stats.backend)
try:
    cmf.topk(x, x, 1, backend="numba")
except cmf.BackendUnavailable as error:
    print(error)
print(cmf.backends()["numba"])
cmf.warmup()
"""


@pytest.mark.parametrize("content", NUMBAS)
def test_numba(content, tmp_path):
    hidden = [HIDDEN] if content == HIDDEN else []
    if not hidden:
        (tmp_path / "numba").mkdir()
        (tmp_path / "numba" / "__init__.py").write_text(content, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    ran = subprocess.run(
        [sys.executable, "-c", CODE, *hidden], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=99
    )
    assert ran.returncode == 0, ran.stderr
    answer, backend, demanded, state = ran.stdout.splitlines()
    assert answer == "[[0], [1], [2]]"
    assert backend == "numpy"
    assert demanded == f"topk cannot run with backend='numba' (numba: {NUMBAS[content]})"
    assert state == NUMBAS[content]
