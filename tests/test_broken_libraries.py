"""Numba, CuPy or SciPy that is broken, too old, or hidden.

Without Numba or CuPy "auto" goes on with NumPy, a demand and `backends` say what is wrong; without SciPy
what needs it says so.
"""

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


CUPYS = {
    'raise ImportError("libcudart.so.13: cannot open")\n': "cupy cannot be imported (libcudart.so.13: cannot open)",
    "1 / 0\n": "cupy cannot be imported (division by zero)",
    "": "cupy cannot be imported (module 'cupy' has no attribute 'cuda')",
    "import types\n__version__ = '13.6.0'\ncuda = types.SimpleNamespace(runtime=None)\n":
        "cupy 13.6.0 is too old; pip install 'cupy-cuda13x[ctk]>=14'",
}  # fmt: skip
WITHOUT_CUPY = """
import numpy as np
import crossmodal_fast as cmf
x = np.eye(3, 4)
print(cmf.topk(x, x, 1).indices.tolist())
try:
    cmf.topk(x, x, 1, backend="cuda")
except cmf.BackendUnavailable as error:
    print(error)
print(cmf.backends()["cuda"])
"""


def lines_of(folder, library, content, code):
    """What a script says beside a library of that content."""
    (folder / library).mkdir()
    (folder / library / "__init__.py").write_text(content, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=99
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.heavy
@pytest.mark.parametrize("content", CUPYS)
def test_cupy(content, tmp_path):
    answer, demanded, state = lines_of(tmp_path, "cupy", content, WITHOUT_CUPY)
    assert answer == "[[0], [1], [2]]"
    assert demanded == f"topk cannot run with backend='cuda' (cuda: {CUPYS[content]})"
    assert state == CUPYS[content]


SCIPYS = {  # what the command line says
    'raise ImportError("libgfortran.so.5: cannot open")\n':
        "crossmodal-fast: a library cannot be imported (libgfortran.so.5: cannot open): install it anew",
    "": "crossmodal-fast: scipy.optimize is not installed: pip install 'crossmodal-fast[demo]'",
}  # fmt: skip
WITHOUT_SCIPY = """
import contextlib, io
import numpy as np
import crossmodal_fast as cmf
from crossmodal_fast import cli
x = np.random.default_rng(0).standard_normal((30, 4))
print(cmf.topk(x, x, 1).indices.ravel().tolist() == list(range(30)))
print(cmf.match(x, x, "csls").rows.tolist() == list(range(30)))
np.testing.assert_allclose(cmf.fit_transfer(x, x, "ridge").apply(x), x, atol=0.2)
print(sorted(cmf.backends()))
try:
    cmf.match(x, x, "assignment", backend="numpy")
except ImportError as error:
    print("refused", cli._sentence(error) is not None)
np.save("x.npy", x)
with contextlib.redirect_stderr(io.StringIO()) as said:
    print(cli.main(["match", "x.npy", "x.npy", "--method", "assignment", "--backend", "numpy", "-o", "m.csv"]))
print(said.getvalue().strip())
"""


@pytest.mark.heavy
@pytest.mark.parametrize("content", SCIPYS)
def test_scipy(content, tmp_path):
    pytest.importorskip("typer")
    *found, said = lines_of(tmp_path, "scipy", content, WITHOUT_SCIPY)
    assert found == ["True", "True", "['cuda', 'numba', 'numpy']", "refused True", "2"]
    assert said == SCIPYS[content]
    assert not (tmp_path / "m.csv").exists()
