"""No home, a home and caches that cannot be written, no variables: answers stay right, nothing is left."""

import ctypes
import os
import subprocess
import sys

import pytest

SECONDS = 240  # after which a process counts as hung
DROP, OVERRIDE = 24, 1  # prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE): permissions then count for root, too
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="takes a capability away")

SCRIPT = """
import os, pwd, sys
import numpy as np
def nobody(_):
    raise KeyError
if "HOME" not in os.environ:
    pwd.getpwuid = nobody
import crossmodal_fast as cmf
from crossmodal_fast import cli
x = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
for backend in sys.argv[1:]:
    found = cmf.topk(x, x, 3, backend=backend)
    lawful = cmf.topk(x, x, 3, backend="numpy")
    assert all(np.array_equal(part, other) for part, other in zip(found, lawful, strict=True))
assert cli.main(["info"]) == 0
"""


def run(folder, *backends, working=None, **changes):
    settings = {name: value for name, value in os.environ.items() if name not in VARIABLES} | changes
    command = [sys.executable, "-c", SCRIPT, *backends]
    done = subprocess.run(command, cwd=working or folder, env=settings, capture_output=True, text=True, timeout=SECONDS,
                          preexec_fn=lambda: ctypes.CDLL(None).prctl(DROP, OVERRIDE), check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


VARIABLES = {"HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "CROSSMODAL_FAST_CACHE_DIR", "TMPDIR", "USER", "LOGNAME"}


@pytest.fixture
def closed(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    yield folder
    folder.chmod(0o700)
    assert not list(folder.iterdir())


def test_no_home(closed):
    assert "no home" in run(closed, "numpy")


@pytest.mark.heavy
@pytest.mark.parametrize("working", [None, "/"])
def test_nothing_can_be_kept(closed, working):
    told = run(closed, "numba", "auto", HOME=str(closed), working=working)
    assert "cannot be made" in told


@pytest.mark.heavy
@pytest.mark.parametrize(
    "changes",
    [
        {"CROSSMODAL_FAST_CACHE_DIR": "{closed}"},
        {"HOME": "{closed}/none"},
        {"HOME": "/dev/null"},
        {},
        {"HOME": "{closed}", "XDG_CACHE_HOME": "", "TMPDIR": "{closed}"},
    ],
    ids=str,
)
def test_kernels_are_compiled_and_not_kept(closed, changes):
    run(closed, "numba", **{name: value.format(closed=closed) for name, value in changes.items()})
